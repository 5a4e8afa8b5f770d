"""What the tables know about one mail that came in."""

from collections.abc import Sequence

from asyncpg import Record

from adapters.postgres.pool import Connection
from domain import ids
from domain.intake import Bounced, Known, KnownCase, Sought, Speaker
from domain.people import Role
from runtime.settings import Settings

MAIL_EFFECTS = ("send-letter", "nudge", "confirm-to-accounts", "answer-client")


async def known_of(conn: Connection, sought: Sought, settings: Settings) -> Known:
    """Looks everything up in the caller's transaction."""
    original = await _case_of(conn, [sought.original_id])
    staff = await _is_staff(conn, sought.sender)
    return Known(
        now=await conn.fetchval("SELECT holdfast_now()"),
        staff=staff,
        ours=await _our_mail(conn, sought.message_id, settings) is not None,
        client_id=await _client_of(conn, sought.original_sender),
        speaker=await _speaker(conn, sought, staff=staff),
        thread=original or await _case_of(conn, [*sought.references, *sought.tokens]),
        repeated=original is not None,
        bounced=await _our_mail(conn, sought.bounce_of, settings),
    )


async def staff_domains(conn: Connection, settings: Settings) -> frozenset[str]:
    """Whose domains a forward must come from to be read as one. A person's private domain is not among them."""
    found = {row["address"] for row in await conn.fetch("SELECT address FROM departments")}
    return frozenset({settings.mail_domain.lower(), *(one.rpartition("@")[2].lower() for one in found)})


async def _is_staff(conn: Connection, address: str) -> bool:
    query = """SELECT EXISTS (SELECT FROM departments WHERE lower(address) = $1)
                   OR EXISTS (SELECT FROM people WHERE lower(email) = $1 AND active)"""
    return bool(await conn.fetchval(query, address))


async def _client_of(conn: Connection, address: str) -> str:
    return await conn.fetchval("SELECT client_id FROM client_addresses WHERE address = $1", address) or ""


async def _case_of(conn: Connection, names: Sequence[str]) -> KnownCase | None:
    """The case of the first of these Message-IDs or tokens that belongs to one."""
    query = """SELECT c.case_id, c.workflow_id, c.client_id, c.status
               FROM unnest($1::text[]) WITH ORDINALITY AS n (name, place)
               JOIN mail_threads t ON t.message_id = n.name JOIN cases c USING (case_id) ORDER BY n.place LIMIT 1"""
    row = await conn.fetchrow(query, [name for name in names if name])
    return _known_case(row) if row else None


def _known_case(row: Record) -> KnownCase:
    return KnownCase(
        case_id=row["case_id"],
        workflow_id=row["workflow_id"],
        client_id=row["client_id"],
        is_open=row["status"] == "open",
    )


async def _our_mail(conn: Connection, message_id: str, settings: Settings) -> Bounced | None:
    """The effect that sent this mail. One that is only just being sent is not in the case's thread yet."""
    if not message_id:
        return None
    query = """SELECT e.key, e.kind, c.case_id, c.workflow_id, c.client_id, c.status
               FROM effects e JOIN cases c USING (case_id)
               WHERE e.kind = ANY($2) AND (e.state = 'sending' OR e.case_id IN (
                   SELECT case_id FROM mail_threads WHERE message_id = $1))"""
    for row in await conn.fetch(query, message_id, list(MAIL_EFFECTS)):
        if ids.message_id(row["key"], settings.mail_domain) == message_id:
            return Bounced(case=_known_case(row), effect_key=row["key"], effect_kind=row["kind"])
    return None


async def _speaker(conn: Connection, sought: Sought, *, staff: bool) -> Speaker | None:
    """The department that was asked: whoever passes the mail on, else one of its recipients, else his own one."""
    if own := await _department(conn, [sought.sender]):
        return own
    if asked := await _department(conn, sought.recipients):
        return asked
    return await _speaks_for(conn, sought.sender) if staff else None


async def _department(conn: Connection, addresses: Sequence[str]) -> Speaker | None:
    query = """SELECT d.name, lower(d.address) AS address FROM unnest($1::text[]) WITH ORDINALITY AS n (address, place)
               JOIN departments d ON lower(d.address) = n.address WHERE d.role <> $2 ORDER BY n.place LIMIT 1"""
    row = await conn.fetchrow(query, list(addresses), Role.RETURN_LEADS.value)
    return Speaker(address=row["address"], name=row["name"]) if row else None


async def _speaks_for(conn: Connection, address: str) -> Speaker | None:
    query = """SELECT coalesce(d.name, p.name) AS name, lower(coalesce(d.address, p.email)) AS address
               FROM people p LEFT JOIN memberships m USING (person_id)
                   LEFT JOIN departments d ON d.role = m.role AND d.role <> $2
               WHERE lower(p.email) = $1 ORDER BY d.role NULLS LAST LIMIT 1"""
    row = await conn.fetchrow(query, address, Role.RETURN_LEADS.value)
    return Speaker(address=row["address"], name=row["name"]) if row else None
