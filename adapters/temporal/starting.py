"""Starting the workflow of a case: once, whoever asks for it and however often."""

from datetime import timedelta

from temporalio.client import Client
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCStatusCode

from domain.errors import HoldfastError
from domain.intake import Start

RPC_TIMEOUT = timedelta(seconds=10)
LATER = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.ABORTED,
        RPCStatusCode.INTERNAL,
        RPCStatusCode.UNKNOWN,
    }
)
"""What Temporal answers when asking again later may work."""
_KIND = SearchAttributeKey.for_keyword("CaseKind")
_STATUS = SearchAttributeKey.for_keyword("CaseStatus")
_CLIENT = SearchAttributeKey.for_keyword("ClientId")


class AnotherWorkflowError(HoldfastError):
    """The id of a case belongs to a workflow of another type."""


async def start_case(client: Client, start: Start, queue: str, page: str = "") -> None:
    """A case that is running, or has run, is not started again. Raises RPCError, AnotherWorkflowError.

    `page` is the way back from the Temporal UI to the case's own page, "" if there is none.
    """
    try:
        handle = await client.start_workflow(
            start.kind,
            start.request,
            id=start.workflow_id,
            task_queue=queue,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            search_attributes=_attributes(start),
            static_summary=start.summary,
            static_details=f"[The case in Holdfast]({page})" if page else None,
            rpc_timeout=RPC_TIMEOUT,
        )
    except WorkflowAlreadyStartedError:
        return
    if (await handle.describe(rpc_timeout=RPC_TIMEOUT)).workflow_type != start.kind:
        raise AnotherWorkflowError


def _attributes(start: Start) -> TypedSearchAttributes:
    pairs = [SearchAttributePair(_KIND, start.kind), SearchAttributePair(_STATUS, "open")]
    if start.client_id:
        pairs.append(SearchAttributePair(_CLIENT, start.client_id))
    return TypedSearchAttributes(pairs)
