"""Who acts for money has changed: the approver is told (RL-14)."""

from temporalio import workflow

from domain.case import EventKind
from domain.money_people import MONEY_PEOPLE, MoneyPeopleOutcome, MoneyPeopleRequest
from domain.sops import money_people as sop
from workflows.base import CaseWorkflow
from workflows.steps.case import Case
from workflows.steps.close import close
from workflows.steps.mend import mends
from workflows.steps.running import running


@workflow.defn(name=MONEY_PEOPLE)
class MoneyPeopleChanged(CaseWorkflow):
    """Opened in the transaction that makes the change."""

    @workflow.init
    def __init__(self, request: MoneyPeopleRequest) -> None:
        self.case = Case(request, MONEY_PEOPLE, sop.DESK)

    @workflow.run
    async def run(self, request: MoneyPeopleRequest) -> MoneyPeopleOutcome:
        async with running(self.case, mends) as case:
            case.note(EventKind.NOTED, "RL-14", "Who may act for money has changed.")
            return await close(
                case, MoneyPeopleOutcome(status="told"), "the approver is told", "RL-14", sop.told(request)
            )
