"""The steps on a real server: whatever arrives, whatever fails, however long it takes, and over continue-as-new."""

import asyncio
import json
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import RawValue
from temporalio.exceptions import CancelledError

from domain.case import CaseEvent, CaseStatus, EventKind
from domain.effects import Receipt, ReceiptState
from domain.ids import part_of
from domain.messages import ClientMessage, Fact, FactKind
from domain.owners import OwnersToday, OwnerToday
from runtime.connect import connect
from runtime.settings import Settings
from runtime.temporal_server import TemporalServer, temporal_server
from tests.agency import eventually
from tests.workflows.steps_case import DUE, NOTE_AFTER
from tests.workflows.steps_stand_in import Running, Vendors, scripted

HOURS_48 = timedelta(hours=48)
A_BIT = timedelta(minutes=1)
OFTEN = {"limit.historyCount.suggestContinueAsNew": 40}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address() -> AsyncGenerator[str]:
    """One server for the module, on which every case continues as new after forty events."""
    async with temporal_server(time_travel=True, dynamic_config=OFTEN) as server:
        yield server.address


@pytest_asyncio.fixture
async def client(address: str) -> Client:
    return await connect(Settings(), address=address)


def fact(kind: FactKind, event_id: str = "e-1", reference: str = "") -> Fact:
    return Fact(event_id=event_id, kind=kind, reference=reference)


# A person's step ------------------------------------------------------------------------------------------------------


async def test_an_answer_ends_the_step_and_the_case(client: Client) -> None:
    async with scripted(client, {}) as case:
        view = await case.waits_for("ask")
        assert (view.steps[0].owner, view.steps[0].deadline.after) == ("team:return-leads", DUE)
        await case.do("ask", note="yes")
        assert (await case.result()).said == ("yes",)
        (closed,) = case.vendors.closed
        assert (closed.status, closed.steps) == (CaseStatus.CLOSED, ())
        assert case.vendors.calls == {"perform": 2, "record_acts": 1}
        await case.replayed()


async def test_an_emergency_is_one_through_its_reminders_escalations_and_whoever_it_is_passed_on_to(
    client: Client,
) -> None:
    async with scripted(client, {"moments": ("ask", "emergency"), "chase_every": HOURS_48}) as case:
        await case.waits_for("ask")
        await case.do("ask")
        await case.waits_for("emergency")
        await case.forward(DUE + A_BIT)
        await case.forward(HOURS_48)
        await case.until(lambda view: bool(view.steps) and view.steps[0].chased == 2)
        moved = OwnersToday(owners=(OwnerToday(step_id="emergency", covered_by="P-9"),)).model_dump(mode="json")
        case.vendors.will("owners", ReceiptState.SENT)
        case.vendors.states["owners"] = [case.vendors.states["owners"][0].model_copy(update={"data": moved})]
        await case.handle.signal("event", fact(FactKind.OWNERS))
        await case.until(lambda view: view.steps[0].owner == "P-9")
        await case.do("emergency")
        await case.result()
        told = {name.rpartition("/")[0]: urgent for name, urgent in case.vendors.urgent.items()}
        assert told.pop("nudge-ask") is False
        assert told == {"nudge-emergency": True, "escalate-emergency": True, "passed-on-emergency": True}
        assert case.vendors.urgent["nudge-emergency/2"]


async def test_a_step_is_chased_until_it_is_done_however_often_the_case_continues(client: Client) -> None:
    async with scripted(client, {"chase_every": HOURS_48}) as case:
        await case.waits_for("ask")
        first_run = case.handle.first_execution_run_id
        await case.forward(DUE - A_BIT)
        assert case.vendors.nudges == [0]
        await case.forward(10 * HOURS_48)
        view = await case.until(lambda view: bool(view.steps) and view.steps[0].chased == 10)
        assert case.vendors.nudges == list(range(11))
        assert view.steps[0].deadline.due - view.steps[0].asked_at == DUE + 10 * HOURS_48
        assert (await case.handle.describe()).run_id != first_run
        await case.do("ask", note="at last")
        assert (await case.result()).said == ("at last",)
        kinds = [event.kind for event in case.vendors.events]
        assert (kinds.count(EventKind.ASKED), kinds.count(EventKind.BREACHED)) == (1, 1)
        assert kinds.count(EventKind.CHASED) == 10
        await case.replayed()


