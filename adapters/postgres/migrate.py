"""Brings a database to the present schema: roles, then migrations, one process at a time."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import asyncpg
from pogo_core.util import migrate as pogo

from adapters.postgres.pool import Connection
from runtime.settings import Role, database_user

MIGRATIONS = Path(__file__).parent / "migrations"
CHECKSUMS = MIGRATIONS / "checksums.txt"
ROLES: tuple[Role, ...] = ("sops", "money", "door")
_LOCK = 4_846_377_001


async def apply(owner_url: str, passwords: Mapping[Role, str] | None = None) -> tuple[str, ...]:
    """Creates the roles `holdfast_sops`, `holdfast_money` and `holdfast_door`, applies what is missing, and names it.

    `owner_url` names the database and its owner. With `passwords` the roles may log in by them (a changed one is set);
    without, missing roles are made that can't log in, and the rest is the administrator's. Any number may run at once.
    Raises pogo_core.error.BadMigrationError, with nothing of that migration applied.
    """
    applied = _Applied()
    connection: Connection = await asyncpg.connect(owner_url, timeout=10)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        await _make_roles(connection, passwords or {})
        await pogo.apply(connection, MIGRATIONS, schema_name="public", logger=applied)
    finally:
        await connection.close()
    return tuple(applied.names)


class _Applied(logging.Logger):
    """What pogo tells, each migration by its name, is kept instead of printed."""

    def __init__(self) -> None:
        super().__init__("migrations")
        self.names: list[str] = []

    def warning(self, msg: object, *args: object, **_: object) -> None:
        del msg
        self.names.extend(str(one) for one in args)


def in_words(applied: Sequence[str]) -> str:
    return f"tables: {len(applied)} migrations applied, up to {max(applied)}" if applied else "tables: up to date"


async def _make_roles(connection: Connection, passwords: Mapping[Role, str]) -> None:
    for role in ROLES:
        name = database_user(role)
        if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", name):
            # Roles belong to the server, the lock to the database: another database's migrator may be faster.
            with suppress(asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
                await connection.execute(f"CREATE ROLE {name}")
        if role in passwords:
            login = "SELECT format('ALTER ROLE %I LOGIN PASSWORD %L', $1::text, $2::text)"
            await connection.execute(await connection.fetchval(login, name, passwords[role]))


def checksums() -> dict[str, str]:
    """SHA-256 of each migration file by its name: pogo compares names alone."""
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in sorted(MIGRATIONS.glob("*.sql"))}


def released_checksums() -> dict[str, str]:
    """The checksums as committed: a released migration is never edited, only followed by another."""
    lines = CHECKSUMS.read_text().splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def write_checksums() -> None:
    CHECKSUMS.write_text("".join(f"{digest}  {name}\n" for name, digest in checksums().items()))


def main() -> None:
    """`python -m adapters.postgres.migrate OWNER_URL` migrates; `--checksums` renews the list of checksums."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("owner_url", nargs="?", help="postgresql:// of the database's owner")
    parser.add_argument("--checksums", action="store_true", help="renew the list of checksums (unreleased ones only)")
    given = parser.parse_args()
    if given.checksums:
        write_checksums()
    elif given.owner_url:
        sys.stdout.write(f"{in_words(asyncio.run(apply(given.owner_url)))}\n")
    else:
        parser.print_usage(sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
