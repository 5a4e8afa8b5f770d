"""What waits for somebody: the steps of their roles today, as contacts, managers, stand-ins and covers: one query."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from asyncpg import Record

from adapters.postgres.asking import Deciders
from adapters.postgres.crypto import ClientKey, Vault
from adapters.postgres.directory import presence
from adapters.postgres.pool import Connection, Pool, transaction
from domain.case import OpenStep
from domain.people import AGENCY_SERVICES_DEPARTMENT, Role, Topic, department_in, department_role, manager_role
from domain.rules.routing import Contact, Presence, about, asked_today, topic_of
from domain.rules.stored_acts import Trust

MOST = 200
_OF_A_CASE = (Role.CSM, Role.CSS, Role.ACCOUNT_MANAGER)
_DECIDES = frozenset({Role.APPROVER, Role.PARTNER})


@dataclass(frozen=True)
class Reach:
    """What comes to somebody today. `looks_after`: whose clients are theirs too, by person id; "": nobody's."""

    roles: frozenset[str]
    looks_after: frozenset[str]


@dataclass(frozen=True)
class WorkRow:
    """A step that waits. `title`: what was asked, where a case has one; `breached_at`: when its promise broke, or one
    of its whole case's.
    """

    case_id: str
    client_id: str
    client_name: str
    title: str
    step: OpenStep
    why: str
    breached_at: datetime | None


@dataclass(frozen=True)
class Work:
    """A page of it; `total`: on all pages. Broken promises come first, then what is due first."""

    rows: tuple[WorkRow, ...]
    total: int = 0

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // MOST))


class MyWork:
    """Works under the door's role. `trust` says by which orders and acts somebody may approve."""

    def __init__(self, pool: Pool, vault: Vault, trust: Trust) -> None:
        self._pool, self._vault, self._deciders = pool, vault, Deciders(vault, trust)

    async def of(self, person_id: str, roles: Iterable[str], number: int = 1) -> Work:
        """Open steps that somebody has, may take, or sees with colleagues. `roles`: their queues of today.

        Page `number`, from 1; one that is not there has no rows.
        """
        async with transaction(self._pool, reading=True) as conn:
            theirs = await reach(conn, person_id, roles)
            decides = theirs.roles & _DECIDES
            asked = {*theirs.roles, *_OF_A_CASE, *_unnamed(theirs.roles), *({Role.APPROVER} if decides else ())}
            approvals = await self._approvals(conn, person_id) if decides else []
            values = (person_id, sorted(asked), sorted(theirs.looks_after), *_not_theirs(theirs.roles))
            rows = await conn.fetch(STEPS, *values, (number - 1) * MOST, approvals)
            keys = await self._vault.known_keys(conn, {row["client_id"] for row in rows if row["title_ct"]})
        return Work(tuple(_row(row, keys.get(row["client_id"])) for row in rows), rows[0]["total"] if rows else 0)

    async def _approvals(self, conn: Connection, person_id: str) -> list[str]:
        """The cases that ask somebody for an approval: not all that wait for one, as each says itself who decides."""
        waiting = [row["case_id"] for row in await conn.fetch(_APPROVALS, Role.APPROVER)]
        asked = {case_id: (await self._deciders.of(conn, case_id)).people for case_id in waiting}
        return [case_id for case_id, people in asked.items() if person_id in {one.person_id for one in people}]


async def reach(conn: Connection, person_id: str, roles: Iterable[str] = ()) -> Reach:
    """The departments that ask somebody today, and whose clients they look after, beside the queues given."""
    there, departments = await presence(conn), await conn.fetch(_DEPARTMENTS)
    services: list[str] = [
        one for row in departments if row["slug"] == AGENCY_SERVICES_DEPARTMENT for one in row["people"]
    ]
    spare = asked_today(services, there) or asked_today(await _operations(conn), there)
    found = {one for one in roles if department_in(one) is None}
    for row in departments:
        managers = asked_today([row["manager_id"]] if row["manager_id"] else [], there) or spare
        found |= {manager_role(row["slug"])} if person_id in managers else set()
        contacts = [Contact(one, Topic(topic)) for one, topic in zip(row["people"], row["topics"], strict=True)]
        for topic in (Topic.OPERATIONAL, Topic.CLIENT):
            named = about(contacts, topic)
            asked = asked_today(named, there) or managers
            if person_id in {*asked, *(one for one in named if one in there.away)}:
                found.add(department_role(row["slug"], topic))
    return Reach(frozenset(found), _looked_after(person_id, there, spare=person_id in spare))


