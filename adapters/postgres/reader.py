"""Read models for the CLI and pages: lists of cases and steps, and one case's timeline, opened for who may see it."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict, Unpack

from asyncpg import Record
from pydantic import JsonValue

from adapters.postgres import cursors
from adapters.postgres.calendars import explain
from adapters.postgres.crypto import ClientKey, SealedError, Vault
from adapters.postgres.names import names_of
from adapters.postgres.pool import Connection, Pool, transaction
from domain.case import CaseView, OpenStep
from domain.errors import Refused
from domain.explained import Explained
from domain.return_lead import ClaimProblem, LeadBilling

_ERASED = "(erased)"
_MOST_ROWS = 500


@dataclass(frozen=True)
class CaseRow:
    """A line of a list of cases. `owner` is a role or person id, "" once the case is over."""

    case_id: str
    workflow_id: str
    kind: str
    client_id: str
    client_name: str
    status: str
    outcome: str
    owner: str
    waiting_for: str
    due_at: datetime | None
    opened_at: datetime
    closed_at: datetime | None
    arrived_at: datetime | None
    looped_in_at: datetime | None
    linked_to: str


@dataclass(frozen=True)
class CasePage:
    """`cursor` asks for the rows after these, "" when there are none."""

    rows: tuple[CaseRow, ...]
    cursor: str


@dataclass(frozen=True)
class StepRow:
    """A person's step; `why` is its deadline in one sentence."""

    case_id: str
    client_id: str
    step: OpenStep
    state: str
    why: str


@dataclass(frozen=True)
class StepPage:
    """`cursor` asks for the rows after these, "" when there are none."""

    rows: tuple[StepRow, ...]
    cursor: str


class CaseFilters(TypedDict, total=False):
    """`due_before`: whose first deadline is before; `breached`: a clause that was not kept. Empty ones don't count."""

    status: str
    client_id: str
    kind: str
    owner: str
    due_before: datetime | None
    breached: str


class StepFilters(TypedDict, total=False):
    """`role`: asked of this team; `owner`: whose it is now, a person's id or the team's role."""

    case_id: str
    role: str
    owner: str
    due_before: datetime | None


@dataclass(frozen=True)
class LeadLine:
    lead_id: str
    problem: ClaimProblem
    elsewhere: str
    billing: LeadBilling | None


@dataclass(frozen=True)
class EffectRow:
    """An effect as the ledger has it; `body` names templates and rows, never texts."""

    key: str
    kind: str
    clause: str
    state: str
    gated: bool
    reference: str
    code: str
    attempts: int
    body: dict[str, JsonValue]
    prepared_at: datetime
    sending_at: datetime | None
    settled_at: datetime | None


@dataclass(frozen=True)
class Line:
    """A line of a case's timeline. `at` is when it happened for the case, `recorded_at` when it was written down."""

    seq: int
    kind: str
    clause: str
    step_id: str
    actor: str
    at: datetime | None
    recorded_at: datetime
    text: str
    data: dict[str, JsonValue]


@dataclass(frozen=True)
class CaseDetail:
    row: CaseRow
    view: CaseView | None
    steps: tuple[StepRow, ...]
    leads: tuple[LeadLine, ...]
    effects: tuple[EffectRow, ...]


