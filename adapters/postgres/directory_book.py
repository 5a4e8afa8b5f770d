"""Keeping the directory: departments as dated versions, pairs of CSM and CSS, and how people are reached.

Nothing about money is in it: who may act as approver, partner or Accounts is in `money_people`, out of reach from here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from asyncpg import Record
from pydantic import JsonValue

from adapters.postgres.audit import Entry, append_events
from adapters.postgres.crypto import DEPLOYMENT, Vault
from adapters.postgres.directory import presence, who_is_asked
from adapters.postgres.pool import Connection, Pool, transaction
from domain.case import EventKind
from domain.chat import Channel, ChannelKind
from domain.errors import Refused
from domain.people import Topic, department_role
from domain.rules.routing import Contact, asked_today

Reach = Literal["slack", "whatsapp", "email", "teamwork"]  # a ChannelKind, or the person's id on the task board
STALE_AFTER = timedelta(days=90)
_CLAUSE = "ID-1"
_LOCK = "SELECT pg_advisory_xact_lock(4846377012)"


@dataclass(frozen=True)
class DepartmentEntry:
    """A department as the directory has it on a day; people by their id."""

    slug: str
    name: str
    contacts: tuple[Contact, ...]
    principal_id: str = ""
    manager_id: str = ""
    since: date | None = None
    set_by: str = ""
    set_at: datetime | None = None
    confirmed_at: datetime | None = None
    confirmed_by: str = ""

    @property
    def people(self) -> tuple[str, ...]:
        named = (*(one.person_id for one in self.contacts), self.manager_id)
        return tuple(dict.fromkeys(filter(None, named)))

    def says_the_same(self, other: "DepartmentEntry") -> bool:
        mine, theirs = ((one.name, one.contacts, one.principal_id, one.manager_id, one.slug) for one in (self, other))
        return mine == theirs


@dataclass(frozen=True)
class Worry:
    """Why the directory can't be relied on, and what to do. `urgent`: nobody is asked, or somebody who can't be."""

    slug: str
    what: str
    then: str
    urgent: bool = True


class DirectoryBook:
    """Works under the door's role."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool, self._vault = pool, vault

    async def entries(self, on: date | None = None, slug: str = "") -> tuple[DepartmentEntry, ...]:
        """The directory as it was or will be on a day, in the document's order. Raises Refused `unknown-department`."""
        async with transaction(self._pool, reading=True) as conn:
            found = await entries(conn, on)
        if slug and slug not in {one.slug for one in found}:
            raise Refused("unknown-department", f"the directory has no department {slug} on that day")
        return tuple(one for one in found if slug in {"", one.slug})

    async def set(self, entry: DepartmentEntry, by: str, *, closed: bool = False) -> bool:
        """Writes a new version from `entry.since` on (None: today); False if it says what is there already.

        Raises Refused `bad-department` or `backdated`.
        """
        async with transaction(self._pool) as conn:
            await conn.execute(_LOCK)
            changed = await write_department(conn, entry, by, closed=closed)
            if changed:
                text = f"The directory's {entry.slug} was {'closed' if closed else 'set'}."
                await note(conn, self._vault, by, text, slug=entry.slug, contacts=list(entry.people))
        return changed

    async def confirm(self, slugs: Sequence[str], by: str) -> tuple[str, ...]:
        """Somebody looked, and it is true. None named: all. Raises Refused `unknown-department`."""
        async with transaction(self._pool) as conn:
            known = [one.slug for one in await entries(conn)]
            if unknown := [one for one in slugs if one not in known]:
                raise Refused("unknown-department", f"the directory has no department {unknown[0]}")
            wanted = list(slugs or known)
            await conn.executemany(_CONFIRM, [(one, by) for one in wanted])
            await note(conn, self._vault, by, f"The directory was confirmed: {', '.join(wanted)}.")
        return tuple(wanted)

    async def worries(self) -> tuple[Worry, ...]:
        """What is stale or leads nowhere."""
        async with transaction(self._pool, reading=True) as conn:
            return await worries(conn)

    async def pairs(self) -> tuple[tuple[str, str], ...]:
        """CSM and CSS, as they are paired today."""
        async with transaction(self._pool, reading=True) as conn:
            rows = await conn.fetch("SELECT csm_id, css_id FROM css_on(holdfast_today()) ORDER BY 1")
        return tuple((row["csm_id"], row["css_id"]) for row in rows)

    async def channels(self, person_id: str) -> tuple[Channel, ...]:
        async with transaction(self._pool, reading=True) as conn:
            return await channels_of(conn, self._vault, person_id)


