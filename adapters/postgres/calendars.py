"""Calendars, closures and targets: versions in the tables, and the snapshots that a door puts into a case's input."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from asyncpg import Record
from pydantic import JsonValue

from adapters.postgres.audit import Entry, append_events
from adapters.postgres.crypto import DEPLOYMENT, Vault
from adapters.postgres.pool import Connection, Pool, transaction
from domain.case import CaseView, EventKind
from domain.errors import Refused
from domain.explained import Explained, of_case
from domain.rules.calendar import (
    Calendar,
    Closure,
    Region,
    Window,
    problem_of_closure,
    problem_of_hours,
    public_holidays,
)
from domain.rules.clock import Target, problem_of_target
from domain.rules.running_clock import Clock, meet

AGENCY = "agency"
AHEAD = timedelta(days=400)
"""How far ahead a snapshot knows of holidays and closures."""
BEHIND = timedelta(days=31)
_LOCK = 4_846_377_050


@dataclass(frozen=True)
class CalendarRow:
    """A version of a calendar as it was set."""

    calendar_id: str
    version: int
    zone: str
    windows: tuple[Window, ...]
    region: Region
    since: datetime
    set_by: str


@dataclass(frozen=True)
class TargetRow:
    target: Target
    since: datetime
    set_by: str


async def snapshot(conn: Connection, *calendar_ids: str) -> Calendar:
    """The first of these calendars that there is, else the agency's, as it stands now: for a case's input.

    A client's own has only its own closures; to every other the agency's count as well.
    """
    row = await _first_of(conn, calendar_ids)
    own = (row.calendar_id,) if row.calendar_id.startswith("client:") else (AGENCY, row.calendar_id)
    today = (await conn.fetchval("SELECT holdfast_now()")).date()
    first, last = today - BEHIND, today + AHEAD
    holidays = await asyncio.to_thread(public_holidays, row.region, first, last)
    closures = await conn.fetch(_CLOSURES, list(own), first, last)
    return Calendar(
        calendar_id=row.calendar_id,
        version=row.version,
        closures_version=await conn.fetchval(_CLOSURES_VERSION, list(own)),
        zone=row.zone,
        windows=row.windows,
        holidays=holidays,
        closures=tuple(_closure(one) for one in closures),
        known_until=last,
    )


async def targets(conn: Connection, *names: str) -> tuple[Target, ...]:
    """The present version of each of these targets. Raises Refused `unknown-target`."""
    rows = {row["name"]: _target(row).target for row in await conn.fetch(_TARGETS, list(names))}
    if missing := [name for name in names if name not in rows]:
        raise Refused("unknown-target", f"there is no target called {missing[0]}: see `holdfast targets show`")
    return tuple(rows[name] for name in names)


async def explain(conn: Connection, view: CaseView | None) -> tuple[Explained, ...]:
    """Every deadline of a case, beside what it would be by the targets and calendars of today."""
    if view is None:
        return ()
    now = await conn.fetchval("SELECT holdfast_now()")
    view = view.model_copy(update={"clocks": tuple([await _as_sent(conn, one) for one in view.clocks])})
    known = {row["name"]: _target(row).target for row in await conn.fetch(_TARGETS, None)}
    named = {one.calendar.calendar_id for one in view.clocks if one.calendar}
    return of_case(view, now, known, {one: await snapshot(conn, one) for one in sorted(named)})


async def _as_sent(conn: Connection, clock: Clock) -> Clock:
    """A promise that is kept by what was sent is met then, whether its case has said so yet or not."""
    if not clock.met_by or not clock.runs:
        return clock
    sent = await conn.fetch(_SENT, list(clock.met_by))
    return meet(clock, max(row["settled_at"] for row in sent)) if len(sent) == len(set(clock.met_by)) else clock


class PostgresCalendars:
    """What the command line shows and sets. What is set twice is one version."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool, self._vault = pool, vault

    async def snapshot(self, *calendar_ids: str) -> Calendar:
        """As `snapshot`, in a transaction of its own."""
        async with transaction(self._pool, reading=True) as conn:
            return await snapshot(conn, *calendar_ids)

    async def targets(self, *names: str) -> tuple[Target, ...]:
        """As `targets`, in a transaction of its own."""
        async with transaction(self._pool, reading=True) as conn:
            return await targets(conn, *names)

    async def explain(self, view: CaseView | None) -> tuple[Explained, ...]:
        """As `explain`, in a transaction of its own."""
        async with transaction(self._pool, reading=True) as conn:
            return await explain(conn, view)

    async def now(self) -> datetime:
        """Database time, by which days off are still to come."""
        async with transaction(self._pool, reading=True) as conn:
            return await conn.fetchval("SELECT holdfast_now()")

    async def calendars(self) -> tuple[CalendarRow, ...]:
        """The present version of every calendar, the agency's first."""
        async with transaction(self._pool, reading=True) as conn:
            return tuple(map(_calendar, await conn.fetch(_CALENDARS)))

    async def all_targets(self) -> tuple[TargetRow, ...]:
        """The present version of every target."""
        async with transaction(self._pool, reading=True) as conn:
            return tuple(map(_target, await conn.fetch(_TARGETS, None)))

    async def set_calendar(
        self,
        calendar_id: str,
        *,
        by: str,
        zone: str | None = None,
        windows: Sequence[Window] | None = None,
        region: Region | None = None,
    ) -> bool:
        """Sets what is given; the rest stays as it is, or is the agency's for a new calendar. False: it was so already.

        Raises Refused, with nothing changed.
        """
        async with self._changing() as conn:
            await _check_id(conn, calendar_id)
            before = await _first_of(conn, (calendar_id,))
            after = (zone or before.zone, tuple(windows or before.windows), region or before.region)
            if problem := problem_of_hours(after[0], after[1]):
                raise Refused("bad-calendar", problem)
            if before.calendar_id == calendar_id and after == (before.zone, before.windows, before.region):
                return False
            values = [one.model_dump(mode="json") for one in after[1]]
            await conn.execute(_SET_CALENDAR, calendar_id, after[0], values, after[2].value, by)
            await self._note(conn, by, {"calendar": calendar_id})
            return True

    async def close(self, closures: Sequence[tuple[str, Closure]], by: str) -> int:
        """Adds closures (of a calendar each), all or none, and says how many were not there yet. Raises Refused."""
        async with self._changing() as conn:
            added = [one for one in closures if await _close(conn, *one, by)]
            if added:
                days = [f"{calendar_id} {closure.day}" for calendar_id, closure in added]
                await self._note(conn, by, {"closed": list[JsonValue](days)})
            return len(added)

    async def reopen(self, calendar_id: str, closure: Closure, by: str) -> bool:
        """Withdraws a closure; False if there is none. Raises Refused."""
        async with self._changing() as conn:
            await _check_id(conn, calendar_id)
            before = await conn.fetchrow(_SAME_CLOSURE, calendar_id, closure.day, closure.since)
            if before is None or before["withdrawn"]:
                return False
            await _write(conn, calendar_id, _closure(before), by, withdrawn=True)
            await self._note(conn, by, {"opened": f"{calendar_id} {closure.day}"})
            return True

    async def set_target(self, target: Target, by: str) -> bool:
        """Sets a target from now on: promises already made keep theirs. False: it was so already. Raises Refused."""
        if problem := problem_of_target(target):
            raise Refused("bad-target", problem)
        async with self._changing() as conn:
            before = [_target(row).target for row in await conn.fetch(_TARGETS, [target.name])]
            if [one.model_copy(update={"version": 0}) for one in before] == [target.model_copy(update={"version": 0})]:
                return False
            body = target.model_dump(mode="json", exclude={"name", "version"})
            await conn.execute(_SET_TARGET, target.name, body, by)
            await self._note(conn, by, {"target": target.name})
            return True

    @asynccontextmanager
    async def _changing(self) -> AsyncGenerator[Connection]:
        """One change at a time: each is a version of its own."""
        async with transaction(self._pool) as conn:
            await conn.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            yield conn

    async def _note(self, conn: Connection, by: str, data: dict[str, JsonValue]) -> None:
        now = await conn.fetchval("SELECT holdfast_now()")
        await append_events(conn, self._vault, DEPLOYMENT, [Entry(EventKind.NOTED, "", now, actor=by, data=data)])