async def test_after_an_outage_one_reminder_goes_out_and_not_one_for_each_it_missed(client: Client) -> None:
    vendors = Vendors()
    async with scripted(client, {"chase_every": timedelta(hours=1)}, vendors) as case:
        await case.waits_for("ask")
        vendors.busy.clear()
        await case.do("ask", good=False)
        await asyncio.sleep(0.2)
        vendors.busy.set()
        await case.until(lambda view: view.refused == 1)
        await case.forward(DUE + timedelta(hours=2, minutes=30))
        assert vendors.nudges == [0, 1, 2, 3]


async def test_a_moved_deadline_is_waited_for_and_says_who_moved_it(client: Client) -> None:
    async with scripted(client, {}) as case:
        view = await case.waits_for("ask")
        due = view.steps[0].deadline.due + timedelta(days=3)
        await case.do("ask", "step.move", due=due.isoformat())
        view = await case.until(lambda view: view.steps[0].deadline.due == due)
        assert "by P-1" in view.steps[0].deadline.why()
        await case.forward(timedelta(days=3, hours=23))
        assert case.vendors.nudges == [0]
        await case.forward(timedelta(hours=2))
        assert case.vendors.nudges == [0, 1]


@pytest.mark.parametrize("late", [False, True])
async def test_a_decision_at_the_moment_of_the_deadline_wins(client: Client, *, late: bool) -> None:
    async with scripted(client, {}) as case:
        view = await case.waits_for("ask")
        case.vendors.busy.clear()
        if not late:
            await case.do("ask", note="in time")
        now = await case.skipper.get_current_time(case.handle)
        forward = asyncio.create_task(case.forward(view.steps[0].deadline.due - now))
        if late:
            await case.do("ask", note="in time")
        case.vendors.busy.set()
        await forward
        assert (await case.result()).said == ("in time",)
        assert case.vendors.nudges in ([0], [0, 1])
        await case.replayed()


async def test_a_result_the_sop_objects_to_is_refused_and_the_step_waits_on(client: Client) -> None:
    async with scripted(client, {}) as case:
        await case.waits_for("ask")
        await case.do("ask", note="refused")
        await case.until(lambda view: view.refused == 1)
        assert [one.problem for one in case.vendors.judged] == ["Not this one."]
        await case.do("ask", note="fine")
        assert (await case.result()).said == ("fine",)


async def test_acts_for_no_open_step_are_refused_and_not_kept(client: Client) -> None:
    async with scripted(client, {}) as case:
        await case.waits_for("ask")
        await case.do("confirm")
        await case.until(lambda view: view.refused == 1)
        await case.do("ask")
        await case.result()


async def test_the_same_steps_twice_have_ids_of_their_own(client: Client) -> None:
    async with scripted(client, {"moments": ("ask", "ask")}) as case:
        await case.waits_for("ask")
        await case.do("ask", note="one")
        await case.waits_for("ask.2")
        await case.do("ask", note="for the first, again")
        await case.until(lambda view: view.refused == 1)
        await case.do("ask.2", note="two")
        assert (await case.result()).said == ("one", "two")


# Floods ---------------------------------------------------------------------------------------------------------------


def nonsense(case_id: str, number: int) -> tuple[str, list[Any]]:
    """A signal no case can read, of each kind in turn."""
    elsewhere = json.dumps({"case_id": "another", "workflow_id": case_id, "step_id": "ask", "kind": "step.done"})
    undecodable = RawValue(Payload(metadata={"encoding": b"unheard/of"}, data=b"\xff\xfe"))
    kinds: list[tuple[str, list[Any]]] = [
        ("act", []),
        ("act", [None]),
        ("act", ["approved", "twice"]),
        ("act", [f"approved {number}"]),
        ("act", [undecodable]),
        ("act", [{"body": elsewhere, "signature": str(number)}]),
        ("act", [{"body": "[" * 5_000, "signature": str(number)}]),
        ("event", [{"event_id": f"e-{number}", "kind": "invented"}]),
        ("event", [{"event_id": f"e-{number}", "kind": "bounced", "reference": "\0"}]),
        ("client_replied", [number]),
        (f"approve-{number}", [{"approved": True}]),
    ]
    return kinds[number % len(kinds)]


async def sent(client: Client, case_id: str, signals: list[tuple[str, list[Any]]]) -> None:
    handle = client.get_workflow_handle(case_id)
    for start in range(0, len(signals), 100):
        batch = signals[start : start + 100]
        await asyncio.gather(*(handle.signal(name, args=args) for name, args in batch))


