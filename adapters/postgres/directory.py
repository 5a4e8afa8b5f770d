"""Who is who: people by their identity, who may be asked for a role today, and where a nudge goes.

For money (Accounts, approver, partner) only `money_people` count as able to sign: the money worker writes them from its
own configuration, and no import touches them. Their nudges go to the department's address.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from asyncpg import Record

from adapters.postgres.pool import Connection, Pool, transaction
from domain.errors import Permanent
from domain.people import Identity, Person, Role

MONEY_ROLES = frozenset({Role.ACCOUNTS, Role.APPROVER, Role.PARTNER})


class Addressee(NamedTuple):
    name: str
    email: str


@dataclass(frozen=True)
class Addressed:
    """Where a nudge goes, never nobody. `fell_back` says why not to whom it was meant for, "" if it does."""

    to: tuple[Addressee, ...]
    fell_back: str = ""


@dataclass(frozen=True)
class Asked:
    """Who may act for a role today. `fell_back` says why it is not the role's own people, "" if it is."""

    people: tuple[Person, ...]
    fell_back: str = ""


class PostgresDirectory:
    """`last_resort` is asked when the tables name nobody at all."""

    def __init__(self, pool: Pool, last_resort: Addressee | None = None) -> None:
        self._pool = pool
        self._last_resort = last_resort

    async def person(self, identity: Identity) -> Person | None:
        """The active person with this identity."""
        async with transaction(self._pool, reading=True) as conn:
            return await person_by_identity(conn, identity)

    async def person_by_id(self, person_id: str) -> Person | None:
        """The active person with this id."""
        async with transaction(self._pool, reading=True) as conn:
            return next(iter(await people_by_id(conn, [person_id])), None)

    async def asked(self, role: str, case_id: str = "") -> Asked:
        """Who may act for a role today; `case_id` tells whose CSM is meant."""
        async with transaction(self._pool, reading=True) as conn:
            return await who_is_asked(conn, role, case_id)

    async def department(self, role: str) -> Addressee | None:
        async with transaction(self._pool, reading=True) as conn:
            return await department(conn, role)

    async def addressees(self, role: str, case_id: str = "", claimed_by: str = "") -> tuple[Addressee, ...]:
        """Names and addresses for a nudge, never empty. Raises Permanent `nobody-to-ask` where the tables are empty."""
        return (await self.addressed(role, case_id, claimed_by)).to

    async def addressed(self, role: str, case_id: str = "", claimed_by: str = "") -> Addressed:
        """As `addressees`, and why it fell back if it did."""
        async with transaction(self._pool, reading=True) as conn:
            found = await _addressed(conn, role, case_id, claimed_by)
        if found.to:
            return found
        if self._last_resort is None:
            raise Permanent("holdfast", "nobody-to-ask", f"nobody is in {role}, and there is no department to turn to")
        return Addressed((self._last_resort,), found.fell_back)


async def person_by_identity(conn: Connection, identity: Identity) -> Person | None:
    query = f"{_PEOPLE} AND p.issuer = $1 AND p.sub = $2 {_GROUP}"
    row = await conn.fetchrow(query, identity.issuer, identity.sub)
    return _person(row) if row else None


async def people_by_id(conn: Connection, person_ids: Sequence[str]) -> tuple[Person, ...]:
    """The active ones of these people."""
    return tuple(map(_person, await conn.fetch(f"{_PEOPLE} AND p.person_id = ANY($1) {_GROUP}", list(person_ids))))


async def department(conn: Connection, role: str) -> Addressee | None:
    row = await conn.fetchrow("SELECT name, address FROM departments WHERE role = $1", role)
    return Addressee(row["name"], row["address"]) if row else None


async def who_is_asked(conn: Connection, role: str, case_id: str = "") -> Asked:
    """Members and whoever stands in for them today; then the role's managers, then Operations, whoever is there first.

    For money there is no fall-back: only `money_people` of that very role, who may be nobody. The approver's stand-ins
    of today are asked beside him, and the partner where there is no approver; whether they may decide is for the judge.
    """
    if role == Role.APPROVER:
        return await _approvers(conn)
    if role in MONEY_ROLES:
        return Asked(await _money_people(conn, role))
    own = await _with_stand_ins(conn, await _named(conn, role, case_id))
    if own:
        return Asked(own)
    for substitute, query in ((f"the managers of {role}", _MANAGERS), (Role.OPERATIONS.value, _MEMBERS)):
        wanted = role if query == _MANAGERS else Role.OPERATIONS
        people = await _with_stand_ins(conn, await _ids(conn, query, wanted))
        if people:
            return Asked(people, f"nobody is in {role} today: this goes to {substitute}")
    return Asked((), f"nobody is in {role} today, nor in its place")


