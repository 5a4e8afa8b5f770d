import asyncio
import secrets
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from adapters.postgres.crypto import MasterKeyMissingError, SealedError, Vault, load_master
from adapters.postgres.pool import transaction
from tests.conftest import Database


async def test_what_is_sealed_opens_as_the_same_client_s_only(database: Database, vault: Vault) -> None:
    async with transaction(await database.pool("sops")) as conn:
        sealed = await vault.seal(conn, "acme", "Grüße".encode())
        await vault.seal(conn, "globex", b"x")
        assert b"Gr" not in sealed
        assert await vault.open(conn, "acme", sealed) == "Grüße".encode()
        assert await vault.seal(conn, "acme", b"same") != await vault.seal(conn, "acme", b"same")
        with pytest.raises(SealedError):
            await vault.open(conn, "globex", sealed)
        with pytest.raises(SealedError):
            await vault.open(conn, "nobody", sealed)


@pytest.mark.parametrize("place", [0, 5, 20, -1])
async def test_one_changed_bit_is_noticed(database: Database, vault: Vault, place: int) -> None:
    async with transaction(await database.pool("sops")) as conn:
        sealed = bytearray(await vault.seal(conn, "acme", b"a lead of acme"))
        sealed[place] ^= 1
        with pytest.raises(SealedError):
            await vault.open(conn, "acme", bytes(sealed))


async def test_a_key_moved_to_another_client_does_not_open(database: Database, vault: Vault) -> None:
    async with transaction(await database.pool("sops")) as conn:
        await vault.seal(conn, "acme", b"x")
    await database.execute("INSERT INTO client_keys SELECT 'globex', wrapped FROM client_keys WHERE client_id = 'acme'")
    async with transaction(await database.pool("sops")) as conn:
        with pytest.raises(SealedError):
            await vault.seal(conn, "globex", b"x")


async def test_another_master_key_opens_nothing(database: Database, vault: Vault) -> None:
    async with transaction(await database.pool("sops")) as conn:
        sealed = await vault.seal(conn, "", b"x")
        with pytest.raises(SealedError):
            await Vault(secrets.token_bytes(32)).open(conn, "", sealed)


async def test_many_first_uses_at_once_agree_on_one_key(database: Database, vault: Vault) -> None:
    pool = await database.pool("sops", maximum=8)

    async def seal(number: int) -> bytes:
        async with transaction(pool) as conn:
            return await vault.seal(conn, "acme", str(number).encode())

    sealed = await asyncio.gather(*(seal(number) for number in range(16)))
    async with transaction(pool) as conn:
        assert [await vault.open(conn, "acme", one) for one in sealed] == [str(n).encode() for n in range(16)]


async def test_a_key_of_a_transaction_that_failed_is_not_used_again(database: Database, vault: Vault) -> None:
    pool = await database.pool("sops")
    async with pool.acquire() as conn:
        given_up = conn.transaction()
        await given_up.start()
        await vault.seal(conn, "acme", b"lost")
        await given_up.rollback()
    async with transaction(pool) as conn:
        sealed = await vault.seal(conn, "acme", b"kept")
    async with transaction(pool) as conn:
        assert await Vault(vault._master).open(conn, "acme", sealed) == b"kept"


async def test_a_fingerprint_is_the_same_for_the_same_content_and_key(database: Database, vault: Vault) -> None:
    async with transaction(await database.pool("sops")) as conn:
        acme, globex = await vault.key(conn, "acme"), await vault.key(conn, "globex")
        again = await vault.key(conn, "acme")
    assert acme.fingerprint(b"x") == again.fingerprint(b"x")
    assert len({acme.fingerprint(b"x"), acme.fingerprint(b"y"), globex.fingerprint(b"x")}) == 3


def test_the_master_key_is_made_once_and_private(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as workers:
        keys = set(workers.map(lambda _: load_master(tmp_path / "keys"), range(16)))
    assert len(keys) == 1
    path = tmp_path / "keys" / "master.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["master.key"]


def test_a_master_key_that_is_brought_is_not_made_up(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyMissingError, match=r"master\.key is missing"):
        load_master(tmp_path, make=False)
    assert list(tmp_path.iterdir()) == []
    assert load_master(tmp_path) == load_master(tmp_path, make=False)


def test_a_master_key_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Vault(b"short")
