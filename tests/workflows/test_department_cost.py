"""What a department request costs in activities and history events: deterministic, so held by a test."""

from collections import Counter
from datetime import timedelta

import pytest

from domain.messages import ActKind
from tests.agency import Agency
from tests.workflows.desk import Desk, furnish

ACTIVITIES, EVENTS = 3, 35  # asked, said, closed
ACTIVITIES_IN_TEAMWORK, EVENTS_IN_TEAMWORK = 3, 35  # asked, read, closed
MOST_A_CHASE = 18


@pytest.fixture
async def desk(agency: Agency) -> Desk:
    return await furnish(agency)


async def cost(desk: Desk, case_id: str) -> tuple[int, int]:
    """Activities and events of a case so far, without the marks that skipping time leaves."""
    told = (await desk.agency.history(case_id)).to_json_dict()["events"]
    kinds = Counter(event["eventType"] for event in told)
    skipped = sum(n for kind, n in kinds.items() if "TIME_SKIPPING" in kind or "OPTIONS_UPDATED" in kind)
    return kinds["EVENT_TYPE_ACTIVITY_TASK_SCHEDULED"], len(told) - skipped


async def test_a_request_that_is_done_by_an_act_stays_within_its_activities_and_events(desk: Desk) -> None:
    case_id = await desk.open()
    await desk.agency.act(case_id, "process", ActKind.PROCESSED, {"note_sha256": ""}, "barb")
    await desk.result(case_id)
    assert len(desk.slack()) == 1
    activities, events = await cost(desk, case_id)
    assert activities <= ACTIVITIES
    assert events <= EVENTS


async def test_a_request_completed_in_teamwork_stays_within_its_activities_and_events(desk: Desk) -> None:
    case_id = await desk.open()
    await desk.agency.parked(case_id, "process")
    desk.does("complete", task=desk.tasks()[0]["id"])
    await desk.hint(case_id)
    await desk.result(case_id)
    activities, events = await cost(desk, case_id)
    assert activities <= ACTIVITIES_IN_TEAMWORK
    assert events <= EVENTS_IN_TEAMWORK


async def test_a_chase_with_its_look_adds_two_activities_and_at_most_eighteen_events(desk: Desk) -> None:
    case_id = await desk.open(hours=24)
    await desk.agency.parked(case_id, "process")
    await desk.pass_time(case_id, timedelta(hours=25))  # the first one comes with the promise that is broken
    await desk.agency.chased(case_id, "process", 1)
    await desk.pass_time(case_id, timedelta(hours=35))  # the CSS is asked to follow up, and reminded
    await desk.agency.chased(case_id, "follow-up", 1)
    before = await cost(desk, case_id)
    await desk.pass_time(case_id, timedelta(hours=13))
    await desk.agency.chased(case_id, "process", 2)
    after = await cost(desk, case_id)
    assert after[0] - before[0] == 2
    assert after[1] - before[1] <= MOST_A_CHASE
