"""A fresh database for each crash, many of them at once."""

import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from runtime.postgres_server import PostgresServer
from tests.conftest import _TEMPLATE, Database, create_database, drop_database, of_database

pytest.register_assert_rewrite("tests.crash.people")


@asynccontextmanager
async def fresh_database(postgres: PostgresServer) -> AsyncGenerator[Database]:
    """As the fixture `database`, as often as wanted in one test."""
    name = f"t_{secrets.token_hex(6)}"
    await create_database(postgres, name, _TEMPLATE)
    made = Database(of_database(postgres.url, name))
    try:
        yield made
    finally:
        await made.close()
        await drop_database(postgres, name)