async def entries(conn: Connection, on: date | None = None) -> tuple[DepartmentEntry, ...]:
    """The directory on a day (None: today), in its order."""
    rows = await conn.fetch(_ENTRIES, on)
    contacts = await conn.fetch(_CONTACTS, on)
    return tuple(_entry(row, [one for one in contacts if one["slug"] == row["slug"]]) for row in rows)


async def write_department(conn: Connection, entry: DepartmentEntry, by: str, *, closed: bool = False) -> bool:
    """A new version, unless it says what is there already. Raises Refused `bad-department` or `backdated`."""
    today = await conn.fetchval("SELECT holdfast_today()")
    since = entry.since or today
    if since < today:
        raise Refused("backdated", f"{entry.slug}: the directory is not changed for a day that is over")
    before = next((one for one in await entries(conn, since) if one.slug == entry.slug), None)
    if (before is None and closed) or (before and not closed and entry.says_the_same(before)):
        return False
    if not closed:
        await _check_people(conn, entry)
    row = (entry.slug, entry.name, entry.principal_id or None, entry.manager_id or None, closed, since, by)
    version = await conn.fetchval(_NEW_VERSION, *row)
    contacts = enumerate(entry.contacts, 1)
    await conn.executemany(
        "INSERT INTO directory_contacts (slug, version, rank, person_id, topic) VALUES ($1, $2, $3, $4, $5)",
        [(entry.slug, version, rank, one.person_id, one.topic.value) for rank, one in contacts],
    )
    return True


async def _check_people(conn: Connection, entry: DepartmentEntry) -> None:
    if not entry.contacts:
        raise Refused("bad-department", f"{entry.slug}: a department has at least one contact")
    named = list(filter(None, (*entry.people, entry.principal_id)))
    rows = await conn.fetch("SELECT person_id, active FROM people WHERE person_id = ANY($1)", named)
    known = {row["person_id"]: row["active"] for row in rows}
    for one in named:
        if one not in known:
            raise Refused("bad-department", f"{entry.slug}: there is no person {one}; import the people first")
        if one in entry.people and not known[one]:
            raise Refused("bad-department", f"{entry.slug}: {one} is no longer here")


async def pair(conn: Connection, csm_id: str, css_id: str, by: str) -> bool:
    """Gives a CSM their CSS from today on ("": none any more); False if that is so already."""
    now = await conn.fetchval("SELECT css_id FROM css_on(holdfast_today()) WHERE csm_id = $1", csm_id)
    if (now or "") == css_id:
        return False
    await conn.execute(_NEW_PAIR, csm_id, css_id or None, by)
    return True


async def set_channels(conn: Connection, vault: Vault, person_id: str, wanted: Sequence[tuple[Reach, str]]) -> bool:
    """Makes these the addresses of a person, the first one first; False if they were that already.

    Addresses are sealed: a telephone number or a name at a vendor is personal.
    """
    if tuple(wanted) == await _addresses(conn, vault, person_id):
        return False
    await conn.execute("DELETE FROM person_channels WHERE person_id = $1", person_id)
    key = await vault.key(conn, DEPLOYMENT)
    rows = [(person_id, reach, key.seal(address.encode()), rank) for rank, (reach, address) in enumerate(wanted, 1)]
    await conn.executemany("INSERT INTO person_channels VALUES ($1, $2, $3, $4)", rows)
    return True


async def channels_of(conn: Connection, vault: Vault, person_id: str) -> tuple[Channel, ...]:
    """How a person is reached, in order; their e-mail address comes last where it is not among them."""
    kinds = {kind.value for kind in ChannelKind}
    stored = await _addresses(conn, vault, person_id)
    found = tuple(Channel(kind=ChannelKind(reach), address=address) for reach, address in stored if reach in kinds)
    if any(one.kind is ChannelKind.EMAIL for one in found):
        return found
    email = await conn.fetchval("SELECT email FROM people WHERE person_id = $1", person_id)
    return (*found, Channel(kind=ChannelKind.EMAIL, address=email)) if email else found


async def on_the_board(conn: Connection, vault: Vault, person_id: str) -> str:
    """A person's id in Teamwork, "" if they have none."""
    return dict(await _addresses(conn, vault, person_id)).get("teamwork", "")


async def person_at(conn: Connection, vault: Vault, reach: Reach, address: str) -> str:
    """The active person with this address, by id; "" if it is nobody's."""
    query = """SELECT c.person_id, c.address_ct FROM person_channels c JOIN people p USING (person_id)
               WHERE p.active AND c.channel = $1"""
    for row in await conn.fetch(query, reach):
        if (await vault.open(conn, DEPLOYMENT, row["address_ct"])).decode() == address:
            return row["person_id"]
    return ""