async def test_two_thousand_signals_nobody_can_read_change_nothing(temporal: TemporalServer) -> None:
    client = await connect(Settings(), address=temporal.address)
    async with scripted(client, {}) as case:
        await case.waits_for("ask")
        await sent(client, case.case_id, [nonsense(case.case_id, number) for number in range(2_000)])
        await case.until(lambda view: view.refused == 2_000)
        assert case.vendors.calls == {"perform": 1}
        await case.do("ask", note="unmoved")
        assert (await case.result()).said == ("unmoved",)
        assert sum(case.vendors.calls.values()) == 3
        assert 0 < len(unreadable(case.vendors)) < 60
        await case.replayed()


async def test_nonsense_is_counted_over_continue_as_new(client: Client) -> None:
    async with scripted(client, {}) as case:
        await case.waits_for("ask")
        for _ in range(10):
            await sent(client, case.case_id, [("approve", [True])] * 12)
        await case.until(lambda view: view.refused == 120)
        await case.do("ask")
        await case.result()
        assert [event.data["times"] for event in unreadable(case.vendors)] == [1, 10, 100]


def unreadable(vendors: Vendors) -> list[CaseEvent]:
    return [event for event in vendors.events if event.kind is EventKind.UNREADABLE]


async def test_two_thousand_forged_acts_cost_few_activities_and_hide_no_good_one(temporal: TemporalServer) -> None:
    client = await connect(Settings(), address=temporal.address)
    async with scripted(client, {}) as case:
        await case.waits_for("ask")
        forged = [("act", [case.act("ask", note=str(number), good=False)]) for number in range(2_000)]
        await sent(client, case.case_id, forged)
        await case.do("ask", note="mine")
        await case.forward(timedelta(minutes=5))
        assert (await case.result()).said == ("mine",)
        assert sum(case.vendors.calls.values()) <= 40


async def test_the_same_event_over_and_over_counts_once(client: Client) -> None:
    async with scripted(client, {}) as case:
        await case.waits_for("ask")
        for _ in range(3):
            await case.handle.signal("event", fact(FactKind.JOINED))
            await case.handle.signal("client_replied", ClientMessage(event_id="m-1"))
        await case.do("ask")
        await case.waits_for(reply := f"reply:{part_of('m-1')}")
        await case.do(reply)
        await case.result()
        joined = [event for event in case.vendors.events if "joined" in event.text]
        assert [event.data["times"] for event in joined] == [1]


async def test_many_joined_mails_are_one_line(client: Client) -> None:
    async with scripted(client, {}) as case:
        await case.waits_for("ask")
        await sent(client, case.case_id, [("event", [fact(FactKind.JOINED, f"e-{n}")]) for n in range(60)])
        await case.do("ask")
        await case.result()
        joined = [event for event in case.vendors.events if "joined" in event.text]
        assert [event.data["times"] for event in joined] == [60]


async def test_a_mail_that_came_back_is_looked_at_beside_the_case_and_before_it_closes(client: Client) -> None:
    async with scripted(client, {}) as case:
        await case.waits_for("ask")
        await sent(client, case.case_id, [("event", [fact(FactKind.BOUNCED, f"b-{n}")]) for n in range(30)])
        view = await case.until(lambda view: len(view.steps) == 6)
        looks = [step.step_id for step in view.steps if step.name == "not-reached"]
        await case.do("ask")
        await case.until(lambda view: len(view.steps) == 5)
        for look in looks:
            await case.do(look, "step.done")
        await case.result()
        assert case.vendors.nudges == [0] * 6


# Effects that fail ----------------------------------------------------------------------------------------------------


async def test_what_failed_is_tried_again_beside_the_case_with_growing_pauses(client: Client) -> None:
    vendors = Vendors()
    vendors.will("letter", *[ReceiptState.FAILED] * 3, ReceiptState.SENT, retry=True)
    async with scripted(client, {"moments": ("send", "ask")}, vendors) as case:
        await case.waits_for("ask")
        await case.forward(timedelta(minutes=1, seconds=30))
        assert vendors.asked.count("letter") == 2
        await case.forward(timedelta(minutes=20))
        view = await case.until(lambda view: not view.broken)
        assert (vendors.asked.count("letter"), len(view.steps)) == (4, 1)
        await case.do("ask")
        await case.result()
        await case.replayed()


