"""People's data at rest: AES-256-GCM under a key per client, each key wrapped by the deployment's master key.

Erasing a client is forgetting his key; the audit chain hashes ciphertext and stays whole.
"""

import hmac
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from adapters.postgres.pool import Connection
from domain.errors import HoldfastError

DEPLOYMENT = ""
"""The client id under which the deployment's own key is kept: for what belongs to no client (yet)."""

_KEY_BYTES = 32
_NONCE_BYTES = 12
_VERSION = b"\x01"


class SealedError(HoldfastError):
    """Ciphertext that can't be opened: another client's, changed, or its key is erased or under another master key."""

    def __init__(self) -> None:
        super().__init__("this text can't be read: its key was erased, or it was changed")


@dataclass(frozen=True)
class ClientKey:
    """An unwrapped key. Fetch it once for many texts; don't keep it beyond a transaction."""

    client_id: str
    _secret: bytes

    def seal(self, content: bytes) -> bytes:
        """Ciphertext, different at each call, that opens only as this client's."""
        return _encrypt(self._secret, content, b"text\0" + self.client_id.encode())

    def open(self, sealed: bytes) -> bytes:
        """The content. Raises SealedError."""
        return _decrypt(self._secret, sealed, b"text\0" + self.client_id.encode())

    def fingerprint(self, content: bytes) -> str:
        """64 hex digits that are equal for equal content, and tell nothing of it to whoever lacks the key."""
        return hmac.new(self._secret, b"fingerprint\0" + content, sha256).hexdigest()


class Vault:
    """Seals and opens texts with the keys in `client_keys`. A key is made at its first use, by whoever comes first."""

    def __init__(self, master: bytes) -> None:
        if len(master) != _KEY_BYTES:
            raise ValueError(f"a master key has {_KEY_BYTES} bytes")
        self._master = master

    async def seal(self, conn: Connection, client_id: str, content: bytes) -> bytes:
        """Ciphertext bound to the client; `""` is the deployment itself."""
        return (await self.key(conn, client_id)).seal(content)

    async def open(self, conn: Connection, client_id: str, sealed: bytes) -> bytes:
        """The content. Raises SealedError if it is another client's, was changed, or the key was erased."""
        key = await self.known_key(conn, client_id)
        if key is None:
            raise SealedError
        return key.open(sealed)

    async def key(self, conn: Connection, client_id: str) -> ClientKey:
        """The client's key, made now if there is none. Keys made in a transaction that is rolled back are gone.

        Waits for another transaction that is making the same key: ask before taking locks others may wait for.
        """
        found = await self.known_key(conn, client_id)
        if found is None:
            fresh = _encrypt(self._master, secrets.token_bytes(_KEY_BYTES), b"key\0" + client_id.encode())
            await conn.execute("INSERT INTO client_keys VALUES ($1, $2) ON CONFLICT DO NOTHING", client_id, fresh)
            found = await self.known_key(conn, client_id)
        if found is None:
            raise SealedError
        return found

    async def known_key(self, conn: Connection, client_id: str) -> ClientKey | None:
        """The client's key, or None if there is none. Raises SealedError if another master key wrapped it."""
        return (await self.known_keys(conn, [client_id])).get(client_id)

    async def known_keys(self, conn: Connection, client_ids: Iterable[str]) -> dict[str, ClientKey]:
        """As `known_key`, for several clients at once: those that there are."""
        query = "SELECT client_id, wrapped FROM client_keys WHERE client_id = ANY($1)"
        return {
            name: ClientKey(name, _decrypt(self._master, wrapped, b"key\0" + name.encode()))
            for name, wrapped in await conn.fetch(query, list(client_ids))
        }


class MasterKeyMissingError(HoldfastError):
    """There is no master key, and none may be made here."""


def load_master(keys_dir: Path, *, make: bool = True) -> bytes:
    """The deployment's master key: 32 bytes in `keys_dir/master.key`, made at first use, for its owner only.

    Several processes may come first at once. Where the file is brought by other means (`make=False`), a missing one
    raises MasterKeyMissingError: a key made up on one of many machines would open nothing.
    """
    path = keys_dir / "master.key"
    with suppress(FileNotFoundError):
        return path.read_bytes()
    if not make:
        raise MasterKeyMissingError(f"{path} is missing: put the deployment's master key there (32 bytes)")
    keys_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = keys_dir / f".master-{secrets.token_hex(8)}"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(_KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
    # A link, unlike a rename, does not replace the key of a process that was faster.
    with suppress(FileExistsError):
        path.hardlink_to(fresh)
    fresh.unlink()
    return path.read_bytes()


def _encrypt(key: bytes, content: bytes, bound_to: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return _VERSION + nonce + AESGCM(key).encrypt(nonce, content, bound_to)


def _decrypt(key: bytes, sealed: bytes, bound_to: bytes) -> bytes:
    version, nonce, rest = sealed[:1], sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
    if version != _VERSION or len(nonce) != _NONCE_BYTES:
        raise SealedError
    try:
        return AESGCM(key).decrypt(nonce, rest, bound_to)
    except InvalidTag:
        raise SealedError from None
