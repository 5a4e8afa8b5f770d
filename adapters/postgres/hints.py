"""What vendors' webhooks tell: kept once, and passed on to the case it is about, whose word then is what it reads."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import NamedTuple

from asyncpg import Record

from adapters.postgres.calendars import snapshot, targets
from adapters.postgres.crypto import Vault
from adapters.postgres.intake import Arrival, decide_arrival, keep_arrival
from adapters.postgres.pool import Connection, Pool, transaction
from adapters.postgres.starts import stamp
from adapters.postgres.windows import PostgresWindows
from domain.department_request import DEPARTMENT_REQUEST, DUE, DepartmentAsk, Source
from domain.intake import Handover, Signal, start_of
from domain.messages import Fact, FactKind
from domain.rules.calendar import Calendar, round_to_end_of_day
from domain.rules.clock import TargetName
from domain.rules.running_clock import Clock

AT_ONCE = timedelta(0)
SEEN = "seen"
"""What stands in the inbox as this is a look at a ticket, and how it was found."""


class Taken(NamedTuple):
    """What became of one event. `repeated`: it had come before, and changed nothing."""

    state: str
    code: str = ""
    case_id: str = ""
    repeated: bool = False


@dataclass(frozen=True)
class OfCase:
    """The case of a task or a ticket, the open one before others."""

    case_id: str
    workflow_id: str
    client_id: str
    status: str
    outcome: str
    done_at: datetime | None
    request: dict[str, object] = field(repr=False)

    @property
    def is_open(self) -> bool:
        return self.status == "open"


Then = Callable[[Connection, int], Awaitable[tuple[Taken, Handover]]]


class PostgresHints:
    """Works under the door's role; each event is one transaction."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool, self._vault, self._windows = pool, vault, PostgresWindows(pool, vault)

    async def kept(self, arrival: Arrival) -> Taken:
        """On record, and nothing follows from it."""

        async def nothing(_: Connection, __: int) -> tuple[Taken, Handover]:
            return Taken("ignored", "recorded"), Handover()

        return await self._once(arrival, nothing)

    async def changed(
        self, arrival: Arrival, about: str, *, look_in: timedelta | None = None, watch: bool = False
    ) -> Taken:
        """Something of a task or ticket (`task/7`, `ticket/7`) changed: its open case is told, once.

        `look_in`: without a case, the door itself looks at it so much later; at once if its case is over. `watch`: the
        door looks as well where the case is open, for what it may have to know when that is over: at a ticket at once,
        at a task when it is over, for the case may have been done already and take no news any more.
        """

        async def tell(conn: Connection, _: int) -> tuple[Taken, Handover]:
            case = await case_about(conn, about)
            if case is None or not case.is_open:
                return await _to_look_at(conn, about, AT_ONCE if case and look_in else look_in), Handover()
            if watch:
                await conn.execute(_LOOK, about, AT_ONCE)
            if await _not_told_yet(conn, case.case_id):
                return Taken("handed", "coalesced", case.case_id), Handover()
            name = f"{arrival.provider}:{arrival.event_id}"
            return Taken("accepted", FactKind.TASK, case.case_id), _fact(case, name, FactKind.TASK, "task")

        return await self._once(arrival, tell)

    async def wrote(self, arrival: Arrival, number: str, at: datetime) -> Taken:
        """Somebody wrote to our number on WhatsApp: for 24 hours, free text may go to them."""

        async def open_window(conn: Connection, _: int) -> tuple[Taken, Handover]:
            if number:
                await self._windows.wrote(conn, number, min(at, await conn.fetchval("SELECT holdfast_now()")))
            return Taken("ignored", "recorded"), Handover()

        return await self._once(arrival, open_window)

    async def became(self, arrival: Arrival, marker: str, state: str) -> Taken:
        """What became of a message of ours, as its vendor says: on record beside its case."""

        async def keep(conn: Connection, _: int) -> tuple[Taken, Handover]:
            row = await conn.fetchrow(_BY_MARKER, marker) if marker else None
            return Taken("ignored", state, row["case_id"] if row else ""), Handover()

        return await self._once(arrival, keep)

    async def told_in(self, marker: str) -> OfCase | None:
        """The case of a message of ours."""
        async with transaction(self._pool, reading=True) as conn:
            row = await conn.fetchrow(_BY_MARKER, marker) if marker else None
        return _case(row) if row else None

    async def arrived(self, provider: str, event_ids: Sequence[str]) -> bool:
        """Whether one of these events is on record."""
        query = "SELECT EXISTS (SELECT FROM inbox WHERE provider = $1 AND event_id = ANY($2))"
        async with transaction(self._pool, reading=True) as conn:
            return bool(await conn.fetchval(query, provider, list(event_ids)))

    async def undelivered(self, arrival: Arrival, marker: str) -> Taken:
        """A message of ours did not arrive after all: a person of its case is asked to reach them another way."""

        async def tell(conn: Connection, _: int) -> tuple[Taken, Handover]:
            row = await conn.fetchrow(_BY_MARKER, marker) if marker else None
            case = _case(row) if row else None
            if row is None or case is None or not case.is_open:
                return Taken("ignored", "case-ended" if case else "not-ours", case.case_id if case else ""), Handover()
            fact = _fact(case, f"undelivered:{row['key']}", FactKind.UNDELIVERED, row["key"])
            return Taken("accepted", FactKind.UNDELIVERED, case.case_id), fact

        return await self._once(arrival, tell)

    async def was_settled(self, about: str) -> bool:
        """Whether a ticket was settled when it was last seen: a desk says that one is open, not that it is again."""
        async with transaction(self._pool, reading=True) as conn:
            return await conn.fetchval(_SEEN, f"{about}:") == "settled"

    async def saw(self, about: str, at: str, *, settled: bool) -> None:
        """Remembers how a ticket was found. `at` names the state that was looked at."""
        state = "settled" if settled else "not-settled"

        async def nothing(_: Connection, __: int) -> tuple[Taken, Handover]:
            return Taken("ignored", state), Handover()

        await self._once(Arrival(SEEN, f"{about}:{at}:{state}", about.encode()), nothing)

    async def resume(self, about: str, seen: str, due: date | datetime | None = None) -> str:
        """The case of a task or ticket that is open again goes on in its next cycle; "" if it is not over.

        Due when the board says so, if that is to come, else in 48 hours. `seen` names the look: the same one resumes a
        case once.
        """
        resumed: list[str] = []

        async def go_on(conn: Connection, _: int) -> tuple[Taken, Handover]:
            case = await case_about(conn, about, lock=True)
            if case is None or case.status != "closed":
                return Taken("ignored", "not-over", case.case_id if case else ""), Handover()
            resumed.append(case.case_id)
            return Taken("accepted", "resumed", case.case_id), await _next_cycle(conn, case, about, due)

        await self._once(Arrival("resume", f"{about}:{seen}", about.encode()), go_on)
        return resumed[0] if resumed else ""

    async def due(self, limit: int = 20, lease: timedelta = timedelta(minutes=2)) -> tuple[str, ...]:
        """What is to be looked at now, taken for the length of the lease."""
        async with transaction(self._pool) as conn:
            return tuple(row["about"] for row in await conn.fetch(_TAKE, limit, lease))

    async def looked_at(self, about: str) -> None:
        async with transaction(self._pool) as conn:
            await conn.execute("DELETE FROM looks WHERE about = $1 AND next_at > holdfast_now()", about)

    async def about(self, about: str) -> OfCase | None:
        async with transaction(self._pool, reading=True) as conn:
            return await case_about(conn, about)

    async def open_requests(self) -> tuple[tuple[OfCase, str], ...]:
        """Open department requests with the task or ticket that each is about, so far as there is one."""
        async with transaction(self._pool, reading=True) as conn:
            rows = await conn.fetch(_OPEN)
        return tuple((_case(row), row["about"]) for row in rows)

    async def _once(self, arrival: Arrival, then: Then) -> Taken:
        async with transaction(self._pool) as conn:
            inbox_id = await keep_arrival(conn, self._vault, arrival, "ignored")
            if inbox_id is None:
                return Taken("handed", "repeated", repeated=True)
            taken, handover = await then(conn, inbox_id)
            await decide_arrival(conn, inbox_id, taken.state, handover, taken.case_id, taken.code)
            return taken