async def test_what_keeps_failing_is_a_persons_and_the_case_closes_after_it(client: Client) -> None:
    vendors = Vendors()
    vendors.will("last", ReceiptState.FAILED, retry=False, code="mailbox-gone")
    async with scripted(client, {"last": ("last",)}, vendors) as case:
        await case.waits_for("ask")
        await case.do("ask")
        view = await case.waits_for("could-not")
        (step,) = view.steps
        assert step.waiting_for.endswith("(mailbox-gone)")
        assert step.kinds == ("step.done", "step.resend", "step.waive")
        assert step.reference.endswith("/last/1")
        assert vendors.closed == []
        await case.do(step.step_id, "step.resend")
        again = await case.until(lambda view: bool(view.steps) and view.steps[0].step_id != step.step_id)
        vendors.will("last", ReceiptState.ABANDONED)
        await case.do(again.steps[0].step_id, "step.waive")
        await case.result()
        assert [one.status for one in vendors.closed] == [CaseStatus.CLOSED]


async def test_what_is_held_goes_out_as_soon_as_sending_is_switched_on(client: Client) -> None:
    vendors = Vendors()
    vendors.will("letter", ReceiptState.HELD, ReceiptState.SENT)
    async with scripted(client, {"moments": ("send", "ask")}, vendors) as case:
        await case.waits_for("ask")
        await case.until(lambda view: len(view.broken) == 1)
        await case.handle.signal("event", fact(FactKind.RESUMED))
        await case.until(lambda view: not view.broken)
        assert vendors.asked.count("letter") == 2
        await case.do("ask")
        await case.result()


async def test_what_was_held_while_sending_was_switched_on_is_not_left_to_wait(client: Client) -> None:
    vendors = Vendors()
    vendors.will("letter", ReceiptState.HELD, ReceiptState.SENT)
    vendors.busy.clear()
    async with scripted(client, {"moments": ("send", "ask")}, vendors) as case:
        await case.until(lambda view: view.doing == "send")
        await case.handle.signal("event", fact(FactKind.RESUMED))
        await case.until(lambda view: view.version > 0)
        vendors.busy.set()
        view = await case.waits_for("ask")
        assert (view.broken, vendors.asked.count("letter")) == ((), 2)
        await case.do("ask")
        await case.result()


async def test_what_comes_after_another_goes_after_it(client: Client) -> None:
    vendors = Vendors()
    vendors.will("first", ReceiptState.FAILED, ReceiptState.FAILED, ReceiptState.SENT, retry=True)
    vendors.will("second", ReceiptState.SKIPPED, ReceiptState.SENT)
    async with scripted(client, {"moments": ("pair", "ask")}, vendors) as case:
        await case.waits_for("ask")
        await case.forward(timedelta(minutes=2))
        assert [one for one in vendors.asked if one in {"first", "second"}] == ["first", "second", "first"]
        await case.forward(timedelta(minutes=6))
        await case.until(lambda view: not view.broken)
        assert [one for one in vendors.asked if one in {"first", "second"}][-2:] == ["first", "second"]


async def test_reminders_that_were_overtaken_are_not_sent_late(client: Client) -> None:
    vendors = Vendors()
    vendors.will("nudge-ask", ReceiptState.HELD)
    async with scripted(client, {"chase_every": timedelta(hours=5)}, vendors) as case:
        await case.waits_for("ask")
        await case.forward(DUE + timedelta(hours=16))
        view = await case.until(lambda view: len(view.broken) == 1)
        assert view.broken[0].endswith("/4")
        vendors.will("nudge-ask", ReceiptState.SENT)
        vendors.nudges.clear()
        await case.handle.signal("event", fact(FactKind.RESUMED))
        await case.until(lambda view: not view.broken)
        assert vendors.nudges == [4]
        await case.do("ask")
        await case.result()


async def test_a_broken_reminder_of_a_step_that_is_done_keeps_nothing_open(client: Client) -> None:
    vendors = Vendors()
    vendors.will("nudge-ask", ReceiptState.FAILED, retry=True)
    async with scripted(client, {}, vendors) as case:
        await case.waits_for("ask")
        await case.until(lambda view: len(view.broken) == 1)
        await case.do("ask")
        await case.result()
        assert vendors.asked.count("nudge-ask") == 1


# What a case can't go on without --------------------------------------------------------------------------------------


async def test_a_held_grant_is_tried_every_six_hours_however_often_the_case_continues(client: Client) -> None:
    vendors = Vendors()
    vendors.will("answer-client", ReceiptState.HELD)
    async with scripted(client, {"moments": ("grant",)}, vendors) as case:
        await case.until(lambda view: view.doing == "grant")
        await case.forward(timedelta(hours=6 * 20 + 1))
        assert vendors.calls["grant"] == 21
        vendors.will("answer-client", ReceiptState.SENT)
        await case.handle.signal("event", fact(FactKind.RESUMED))
        assert (await case.result()).said == ("sent",)
        assert vendors.calls["grant"] == 22


