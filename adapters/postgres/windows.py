"""When a number last wrote to ours on WhatsApp. Numbers are people's data: kept as a keyed hash."""

from datetime import datetime

from adapters.postgres.crypto import DEPLOYMENT, Vault
from adapters.postgres.pool import Connection, Pool, transaction


class PostgresWindows:
    """activities.ports.ChatWindows, and what the door writes."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool, self._vault = pool, vault

    async def last_inbound(self, number: str) -> datetime | None:
        async with transaction(self._pool, reading=True) as conn:
            key = await self._vault.known_key(conn, DEPLOYMENT)
            name = key.fingerprint(number.encode()) if key else ""
            return await conn.fetchval("SELECT last_inbound_at FROM chat_windows WHERE number = $1", name)

    async def wrote(self, conn: Connection, number: str, at: datetime) -> None:
        """Keeps the latest time; messages may come in any order, and again."""
        name = (await self._vault.key(conn, DEPLOYMENT)).fingerprint(number.encode())
        await conn.execute(_WROTE, name, at)


_WROTE = """INSERT INTO chat_windows VALUES ($1, $2)
    ON CONFLICT (number) DO UPDATE
        SET last_inbound_at = greatest(chat_windows.last_inbound_at, EXCLUDED.last_inbound_at)"""
