"""What `status` and `doctor` read: what waits, what died, what nobody knows the end of."""

from dataclasses import dataclass
from datetime import datetime

from adapters.postgres.crypto import DEPLOYMENT, Vault
from adapters.postgres.pool import Pool, transaction
from domain.errors import Refused


@dataclass(frozen=True)
class Counts:
    """The state of the house in numbers. `oldest_waiting` is when the oldest row that nobody handed over arrived."""

    open_cases: int
    open_steps: int
    overdue_steps: int
    waiting_inbox: int
    oldest_waiting: datetime | None
    dead_inbox: int
    held_effects: int
    unknown_effects: int
    now: datetime


@dataclass(frozen=True)
class DeadRow:
    inbox_id: int
    provider: str
    code: str
    attempts: int
    received_at: datetime


@dataclass(frozen=True)
class LooseEffect:
    """An effect whose end is not known: `unknown`, or `sending` for longer than any call takes."""

    key: str
    case_id: str
    kind: str
    state: str
    code: str
    since: datetime | None


@dataclass(frozen=True)
class CameIn:
    """Something that came in for a case, opened."""

    inbox_id: int
    received_at: datetime
    content: bytes


class Operations:
    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool, self._vault = pool, vault

    async def counts(self) -> Counts:
        async with transaction(self._pool, reading=True) as conn:
            row = await conn.fetchrow(_COUNTS)
            if row is None:
                raise Refused("no-counts", "the database answers with nothing")
            return Counts(**dict(row))

    async def money_roles(self) -> frozenset[str]:
        """The roles that somebody may sign for now."""
        query = "SELECT DISTINCT role FROM money_people WHERE until IS NULL OR until > holdfast_now()"
        async with transaction(self._pool, reading=True) as conn:
            return frozenset(str(row["role"]) for row in await conn.fetch(query))

    async def dead_rows(self) -> tuple[DeadRow, ...]:
        """The inbox's rows that Temporal would not take."""
        query = """SELECT inbox_id, provider, code, attempts, received_at FROM inbox WHERE state = 'dead'
                   ORDER BY inbox_id LIMIT 100"""
        async with transaction(self._pool, reading=True) as conn:
            return tuple(DeadRow(**dict(row)) for row in await conn.fetch(query))

    async def loose_effects(self) -> tuple[LooseEffect, ...]:
        async with transaction(self._pool, reading=True) as conn:
            return tuple(LooseEffect(**dict(row)) for row in await conn.fetch(_LOOSE))

    async def running_cases(self, limit: int = 1_000) -> tuple[tuple[str, str], ...]:
        """Case and workflow ids of open cases that Temporal has been told of, the oldest first."""
        async with transaction(self._pool, reading=True) as conn:
            return tuple((row["case_id"], row["workflow_id"]) for row in await conn.fetch(_RUNNING, limit))

    async def came_in(self, case_id: str, most: int = 3) -> tuple[CameIn, ...]:
        """What the inbox keeps for a case, the latest first."""
        query = """SELECT inbox_id, received_at, content_ct FROM inbox WHERE case_id = $1 AND content_ct IS NOT NULL
                   AND provider = 'mail' ORDER BY inbox_id DESC LIMIT $2"""
        async with transaction(self._pool, reading=True) as conn:
            key = await self._vault.known_key(conn, DEPLOYMENT)
            rows = await conn.fetch(query, case_id, most) if key else []
            return tuple(
                CameIn(row["inbox_id"], row["received_at"], key.open(row["content_ct"])) for row in rows if key
            )


_COUNTS = """
    SELECT (SELECT count(*) FROM cases WHERE status = 'open') AS open_cases,
        (SELECT count(*) FROM case_steps WHERE state = 'open') AS open_steps,
        (SELECT count(*) FROM case_steps
            WHERE state = 'open' AND (chased > 0 OR due_at < holdfast_now())) AS overdue_steps,
        (SELECT count(*) FROM inbox WHERE state = 'accepted') AS waiting_inbox,
        (SELECT min(received_at) FROM inbox WHERE state = 'accepted') AS oldest_waiting,
        (SELECT count(*) FROM inbox WHERE state = 'dead') AS dead_inbox,
        (SELECT count(*) FROM effects WHERE state = 'prepared'
            AND code IN ('outbound-off', 'not-on-allowlist', 'on-hold')) AS held_effects,
        (SELECT count(*) FROM effects WHERE state = 'unknown') AS unknown_effects,
        holdfast_now() AS now"""
_LOOSE = """
    SELECT key, case_id, kind, state, code, coalesce(settled_at, sending_at) AS since FROM effects
    WHERE state = 'unknown' OR (state = 'sending' AND sending_at < holdfast_now() - interval '10 minutes')
    ORDER BY key LIMIT 100"""
_RUNNING = """
    SELECT c.case_id, c.workflow_id FROM cases c WHERE c.status = 'open'
        AND NOT EXISTS (SELECT FROM inbox i WHERE i.case_id = c.case_id AND i.state IN ('accepted', 'dead'))
    ORDER BY c.opened_at LIMIT $1"""
