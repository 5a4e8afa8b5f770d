"""Promises that time brings: chases, the holding note, moved deadlines. Time is skipped on the real server."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.messages import ActKind
from tests.agency import CLIENT_MAIL, Agency, letter

HOUR = timedelta(hours=1)


def reminders(agency: Agency) -> list[str]:
    return [str(mail["Subject"]) for mail in agency.mails() if "eminder" in str(mail["Subject"])]


@pytest.mark.clause("RL-4")
async def test_a_step_is_chased_every_48_hours_and_never_after_it_is_done(agency: Agency) -> None:
    case_id = await agency.receive(letter("L-1005"))
    await agency.parked(case_id, "investigate")
    await agency.pass_time(case_id, 47 * HOUR)
    assert reminders(agency) == []
    await agency.pass_time(case_id, 2 * HOUR)
    await agency.chased(case_id, "investigate", 1)
    await agency.pass_time(case_id, 48 * HOUR)
    await agency.chased(case_id, "investigate", 2)
    assert len(reminders(agency)) == 2
    breaches = await agency.database.value(
        "SELECT count(*) FROM case_events WHERE kind = 'breached' AND step_id = 'investigate'"
    )
    assert breaches == 1
    await agency.find(case_id, [], ["L-1005"])
    await agency.closed(case_id)
    assert len(reminders(agency)) == 2
    await agency.keep(case_id, "chased")


@pytest.mark.clause("RL-9")
async def test_a_settlement_that_takes_longer_than_48_hours_gets_one_holding_note(agency: Agency) -> None:
    case_id = await agency.receive(letter("L-1005"))
    await agency.find(case_id, ["L-1005"])
    await agency.parked(case_id, "confirm")
    await agency.pass_time(case_id, 49 * HOUR)
    await agency.sent(case_id, "holding-note/1")
    await agency.pass_time(case_id, 96 * HOUR)
    await agency.confirm(case_id)
    await agency.result(case_id)
    to_client = [mail for mail in agency.mails() if CLIENT_MAIL in str(mail["To"])]
    assert len(to_client) == 3  # acknowledged, held, answered
    await agency.keep(case_id, "holding-note")


async def test_a_deadline_is_moved_by_a_person_and_says_so(agency: Agency) -> None:
    case_id = await agency.receive(letter("L-1005"))
    await agency.parked(case_id, "investigate")
    await agency.act(case_id, "investigate", ActKind.CLAIM, {}, "P-1")
    due = datetime.now(UTC).replace(microsecond=0) + timedelta(days=5)
    move = {"due": due.isoformat().replace("+00:00", "Z"), "reason_sha256": await agency.text("The client is away.")}
    await agency.act(case_id, "investigate", ActKind.MOVE, move, "P-1")

    async def moved() -> bool:
        (step,) = (await agency.view(case_id)).steps
        return step.deadline.due == due and step.owner == "P-1" and "by P-1" in step.deadline.why()

    await agency.eventually(moved, "the deadline did not move")
    await agency.pass_time(case_id, 60 * HOUR)
    assert reminders(agency) == []
    await agency.find(case_id, [], ["L-1005"])
    await agency.closed(case_id)
    await agency.keep(case_id, "claimed-and-moved")
