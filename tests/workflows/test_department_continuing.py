"""A department request over many runs: nothing is lost, asked twice or sent twice, and the outcome is the same."""

from datetime import timedelta

import pytest

from domain.messages import ActKind
from tests.agency import Agency
from tests.workflows.desk import Desk, furnish
from tests.workflows.test_continuing import runs

HOURS = timedelta(hours=1)


@pytest.fixture
async def desk(hasty: Agency) -> Desk:
    return await furnish(hasty)


async def asked(desk: Desk) -> list[str]:
    """The steps somebody was asked for, in order: each once."""
    rows = await desk.agency.database.fetch("SELECT step_id FROM case_events WHERE kind = 'asked' ORDER BY seq")
    return [str(row["step_id"]) for row in rows]


async def not_sent(desk: Desk, case_id: str) -> dict[str, str]:
    return {key: state for key, state in (await desk.agency.effects(case_id)).items() if state != "sent"}


def letters(desk: Desk) -> list[tuple[str, str]]:
    return [(str(mail["To"]), str(mail["Subject"])) for mail in desk.agency.mails()]


async def followed_up(desk: Desk, case_id: str, step: str, words: str) -> None:
    note = await desk.agency.text(words)
    await desk.agency.act(case_id, step, ActKind.DONE, {"note_sha256": note}, "cleo")


@pytest.mark.clause("ID-8")
async def test_a_whole_request_over_several_runs_does_everything_once(desk: Desk) -> None:
    ticket = desk.ticket()
    case_id = await desk.open(ticket_id=str(ticket), unsure=True)
    await desk.agency.act(case_id, "estimate", ActKind.ESTIMATED, {"hours": 96, "on": None}, "pete")
    await desk.agency.sent(case_id, "assign-task/estimated")
    await desk.pass_time(case_id, 37 * HOURS)
    await followed_up(desk, case_id, "follow-up", "It waits for the budget.")
    await desk.agency.sent(case_id, "follow-up/1")
    await desk.pass_time(case_id, 37 * HOURS)
    await followed_up(desk, case_id, "follow-up.2", "The budget is there.")
    await desk.agency.sent(case_id, "follow-up/2")
    await desk.pass_time(case_id, 24 * HOURS)
    await desk.agency.chased(case_id, "process", 1)
    await desk.agency.act(case_id, "process", ActKind.PROCESSED, {"note_sha256": ""}, "barb")
    outcome = await desk.result(case_id)
    assert (outcome.status, outcome.by) == ("done", "barb")
    assert len(await runs(desk.agency, case_id)) >= 3
    assert await asked(desk) == ["process", "estimate", "follow-up", "follow-up.2"]
    assert await not_sent(desk, case_id) == {}
    assert [task["status"] for task in desk.tasks()] == ["completed"]
    assert len(desk.comments()) == 4  # asked, the estimate, two follow-ups
    assert len(desk.ticket_notes(ticket)) == 3
    assert len(desk.slack()) == 2  # told, and reminded
    assert len(letters(desk)) == len(set(letters(desk))) == 3  # the estimate, two follow-ups
    assert (await desk.agency.audited()).whole


@pytest.mark.clause("ID-3")
async def test_completed_without_a_word_is_seen_by_the_look_before_a_reminder_in_a_later_run(desk: Desk) -> None:
    case_id = await desk.open(hours=24 * 10)
    await desk.agency.parked(case_id, "process")
    for turn in (1, 2, 3):
        await desk.pass_time(case_id, 37 * HOURS)
        step = "follow-up" if turn == 1 else f"follow-up.{turn}"
        await followed_up(desk, case_id, step, f"Turn {turn}.")
        await desk.agency.sent(case_id, f"follow-up/{turn}")
    assert len(await runs(desk.agency, case_id)) >= 2
    before = letters(desk)
    desk.does("complete", by="pete", task=desk.tasks()[0]["id"])
    await desk.pass_time(case_id, 37 * HOURS)
    outcome = await desk.result(case_id)
    assert (outcome.status, outcome.by) == ("done-in-teamwork", "pete")
    assert letters(desk) == before
    assert len(desk.slack()) == 1
    assert len(desk.comments()) == 4


@pytest.mark.clause("ID-8")
async def test_a_note_of_an_earlier_run_is_not_taken_for_the_next_follow_up(desk: Desk) -> None:
    case_id = await desk.open(hours=24 * 10)
    await desk.agency.parked(case_id, "process")
    desk.does("comment", by="cleo", task=desk.tasks()[0]["id"], body="Barb, how is it?")
    await desk.hint(case_id, "1")

    async def noted() -> bool:
        return "next-follow-up.2" in await desk.handle(case_id).query("clock")

    await desk.agency.eventually(noted, "the note was not seen")
    before = (await desk.handle(case_id).query("clock"))["next-follow-up.2"]
    for name in ("2", "3", "4", "5", "6"):  # hints that say nothing new: they only make the history longer
        await desk.hint(case_id, name)
        await desk.agency.parked(case_id, "process")
    assert len(await runs(desk.agency, case_id)) >= 2
    told = await desk.handle(case_id).query("clock")
    assert told["next-follow-up.2"]["due"] == before["due"]
    assert "next-follow-up.3" not in told
    await desk.pass_time(case_id, 37 * HOURS)
    await followed_up(desk, case_id, "follow-up", "I asked Barb again.")
    await desk.agency.sent(case_id, "follow-up/1")
    assert any("I asked Barb again." in one for one in desk.comments())
    assert await asked(desk) == ["process", "follow-up"]
