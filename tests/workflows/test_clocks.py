"""Promises on a real server whose time is skipped: kept, broken, paused, and over continue-as-new."""

from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any, cast

import pytest
import pytest_asyncio
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from domain.case import CaseEvent, EventKind
from domain.explained import Explained, lines
from domain.rules.clock import Cause, ClockKind, PauseRule, SegmentKind, Target, total
from runtime.connect import connect
from runtime.settings import Settings
from runtime.temporal_server import temporal_server
from tests.agency import eventually
from tests.domain.rules.calendars import AGENCY
from tests.workflows.clock_case import Clocked, Timed
from tests.workflows.steps_stand_in import Running, Vendors, scripted, workers
from workflows.base import CaseWorkflow

A_BIT = timedelta(minutes=1)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PAUSES = (
    PauseRule(cause=Cause.CLIENT, longest=timedelta(days=5), follow_up=2 * DAY),
    PauseRule(cause=Cause.THIRD_PARTY, longest=timedelta(days=3), follow_up=DAY),
)
RESOLVED = Target(name="resolved", clause="CR-5.8", after=timedelta(hours=48), pauses=PAUSES, version=3)
SOON = RESOLVED.model_copy(update={"after": timedelta(seconds=2), "warn": ()})
ACKNOWLEDGE = Target(name="acknowledge", clause="CR-5.1", after=timedelta(hours=4), warn=())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address() -> AsyncGenerator[str]:
    """One server for the module, on which every case continues as new after forty events."""
    often = {"limit.historyCount.suggestContinueAsNew": 40}
    async with temporal_server(time_travel=True, dynamic_config=often) as server:
        yield server.address


@pytest_asyncio.fixture
async def client(address: str) -> Client:
    return await connect(Settings(), address=address)


def clocked(client: Client, *moments: str, targets: tuple[Target, ...] = (RESOLVED, ACKNOWLEDGE), **more: Any) -> Any:
    script: dict[str, Any] = {"moments": moments, "targets": targets, **more}
    return scripted(client, script, workflow=Clocked, request=Timed)


def told(case: Running, *kinds: EventKind) -> list[CaseEvent]:
    return [one for one in case.vendors.events if one.kind in kinds]


def hands(event: CaseEvent) -> dict[str, int]:
    return cast("dict[str, int]", event.data["held_minutes"])


async def explained(case: Running) -> dict[str, Explained]:
    return await case.handle.query(CaseWorkflow.clock)


async def until_told(case: Running, kind: EventKind, times: int = 1) -> CaseEvent:
    async def is_told() -> bool:
        return len(told(case, kind)) >= times

    await eventually(is_told, f"{kind} was not told {times} times")
    return told(case, kind)[-1]


async def to_due(case: Running, name: str, short_of: timedelta = timedelta()) -> None:
    due = (await explained(case))[name].due
    await case.forward(due - short_of - await case.skipper.get_current_time(case.handle))


async def test_a_promise_that_is_kept_just_before_its_time_costs_nothing(client: Client) -> None:
    async with clocked(client, "start resolved ask", "ask", calendar=AGENCY) as case:
        await case.waits_for("ask")
        await to_due(case, "resolved", A_BIT)
        await case.do("ask")
        await case.result()
        assert case.vendors.calls == {"perform": 2, "record_acts": 1}, "asked, closed, judged"
        promised, met = told(case, EventKind.PROMISED, EventKind.MET)
        assert (promised.clause, promised.data["target_version"]) == ("CR-5.8", 3)
        assert (promised.data["calendar"], promised.data["calendar_version"]) == ("agency", 1)
        assert met.text == "resolved is met, in time."
        assert (met.data["late_minutes"], met.data["held_minutes"]) == (0, {"team:return-leads": 48 * 60 - 1})
        warned = told(case, EventKind.WARNED)
        assert [one.data["percent"] for one in warned] == [50, 75, 90]
        assert [(one.at - promised.at) / RESOLVED.after for one in warned] == pytest.approx([0.5, 0.75, 0.9], abs=1e-3)
        assert told(case, EventKind.BREACHED) == []
        await case.replayed()


