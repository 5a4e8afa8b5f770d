"""Who may decide about a case as its approver: by identity, at a moment, and never who has a hand in it."""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from adapters.postgres.actors import actor
from adapters.postgres.crypto import SealedError, Vault
from adapters.postgres.orders_proven import Hierarchy
from adapters.postgres.pool import Connection
from adapters.postgres.subjects import past_of
from domain.people import Identity, Role
from domain.rules.acts import Actor, Authority, Past
from domain.rules.stored_acts import Trust, Word
from domain.thread import CaseThread


async def requesters(conn: Connection, vault: Vault, case_id: str) -> frozenset[Identity]:
    """The client's side: whoever writes from one of his addresses, sent the request, or looks after him (his CSM); and
    the person as whom an API key opened it.
    """
    row = await conn.fetchrow(_CASE, case_id)
    if row is None:
        return frozenset()
    sender = await _sender(conn, vault, row["client_id"], row["thread_ct"])
    rows = await conn.fetch(_ASKED_BY, row["client_id"], sender, case_id)
    return frozenset(Identity(issuer=one["issuer"], sub=one["sub"]) for one in rows)


async def involved(conn: Connection, vault: Vault, case_id: str, said: Word, trust: Trust) -> Past:
    """Who had a hand in a case, by what was signed about it (`said`) and by whose request it is."""
    past = await past_of(conn, case_id, said, trust)
    return replace(past, requesters=past.requesters | await requesters(conn, vault, case_id))


def barred(past: Past) -> frozenset[Identity]:
    """Who may not decide about a case in which these had a hand."""
    return past.investigators | past.confirmers | past.requesters


async def signer(
    conn: Connection, who: Identity, case_id: str, roles: list[str], found: Authority | None
) -> Actor | None:
    """Whoever signed, with the approver's role if and only if they may decide as the approver now."""
    known = await actor(conn, who, case_id, [*roles, Role.PARTNER.value])
    if known is None:
        return None
    other = known.roles - {Role.APPROVER.value}
    held = other | {Role.APPROVER.value} if found else other
    return replace(known, roles=held)


def authority(hierarchy: Hierarchy, who: Identity, at: datetime, past: Past) -> Authority | None:
    return hierarchy.authority(who, at, barred(past))


_CASE = "SELECT client_id, thread_ct FROM cases WHERE case_id = $1"
_ASKED_BY = """SELECT p.issuer, p.sub FROM people p
    WHERE p.email = $2 OR p.email IN (SELECT address FROM client_addresses WHERE client_id = $1)
       OR p.person_id = (SELECT csm_id FROM clients WHERE client_id = $1)
       OR p.person_id IN (SELECT k.person_id FROM inbox i JOIN api_keys k ON k.name = split_part(i.event_id, '/', 1)
                          WHERE i.case_id = $3 AND i.provider = 'api')"""


async def _sender(conn: Connection, vault: Vault, client_id: str, sealed: bytes | None) -> str:
    for owner in dict.fromkeys((client_id, "")):
        key = await vault.known_key(conn, owner)
        with suppress(SealedError):
            if key and sealed:
                return CaseThread.model_validate_json(key.open(sealed)).sender
    return ""