class CaseReader:
    """Everything that is shown of cases. Any role may read; texts open only with the vault's master key."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool = pool
        self._vault = vault

    async def list_cases(self, *, cursor: str = "", limit: int = 50, **filters: Unpack[CaseFilters]) -> CasePage:
        """Cases that match every filter given, the newest first. Raises Refused `bad-cursor`."""
        listed = ("cases", *_asked(filters))
        after, most = cursors.read(listed, cursor, 1), min(max(limit, 1), _MOST_ROWS)
        query, values = _list_of_cases(filters, after, most + 1)
        async with transaction(self._pool, reading=True) as conn:
            shown = tuple(map(_case, await conn.fetch(query, *values)))
        if len(shown) <= most:
            return CasePage(shown, "")
        last = shown[most - 1]
        return CasePage(shown[:most], cursors.written(listed, cursors.Place(last.opened_at, (last.case_id,))))

    async def case(self, case_id: str) -> CaseDetail:
        """One case with its steps, leads and effects. Raises Refused `unknown-case`."""
        async with transaction(self._pool, reading=True) as conn:
            row = await conn.fetchrow(f"{_CASES} WHERE c.case_id = $1", case_id)
            if row is None:
                raise Refused("unknown-case", f"there is no case {case_id}")
            steps = await conn.fetch(f"{_STEPS} WHERE s.case_id = $1 ORDER BY s.asked_at, s.step_id", case_id)
            leads = await conn.fetch("SELECT * FROM case_leads WHERE case_id = $1 ORDER BY ordinal", case_id)
            view = CaseView.model_validate(row["view"]) if row["view"] else None
            effects = await _effects(conn, case_id)
        return CaseDetail(_case(row), view, tuple(map(_step, steps)), tuple(map(_lead, leads)), effects)

    async def list_steps(self, *, cursor: str = "", limit: int = 50, **filters: Unpack[StepFilters]) -> StepPage:
        """Open steps that match every filter given, the first due first. Raises Refused `bad-cursor`."""
        listed = ("steps", *_asked(filters))
        after, most = cursors.read(listed, cursor, 2), min(max(limit, 1), _MOST_ROWS)
        query, values = _list_of_steps(filters, after, most + 1)
        async with transaction(self._pool, reading=True) as conn:
            shown = tuple(map(_step, await conn.fetch(query, *values)))
        if len(shown) <= most:
            return StepPage(shown, "")
        last = shown[most - 1]
        place = cursors.Place(last.step.deadline.due, (last.case_id, last.step.step_id))
        return StepPage(shown[:most], cursors.written(listed, place))

    async def clocks(self, case_id: str) -> tuple[Explained, ...]:
        """Every deadline of a case, explained, as far as it is open. Raises Refused `unknown-case`."""
        async with transaction(self._pool, reading=True) as conn:
            view = await conn.fetchval("SELECT view FROM cases WHERE case_id = $1", case_id)
            if view is None:
                raise Refused("unknown-case", f"there is no case {case_id}")
            return await explain(conn, CaseView.model_validate(view) if view else None)

    async def names(self) -> dict[str, str]:
        """What people, teams and clients are called, by their ids."""
        async with transaction(self._pool, reading=True) as conn:
            return await names_of(conn)

    async def find_case(self, name: str) -> str:
        """The case of a full id, of the end of one, of a Message-ID or of our reference (`RL#...`). Raises Refused."""
        async with transaction(self._pool, reading=True) as conn:
            token = await conn.fetchval("SELECT case_id FROM mail_threads WHERE message_id = $1", name)
            found = [row["case_id"] for row in await conn.fetch(_NAMED, name)]
        if token:
            return str(token)
        if found and (found[0] == name or len(found) == 1):
            return found[0]
        if found:
            raise Refused("several-cases", f"several cases end in {name}: give the whole id")
        raise Refused("unknown-case", f"there is no case {name}: `holdfast case list` shows them")

    async def held_by(self, person: str, case_id: str = "") -> tuple[StepRow, ...]:
        """Open steps that the person claimed or was given, whoever covers for them today."""
        async with transaction(self._pool, reading=True) as conn:
            return tuple(_step(row) for row in await conn.fetch(_HELD_BY, person, case_id))

    async def effects(self, case_id: str) -> tuple[EffectRow, ...]:
        async with transaction(self._pool, reading=True) as conn:
            return await _effects(conn, case_id)

    async def timeline(self, case_id: str) -> tuple[Line, ...]:
        """Every event of a case in the order it was written down, opened; an erased client's texts say so."""
        async with transaction(self._pool, reading=True) as conn:
            rows = await conn.fetch("SELECT * FROM case_events WHERE case_id = $1 ORDER BY seq", case_id)
            keys = {name: await self._vault.known_key(conn, name) for name in {row["client_id"] for row in rows}}
        lines: list[Line] = []
        for row in rows:
            key = keys[row["client_id"]]
            lines.append(_line(row, _body(key, row["body_ct"])))
        return tuple(lines)


_CASES = (
    """SELECT c.*, coalesce(k.name, '') AS client_name FROM cases c LEFT JOIN clients k ON k.client_id = c.client_id"""
)
_STEPS = "SELECT s.case_id, c.client_id, s.view, s.state FROM case_steps s JOIN cases c USING (case_id)"
_HELD_BY = f"""{_STEPS} WHERE s.state = 'open' AND ($2 = '' OR s.case_id = $2)
    AND (s.claimed_by = $1 OR (s.claimed_by = '' AND s.view ->> 'reassigned_to' = $1))
    ORDER BY s.due_at, s.case_id, s.step_id"""


