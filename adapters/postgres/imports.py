"""Writing imported directories and leads: one transaction a file, idempotent, and never a way to money.

Identities of approvers, partners and Accounts are out of reach, a person's identity never changes, and a price other
than the one recorded is kept as a version that no order proves: the lead then needs an approver.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal, TypeVar

from asyncpg import Record

from adapters.postgres.audit import Entry, append_events
from adapters.postgres.crypto import Vault
from adapters.postgres.directory import MONEY_ROLES
from adapters.postgres.directory_book import (
    DepartmentEntry,
    Reach,
    pair,
    person_at,
    set_channels,
    write_department,
)
from adapters.postgres.orders import NEXT_PRICE
from adapters.postgres.pool import Connection, Pool, transaction
from domain.case import EventKind
from domain.errors import Refused
from domain.rules.routing import Contact

T = TypeVar("T")
Outcome = Literal["added", "changed", "same"]
Numbered = Sequence[tuple[int, T]]
MOST_SHOWN = 20


@dataclass(frozen=True)
class ClientIn:
    client_id: str
    name: str
    contact_id: str = ""
    currency: str = "GBP"
    csm_id: str = ""
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class PersonIn:
    person_id: str
    name: str
    email: str
    issuer: str
    sub: str
    roles: tuple[str, ...] = ()
    manages: tuple[str, ...] = ()
    active: bool = True


@dataclass(frozen=True)
class DepartmentIn:
    role: str
    name: str
    address: str


@dataclass(frozen=True)
class DirectoryIn:
    """A department and whom to contact there (ID-1)."""

    slug: str
    name: str
    contacts: tuple[Contact, ...]
    principal: str = ""
    manager: str = ""


@dataclass(frozen=True)
class PairIn:
    """A CSM and their CSS, "" for none."""

    csm: str
    css: str


@dataclass(frozen=True)
class ChannelsIn:
    """All the ways to reach one person, the first one first."""

    person_id: str
    channels: tuple[tuple[Reach, str], ...]


@dataclass(frozen=True)
class BoardIn:
    """Where a client's tasks are made and the channel shared with him; `client_id` "": what is about no client."""

    client_id: str
    list_id: str
    project_id: str = ""
    slack_channel: str = ""


@dataclass(frozen=True)
class LeadIn:
    lead_id: str
    client_id: str
    received_at: datetime
    price: Decimal | None
    currency: str
    chat_id: str = ""
    thread_id: str = ""


@dataclass(frozen=True)
class ImportReport:
    """How many rows were new, changed, or as they were."""

    added: int
    changed: int
    same: int


class _RowError(Exception):
    """Why one row can't be taken."""


class PostgresImports:
    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool, self._vault = pool, vault

    async def clients(self, name: str, rows: Numbered[ClientIn], by: str, sha256: str) -> ImportReport:
        return await self._all(name, rows, _client, by, sha256)

    async def people(self, name: str, rows: Numbered[PersonIn], by: str, sha256: str) -> ImportReport:
        return await self._all(name, rows, _person, by, sha256)

    async def departments(self, name: str, rows: Numbered[DepartmentIn], by: str, sha256: str) -> ImportReport:
        return await self._all(name, rows, _department, by, sha256)

    async def directory(self, name: str, rows: Numbered[DirectoryIn], by: str, sha256: str) -> ImportReport:
        async def write(conn: Connection, row: DirectoryIn) -> Outcome:
            return await _directory(conn, row, by)

        return await self._all(name, rows, write, by, sha256, what="directory")

    async def pairs(self, name: str, rows: Numbered[PairIn], by: str, sha256: str) -> ImportReport:
        async def write(conn: Connection, row: PairIn) -> Outcome:
            return await _pair(conn, row, by)

        return await self._all(name, rows, write, by, sha256, what="pairs")

    async def channels(self, name: str, rows: Numbered[ChannelsIn], by: str, sha256: str) -> ImportReport:
        async def write(conn: Connection, row: ChannelsIn) -> Outcome:
            return await _channels(conn, self._vault, row)

        return await self._all(name, rows, write, by, sha256, what="channels")

    async def boards(self, name: str, rows: Numbered[BoardIn], by: str, sha256: str) -> ImportReport:
        return await self._all(name, rows, _board, by, sha256)

    async def leads(self, name: str, rows: Numbered[LeadIn], by: str, sha256: str) -> ImportReport:
        return await self._all(name, rows, _lead, by, sha256)

    async def _all(
        self,
        name: str,
        rows: Numbered[T],
        write: Callable[[Connection, T], Awaitable[Outcome]],
        by: str,
        sha256: str,
        *,
        what: str = "",
    ) -> ImportReport:
        """Raises Refused `bad-rows` with every row that can't be taken; then nothing is."""
        problems: list[str] = []
        outcomes: list[Outcome] = []
        async with transaction(self._pool) as conn:
            await conn.execute("SELECT pg_advisory_xact_lock(4846377004)")
            for line, row in rows:
                try:
                    outcomes.append(await write(conn, row))
                except _RowError as error:
                    problems.append(f"line {line}: {error}")
            if problems:
                raise Refused("bad-rows", _told(name, problems))
            report = ImportReport(*(outcomes.count(one) for one in ("added", "changed", "same")))
            if report.added or report.changed:
                await append_events(
                    conn, self._vault, "", [await _entry(conn, what or write.__name__, report, by, sha256)]
                )
        return report


