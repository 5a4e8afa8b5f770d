"""Fixtures of the whole suite: one real PostgreSQL server a session, one fresh migrated database a test."""

import secrets
import shutil
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest_asyncio

from adapters.postgres import migrate
from adapters.postgres.pool import Pool, connect
from runtime.postgres_server import PostgresServer, postgres_server
from runtime.settings import Role, database_user

PASSWORDS: dict[Role, str] = {role: f"test-{role}" for role in migrate.ROLES}
_TEMPLATE = "holdfast_template"
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  the folder made there is private
_ROOM = 2 * 1024**3


@dataclass
class Database:
    """A database of one test, migrated and empty. `url(role)` is for `owner`, `sops`, `money` or `door`."""

    owner_url: str
    _pools: list[Pool] = field(default_factory=list[Pool])
    _own: Pool | None = None

    def url(self, role: Role) -> str:
        if role == "owner":
            return self.owner_url
        scheme, _, rest = self.owner_url.partition("://")
        return f"{scheme}://{database_user(role)}:{PASSWORDS[role]}@{rest.rpartition('@')[2]}"

    async def pool(self, role: Role = "owner", maximum: int = 8) -> Pool:
        """A pool that is closed when the test ends."""
        made = await connect(self.url(role), minimum=0, maximum=maximum)
        self._pools.append(made)
        return made

    async def shift(self, by: timedelta) -> None:
        """Makes database time (`holdfast_now()`) the real one plus `by`."""
        await self.execute("UPDATE clock SET shift = $1", by)

    async def arrived_at(self, price: str, *lead_ids: str) -> None:
        """Makes it so that these leads, or all of them, arrived with this price."""
        ids = ", ".join(f"'{one}'" for one in lead_ids)
        which = f"WHERE lead_id IN ({ids})" if ids else ""
        table = "ALTER TABLE lead_prices {} TRIGGER append_only"
        kept = "ALTER TABLE leads {} TRIGGER kept_when_changed"
        await self.execute(
            f"{table.format('DISABLE')}; {kept.format('DISABLE')}; UPDATE leads SET price = {price} {which};"  # noqa: S608
            f"UPDATE lead_prices SET price = {price} {which}; {table.format('ENABLE')}; {kept.format('ENABLE')}"
        )

    async def execute(self, statement: str, *values: object) -> str:
        """Runs one statement as the owner."""
        return str(await (await self._owner()).execute(statement, *values))

    async def fetch(self, query: str, *values: object) -> list[asyncpg.Record]:
        return await (await self._owner()).fetch(query, *values)

    async def value(self, query: str, *values: object) -> object:
        return await (await self._owner()).fetchval(query, *values)

    async def _owner(self) -> Pool:
        self._own = self._own or await self.pool("owner", maximum=4)
        return self._own

    async def close(self) -> None:
        for made in self._pools:
            await made.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres() -> AsyncGenerator[PostgresServer]:
    """A real server without fsync. Tests that kill or restart it start one of their own."""
    options = ("max_connections=200", "full_page_writes=off")
    with _memory() as folder:
        async with postgres_server(folder, durable=False, options=options) as server:
            await create_database(server, _TEMPLATE)
            await migrate.apply(of_database(server.url, _TEMPLATE), PASSWORDS)
            yield server


@contextmanager
def _memory() -> Generator[Path | None]:
    """A folder in memory where there is room: a database is 300 small files, and a disk takes 20 times as long."""
    if not _SHARED_MEMORY.is_dir() or shutil.disk_usage(_SHARED_MEMORY).free < _ROOM:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="holdfast-test-", dir=_SHARED_MEMORY))
    folder.chmod(0o755)
    try:
        yield folder / "data"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def fresh_database(postgres: PostgresServer) -> AsyncGenerator[Database]:
    """A database with the present schema, dropped afterwards."""
    name = f"t_{secrets.token_hex(6)}"
    await create_database(postgres, name, _TEMPLATE)
    made = Database(of_database(postgres.url, name))
    try:
        yield made
    finally:
        await made.close()
        await drop_database(postgres, name)


@pytest_asyncio.fixture
async def database(postgres: PostgresServer) -> AsyncGenerator[Database]:
    """A fresh database of one test."""
    async with fresh_database(postgres) as made:
        yield made


@pytest_asyncio.fixture
async def empty_database(postgres: PostgresServer) -> AsyncGenerator[Callable[[], Awaitable[str]]]:
    """Makes databases without any schema; each call gives the owner's URL of a new one."""
    made: list[str] = []

    async def make() -> str:
        made.append(f"e_{secrets.token_hex(6)}")
        await create_database(postgres, made[-1])
        return of_database(postgres.url, made[-1])

    yield make
    for name in made:
        await drop_database(postgres, name)


def of_database(url: str, name: str) -> str:
    return f"{url.rpartition('/')[0]}/{name}"


async def create_database(server: PostgresServer, name: str, template: str = "template1") -> None:
    await _administer(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')


async def drop_database(server: PostgresServer, name: str) -> None:
    await _administer(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def _administer(server: PostgresServer, statement: str) -> None:
    connection = await asyncpg.connect(of_database(server.url, "postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
