"""Activities that need no database, and a hand on one scripted case at a time."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any

from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import TimeSkipper, TimeSkippingConfig
from temporalio.worker import Replayer, Worker

from domain.acts import ActAnswer, Candidate, RecordActs
from domain.case import CaseEvent, CaseView, Request
from domain.effects import Effect, Grant, Nudge, Receipt, ReceiptState, Stage, StageDone
from domain.ids import money_queue
from domain.messages import SignedAct
from domain.return_lead import StepResult
from runtime.plugin import holdfast_plugin
from tests.workflows.steps_case import Ended, Script, Scripted
from workflows.base import CaseWorkflow

Answer = Callable[[str], Receipt]
WITHIN = 30


@dataclass
class Vendors:
    """What the activities were asked, and how they answer: `states` by the name in an effect's key, one a time."""

    states: dict[str, list[Receipt]] = field(default_factory=dict[str, list[Receipt]])
    asked: list[str] = field(default_factory=list[str])
    nudges: list[int] = field(default_factory=list[int])
    urgent: dict[str, bool] = field(default_factory=dict[str, bool])  # of each nudge, by its name and number
    events: list[CaseEvent] = field(default_factory=list[CaseEvent])
    judged: list[Candidate] = field(default_factory=list[Candidate])
    calls: Counter[str] = field(default_factory=Counter[str])
    closed: list[CaseView] = field(default_factory=list[CaseView])
    busy: asyncio.Event = field(default_factory=asyncio.Event)  # set: whoever is asked answers
    may_close: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.busy.set()
        self.may_close.set()

    def will(self, name: str, *states: ReceiptState, retry: bool = False, code: str = "") -> None:
        blank = Receipt(key="", kind="", clause="", state=ReceiptState.SENT)
        self.states[name] = [
            blank.model_copy(update={"state": one, "retry": retry, "code": code or one.value}) for one in states
        ]

    def answer(self, key: str, kind: str, clause: str) -> Receipt:
        name = key.split("/")[-2]
        self.asked.append(name)
        waiting = self.states.get(name, [])
        planned = waiting.pop(0) if len(waiting) > 1 else (waiting or [None])[0]
        planned = planned or Receipt(key=key, kind=kind, clause=clause, state=ReceiptState.SENT)
        return planned.model_copy(update={"key": key, "kind": kind, "clause": clause})

    def do(self, effects: tuple[Effect, ...]) -> tuple[Receipt, ...]:
        self.nudges += [effect.chase for effect in effects if isinstance(effect, Nudge)]
        told = [effect for effect in effects if isinstance(effect, Nudge)]
        self.urgent |= {"/".join(one.key.split("/")[-2:]): one.urgent for one in told}
        return tuple(self.answer(effect.key, effect.kind, effect.clause) for effect in effects)

    @activity.defn(name="perform")
    async def perform(self, stage: Stage) -> StageDone:
        await self.busy.wait()
        if stage.closing:
            await self.may_close.wait()
        self.calls["perform"] += 1
        self.events += stage.events
        receipts = self.do(stage.effects)
        if stage.closing and all(one.done for one in receipts):
            self.closed.append(stage.closing)
        return StageDone(receipts=receipts)

    @activity.defn(name="record_acts")
    async def record_acts(self, request: RecordActs) -> ActAnswer:
        await self.busy.wait()
        self.calls["record_acts"] += 1
        self.events += request.events
        self.judged += request.candidates
        for index, one in enumerate(request.candidates):
            said = json.loads(one.act.body)
            mine = said["step_id"] == request.step_id and said["kind"] in (*request.kinds, "step.move")
            if one.act.signature == "good" and not one.problem and mine:
                due = datetime.fromisoformat(said["due"]) if said["kind"] == "step.move" else None
                refused = len(request.candidates) - 1
                return ActAnswer(
                    accepted=index, kind=said["kind"], by="P-1", refused=refused, receipts=self.do(one.then), due=due
                )
        return ActAnswer(refused=len(request.candidates))

    @activity.defn(name="grant")
    async def grant(self, grant: Grant) -> StageDone:
        await self.busy.wait()
        self.calls["grant"] += 1
        self.events += grant.events
        return StageDone(receipts=tuple(self.answer(key, "answer-client", grant.clause) for key in grant.keys))


