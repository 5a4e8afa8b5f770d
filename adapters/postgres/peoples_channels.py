"""How people are reached who are known by their address."""

from collections.abc import Mapping, Sequence

from adapters.postgres.crypto import Vault
from adapters.postgres.directory_book import channels_of
from adapters.postgres.pool import Pool, transaction
from domain.chat import Channel


class PostgresPeoplesChannels:
    """activities.ports.PeoplesChannels."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool, self._vault = pool, vault

    async def of(self, emails: Sequence[str]) -> Mapping[str, tuple[Channel, ...]]:
        async with transaction(self._pool, reading=True) as conn:
            rows = await conn.fetch(_PEOPLE, list(emails))
            return {row["asked"]: await channels_of(conn, self._vault, row["person_id"]) for row in rows}


_PEOPLE = """SELECT asked, person_id FROM unnest($1::text[]) AS asked
    JOIN people ON lower(email) = lower(asked) AND active"""