def _told(name: str, problems: list[str]) -> str:
    shown = problems[:MOST_SHOWN] + ([f"and {len(problems) - MOST_SHOWN} more"] if len(problems) > MOST_SHOWN else [])
    return "\n  ".join((f"{name} was not taken, nothing was changed:", *shown))


async def _entry(conn: Connection, what: str, report: ImportReport, by: str, sha256: str) -> Entry:
    now = await conn.fetchval("SELECT holdfast_now()")
    data = {"import": what.removeprefix("_"), "added": report.added, "changed": report.changed, "sha256": sha256}
    return Entry(EventKind.NOTED, "RL-15", now, actor=by, text="A file was imported.", data=dict(data))


async def _client(conn: Connection, row: ClientIn) -> Outcome:
    before = await conn.fetchrow("SELECT * FROM clients WHERE client_id = $1", row.client_id)
    row = replace(row, contact_id=await conn.fetchval("SELECT books_contact($1)", row.contact_id))
    if row.csm_id and not await conn.fetchval("SELECT true FROM people WHERE person_id = $1", row.csm_id):
        raise _RowError(f"csm_id: there is no person {row.csm_id}; import the people first")
    if before and before["csm_id"] != row.csm_id and await conn.fetchval(_WOULD_NOT_DECIDE, row.client_id, row.csm_id):
        raise _RowError(f"csm_id: {row.csm_id} approves refunds, and could not decide about this client's open cases")
    if before and before["contact_id"] not in {"", row.contact_id} and await _was_granted(conn, row.client_id):
        raise _RowError("contact_id: can't be changed any more, leads of this client were credited under it")
    await conn.execute(
        """INSERT INTO clients (client_id, name, contact_id, currency, csm_id) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (client_id) DO UPDATE SET name = $2, contact_id = $3, currency = $4, csm_id = $5""",
        row.client_id, row.name, row.contact_id, row.currency, row.csm_id or None,
    )  # fmt: skip
    moved = await _addresses(conn, row)
    known = (row.name, row.contact_id, row.currency, row.csm_id or None)
    return _outcome(
        before, [before[one] for one in ("name", "contact_id", "currency", "csm_id")] if before else [], known, moved
    )


_WOULD_NOT_DECIDE = """SELECT true FROM cases c, people p JOIN money_people m USING (issuer, sub)
    WHERE c.client_id = $1 AND c.status = 'open' AND p.person_id = $2 AND m.role = 'role:approver' AND m.until IS NULL
    LIMIT 1"""


async def _was_granted(conn: Connection, client_id: str) -> bool:
    return bool(await conn.fetchval("SELECT true FROM grants WHERE client_id = $1 LIMIT 1", client_id))


async def _addresses(conn: Connection, row: ClientIn) -> bool:
    """Makes the client's addresses those of the row; True if that changed anything."""
    taken = await conn.fetchrow(
        "SELECT * FROM client_addresses WHERE address = ANY($1) AND client_id <> $2", list(row.addresses), row.client_id
    )
    if taken:
        raise _RowError(f"addresses: one of them belongs to client {taken['client_id']}")
    ours = """SELECT lower(address) AS a FROM departments UNION SELECT lower(email) FROM people"""
    if await conn.fetchval(f"SELECT true FROM ({ours}) o WHERE a = ANY($1) LIMIT 1", list(row.addresses)):  # noqa: S608
        raise _RowError("addresses: one of them is our own, a department's or a person's")
    gone = await conn.fetch(
        "DELETE FROM client_addresses WHERE client_id = $1 AND address <> ALL($2) RETURNING 1",
        row.client_id, list(row.addresses),
    )  # fmt: skip
    new = await conn.fetch(
        """INSERT INTO client_addresses SELECT one, $1 FROM unnest($2::text[]) AS one
           ON CONFLICT (address) DO NOTHING RETURNING 1""",
        row.client_id, list(row.addresses),
    )  # fmt: skip
    return bool(gone or new)