async def stand_ins(conn: Connection, person_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Who stands in today (database time, London) for each of these people that has somebody."""
    found: dict[str, tuple[str, ...]] = {}
    for row in await conn.fetch(_STAND_INS, list(person_ids)):
        found[row["person_id"]] = (*found.get(row["person_id"], ()), row["stand_in_id"])
    return found


_PEOPLE = """SELECT p.*, array_remove(array_agg(m.role ORDER BY m.role), NULL) AS roles,
        array_remove(array_agg(CASE WHEN m.manager THEN m.role END ORDER BY m.role), NULL) AS managers_of
    FROM people p LEFT JOIN memberships m USING (person_id) WHERE p.active"""
_GROUP = "GROUP BY p.person_id ORDER BY p.person_id"
_MEMBERS = "SELECT person_id FROM memberships WHERE role = $1 AND NOT manager"
_MANAGERS = "SELECT person_id FROM memberships WHERE role = $1 AND manager"
_CSM = """SELECT k.csm_id AS person_id FROM clients k JOIN cases c USING (client_id)
    WHERE c.case_id = $1 AND k.csm_id IS NOT NULL"""
_IN_COPY = """SELECT p.person_id FROM cases c JOIN people p ON p.person_id = ANY(c.account_managers) AND p.active
    WHERE c.case_id = $1"""
_STAND_INS = """SELECT s.person_id, s.stand_in_id
    FROM stand_ins s JOIN people p ON p.person_id = s.stand_in_id AND p.active
    WHERE s.person_id = ANY($1) AND (holdfast_now() AT TIME ZONE 'Europe/London')::date BETWEEN s.starts AND s.ends
    ORDER BY 1, 2"""
_MONEY_PEOPLE = """SELECT DISTINCT ON (m.issuer, m.sub) m.issuer, m.sub, m.name, p.person_id, p.email
    FROM money_people m LEFT JOIN people p ON p.issuer = m.issuer AND p.sub = m.sub AND p.active
    WHERE m.role = $1 AND m.since <= holdfast_now() AND (m.until IS NULL OR m.until > holdfast_now())
    ORDER BY m.issuer, m.sub, m.since DESC"""


# Only for asking: an order is proven where it is relied on.
_STANDING_IN = """SELECT DISTINCT p.person_id FROM people p JOIN (
        SELECT DISTINCT ON (o.said #> '{approver}', o.said #> '{stand_in}') o.said
        FROM (SELECT seq, payload::jsonb AS said FROM orders WHERE kind = 'standin.set') o
        ORDER BY o.said #> '{approver}', o.said #> '{stand_in}', o.seq DESC) AS latest
      ON p.issuer = said #>> '{stand_in,issuer}' AND p.sub = said #>> '{stand_in,sub}'
    WHERE p.active AND (holdfast_now() AT TIME ZONE 'Europe/London')::date
        BETWEEN (said ->> 'starts')::date AND (said ->> 'ends')::date"""


async def _named(conn: Connection, role: str, case_id: str) -> list[str]:
    if role == Role.CSM:
        return await _ids(conn, _CSM, case_id)
    if role == Role.ACCOUNT_MANAGER:
        return await _ids(conn, _IN_COPY, case_id) or await _ids(conn, _CSM, case_id)
    return await _ids(conn, _MEMBERS, role)


async def _ids(conn: Connection, query: str, value: str) -> list[str]:
    return [row["person_id"] for row in await conn.fetch(query, value)]


async def _with_stand_ins(conn: Connection, person_ids: Sequence[str]) -> tuple[Person, ...]:
    standing_in = await stand_ins(conn, person_ids)
    wanted = [*person_ids, *(one for found in standing_in.values() for one in found)]
    return await people_by_id(conn, wanted)


async def _money_people(conn: Connection, role: str) -> tuple[Person, ...]:
    """Those in force now. Whoever is not in `people` has no id but `issuer|sub`, and no address."""
    return tuple(
        Person(
            person_id=row["person_id"] or f"{row['issuer']}|{row['sub']}",
            name=row["name"],
            email=row["email"] or "",
            identity=Identity(issuer=row["issuer"], sub=row["sub"]),
            roles=(Role(role),),
        )
        for row in await conn.fetch(_MONEY_PEOPLE, role)
    )


async def _approvers(conn: Connection) -> Asked:
    own = await _money_people(conn, Role.APPROVER)
    if not own:
        return Asked(await _money_people(conn, Role.PARTNER), "there is no approver: this goes to the partner")
    ids = [row["person_id"] for row in await conn.fetch(_STANDING_IN)]
    known = [person.identity for person in own]
    standing_in = [one for one in await people_by_id(conn, ids) if one.identity not in known]
    return Asked((*own, *standing_in))


async def _addressed(conn: Connection, role: str, case_id: str, claimed_by: str) -> Addressed:
    told = ""
    if claimed_by:
        own = await _with_stand_ins(conn, [claimed_by])
        if own:
            return Addressed(_addresses(own))
        told = f"{claimed_by} is no longer here"
    queue = await department(conn, role)
    if queue:
        return Addressed((queue,), told)
    asked = await who_is_asked(conn, role, case_id)
    if reachable := _addresses(asked.people):
        return Addressed(reachable, "; ".join(filter(None, (told, asked.fell_back))))
    operations = await department(conn, Role.OPERATIONS)
    told = "; ".join(filter(None, (told, asked.fell_back or f"nobody of {role} can be reached")))
    return Addressed((operations,) if operations else (), told)


def _addresses(people: Sequence[Person]) -> tuple[Addressee, ...]:
    return tuple(Addressee(person.name, person.email) for person in people if person.email)


def _person(row: Record) -> Person:
    known = {role.value for role in Role}
    return Person(
        person_id=row["person_id"],
        name=row["name"],
        email=row["email"],
        identity=Identity(issuer=row["issuer"], sub=row["sub"]),
        roles=tuple(Role(role) for role in row["roles"] if role in known),
        managers_of=tuple(Role(role) for role in row["managers_of"] if role in known),
    )