def _looked_after(person_id: str, there: Presence, *, spare: bool) -> frozenset[str]:
    """Themselves, whoever they stand in for, and where nobody is left to do it: those whom nobody covers for."""
    others = {*there.left, *there.away, *there.beside}
    reached = {one: asked_today([one], there) for one in others}
    theirs = {one for one, people in reached.items() if person_id in people or (spare and not people)}
    return frozenset({person_id, *theirs, *([""] if spare else [])})


def _unnamed(roles: Iterable[str]) -> set[str]:
    """Departments as a step may ask them that does not say what it is about."""
    return {department_role(asked.slug) for one in roles if (asked := department_in(one))}


def _not_theirs(roles: Iterable[str]) -> tuple[list[str], list[str]]:
    """ID-2: departments as a step may ask them that does not say what it is about, where somebody is not asked about
    clients, and where not about anything else: there it follows from the case.
    """
    named = set(roles)
    client, other = (topic_of(operational=False, client_related=one) for one in (True, False))
    found = [(one, department_in(one)) for one in sorted(_unnamed(named))]
    without = [
        [one for one, asked in found if asked and department_role(asked.slug, topic) not in named]
        for topic in (client, other)
    ]
    return without[0], without[1]


def _row(row: Record, key: ClientKey | None) -> WorkRow:
    title = key.open(row["title_ct"]).decode() if key and row["title_ct"] else ""
    return WorkRow(
        case_id=row["case_id"],
        client_id=row["client_id"],
        client_name=row["client_name"],
        title=title,
        step=OpenStep.model_validate(row["view"]),
        why=row["view"].get("why", ""),
        breached_at=row["breached_at"],
    )


async def _operations(conn: Connection) -> list[str]:
    query = "SELECT person_id FROM memberships WHERE role = $1 AND NOT manager ORDER BY 1"
    return [row["person_id"] for row in await conn.fetch(query, Role.OPERATIONS)]


_DEPARTMENTS = """SELECT d.slug, d.manager_id, array_agg(c.person_id ORDER BY c.rank) AS people,
        array_agg(c.topic ORDER BY c.rank) AS topics
    FROM directory_on(holdfast_today()) d JOIN directory_contacts c USING (slug, version) GROUP BY 1, 2"""
_APPROVALS = "SELECT DISTINCT case_id FROM case_steps WHERE state = 'open' AND role = $1"
_CSM = "coalesce(nullif(c.csm_id, ''), k.csm_id, '')"
STEPS = f"""
    SELECT s.case_id, s.role, s.owner, s.view, c.client_id, coalesce(k.name, '') AS client_name,
        t.content_ct AS title_ct, b.breached_at, count(*) OVER () AS total
    FROM case_steps s JOIN cases c USING (case_id) LEFT JOIN clients k USING (client_id)
        LEFT JOIN css_on(holdfast_today()) p ON s.role = 'role:css' AND p.csm_id = {_CSM}
        LEFT JOIN texts t ON t.client_id = c.client_id AND t.sha256 = c.request ->> 'title_sha256'
        LEFT JOIN LATERAL (SELECT min(at) AS breached_at FROM (
            SELECT e.recorded_at AS at FROM case_events e
                WHERE e.case_id = s.case_id AND e.kind = 'breached' AND e.step_id = s.step_id
            UNION ALL SELECT (o ->> 'breached_at')::timestamptz FROM jsonb_array_elements(c.view -> 'clocks') o
                WHERE coalesce(o ->> 'step_id', '') = '' AND o ->> 'met_at' IS NULL) broken) b ON true
    WHERE s.state = 'open' AND (s.owner = $1 OR s.role = ANY($2)) AND (s.owner = $1 OR CASE
        WHEN s.role = ANY($4) AND c.client_id <> '' OR s.role = ANY($5) AND c.client_id = '' THEN false
        ELSE true END) AND (s.owner = $1 OR CASE s.role
        WHEN 'role:csm' THEN {_CSM} = ANY($3)
        WHEN 'role:css' THEN coalesce(p.css_id, '') = ANY($3)
        WHEN 'role:approver' THEN s.case_id = ANY($7)
        WHEN 'role:am' THEN c.account_managers && $3::text[] OR {_CSM} = ANY($3) AND NOT EXISTS (
            SELECT 1 FROM people a WHERE a.person_id = ANY(c.account_managers) AND a.active)
        ELSE true END)
    ORDER BY (b.breached_at IS NULL), s.due_at, s.case_id, s.step_id LIMIT {MOST} OFFSET $6"""  # noqa: S608 - constants
