"""Cases that follow from another one: the tables first, then the workflow, each found again when it is asked anew."""

from collections.abc import Sequence

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from adapters.postgres.linked import link_overturned
from adapters.postgres.pool import Pool, transaction
from adapters.postgres.starts import stamp
from adapters.temporal.starting import RPC_TIMEOUT, AnotherWorkflowError, start_case
from domain import ids
from domain.errors import Permanent, Retryable
from domain.intake import RETURN_LEAD, return_summary, start_of
from domain.return_lead import ReturnRequest
from runtime.settings import Settings

_VENDOR = "temporal"


class TemporalLinkedCases:
    """activities.ports.LinkedCases."""

    def __init__(self, pool: Pool, client: Client, settings: Settings, queue: str) -> None:
        self._pool, self._client, self._settings, self._queue = pool, client, settings, queue

    async def open(self, case_id: str, key: str, lead_ids: Sequence[str]) -> str:
        linked = ids.overturned_case(case_id, key)
        async with transaction(self._pool) as conn:
            client_id, claims = await link_overturned(conn, case_id, linked, lead_ids)
        request = ReturnRequest(
            case_id=linked,
            client_id=client_id,
            chase_every=self._settings.chase_every,
            holding_after=self._settings.holding_after,
            dispute_window=self._settings.dispute_window,
            claims=claims,
            linked_to=case_id,
        )
        async with transaction(self._pool) as conn:
            await stamp(conn, request)
        start, page = start_of(RETURN_LEAD, request, return_summary(request)), self._settings.page_of(linked)
        try:
            await start_case(self._client, start, self._queue, page)
        except AnotherWorkflowError:
            raise Permanent(_VENDOR, "another-workflow", "the linked case's id belongs to another workflow") from None
        except (RPCError, RuntimeError) as error:  # RuntimeError: the SDK's, when a first connection fails
            raise _later(error) from None
        return linked

    async def opened(self, case_id: str, key: str) -> str:
        linked = ids.overturned_case(case_id, key)
        handle = self._client.get_workflow_handle(ids.workflow_id(linked))
        try:
            await handle.describe(rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND and "namespace" not in error.message.lower():
                return ""
            raise _later(error) from None
        return linked


def _later(error: RPCError | RuntimeError) -> Retryable:
    """Starting twice is starting once, so whatever Temporal answered may be asked again."""
    code = error.status.name.lower().replace("_", "-") if isinstance(error, RPCError) else "not-connected"
    return Retryable(_VENDOR, code, "the linked case could not be started")
