"""A small SOP whose promises run: for tests of clocks."""

from datetime import timedelta

from temporalio import workflow

from domain.case import Model, Request
from domain.messages import ActKind
from domain.people import Role
from domain.rules.clock import Cause
from domain.steps import Desk, PersonStep, StepResult
from workflows.base import CaseWorkflow
from workflows.steps.case import Case
from workflows.steps.clocks import ALL, clocks, met, pause, resume, start_clock
from workflows.steps.close import close
from workflows.steps.mend import mends
from workflows.steps.person import person
from workflows.steps.running import running

DESK = Desk(team=Role.RETURN_LEADS, trail="RL-15", inbox="RL-1", client="RL-9")


class Timed(Request):
    """`moments`, in order: `start NAME [STEP]`, `met NAME`, `pause NAME CAUSE [DAYS]`, `resume NAME`; all else is a
    person's step of that name. NAME `all` is every clock.
    """

    moments: tuple[str, ...] = ()


class Ended(Model):
    status: str = "closed"


@workflow.defn
class Clocked(CaseWorkflow):
    @workflow.init
    def __init__(self, request: Timed) -> None:
        self.case = Case(request, "Clocked", DESK)

    @workflow.run
    async def run(self, request: Timed) -> Ended:
        async with running(self.case, mends, clocks) as case:
            for moment in request.moments:
                await self.do(moment.split())
            return await close(case, Ended(), "all was done", "RL-8")

    async def do(self, words: list[str]) -> None:
        case = self.case
        match words:
            case ["start", name, *step]:
                target = next(one for one in case.request.targets if one.name == name)
                start_clock(case, target, step=step[0] if step else "")
            case ["met", name]:
                met(case, name)
            case ["pause", name, cause, *days]:
                until = workflow.now() + timedelta(days=int(days[0])) if days else None
                pause(case, ALL if name == "all" else name, Cause(cause), by="P-2", until=until)
            case ["resume", name]:
                resume(case, ALL if name == "all" else name)
            case _:
                await person(case, asked(words[0]))


def asked(name: str) -> PersonStep[StepResult]:
    return PersonStep(
        name=name,
        clause="RL-4",
        role=Role.RETURN_LEADS,
        kinds=(ActKind.DONE,),
        result=StepResult,
        waiting_for="an answer",
        due=timedelta(days=90),
    )