async def _addresses(conn: Connection, vault: Vault, person_id: str) -> tuple[tuple[Reach, str], ...]:
    rows = await conn.fetch("SELECT * FROM person_channels WHERE person_id = $1 ORDER BY rank", person_id)
    return tuple([(row["channel"], (await vault.open(conn, DEPLOYMENT, row["address_ct"])).decode()) for row in rows])


async def worries(conn: Connection) -> tuple[Worry, ...]:
    """Why the directory can't be relied on: not confirmed for 90 days, people who left or have no address, nobody
    to ask today.
    """
    found = await entries(conn)
    now = await conn.fetchval("SELECT holdfast_now()")
    gone = await _unreachable(conn, [one for entry in found for one in entry.people])
    there = await presence(conn)
    told: list[Worry] = []
    for entry in found:
        told += [
            Worry(entry.slug, f"{entry.slug} names {one}, who {gone[one]}", _SET) for one in entry.people if one in gone
        ]
        if not asked_today([one.person_id for one in entry.contacts], there):
            told.append(await _nobody(conn, entry.slug))
        if now - max(filter(None, (entry.confirmed_at, entry.set_at))) > STALE_AFTER:
            told.append(Worry(entry.slug, f"{entry.slug} was not confirmed for 90 days", _CONFIRM_IT, urgent=False))
    return tuple(told)


async def _nobody(conn: Connection, slug: str) -> Worry:
    asked = await who_is_asked(conn, department_role(slug))
    instead = (
        f": {', '.join(one.person_id for one in asked.people)} is asked" if asked.people else ", nor in their place"
    )
    return Worry(slug, f"none of the contacts of {slug} is here today{instead}", _ABSENT, urgent=not asked.people)


_SET = "`holdfast directory set` names somebody else"
_ABSENT = (
    "its manager, else the Agency Services Manager is asked; `holdfast people absent ... --stand-in` names somebody"
)
_CONFIRM_IT = "`holdfast directory show` it to whoever knows, then `holdfast directory confirm`"


async def _unreachable(conn: Connection, people: Sequence[str]) -> dict[str, str]:
    query = """SELECT p.person_id, p.active FROM people p WHERE p.person_id = ANY($1) AND (NOT p.active OR (p.email = ''
               AND NOT EXISTS (SELECT FROM person_channels c WHERE c.person_id = p.person_id)))"""
    rows = await conn.fetch(query, list(people))
    return {row["person_id"]: "has no address" if row["active"] else "left" for row in rows}


async def note(conn: Connection, vault: Vault, by: str, text: str, **data: JsonValue) -> None:
    """A line of the audit trail that belongs to no case."""
    now = await conn.fetchval("SELECT holdfast_now()")
    entry = Entry(EventKind.NOTED, _CLAUSE, now, actor=by, text=text, data=data)
    await append_events(conn, vault, "", [entry])


_ENTRIES = """SELECT d.*, c.confirmed_at, c.confirmed_by FROM directory_on(coalesce($1, holdfast_today())) d
    LEFT JOIN LATERAL (SELECT * FROM directory_confirmations WHERE slug = d.slug AND confirmed_at >= d.set_at
        ORDER BY confirmed_at DESC LIMIT 1) c ON true
    ORDER BY d.position, d.slug"""
_CONTACTS = """SELECT c.* FROM directory_on(coalesce($1, holdfast_today())) d
    JOIN directory_contacts c USING (slug, version) ORDER BY c.rank"""
_CONFIRM = "INSERT INTO directory_confirmations (slug, confirmed_by) VALUES ($1, $2)"
_NEW_VERSION = """
    INSERT INTO directory (slug, version, position, name, principal_id, manager_id, closed, since, set_by)
    SELECT $1, coalesce(max(version) FILTER (WHERE slug = $1), 0) + 1,
        coalesce(min(position) FILTER (WHERE slug = $1), max(position) + 1, 1), $2, $3, $4, $5, $6, $7
    FROM directory RETURNING version"""
_NEW_PAIR = """
    INSERT INTO csm_pairs (csm_id, version, css_id, since, set_by)
    SELECT $1, coalesce(max(version), 0) + 1, $2, holdfast_today(), $3 FROM csm_pairs WHERE csm_id = $1"""


def _entry(row: Record, contacts: Sequence[Record]) -> DepartmentEntry:
    return DepartmentEntry(
        slug=row["slug"],
        name=row["name"],
        contacts=tuple(Contact(one["person_id"], Topic(one["topic"])) for one in contacts),
        principal_id=row["principal_id"] or "",
        manager_id=row["manager_id"] or "",
        since=row["since"],
        set_by=row["set_by"],
        set_at=row["set_at"],
        confirmed_at=row["confirmed_at"],
        confirmed_by=row["confirmed_by"] or "",
    )