async def case_about(conn: Connection, about: str, *, lock: bool = False) -> OfCase | None:
    """The case of `task/7` or `ticket/7`: the open one, else the latest."""
    kind, _, name = about.partition("/")
    row = await conn.fetchrow(_OF_TASK if kind == "task" else _OF_TICKET, name)
    if row is not None and lock:
        row = await conn.fetchrow("SELECT * FROM cases WHERE case_id = $1 FOR UPDATE", row["case_id"])
    return _case(row) if row else None


async def _to_look_at(conn: Connection, about: str, look_in: timedelta | None) -> Taken:
    if look_in is None:
        return Taken("ignored", "no-open-case")
    await conn.execute(_LOOK, about, look_in)
    return Taken("ignored", "to-look-at")


async def _not_told_yet(conn: Connection, case_id: str) -> bool:
    """Whether an earlier word to the case has yet to be taken up; what is on its way may have been read already."""
    return bool(await conn.fetchval(_UNTOLD, case_id, FactKind.TASK))


async def _next_cycle(conn: Connection, case: OfCase, about: str, due: date | datetime | None) -> Handover:
    """A case that was closed and opened again: under keys of its own, and told to whoever opened it."""
    before = DepartmentAsk.model_validate({**case.request, "carried": None})
    calendar = await snapshot(conn, f"team:{before.department}")
    asked = before.model_copy(
        update={
            "cycle": before.cycle + 1,
            "due_after": _due_after(due, await conn.fetchval("SELECT holdfast_now()"), calendar),
            "unsure": False,
            "first_chase": None,
            "opening": None,
            "resumed": Source.TICKET if about.startswith("ticket/") else Source.TASK,
            "opened_by": f"{about.replace('/', ' ')} is open again",
            "calendar": calendar,
            "targets": await targets(conn, *TargetName),
        }
    )
    start = start_of(DEPARTMENT_REQUEST, asked, f"ID-3 resumed, cycle {asked.cycle}")
    kept = asked.model_dump(mode="json", exclude={"carried", "calendar", "targets"})
    await conn.execute(_REOPEN, case.case_id, start.workflow_id, kept)
    await stamp(conn, asked)
    return Handover(steps=(start,))


