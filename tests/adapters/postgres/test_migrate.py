import asyncio
from collections.abc import Awaitable, Callable

import asyncpg

from adapters.postgres import migrate
from tests.conftest import PASSWORDS, Database


async def test_four_at_once_apply_each_migration_once(empty_database: Callable[[], Awaitable[str]]) -> None:
    url = await empty_database()
    await asyncio.gather(*(migrate.apply(url, PASSWORDS) for _ in range(4)))
    connection = await asyncpg.connect(url)
    try:
        applied = await connection.fetch("SELECT migration_id FROM _pogo_migration ORDER BY 1")
    finally:
        await connection.close()
    assert [row[0] for row in applied] == sorted(path.stem for path in migrate.MIGRATIONS.glob("*.sql"))


async def test_applying_again_changes_nothing_and_sets_a_new_password(
    empty_database: Callable[[], Awaitable[str]],
) -> None:
    url = await empty_database()
    await migrate.apply(url, PASSWORDS)
    try:
        await migrate.apply(url, {**PASSWORDS, "door": "quote ' and %I \\"})
        connection = await asyncpg.connect(url, user="holdfast_door", password="quote ' and %I \\")
        assert await connection.fetchval("SELECT count(*) = count(DISTINCT name) AND count(*) > 0 FROM policy")
        await connection.close()
    finally:
        await migrate.apply(url, PASSWORDS)


async def test_roles_without_passwords_are_left_alone(empty_database: Callable[[], Awaitable[str]]) -> None:
    url = await empty_database()
    await migrate.apply(url)
    connection = await asyncpg.connect(url, user="holdfast_sops", password=PASSWORDS["sops"])
    assert await connection.fetchval("SELECT mode FROM outbound") == "off"
    await connection.close()


def test_migrations_are_those_of_the_list_of_checksums() -> None:
    """A released migration is never edited; others: `python -m adapters.postgres.migrate --checksums`."""
    assert migrate.checksums() == migrate.released_checksums()


async def test_a_temporary_table_does_not_become_the_clock(database: Database) -> None:
    pool = await database.pool("sops")
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("CREATE TEMP TABLE clock (shift interval)")
        await connection.execute("INSERT INTO clock VALUES ('400 days')")
        assert await connection.fetchval("SELECT holdfast_now() < now() + interval '1 hour'")