async def test_a_promise_that_is_broken_is_on_record_at_the_moment(client: Client) -> None:
    async with clocked(client, "start resolved ask", "ask") as case:
        await case.waits_for("ask")
        await to_due(case, "resolved", A_BIT)
        assert told(case, EventKind.BREACHED) == []
        await case.forward(2 * A_BIT)
        breach = await until_told(case, EventKind.BREACHED)
        promised = datetime.fromisoformat(str(breach.data["promised_at"]))
        assert timedelta() <= breach.at - promised < A_BIT
        assert breach.data["held_minutes"] == {"team:return-leads": 48 * 60}
        assert case.vendors.calls == {"perform": 2}, "asked, and told at once"
        await case.forward(3 * HOUR)
        await case.do("ask")
        await case.result()
        (met,) = told(case, EventKind.MET)
        assert met.text.endswith("late.")
        assert 180 <= int(str(met.data["late_minutes"])) <= 182
        assert len(told(case, EventKind.BREACHED)) == 1
        await case.replayed()


@pytest.mark.parametrize("timer_first", [False, True])
async def test_a_decision_at_the_same_instant_wins_in_both_orders(client: Client, *, timer_first: bool) -> None:
    """Both are in the history before any worker sees either of them."""
    vendors, queue, case_id = Vendors(), f"steps-{token_hex(4)}", f"return-lead/{token_hex(8)}"
    request = Timed(case_id=case_id, client_id="C-1", moments=("start resolved ask", "ask"), targets=(SOON,))
    async with workers(client, queue, vendors, Clocked, cached=0):
        handle = await client.start_workflow(
            "Clocked", request, id=case_id, task_queue=queue, task_timeout=timedelta(seconds=1)
        )
        case = Running(handle, None, vendors, Clocked)  # pyright: ignore[reportArgumentType]  real time is enough
        await case.waits_for("ask")
        await _told_of(case, EventType.EVENT_TYPE_TIMER_STARTED)
    if not timer_first:
        await case.do("ask")
    await _told_of(case, EventType.EVENT_TYPE_TIMER_FIRED)
    if timer_first:
        await case.do("ask")
    async with workers(client, queue, vendors, Clocked, cached=0):
        await case.result()
    names = [event.event_type for event in (await handle.fetch_history()).events]
    assert told(case, EventKind.BREACHED) == []
    (met,) = told(case, EventKind.MET)
    assert (met.text, met.data["late_minutes"]) == ("resolved is met, in time.", 0)
    fired = names.index(EventType.EVENT_TYPE_TIMER_FIRED)
    signalled = names.index(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
    assert EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED not in names[min(fired, signalled) : max(fired, signalled)]
    assert (fired < signalled) == timer_first
    await case.replayed()


async def _told_of(case: Running, kind: Any) -> None:
    async def is_there() -> bool:
        return any(event.event_type == kind for event in (await case.handle.fetch_history()).events)

    await eventually(is_there, f"{EventType.Name(kind)} is not in the history")


async def test_a_decision_that_waits_to_be_judged_holds_the_breach_back(client: Client) -> None:
    async with clocked(client, "start resolved ask", "ask", targets=(SOON,)) as case:
        due = (await case.waits_for("ask")).clocks[0].due
        case.vendors.busy.clear()
        await case.do("ask")

        async def is_past() -> bool:
            return await case.skipper.get_current_time(case.handle) > due + SOON.after / 4

        await eventually(is_past, "time stands still")
        case.vendors.busy.set()
        await case.result()
        assert told(case, EventKind.BREACHED) == []
        assert [one.text for one in told(case, EventKind.MET)] == ["resolved is met, in time."]


async def test_a_forged_decision_holds_nothing_back_for_long(client: Client) -> None:
    async with clocked(client, "start resolved ask", "ask") as case:
        await case.waits_for("ask")
        await to_due(case, "resolved", A_BIT)
        await case.do("ask", good=False)
        await case.do("nowhere")
        await case.forward(2 * A_BIT)
        await until_told(case, EventKind.BREACHED)


async def test_what_the_sop_says_is_met_is_met(client: Client) -> None:
    moments = ("start acknowledge", "start resolved", "ask", "met acknowledge", "ask", "met resolved")
    async with clocked(client, *moments) as case:
        await case.waits_for("ask")
        await case.forward(3 * HOUR)
        await case.do("ask")
        await case.waits_for("ask.2")
        shown = await explained(case)
        assert shown["acknowledge"].met_at is not None
        assert shown["resolved"].met_at is None
        await case.do("ask.2")
        await case.result()
        assert [one.text for one in told(case, EventKind.MET)] == [
            "acknowledge is met, in time.",
            "resolved is met, in time.",
        ]


async def test_a_paused_clock_stands_still_and_says_for_whom(client: Client) -> None:
    moments = ("start resolved", "ask", "pause resolved client", "ask", "resume resolved", "ask", "met resolved")
    async with clocked(client, *moments) as case:
        await case.waits_for("ask")
        await case.forward(10 * HOUR)
        await case.do("ask")
        await case.waits_for("ask.2")
        await case.forward(30 * HOUR)
        await case.do("ask.2")
        await case.waits_for("ask.3")
        resolved = (await explained(case))["resolved"]
        kinds = [(one.kind, one.why, one.by, round(one.length / HOUR)) for one in resolved.segments]
        assert kinds == [
            (SegmentKind.RAN, "", "", 10),
            (SegmentKind.PAUSED, "client", "P-2", 30),
            (SegmentKind.RAN, "", "", 38),
        ]
        assert total(resolved.segments) == RESOLVED.after
        assert resolved.due - resolved.promised == resolved.segments[1].length
        assert "the client is waited for, says P-2" in " ".join(lines(resolved))
        await to_due(case, "resolved", A_BIT)
        assert told(case, EventKind.BREACHED) == []
        await case.forward(2 * A_BIT)
        await until_told(case, EventKind.BREACHED)
        assert [one.kind for one in told(case, EventKind.PAUSED, EventKind.RAN_AGAIN)] == [
            EventKind.PAUSED,
            EventKind.RAN_AGAIN,
        ]


async def test_a_pause_ends_at_its_longest_and_asks_again_meanwhile(client: Client) -> None:
    moments = ("start acknowledge", "start resolved", "pause all client", "ask")
    async with clocked(client, *moments) as case:
        await case.waits_for("ask")
        await case.forward(4 * HOUR + A_BIT)
        breach = await until_told(case, EventKind.BREACHED)
        assert breach.data["clock"] == "acknowledge", "acknowledging never waits for anybody"
        await case.forward(4 * DAY)
        asked = told(case, EventKind.CHASED)
        assert [one.text for one in asked] == ["resolved still stands still for the client: ask again."] * 2
        await case.forward(DAY)
        again = await until_told(case, EventKind.RAN_AGAIN)
        assert "as long as may be" in again.text
        assert sum(name.startswith("ask-again-resolved-client") for name in case.vendors.asked) == 2
        assert sum(name.startswith("ran-again-resolved-client") for name in case.vendors.asked) == 1
        await case.forward(48 * HOUR)
        await until_told(case, EventKind.BREACHED, 2)
        resolved = (await explained(case))["resolved"]
        assert resolved.due - resolved.promised == timedelta(days=5)


async def test_a_pause_with_an_end_of_its_own_ends_then(client: Client) -> None:
    async with clocked(client, "start resolved", "pause resolved third-party 1", "ask") as case:
        await case.waits_for("ask")
        await case.forward(DAY + A_BIT)
        await until_told(case, EventKind.RAN_AGAIN)
        resolved = (await explained(case))["resolved"]
        assert resolved.due - resolved.promised == DAY


async def test_the_owner_is_nudged_at_the_warnings_that_the_sop_names(client: Client) -> None:
    nudging = RESOLVED.model_copy(update={"warn": (50, 90), "nudge_at": (90,)})
    async with clocked(client, "start resolved ask", "ask", targets=(nudging,)) as case:
        await case.waits_for("ask")
        await case.forward(40 * HOUR)
        assert "warn-resolved" not in case.vendors.asked
        assert case.vendors.calls == {"perform": 1}, "a warning that nudges nobody waits for the next activity"
        await case.forward(4 * HOUR)
        assert case.vendors.asked.count("warn-resolved") == 1
        assert [one.data["percent"] for one in told(case, EventKind.WARNED)] == [50, 90]


async def test_nothing_is_lost_over_continue_as_new(client: Client) -> None:
    """A pause in the middle, warnings before and after, and a breach at the end: over many runs of the case."""
    steps = [f"step{one}" for one in range(12)]
    moments = (
        "start resolved",
        steps[0],
        "pause resolved client",
        *steps[1:],
        "resume resolved",
        "ask",
        "met resolved",
    )
    async with clocked(client, *moments) as case:
        for step in steps:
            await case.waits_for(step)
            await case.forward(2 * HOUR)
            await case.do(step)
        await case.waits_for("ask")
        assert (await case.handle.describe()).run_id != case.handle.first_execution_run_id
        resolved = (await explained(case))["resolved"]
        assert [round(one.length / HOUR) for one in resolved.segments] == [2, 22, 46]
        assert total(resolved.segments) == RESOLVED.after
        await to_due(case, "resolved", -A_BIT)
        await until_told(case, EventKind.BREACHED)
        await case.do("ask")
        await case.result()
        counted = [len(told(case, one)) for one in (EventKind.PROMISED, EventKind.PAUSED, EventKind.BREACHED)]
        assert counted == [1, 1, 1]
        assert [one.data["percent"] for one in told(case, EventKind.WARNED)] == [50, 75, 90]
        (met,) = told(case, EventKind.MET)
        assert sum(hands(met).values()) in range(48 * 60, 48 * 60 + 5)


async def test_a_business_clock_keeps_to_the_calendar_of_its_case(client: Client) -> None:
    business = RESOLVED.model_copy(update={"after": timedelta(hours=20), "clock": ClockKind.BUSINESS})
    async with clocked(client, "start resolved", "ask", targets=(business,), calendar=AGENCY) as case:
        await case.waits_for("ask")
        resolved = (await explained(case))["resolved"]
        assert {one.kind for one in resolved.segments} >= {SegmentKind.RAN, SegmentKind.OUT_OF_HOURS}
        assert total(resolved.segments) == timedelta(hours=20)
        assert resolved.due > resolved.since + 2 * DAY
        (shown,) = (await case.view()).clocks
        assert shown.calendar
        assert len(shown.calendar.holidays) < len(AGENCY.holidays)
        (promised,) = told(case, EventKind.PROMISED)
        known = [promised.data[name] for name in ("calendar", "calendar_version", "target_version")]
        assert known == ["agency", 1, 3]


async def test_without_a_calendar_all_time_counts_and_that_is_said(client: Client) -> None:
    business = RESOLVED.model_copy(update={"clock": ClockKind.BUSINESS})
    async with clocked(client, "start resolved", "ask", targets=(business,)) as case:
        await case.waits_for("ask")
        assert (await explained(case))["resolved"].due - (await explained(case))["resolved"].since == 48 * HOUR
        assert "no calendar is known" in " ".join(one.text for one in told(case, EventKind.NOTED))


async def test_the_clocks_of_a_step_go_by_the_hands_it_was_in(client: Client) -> None:
    async with clocked(client, "start resolved ask", "ask", "other") as case:
        await case.waits_for("ask")
        await case.forward(10 * HOUR)
        await case.do("ask")
        await case.waits_for("other")
        (met,) = told(case, EventKind.MET)
        assert hands(met) == {"team:return-leads": 600}


async def test_a_step_without_a_clock_tells_how_late_it_is_and_in_whose_hands_it_was(client: Client) -> None:
    async with clocked(client, "ask") as case:
        due = (await case.waits_for("ask")).steps[0].deadline.due
        await case.forward(due + A_BIT - await case.skipper.get_current_time(case.handle))
        breach = await until_told(case, EventKind.BREACHED)
        assert (breach.data["promised_at"], breach.data["late_minutes"]) == (due.isoformat(), 0)
        assert hands(breach) == {"team:return-leads": 90 * 24 * 60}
        await case.forward(3 * HOUR)
        assert (await explained(case))["ask"].missed == due
        await case.do("ask")
        await case.result()
        (met,) = told(case, EventKind.MET)
        late = int(str(met.data["late_minutes"]))
        assert late in range(180, 183)
        assert met.text.endswith(" late.")
        assert sum(hands(met).values()) - late in {90 * 24 * 60, 90 * 24 * 60 - 1}
        assert len(told(case, EventKind.BREACHED)) == 1
