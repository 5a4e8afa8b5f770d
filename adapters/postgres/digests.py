"""Nudges that wait, and the digests made of them: of what is still open when a digest is sent, and nothing twice."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import structlog
from asyncpg import Record
from pydantic import TypeAdapter

from activities.ports import Gathered
from adapters.postgres.directory import Addressee, PostgresDirectory
from adapters.postgres.mornings import addressed, calendar_of, calendars_of, is_at_work, recipient_of
from adapters.postgres.names import by_name, names_of
from adapters.postgres.pool import Connection, Pool, transaction
from domain import ids
from domain.case import OpenStep
from domain.digest import DigestLine, can_wait, is_pressing, morning, why_told
from domain.effects import Nudge, SendDigest
from domain.errors import Permanent
from domain.mail import OutgoingMail
from domain.rules.calendar import Calendar
from domain.rules.hours import in_zone
from domain.rules.running_clock import Clock
from domain.sops.texts import INSTRUCTIONS
from runtime.settings import Settings

_CLOCKS = TypeAdapter(tuple[Clock, ...])
_log = structlog.get_logger()
CLAUSE = "ID-3"
_LOCK = 4_846_377_051
_FROM = "Holdfast"


class PostgresLater:
    """The port `Later`. `quiet`: what can wait is told in the morning, what can't as soon as somebody is at work."""

    def __init__(self, pool: Pool, directory: PostgresDirectory, *, quiet: bool = False) -> None:
        self._pool, self._directory, self._quiet = pool, directory, quiet

    async def keep(self, case_id: str, nudge: Nudge) -> None:
        own = None if nudge.digest else nudge.model_dump(mode="json")
        async with transaction(self._pool) as conn:
            values = (nudge.key, case_id, nudge.step_id, nudge.clause, nudge.role, nudge.why, own)
            await conn.execute(_KEEP, *values)

    async def waiting(self, case_id: str, nudge: Nudge) -> Nudge | None:
        if nudge.urgent or not self._quiet:
            return nudge if nudge.digest else None
        async with transaction(self._pool, reading=True) as conn:
            row = await conn.fetchrow(_STEP, case_id, nudge.step_id)
            if row is None:
                return nudge if nudge.digest else None
            step, clocks = OpenStep.model_validate(row["view"]), _CLOCKS.validate_python(row["clocks"])
            to = (await addressed(self._directory, case_id, nudge.role, step)).to
            calendars = await calendars_of(conn, to)
            now: datetime = await conn.fetchval("SELECT holdfast_now()")
        if any(can_wait(step, clocks, one, now) for one in calendars):
            return nudge.model_copy(update={"digest": True, "why": why_told(nudge)})
        by_itself = nudge.model_copy(update={"digest": False})
        return None if _comes_by_itself(step, clocks, calendars, now) else by_itself

    async def is_kept(self, key: str) -> bool:
        async with transaction(self._pool, reading=True) as conn:
            return bool(await conn.fetchval("SELECT true FROM later_nudges WHERE key = $1", key))


class PostgresDigests:
    """The port `Digests`. Whoever has a step by now is told of it, at the time of their own calendar."""

    def __init__(self, pool: Pool, directory: PostgresDirectory, settings: Settings) -> None:
        self._pool, self._directory, self._settings = pool, directory, settings

    async def gather(self) -> Gathered:
        nobody = 0
        async with transaction(self._pool) as conn:
            await conn.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            now: datetime = await conn.fetchval("SELECT holdfast_now()")
            calendars: dict[str, Calendar] = {}
            for row in await conn.fetch(_WAITING):
                to = await self._to(row)
                nobody += not to
                for one in to:
                    await _put(conn, row, one, now, calendars)
            unsent = tuple(SendDigest(key=row["digest"], clause=CLAUSE) for row in await conn.fetch(_UNSENT))
        return Gathered(unsent, nobody)

    async def compose(self, effect: SendDigest) -> OutgoingMail | None:
        async with transaction(self._pool, reading=True) as conn:
            rows = await conn.fetch(_LINES, effect.key)
            if not rows:
                return None
            zone, names = (await calendar_of(conn, rows[0]["recipient"])).zone, await names_of(conn)
        lines = _lines([(row, await self._instead(row, names)) for row in rows])
        settings = self._settings
        return OutgoingMail(
            message_id=ids.message_id(effect.key, settings.mail_domain),
            sender=settings.returns_inbox.lower(),
            sender_name=_FROM,
            to=(rows[0]["address"],),
            subject=f"Today: {len(lines)} open step{'' if len(lines) == 1 else 's'} to look at",
            text=_text(rows[0]["name"], lines, settings, zone),
        )

    async def waited(self) -> tuple[tuple[str, Nudge], ...]:
        found: list[tuple[str, Nudge]] = []
        async with transaction(self._pool, reading=True) as conn:
            now: datetime = await conn.fetchval("SELECT holdfast_now()")
            for row in await conn.fetch(_SINGLES):
                nudge, step = Nudge.model_validate(row["nudge"]), OpenStep.model_validate(row["view"])
                clocks, to = _CLOCKS.validate_python(row["clocks"]), await self._to(row)
                is_last = nudge.chase >= step.chased
                if is_last and _comes_by_itself(step, clocks, await calendars_of(conn, to), now):
                    found.append((row["case_id"], nudge.model_copy(update={"key": ids.at_work_key(nudge.key)})))
        return tuple(found)

    async def _to(self, row: Record) -> Sequence[Addressee]:
        """Whoever is told, which is nobody only where the directory names nobody at all: that stops nobody else's."""
        try:
            found = await addressed(self._directory, row["case_id"], row["role"], OpenStep.model_validate(row["view"]))
        except Permanent as error:
            _log.warning("nobody to tell", code=error.code, case_id=row["case_id"], step_id=row["step_id"])
            return ()
        return found.to

    async def _instead(self, row: Record, names: Mapping[str, str]) -> str:
        """Why it is told to them, if it is not theirs."""
        step = OpenStep.model_validate(row["view"])
        try:
            return by_name((await addressed(self._directory, row["case_id"], row["role"], step)).fell_back, names)
        except Permanent:
            return ""


