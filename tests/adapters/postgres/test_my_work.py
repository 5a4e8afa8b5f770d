"""My work and the agendas over tables of many rows: one query each, by its indexes."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import adapters.postgres.pool as pools
from adapters.postgres import agenda, my_work
from adapters.postgres.crypto import Vault
from adapters.postgres.my_work import MyWork
from domain.rules.stored_acts import Trust
from runtime.keys import Keyring
from tests.conftest import Database

MANY = 20_000
TRUST = Trust(Keyring(Path("no-such-ring")), "test", local_counts=False)
LARGE = {"cases", "case_steps", "case_events", "agenda", "texts"}
MOST_TOUCHED = 2_000
STEP = {
    "step_id": "process", "name": "process", "clause": "ID-3", "kinds": [], "role": "department:ppc/client",
    "subject": "step", "waiting_for": "", "asked_at": "2026-01-01T00:00:00Z",
    "deadline": {"label": "due", "clause": "ID-3", "since": "2026-01-01T00:00:00Z", "after": "PT48H",
                 "due": "2026-01-03T00:00:00Z"},
}  # fmt: skip
FILL = (
    """INSERT INTO cases (case_id, workflow_id, kind, client_id, status, owner, csm_id, opened_at, closed_at)
       SELECT 'c/' || n, 'w' || n, 'DepartmentRequest', '', CASE n % 20 WHEN 0 THEN 'open' ELSE 'closed' END, '',
           'P-' || n % 1000, timestamptz '2026-01-01Z' + n * interval '1 minute',
           CASE WHEN n % 20 > 0 THEN timestamptz '2026-01-02Z' + n * interval '1 minute' END
       FROM generate_series(1, $1::int) n""",
    """INSERT INTO case_steps (case_id, step_id, name, clause, kinds, role, owner, subject, waiting_for, asked_at,
           due_at, state, view)
       SELECT case_id, 'process', 'process', 'ID-3', '{}', role, role, 'step', '', opened_at, opened_at,
           CASE status WHEN 'open' THEN 'open' ELSE 'done' END, $2::jsonb
       FROM (SELECT *, (ARRAY['role:csm', 'role:css', 'team:t1', 'team:t2', 'department:ppc/client'])[
           1 + abs(hashtext(case_id)) % 5] || CASE abs(hashtext(workflow_id)) % 5 WHEN 0 THEN '' ELSE 'x' END
           AS role FROM cases) c WHERE $1 > 0""",
    """INSERT INTO case_events (seq, case_id, recorded_at, kind, clause, step_id, client_id, body_ct, dedupe,
           previous, hash)
       SELECT n, 'c/' || n % 20000 + 1, now(), CASE n % 40 WHEN 19 THEN 'breached' ELSE 'noted' END, 'ID-3', 'process',
           '', '', n::text, '', n::text FROM generate_series(1, $1::int * 3) n""",
    "INSERT INTO texts (sha256, client_id, content_ct) SELECT n, '', '' FROM generate_series(1, $1::int) n",
    """INSERT INTO agenda (key, csm_id, on_date, case_id)
       SELECT case_id, csm_id, opened_at::date, case_id FROM cases WHERE $1 > 0""",
)


@pytest.fixture
async def filled(database: Database) -> Database:
    for statement in FILL:
        await database.execute(statement, *((MANY, STEP) if "$2" in statement else (MANY,)))
    await database.execute("ANALYZE")
    return database


@pytest.mark.parametrize(
    ("query", "values"),
    [
        (my_work.STEPS, ("P-20", ["department:ppc/client", "role:am", "role:css"], ["P-20"], [], [], 0, [])),
        (agenda.LINES, ("P-20", date(2026, 1, 14))),
    ],
)
async def test_a_page_is_one_query_by_its_indexes(filled: Database, query: str, values: tuple[Any, ...]) -> None:
    owner = await asyncpg.connect(filled.owner_url)
    try:
        await pools.prepare(owner)
        found = await owner.fetchval(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {query}", *values)
    finally:
        await owner.close()
    (plan,) = json.loads(found) if isinstance(found, str) else found
    for node in _nodes(plan["Plan"]):
        assert not (node["Node Type"] == "Seq Scan" and node["Relation Name"] in LARGE), node
        touched = (node.get("Actual Rows", 0) + node.get("Rows Removed by Filter", 0)) * node.get("Actual Loops", 1)
        assert touched <= MOST_TOUCHED, node


QUEUES = ["team:t1", "team:t2", "team:t1x", "team:t2x"]


async def test_what_does_not_fit_is_on_the_next_page_and_broken_promises_come_first(filled: Database) -> None:
    work = MyWork(await filled.pool("door"), Vault(b"k" * 32), TRUST)
    query = "SELECT count(*) FROM case_steps WHERE state = 'open' AND role = ANY($1)"
    total = await filled.value(query, QUEUES)
    assert isinstance(total, int)
    assert total > my_work.MOST
    first = await work.of("P-20", QUEUES)
    assert (len(first.rows), first.total, first.pages) == (my_work.MOST, total, -(-total // my_work.MOST))
    rest = [row for number in range(2, first.pages + 1) for row in (await work.of("P-20", QUEUES, number)).rows]
    every = [*first.rows, *rest]
    assert len({row.case_id for row in every}) == len(every) == total
    broken = [row.breached_at is not None for row in every]
    assert broken[0]
    assert broken == sorted(broken, reverse=True)
    assert (await work.of("P-20", QUEUES, first.pages + 1)).rows == ()


async def test_a_broken_promise_of_the_whole_case_puts_its_steps_first_until_it_is_met(filled: Database) -> None:
    work = MyWork(await filled.pool("door"), Vault(b"k" * 32), TRUST)
    last = (await work.of("P-20", QUEUES, (await work.of("P-20", QUEUES)).pages)).rows[-1]
    assert last.breached_at is None
    clock = {"clock_id": "resolved", "step_id": "", "breached_at": "2025-12-31T00:00:00Z", "met_at": None}
    shown = "UPDATE cases SET view = $2 WHERE case_id = $1"
    await filled.execute(shown, last.case_id, {"clocks": [clock]})
    first = (await work.of("P-20", QUEUES)).rows
    moved = next(row for row in first if row.case_id == last.case_id)
    assert moved.breached_at == datetime(2025, 12, 31, tzinfo=UTC)
    for over in (
        clock | {"met_at": "2026-01-01T00:00:00Z"},
        clock | {"step_id": "other"},
        clock | {"breached_at": None},
    ):
        await filled.execute(shown, last.case_id, {"clocks": [over]})
        assert last.case_id not in {row.case_id for row in (await work.of("P-20", QUEUES)).rows}


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for part in plan.get("Plans", []) for node in _nodes(part))]
