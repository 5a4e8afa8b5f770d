"""A department, its board and its people in memory: what they were asked and told, and when it was wrong to."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any, cast

from temporalio import activity
from temporalio.client import Client
from temporalio.testing import TimeSkipper, TimeSkippingConfig
from temporalio.worker import Worker

from domain.acts import ActAnswer, Candidate, RecordActs
from domain.case import CaseEvent, CaseView, OpenStep
from domain.department_request import DepartmentAsk, Estimate, RequestOutcome, TaskSeen
from domain.effects import Effect, Nudge, ReadTask, Receipt, ReceiptState, ResolveOwners, Stage, StageDone
from domain.explained import Explained
from domain.messages import ActKind, ClientMessage, Fact, FactKind, SignedAct
from domain.owners import OwnersToday, OwnerToday, StepOwner
from tests.workflows.steps_stand_in import WITHIN
from workflows.base import CaseWorkflow
from workflows.department_request import DepartmentRequest

PEOPLE = {"department:ppc": "barb", "manager:ppc": "pete", "role:css": "cleo"}
STAND_IN = "sam"
BOARD, DESK, POST = "board", "desk", "post"
VENDORS = {
    "assign-task": BOARD,
    "comment-task": BOARD,
    "complete-task": BOARD,
    "read-task": BOARD,
    "follow-ticket": DESK,
    "note-ticket": DESK,
    "tell": POST,
    "nudge": POST,
}
READS = (ReadTask, ResolveOwners)
ENDS = {
    "process": ActKind.PROCESSED,
    "estimate": ActKind.ESTIMATED,
    "follow-up": ActKind.DONE,
    "could-not": ActKind.RESEND,
    "assign-by-hand": ActKind.DONE,
    "reply": ActKind.DONE,
}
STATES = {"down": ReceiptState.FAILED, "refuses": ReceiptState.FAILED, "lost": ReceiptState.UNKNOWN}


@dataclass
class World:
    """What is so outside of one case. `wrong` is what should not have been asked of it."""

    task: TaskSeen | None = None
    said_done: bool = False  # a good act that says so is on its way
    was_read_over: bool = False
    vendors: dict[str, str] = field(default_factory=dict[str, str])  # down, refuses (for good), lost (may be done)
    outbound: bool = True
    away: set[str] = field(default_factory=set[str])
    left: set[str] = field(default_factory=set[str])  # for good: the stand-in has what they had
    unknown_to_board: tuple[str, ...] = ()
    effects: dict[str, Effect] = field(default_factory=dict[str, Effect])
    settled: dict[str, ReceiptState] = field(default_factory=dict[str, ReceiptState])
    tried: set[str] = field(default_factory=set[str])  # what was not sent when it was first asked for
    order: list[str] = field(default_factory=list[str])  # keys, as they were sent
    nudges: list[Nudge] = field(default_factory=list[Nudge])
    events: list[CaseEvent] = field(default_factory=list[CaseEvent])
    wrong: list[str] = field(default_factory=list[str])
    written: CaseView | None = None  # as the tables have it
    closed: list[CaseView] = field(default_factory=list[CaseView])
    calls: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)  # set: whoever is asked answers

    def __post_init__(self) -> None:
        self.gate.set()

    @property
    def over(self) -> bool:
        return self.said_done or bool(self.task and (self.task.completed or self.task.deleted))

    @property
    def known(self) -> bool:
        """Whether the case has heard of it: what nobody told it of is found out before anybody is reminded."""
        return self.said_done or self.was_read_over

    def write(self, view: CaseView) -> None:
        """As the tables do: an older view never overwrites a newer one."""
        if self.written is None or view.version > self.written.version:
            self.written = view

    def sent(self, kind: str) -> list[Effect]:
        """What was sent of a kind, in order."""
        return [self.effects[key] for key in self.order if self.effects[key].kind == kind]

    def reminders(self, step: str = "") -> list[Nudge]:
        return [one for one in self.nudges if one.chase and one.step_id.startswith(step)]

    def changes(self, **what: Any) -> None:
        """Something happens in Teamwork itself; nothing does to a task that is not there."""
        if self.task:
            self.task = self.task.model_copy(update=what)

    def carry_out(self, effect: Effect) -> Receipt:
        def answer(state: ReceiptState, code: str = "", **more: Any) -> Receipt:
            return Receipt(key=effect.key, kind=effect.kind, clause=effect.clause, state=state, code=code, **more)

        self._check_key(effect)
        if effect.key in self.settled and not isinstance(effect, READS):
            return answer(self.settled[effect.key])
        how = self.vendors.get(VENDORS.get(effect.kind, ""), "")
        if how or not self.outbound:
            self.tried.add(effect.key)
        if not self.outbound and not isinstance(effect, READS):
            return answer(ReceiptState.HELD, "outbound-off")
        if how:
            return answer(STATES[how], how, retry=how == "down")
        if effect.after and effect.after not in self.settled:
            return answer(ReceiptState.SKIPPED, "after")
        if effect.kind == "comment-task" and self.task is None:
            return answer(ReceiptState.FAILED, "no-task-yet", retry=True)
        return answer(ReceiptState.SENT, data=self._do(effect))

    def _check_key(self, effect: Effect) -> None:
        before = self.effects.setdefault(effect.key, effect)
        if not isinstance(effect, READS) and before != effect.model_copy(update={"after": before.after}):
            self.wrong.append(f"{effect.key} is the key of two effects")

    def _do(self, effect: Effect) -> dict[str, Any]:
        if isinstance(effect, ReadTask):
            self.was_read_over |= self.over
            return (self.task or TaskSeen()).model_dump(mode="json")
        if isinstance(effect, ResolveOwners):
            owners = tuple(map(self._owner, effect.steps))
            return OwnersToday(owners=owners).model_dump(mode="json")
        self.settled[effect.key] = ReceiptState.SENT
        self.order.append(effect.key)
        if isinstance(effect, Nudge):
            self._nudged(effect)
        if effect.kind == "tell" and self.known:
            self.wrong.append(f"{effect.key}: told of what is done")
        if effect.kind == "assign-task":
            self.task = self.task or TaskSeen()
            return {"task_id": "1", "url": "", "missing": list(self.unknown_to_board)}
        if effect.kind == "complete-task":
            self.changes(completed=True)
        return {}

    def _nudged(self, nudge: Nudge) -> None:
        self.nudges.append(nudge)
        late = (nudge.chase and not nudge.why) or nudge.passed_on or nudge.key in self.tried
        looked = late and not self.vendors.get(BOARD)
        known = self.over if looked else self.known
        if known and not nudge.step_id.startswith(("could-not", "reply")):  # these are owed all the same
            self.wrong.append(f"{nudge.key}: somebody was nudged after it was done")

    def _owner(self, step: StepOwner) -> OwnerToday:
        usual = step.claimed_by or PEOPLE.get(step.role.partition("/")[0], "")
        if step.claimed_by in self.left:
            return OwnerToday(step_id=step.step_id, reassigned_to=STAND_IN)
        return OwnerToday(
            step_id=step.step_id,
            claimed_by=step.claimed_by,
            reassigned_to=step.reassigned_to,
            covered_by=STAND_IN if usual in self.away else "",
        )

    def judge(self, request: RecordActs) -> ActAnswer:
        """As the activity judges: the first good act of whoever the step belongs to."""
        for index, one in enumerate(request.candidates):
            said = json.loads(one.act.body)
            if request.step_id and not one.problem and one.act.signature == "good" and self._may(request, said):
                return self._accepted(request, index, one, said)
        return ActAnswer(refused=len(request.candidates))

    def _may(self, request: RecordActs, said: dict[str, Any]) -> bool:
        own = PEOPLE.get(request.role.partition("/")[0], "")
        kinds = (*request.kinds, "step.claim", "step.release", "step.move")
        return said["step_id"] == request.step_id and said["kind"] in kinds and said["by"] in {own, STAND_IN}

    def _accepted(self, request: RecordActs, index: int, one: Candidate, said: dict[str, Any]) -> ActAnswer:
        if [one for one in one.then if getattr(one, "step_id", request.step_id) not in {"", request.step_id}]:
            self.wrong.append(f"{request.step_id}: what follows takes its words from another step")
        claimed = {"step.claim": said["by"], "step.release": ""}.get(said["kind"], request.claimed_by)
        if request.reference and said["kind"] in {"step.done", "step.waive"}:
            self.settled[request.reference] = ReceiptState.ABANDONED
        return ActAnswer(
            accepted=index,
            kind=said["kind"],
            by=said["by"],
            refused=len(request.candidates) - 1,
            receipts=tuple(map(self.carry_out, one.then)),
            claimed_by=claimed,
            due=datetime.fromisoformat(said["due"]) if said["kind"] == "step.move" else None,
        )


@dataclass
class Town:
    """The activities of all cases, each with a world of its own."""

    worlds: dict[str, World] = field(default_factory=dict[str, World])

    @activity.defn(name="perform")
    async def perform(self, stage: Stage) -> StageDone:
        world = self.worlds[stage.view.case_id]
        await world.gate.wait()
        world.calls += 1
        world.events += stage.events
        receipts = tuple(map(world.carry_out, stage.effects))
        world.write(stage.view)
        if stage.closing and all(one.done for one in receipts):
            world.closed.append(stage.closing)
            world.write(stage.closing)
        return StageDone(receipts=receipts)

    @activity.defn(name="record_acts")
    async def record_acts(self, request: RecordActs) -> ActAnswer:
        world = self.worlds[request.case_id]
        await world.gate.wait()
        world.calls += 1
        world.events += request.events
        answer = world.judge(request)
        ends = answer.kind in request.kinds and request.view_after is not None
        world.write(request.view_after if ends and request.view_after else moved(request, answer))
        return answer


def moved(request: RecordActs, answer: ActAnswer) -> CaseView:
    """The activity that takes a new due date in writes it down."""
    steps = {one.step_id: one for one in request.view.steps}
    if answer.due and (step := steps.get(request.step_id)):
        steps[step.step_id] = step.model_copy(update={"deadline": step.deadline.model_copy(update={"due": answer.due})})
    return request.view.model_copy(update={"steps": tuple(steps.values())})


@dataclass
class Asked:
    """One department request and its hands."""

    handle: Any
    skipper: TimeSkipper
    world: World

    async def view(self) -> CaseView:
        return cast("CaseView", await self._query(CaseWorkflow.view))

    async def clock(self) -> dict[str, Explained]:
        return cast("dict[str, Explained]", await self._query(CaseWorkflow.clock))

    async def _query(self, query: Any) -> object:
        """Right after continue-as-new there may be nobody to answer yet."""
        async with asyncio.timeout(WITHIN):
            while True:
                try:
                    return await self.handle.query(query)
                except Exception as error:
                    if "not scheduled" not in str(error):
                        raise
                await asyncio.sleep(0.02)

    async def settled(self) -> bool:
        """Waits until nothing is in flight; whether the case is still open."""
        async with asyncio.timeout(WITHIN):
            while True:
                told = (await self.handle.describe()).raw_description
                if not told.pending_activities and not told.HasField("pending_workflow_task"):
                    return told.workflow_execution_info.status in {0, 1}
                await asyncio.sleep(0.02)

    async def step(self, name: str) -> OpenStep:
        """Waits for an open step of this name."""
        async with asyncio.timeout(WITHIN):
            while True:
                if found := [one for one in (await self.view()).steps if one.name == name]:
                    return found[0]
                await asyncio.sleep(0.02)

    async def now(self) -> datetime:
        return await self.skipper.get_current_time(self.handle)

    async def forward(self, by: timedelta) -> None:
        await asyncio.wait_for(self.skipper.fast_forward(self.handle, by), WITHIN)
        await self.settled()

    async def forward_to(self, moment: datetime) -> None:
        await self.forward(moment - await self.now())

    def signed(
        self, step: str, kind: str, by: str, payload: Any = None, *, good: bool = True, **more: Any
    ) -> SignedAct:
        body = {"case_id": self.handle.id, "workflow_id": self.handle.id, "step_id": step, "kind": kind, "by": by}
        said = json.dumps(payload or {"note_sha256": token_hex(32)})
        return SignedAct(
            body=json.dumps({**body, "jti": token_hex(8), **more}), payload=said, signature="good" if good else "forged"
        )

    async def act(self, step: str, kind: str, by: str, payload: Any = None, *, good: bool = True, **more: Any) -> None:
        act = self.signed(step, kind, by, payload, good=good, **more)
        await self.handle.signal("act", act)

    async def tell(self, kind: FactKind, reference: str = "") -> None:
        await self.handle.signal("event", Fact(event_id=token_hex(6), kind=kind, reference=reference))

    async def writes(self) -> None:
        """The client writes in the case's thread."""
        await self.handle.signal("client_replied", ClientMessage(event_id=token_hex(6)))

    async def ends(self, step: OpenStep) -> None:
        """Whoever the step belongs to does it."""
        payload = Estimate(hours=72).model_dump(mode="json") if step.name == "estimate" else None
        self.world.said_done |= step.name == "process"
        by = PEOPLE[step.role.partition("/")[0]]
        await self.act(step.step_id, ENDS[step.name].value, by, payload)

    async def result(self) -> RequestOutcome:
        return RequestOutcome.model_validate(await asyncio.wait_for(self.handle.result(), WITHIN))


@asynccontextmanager
async def working(client: Client, town: Town, queue: str) -> AsyncGenerator[None]:
    """A worker for the requests of a town."""
    async with AsyncExitStack() as stack:
        activities = [town.perform, town.record_acts]
        worker = Worker(client, task_queue=queue, workflows=[DepartmentRequest], activities=activities)
        await stack.enter_async_context(worker)
        yield


async def ask(client: Client, town: Town, queue: str, **given: Any) -> Asked:
    """Opens a request to PPC, whose worker may not be there yet."""
    case_id = f"department-request/{token_hex(8)}"
    world = town.worlds[case_id] = World(unknown_to_board=given.pop("unknown_to_board", ()))
    if down := given.pop("down", ""):
        world.vendors[down] = "down"
    config = TimeSkippingConfig(enabled=False, max_session_skip_count=5000, disable_propagation=True)
    skipper = TimeSkipper(client, config=config)
    request = DepartmentAsk(case_id=case_id, client_id="C-1", department="ppc", **given)
    handle = await skipper.client.start_workflow("DepartmentRequest", request, id=case_id, task_queue=queue)
    return Asked(handle, skipper, world)
