"""Who went, left or came back (ID-1): open steps go to whoever covers, to a successor, and back again."""

from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from uuid import uuid4

import pytest
from temporalio.api.enums.v1 import EventType

from adapters.postgres.attendance import Absence, Attendance
from adapters.postgres.crypto import Vault, load_master
from adapters.temporal.owners import TemporalMovements
from domain.case import OpenStep
from domain.directory_sweep import SweepRequest
from domain.messages import ActKind
from tests.agency import Agency
from workflows.directory_sweep import DirectorySweep

pytestmark = pytest.mark.clause("ID-1")
PRIYA, TOM = "priya@commversion.com", "tom@commversion.com"
STEP = "investigate"


@pytest.fixture
async def attendance(agency: Agency) -> Attendance:
    vault = Vault(load_master(agency.settings.keys_dir))
    return Attendance(await agency.database.pool("door"), vault)


async def opened(agency: Agency, lead: str = "L-1005") -> str:
    case_id = await agency.open_return(lead, reference=f"R-{uuid4()}")
    await agency.parked(case_id, STEP)
    return case_id


async def claimed(agency: Agency) -> str:
    case_id = await opened(agency)
    await agency.act(case_id, STEP, ActKind.CLAIM, {}, "P-1")
    await owner(agency, case_id, "P-1")
    return case_id


async def owner(agency: Agency, case_id: str, expected: str) -> OpenStep:
    """Waits until the step is this owner's: in the workflow, in the tables and in the search attribute."""

    async def there() -> bool:
        view, described = await agency.view(case_id), await agency.handle(case_id).describe()
        step = next((one for one in view.steps if one.step_id == STEP), None)
        row = await agency.database.value(
            "SELECT owner FROM case_steps WHERE case_id = $1 AND step_id = $2", case_id, STEP
        )
        shown = described.search_attributes.get("Owner") or [""]
        return bool(step) and (step.owner, row, shown[0]) == (expected,) * 3

    await agency.eventually(there, f"{case_id} is not {expected}'s")
    return next(one for one in (await agency.view(case_id)).steps if one.step_id == STEP)


async def today(agency: Agency) -> date:
    found = await agency.database.value("SELECT holdfast_today()")
    assert isinstance(found, date)
    return found


async def absent(agency: Agency, attendance: Attendance, stand_in: str = "P-2", *, starts: int = 0) -> Absence:
    """Priya is away from in so many days on, for three days."""
    first = await today(agency) + timedelta(days=starts)
    absence = Absence("P-1", first, first + timedelta(days=2), stand_in)
    assert await attendance.away(absence, "P-4")
    return absence


async def tell(agency: Agency) -> int:
    return await TemporalMovements(await agency.database.pool("door"), agency.client).tell()


async def look_ups(agency: Agency, case_id: str) -> int:
    """How often the case looked up whose its steps are."""
    history = await agency.history(case_id)
    inputs = [
        event.activity_task_scheduled_event_attributes.input.payloads[0].data
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    ]
    return sum(b'"resolve-owners"' in one for one in inputs)


def passed_on(agency: Agency, to: str) -> list[EmailMessage]:
    return [mail for mail in agency.mails() if "Passed on" in str(mail["Subject"]) and to in str(mail["To"])]


async def test_an_absence_moves_a_claimed_step_to_the_stand_in_and_the_return_restores_it(
    agency: Agency, attendance: Attendance
) -> None:
    case_id = await claimed(agency)
    await absent(agency, attendance)
    assert await tell(agency) == 1
    step = await owner(agency, case_id, "P-2")
    assert (step.claimed_by, step.covered_by) == ("P-1", "P-2")
    await agency.eventually(lambda: mailed(agency, TOM), "the stand-in was not told")
    (told,) = passed_on(agency, TOM)
    assert "Priya Nair is away today" in told.get_content()
    assert "P-2" in str(await agency.database.value("SELECT owner FROM cases WHERE case_id = $1", case_id))
    await attendance.back("P-1", "P-4")
    assert await tell(agency) == 1
    assert (await owner(agency, case_id, "P-1")).covered_by == ""
    await agency.eventually(lambda: mailed(agency, PRIYA), "whoever is back was not told")
    await agency.find(case_id, ["L-1005"], by="P-1")
    await agency.parked(case_id, "confirm")
    await agency.keep(case_id, "passed-on")


async def mailed(agency: Agency, to: str) -> bool:
    return bool(passed_on(agency, to))


async def test_the_stand_in_acts_on_what_the_absent_one_claimed_and_nobody_else_does(
    agency: Agency, attendance: Attendance
) -> None:
    case_id = await claimed(agency)
    await agency.find(case_id, ["L-1005"], by="P-2")
    await agency.refused(case_id, "belongs-to-another")
    await absent(agency, attendance)
    await tell(agency)
    await owner(agency, case_id, "P-2")
    await agency.find(case_id, ["L-1005"], by="P-2")
    await agency.parked(case_id, "confirm")


