"""Nudges that wait, and the digests made of them: of what is still open when a digest is sent, and nothing twice."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from asyncpg import Record

from adapters.postgres.calendars import snapshot
from adapters.postgres.directory import Addressee, PostgresDirectory
from adapters.postgres.pool import Connection, Pool, transaction
from domain import ids
from domain.case import OpenStep
from domain.digest import DigestLine, morning
from domain.effects import Nudge, SendDigest
from domain.mail import OutgoingMail
from domain.rules.calendar import Calendar, next_working_moment
from domain.sops.texts import INSTRUCTIONS
from domain.texts import digest
from runtime.settings import Settings

CLAUSE = "ID-3"
_LOCK = 4_846_377_051
_FROM = "Holdfast"


class PostgresLater:
    """The port `Later`. `quiet`: what is no emergency waits until somebody it is for is at work."""

    def __init__(self, pool: Pool, directory: PostgresDirectory, *, quiet: bool = False) -> None:
        self._pool, self._directory, self._quiet = pool, directory, quiet

    async def keep(self, case_id: str, nudge: Nudge) -> None:
        own = None if nudge.digest else nudge.model_dump(mode="json")
        async with transaction(self._pool) as conn:
            values = (nudge.key, case_id, nudge.step_id, nudge.clause, nudge.role, nudge.why, own)
            await conn.execute(_KEEP, *values)

    async def waits(self, case_id: str, nudge: Nudge) -> bool:
        if nudge.digest or nudge.urgent or not self._quiet:
            return nudge.digest
        async with transaction(self._pool, reading=True) as conn:
            view = await conn.fetchval(_STEP, case_id, nudge.step_id)
            if view is None:
                return False
            to = await addressees(self._directory, case_id, nudge.role, OpenStep.model_validate(view))
            return not await any_at_work(conn, to)

    async def is_kept(self, key: str) -> bool:
        async with transaction(self._pool, reading=True) as conn:
            return bool(await conn.fetchval("SELECT true FROM later_nudges WHERE key = $1", key))


class PostgresDigests:
    """The port `Digests`. Whoever has a step by now is told of it, at the time of their own calendar."""

    def __init__(self, pool: Pool, directory: PostgresDirectory, settings: Settings) -> None:
        self._pool, self._directory, self._settings = pool, directory, settings

    async def gather(self) -> tuple[SendDigest, ...]:
        async with transaction(self._pool) as conn:
            await conn.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            now: datetime = await conn.fetchval("SELECT holdfast_now()")
            calendars: dict[str, Calendar] = {}
            for row in await conn.fetch(_WAITING):
                step = OpenStep.model_validate(row["view"])
                for one in await addressees(self._directory, row["case_id"], row["role"], step):
                    await _put(conn, row, one, now, calendars)
            return tuple(SendDigest(key=row["digest"], clause=CLAUSE) for row in await conn.fetch(_UNSENT))

    async def compose(self, effect: SendDigest) -> OutgoingMail | None:
        async with transaction(self._pool, reading=True) as conn:
            rows = await conn.fetch(_LINES, effect.key)
        if not rows:
            return None
        settings = self._settings
        lines = sorted(map(_line, rows), key=lambda one: (one.due, one.case_id, one.step_id))
        return OutgoingMail(
            message_id=ids.message_id(effect.key, settings.mail_domain),
            sender=settings.returns_inbox.lower(),
            sender_name=_FROM,
            to=(rows[0]["address"],),
            subject=f"Today: {len(lines)} open step{'' if len(lines) == 1 else 's'} to look at",
            text=_text(rows[0]["name"], lines, settings),
        )

    async def waited(self) -> tuple[tuple[str, Nudge], ...]:
        found: list[tuple[str, Nudge]] = []
        async with transaction(self._pool, reading=True) as conn:
            for row in await conn.fetch(_SINGLES):
                nudge, step = Nudge.model_validate(row["nudge"]), OpenStep.model_validate(row["view"])
                to = await addressees(self._directory, row["case_id"], nudge.role, step)
                if nudge.chase >= step.chased and await any_at_work(conn, to):
                    found.append((row["case_id"], nudge.model_copy(update={"key": ids.at_work_key(nudge.key)})))
        return tuple(found)


async def addressees(directory: PostgresDirectory, case_id: str, role: str, step: OpenStep) -> Sequence[Addressee]:
    """Whoever has the step by now; `role`: who is told as well instead."""
    holder = "" if role else step.claimed_by or step.reassigned_to
    return (await directory.addressed(role or step.role, case_id, holder)).to


async def any_at_work(conn: Connection, to: Sequence[Addressee]) -> bool:
    now: datetime = await conn.fetchval("SELECT holdfast_now()")
    for one in to:
        calendar = await snapshot(conn, *await _calendar_ids(conn, await _recipient(conn, one)))
        if next_working_moment(calendar, now) <= now:
            return True
    return False


async def _put(conn: Connection, row: Record, to: Addressee, now: datetime, calendars: dict[str, Calendar]) -> None:
    """Into today's digest of one recipient, if their morning has come and it is not sent yet."""
    recipient = await _recipient(conn, to)
    if recipient not in calendars:
        calendars[recipient] = await snapshot(conn, *await _calendar_ids(conn, recipient))
    day = morning(calendars[recipient], row["written_at"], now)
    if day is None:
        return
    key = ids.digest_key(recipient, day.isoformat())
    if not await conn.fetchval("SELECT true FROM effects WHERE key = $1 AND state <> 'prepared'", key):
        await conn.execute(_PUT, row["key"], recipient, key, to.email, to.name)


