"""What the pages show beyond cases: who is looking, their roles today, acts with their proof, evidence, and lists."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from asyncpg import Record

from adapters.postgres.asking import Deciders
from adapters.postgres.crypto import Vault
from adapters.postgres.directory import MONEY_ROLES, Asked, departments_asking, person_by_identity, who_is_asked
from adapters.postgres.names import names_of
from adapters.postgres.pool import Pool, transaction
from adapters.postgres.subjects import stored_acts
from domain.errors import Refused
from domain.people import Identity, Person, Role
from domain.rules.stored_acts import Standing, StoredAct, Trust, stands

_QUEUES = (Role.RETURN_LEADS, Role.ACCOUNTS, Role.APPROVER, Role.PARTNER, Role.OPERATIONS)


@dataclass(frozen=True)
class Colleague:
    """Somebody of ours. `roles` are those they may act for today, as members, stand-ins or in the fall-back."""

    person: Person
    roles: frozenset[str]


@dataclass(frozen=True)
class ShownAct:
    """An act as it is stored, and whether it proves itself now (`standing`; None: it proves nothing)."""

    row: StoredAct
    actor: str
    standing: Standing | None


@dataclass(frozen=True)
class Evidence:
    sha256: str
    name: str
    content_type: str
    size: int
    content: bytes = b""


@dataclass(frozen=True)
class DoNotInvoice:
    lead_id: str
    case_id: str
    client_id: str
    client_name: str
    since: datetime


@dataclass(frozen=True)
class Chat:
    chat_id: str
    thread_id: str


class PageReader:
    """Works under the door's role. `trust` says which acts prove themselves."""

    def __init__(self, pool: Pool, vault: Vault, trust: Trust) -> None:
        self._pool, self._vault, self._trust = pool, vault, trust

    async def colleague(self, identity: Identity) -> Colleague | None:
        """The active person with this identity; for money roles they need not be in the directory."""
        async with transaction(self._pool, reading=True) as conn:
            person, roles = await person_by_identity(conn, identity), set[str]()
            for role in _QUEUES:
                for one in (await who_is_asked(conn, role)).may_act:
                    if one.identity == identity:
                        roles.add(role)
                        person = person or (one if role in MONEY_ROLES else None)
            if person:
                roles |= await departments_asking(conn, person.person_id)
        return Colleague(person, frozenset(roles)) if person else None

    async def asked_to_approve(self, case_id: str) -> Asked:
        """Who is asked to decide about a case as its approver, now."""
        async with transaction(self._pool, reading=True) as conn:
            return await Deciders(self._vault, self._trust).of(conn, case_id)

    async def names(self) -> dict[str, str]:
        """What people, departments and clients are called: by person id, role, or `client:` and the client's id."""
        async with transaction(self._pool, reading=True) as conn:
            return await names_of(conn)

    async def people(self) -> list[tuple[str, str]]:
        """Id and name of everybody active, by name."""
        async with transaction(self._pool, reading=True) as conn:
            rows = await conn.fetch("SELECT person_id, name FROM people WHERE active ORDER BY name")
        return [(row["person_id"], row["name"]) for row in rows]

    async def clients(self) -> list[tuple[str, str]]:
        async with transaction(self._pool, reading=True) as conn:
            return [tuple(row) for row in await conn.fetch("SELECT client_id, name FROM clients ORDER BY name")]

    async def acts(self, case_id: str) -> tuple[ShownAct, ...]:
        """Everything people signed about a case, each verified anew. Raises Refused `unknown-case`."""
        async with transaction(self._pool, reading=True) as conn:
            workflow_id = await conn.fetchval("SELECT workflow_id FROM cases WHERE case_id = $1", case_id)
            if workflow_id is None:
                raise Refused("unknown-case", f"There is no case {case_id}.")
            rows = await stored_acts(conn, case_id, workflow_id)
            names = await names_of(conn)
        return tuple(
            ShownAct(
                row, names.get(row.person_id) or names.get(f"{row.issuer}|{row.sub}", row.sub), stands(row, self._trust)
            )
            for row in rows
        )

    async def act(self, case_id: str, jti: str) -> ShownAct:
        """Raises Refused `unknown-act`."""
        found = next((one for one in await self.acts(case_id) if one.row.jti == jti), None)
        if found is None:
            raise Refused("unknown-act", "There is no such signed act in this case.")
        return found

    async def texts(self, case_id: str, names: Iterable[str]) -> dict[str, str]:
        """Human words by their SHA-256; what was erased is left out."""
        async with transaction(self._pool, reading=True) as conn:
            client_id = await conn.fetchval("SELECT client_id FROM cases WHERE case_id = $1", case_id)
            key = await self._vault.known_key(conn, client_id or "")
            rows = await conn.fetch(_TEXTS, client_id, list(names)) if key else []
        return {row["sha256"]: key.open(row["content_ct"]).decode(errors="replace") for row in rows if key}

    async def evidence_named(self, case_id: str, names: Iterable[str]) -> dict[str, Evidence]:
        """What is known of pieces of evidence, without their content, by SHA-256."""
        async with transaction(self._pool, reading=True) as conn:
            rows = await conn.fetch(_EVIDENCE_NAMED, case_id, list(names))
        return {row["sha256"]: _evidence(row) for row in rows}

    async def evidence(self, case_id: str, sha256: str) -> Evidence:
        """One piece with its content. Raises Refused `unknown-evidence`."""
        async with transaction(self._pool, reading=True) as conn:
            row = await conn.fetchrow(f"{_EVIDENCE} LIMIT 1", case_id, [sha256])
            key = await self._vault.known_key(conn, row["client_id"]) if row else None
        if row is None or key is None:
            raise Refused("unknown-evidence", "There is no such evidence in this case.")
        return _evidence(row, key.open(row["content_ct"]))

    async def chats(self, lead_ids: Sequence[str]) -> dict[str, Chat]:
        async with transaction(self._pool, reading=True) as conn:
            rows = await conn.fetch(_CHATS, list(lead_ids))
        return {row["lead_id"]: Chat(row["chat_id"], row["thread_id"]) for row in rows}

    async def do_not_invoice(self, month: str) -> tuple[DoNotInvoice, ...]:
        """The leads that may not be invoiced, listed in a month (`2026-11`, London), by client."""
        async with transaction(self._pool, reading=True) as conn:
            return tuple(DoNotInvoice(**dict(row)) for row in await conn.fetch(_LISTED, month))

    async def months(self) -> tuple[str, ...]:
        """The months that have such leads, the latest first; this month is always among them."""
        async with transaction(self._pool, reading=True) as conn:
            return tuple(row["month"] for row in await conn.fetch(_MONTHS))