async def test_what_the_stand_in_claims_stays_theirs(agency: Agency, attendance: Attendance) -> None:
    case_id = await claimed(agency)
    await absent(agency, attendance)
    await tell(agency)
    await owner(agency, case_id, "P-2")
    await agency.act(case_id, STEP, ActKind.CLAIM, {}, "P-2")

    async def theirs() -> bool:
        return (await agency.view(case_id)).steps[0].claimed_by == "P-2"

    await agency.eventually(theirs, "the stand-in's claim was not taken")
    await attendance.back("P-1", "P-4")
    await tell(agency)
    assert (await owner(agency, case_id, "P-2")).covered_by == ""


async def test_a_case_hears_of_a_movement_once_however_often_it_is_told(agency: Agency, attendance: Attendance) -> None:
    case_id = await claimed(agency)
    other = await opened(agency, "L-1006")
    await absent(agency, attendance)
    assert await tell(agency) == 1
    await tell(agency)
    await owner(agency, case_id, "P-2")
    await agency.database.execute("UPDATE directory_sweeps SET swept_at = swept_at - interval '1 hour'")
    assert await tell(agency) == 0
    assert (await look_ups(agency, case_id), await look_ups(agency, other)) == (1, 0)


async def test_a_date_that_comes_moves_the_step_and_a_date_that_passes_brings_it_back(
    agency: Agency, attendance: Attendance
) -> None:
    case_id = await claimed(agency)
    absence = await absent(agency, attendance, starts=2)
    assert await swept(agency) == 0
    await at(agency, absence.starts)
    assert await swept(agency) == 1
    await owner(agency, case_id, "P-2")
    await at(agency, absence.ends)
    assert await swept(agency) == 0
    await at(agency, absence.ends + timedelta(days=1))
    assert await swept(agency) == 1
    await owner(agency, case_id, "P-1")


async def at(agency: Agency, day: date) -> None:
    """A minute into a day of London's, by database time."""
    midnight = await agency.database.value(
        "SELECT $1::timestamp AT TIME ZONE 'Europe/London'", datetime.combine(day, datetime.min.time())
    )
    assert isinstance(midnight, datetime)
    await agency.database.shift(midnight + timedelta(minutes=1) - datetime.now(UTC))


async def swept(agency: Agency) -> int:
    """What the schedule starts, run by the worker."""
    run = await agency.client.execute_workflow(
        DirectorySweep.run, SweepRequest(), id=f"sweep-{uuid4()}", task_queue=agency.queue
    )
    return run.told


@pytest.mark.parametrize(("successor", "now"), [("P-2", "P-2"), ("", "team:return-leads")])
async def test_the_steps_of_whoever_left_are_the_successor_s_or_the_team_s(
    agency: Agency, attendance: Attendance, successor: str, now: str
) -> None:
    case_id = await claimed(agency)
    await attendance.leave("P-1", successor, "P-4")
    assert await tell(agency) == 1
    step = await owner(agency, case_id, now)
    assert (step.claimed_by, step.reassigned_to, step.covered_by) == ("", successor, "")
    await agency.act(case_id, STEP, ActKind.MOVE, {"due": _in(30), "reason_sha256": ""}, "P-2")
    await agency.find(case_id, ["L-1005"], by="P-2")
    await agency.parked(case_id, "confirm")


def _in(hours: int) -> str:
    return (datetime.now(UTC).replace(microsecond=0) + timedelta(hours=hours)).isoformat().replace("+00:00", "Z")


async def test_a_team_of_which_nobody_is_here_is_covered_for_and_it_is_said(
    agency: Agency, attendance: Attendance
) -> None:
    case_id = await opened(agency)
    first = await today(agency)
    for person in ("P-1", "P-2"):
        await attendance.away(Absence(person, first, first), "P-4")
    assert await tell(agency) == 1
    await owner(agency, case_id, "P-4")
    line = await agency.database.value(
        "SELECT true FROM case_events WHERE case_id = $1 AND kind = 'moved' AND step_id = $2", case_id, STEP
    )
    assert line
    await attendance.back("P-1", "P-4")
    await tell(agency)
    await owner(agency, case_id, "team:return-leads")


async def test_a_step_about_money_is_covered_for_by_nobody(agency: Agency, attendance: Attendance) -> None:
    case_id = await opened(agency, "L-1001")
    await agency.find(case_id, ["L-1001"])
    await agency.confirm(case_id)
    await agency.parked(case_id, "authorise")
    await agency.act(case_id, "authorise", ActKind.CLAIM, {}, "P-3")
    first = await today(agency)
    await attendance.away(Absence("P-3", first, first, "P-4"), "P-4")
    await tell(agency)
    await agency.authorise(case_id, by="P-4")
    await agency.refused(case_id, "not-asked")
    (step,) = (await agency.view(case_id)).steps
    assert (step.step_id, step.covered_by) == ("authorise", "")
    await agency.authorise(case_id)
    assert (await agency.result(case_id)).status == "settled"
