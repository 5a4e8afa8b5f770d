"""Who went, left or came back since the open cases were last told, and which of them that concerns."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from asyncpg import Record

from adapters.postgres.directory import owner_today, presence
from adapters.postgres.pool import Connection, Pool, transaction
from domain.owners import StepOwner
from domain.people import AGENCY_SERVICES_DEPARTMENT, Role, department_in, department_role, managed_in
from domain.rules.routing import Presence

_OF_A_CASE = frozenset({Role.CSM.value, Role.CSS.value, Role.ACCOUNT_MANAGER.value, Role.AGENCY_SERVICES.value})
_OVERLAP = timedelta(minutes=10)  # what was committed late is seen all the same; a case hears of each movement once


@dataclass(frozen=True)
class Told:
    """A case that is told of a movement. `event_id` is the same however often it is found.

    `step_id` is asked of others than before, and they are to hear of it; "" where the case finds that out itself.
    """

    case_id: str
    workflow_id: str
    event_id: str
    step_id: str = ""


@dataclass(frozen=True)
class Sweep:
    told: tuple[Told, ...]
    until: datetime


class Movements:
    """Works under the worker's role and the door's."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def since_last(self) -> Sweep:
        """What is to be told now. Nothing is remembered before `swept`."""
        async with transaction(self._pool, reading=True) as conn:
            last: datetime = await conn.fetchval("SELECT swept_at FROM directory_sweeps")
            now: datetime = await conn.fetchval("SELECT holdfast_now()")
            rows = await conn.fetch(_MOVED, last - _OVERLAP, now)
            there = await presence(conn)
            told = [one for row in rows for one in await _concerned(conn, row, there)]
        return Sweep(tuple(dict.fromkeys(told)), now)

    async def swept(self, until: datetime) -> None:
        async with transaction(self._pool) as conn:
            await conn.execute("UPDATE directory_sweeps SET swept_at = greatest(swept_at, $1)", until)


async def _concerned(conn: Connection, movement: Record, there: Presence) -> list[Told]:
    """Open cases with a step that is another's today than the case believes, or that asks a department."""
    people = _with_those_they_cover(movement["people"], there)
    steps = await conn.fetch(_STEPS, list(people), await _roles(conn, people, movement["role"]))
    return [_told(movement, step) for step in steps if _asks_others(movement, step) or await _is_another_s(conn, step)]


def _told(movement: Record, step: Record) -> Told:
    event_id = f"owners:{movement['event']}"
    if _asks_others(movement, step):
        return Told(step["case_id"], step["workflow_id"], f"{event_id}:{step['step_id']}", step["step_id"])
    return Told(step["case_id"], step["workflow_id"], event_id)


def _asks_others(movement: Record, step: Record) -> bool:
    """A change for good (the directory, a pair, a successor) of whom a step asks that nobody has taken."""
    role = step["role"]
    by_name = department_in(role) is not None or managed_in(role) or role in _OF_A_CASE
    return bool(by_name) and movement["for_good"] and not (step["claimed_by"] or step["reassigned_to"])


def _with_those_they_cover(people: Iterable[str], there: Presence) -> frozenset[str]:
    """Whoever is covered for by one of these is concerned as well, however far that goes."""
    found = set(people)
    edges = [(one, other) for one, other in there.left.items()]
    edges += [
        (one, other) for covered in (there.away, there.beside) for one, others in covered.items() for other in others
    ]
    while more := {one for one, other in edges if other in found} - found:
        found |= more
    return frozenset(found)


async def _roles(conn: Connection, people: Iterable[str], role: str) -> list[str]:
    rows = await conn.fetch("SELECT DISTINCT role FROM roles_today WHERE person_id = ANY($1)", list(people))
    roles: set[str] = {row["role"] for row in rows} | ({role} if role else set[str]())
    services = {Role.AGENCY_SERVICES.value} if department_role(AGENCY_SERVICES_DEPARTMENT) in roles else set[str]()
    return sorted(roles | services)


async def _is_another_s(conn: Connection, step: Record) -> bool:
    """A department's task outside has assignees that follow the directory: such a case looks for itself."""
    if department_in(step["role"]):
        return True
    before = StepOwner(
        step_id=step["step_id"],
        role=step["role"],
        claimed_by=step["claimed_by"],
        reassigned_to=step["reassigned_to"],
    )
    now = await owner_today(conn, step["case_id"], before)
    believed = (step["claimed_by"], step["reassigned_to"], step["covered_by"])
    return (now.claimed_by, now.reassigned_to, now.covered_by) != believed


# Moments are those from which something holds: days begin at London's midnight.
_MOVED = """
    WITH london AS (SELECT *, starts::timestamp AT TIME ZONE 'Europe/London' AS first,
                           (ends + 1)::timestamp AT TIME ZONE 'Europe/London' AS after FROM absences)
    SELECT event, people, role, event ~ '^(left|department|pair)-' AS for_good FROM (
        SELECT 'absence-' || absence_id || '-begins' AS event, ARRAY[person_id] AS people, '' AS role,
            greatest(set_at, first) AS at FROM london WHERE ended_at IS NULL OR ended_at > first
        UNION ALL SELECT 'absence-' || absence_id || '-ends', ARRAY[person_id], '', least(ended_at, after) FROM london
        UNION ALL SELECT 'stands-in-' || person_id || '-' || stand_in_id || '-' || starts, ARRAY[person_id], '',
            starts::timestamp AT TIME ZONE 'Europe/London' FROM stand_ins
        UNION ALL SELECT 'stood-in-' || person_id || '-' || stand_in_id || '-' || ends, ARRAY[person_id], '',
            (ends + 1)::timestamp AT TIME ZONE 'Europe/London' FROM stand_ins
        UNION ALL SELECT 'left-' || person_id || '-' || extract(epoch FROM left_at)::bigint,
            array_remove(ARRAY[person_id, successor_id], NULL), '', left_at FROM people WHERE left_at IS NOT NULL
        UNION ALL SELECT 'department-' || slug || '-' || version, ARRAY[]::text[], 'department:' || slug,
            greatest(set_at, since::timestamp AT TIME ZONE 'Europe/London') FROM directory
        UNION ALL SELECT 'pair-' || csm_id || '-' || version, ARRAY[csm_id], '',
            greatest(set_at, since::timestamp AT TIME ZONE 'Europe/London') FROM csm_pairs) AS moved
    WHERE at > $1 AND at <= $2 ORDER BY at, event"""
_STEPS = """
    SELECT c.case_id, c.workflow_id, s.step_id, s.role, s.claimed_by,
        coalesce(s.view ->> 'reassigned_to', '') AS reassigned_to, coalesce(s.view ->> 'covered_by', '') AS covered_by
    FROM case_steps s JOIN cases c USING (case_id) LEFT JOIN clients k USING (client_id)
        LEFT JOIN css_on(holdfast_today()) t ON t.csm_id = coalesce(nullif(c.csm_id, ''), k.csm_id)
    WHERE c.status = 'open' AND s.state = 'open' AND (
        s.owner = ANY($1) OR s.claimed_by = ANY($1) OR s.view ->> 'reassigned_to' = ANY($1)
        OR split_part(s.role, '/', 1) = ANY($2)
        OR ((s.role = ANY('{role:csm,role:css,role:am}') OR s.role LIKE 'department:%')
            AND (coalesce(nullif(c.csm_id, ''), k.csm_id) = ANY($1) OR t.css_id = ANY($1) OR c.account_managers && $1)))
    ORDER BY c.case_id, s.step_id"""
