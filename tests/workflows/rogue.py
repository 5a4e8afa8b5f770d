"""What somebody with access to the namespace can do without Holdfast: a workflow, a worker and raw calls of his own."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

from temporalio import workflow
from temporalio.api.common.v1 import Payloads, WorkflowExecution
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueRequest,
    PollActivityTaskQueueResponse,
    ResetWorkflowExecutionRequest,
    RespondActivityTaskCompletedByIdRequest,
    RespondActivityTaskCompletedRequest,
)
from temporalio.client import ActivityFailureError, Client, WorkflowHandle
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.worker import Worker

from domain.case import Model
from domain.ids import money_queue
from tests.agency import Agency


@workflow.defn(name="Rogue", sandboxed=False)
class Rogue:
    """Calls whatever activity it is told to, on whatever queue, and answers how that ended."""

    @workflow.run
    async def run(self, calls: list[dict[str, Any]]) -> list[str]:
        return [await self.call(one) for one in calls]

    async def call(self, one: dict[str, Any]) -> str:
        try:
            said = await workflow.execute_activity(
                one["activity"],
                one["argument"],
                task_queue=one["queue"],
                schedule_to_close_timeout=timedelta(seconds=20),
                retry_policy=RetryPolicy(maximum_attempts=2),
            )
        except ActivityError as error:
            cause = error.cause
            return f"{cause.type}: {cause.message}" if isinstance(cause, ApplicationError) else str(cause)
        return f"done: {said}"


@dataclass(frozen=True)
class Call:
    """One activity called as a workflow would call it."""

    activity: str
    argument: Model

    def on(self, queue: str) -> dict[str, Any]:
        where = money_queue(queue) if self.activity == "grant" else queue
        return {"activity": self.activity, "argument": self.argument.model_dump(mode="json"), "queue": where}


async def rogue(agency: Agency, *calls: Call, workflow_id: str = "") -> list[str]:
    """Runs a workflow of somebody else's that calls our running activities; how each call ended."""
    queue, name = f"rogue-{uuid4().hex[:8]}", workflow_id or f"rogue-{uuid4().hex[:8]}"
    async with Worker(agency.client, task_queue=queue, workflows=[Rogue]):
        plain = [call.on(agency.queue) for call in calls]
        return await agency.client.execute_workflow(Rogue.run, plain, id=name, task_queue=queue)


async def alone(agency: Agency, call: Call) -> str:
    """Starts one of our running activities by itself, with no workflow around it; how that ended."""
    one = call.on(agency.queue)
    try:
        said = await agency.client.execute_activity(
            call.activity,
            one["argument"],
            id=f"alone-{uuid4().hex[:8]}",
            task_queue=one["queue"],
            schedule_to_close_timeout=timedelta(seconds=20),
            retry_policy=RetryPolicy(maximum_attempts=2),
        )
    except ActivityFailureError as error:
        cause = error.cause
        return f"{cause.type}: {cause.message}" if isinstance(cause, ApplicationError) else str(cause)
    return f"done: {said}"


async def take_over(agency: Agency, case_id: str, *calls: Call) -> list[str]:
    """Ends the case's own workflow and runs somebody else's under its very id."""
    await agency.handle(case_id).terminate("taken over")
    return await rogue(agency, *calls, workflow_id=case_id)


async def polled(client: Client, queue: str) -> PollActivityTaskQueueResponse:
    """The next activity of a queue, taken by hand as any worker could."""
    return await client.workflow_service.poll_activity_task_queue(
        PollActivityTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=queue),
            identity="rogue",
        ),
        timeout=timedelta(seconds=30),
    )


async def _invented(client: Client, result: Model) -> Payloads:
    return Payloads(payloads=await client.data_converter.encode([result]))


async def complete(client: Client, task_token: bytes, result: Model) -> None:
    """Completes an activity by its task token with an invented result."""
    await client.workflow_service.respond_activity_task_completed(
        RespondActivityTaskCompletedRequest(
            namespace=client.namespace, task_token=task_token, result=await _invented(client, result), identity="rogue"
        )
    )


async def complete_by_id(client: Client, case_id: str, activity_id: str, result: Model) -> None:
    """Completes an activity that a worker of ours is still at, by its id, with an invented result."""
    await client.workflow_service.respond_activity_task_completed_by_id(
        RespondActivityTaskCompletedByIdRequest(
            namespace=client.namespace,
            workflow_id=case_id,
            activity_id=activity_id,
            result=await _invented(client, result),
            identity="rogue",
        )
    )


async def reset(client: Client, handle: WorkflowHandle[Any, Any], event_id: int) -> str:
    """Replays a workflow from one of its workflow tasks; signals are given to it again. The new run's id."""
    described = await handle.describe()
    done = await client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=handle.id, run_id=described.run_id),
            reason="replayed by somebody",
            workflow_task_finish_event_id=event_id,
            request_id=str(uuid4()),
        )
    )
    return done.run_id
