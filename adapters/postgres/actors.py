"""Whoever signed, as the judge of an act sees them: known, active, and asked for which roles at this moment."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from adapters.postgres.api_keys import service_of
from adapters.postgres.directory import people_by_id, person_by_identity, who_is_asked
from adapters.postgres.pool import Connection
from domain import api_keys
from domain.case import Model
from domain.messages import ActKind
from domain.people import Identity, Person, Role, speaks_for
from domain.return_lead import Reassignment
from domain.rules.acts import MONEY_ROLES, Actor
from domain.rules.authority import ACT_RULES


async def actor(conn: Connection, identity: Identity, case_id: str, roles: Iterable[str]) -> Actor | None:
    """None if nobody active has this identity. Which of `roles` they have is decided by identity, never by name."""
    if identity.issuer == api_keys.ISSUER:
        return await _service(conn, identity, case_id, roles)
    person = await person_by_identity(conn, identity)
    held: set[str] = set()
    for role in roles:
        for one in (await who_is_asked(conn, role, case_id)).may_act:
            if one.identity == identity:
                held.add(role)
                # Money people need not be in the directory; they are known all the same.
                person = person or (one if role in MONEY_ROLES else None)
    return _actor(person, held) if person else None


async def _service(conn: Connection, identity: Identity, case_id: str, roles: Iterable[str]) -> Actor | None:
    """A key acts as its department, or as its person: with what they may do now, but never for money."""
    service = await service_of(conn, identity)
    if service is None:
        return None
    allowed = sorted(set(roles) - MONEY_ROLES)
    if service.person_id:
        person = next(iter(await people_by_id(conn, [service.person_id])), None)
        as_person = await actor(conn, person.identity, case_id, allowed) if person else None
        return replace(as_person, identity=identity) if as_person else None
    held = frozenset(one for one in allowed if speaks_for(service.role, one))
    return Actor(person_id=api_keys.service_id(service.name), identity=identity, roles=held)


def roles_that_count(kind: ActKind, role: str) -> list[str]:
    """The roles to look up for whoever signs this kind of act in a step asked of `role`."""
    fixed = ACT_RULES[kind].role
    return sorted({role, Role.APPROVER.value, fixed.value if fixed else role} - {""})


async def unknown_assignee(conn: Connection, result: Model, case_id: str, role: str, kinds: Sequence[str]) -> str:
    """A refusal code if a step can't be reassigned as the result says, else "".

    A step about money goes only to one of those it asks; any other to anybody active.
    """
    if not isinstance(result, Reassignment):
        return ""
    found = await people_by_id(conn, [result.to])
    to = await actor(conn, found[0].identity, case_id, [role]) if found else None
    about_money = any(kind in ACT_RULES and ACT_RULES[ActKind(kind)].money for kind in kinds)
    return "" if to and (role in to.roles or not about_money) else "unknown-assignee"


def _actor(person: Person, held: set[str]) -> Actor:
    manages = frozenset(person.managers_of)
    return Actor(person_id=person.person_id, identity=person.identity, roles=frozenset(held), manages=manages)
