import asyncio
from collections.abc import Awaitable, Callable

import pytest

from adapters.postgres.audit import (
    GENESIS,
    AuditReport,
    Entry,
    Head,
    _hash,
    anchors,
    append_events,
    head,
    store_anchor,
    verify,
)
from adapters.postgres.crypto import Vault
from adapters.postgres.pool import Pool, transaction
from domain.case import EventKind
from tests.adapters.postgres.conftest import CASE, NOW, AddCase
from tests.conftest import Database

Append = Callable[..., Awaitable[int]]


def entry(text: str, dedupe: str = "") -> Entry:
    return Entry(EventKind.NOTED, "RL-4", NOW, "investigate", "p-1", text, {"lead": "L-1001"}, dedupe)


@pytest.fixture
async def pool(database: Database) -> Pool:
    return await database.pool("sops", maximum=10)


@pytest.fixture
async def append(pool: Pool, vault: Vault, add_case: AddCase) -> Append:
    await add_case()

    async def add(*entries: Entry, case_id: str = CASE) -> int:
        async with transaction(pool) as conn:
            return await append_events(conn, vault, case_id, entries)

    return add


async def audit(pool: Pool, anchor: Head | None = None) -> AuditReport:
    async with transaction(pool, reading=True) as conn:
        return await verify(conn, anchor)


async def unguarded(database: Database, statements: str) -> None:
    """What a superuser can do once the triggers are out of his way."""
    await database.execute("ALTER TABLE case_events DISABLE TRIGGER USER")
    await database.execute(statements)


async def test_an_empty_chain_is_whole(pool: Pool) -> None:
    assert await audit(pool) == AuditReport(0, Head(0, GENESIS))


async def test_events_form_a_chain_that_verifies(append: Append, pool: Pool) -> None:
    assert await append(entry("one"), entry("two")) == 2
    assert await append(entry("three")) == 1
    report = await audit(pool)
    assert (report.count, report.head.seq, report.problems) == (3, 3, ())


async def test_the_same_event_again_is_written_once(append: Append, pool: Pool) -> None:
    assert await append(entry("one"), entry("one")) == 1
    assert await append(entry("one"), entry("two")) == 1
    assert await append(entry("another text", "d"), entry("one more", "d")) == 1
    assert await append(entry("one"), case_id="") == 1
    assert (await audit(pool)).count == 4


async def test_texts_are_sealed_and_dedupe_tells_nothing_of_them(append: Append, database: Database) -> None:
    await append(entry("Jane Doe of 4 Elm Street"))
    rows = await database.fetch("SELECT case_events::text AS line, body_ct, client_id FROM case_events")
    assert b"Jane" not in rows[0]["body_ct"]
    assert "Jane" not in rows[0]["line"]
    assert rows[0]["client_id"] == "acme"


async def test_writers_at_once_never_fork_the_chain(append: Append, pool: Pool) -> None:
    await asyncio.gather(*(append(entry(f"{writer}.1"), entry(f"{writer}.2")) for writer in range(20)))
    report = await audit(pool)
    assert (report.count, report.problems) == (40, ())


async def test_a_rolled_back_event_leaves_no_gap(append: Append, pool: Pool, vault: Vault) -> None:
    await append(entry("one"))
    async with pool.acquire() as conn:
        given_up = conn.transaction()
        await given_up.start()
        await append_events(conn, vault, CASE, [entry("never")])
        await given_up.rollback()
    await append(entry("two"))
    report = await audit(pool)
    assert (report.count, report.problems) == (2, ())


TAMPERING = {
    "updated text": ("UPDATE case_events SET body_ct = body_ct || 'x' WHERE seq = 3", "event 3 was changed"),
    "updated actor": ("UPDATE case_events SET actor = 'p-2' WHERE seq = 3", "event 3 was changed"),
    "updated time": (
        "UPDATE case_events SET recorded_at = recorded_at + interval '1 microsecond' WHERE seq = 3",
        "event 3 was changed",
    ),
    "moved to another case": ("UPDATE case_events SET case_id = 'other' WHERE seq = 3", "event 3 was changed"),
    "deleted": ("DELETE FROM case_events WHERE seq = 3", "event 4 follows event 2"),
    "inserted at the end": (
        """INSERT INTO case_events
           SELECT 6, case_id, recorded_at, kind, clause, step_id, actor, client_id, body_ct, 'x', hash, md5(hash)
           FROM case_events WHERE seq = 5""",
        "event 6 was changed",
    ),
    "reordered": (
        """UPDATE case_events SET seq = CASE seq WHEN 2 THEN 300 ELSE 2 END WHERE seq IN (2, 3);
           UPDATE case_events SET seq = 3 WHERE seq = 300""",
        "event 2 does not follow",
    ),
    "renumbered over a gap": (
        """DELETE FROM case_events WHERE seq = 3; UPDATE case_events SET seq = 3 WHERE seq = 4;
           UPDATE case_events SET seq = 4 WHERE seq = 5""",
        "event 3 does not follow",
    ),
}


@pytest.mark.parametrize("how", TAMPERING)
async def test_tampering_shows(append: Append, database: Database, pool: Pool, how: str) -> None:
    await append(*(entry(f"event {number}") for number in range(5)))
    statements, problem = TAMPERING[how]
    await unguarded(database, statements)
    assert any(said.startswith(problem) for said in (await audit(pool)).problems)


async def test_a_truncated_tail_shows_against_an_anchor(append: Append, database: Database, pool: Pool) -> None:
    await append(*(entry(f"event {number}") for number in range(5)))
    anchor = (await audit(pool)).head
    await unguarded(database, "DELETE FROM case_events WHERE seq = 5")
    assert (await audit(pool)).problems == ()
    assert (await audit(pool, anchor)).problems == ("event 5 was anchored and is not there",)


async def test_a_chain_rewritten_from_the_start_shows_against_an_anchor(
    append: Append, database: Database, pool: Pool
) -> None:
    await append(entry("event 1"), entry("event 2"))
    anchor = (await audit(pool)).head
    await unguarded(database, "UPDATE case_events SET actor = 'p-2'")
    await _rehash(database)
    assert (await audit(pool)).problems == ()
    assert (await audit(pool, anchor)).problems == ("event 2 is not the one that was anchored",)


async def _rehash(database: Database) -> None:
    previous = GENESIS
    for row in await database.fetch("SELECT * FROM case_events ORDER BY seq"):
        names = ("seq", "case_id", "recorded_at", "kind", "clause", "step_id", "actor", "client_id", "dedupe")
        digest = _hash(previous, tuple(row[name] for name in names), row["body_ct"])
        await database.execute(
            "UPDATE case_events SET previous = $2, hash = $3 WHERE seq = $1", row["seq"], previous, digest
        )
        previous = digest


async def test_an_anchor_kept_here_is_checked_too(append: Append, database: Database, pool: Pool) -> None:
    await append(entry("one"), entry("two"))
    async with transaction(await database.pool("door")) as conn:
        await store_anchor(conn, await head(conn), "k-1", "signature")
        await store_anchor(conn, await head(conn), "k-1", "signature")
        assert len(await anchors(conn)) == 1
    await append(entry("three"))
    assert (await audit(pool)).problems == ()
    await unguarded(database, "DELETE FROM case_events WHERE seq > 1")
    assert (await audit(pool)).problems == ("event 2 was anchored and is not there",)
