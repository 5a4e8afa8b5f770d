"""Read models for the CLI and pages: lists of cases and steps, and one case's timeline, opened for who may see it."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from asyncpg import Record
from pydantic import JsonValue

from adapters.postgres.crypto import ClientKey, SealedError, Vault
from adapters.postgres.pool import Connection, Pool, transaction
from domain.case import CaseView, OpenStep
from domain.errors import Refused
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

    async def list_cases(
        self,
        *,
        status: str = "",
        client_id: str = "",
        owner: str = "",
        kind: str = "",
        cursor: str = "",
        limit: int = 50,
    ) -> CasePage:
        """Cases that match every filter given, the newest first. Raises Refused `bad-cursor`."""
        opened_at, last = _read_cursor(cursor)
        most = min(max(limit, 1), _MOST_ROWS)
        async with transaction(self._pool, reading=True) as conn:
            rows = await conn.fetch(_LIST, status, client_id, owner, kind, opened_at, last, most + 1)
        shown = tuple(_case(row) for row in rows[:most])
        return CasePage(shown, _cursor(shown[-1]) if len(rows) > most else "")

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

    async def open_steps(
        self, *, roles: Sequence[str] = (), person: str = "", case_id: str = ""
    ) -> tuple[StepRow, ...]:
        """Open steps, the first due first: of any of the roles' queues, or owned by the person; no filter: all."""
        async with transaction(self._pool, reading=True) as conn:
            return tuple(_step(row) for row in await conn.fetch(_OPEN_STEPS, list(roles), person, case_id))

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
_LIST = f"""{_CASES}
    WHERE ($1 = '' OR c.status = $1) AND ($2 = '' OR c.client_id = $2) AND ($3 = '' OR c.owner = $3)
      AND ($4 = '' OR c.kind = $4) AND ($5::timestamptz IS NULL OR (c.opened_at, c.case_id) < ($5, $6))
    ORDER BY c.opened_at DESC, c.case_id DESC LIMIT $7"""
_STEPS = "SELECT s.case_id, c.client_id, s.view, s.state FROM case_steps s JOIN cases c USING (case_id)"
_OPEN_STEPS = f"""{_STEPS} WHERE s.state = 'open' AND ($3 = '' OR s.case_id = $3)
    AND ((cardinality($1::text[]) = 0 AND $2 = '') OR s.role = ANY($1) OR ($2 <> '' AND s.owner = $2))
    ORDER BY s.due_at, s.case_id, s.step_id"""


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


def _cursor(row: CaseRow) -> str:
    return f"{row.opened_at.isoformat()}|{row.case_id}"


def _read_cursor(cursor: str) -> tuple[datetime | None, str]:
    if not cursor:
        return None, ""
    opened_at, _, case_id = cursor.partition("|")
    try:
        return datetime.fromisoformat(opened_at), case_id
    except ValueError:
        raise Refused("bad-cursor", "this cursor is not one that was given out") from None
