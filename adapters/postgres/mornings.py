"""Whom a nudge goes to by now, by whose calendar they work, and in whose zone they read a moment."""

from collections.abc import Sequence
from datetime import datetime

from adapters.postgres.calendars import snapshot
from adapters.postgres.directory import Addressed, Addressee, PostgresDirectory
from adapters.postgres.pool import Connection
from domain.case import OpenStep
from domain.rules.calendar import Calendar, NeverOpenError, next_working_moment
from domain.texts import digest


async def addressed(directory: PostgresDirectory, case_id: str, role: str, step: OpenStep) -> Addressed:
    """Whoever has the step by now; `role`: who is told as well instead."""
    holder = "" if role else step.claimed_by or step.reassigned_to
    return await directory.addressed(role or step.role, case_id, holder)


async def recipient_of(conn: Connection, to: Addressee) -> str:
    """A person's or a department's name for the digests: `person:P-1`, `team:accounts`, or `address:` and a hash."""
    known = await conn.fetchval(_WHO, to.email)
    return str(known) if known else f"address:{digest(to.email.lower())}"


async def calendar_of(conn: Connection, recipient: str) -> Calendar:
    """A person's own calendar, else that of a team they are in; a department's is its own.

    One that never opens would keep whatever waits for ever: the agency's counts instead.
    """
    kind, _, person = recipient.partition(":")
    teams = await conn.fetch(_TEAMS, person) if kind == "person" else []
    found = await snapshot(conn, recipient, *(row["role"] for row in teams))
    try:
        next_working_moment(found, await conn.fetchval("SELECT holdfast_now()"))
    except NeverOpenError:
        return await snapshot(conn)
    return found


async def calendars_of(conn: Connection, to: Sequence[Addressee]) -> tuple[Calendar, ...]:
    return tuple([await calendar_of(conn, await recipient_of(conn, one)) for one in to])


def is_at_work(calendars: Sequence[Calendar], now: datetime) -> bool:
    """Whether any of them is."""
    return any(next_working_moment(one, now) <= now for one in calendars)


_WHO = """SELECT id FROM (
        SELECT 1 AS rank, 'person:' || person_id AS id FROM people WHERE lower(email) = lower($1)
        UNION ALL SELECT 2, role FROM departments WHERE lower(address) = lower($1)) AS known
    ORDER BY rank, id LIMIT 1"""
_TEAMS = "SELECT role FROM memberships WHERE person_id = $1 ORDER BY manager, role"
