"""Every query that the API makes has an index: looked at over tables of many rows, by the server's own plans."""

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

import adapters.postgres.pool as pools
from adapters.postgres.api_keys import ApiKeys
from adapters.postgres.crypto import Vault
from adapters.postgres.pool import Connection
from domain.api_keys import Scope
from runtime.settings import Settings
from starter.client import DirectClient
from tests.conftest import Database

MANY = 20_000
LARGE = {
    *["cases", "case_steps", "case_events", "case_leads", "effects", "inbox", "mail_threads", "acts", "api_key_secrets"]
}
MOST_TOUCHED = 2_000
CASE = "return-lead/0000000000000007"
FILL = (
    """INSERT INTO cases (case_id, workflow_id, kind, client_id, status, owner, due_at, opened_at)
       SELECT 'return-lead/' || lpad(n::text, 16, '0'), 'w' || n, CASE n % 50 WHEN 0 THEN 'Other'
           ELSE 'ReturnLead' END, 'C-' || n % 200, CASE n % 20 WHEN 0 THEN 'open' ELSE 'closed' END,
           CASE n % 20 WHEN 0 THEN 'P-' || n % 100 ELSE '' END,
           CASE n % 20 WHEN 0 THEN timestamptz '2026-01-01Z' + n * interval '1 minute' END,
           timestamptz '2026-01-01Z' + n * interval '1 minute' FROM generate_series(1, $1) n""",
    """INSERT INTO case_steps (case_id, step_id, name, clause, kinds, role, owner, subject, waiting_for,
           asked_at, due_at, state, view)
       SELECT case_id, 'look', 'look', 'RL-4', '{}', 'team:t' || right(case_id, 1), coalesce(nullif(owner, ''), 'x'),
           'step', '', opened_at, opened_at, CASE status WHEN 'open' THEN 'open' ELSE 'done' END, $2::jsonb
       FROM cases WHERE $1 > 0""",
    """INSERT INTO case_events (seq, case_id, recorded_at, kind, clause, step_id, client_id, body_ct, dedupe,
           previous, hash)
       SELECT n, 'return-lead/' || lpad((n % 20000 + 1)::text, 16, '0'), now(),
           CASE n % 400 WHEN 0 THEN 'breached' ELSE 'noted' END, 'RL-' || n % 15, 'look', '', '', n::text, '', n::text
       FROM generate_series(1, $1 * 3) n""",
    """INSERT INTO inbox (provider, event_id, sha256, state, case_id)
       SELECT 'api', 'website/' || n, 'x', 'handed', 'return-lead/' || n FROM generate_series(1, $1) n""",
    """INSERT INTO effects (key, case_id, kind, clause, gated, body, state) SELECT case_id || '/e/1', case_id, 'x', '',
           false, '{}', 'sent' FROM cases WHERE $1 > 0""",
    """INSERT INTO case_leads (case_id, ordinal, lead_id, active)
       SELECT case_id, 1, right(case_id, 8), false FROM cases WHERE $1 > 0""",
    "INSERT INTO mail_threads SELECT 'm' || n, 'c' || n FROM generate_series(1, $1) n",
    """INSERT INTO api_keys (name, role, scopes, per_minute, tokens, created_by)
       SELECT 'k' || n, 'team:t', '{}', 1, 1, '' FROM generate_series(1, $1 / 10) n""",
    """INSERT INTO api_key_secrets (key_id, name, secret_sha256, created_by, expires_at)
       SELECT 's' || n, 'k' || n, 'x', '', now() FROM generate_series(1, $1 / 10) n""",
)  # fmt: skip
AT = datetime(2026, 1, 14, 10, 0, tzinfo=UTC)
STEP = {
    "step_id": "look", "name": "look", "clause": "RL-4", "kinds": [], "role": "team:t", "subject": "step",
    "waiting_for": "", "asked_at": "2026-01-01T00:00:00Z",
    "deadline": {"label": "due", "clause": "RL-4", "since": "2026-01-01T00:00:00Z", "after": "PT48H",
                 "due": "2026-01-03T00:00:00Z"},
}  # fmt: skip

Logged = list[tuple[str, tuple[Any, ...]]]


