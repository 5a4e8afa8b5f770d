"""Tells Temporal what the inbox accepted: starts cases and signals them, until each row is handed over or dead."""

from collections.abc import Callable
from datetime import timedelta

import structlog
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from adapters.postgres.intake import PostgresIntake, Waiting
from adapters.temporal.starting import LATER, RPC_TIMEOUT, AnotherWorkflowError, start_case
from domain.ids import SOPS_QUEUE
from domain.intake import KnownCase, NewCase, Signal, Start
from domain.messages import Fact, FactKind
from domain.return_lead import Doubt
from starter.intake_rules import linked_case

MOST_ATTEMPTS = 8
SOON = timedelta(seconds=3)
_OVER = frozenset({FactKind.RESUMED, FactKind.TASK, FactKind.UNDELIVERED})  # nothing to a case that has ended
log = structlog.get_logger("handover")


class Handover:
    """Any number may run at once: each row is leased to one of them."""

    def __init__(
        self,
        intake: PostgresIntake,
        client: Client,
        *,
        queue: str = SOPS_QUEUE,
        page_of: Callable[[str], str] = lambda _: "",
    ) -> None:
        self._intake, self._client, self._queue, self._page_of = intake, client, queue, page_of

    async def run_once(self, limit: int = 20) -> int:
        """Hands over what waits, oldest first; returns how many rows were looked at. Database errors pass."""
        waiting = await self._intake.waiting(limit)
        for row in waiting:
            await self._hand_over(row)
        return len(waiting)

    async def _hand_over(self, row: Waiting) -> None:
        try:
            for step in row.handover.steps:
                if isinstance(step, Start):
                    await start_case(self._client, step, self._queue, self._page_of(step.case_id))
                elif not await self._signal(row, step):
                    return
            await self._intake.handed(row.inbox_id)
        except RPCError as error:
            await self._refused(row, error)
        except AnotherWorkflowError:
            await self._fail(row, "another-workflow")
        except RuntimeError:  # what the SDK raises when a client's first connection fails
            await self._wait(row, "NOT_CONNECTED")

    async def _signal(self, row: Waiting, step: Signal) -> bool:
        """False if the case has ended: then a linked case takes its place, and this row is handed over anew."""
        handle = self._client.get_workflow_handle(step.workflow_id)
        name, argument = ("event", step.fact) if step.fact else ("client_replied", step.message)
        try:
            await handle.signal(name, argument, rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND or "namespace" in error.message.lower():
                raise
            return await self._ended(row, step)
        return True

    async def _ended(self, row: Waiting, step: Signal) -> bool:
        if step.fact and (step.fact.kind in _OVER or step.fact.event_id.startswith("joined:")):
            return True  # a case that is over holds nothing back, and the lead goes on in the case that asked

        def opens(case: KnownCase) -> NewCase:
            reference = step.fact.reference if step.fact else ""
            return linked_case(case, _doubt(step.fact), row.event_id).model_copy(update={"reference": reference})

        linked = await self._intake.relink(row.inbox_id, row.event_id, step.case_id, opens)
        if not linked:
            await self._intake.postponed(row.inbox_id, SOON)
        return False

    async def _refused(self, row: Waiting, error: RPCError) -> None:
        missing = error.status is RPCStatusCode.NOT_FOUND  # the namespace: somebody has yet to make it
        if missing or error.status in LATER:
            await self._wait(row, error.status.name)
        else:
            await self._fail(row, f"temporal-{error.status.name.lower().replace('_', '-')}")

    async def _wait(self, row: Waiting, status: str) -> None:
        log.warning("temporal is not there: the inbox waits", inbox_id=row.inbox_id, status=status)
        await self._intake.postponed(row.inbox_id, SOON)

    async def _fail(self, row: Waiting, code: str) -> None:
        pause = timedelta(seconds=min(300, 2 ** (row.attempts + 1)))
        dead = await self._intake.failed(row.inbox_id, code, pause, MOST_ATTEMPTS)
        log.error("a row of the inbox could not be handed over", inbox_id=row.inbox_id, code=code, dead=dead)


def _doubt(fact: Fact | None) -> Doubt:
    """What it is for a person when it comes after its case has ended. No fact: the client's own message."""
    if fact is None:
        return Doubt.LATE_REPLY
    return Doubt.CLIENT_NOT_REACHED if fact.kind is FactKind.BOUNCED else Doubt.CASE_ENDED