async def _person(conn: Connection, row: PersonIn) -> Outcome:
    barred = sorted({*row.roles, *row.manages} & {role.value for role in MONEY_ROLES})
    if barred:
        raise _RowError(f"roles: {barred[0]} can't be given by an import; it is the money worker's configuration")
    before = await conn.fetchrow("SELECT * FROM people WHERE person_id = $1", row.person_id)
    await _same_identity(conn, row, before)
    await conn.execute(
        """INSERT INTO people (person_id, name, email, issuer, sub, active) VALUES ($1, $2, $3, $4, $5, $6)
           ON CONFLICT (person_id) DO UPDATE SET name = $2, email = $3, active = $6,
               left_at = CASE WHEN $6 THEN NULL ELSE coalesce(people.left_at, holdfast_now()) END""",
        row.person_id, row.name, row.email, row.issuer, row.sub, row.active,
    )  # fmt: skip
    changed = await _memberships(conn, row)
    old = [before[one] for one in ("name", "email", "active")] if before else []
    return _outcome(before, old, (row.name, row.email, row.active), changed)


# Whoever stands in for an approver, now or later, is asked by this address too.
_ACTS_FOR_MONEY = """SELECT true FROM money_people WHERE (issuer, sub) = ($1, $2)
    UNION ALL SELECT true FROM (SELECT payload::jsonb AS said FROM orders WHERE kind = 'standin.set') o
    WHERE (said #>> '{stand_in,issuer}', said #>> '{stand_in,sub}') = ($1, $2)
      AND (said ->> 'ends')::date >= (holdfast_now() AT TIME ZONE 'Europe/London')::date LIMIT 1"""


async def _same_identity(conn: Connection, row: PersonIn, before: Record | None) -> None:
    query = "SELECT person_id FROM people WHERE person_id <> $1 AND (email = $2 OR (issuer, sub) = ($3, $4)) LIMIT 1"
    taken = await conn.fetchval(query, row.person_id, row.email, row.issuer, row.sub)
    if taken:
        raise _RowError(f"e-mail or identity belongs to {taken}")
    if await conn.fetchval("SELECT true FROM client_addresses WHERE address = $1", row.email):
        raise _RowError("email: this is a client's address")
    if before is None:
        return
    if (before["issuer"], before["sub"]) != (row.issuer, row.sub):
        raise _RowError("issuer and sub: a person's identity can't be changed by an import")
    same = (before["name"], before["email"], before["active"]) == (row.name, row.email, row.active)
    if not same and await conn.fetchval(_ACTS_FOR_MONEY, row.issuer, row.sub):
        raise _RowError(f"{row.person_id} acts for money: an import can't change this row")


async def _memberships(conn: Connection, row: PersonIn) -> bool:
    """Makes the person's roles those of the row, money's aside; True if that changed anything."""
    wanted = {(role, False) for role in row.roles} | {(role, True) for role in row.manages}
    roles = dict(sorted(wanted))  # who manages a team is its manager, whatever else
    barred = [role.value for role in MONEY_ROLES]
    gone = await conn.fetch(
        "DELETE FROM memberships WHERE person_id = $1 AND role <> ALL($2) AND role <> ALL($3) RETURNING 1",
        row.person_id, list(roles), barred,
    )  # fmt: skip
    new = await conn.fetch(
        """INSERT INTO memberships (person_id, role, manager)
           SELECT $1, m.role, m.manager FROM unnest($2::text[], $3::boolean[]) AS m (role, manager)
           ON CONFLICT (person_id, role) DO UPDATE SET manager = EXCLUDED.manager
           WHERE memberships.manager <> EXCLUDED.manager RETURNING 1""",
        row.person_id, list(roles), list(roles.values()),
    )  # fmt: skip
    return bool(gone or new)


async def _department(conn: Connection, row: DepartmentIn) -> Outcome:
    before = await conn.fetchrow("SELECT * FROM departments WHERE role = $1", row.role)
    if await conn.fetchval("SELECT true FROM client_addresses WHERE address = $1", row.address):
        raise _RowError("address: this is a client's address")
    await conn.execute(
        """INSERT INTO departments (role, name, address) VALUES ($1, $2, $3)
           ON CONFLICT (role) DO UPDATE SET name = $2, address = $3""",
        row.role, row.name, row.address,
    )  # fmt: skip
    return _outcome(before, [before["name"], before["address"]] if before else [], (row.name, row.address))


async def _directory(conn: Connection, row: DirectoryIn, by: str) -> Outcome:
    """A department that says what is there already keeps its version and its date."""
    known = await conn.fetchval("SELECT true FROM directory_on(holdfast_today()) WHERE slug = $1", row.slug)
    entry = DepartmentEntry(row.slug, row.name, row.contacts, row.principal, row.manager)
    try:
        changed = await write_department(conn, entry, by)
    except Refused as refused:
        raise _RowError(str(refused)) from None
    return ("changed" if known else "added") if changed else "same"


