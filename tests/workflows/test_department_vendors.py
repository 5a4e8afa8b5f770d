"""Department requests while boards, desks and chats fail: mended beside the case, in order, each thing once."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path

import pytest

from domain.messages import ActKind, Fact, FactKind
from runtime.temporal_server import TemporalServer
from tests.agency import Agency, open_agency
from tests.conftest import Database
from tests.workflows.desk import Desk, furnish

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
async def desk(agency: Agency) -> Desk:
    return await furnish(agency)


async def settled(desk: Desk, case_id: str) -> list[str]:
    """The kinds of the opening's effects, as they came about."""
    rows = await desk.agency.database.fetch(
        "SELECT kind FROM effects WHERE case_id = $1 AND kind IN ('assign-task', 'comment-task', 'tell') "
        "AND state = 'sent' ORDER BY settled_at, key",
        case_id,
    )
    return [str(row["kind"]) for row in rows]


async def done_by_barb(desk: Desk, case_id: str) -> None:
    await desk.agency.act(case_id, "process", ActKind.PROCESSED, {"note_sha256": ""}, "barb")
    assert (await desk.result(case_id)).status == "done"


@pytest.mark.clause("ID-4")
@pytest.mark.clause("ID-6")
@pytest.mark.clause("ID-10")
async def test_teamwork_down_at_the_start_is_mended_beside_the_case_and_in_order(desk: Desk) -> None:
    desk.agency.outside.teamwork.fault("* /", "error_before", status=503, times=None)
    case_id = await desk.open()
    await desk.agency.parked(case_id, "process")
    assert (desk.tasks(), desk.comments(), desk.slack()) == ([], [], [])
    view = await desk.agency.view(case_id)
    assert [one.removeprefix(f"{case_id}/") for one in view.broken] == ["assign-task/1", "comment/1", "tell/1"]
    desk.agency.outside.teamwork.faults.clear()
    await desk.pass_time(case_id, 2 * MINUTE)
    await desk.agency.sent(case_id, "tell/1")
    assert await settled(desk, case_id) == ["assign-task", "comment-task", "tell"]
    assert (len(desk.tasks()), len(desk.comments()), len(desk.slack())) == (1, 1, 1)
    await done_by_barb(desk, case_id)


@pytest.mark.clause("ID-4")
async def test_who_is_missing_is_found_out_when_the_task_is_made_late(desk: Desk) -> None:
    desk.agency.outside.teamwork.state["people"].pop("315")
    await desk.agency.database.execute("DELETE FROM person_channels WHERE person_id = 'cleo'")
    desk.agency.outside.teamwork.fault("* /", "error_before", status=503, times=None)
    case_id = await desk.open()
    await desk.agency.parked(case_id, "process")
    assert [one.name for one in (await desk.agency.view(case_id)).steps] == ["process"]
    desk.agency.outside.teamwork.faults.clear()
    await desk.pass_time(case_id, 2 * MINUTE)
    await desk.agency.act(case_id, "assign-by-hand", ActKind.DONE, {"note_sha256": ""}, "cleo")
    await done_by_barb(desk, case_id)


async def test_teamwork_that_answers_nothing_after_making_the_task_makes_it_once(desk: Desk) -> None:
    desk.agency.outside.teamwork.fault("POST /tasks.json", "reset_after")
    case_id = await desk.open()
    await through(desk, case_id, "tell/1")
    assert (len(desk.tasks()), len(desk.comments()), len(desk.slack())) == (1, 1, 1)
    assert desk.agency.outside.teamwork.faults[0].times == 0, "the fault was never met"
    await done_by_barb(desk, case_id)


async def test_a_comment_whose_answer_is_lost_is_written_once(desk: Desk) -> None:
    desk.agency.outside.teamwork.fault("POST /comments.json", "reset_after")
    case_id = await desk.open()
    await through(desk, case_id, "tell/1")
    assert (len(desk.comments()), len(desk.slack())) == (1, 1)
    assert desk.agency.outside.teamwork.faults[0].times == 0, "the fault was never met"
    assert await settled(desk, case_id) == ["assign-task", "comment-task", "tell"]
    await done_by_barb(desk, case_id)


