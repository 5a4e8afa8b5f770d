"""Who is who: people by their identity, who may be asked for a role today, and where a nudge goes.

Departments are asked by their contacts of today, whoever is away is covered for by the rules of `domain.rules.routing`.
For money (Accounts, approver, partner) only `money_people` count as able to sign: the money worker writes them from its
own configuration, and no import touches them. Their nudges go to the department's address.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from asyncpg import Record

from adapters.postgres.pool import Connection, Pool, transaction
from domain.errors import Permanent
from domain.owners import OwnerToday, StepOwner
from domain.people import (
    AGENCY_SERVICES_DEPARTMENT,
    Department,
    Identity,
    Person,
    Role,
    Topic,
    department_in,
    department_role,
    managed_in,
    manager_role,
)
from domain.rules.acts import Ownership
from domain.rules.routing import Contact, Presence, about, asked_today, covered_by, owned_today, topic_of

MONEY_ROLES = frozenset({Role.ACCOUNTS, Role.APPROVER, Role.PARTNER})


class Addressee(NamedTuple):
    name: str
    email: str


@dataclass(frozen=True)
class Addressed:
    """Where a nudge goes, never nobody. `fell_back` says why not to whom it was meant for, "" if it does; `named` as
    in `Asked`.
    """

    to: tuple[Addressee, ...]
    fell_back: str = ""
    named: str = ""


@dataclass(frozen=True)
class Asked:
    """Who is asked for a role today. `fell_back` says why it is not the role's own people, "" if it is.

    `away` are the role's own people who are absent: they are not asked, and may act all the same. `named`: who they are
    and up to what they may decide, where the case itself says who is asked.
    """

    people: tuple[Person, ...]
    fell_back: str = ""
    away: tuple[Person, ...] = ()
    named: str = ""

    @property
    def may_act(self) -> tuple[Person, ...]:
        return (*self.people, *self.away)


class CaseDeciders(Protocol):
    """Says whom the approval of a case asks."""

    async def of(self, conn: Connection, case_id: str) -> Asked: ...


class PostgresDirectory:
    """`last_resort` is asked when the tables name nobody at all. Without `deciders` whoever is an approver or stands in
    is asked to approve, whatever the case.
    """

    def __init__(self, pool: Pool, last_resort: Addressee | None = None, deciders: CaseDeciders | None = None) -> None:
        self._pool = pool
        self._last_resort = last_resort
        self._deciders = deciders

    async def person(self, identity: Identity) -> Person | None:
        """The active person with this identity."""
        async with transaction(self._pool, reading=True) as conn:
            return await person_by_identity(conn, identity)

    async def person_by_id(self, person_id: str) -> Person | None:
        """The active person with this id."""
        async with transaction(self._pool, reading=True) as conn:
            return next(iter(await people_by_id(conn, [person_id])), None)

    async def asked(self, role: str, case_id: str = "") -> Asked:
        """Who is asked for a role today; `case_id` tells whose CSM is meant, and who may approve."""
        async with transaction(self._pool, reading=True) as conn:
            return await self._asked(conn, role, case_id)

    async def department(self, role: str) -> Addressee | None:
        async with transaction(self._pool, reading=True) as conn:
            return await department(conn, role)

    async def addressees(self, role: str, case_id: str = "", claimed_by: str = "") -> tuple[Addressee, ...]:
        """Names and addresses for a nudge, never empty. Raises Permanent `nobody-to-ask` where the tables are empty."""
        return (await self.addressed(role, case_id, claimed_by)).to

    async def addressed(self, role: str, case_id: str = "", claimed_by: str = "") -> Addressed:
        """As `addressees`, and why it fell back if it did."""
        async with transaction(self._pool, reading=True) as conn:
            told = ""
            if claimed_by:
                own, told = await _instead_of_owner(conn, claimed_by)
                if own:
                    return Addressed(_addresses(own), told)
            found = await _addressed(conn, role, await self._asked(conn, role, case_id), told)
        if found.to:
            return found
        if self._last_resort is None:
            raise Permanent("holdfast", "nobody-to-ask", f"nobody is in {role}, and there is no department to turn to")
        return Addressed((self._last_resort,), found.fell_back, found.named)

    async def _asked(self, conn: Connection, role: str, case_id: str) -> Asked:
        if self._deciders and case_id and role == Role.APPROVER:
            return await self._deciders.of(conn, case_id)
        return await who_is_asked(conn, role, case_id)


async def person_by_identity(conn: Connection, identity: Identity) -> Person | None:
    query = f"{_PEOPLE} AND p.issuer = $1 AND p.sub = $2 {_GROUP}"
    row = await conn.fetchrow(query, identity.issuer, identity.sub)
    return _person(row) if row else None


async def people_by_id(conn: Connection, person_ids: Sequence[str]) -> tuple[Person, ...]:
    """The active ones of these people, in the order they are named."""
    rows = await conn.fetch(f"{_PEOPLE} AND p.person_id = ANY($1) {_GROUP}", list(person_ids))
    found = {row["person_id"]: _person(row) for row in rows}
    return tuple(found[one] for one in dict.fromkeys(person_ids) if one in found)


async def department(conn: Connection, role: str) -> Addressee | None:
    row = await conn.fetchrow("SELECT name, address FROM departments WHERE role = $1", role)
    return Addressee(row["name"], row["address"]) if row else None


async def who_is_asked(conn: Connection, role: str, case_id: str = "") -> Asked:
    """The role's own people who are here today and whoever covers for the others; then, whoever is there first, the
    role's managers, the Agency Services Manager, Operations.

    For money there is no fall-back: only `money_people` of that very role, who may be nobody. The approver's stand-ins
    of today count beside him, and the partner where there is no approver; whether they may decide is for the judge, and
    whom the approval of a case really asks is for `CaseDeciders`.
    """
    if role == Role.APPROVER:
        return await _approvers(conn)
    if role in MONEY_ROLES:
        return Asked(await _money_people(conn, role))
    there = await presence(conn)
    named = await named_for(conn, role, case_id)
    away = await people_by_id(conn, [one for one in named if one in there.away])
    if people := await people_by_id(conn, asked_today(named, there)):
        return Asked(people, away=away)
    for substitute, query, wanted in _instead_of(role):
        if people := await people_by_id(conn, asked_today(await _ids(conn, query, wanted), there)):
            return Asked(people, f"nobody is in {role} today: this goes to {substitute}", away)
    return Asked((), f"nobody is in {role} today, nor in its place", away)


def _instead_of(role: str) -> tuple[tuple[str, str, str], ...]:
    """Who is asked where nobody of a role can be, in this order: in words, and as they are looked up."""
    asked = department_in(role)
    managed = f"department:{asked.slug}" if asked else role
    managers = () if managed_in(role) else ((f"the managers of {managed}", _MANAGERS, managed),)
    services = "the Agency Services Manager", _CONTACTS, AGENCY_SERVICES_DEPARTMENT
    return (*managers, services, (Role.OPERATIONS.value, _MEMBERS, Role.OPERATIONS.value))


async def presence(conn: Connection) -> Presence:
    """Who is not here today (database time, London), and who does their work."""
    left, away, beside = dict[str, str](), dict[str, tuple[str, ...]](), dict[str, tuple[str, ...]]()
    for row in await conn.fetch(_PRESENCE):
        person_id, other = row["person_id"], row["other"]
        match row["how"]:
            case "left":
                left[person_id] = other
            case "away":
                away[person_id] = (*away.get(person_id, ()), *filter(None, (other,)))
            case _:
                beside[person_id] = (*beside.get(person_id, ()), other)
    return Presence(left, away, beside)


async def own_today(conn: Connection, own: Ownership, role: str, case_id: str) -> Ownership:
    """Whose a step is today, and who may act in its owner's place: whoever covers for them, else whoever the role
    asks.
    """
    if not own.owner:
        return own
    there = await presence(conn)
    own = owned_today(own, there)
    if own.owner in there.away and not own.covers:
        asked = await who_is_asked(conn, role, case_id)
        own = replace(own, covers=tuple(one.person_id for one in asked.people))
    return own


async def owner_today(conn: Connection, case_id: str, step: StepOwner) -> OwnerToday:
    """The owner of a step by what people signed and by who is here. A step about money is covered for by nobody."""
    role, own = step.role, Ownership(step.claimed_by, step.reassigned_to)
    own = await own_today(conn, own, role, case_id)
    asked = await who_is_asked(conn, role, case_id)
    people = tuple(one.person_id for one in asked.people)
    there = await presence(conn)
    if own.owner:
        people = (own.owner,) if there.is_here(own.owner) else own.covers
        covering = "" if own.owner in people else next(iter(people), "")
    else:
        covering = covered_by(await named_for(conn, role, case_id), there)
        covering = covering or (next(iter(people), "") if asked.fell_back else "")
    return OwnerToday(
        step_id=step.step_id,
        claimed_by=own.claimed_by,
        reassigned_to=own.reassigned_to,
        covered_by="" if role in MONEY_ROLES else covering,
        asked=people,
        fell_back="" if own.owner else asked.fell_back,
    )


async def departments_asking(conn: Connection, person_id: str) -> frozenset[str]:
    """The roles of departments and their managers that ask this person today, whatever it is about."""
    there = await presence(conn)
    rows = await conn.fetch(_DEPARTMENTS)
    services: list[str] = [one for row in rows if row["slug"] == AGENCY_SERVICES_DEPARTMENT for one in row["contacts"]]
    spare = asked_today(services, there) or asked_today(await _ids(conn, _MEMBERS, Role.OPERATIONS), there)
    found = set[str]()
    for row in rows:
        managers = asked_today([row["manager_id"]] if row["manager_id"] else [], there) or spare
        contacts = asked_today(row["contacts"], there) or managers
        away = [one for one in row["contacts"] if one in there.away]
        found |= {department_role(row["slug"])} if person_id in {*contacts, *away} else set()
        found |= {manager_role(row["slug"])} if person_id in managers else set()
    services_role = {Role.AGENCY_SERVICES.value} if person_id in spare else set[str]()
    return frozenset(found | services_role)


_PEOPLE = """SELECT p.*, array_remove(array_agg(m.role ORDER BY m.role), NULL) AS roles,
        array_remove(array_agg(CASE WHEN m.manager THEN m.role END), NULL) AS managers_of
    FROM people p LEFT JOIN roles_today m USING (person_id) WHERE p.active"""
_GROUP = "GROUP BY p.person_id ORDER BY p.person_id"
_MEMBERS = "SELECT person_id FROM memberships WHERE role = $1 AND NOT manager ORDER BY 1"
_MANAGERS = "SELECT person_id FROM roles_today WHERE role = $1 AND manager ORDER BY 1"
_CONTACTS = """SELECT c.person_id FROM directory_on(holdfast_today()) d JOIN directory_contacts c USING (slug, version)
    WHERE d.slug = $1 ORDER BY c.rank"""
_DEPARTMENTS = """SELECT d.slug, d.manager_id, array_agg(c.person_id ORDER BY c.rank) AS contacts
    FROM directory_on(holdfast_today()) d JOIN directory_contacts c USING (slug, version) GROUP BY 1, 2"""
_CONTACTS_BY_TOPIC = _CONTACTS.replace("c.person_id", "c.person_id, c.topic")
_CASE_CSM = "coalesce(nullif(c.csm_id, ''), k.csm_id)"
_CSM = f"""SELECT {_CASE_CSM} AS person_id FROM cases c LEFT JOIN clients k USING (client_id)
    WHERE c.case_id = $1 AND {_CASE_CSM} IS NOT NULL"""  # noqa: S608 - constants
_CSS = f"""SELECT s.css_id AS person_id FROM cases c LEFT JOIN clients k USING (client_id)
    JOIN css_on(holdfast_today()) s ON s.csm_id = {_CASE_CSM} WHERE c.case_id = $1"""  # noqa: S608 - constants
_IN_COPY = """SELECT p.person_id FROM cases c JOIN people p ON p.person_id = ANY(c.account_managers) AND p.active
    WHERE c.case_id = $1 ORDER BY 1"""
_PRESENCE = """
    SELECT person_id, 'left' AS how, coalesce(successor_id, '') AS other, 0 AS place FROM people WHERE NOT active
    UNION ALL SELECT person_id, 'away', coalesce(stand_in_id, ''), absence_id FROM absences_on(holdfast_today())
    UNION ALL SELECT person_id, 'beside', stand_in_id, 0 FROM stand_ins WHERE holdfast_today() BETWEEN starts AND ends
    ORDER BY 1, 2, 4 DESC, 3"""
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


async def named_for(conn: Connection, role: str, case_id: str) -> list[str]:
    """Whose a role is, here or not: person ids, in the directory's order."""
    if asked := department_in(role):
        return list(about(await contacts_of(conn, asked.slug), await _topic(conn, asked, case_id)))
    if slug := managed_in(role):
        return await _ids(conn, _MANAGERS, f"department:{slug}")
    match role:
        case Role.CSM:
            return await _ids(conn, _CSM, case_id)
        case Role.CSS:
            return await _ids(conn, _CSS, case_id)
        case Role.ACCOUNT_MANAGER:
            return await _ids(conn, _IN_COPY, case_id) or await _ids(conn, _CSM, case_id)
        case Role.AGENCY_SERVICES:
            return await _ids(conn, _CONTACTS, AGENCY_SERVICES_DEPARTMENT)
        case _:
            return await _ids(conn, _MEMBERS, role)