@pytest.mark.parametrize(("moment", "effect"), [("grant", "answer-client"), ("read", "read-notes")])
async def test_after_four_pauses_a_person_is_asked_and_never_to_waive(client: Client, moment: str, effect: str) -> None:
    vendors = Vendors()
    vendors.will(effect, *[ReceiptState.FAILED] * 6, ReceiptState.SENT, retry=True)
    async with scripted(client, {"moments": (moment,)}, vendors) as case:
        await case.until(lambda view: view.doing == moment)
        await case.forward(timedelta(minutes=1 + 5 + 15 + 60, seconds=30))
        (step,) = (await case.waits_for("could-not")).steps
        assert (vendors.asked.count(effect), step.kinds) == (5, ("step.done", "step.resend"))
        await case.do(step.step_id, "step.resend")
        await case.until(lambda view: not view.steps)
        await case.forward(timedelta(minutes=2))
        assert (await case.result()).said == ("sent",)
        await case.replayed()


@pytest.mark.parametrize("state", [ReceiptState.NEEDS_APPROVAL, ReceiptState.REFUSED])
async def test_what_the_gate_stops_comes_back_at_once(client: Client, state: ReceiptState) -> None:
    vendors = Vendors()
    vendors.will("answer-client", state, code="above-the-limit")
    async with scripted(client, {"moments": ("grant",)}, vendors) as case:
        assert (await case.result()).said == ("above-the-limit",)
        assert vendors.calls["grant"] == 1


async def test_what_may_have_been_credited_is_found_out_before_the_gates_refusal_of_another_counts(
    client: Client,
) -> None:
    """The wait of a grant for a note in doubt: first by itself, then a person says; nothing is decided anew before."""
    vendors = Vendors()
    vendors.will("one", ReceiptState.REFUSED, code="amount-above-signed")
    vendors.will("two", ReceiptState.FAILED, ReceiptState.UNKNOWN, ReceiptState.SENT, code="timeout")
    vendors.states["two"][0] = vendors.states["two"][0].model_copy(update={"retry": True})
    async with scripted(client, {"moments": ("notes",)}, vendors) as case:
        await case.until(lambda view: view.doing == "credit")
        await case.forward(timedelta(minutes=1, seconds=5))
        (step,) = (await case.waits_for("could-not")).steps
        assert (vendors.calls["grant"], step.reference) == (2, f"{case.case_id}/two/1")
        await case.do(step.step_id, "step.resend")
        assert (await case.result()).said == ("amount-above-signed", "sent")
        assert vendors.calls["grant"] == 3
        await case.replayed()


async def test_a_note_goes_out_when_its_time_comes_and_only_then(client: Client) -> None:
    async with scripted(client, {"moments": ("note",)}) as case:
        await case.until(lambda view: view.doing == "starting")
        await case.forward(NOTE_AFTER - A_BIT)
        assert case.vendors.asked == []
        await case.forward(2 * A_BIT)
        await case.result()
        assert case.vendors.asked == ["note"]


# The end --------------------------------------------------------------------------------------------------------------


async def test_what_arrives_while_a_case_closes_is_refused_or_looked_at(client: Client) -> None:
    vendors = Vendors()
    async with scripted(client, {}, vendors) as case:
        await case.waits_for("ask")
        vendors.may_close.clear()
        await case.do("ask")
        await case.until(lambda view: view.doing == "closing")
        await case.do("confirm", note="too late")
        await case.handle.signal("event", fact(FactKind.BOUNCED, "b-1"))
        vendors.may_close.set()
        (look,) = (await case.waits_for("not-reached")).steps
        await case.do(look.step_id)
        await case.result()
        assert refused_steps(vendors) == ["confirm"]
        assert vendors.closed[-1].steps == ()


async def test_an_act_that_arrives_while_a_case_closes_is_refused_before_it_ends(client: Client) -> None:
    vendors = Vendors()
    async with scripted(client, {}, vendors) as case:
        await case.waits_for("ask")
        vendors.may_close.clear()
        await case.do("ask")
        await case.until(lambda view: view.doing == "closing")
        await case.do("confirm", note="too late")
        vendors.may_close.set()
        await case.result()
        assert refused_steps(vendors) == ["confirm"]
        assert [one.refused for one in vendors.closed] == [0, 1]


