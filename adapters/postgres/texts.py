"""Human texts, sealed with the client's key and named by the SHA-256 of their UTF-8 bytes."""

from collections.abc import Sequence

from adapters.postgres.crypto import Vault
from adapters.postgres.pool import Connection
from domain.texts import digest


async def keep_texts(conn: Connection, vault: Vault, client_id: str, texts: Sequence[str]) -> tuple[str, ...]:
    """Stores texts, those already there being left alone, and returns their names; an empty one has none."""
    key = await vault.key(conn, client_id)
    rows = [(digest(text), client_id, key.seal(text.encode())) for text in texts if text]
    await conn.executemany(
        "INSERT INTO texts (sha256, client_id, content_ct) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", rows
    )
    return tuple(digest(text) if text else "" for text in texts)
