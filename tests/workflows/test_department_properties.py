"""What holds for every department request, in whatever order things happen: real workflow code on a real server.

A script is up to a dozen moves of everybody around a request. After each of them, once nothing is in flight any more,
the request is looked at; at the end everything outside works again, everybody does what is theirs, and it closes.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from temporalio.client import Client
from temporalio.service import RPCError

from domain.case import CaseView, Deadline, EventKind, OpenStep
from domain.department_request import Estimate
from domain.effects import ReceiptState
from domain.messages import ActKind, FactKind
from domain.rules.clock import Cause, PauseRule, Target
from domain.rules.running_clock import meet
from runtime.connect import connect
from runtime.settings import Settings
from runtime.temporal_server import temporal_server
from tests.workflows.department_stand_in import PEOPLE, Asked, Town, ask, working

OFTEN = {"limit.historyCount.suggestContinueAsNew": 60}
SKEW = timedelta(seconds=20)  # between the case's time, which is read first, and its view
STEPS = ("process", "follow-up", "estimate", "could-not", "assign-by-hand", "reply")
MOVEMENTS = ("away", "back", "others", "left")
ROUNDS = 40
DAY = timedelta(days=1)
MAY_BE_LEFT = {"read-task", "resolve-owners", "nudge", "tell"}  # nobody is told any more once it is done

PAUSES = tuple(
    PauseRule(cause=cause, longest=timedelta(days=3), follow_up=DAY) for cause in (Cause.CLIENT, Cause.THIRD_PARTY)
)
RESOLVED = Target(name="resolved", clause="CR-5.8", after=timedelta(hours=48), pauses=PAUSES, version=3)

Move = tuple[str, ...]
moves: SearchStrategy[Move] = st.one_of(
    st.tuples(st.just("time"), st.sampled_from(["0.1", "1", "11", "24", "36", "48", "97"])),
    st.tuples(st.just("act"), st.sampled_from(STEPS), st.sampled_from(["good", "forged", "another's"])),
    st.tuples(st.just("owner"), st.sampled_from(STEPS), st.sampled_from(["claim", "release", "move", "sooner"])),
    st.tuples(st.just("teamwork"), st.sampled_from(["complete", "delete", "note", "estimate"])),
    st.tuples(st.just("ticket"), st.sampled_from(["client", "third-party", ""])),
    st.tuples(st.just("hint")),
    st.tuples(st.just("writes")),
    st.tuples(
        st.just("vendor"), st.sampled_from(["board", "desk", "post"]), st.sampled_from(["down", "refuses", "lost", ""])
    ),
    st.tuples(st.just("outbound"), st.sampled_from(["off", "on"])),
    st.tuples(
        st.just("people"), st.sampled_from([*PEOPLE.values()]), st.sampled_from(["away", "back", "others", "left"])
    ),
)
asks = st.fixed_dictionaries(
    {
        "targets": st.sampled_from([(), (RESOLVED,)]),
        "unsure": st.booleans(),
        "ticket_id": st.sampled_from(["", "77"]),
        "due_after": st.sampled_from([timedelta(hours=48), timedelta(days=10)]),
        "unknown_to_board": st.sampled_from([(), ("cleo",)]),
        "down": st.sampled_from(["", "", "", "board", "desk", "post"]),  # as it is opened
    }
)
PLAIN: dict[str, Any] = {"due_after": timedelta(hours=48)}
KNOWN: tuple[tuple[dict[str, Any], list[Move]], ...] = (
    (PLAIN, [("time", "36"), ("teamwork", "complete"), ("time", "24")]),  # nobody told of it
    (PLAIN, [("time", "36"), ("act", "follow-up", "good"), ("teamwork", "complete"), ("time", "36")]),
    ({**PLAIN, "down": "post"}, [("act", "process", "good"), ("vendor", "post", ""), ("time", "1")]),
    ({**PLAIN, "unsure": True}, [("time", "36"), ("teamwork", "estimate"), ("hint",), ("time", "48"), ("time", "97")]),
    ({**PLAIN, "targets": (RESOLVED,)}, [("time", "1"), ("ticket", "client"), ("time", "97"), ("ticket", "")]),
    ({**PLAIN, "targets": (RESOLVED,)}, [("ticket", "third-party"), ("time", "24"), ("ticket", ""), ("time", "97")]),
    (
        PLAIN,
        [("owner", "process", "claim"), ("people", "barb", "left"), ("owner", "process", "sooner"), ("time", "48")],
    ),
    (PLAIN, [("writes",), ("teamwork", "complete"), ("hint",), ("people", "cleo", "away"), ("time", "97")]),
    (PLAIN, [("vendor", "board", "refuses"), ("hint",), ("time", "48"), ("vendor", "board", ""), ("time", "24")]),
)
"""What every one of these promises may be broken by, whatever Hypothesis comes upon."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address() -> AsyncGenerator[str]:
    """One server for the module, on which every case continues as new after sixty events."""
    async with temporal_server(time_travel=True, dynamic_config=OFTEN) as server:
        yield server.address


@pytest.fixture
async def client(address: str) -> Client:
    return await connect(Settings(), address=address)


