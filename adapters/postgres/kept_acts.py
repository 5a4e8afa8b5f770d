"""Acts under their caller's own name for them: the same again is the same act, sent once more and judged once."""

from adapters.postgres.crypto import DEPLOYMENT, Vault
from adapters.postgres.intake import Once, claimed, reused
from adapters.postgres.pool import Pool, transaction
from domain.messages import SignedAct


class KeptActs:
    """Beside the starts of the same API key, in the inbox: one of its names stands for one request of either kind.

    Works under the door's role. The row names no case: whoever acts in one has not asked for it.
    """

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool, self._vault = pool, vault

    async def find(self, once: Once) -> SignedAct | None:
        """What was signed for it before. Raises Refused `idempotency-key-reused`."""
        async with transaction(self._pool, reading=True) as conn:
            row = await conn.fetchrow(_FIND, *once.named)
            if row is None:
                return None
            if row["sha256"] != once.sha256 or row["content_ct"] is None:
                raise reused()
            return SignedAct.model_validate_json(await self._vault.open(conn, DEPLOYMENT, row["content_ct"]))

    async def keep(self, once: Once, act: SignedAct) -> bool:
        """False if another one was kept under this name meanwhile: then it is that one that counts."""
        async with transaction(self._pool) as conn:
            sealed = await self._vault.seal(conn, DEPLOYMENT, act.model_dump_json().encode())
            return await claimed(conn, once, sealed)


_FIND = "SELECT sha256, content_ct FROM inbox WHERE provider = $1 AND event_id = $2"
