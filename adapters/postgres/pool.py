"""Connections to PostgreSQL: one pool a process, and errors that say nothing of anybody's data."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg

from domain.errors import HoldfastError

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool


class DatabaseError(HoldfastError):
    """The database said no. Whoever asked tries again; an activity lets it pass, so that Temporal does.

    `sqlstate` is PostgreSQL's code, "" where the server could not be reached at all.
    """

    def __init__(self, message: str, sqlstate: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class DatabaseGoneError(DatabaseError):
    """The server can't be reached, is starting or stopping, or cut the connection; a commit may be unclear."""


async def connect(
    url: str,
    *,
    minimum: int = 1,
    maximum: int = 8,
    statement: timedelta = timedelta(seconds=30),
    application: str = "holdfast",
) -> Pool:
    """A pool whose jsonb columns are Python values. It outlives a restart of the server.

    `statement` bounds each statement, and each wait for a lock by half of that. Raises DatabaseGoneError.
    """
    milliseconds = int(statement.total_seconds() * 1000)
    try:
        return await asyncpg.create_pool(
            url,
            min_size=minimum,
            max_size=maximum,
            init=prepare,
            timeout=10,
            command_timeout=statement.total_seconds() + 5,
            server_settings={
                "application_name": application,
                "timezone": "UTC",
                "statement_timeout": str(milliseconds),
                "lock_timeout": str(milliseconds // 2),
                "idle_in_transaction_session_timeout": str(milliseconds * 2),
            },
        )
    except _GONE as error:
        raise _gone(error) from None


async def prepare(connection: Connection) -> None:
    """Makes json and jsonb columns Python values on a connection."""
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, schema="pg_catalog", encoder=json.dumps, decoder=json.loads)


@asynccontextmanager
async def transaction(pool: Pool, *, reading: bool = False) -> AsyncGenerator[Connection]:
    """One connection in one transaction (READ COMMITTED; `reading`: a read-only snapshot).

    Database errors leave as DatabaseError or DatabaseGoneError, whose messages hold no values of any row.
    """
    isolation = "repeatable_read" if reading else "read_committed"
    try:
        async with pool.acquire() as connection, connection.transaction(isolation=isolation, readonly=reading):
            yield connection
    except _GONE as error:
        raise _gone(error) from None
    except asyncpg.PostgresError as error:
        raise _refused(error) from None


_GONE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # its rollback over a connection that was cut in the middle of an answer
    asyncpg.PostgresConnectionError,
    asyncpg.exceptions.OperatorInterventionError,
    asyncpg.exceptions.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
)
_TELLS_ONLY_NAMES = ("42", "P0", "57", "55")  # classes of errors whose message names tables and columns, not values


def _gone(error: BaseException) -> DatabaseGoneError:
    state = getattr(error, "sqlstate", None) or ""
    return DatabaseGoneError(f"the database can't be reached now ({type(error).__name__})", state)


def _refused(error: asyncpg.PostgresError) -> DatabaseError:
    state = str(getattr(error, "sqlstate", None) or "")
    said = str(error.args[0]) if error.args and state.startswith(_TELLS_ONLY_NAMES) else ""
    place = [str(getattr(error, part, None) or "") for part in ("table_name", "constraint_name")]
    words = [type(error).__name__, state, *place, said]
    return DatabaseError(f"the database refused: {' '.join(word for word in words if word)}", state)
