"""What the gateway reads and keeps under the door's role: steps, who may sign, human texts, drafts, and outcomes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import JsonValue

from adapters.postgres.actors import roles_that_count, unknown_assignee
from adapters.postgres.acts import unwithdrawable
from adapters.postgres.approvers import authority, involved, signer
from adapters.postgres.crypto import Vault
from adapters.postgres.directory import own_today, people_by_id
from adapters.postgres.orders_proven import hierarchy
from adapters.postgres.pool import Connection, Pool, transaction
from adapters.postgres.subjects import case_word, subject_after
from domain.case import Model
from domain.errors import Refused
from domain.messages import ActKind
from domain.people import Identity, Person
from domain.rules import acts as rules
from domain.rules.stored_acts import Trust, ownership
from domain.subject import Subject
from domain.texts import canonical, digest


@dataclass(frozen=True)
class DeskStep:
    """A person's step as it stands in the tables."""

    case_id: str
    workflow_id: str
    client_id: str
    step_id: str
    name: str
    clause: str
    role: str
    kinds: tuple[str, ...]
    subject: str
    is_open: bool
    claimed_by: str
    waiting_for: str
    due_at: datetime


@dataclass(frozen=True)
class Outcome:
    """What became of an act. `waiting`: nobody has judged it yet; it will be, if it was sent."""

    state: str  # accepted | refused | waiting
    code: str = ""
    sentence: str = ""

    @property
    def accepted(self) -> bool:
        return self.state == "accepted"