def refused_steps(vendors: Vendors) -> list[str]:
    steps = [str(json.loads(one.act.body)["step_id"]) for one in vendors.judged]
    return [step for step in steps if step != "ask" and not step.startswith("not-reached")]


@pytest.mark.parametrize("script", [{}, {"moments": ("send", "ask")}, {"moments": ("grant",)}])
async def test_a_cancelled_case_closes_its_steps_and_says_so(client: Client, script: dict[str, Any]) -> None:
    vendors = Vendors()
    vendors.will("letter", ReceiptState.HELD)
    vendors.will("answer-client", ReceiptState.HELD)
    async with scripted(client, script, vendors) as case:
        await case.until(lambda view: bool(view.steps) or view.doing == "grant")
        await case.handle.signal("act", case.act("nothing", good=False))
        await case.handle.cancel()
        with pytest.raises(WorkflowFailureError) as caught:
            await case.result()
        assert isinstance(caught.value.cause, CancelledError)
        assert [(one.status, one.steps) for one in vendors.closed] == [(CaseStatus.CANCELLED, ())]
        assert any("cancelled by a person" in event.text for event in vendors.events)
        assert set(refused_steps(vendors)) == {"nothing"}
        await case.replayed()


# Whose a step is ------------------------------------------------------------------------------------------------------
def found(covered_by: str) -> Receipt:
    """What is read: who covers for the owner of the step `ask` today."""
    owners = OwnersToday(owners=(OwnerToday(step_id="ask", covered_by=covered_by),))
    return Receipt(key="", kind="", clause="", state=ReceiptState.SENT, data=owners.model_dump(mode="json"))


async def test_what_follows_for_the_sop_is_done_with_whoever_has_the_step_now(client: Client) -> None:
    async with scripted(client, {}) as case:
        case.vendors.states["owners"] = [found("P-2")]
        await case.waits_for("ask")
        await case.handle.signal("event", fact(FactKind.OWNERS))
        view = await case.until(lambda view: view.steps[0].owner == "P-2")
        assert (view.steps[0].belongs_to, view.steps[0].covered_by) == ("team:return-leads", "P-2")
        await case.do("ask")
        await case.result()
        assert case.vendors.asked[1:4] == ["owners", "passed-on-ask", "assignees-of-P-2"]
        assert any("P-2 covers for team:return-leads." in one.text for one in case.vendors.events)
        await case.replayed()


async def test_facts_that_come_while_it_is_looked_up_are_looked_up_once_more_together(client: Client) -> None:
    async with scripted(client, {}) as case:
        await case.waits_for("ask")
        await case.until(lambda _: case.vendors.calls["perform"] == 1)
        case.vendors.busy.clear()
        await case.handle.signal("event", fact(FactKind.OWNERS, "e-1"))
        await eventually(lambda: _is_busy(case), "nothing is looked up")
        for event in ("e-2", "e-3", "e-4", "e-2"):
            await case.handle.signal("event", fact(FactKind.OWNERS, event, "ask no-such-step"))
        case.vendors.busy.set()
        await case.until(lambda _: "passed-on-ask" in case.vendors.asked)
        await case.do("ask")
        await case.result()
        assert case.vendors.asked.count("owners") == 2
        assert case.vendors.asked.count("passed-on-ask") == 1
        await case.replayed()


async def test_whose_a_step_is_goes_on_over_continue_as_new(client: Client) -> None:
    async with scripted(client, {}) as case:
        case.vendors.states["owners"] = [found("P-2")]
        await case.waits_for("ask")
        first = (await case.handle.describe()).run_id
        for number in range(30):
            await case.handle.signal("event", fact(FactKind.OWNERS, f"e-{number}"))

        async def another() -> bool:
            return (await case.handle.describe()).run_id != first

        await eventually(another, "the case did not continue as new")
        view = await case.until(lambda view: bool(view.steps) and view.steps[0].owner == "P-2")
        assert view.steps[0].belongs_to == "team:return-leads"
        await case.do("ask")
        await case.result()
        await case.replayed()


async def _is_busy(case: Running) -> bool:
    return bool((await case.handle.describe()).raw_description.pending_activities)


async def test_a_case_in_which_nobody_is_waited_for_looks_nothing_up(client: Client) -> None:
    async with scripted(client, {"moments": ("note",)}) as case:
        await case.until(lambda view: not view.steps)
        await case.handle.signal("event", fact(FactKind.OWNERS))
        await case.forward(NOTE_AFTER + timedelta(hours=1))
        await case.result()
        assert "owners" not in case.vendors.asked