async def _pair(conn: Connection, row: PairIn, by: str) -> Outcome:
    for column, person_id in (("csm", row.csm), ("css", row.css)):
        query = "SELECT true FROM people WHERE person_id = $1 AND active"
        if person_id and not await conn.fetchval(query, person_id):
            raise _RowError(f"{column}: there is no person {person_id}; import the people first")
    if row.csm == row.css:
        raise _RowError("css: nobody is their own support")
    before = await conn.fetchval("SELECT true FROM csm_pairs WHERE csm_id = $1 LIMIT 1", row.csm)
    changed = await pair(conn, row.csm, row.css, by)
    return ("changed" if before else "added") if changed else "same"


async def _channels(conn: Connection, vault: Vault, row: ChannelsIn) -> Outcome:
    if not await conn.fetchval("SELECT true FROM people WHERE person_id = $1", row.person_id):
        raise _RowError(f"person_id: there is no person {row.person_id}; import the people first")
    for reach, address in row.channels:
        owner = await person_at(conn, vault, reach, address)
        if owner not in {"", row.person_id}:
            raise _RowError(f"{reach}: this address is {owner}'s")
    before = await conn.fetchval("SELECT true FROM person_channels WHERE person_id = $1 LIMIT 1", row.person_id)
    changed = await set_channels(conn, vault, row.person_id, row.channels)
    return ("changed" if before else "added") if changed else "same"


async def _board(conn: Connection, row: BoardIn) -> Outcome:
    if row.client_id and not await conn.fetchval("SELECT true FROM clients WHERE client_id = $1", row.client_id):
        raise _RowError(f"client_id: there is no client {row.client_id}; import the clients first")
    taken = "SELECT client_id FROM client_boards WHERE list_id = $1 AND client_id <> $2"
    if (other := await conn.fetchval(taken, row.list_id, row.client_id)) is not None:
        raise _RowError(f"list_id: this list is {other or 'that of no client'}'s")
    before = await conn.fetchrow("SELECT * FROM client_boards WHERE client_id = $1", row.client_id)
    new = (row.client_id, row.list_id, row.project_id, row.slack_channel)
    await conn.execute(_BOARD, *new)
    return _outcome(before, tuple(before) if before else (), new)


async def _lead(conn: Connection, row: LeadIn) -> Outcome:
    before = await conn.fetchrow("SELECT * FROM leads WHERE lead_id = $1 FOR UPDATE", row.lead_id)
    if before is None:
        if not await conn.fetchval("SELECT true FROM clients WHERE client_id = $1", row.client_id):
            raise _RowError(f"client_id: there is no client {row.client_id}; import the clients first")
        values = (row.lead_id, row.client_id, row.received_at, row.price, row.currency, row.chat_id, row.thread_id)
        await conn.execute(_NEW_LEAD, *values)
        return "added"
    if before["client_id"] != row.client_id:
        raise _RowError("client_id: a lead can't move to another client")
    repriced = await _reprice(conn, row)
    await conn.execute(_KNOWN_LEAD, row.lead_id, row.chat_id, row.thread_id)
    old = (before["chat_id"], before["thread_id"])
    return "same" if old == (row.chat_id, row.thread_id) and not repriced else "changed"


async def _reprice(conn: Connection, row: LeadIn) -> bool:
    """Keeps another price as a version that no order proves: such a lead needs the approver."""
    query = "SELECT price, currency FROM lead_prices WHERE lead_id = $1 ORDER BY version DESC LIMIT 1"
    newest = await conn.fetchrow(query, row.lead_id)
    if newest and tuple(newest) == (row.price, row.currency):
        return False
    await conn.execute(NEXT_PRICE, row.lead_id, row.price, row.currency, "")
    return True


_BOARD = """INSERT INTO client_boards (client_id, list_id, project_id, slack_channel) VALUES ($1, $2, $3, $4)
    ON CONFLICT (client_id) DO UPDATE SET list_id = $2, project_id = $3, slack_channel = $4"""
_NEW_LEAD = """INSERT INTO leads (lead_id, client_id, received_at, price, currency, chat_id, thread_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7)"""
_KNOWN_LEAD = "UPDATE leads SET chat_id = $2, thread_id = $3 WHERE lead_id = $1"


def _outcome(before: Record | None, old: Sequence[object], new: Sequence[object], more: bool = False) -> Outcome:
    if before is None:
        return "added"
    return "changed" if more or tuple(old) != tuple(new) else "same"
