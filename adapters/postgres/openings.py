"""Taking in a case of any SOP: the inbox row, the case, its texts and what Temporal is told, in one transaction."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from adapters.postgres.crypto import Vault
from adapters.postgres.intake import (
    Arrival,
    LostRowError,
    Once,
    arrived_before,
    decide_arrival,
    keep_arrival,
    once_only,
)
from adapters.postgres.pool import Connection, Pool, transaction
from adapters.postgres.starts import stamp
from adapters.postgres.texts import keep_texts
from domain.case import Request
from domain.intake import Acceptance, Handover, start_of

R = TypeVar("R", bound=Request)


@dataclass(frozen=True)
class Opened(Generic[R]):
    """A case to be opened. `texts` are kept, sealed, by their SHA-256."""

    kind: str
    request: R
    summary: str
    texts: tuple[str, ...] = field(default=(), repr=False)
    linked_to: str = ""
    csm_id: str = ""


Make = Callable[[Connection], Awaitable[Opened[R]]]


class PostgresOpenings:
    """Works under the door's role."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool, self._vault = pool, vault

    async def accept(self, arrival: Arrival, make: Make[R], once: Once | None = None) -> Acceptance:
        """Keeps what arrived and opens the case that `make` says; the same again changes nothing.

        A case that another event opened is found again. Raises Refused `another-content`, `idempotency-key-reused`, and
        whatever `make` refuses.
        """
        async with transaction(self._pool) as conn:
            return await once_only(conn, once, lambda: self.accept_in(conn, arrival, make))

    async def accept_in(self, conn: Connection, arrival: Arrival, make: Make[R]) -> Acceptance:
        """As `accept`, in a transaction of the caller's."""
        inbox_id = await keep_arrival(conn, self._vault, arrival)
        if inbox_id is None:
            return await arrived_before(conn, arrival)
        opened = await make(conn)
        case_id = opened.request.case_id
        if not await self._insert(conn, opened):
            await decide_arrival(conn, inbox_id, "ignored", Handover(), case_id, "opened-before")
            return Acceptance(inbox_id=inbox_id, state="ignored", code="opened-before", case_id=case_id, repeated=True)
        start = start_of(opened.kind, opened.request, opened.summary)
        await decide_arrival(conn, inbox_id, "accepted", Handover(steps=(start,)), case_id)
        return Acceptance(inbox_id=inbox_id, state="accepted", case_id=case_id)

    async def started(self, case_id: str) -> dict[str, object]:
        """The workflow's input, as the door made it. Raises LostRowError."""
        async with transaction(self._pool, reading=True) as conn:
            found = await conn.fetchval(_START, case_id)
        if found is None:
            raise LostRowError(f"nothing says how case {case_id} was started")
        return found

    async def _insert(self, conn: Connection, opened: Opened[R]) -> bool:
        request = opened.request
        kept = request.model_dump(mode="json", exclude={"carried", "calendar", "targets"})
        values = (request.case_id, opened.kind, request.client_id, kept, opened.linked_to, opened.csm_id)
        if not await conn.fetchval(_CASE, *values):
            return False
        await keep_texts(conn, self._vault, request.client_id, opened.texts)
        await stamp(conn, request)
        return True


_CASE = """
    INSERT INTO cases (case_id, workflow_id, kind, client_id, status, owner, waiting_for, request, linked_to, csm_id)
    VALUES ($1, $1, $2, $3, 'open', 'holdfast', 'starting', $4, $5, $6)
    ON CONFLICT (case_id) DO NOTHING RETURNING true"""
_START = """SELECT action #> '{steps,0,request}' FROM inbox WHERE case_id = $1
    AND action #>> '{steps,0,do}' = 'start' ORDER BY inbox_id LIMIT 1"""