async def _recipient(conn: Connection, to: Addressee) -> str:
    known = await conn.fetchval(_WHO, to.email)
    return str(known) if known else f"address:{digest(to.email.lower())}"


async def _calendar_ids(conn: Connection, recipient: str) -> list[str]:
    """A person's own calendar, else that of a team they are in; a department's is its own."""
    kind, _, person = recipient.partition(":")
    teams = await conn.fetch(_TEAMS, person) if kind == "person" else []
    return [recipient, *(row["role"] for row in teams)]


def _line(row: Record) -> DigestLine:
    step = OpenStep.model_validate(row["view"])
    return DigestLine(
        case_id=row["case_id"],
        step_id=step.step_id,
        step_name=step.name,
        clause=row["clause"],
        waiting_for=step.waiting_for,
        due=step.deadline.due,
        why=row["why"],
    )


def _text(name: str, lines: Iterable[DigestLine], settings: Settings) -> str:
    hello = f"Hello {name},\n\n" if name else "Hello,\n\n"
    told = "\n\n".join(_told(one, settings) for one in lines)
    return f"{hello}this is still open and yours:\n\n{told}\n\nWhat is urgent comes by itself, at once.\n"


def _told(one: DigestLine, settings: Settings) -> str:
    known = INSTRUCTIONS.get(one.step_name)
    title = known.title if known else one.step_name.replace("-", " ").capitalize()
    due = f"{one.due:%a %d %b %Y %H:%M} UTC"
    link = settings.page_of(one.case_id, one.step_id)
    return "\n".join(
        filter(None, (f"* {title} ({one.clause}), due {due}", f"  {one.waiting_for}", _why(one), f"  {link}"))
    )


def _why(one: DigestLine) -> str:
    return f"  {one.why}" if one.why else ""


_STEP = "SELECT view FROM case_steps WHERE case_id = $1 AND step_id = $2"
_SINGLES = """SELECT n.case_id, n.nudge, s.view FROM later_nudges n JOIN case_steps s USING (case_id, step_id)
    LEFT JOIN effects e ON e.key = n.key || '/at-work'
    WHERE n.nudge IS NOT NULL AND s.state = 'open' AND coalesce(e.state, 'prepared') IN ('prepared', 'sending')
    ORDER BY n.written_at LIMIT 500"""
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
_LINES = """SELECT l.address, l.name, n.case_id, n.clause, n.why, s.view
    FROM digest_lines l JOIN later_nudges n ON n.key = l.nudge JOIN case_steps s USING (case_id, step_id)
    WHERE l.digest = $1 AND s.state = 'open'"""
_WHO = """SELECT id FROM (
        SELECT 1 AS rank, 'person:' || person_id AS id FROM people WHERE lower(email) = lower($1)
        UNION ALL SELECT 2, role FROM departments WHERE lower(address) = lower($1)) AS known
    ORDER BY rank, id LIMIT 1"""
_TEAMS = "SELECT role FROM memberships WHERE person_id = $1 ORDER BY manager, role"
