"""What every case has: the one signal handler and its queries. `run` is each SOP's own."""

from collections.abc import Sequence
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue

from domain.acts_arrived import read
from domain.case import CaseView
from domain.explained import Explained, of_clock, of_deadline, of_step
from workflows.steps.case import Case


class CaseWorkflow:
    """Signals `act` (SignedAct), `client_replied` (ClientMessage) and `event` (Fact); query `view`, `clock`.

    One dynamic handler takes every signal, so that undecodable bytes, wrong argument counts and unknown names are
    refused visibly instead of being dropped, buffered for ever or failing the task.
    """

    case: Case

    @workflow.signal(
        dynamic=True, description="act: a signed act; client_replied: a client's message; event: a fact by its id"
    )
    def signal(self, name: str, args: Sequence[RawValue]) -> None:
        def decode(model: type[Any]) -> Any:
            return workflow.payload_converter().from_payload(args[0].payload, model)

        self.case.arrive(read(name, len(args), decode))

    @workflow.query(description="Where the case stands: status, open steps, owner, deadlines and why")
    def view(self) -> CaseView:
        version = self.case.version
        view = self.case.view()
        self.case.version = version
        return view

    @workflow.query(description="Every deadline that was promised, explained: each stretch of its time, which add up")
    def clock(self) -> dict[str, Explained]:
        now = workflow.now()
        deadlines = {key: of_deadline(key, one) for key, one in self.case.deadlines.items()}
        steps = {key: of_step(one, now) for key, one in self.case.open.items()}
        return deadlines | steps | {key: of_clock(one, now) for key, one in self.case.clocks.items()}
