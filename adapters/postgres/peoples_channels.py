"""How people are reached who are known by their address."""

from collections.abc import Mapping, Sequence

from adapters.postgres.crypto import Vault
from adapters.postgres.directory_book import channels_of
from adapters.postgres.pool import Pool, transaction
from domain.chat import Channel, ChannelKind


class PostgresPeoplesChannels:
    """activities.ports.PeoplesChannels."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool, self._vault = pool, vault

    async def of(self, emails: Sequence[str], case_id: str) -> Mapping[str, tuple[Channel, ...]]:
        async with transaction(self._pool, reading=True) as conn:
            rows = await conn.fetch(_PEOPLE, list(emails))
            found = {row["asked"]: await channels_of(conn, self._vault, row["person_id"]) for row in rows}
            if not await conn.fetchval(_UNCOMMENTED, case_id):
                return found
        return {asked: tuple(one for one in ways if one.kind is not ChannelKind.SLACK) for asked, ways in found.items()}


_PEOPLE = """SELECT asked, person_id FROM unnest($1::text[]) AS asked
    JOIN people ON lower(email) = lower(asked) AND active"""
_UNCOMMENTED = """SELECT true FROM cases c WHERE c.case_id = $1 AND c.kind = 'DepartmentRequest' AND (
    NOT EXISTS (SELECT FROM effects e WHERE e.case_id = $1 AND e.kind = 'comment-task' AND e.state = 'sent')
    OR EXISTS (SELECT FROM effects e WHERE e.case_id = $1 AND e.kind = 'comment-task'
        AND e.state NOT IN ('sent', 'abandoned')))"""
