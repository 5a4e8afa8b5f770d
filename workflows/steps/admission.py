"""Whether a workflow is a case at all: anybody who reaches Temporal can start one, only a door takes a case in."""

from datetime import timedelta
from typing import NoReturn

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

from activities.admission import AdmissionActivities
from domain.admission import TURNED_AWAY, AdmitStart
from domain.case import CaseStatus
from domain.ids import door_queue
from workflows.steps.case import Case
from workflows.steps.visibility import say_whose, show

PATIENT = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1))


async def admit(case: Case) -> None:
    """Has a request that was started in Temporal itself checked by its door; the case then begins as the door made it.

    Raises ApplicationError with the door's code as its type if the door refuses it.
    """
    start = AdmitStart(kind=case.kind, workflow_id=case.workflow_id, opening=case.request.opening or {})
    admitted = await workflow.execute_activity_method(
        AdmissionActivities.admit,
        start,
        task_queue=door_queue(workflow.info().task_queue),
        start_to_close_timeout=timedelta(seconds=60),
        heartbeat_timeout=timedelta(seconds=10),
        retry_policy=PATIENT,
        summary=f"{case.desk.trail} the door's checks",
    )
    if admitted.request is None:
        turn_away(case, admitted.code, admitted.sentence)
    request = type(case.request).model_validate(admitted.request)
    say_whose(case, request)
    workflow.continue_as_new(request)


def turn_away(case: Case, code: str, sentence: str = "") -> NoReturn:
    """Ends what is no case, where whoever started it sees why."""
    said = sentence or TURNED_AWAY.get(code, "It was refused.")
    case.status, case.outcome, case.doing = CaseStatus.REFUSED, code, said
    show(case)
    raise ApplicationError(said, type=code, non_retryable=True)
