"""Who is away, who came back, and who left: kept by days in London, never for money.

Who stands in for an approver, and who may act for Accounts, is said by signed orders and by the money worker's own
configuration; nothing here touches that.
"""

from dataclasses import dataclass
from datetime import date, timedelta

from asyncpg import Record

from adapters.postgres.crypto import Vault
from adapters.postgres.directory_book import DepartmentEntry, entries, note, pair, write_department
from adapters.postgres.pool import Connection, Pool, transaction
from domain.errors import Refused
from domain.rules.routing import Contact

LONGEST_ABSENCE = timedelta(days=366)
_LOCK = "SELECT pg_advisory_xact_lock(4846377012)"


@dataclass(frozen=True)
class Absence:
    """From the first day to the last one, both included."""

    person_id: str
    starts: date
    ends: date
    stand_in_id: str = ""


@dataclass(frozen=True)
class Left:
    """What passed to the successor of somebody who left."""

    clients: tuple[str, ...] = ()
    departments: tuple[str, ...] = ()
    csms: tuple[str, ...] = ()  # whose CSS they were
    css: str = ""  # who was theirs


class Attendance:
    """Works under the door's role."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool, self._vault = pool, vault

    async def absences(self, person_id: str = "") -> tuple[Absence, ...]:
        """Those of today and to come, the first one first."""
        async with transaction(self._pool, reading=True) as conn:
            rows = await conn.fetch(f"{_PRESENT} ORDER BY starts, person_id", person_id)
        return tuple(map(_absence, rows))

    async def away(self, absence: Absence, by: str) -> bool:
        """Puts an absence down; one that overlaps it is replaced. False if it is there already.

        Raises Refused `unknown-person`, `bad-days` or `bad-stand-in`.
        """
        async with transaction(self._pool) as conn:
            await conn.execute(_LOCK)
            await _check(conn, absence)
            known = [_absence(row) for row in await conn.fetch(_PRESENT, absence.person_id)]
            if absence in known:
                return False
            await conn.execute(_END_OVERLAPPING, absence.person_id, absence.starts, absence.ends)
            row = (absence.person_id, absence.starts, absence.ends, absence.stand_in_id or None, by)
            await conn.execute(_NEW, *row)
            text = f"{absence.person_id} is away from {absence.starts} to {absence.ends}."
            await note(conn, self._vault, by, text, person=absence.person_id, stand_in=absence.stand_in_id)
        return True

    async def back(self, person_id: str, by: str) -> tuple[Absence, ...]:
        """Ends the absence of today; if there is none, calls off those to come. Returns what was ended."""
        async with transaction(self._pool) as conn:
            await conn.execute(_LOCK)
            await _active(conn, person_id)
            today = await conn.fetchval("SELECT holdfast_today()")
            known = await conn.fetch(_PRESENT, person_id)
            ended = [row for row in known if row["starts"] <= today] or known
            await conn.execute(_END, [row["absence_id"] for row in ended])
            if ended:
                await note(conn, self._vault, by, f"{person_id} is back.", person=person_id)
        return tuple(map(_absence, ended))

    async def leave(self, person_id: str, successor: str, by: str) -> Left:
        """A person is here no more: their clients, departments and pairs pass to the successor, and so do their steps.

        Raises Refused `unknown-person`, `acts-for-money`, or `successor-needed` with what would be nobody's.
        """
        async with transaction(self._pool) as conn:
            await conn.execute(_LOCK)
            await _active(conn, person_id)
            await _may_leave(conn, person_id, successor)
            left = await _theirs(conn, person_id)
            if not successor and (told := _orphaned(left)):
                raise Refused("successor-needed", f"{person_id} has {told}: say who takes over with --to PERSON")
            await conn.execute(_LEAVE, person_id, successor or None)
            await _hand_over(conn, person_id, successor, left, by)
            text = f"{person_id} left" + (f"; {successor} takes over." if successor else ".")
            await note(conn, self._vault, by, text, person=person_id, successor=successor)
        return left


async def _check(conn: Connection, absence: Absence) -> None:
    await _active(conn, absence.person_id)
    today = await conn.fetchval("SELECT holdfast_today()")
    if absence.ends < absence.starts or absence.ends < today:
        raise Refused("bad-days", "an absence ends on or after its first day, and not before today")
    if absence.ends - absence.starts > LONGEST_ABSENCE:
        raise Refused("bad-days", "an absence is at most a year long: for longer, `holdfast people leave`")
    if absence.stand_in_id == absence.person_id:
        raise Refused("bad-stand-in", "nobody stands in for himself")
    if absence.stand_in_id:
        await _active(conn, absence.stand_in_id)


async def _active(conn: Connection, person_id: str) -> None:
    if not await conn.fetchval("SELECT true FROM people WHERE person_id = $1 AND active", person_id):
        raise Refused("unknown-person", f"there is no person {person_id}, or they left")


async def _may_leave(conn: Connection, person_id: str, successor: str) -> None:
    if await conn.fetchval(_FOR_MONEY, person_id):
        why = "take them out of the money worker's configuration first, and restart it"
        raise Refused("acts-for-money", f"{person_id} acts for money: {why}")
    if successor == person_id:
        raise Refused("bad-successor", "nobody takes over from himself")
    if successor:
        await _active(conn, successor)


async def _theirs(conn: Connection, person_id: str) -> Left:
    clients = await conn.fetch("SELECT client_id FROM clients WHERE csm_id = $1 ORDER BY 1", person_id)
    pairs = await conn.fetch("SELECT csm_id FROM css_on(holdfast_today()) WHERE css_id = $1 ORDER BY 1", person_id)
    css = await conn.fetchval("SELECT css_id FROM css_on(holdfast_today()) WHERE csm_id = $1", person_id)
    named = tuple(one.slug for one in await entries(conn) if person_id in one.people)
    return Left(tuple(row["client_id"] for row in clients), named, tuple(row["csm_id"] for row in pairs), css or "")


def _orphaned(left: Left) -> str:
    told = {"clients": left.clients, "departments that name them": left.departments, "CSMs to support": left.csms}
    return ", ".join(f"{len(found)} {what}" for what, found in told.items() if found)


async def _hand_over(conn: Connection, person_id: str, successor: str, left: Left, by: str) -> None:
    """A successor who is named already stands there once; a CSM is not paired with himself."""
    await conn.execute("UPDATE clients SET csm_id = $2 WHERE csm_id = $1", person_id, successor or None)
    await conn.execute("UPDATE cases SET csm_id = $2 WHERE csm_id = $1 AND status = 'open'", person_id, successor)
    for csm in left.csms:
        await pair(conn, csm, successor if csm != successor else "", by)
    if left.css:
        await pair(conn, person_id, "", by)
        has_one = await conn.fetchval("SELECT true FROM css_on(holdfast_today()) WHERE csm_id = $1", successor)
        if successor and not has_one and left.css != successor:
            await pair(conn, successor, left.css, by)
    for entry in await entries(conn):
        if entry.slug in left.departments:
            await write_department(conn, _without(entry, person_id, successor), by)


def _without(entry: DepartmentEntry, person_id: str, successor: str) -> DepartmentEntry:
    def instead(one: str) -> str:
        return successor if one == person_id else one

    contacts = tuple(dict.fromkeys(Contact(instead(one.person_id), one.topic) for one in entry.contacts))
    manager = instead(entry.manager_id)
    return DepartmentEntry(entry.slug, entry.name, contacts, entry.principal_id, manager)


def _absence(row: Record) -> Absence:
    return Absence(row["person_id"], row["starts"], row["ends"], row["stand_in_id"] or "")


_PRESENT = (
    """SELECT * FROM absences WHERE ends >= holdfast_today() AND ended_at IS NULL AND ($1 = '' OR person_id = $1)"""
)
_END_OVERLAPPING = """UPDATE absences SET ended_at = holdfast_now()
    WHERE person_id = $1 AND ended_at IS NULL AND ends >= holdfast_today() AND starts <= $3 AND ends >= $2"""
_NEW = "INSERT INTO absences (person_id, starts, ends, stand_in_id, set_by) VALUES ($1, $2, $3, $4, $5)"
_END = "UPDATE absences SET ended_at = holdfast_now() WHERE absence_id = ANY($1)"
_LEAVE = "UPDATE people SET active = false, left_at = holdfast_now(), successor_id = $2 WHERE person_id = $1"
_FOR_MONEY = """SELECT true FROM people p JOIN money_people m ON (m.issuer, m.sub) = (p.issuer, p.sub)
    WHERE p.person_id = $1 AND (m.until IS NULL OR m.until > holdfast_now()) LIMIT 1"""
