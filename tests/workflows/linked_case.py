"""A small SOP that opens department requests and waits for them: for tests of linked cases."""

from datetime import timedelta

from temporalio import workflow

from domain.case import Request
from domain.effects import OpenRequest
from domain.ids import effect_key
from domain.model import Model
from domain.people import Role
from domain.rules.clock import Target, TargetName
from domain.sops.return_lead_texts import INSTRUCTIONS
from domain.sops.shared_texts import SHARED, Template
from domain.sops.texts import Texts
from domain.steps import Desk
from workflows.base import CaseWorkflow
from workflows.steps.case import Case
from workflows.steps.clocks import start_clock
from workflows.steps.close import close
from workflows.steps.linked import ask, outcome
from workflows.steps.mend import mends
from workflows.steps.running import running

KIND = "Opener"
DESK = Desk(team=Role.CSS, trail="ID-3", inbox="ID-3", client="ID-8")
WORDS = Template(clause="ID-3", internal=True, subject="Look into {{ client_name }}", text="What happened in the ads?")
TEXTS = Texts({"deep-dive": WORDS}, SHARED | {"process": INSTRUCTIONS["look"]}, inbox="requests", prefix="OP")


class OpenerRequest(Request):
    """`promise`: by when this case has to have its answers; `waits`: whether it waits before it closes."""

    promise: timedelta = timedelta(hours=24)
    departments: tuple[str, ...] = ("ppc",)
    waits: bool = True


class OpenerOutcome(Model):
    ended: tuple[str, ...] = ()


@workflow.defn(name=KIND)
class Opener(CaseWorkflow):
    @workflow.init
    def __init__(self, request: OpenerRequest) -> None:
        self.case = Case(request, KIND, DESK)

    @workflow.run
    async def run(self, request: OpenerRequest) -> OpenerOutcome:
        async with running(self.case, mends) as case:
            start_clock(case, Target(name=TargetName.RESOLVED, clause="ID-5", after=request.promise))
            for department in request.departments:
                linked = await ask(case, f"ask-{department}", "ID-3", asked(request, department), TargetName.RESOLVED)
                if request.waits:
                    await outcome(case, "ID-3", linked)
            return await close(case, OpenerOutcome(ended=tuple(case.linked.values())), "answered", "ID-3")


def asked(request: OpenerRequest, department: str) -> OpenRequest:
    return OpenRequest(
        key=effect_key(request.case_id, "ask", department),
        clause="ID-3",
        department=department,
        words="deep-dive",
    )