def _evidence(row: Record, content: bytes = b"") -> Evidence:
    fields: dict[str, Any] = {name: row[name] for name in ("sha256", "name", "content_type", "size")}
    return Evidence(**fields, content=content)


_TEXTS = "SELECT sha256, content_ct FROM texts WHERE client_id = $1 AND sha256 = ANY($2)"
_EVIDENCE_NAMED = """SELECT t.sha256, t.name, t.content_type, octet_length(t.content_ct) AS size
    FROM texts t JOIN cases c USING (client_id) WHERE c.case_id = $1 AND t.sha256 = ANY($2)"""
_EVIDENCE = """SELECT t.sha256, t.name, t.content_type, octet_length(t.content_ct) AS size, t.client_id, t.content_ct
    FROM texts t JOIN cases c USING (client_id) WHERE c.case_id = $1 AND t.sha256 = ANY($2)"""
_CHATS = "SELECT lead_id, chat_id, thread_id FROM leads WHERE lead_id = ANY($1) AND chat_id <> ''"
_LISTED = """SELECT d.lead_id, d.case_id, d.client_id, coalesce(k.name, d.client_id) AS client_name, d.since
    FROM do_not_invoice d LEFT JOIN clients k USING (client_id)
    WHERE to_char(d.since AT TIME ZONE 'Europe/London', 'YYYY-MM') = $1 ORDER BY 4, 1"""
_MONTHS = """SELECT to_char(since AT TIME ZONE 'Europe/London', 'YYYY-MM') AS month FROM do_not_invoice
    UNION SELECT to_char(holdfast_now() AT TIME ZONE 'Europe/London', 'YYYY-MM') ORDER BY 1 DESC"""