async def _close(conn: Connection, calendar_id: str, closure: Closure, by: str) -> bool:
    await _check_id(conn, calendar_id)
    if problem := problem_of_closure(closure):
        raise Refused("bad-closure", problem)
    before = await conn.fetchrow(_SAME_CLOSURE, calendar_id, closure.day, closure.since)
    if before and not before["withdrawn"] and _closure(before) == closure:
        return False
    await _write(conn, calendar_id, closure, by, withdrawn=False)
    return True


async def _write(conn: Connection, calendar_id: str, closure: Closure, by: str, *, withdrawn: bool) -> None:
    values = (calendar_id, closure.day, closure.since, closure.until, closure.name, withdrawn, by)
    await conn.execute(_SET_CLOSURE, *values)


async def _check_id(conn: Connection, calendar_id: str) -> None:
    """Whose calendar it is must be known, or a typing error would be kept as a calendar that nobody has."""
    if calendar_id == AGENCY:
        return
    kind, _, name = calendar_id.partition(":")
    query = _KNOWN.get(kind, "SELECT false WHERE $1 = ''")
    if not await conn.fetchval(query, name if kind in {"person", "client"} else calendar_id):
        raise Refused(
            "unknown-calendar",
            f"{calendar_id!r} is nobody's calendar: agency, team:<name>, role:<name>, person:<id> or client:<id>",
        )