@pytest.fixture
async def filled(database: Database) -> Database:
    for statement in FILL:
        await database.execute(statement, *((MANY, STEP) if "$2" in statement else (MANY,)))
    await database.execute("INSERT INTO departments VALUES ('team:t', 'T', 't@commversion.com')")
    await database.execute("INSERT INTO clients (client_id, name) VALUES ('acme', 'Acme')")
    await database.execute("INSERT INTO client_addresses VALUES ('jane@acme.example', 'acme')")
    await database.execute("ANALYZE")
    return database


@pytest.fixture
async def asked(filled: Database, monkeypatch: pytest.MonkeyPatch) -> tuple[DirectClient, ApiKeys, Logged]:
    """Holdfast as the API asks it, and every query that it sends."""
    logged: Logged = []
    prepare = pools.prepare

    def note(query: Any) -> None:
        many = bool(query.args) and isinstance(query.args[0], tuple)
        logged.append((query.query, tuple(query.args[0] if many else query.args)))

    async def listening(connection: Connection) -> None:
        await prepare(connection)
        connection.add_query_logger(note)

    monkeypatch.setattr(pools, "prepare", listening)
    pool = await filled.pool("door")

    async def nobody() -> Any:
        raise AssertionError

    return DirectClient(pool, Vault(b"k" * 32), Settings(), nobody, key="website"), ApiKeys(pool), logged


async def everything(client: DirectClient, keys: ApiKeys) -> None:
    """What every operation of the API asks, with each filter by itself and the usual ones together."""
    token = await keys.create("website", "team:t", tuple(Scope), lasts=timedelta(days=1), per_minute=9, by="otto")
    await keys.recognise(token)
    for filters in (
        {}, {"status": "open"}, {"status": "closed"}, {"client_id": "C-7"}, {"owner": "P-20"}, {"kind": "Other"},
        {"due_before": AT}, {"breached": "RL-5"}, {"status": "open", "client_id": "C-20"},
        {"owner": "P-20", "status": "open"},
    ):  # fmt: skip
        page = await client.cases(limit=20, **filters)  # pyright: ignore[reportArgumentType]
        assert page.rows, filters
        if page.cursor:
            await client.cases(limit=20, cursor=page.cursor, **filters)  # pyright: ignore[reportArgumentType]
    for wanted in ({}, {"role": "team:t0"}, {"owner": "P-20"}, {"case_id": CASE}, {"due_before": AT}):
        page = await client.steps(limit=20, **wanted)  # pyright: ignore[reportArgumentType]
        if page.cursor:
            await client.steps(limit=20, cursor=page.cursor, **wanted)  # pyright: ignore[reportArgumentType]
    await client.case(CASE)
    await client.timeline(CASE)
    await client.clocks(CASE)
    await client.find_case(CASE.partition("/")[2])
    body = {"client_id": "acme", "leads": ["L-1001"], "reference": "R"}
    assert [(await client.start("return-leads", body, once="o")).replayed for _ in range(2)] == [False, True]


async def test_every_query_of_the_api_has_its_index(
    filled: Database, asked: tuple[DirectClient, ApiKeys, Logged]
) -> None:
    client, keys, logged = asked
    await everything(client, keys)
    ours = ("SELECT", "UPDATE", "WITH", "INSERT")
    queries = [one for one in logged if one[0].lstrip().startswith(ours) and "pg_" not in one[0]]
    assert len(queries) > 50
    owner = await asyncpg.connect(filled.owner_url)
    try:
        await pools.prepare(owner)
        for query, values in queries:
            await _looked_at(owner, query, values)
    finally:
        await owner.close()


async def _looked_at(owner: Any, query: str, values: tuple[Any, ...]) -> None:
    """Carried out, but for what inserts: that was done already."""
    how = "FORMAT JSON" if query.lstrip().startswith("INSERT") else "ANALYZE, TIMING OFF, FORMAT JSON"
    (plan,) = await owner.fetchval(f"EXPLAIN ({how}) {query}", *values)
    for node in _nodes(plan["Plan"]):
        assert not (node["Node Type"] == "Seq Scan" and node["Relation Name"] in LARGE), (query, values)
        touched = (node.get("Actual Rows", 0) + node.get("Rows Removed by Filter", 0)) * node.get("Actual Loops", 1)
        assert touched <= MOST_TOUCHED, (query, values, node)


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for part in plan.get("Plans", []) for node in _nodes(part))]