async def through(desk: Desk, case_id: str, effect: str) -> None:
    """At once or after the pauses of mending."""
    await desk.agency.parked(case_id, "process")
    if (await desk.agency.effects(case_id)).get(effect) != "sent":
        await desk.pass_time(case_id, 10 * MINUTE)
    await desk.agency.sent(case_id, effect)


@pytest.mark.clause("ID-7")
async def test_a_ticket_that_is_not_there_is_a_person_s_to_look_at(desk: Desk) -> None:
    case_id = await desk.open(ticket_id="4711")

    async def both() -> bool:
        return [one.name for one in (await desk.agency.view(case_id)).steps].count("could-not") == 2

    await desk.agency.eventually(both, "nobody is asked about the follower and the note")
    assert len(desk.slack()) == 1  # whoever processes it is told all the same
    for step in (await desk.agency.view(case_id)).steps:
        if step.name == "could-not":
            await desk.agency.act(case_id, step.step_id, ActKind.WAIVE, {"note_sha256": ""}, "cleo")
    await done_by_barb(desk, case_id)


@pytest.fixture
async def followerless(tmp_path: Path, database: Database, temporal: TemporalServer) -> AsyncGenerator[Desk]:
    """A ticket desk whose account has no followers."""
    async with open_agency(tmp_path, database, temporal, followers=False) as made:
        yield await furnish(made)


@pytest.mark.clause("ID-7")
async def test_a_desk_without_followers_gets_the_note_and_nobody_is_asked_about_it(followerless: Desk) -> None:
    ticket = followerless.ticket()
    case_id = await followerless.open(ticket_id=str(ticket))
    await followerless.agency.parked(case_id, "process")
    assert followerless.followers(ticket) == set()
    assert len(followerless.ticket_notes(ticket)) == 1
    assert [one.name for one in (await followerless.agency.view(case_id)).steps] == ["process"]
    followed = await followerless.agency.database.value(
        "SELECT reference FROM effects WHERE case_id = $1 AND kind = 'follow-ticket'", case_id
    )
    assert followed == "desk-without-followers"
    await done_by_barb(followerless, case_id)


@pytest.mark.clause("ID-10")
async def test_what_was_held_while_sending_was_off_goes_out_once_and_in_order(desk: Desk) -> None:
    await desk.agency.database.execute("UPDATE outbound SET mode = 'off'")
    ticket = desk.ticket()
    case_id = await desk.open(ticket_id=str(ticket))
    await desk.agency.parked(case_id, "process")
    assert (desk.tasks(), desk.comments(), desk.slack(), desk.ticket_notes(ticket)) == ([], [], [], [])
    await desk.agency.database.execute("UPDATE outbound SET mode = 'on'")
    await desk.handle(case_id).signal("event", Fact(event_id="on:1", kind=FactKind.RESUMED))
    await desk.agency.sent(case_id, "tell/1")
    assert await settled(desk, case_id) == ["assign-task", "comment-task", "tell"]
    assert (len(desk.tasks()), len(desk.comments()), len(desk.slack())) == (1, 1, 1)
    assert len(desk.ticket_notes(ticket)) == 1
    await done_by_barb(desk, case_id)


async def test_done_while_teamwork_is_down_is_done_and_the_task_is_completed_when_it_works(desk: Desk) -> None:
    case_id = await desk.open()
    await desk.agency.parked(case_id, "process")
    desk.agency.outside.teamwork.fault("* /", "error_before", status=503, times=None)
    await desk.agency.act(case_id, "process", ActKind.PROCESSED, {"note_sha256": ""}, "barb")

    async def breaks() -> bool:
        return bool((await desk.agency.view(case_id)).broken)

    await desk.agency.eventually(breaks, "Teamwork did not fail")
    desk.agency.outside.teamwork.faults.clear()
    await desk.pass_time(case_id, HOUR)
    assert (await desk.result(case_id)).by == "barb"
    assert [task["status"] for task in desk.tasks()] == ["completed"]
    assert desk.agency.mails("eminder") == []
