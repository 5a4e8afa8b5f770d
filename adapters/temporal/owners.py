"""Tells open cases that somebody went, left or came back."""

import structlog
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from adapters.postgres.movements import Movements, Told
from adapters.postgres.pool import Pool
from adapters.temporal.starting import RPC_TIMEOUT
from domain.messages import Fact, FactKind

log = structlog.get_logger("owners")


class TemporalMovements:
    """activities.ports.Movements. A case that was told twice has heard it once: the fact's id is the same."""

    def __init__(self, pool: Pool, client: Client) -> None:
        self._movements, self._client = Movements(pool), client

    async def tell(self) -> int:
        """Tells every open case that is concerned since the last time; how many. Raises RPCError: then all again."""
        sweep = await self._movements.since_last()
        for one in sweep.told:
            await self._signal(one)
        await self._movements.swept(sweep.until)
        return len({one.case_id for one in sweep.told})

    async def _signal(self, told: Told) -> None:
        fact = Fact(event_id=told.event_id, kind=FactKind.OWNERS, reference=told.step_id)
        handle = self._client.get_workflow_handle(told.workflow_id)
        try:
            await handle.signal("event", fact, rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND or "namespace" in error.message.lower():
                raise
            log.info("a case ended before it was told", case_id=told.case_id)
