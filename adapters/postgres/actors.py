"""Whoever signed, as the judge of an act sees them: known, active, and asked for which roles at this moment."""

from collections.abc import Iterable

from adapters.postgres.directory import people_by_id, person_by_identity, who_is_asked
from adapters.postgres.pool import Connection
from domain.people import Identity, Person
from domain.rules.acts import MONEY_ROLES, Actor


async def actor(conn: Connection, identity: Identity, case_id: str, roles: Iterable[str]) -> Actor | None:
    """None if nobody active has this identity. Which of `roles` they have is decided by identity, never by name."""
    person = await person_by_identity(conn, identity)
    held: set[str] = set()
    for role in roles:
        for one in (await who_is_asked(conn, role, case_id)).people:
            if one.identity == identity:
                held.add(role)
                # Money people need not be in the directory; they are known all the same.
                person = person or (one if role in MONEY_ROLES else None)
    return _actor(person, held) if person else None


async def known_actor(conn: Connection, person_id: str, case_id: str, roles: Iterable[str]) -> Actor | None:
    """As `actor`, by person id."""
    found = await people_by_id(conn, [person_id])
    return await actor(conn, found[0].identity, case_id, roles) if found else None


def _actor(person: Person, held: set[str]) -> Actor:
    manages = frozenset(role.value for role in person.managers_of)
    return Actor(person_id=person.person_id, identity=person.identity, roles=frozenset(held), manages=manages)