@dataclass
class Running:
    """One scripted case and its hands: the client, time, and the vendors."""

    handle: WorkflowHandle[Any, Ended]
    skipper: TimeSkipper
    vendors: Vendors
    workflow: type[CaseWorkflow] = Scripted

    @property
    def case_id(self) -> str:
        return self.handle.id

    def act(self, step: str, kind: str = "step.done", *, note: str = "", good: bool = True, **more: Any) -> SignedAct:
        body = {"case_id": self.case_id, "workflow_id": self.case_id, "step_id": step, "kind": kind, **more}
        payload = StepResult(note_sha256=note).model_dump_json()
        return SignedAct(body=json.dumps(body), payload=payload, signature="good" if good else "forged")

    async def do(self, step: str, kind: str = "step.done", **more: Any) -> None:
        await self.handle.signal("act", self.act(step, kind, **more))

    async def view(self) -> CaseView:
        return await self.handle.query(CaseWorkflow.view)

    async def until(self, met: Callable[[CaseView], bool]) -> CaseView:
        """Polls the view: a query right after continue-as-new may have nobody to answer it yet."""
        async with asyncio.timeout(WITHIN):
            while True:
                try:
                    if met(view := await self.view()):
                        return view
                except Exception as error:
                    if "not scheduled" not in str(error):
                        raise
                await asyncio.sleep(0.03)

    async def waits_for(self, step: str) -> CaseView:
        """Until a step is open and whoever it belongs to was asked."""
        return await self.until(lambda view: any(one.step_id.startswith(step) for one in view.steps))

    async def forward(self, by: timedelta) -> None:
        await asyncio.wait_for(self.skipper.fast_forward(self.handle, by), WITHIN)

    async def result(self) -> Ended:
        return Ended.model_validate(await asyncio.wait_for(self.handle.result(), WITHIN))

    async def replayed(self) -> None:
        """The last run's history, run again: raises when a decision differs."""
        history = await self.handle.fetch_history()
        await Replayer(workflows=[self.workflow], plugins=[holdfast_plugin()]).replay_workflow(history)


@asynccontextmanager
async def workers(
    client: Client, queue: str, vendors: Vendors, workflow: type[CaseWorkflow] = Scripted, cached: int = 1000
) -> AsyncGenerator[None]:
    """Both workers on a task queue of its own. `cached` 0: every task is a replay, and goes to whoever is there."""
    sops, money = [vendors.perform, vendors.record_acts], money_queue(queue)
    async with AsyncExitStack() as stack:
        for worker in (
            Worker(client, task_queue=queue, workflows=[workflow], activities=sops, max_cached_workflows=cached),
            Worker(client, task_queue=money, activities=[vendors.grant]),
        ):
            await stack.enter_async_context(worker)
        yield


@asynccontextmanager
async def scripted(
    client: Client,
    script: dict[str, Any],
    vendors: Vendors | None = None,
    *,
    workflow: type[CaseWorkflow] = Scripted,
    request: type[Request] = Script,
) -> AsyncGenerator[Running]:
    """A case that does what the script says, with workers of its own."""
    vendors, queue = vendors or Vendors(), f"steps-{token_hex(4)}"
    config = TimeSkippingConfig(enabled=False, max_session_skip_count=5000, disable_propagation=True)
    skipper = TimeSkipper(client, config=config)
    case_id = f"return-lead/{token_hex(8)}"
    async with workers(skipper.client, queue, vendors, workflow):
        given = request(case_id=case_id, client_id="C-1", **script)
        handle = await skipper.client.start_workflow(workflow.__name__, given, id=case_id, task_queue=queue)
        yield Running(handle, skipper, vendors, workflow)