async def contacts_of(conn: Connection, slug: str) -> tuple[Contact, ...]:
    """A department's contacts of today, the first one first."""
    rows = await conn.fetch(_CONTACTS_BY_TOPIC, slug)
    return tuple(Contact(row["person_id"], Topic(row["topic"])) for row in rows)


async def _topic(conn: Connection, asked: Department, case_id: str) -> Topic:
    """ID-2: a case with a client is about them unless the role says that it is operational."""
    if asked.topic:
        return asked.topic
    client = await conn.fetchval("SELECT client_id FROM cases WHERE case_id = $1", case_id)
    return topic_of(operational=False, client_related=bool(client))


async def _ids(conn: Connection, query: str, value: str) -> list[str]:
    return [row["person_id"] for row in await conn.fetch(query, value)]


async def _money_people(conn: Connection, role: str) -> tuple[Person, ...]:
    """Those in force now. Whoever is not in `people` has no id but `issuer|sub`, and no address."""
    return tuple(
        Person(
            person_id=row["person_id"] or f"{row['issuer']}|{row['sub']}",
            name=row["name"],
            email=row["email"] or "",
            identity=Identity(issuer=row["issuer"], sub=row["sub"]),
            roles=(role,),
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


async def _addressed(conn: Connection, role: str, asked: Asked, told: str) -> Addressed:
    instead = role == Role.APPROVER and asked.fell_back  # the approver's mailbox is not for others' decisions
    if not instead and (queue := await department(conn, role)):
        return Addressed((queue,), told, asked.named)
    if reachable := _addresses(asked.people):
        return Addressed(reachable, "; ".join(filter(None, (told, asked.fell_back))), asked.named)
    operations = await department(conn, Role.OPERATIONS)
    told = "; ".join(filter(None, (told, asked.fell_back or f"nobody of {role} can be reached")))
    return Addressed((operations,) if operations else (), told, asked.named)


async def _instead_of_owner(conn: Connection, owner: str) -> tuple[tuple[Person, ...], str]:
    """Whom a step's owner is reached by today, and why it is not (only) them."""
    there = await presence(conn)
    people = await people_by_id(conn, asked_today([owner], there))
    if owner in there.left:
        return people, f"{owner} is no longer here"
    if owner in there.away:
        return people, f"{owner} is away today"
    return people, ""


def _addresses(people: Sequence[Person]) -> tuple[Addressee, ...]:
    return tuple(Addressee(person.name, person.email) for person in people if person.email)


def _person(row: Record) -> Person:
    return Person(
        person_id=row["person_id"],
        name=row["name"],
        email=row["email"],
        identity=Identity(issuer=row["issuer"], sub=row["sub"]),
        roles=tuple(row["roles"]),
        managers_of=tuple(row["managers_of"]),
    )
