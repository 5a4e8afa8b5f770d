"""Temporal as any language reaches it: plain gRPC, JSON payloads, no client of Temporal's."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from secrets import token_hex
from typing import Any, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution, WorkflowType
from temporalio.api.enums.v1 import HistoryEventFilterType
from temporalio.api.query.v1 import WorkflowQuery
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice import v1 as wire

M = TypeVar("M", bound=Message)


class Wire:
    """One connection; each method is one call of `temporal.api.workflowservice.v1.WorkflowService`."""

    def __init__(self, channel: grpc.aio.Channel, namespace: str, queue: str) -> None:
        self._channel, self._namespace, self._queue = channel, namespace, queue

    async def start(self, kind: str, workflow_id: str, argument: object) -> str:
        """Returns the run's id."""
        request = wire.StartWorkflowExecutionRequest(
            namespace=self._namespace,
            workflow_id=workflow_id,
            workflow_type=WorkflowType(name=kind),
            task_queue=TaskQueue(name=self._queue),
            input=_payloads(argument),
            request_id=token_hex(8),
        )
        return (await self._call("StartWorkflowExecution", request, wire.StartWorkflowExecutionResponse)).run_id

    async def signal(self, workflow_id: str, name: str, argument: object) -> None:
        request = wire.SignalWorkflowExecutionRequest(
            namespace=self._namespace,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id),
            signal_name=name,
            input=_payloads(argument),
        )
        await self._call("SignalWorkflowExecution", request, wire.SignalWorkflowExecutionResponse)

    async def query(self, workflow_id: str, name: str) -> Any:
        request = wire.QueryWorkflowRequest(
            namespace=self._namespace,
            execution=WorkflowExecution(workflow_id=workflow_id),
            query=WorkflowQuery(query_type=name),
        )
        answer = await self._call("QueryWorkflow", request, wire.QueryWorkflowResponse)
        return json.loads(answer.query_result.payloads[0].data)

    async def failure(self, workflow_id: str, run_id: str) -> tuple[str, str]:
        """Waits for the end of a run; why it failed: the type and the sentence."""
        request = wire.GetWorkflowExecutionHistoryRequest(
            namespace=self._namespace,
            execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
            wait_new_event=True,
            history_event_filter_type=HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT,
        )
        name = "GetWorkflowExecutionHistory"
        while not (
            events := (await self._call(name, request, wire.GetWorkflowExecutionHistoryResponse)).history.events
        ):
            pass
        failure = events[0].workflow_execution_failed_event_attributes.failure
        return failure.application_failure_info.type, failure.message

    async def attribute(self, workflow_id: str, name: str) -> Any:
        request = wire.DescribeWorkflowExecutionRequest(
            namespace=self._namespace, execution=WorkflowExecution(workflow_id=workflow_id)
        )
        found = await self._call("DescribeWorkflowExecution", request, wire.DescribeWorkflowExecutionResponse)
        fields = found.workflow_execution_info.search_attributes.indexed_fields
        return json.loads(fields[name].data) if name in fields else ""

    async def _call(self, name: str, request: Message, answer: type[M]) -> M:
        path = f"/temporal.api.workflowservice.v1.WorkflowService/{name}"
        ask = self._channel.unary_unary(
            path, request_serializer=type(request).SerializeToString, response_deserializer=answer.FromString
        )
        return await ask(request, timeout=60)


def _payloads(argument: object) -> Payloads:
    return Payloads(payloads=[Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(argument).encode())])


@asynccontextmanager
async def wire_to(address: str, queue: str, namespace: str = "default") -> AsyncGenerator[Wire]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield Wire(channel, namespace, queue)