async def _first_of(conn: Connection, calendar_ids: Sequence[str]) -> CalendarRow:
    rows = {row["calendar_id"]: row for row in await conn.fetch(_NAMED, [*calendar_ids, AGENCY])}
    return _calendar(next(rows[one] for one in (*calendar_ids, AGENCY) if one in rows))


def _calendar(row: Record) -> CalendarRow:
    return CalendarRow(
        calendar_id=row["calendar_id"],
        version=row["version"],
        zone=row["zone"],
        windows=tuple(Window.model_validate(one) for one in row["windows"]),
        region=Region(row["region"]),
        since=row["since"],
        set_by=row["set_by"],
    )


def _closure(row: Record) -> Closure:
    return Closure(day=row["day"], name=row["name"], since=row["begins"], until=row["ends"])


def _target(row: Record) -> TargetRow:
    body: dict[str, Any] = row["target"]
    target = Target.model_validate({**body, "name": row["name"], "version": row["version"]})
    return TargetRow(target, row["since"], row["set_by"])


_NAMED = """SELECT DISTINCT ON (calendar_id) * FROM calendars WHERE calendar_id = ANY($1)
    ORDER BY calendar_id, version DESC"""
_CALENDARS = """SELECT * FROM (SELECT DISTINCT ON (calendar_id) * FROM calendars
        ORDER BY calendar_id, version DESC) AS last
    ORDER BY calendar_id <> 'agency', calendar_id"""
_CLOSURES_VERSION = "SELECT coalesce(max(seq), 0) FROM closures WHERE calendar_id = ANY($1)"
_CLOSURES = """SELECT * FROM (
        SELECT DISTINCT ON (calendar_id, day, begins) * FROM closures WHERE calendar_id = ANY($1)
        ORDER BY calendar_id, day, begins, seq DESC) AS last
    WHERE day BETWEEN $2 AND $3 AND NOT withdrawn ORDER BY day, begins"""
_SAME_CLOSURE = """SELECT * FROM closures WHERE calendar_id = $1 AND day = $2 AND begins = $3
    ORDER BY seq DESC LIMIT 1"""
_SENT = "SELECT settled_at FROM effects WHERE key = ANY($1) AND state = 'sent' AND settled_at IS NOT NULL"
_TARGETS = """SELECT DISTINCT ON (name) * FROM targets WHERE $1::text[] IS NULL OR name = ANY($1)
    ORDER BY name, version DESC"""
_SET_CALENDAR = """INSERT INTO calendars (calendar_id, version, zone, windows, region, set_by)
    SELECT $1, coalesce(max(version), 0) + 1, $2, $3, $4, $5 FROM calendars WHERE calendar_id = $1"""
_SET_CLOSURE = """INSERT INTO closures (calendar_id, day, begins, ends, name, withdrawn, set_by)
    VALUES ($1, $2, $3, $4, $5, $6, $7)"""
_SET_TARGET = """INSERT INTO targets (name, version, target, set_by)
    SELECT $1, coalesce(max(version), 0) + 1, $2, $3 FROM targets WHERE name = $1"""
_KNOWN = {
    "team": "SELECT true FROM (SELECT role FROM departments UNION SELECT role FROM memberships) r WHERE role = $1",
    "role": "SELECT true FROM (SELECT role FROM departments UNION SELECT role FROM memberships) r WHERE role = $1",
    "person": "SELECT true FROM people WHERE person_id = $1",
    "client": "SELECT true FROM clients WHERE client_id = $1",
}