@dataclass
class Play:
    """One script on one request, and what was seen of it after each move."""

    case: Asked
    seen: dict[str, Deadline] = field(default_factory=dict[str, Deadline])
    promised: dict[str, datetime] = field(default_factory=dict[str, datetime])
    told: dict[str, int] = field(default_factory=dict[str, int])

    async def make(self, move: Move) -> bool:
        """One move, and a look at what became of it. False once the case is closed."""
        try:
            await self.do(move)
        except RPCError as error:
            if "already completed" not in str(error):
                raise
        is_open = await self.case.settled()
        if is_open:
            await self.look()
        assert self.case.world.wrong == []
        return is_open

    async def do(self, move: Move) -> None:  # noqa: C901  one line a kind of move
        case, world = self.case, self.case.world
        match move:
            case ("time", hours):
                await case.forward(timedelta(hours=float(hours)))
            case ("act", name, how):
                await self.acts(name, how)
            case ("owner", name, what):
                await self.owns(name, what)
            case ("teamwork", what):
                self.in_teamwork(what)
            case ("ticket", waits_for):
                world.changes(waits_for=Cause(waits_for) if waits_for else None)
                await case.tell(FactKind.TASK, "ticket")
            case ("hint",):
                await case.tell(FactKind.TASK, "task")
            case ("writes",):
                await case.writes()
            case ("vendor", name, how):
                world.vendors[name] = how
            case ("outbound", turned):
                world.outbound = turned == "on"
                if world.outbound:
                    await case.tell(FactKind.RESUMED)
            case ("people", person, how):
                world.away = world.away | {person} if how == "away" else world.away - {person}
                world.left = world.left | {person} if how == "left" else world.left
                steps = [one.step_id for one in (await case.view()).steps] if how == "others" else []
                await case.tell(FactKind.OWNERS, " ".join(steps))
            case _:
                raise AssertionError(move)

    def in_teamwork(self, what: str) -> None:
        task = self.case.world.task
        match what:
            case "complete":
                self.case.world.changes(completed=True, completed_by="barb")
            case "delete":
                self.case.world.changes(deleted=True)
            case "note":
                self.case.world.changes(noted=task.noted + 1 if task else 0)
            case _:
                self.case.world.changes(estimate=Estimate(hours=200))

    async def acts(self, name: str, how: str) -> None:
        """A step that is not open gets a stray one."""
        step = await self.open(name)
        if step and how == "good":
            await self.case.ends(step)
        else:
            by = "nobody" if how == "another's" else "barb"
            await self.case.act(step.step_id if step else name, "request.done", by, good=how != "forged")

    async def owns(self, name: str, what: str) -> None:
        if step := await self.open(name):
            by = {"move": timedelta(hours=30), "sooner": -timedelta(hours=1)}.get(what)
            due: dict[str, Any] = {"due": (step.deadline.due + by).isoformat()} if by else {}
            kind = ActKind.MOVE if by else ActKind(f"step.{what}")
            await self.case.act(step.step_id, kind.value, PEOPLE[step.role.partition("/")[0]], {}, **due)

    async def open(self, name: str) -> OpenStep | None:
        return next((one for one in (await self.case.view()).steps if one.name == name), None)

    async def look(self) -> None:
        now, view, written = await self.shown()
        clock = await self.case.clock()
        assert dues(view) == dues(written), "the tables say otherwise"
        assert view.doing or view.steps
        for step in view.steps:
            assert step.owner
            assert step.waiting_for
            assert step.deadline.due > now - SKEW, (
                f"{step.step_id} was due at {step.deadline.due}, and nothing happened"
            )
        waits = [one.due for one in clock.values() if one.due > now - SKEW]
        assert waits, "nothing is ever going to happen"
        self.notes_are_owed(view)
        self.openly_moved(view)
        openly = {*(step.step_id for step in view.steps), *(one.clock_id for one in view.clocks)}
        for name, one in clock.items():
            if one.label != "trying again" and name not in openly:
                assert self.promised.setdefault(name, one.due) == one.due, f"{name} was moved silently"

    async def shown(self, *, again: bool = True) -> tuple[datetime, CaseView, CaseView]:
        """The case and its tables at one moment: what went on between the two looks is looked at once more."""
        now, view, world = await self.case.now(), await self.case.view(), self.case.world
        assert world.written is not None
        written = as_sent(world.written, world.settled)
        if dues(view) == dues(written) or not again:
            return now, view, written
        await self.case.settled()
        return await self.shown(again=False)

    def notes_are_owed(self, view: CaseView) -> None:
        """Until it is known to be done, the CSS's next note is promised within 48 hours of what came before (ID-8)."""
        if self.case.world.known:
            return
        owed = [one for one in view.clocks if one.runs and one.target.clause == "ID-8" and not one.pauses]
        assert owed, "no note is owed"
        assert all(one.due - one.since <= timedelta(hours=48) for one in owed)

    def openly_moved(self, view: CaseView) -> None:
        """A due date that is another one than before says so itself, or is that of the next reminder."""
        for step in view.steps:
            before, after = self.seen.get(step.step_id), step.deadline
            if before and before.due != after.due and len(after.moved) <= len(before.moved):
                assert before.label != after.label, f"{step.step_id} was moved silently"
                reminded = [one for one in self.case.world.events if one.kind is EventKind.CHASED]
                assert any(one.step_id == step.step_id for one in reminded)
            self.seen[step.step_id] = after
        self.changed_openly(view)

    def changed_openly(self, view: CaseView) -> None:
        """A promise that is due at another moment than before stood still, or ran again, on record: until it is met,
        which ends whatever it stands still for.
        """
        for clock in (one for one in view.clocks if one.runs):
            told = sum(
                one.kind in {EventKind.PAUSED, EventKind.RAN_AGAIN} and one.data["clock"] == clock.clock_id
                for one in self.case.world.events
            )
            before = self.promised.setdefault(clock.clock_id, clock.due)
            openly = told > self.told.get(clock.clock_id, 0)
            assert before == clock.due or openly, f"{clock.clock_id} was changed silently"
            self.promised[clock.clock_id], self.told[clock.clock_id] = clock.due, told

    async def finish(self) -> None:
        """Everything works again, and everybody does what is theirs."""
        world = self.case.world
        world.vendors.clear()
        if not await self.make(("outbound", "on")) or not await self.make(("time", "2")):
            return
        for _ in range(ROUNDS):
            steps = (await self.case.view()).steps if await self.case.settled() else ()
            wanted = [one for one in steps if one.name != "process"] or list(steps)
            move: Move = ("act", wanted[0].name, "good") if wanted else ("time", "24")
            if not await self.make(move):
                return
        raise AssertionError(f"it never closed: {await self.case.view()}")

    def ledger(self) -> None:
        """Everything once, in its order, and nothing left undone."""
        world = self.case.world
        kinds = [world.effects[key].kind for key in world.order]
        assert len(world.order) == len(set(world.order))
        for first, second in (("assign-task", "comment-task"), ("comment-task", "tell")):
            if first in kinds and second in kinds:
                assert kinds.index(first) < kinds.index(second)
        left = [key for key, one in world.effects.items() if key not in world.settled and one.kind not in MAY_BE_LEFT]
        assert [key for key in left if "/ask-estimate/" not in key] == []
        assert len(world.closed) == 1
        assert (world.closed[0].steps, world.closed[0].broken) == ((), ())
        chases = [(one.step_id, one.chase) for one in world.reminders() if not one.role and not one.passed_on]
        assert len(chases) == len(set(chases))