class Desk:
    """Human texts are sealed with the client's key, and named by the SHA-256 of their UTF-8 bytes."""

    def __init__(self, pool: Pool, vault: Vault, trust: Trust) -> None:
        self._pool = pool
        self._vault = vault
        self._trust = trust

    async def now(self) -> int:
        """Database time, whole seconds since 1970."""
        async with transaction(self._pool) as conn:
            return await conn.fetchval("SELECT floor(extract(epoch FROM holdfast_now()))::bigint")

    async def person(self, person_id: str) -> Person:
        """Raises Refused `unknown-person`."""
        async with transaction(self._pool, reading=True) as conn:
            found = await people_by_id(conn, [person_id])
        if not found:
            raise rules.refuse("unknown-person")
        return found[0]

    async def step(self, case_id: str, step_id: str) -> DeskStep:
        """Raises Refused `unknown-case` or `unknown-step`."""
        async with transaction(self._pool, reading=True) as conn:
            row = await conn.fetchrow(_STEP, case_id, step_id)
            known = row or await conn.fetchval("SELECT true FROM cases WHERE case_id = $1", case_id)
        if not known:
            raise Refused("unknown-case", f"There is no case {case_id}.")
        if row is None:
            raise Refused("unknown-step", f"Case {case_id} has no step {step_id}.")
        columns: dict[str, Any] = {**row, "kinds": tuple(row["kinds"])}
        return DeskStep(**columns)

    async def subject(self, step: DeskStep, kind: ActKind) -> Subject:
        """What an act of this kind decides about, out of the tables."""
        async with transaction(self._pool, reading=True) as conn:
            said = await case_word(conn, step.case_id, self._trust)
            return await subject_after(conn, step.case_id, rules.subject_name(kind), step.step_id, said, self._trust)

    async def foresee(
        self, step: DeskStep, kind: ActKind, who: Identity, result: Model | None, now: int
    ) -> tuple[Subject, str]:
        """What would be signed, and why it would be refused ("" if nothing speaks against it)."""
        async with transaction(self._pool, reading=True) as conn:
            said = await case_word(conn, step.case_id, self._trust)
            name, at = rules.subject_name(kind), await conn.fetchval("SELECT holdfast_now()")
            about = await subject_after(conn, step.case_id, name, step.step_id, said, self._trust)
            past = await involved(conn, self._vault, step.case_id, said, self._trust)
            may = authority(await hierarchy(conn, self._trust), who, at, past)
            signed = await signer(conn, who, step.case_id, roles_that_count(kind, step.role), may)
            if signed is None:
                return about, "unknown-person"
            own = await own_today(conn, ownership(said, step.step_id), step.role, step.case_id)
            code = rules.entitlement(kind, signed, step.role, own, past)
            code = code or rules.beyond(kind, may, about.asking.sum_gbp if about.asking else None)
            if kind is ActKind.WITHDRAW and not code:
                code = await unwithdrawable(conn, step.case_id, said)
            if not code and result is not None:
                code = rules.unfit(result, about.lead_ids, now)
                code = code or await unknown_assignee(conn, result, step.case_id, step.role, step.kinds)
        return about, code

    async def keep_texts(self, client_id: str, texts: Sequence[str]) -> None:
        """Stores human texts under their SHA-256; those already there are left alone."""
        async with transaction(self._pool) as conn:
            await self._keep(conn, client_id, [(text.encode(), "text/plain", "") for text in texts])

    async def keep_evidence(self, client_id: str, content: bytes, content_type: str, name: str) -> str:
        """Stores a piece of evidence and returns its SHA-256."""
        async with transaction(self._pool) as conn:
            await self._keep(conn, client_id, [(content, content_type, name)])
        return digest(content)

    async def missing_texts(self, client_id: str, names: Sequence[str]) -> tuple[str, ...]:
        """Which of these SHA-256 are not stored for the client."""
        async with transaction(self._pool, reading=True) as conn:
            query = "SELECT sha256 FROM texts WHERE client_id = $1 AND sha256 = ANY($2)"
            found = {row["sha256"] for row in await conn.fetch(query, client_id, list(names))}
        return tuple(name for name in names if name not in found)

    async def draft(self, step: DeskStep) -> dict[str, dict[str, JsonValue]]:
        """The findings put down so far, by lead id."""
        async with transaction(self._pool, reading=True) as conn:
            return await self._draft(conn, step)

    async def put_down(self, step: DeskStep, lead_id: str, finding: Mapping[str, JsonValue]) -> int:
        """Adds or replaces one lead's finding and returns how many there are now."""
        async with transaction(self._pool) as conn:
            key = await self._vault.key(conn, step.client_id)
            await conn.execute(f"{_DRAFT} FOR UPDATE", step.case_id, step.step_id)
            found = await self._draft(conn, step) | {lead_id: dict(finding)}
            await conn.execute(_SET_DRAFT, step.case_id, step.step_id, key.seal(canonical(found).encode()))
        return len(found)

    async def clear_draft(self, step: DeskStep) -> None:
        async with transaction(self._pool) as conn:
            await conn.execute(_SET_DRAFT, step.case_id, step.step_id, None)

    async def outcome(self, case_id: str, jti: str, fingerprint: str) -> Outcome:
        """What became of an act, by its number and by the SHA-256 of all of it."""
        async with transaction(self._pool, reading=True) as conn:
            if await conn.fetchval("SELECT true FROM acts WHERE jti = $1 AND case_id = $2", jti, case_id):
                return Outcome("accepted")
            query = "SELECT code, sentence FROM act_refusals WHERE case_id = $1 AND digest = $2 LIMIT 1"
            row = await conn.fetchrow(query, case_id, fingerprint)
        return Outcome("refused", row["code"], row["sentence"]) if row else Outcome("waiting")

    async def _keep(self, conn: Connection, client_id: str, contents: Sequence[tuple[bytes, str, str]]) -> None:
        key = await self._vault.key(conn, client_id)
        rows = [(digest(content), client_id, key.seal(content), kind, name) for content, kind, name in contents]
        await conn.executemany(
            """INSERT INTO texts (sha256, client_id, content_ct, content_type, name) VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT DO NOTHING""",
            rows,
        )

    async def _draft(self, conn: Connection, step: DeskStep) -> dict[str, dict[str, JsonValue]]:
        sealed = await conn.fetchval(_DRAFT, step.case_id, step.step_id)
        return json.loads(await self._vault.open(conn, step.client_id, sealed)) if sealed else {}


_STEP = """SELECT s.case_id, c.workflow_id, c.client_id, s.step_id, s.name, s.clause, s.role, s.kinds, s.subject,
        s.state = 'open' AS is_open, s.claimed_by, s.waiting_for, s.due_at
    FROM case_steps s JOIN cases c USING (case_id) WHERE s.case_id = $1 AND s.step_id = $2"""
_DRAFT = "SELECT draft_ct FROM case_steps WHERE case_id = $1 AND step_id = $2"
_SET_DRAFT = "UPDATE case_steps SET draft_ct = $3 WHERE case_id = $1 AND step_id = $2"
