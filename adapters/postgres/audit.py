"""The audit trail: one hash chain over the events of all cases.

An event's hash covers the one before it, its plain columns and the SHA-256 of its sealed body. Whoever rewrites the
chain consistently is caught by an anchor: a head that was signed and sent outside.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

from asyncpg import Record
from pydantic import JsonValue

from adapters.postgres.crypto import DEPLOYMENT, ClientKey, Vault
from adapters.postgres.pool import Connection
from domain.case import CaseEvent, EventKind
from domain.texts import canonical

GENESIS = "0" * 64
_LOCK = 4_846_377_002
_MOST_PROBLEMS = 100


@dataclass(frozen=True)
class Entry:
    """An event to be written. `actor` is a person id, "" for Holdfast itself.

    `dedupe` names it within its case, so that a retry writes it once; "" takes a keyed hash of its content.
    """

    kind: EventKind
    clause: str
    at: datetime
    step_id: str = ""
    actor: str = ""
    text: str = ""
    data: dict[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    dedupe: str = ""

    @classmethod
    def of(cls, event: CaseEvent, actor: str = "") -> "Entry":
        return cls(event.kind, event.clause, event.at, event.step_id, actor, event.text, event.data)

    @property
    def body(self) -> bytes:
        return canonical({"at": self.at.isoformat(), "text": self.text, "data": self.data}).encode()

    @property
    def content(self) -> bytes:
        plain = [self.kind, self.clause, self.step_id, self.actor]
        return canonical(plain).encode() + b"\0" + self.body


@dataclass(frozen=True)
class Head:
    """How long the chain is and what it ends with. An empty chain has 0 events and the hash of 64 zeros."""

    seq: int
    hash: str


@dataclass(frozen=True)
class AuditReport:
    """What a walk over the chain found. `problems` are sentences, the first 100; none: the chain is whole."""

    count: int
    head: Head
    problems: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        return not self.problems


async def append_events(conn: Connection, vault: Vault, case_id: str, entries: Sequence[Entry]) -> int:
    """Appends events to the chain and returns how many were new. Call it last in a transaction.

    It holds the chain's lock until the transaction ends: whoever waits for rows after it makes all others wait.
    `case_id` "" is for what concerns the deployment (outbound, holds). Needs READ COMMITTED.
    """
    if not entries:
        return 0
    client_id = await conn.fetchval("SELECT client_id FROM cases WHERE case_id = $1", case_id) or DEPLOYMENT
    own = await vault.key(conn, DEPLOYMENT)
    key = own if client_id == DEPLOYMENT else await vault.key(conn, client_id)
    await conn.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
    fresh = await _unwritten(
        conn, case_id, {entry.dedupe or own.fingerprint(entry.content): entry for entry in entries}
    )
    previous = await head(conn)
    rows = _chained(previous, case_id, key, fresh, await conn.fetchval("SELECT holdfast_now()"))
    await conn.executemany(_INSERT, rows)
    return len(rows)


async def head(conn: Connection) -> Head:
    row = await conn.fetchrow("SELECT seq, hash FROM case_events ORDER BY seq DESC LIMIT 1")
    return Head(row["seq"], row["hash"]) if row else Head(0, GENESIS)


async def store_anchor(conn: Connection, anchor: Head, kid: str, signature: str) -> None:
    """Keeps a signed head; the copy that counts is the one sent outside."""
    await conn.execute(
        "INSERT INTO audit_anchors (seq, hash, kid, signature) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        anchor.seq, anchor.hash, kid, signature,
    )  # fmt: skip


async def anchors(conn: Connection) -> tuple[Head, ...]:
    """The heads kept here, oldest first."""
    rows = await conn.fetch("SELECT seq, hash FROM audit_anchors ORDER BY seq")
    return tuple(Head(row["seq"], row["hash"]) for row in rows)


async def verify(conn: Connection, anchor: Head | None = None) -> AuditReport:
    """Walks the whole chain and compares it with the anchors kept here and the one given. Memory stays constant.

    Open the connection with `transaction(pool, reading=True)`, so that it sees one moment.
    """
    marks = {mark.seq: mark.hash for mark in await anchors(conn)}
    if anchor:
        marks[anchor.seq] = anchor.hash
    walk = _Walk(marks)
    async for row in _events(conn):
        walk.step(row)
    return walk.report()


class _Walk:
    def __init__(self, marks: dict[int, str]) -> None:
        self._marks = marks
        self._count = 0
        self._last = Head(0, GENESIS)
        self._problems: list[str] = []

    def step(self, row: Record) -> None:
        seq, name = row["seq"], f"event {row['seq']}"
        if seq != self._last.seq + 1:
            self._say(f"{name} follows event {self._last.seq}: something between them is missing")
        if row["previous"] != self._last.hash:
            self._say(f"{name} does not follow from what is before it: something was changed, taken out or put in")
        if row["hash"] != _hash(row["previous"], _plain(row), row["body_ct"]):
            self._say(f"{name} was changed")
        if self._marks.pop(seq, row["hash"]) != row["hash"]:
            self._say(f"{name} is not the one that was anchored")
        self._count += 1
        self._last = Head(seq, row["hash"])

    def report(self) -> AuditReport:
        for seq in sorted(seq for seq in self._marks if seq > 0):
            self._say(f"event {seq} was anchored and is not there")
        return AuditReport(self._count, self._last, tuple(self._problems))

    def _say(self, problem: str) -> None:
        if len(self._problems) < _MOST_PROBLEMS:
            self._problems.append(problem)


_PLAIN = ("seq", "case_id", "recorded_at", "kind", "clause", "step_id", "actor", "client_id", "dedupe")
_COLUMNS = (*_PLAIN, "body_ct", "previous", "hash")
_INSERT = (
    f"INSERT INTO case_events ({', '.join(_COLUMNS)})"  # noqa: S608 - constants
    f" VALUES ({', '.join(f'${n}' for n in range(1, len(_COLUMNS) + 1))})"
)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM case_events ORDER BY seq"  # noqa: S608 - constants


async def _events(conn: Connection) -> AsyncGenerator[Record]:
    async for row in conn.cursor(_SELECT, prefetch=500):
        yield row


async def _unwritten(conn: Connection, case_id: str, entries: dict[str, Entry]) -> dict[str, Entry]:
    query = "SELECT dedupe FROM case_events WHERE case_id = $1 AND dedupe = ANY($2)"
    written = {row["dedupe"] for row in await conn.fetch(query, case_id, list(entries))}
    return {dedupe: entry for dedupe, entry in entries.items() if dedupe not in written}


def _chained(
    last: Head, case_id: str, key: ClientKey, entries: dict[str, Entry], now: datetime
) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    previous = last.hash
    for seq, (dedupe, entry) in enumerate(entries.items(), last.seq + 1):
        plain = (seq, case_id, now, entry.kind.value, entry.clause, entry.step_id, entry.actor, key.client_id, dedupe)
        body = key.seal(entry.body)
        digest = _hash(previous, plain, body)
        rows.append((*plain, body, previous, digest))
        previous = digest
    return rows


def _plain(row: Record) -> tuple[Any, ...]:
    return tuple(row[name] for name in _PLAIN)


def _hash(previous: str, plain: tuple[Any, ...], body: bytes) -> str:
    words = [word.isoformat() if isinstance(word, datetime) else word for word in plain]
    return sha256(f"{previous}\n{canonical(words)}\n{sha256(body).hexdigest()}".encode()).hexdigest()