def dues(view: CaseView) -> dict[str, datetime]:
    """By when each step and each promise is due."""
    steps = {step.step_id: step.deadline.due for step in view.steps}
    runs = {clock.clock_id: clock.due for clock in view.clocks if clock.runs}
    return steps | runs


def as_sent(view: CaseView, settled: Mapping[str, ReceiptState]) -> CaseView:
    """As whoever reads the tables sees it: what was sent keeps the promises that it is named by."""
    sent = {key for key, state in settled.items() if state is ReceiptState.SENT}
    kept = [meet(one, one.since) if one.met_by and sent.issuperset(one.met_by) else one for one in view.clocks]
    return view.model_copy(update={"clocks": tuple(kept)})


async def play(client: Client, town: Town, queue: str, given: dict[str, Any], script: list[Move]) -> None:
    case = await ask(client, town, queue, **given)
    played = Play(case)
    try:
        await case.settled()
        for move in script:
            if not await played.make(move):
                break
        else:
            await played.finish()
        ended = await case.result()
        assert ended.status in {"done", "done-in-teamwork", "task-deleted"}
        assert case.world.wrong == []
        played.ledger()
    except Exception as error:
        error.add_note(f"{given} {script}")
        raise
    finally:
        if await case.settled():
            await case.handle.terminate()
        town.worlds.pop(case.handle.id)


Example = Callable[[dict[str, Any], list[Move]], Coroutine[Any, Any, None]]


async def holds(client: Client, times: int, *phases: Phase) -> None:
    """Hypothesis is not asynchronous: it asks from a thread of its own."""
    town, queue, loop = Town(), f"property-{token_hex(4)}", asyncio.get_running_loop()

    @settings(
        max_examples=times,
        derandomize=times <= 100,  # the same examples each time; the long target looks for new ones
        deadline=None,
        phases=phases,
        database=None,
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
    )
    @given(asks, st.lists(moves, min_size=3, max_size=12))
    def drawn(given: dict[str, Any], script: list[Move]) -> None:
        asyncio.run_coroutine_threadsafe(play(client, town, queue, dict(given), script), loop).result()

    async with working(client, town, queue):
        for asked, script in KNOWN:
            await play(client, town, queue, dict(asked), script)
        await asyncio.to_thread(drawn)


@pytest.mark.slow
async def test_whatever_happens_a_request_is_somebody_s_nudges_nobody_too_late_and_closes(client: Client) -> None:
    await holds(client, 30, Phase.generate)


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_whatever_happens_very_often(client: Client) -> None:
    await holds(client, 1_500, Phase.generate, Phase.shrink)
