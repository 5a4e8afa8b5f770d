import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest

from adapters.postgres.pool import DatabaseError, DatabaseGoneError, Pool, connect, transaction
from runtime.postgres_server import PostgresServer, postgres_server
from tests.conftest import Database


@pytest.fixture
async def mortal() -> AsyncGenerator[PostgresServer]:
    """A server of this test alone, that may be killed."""
    async with postgres_server(durable=False) as server:
        yield server


async def ask(pool: Pool) -> object:
    async with transaction(pool) as conn:
        return await conn.fetchval("SELECT 42")


async def ask_until(pool: Pool, *, gone: bool) -> bool:
    """Sessions of a killed server live on for a moment; a new one takes a moment to answer."""
    for _ in range(200):
        try:
            answered = await ask(pool) == 42
        except DatabaseGoneError:
            answered = False
        if answered != gone:
            return True
        await asyncio.sleep(0.02)
    return False


async def test_a_pool_outlives_a_killed_server(mortal: PostgresServer) -> None:
    pool = await connect(mortal.url)
    try:
        assert await ask(pool) == 42
        mortal.kill()
        assert await ask_until(pool, gone=True)
        await mortal.restart()
        assert await ask_until(pool, gone=False)
    finally:
        await pool.close()


async def _cut_short(pool: Pool, database: Database) -> None:
    async with transaction(pool) as conn:
        await conn.execute("UPDATE outbound SET mode = 'on'")
        await database.execute("SELECT pg_terminate_backend($1)", await conn.fetchval("SELECT pg_backend_pid()"))
        await conn.execute("UPDATE outbound SET mode = 'on'")


async def test_a_transaction_cut_off_says_that_the_database_is_gone_and_leaves_nothing(database: Database) -> None:
    pool = await database.pool("door", maximum=1)
    with pytest.raises(DatabaseGoneError):
        await _cut_short(pool, database)
    assert await ask(pool) == 42
    assert await database.value("SELECT mode FROM outbound") == "off"


async def test_no_server_at_all(mortal: PostgresServer) -> None:
    await mortal.stop()
    with pytest.raises(DatabaseGoneError, match="can't be reached"):
        await connect(mortal.url)


async def test_jsonb_columns_are_values(database: Database) -> None:
    pool = await database.pool("sops")
    assert await pool.fetchval("SELECT value FROM policy WHERE name = 'chase-every'") == {"hours": 48}
    assert await pool.fetchval("SELECT $1::jsonb", ["ü", None, 1]) == ["ü", None, 1]


async def test_a_wait_for_a_lock_is_bounded(database: Database) -> None:
    await database.execute("UPDATE outbound SET mode = 'on'")
    pool = await connect(database.url("owner"), minimum=0, statement=timedelta(seconds=1))
    try:
        async with transaction(pool) as holder:
            await holder.execute("UPDATE outbound SET mode = 'off'")
            with pytest.raises(DatabaseError) as caught:
                async with transaction(pool) as waiting:
                    await waiting.execute("UPDATE outbound SET mode = 'allowlist'")
        assert caught.value.sqlstate == "55P03"
    finally:
        await pool.close()


async def test_a_reading_transaction_writes_nothing(database: Database) -> None:
    pool = await database.pool("owner")
    with pytest.raises(DatabaseError) as caught:
        async with transaction(pool, reading=True) as conn:
            await conn.execute("UPDATE outbound SET mode = 'on'")
    assert caught.value.sqlstate == "25006"