_NAMED = """SELECT case_id FROM cases
    WHERE case_id = $1 OR (regexp_replace(case_id, '^.*/', '') = regexp_replace($1, '^.*/', '')
                           AND right(case_id, length($1) + 1) = '/' || $1)
    ORDER BY case_id <> $1 LIMIT 3"""


def _asked(filters: Mapping[str, object]) -> list[tuple[str, object]]:
    return sorted((name, value) for name, value in filters.items() if value)


class _Conditions:
    """Only what is asked for is in the query, so that each has its index."""

    def __init__(self) -> None:
        self.values: list[object] = []
        self._words: list[str] = []

    def add(self, words: str, *values: object) -> None:
        """`{}` in the words stands for the next value."""
        numbers = [f"${len(self.values) + number}" for number in range(1, len(values) + 1)]
        self.values += values
        self._words.append(words.format(*numbers))

    @property
    def where(self) -> str:
        return f"WHERE {' AND '.join(self._words)}" if self._words else ""


def _list_of_cases(filters: CaseFilters, after: cursors.Place | None, most: int) -> tuple[str, list[object]]:
    asked = _Conditions()
    if status := filters.get("status"):
        # Said outright where it is common, so that the index of open cases is seen to fit.
        asked.add("c.status = 'open'") if status == "open" else asked.add("c.status = {}", status)
    for name in ("client_id", "kind", "owner"):
        if value := filters.get(name):
            asked.add(f"c.{name} = {{}}", value)
    if filters.get("owner"):
        asked.add("c.owner <> ''")
    if due := filters.get("due_before"):
        asked.add("c.due_at < {}", due)
    if clause := filters.get("breached"):
        asked.add(
            "c.case_id IN (SELECT e.case_id FROM case_events e WHERE e.kind = 'breached' AND e.clause = {})", clause
        )
    if after:
        asked.add("(c.opened_at, c.case_id) < ({}, {})", after.at, *after.names)
    return f"{_CASES} {asked.where} ORDER BY c.opened_at DESC, c.case_id DESC LIMIT {most}", asked.values


def _list_of_steps(filters: StepFilters, after: cursors.Place | None, most: int) -> tuple[str, list[object]]:
    asked = _Conditions()
    asked.add("s.state = 'open'")
    for name in ("case_id", "role", "owner"):
        if value := filters.get(name):
            asked.add(f"s.{name} = {{}}", value)
    if due := filters.get("due_before"):
        asked.add("s.due_at < {}", due)
    if after:
        asked.add("(s.due_at, s.case_id, s.step_id) > ({}, {}, {})", after.at, *after.names)
    return f"{_STEPS} {asked.where} ORDER BY s.due_at, s.case_id, s.step_id LIMIT {most}", asked.values


async def _effects(conn: Connection, case_id: str) -> tuple[EffectRow, ...]:
    rows = await conn.fetch("SELECT * FROM effects WHERE case_id = $1 ORDER BY prepared_at, key", case_id)
    return tuple(EffectRow(**{name: row[name] for name in EffectRow.__dataclass_fields__}) for row in rows)


def _case(row: Record) -> CaseRow:
    return CaseRow(**{name: row[name] for name in CaseRow.__dataclass_fields__})


def _step(row: Record) -> StepRow:
    return StepRow(
        row["case_id"], row["client_id"], OpenStep.model_validate(row["view"]), row["state"], row["view"].get("why", "")
    )


def _lead(row: Record) -> LeadLine:
    billing = LeadBilling.model_validate(row["billing"]) if row["billing"] else None
    return LeadLine(row["lead_id"], ClaimProblem(row["problem"]), row["elsewhere"], billing)


def _body(key: ClientKey | None, sealed: bytes) -> dict[str, Any]:
    if key:
        with suppress(SealedError):
            return json.loads(key.open(sealed))
    return {"at": None, "text": _ERASED, "data": {}}


def _line(row: Record, body: dict[str, Any]) -> Line:
    return Line(
        seq=row["seq"],
        kind=row["kind"],
        clause=row["clause"],
        step_id=row["step_id"],
        actor=row["actor"],
        at=datetime.fromisoformat(body["at"]) if body["at"] else None,
        recorded_at=row["recorded_at"],
        text=body["text"],
        data=body["data"],
    )