def _due_after(due: date | datetime | None, now: datetime, calendar: Calendar) -> timedelta:
    """A day alone ends with its working hours; what is over already is no promise (ID-5)."""
    if due is None:
        return DUE
    at = due if isinstance(due, datetime) else round_to_end_of_day(due, calendar)
    return at - now if at > now else DUE


def _fact(case: OfCase, event_id: str, kind: FactKind, reference: str) -> Handover:
    fact = Fact(event_id=event_id, kind=kind, reference=reference)
    return Handover(steps=(Signal(workflow_id=case.workflow_id, case_id=case.case_id, fact=fact),))


def _case(row: Record) -> OfCase:
    names: Sequence[str] = ("case_id", "workflow_id", "client_id", "status", "outcome", "request")
    return OfCase(**{name: row[name] for name in names}, done_at=_done_at(row))


def _done_at(row: Record) -> datetime | None:
    """When what a closed case was about was done: it closes later if a person is still asked something beside it."""
    if row["closed_at"] is None:
        return None
    clocks = (Clock.model_validate(one) for one in row["view"].get("clocks", []))
    met = {clock.target.name: clock.met_at for clock in clocks if clock.met_at}
    return met.get(TargetName.RESOLVED) or met.get(TargetName.SOLUTION_PROPOSED) or row["closed_at"]


_NEWEST = "ORDER BY (status = 'open') DESC, opened_at DESC, case_id LIMIT 1"
_OF_TASK = f"""
    SELECT c.* FROM cases c JOIN (
        SELECT case_id FROM cases WHERE request ->> 'task_id' = $1 AND request ->> 'task_id' <> ''
        UNION SELECT case_id FROM effects WHERE kind = 'assign-task' AND reference = $1 AND reference <> '') found
        USING (case_id) WHERE c.kind = 'DepartmentRequest' {_NEWEST}"""  # noqa: S608 - constants
_OF_TICKET = f"""
    SELECT * FROM cases WHERE request ->> 'ticket_id' = $1 AND request ->> 'ticket_id' <> ''
        AND kind = 'DepartmentRequest' {_NEWEST}"""  # noqa: S608 - constants
_BY_MARKER = """SELECT c.*, e.key FROM effects e JOIN cases c USING (case_id)
    WHERE e.kind = 'tell' AND marker_of(e.key) = $1 LIMIT 1"""
_UNTOLD = """SELECT true FROM inbox WHERE case_id = $1 AND case_id <> '' AND state = 'accepted' AND code = $2
    AND next_at <= holdfast_now() LIMIT 1"""
_SEEN = """SELECT code FROM inbox WHERE provider = 'seen' AND starts_with(event_id, $1)
    ORDER BY inbox_id DESC LIMIT 1"""
_LOOK = """INSERT INTO looks (about, next_at) VALUES ($1, holdfast_now() + $2::interval)
    ON CONFLICT (about) DO UPDATE SET next_at = least(looks.next_at, EXCLUDED.next_at), tries = 0"""
_TAKE = """
    UPDATE looks SET next_at = holdfast_now() + $2::interval * (1 + tries), tries = tries + 1 WHERE about IN (
        SELECT about FROM looks WHERE next_at <= holdfast_now() AND NOT (starts_with(about, 'task/') AND EXISTS (
            SELECT FROM cases c WHERE c.case_id IN (
                SELECT case_id FROM cases WHERE request ->> 'task_id' <> '' AND request ->> 'task_id' = substr(about, 6)
                UNION ALL SELECT case_id FROM effects
                    WHERE kind = 'assign-task' AND reference <> '' AND reference = substr(about, 6))
            AND c.kind = 'DepartmentRequest' AND c.status = 'open'))
        ORDER BY next_at LIMIT $1 FOR UPDATE SKIP LOCKED)
    RETURNING about"""
_REOPEN = """UPDATE cases SET workflow_id = $2, status = 'open', outcome = '', closed_at = NULL, owner = 'holdfast',
    waiting_for = 'starting', due_at = NULL, request = $3 WHERE case_id = $1"""
_OPEN = """
    SELECT c.*, coalesce('task/' || nullif(c.request ->> 'task_id', ''), 'task/' || made.reference,
                         'ticket/' || nullif(c.request ->> 'ticket_id', '')) AS about
    FROM cases c LEFT JOIN LATERAL (SELECT reference FROM effects e WHERE e.case_id = c.case_id
        AND e.kind = 'assign-task' AND e.reference <> '' ORDER BY settled_at DESC LIMIT 1) made ON true
    WHERE c.kind = 'DepartmentRequest' AND c.status = 'open'
        AND coalesce(nullif(c.request ->> 'task_id', ''), made.reference, nullif(c.request ->> 'ticket_id', ''))
            IS NOT NULL"""