def _comes_by_itself(step: OpenStep, clocks: Sequence[Clock], calendars: Sequence[Calendar], now: datetime) -> bool:
    """Whether somebody it is for is at work, and is left with little time."""
    return any(is_at_work((one,), now) and is_pressing(step, clocks, one, now) for one in calendars)


async def _put(conn: Connection, row: Record, to: Addressee, now: datetime, calendars: dict[str, Calendar]) -> None:
    """Into today's digest of one recipient, if their morning has come and it is not sent yet."""
    recipient = await recipient_of(conn, to)
    if recipient not in calendars:
        calendars[recipient] = await calendar_of(conn, recipient)
    day = morning(calendars[recipient], row["written_at"], now)
    if day is None:
        return
    key = ids.digest_key(recipient, day.isoformat())
    if not await conn.fetchval("SELECT true FROM effects WHERE key = $1 AND state <> 'prepared'", key):
        await conn.execute(_PUT, row["key"], recipient, key, to.email, to.name)


def _lines(rows: Iterable[tuple[Record, str]]) -> list[DigestLine]:
    """A line a step, with what was last said of it; the first due first."""
    steps = {(row["case_id"], row["step_id"]): _line(row, instead) for row, instead in rows}
    return sorted(steps.values(), key=lambda one: (one.due, one.case_id, one.step_id))


def _line(row: Record, instead: str) -> DigestLine:
    step = OpenStep.model_validate(row["view"])
    return DigestLine(
        case_id=row["case_id"],
        step_id=step.step_id,
        step_name=step.name,
        clause=row["clause"],
        waiting_for=step.waiting_for,
        due=step.deadline.due,
        missed=step.missed,
        why=" ".join(filter(None, (row["why"], f"Why you: {instead}." if instead else ""))),
    )


def _text(name: str, lines: Iterable[DigestLine], settings: Settings, zone: str) -> str:
    hello = f"Hello {name},\n\n" if name else "Hello,\n\n"
    told = "\n\n".join(_told(one, settings, zone) for one in lines)
    return f"{hello}this is open and yours:\n\n{told}\n\nWhat is urgent comes by itself.\n"


def _told(one: DigestLine, settings: Settings, zone: str) -> str:
    known = INSTRUCTIONS.get(one.step_name)
    title = known.title if known else one.step_name.replace("-", " ").capitalize()
    due = f"was due {in_zone(one.missed, zone)}" if one.missed else f"due {in_zone(one.due, zone)}"
    link = settings.page_of(one.case_id, one.step_id)
    why = f"  {one.why}" if one.why else ""
    return "\n".join(filter(None, (f"* {title} ({one.clause}), {due}", f"  {one.waiting_for}", why, f"  {link}")))


_STEP = """SELECT s.view, coalesce(c.view -> 'clocks', '[]') AS clocks
    FROM case_steps s JOIN cases c USING (case_id) WHERE case_id = $1 AND step_id = $2"""
_SINGLES = """SELECT n.case_id, n.step_id, n.role, n.nudge, s.view, coalesce(c.view -> 'clocks', '[]') AS clocks
    FROM later_nudges n JOIN case_steps s USING (case_id, step_id) JOIN cases c USING (case_id)
    LEFT JOIN effects e ON e.key = n.key || '/at-work'
    WHERE n.nudge IS NOT NULL AND s.state = 'open' AND coalesce(e.state, 'prepared') IN ('prepared', 'sending')
    ORDER BY s.due_at, n.written_at LIMIT 5000"""
_KEEP = """INSERT INTO later_nudges (key, case_id, step_id, clause, role, why, nudge)
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (key) DO NOTHING"""
_WAITING = """SELECT n.*, s.view FROM later_nudges n JOIN case_steps s USING (case_id, step_id)
    WHERE n.nudge IS NULL AND s.state = 'open' AND NOT EXISTS (SELECT FROM digest_lines l WHERE l.nudge = n.key)
    ORDER BY n.written_at LIMIT 5000"""
_PUT = """INSERT INTO digest_lines (nudge, recipient, digest, address, name) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT DO NOTHING"""
_UNSENT = """SELECT DISTINCT l.digest FROM digest_lines l LEFT JOIN effects e ON e.key = l.digest
    WHERE l.put_at > holdfast_now() - interval '3 days' AND coalesce(e.state, 'prepared') IN ('prepared', 'sending')
    ORDER BY 1"""
_LINES = """SELECT l.recipient, l.address, l.name, n.case_id, n.step_id, n.role, n.clause, n.why, s.view
    FROM digest_lines l JOIN later_nudges n ON n.key = l.nudge JOIN case_steps s USING (case_id, step_id)
    WHERE l.digest = $1 AND s.state = 'open' ORDER BY n.written_at, n.key"""
