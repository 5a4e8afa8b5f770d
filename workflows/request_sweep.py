"""Once a day: tasks and tickets that nobody made here are found, put right or asked about (ID-3, ID-4, ID-7, ID-8)."""

from temporalio import workflow

from activities.request_sweep import RequestSweepActivities
from domain.request_sweep import REQUEST_SWEEP, RequestsSwept, RequestSweepRequest
from workflows.steps.polling import poll


@workflow.defn(name=REQUEST_SWEEP)
class RequestSweep:
    """Started by a schedule."""

    @workflow.run
    async def run(self, request: RequestSweepRequest) -> RequestsSwept:
        return await poll(RequestSweepActivities.sweep_requests, request, "ID-4 tasks and tickets", at_the_door=True)
