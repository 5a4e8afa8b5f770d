"""API keys: shown once, kept as a hash, rotated without a gap, revoked at once, and never for money."""

import hashlib
from datetime import timedelta

import pytest

from adapters.postgres.api_keys import ApiKeys
from domain.api_keys import Scope
from domain.errors import Refused
from tests.conftest import Database

TEAM, ALL = "team:return-leads", tuple(Scope)
QUARTER, WEEK = timedelta(days=90), timedelta(days=7)


@pytest.fixture
async def keys(database: Database) -> ApiKeys:
    await database.execute("INSERT INTO departments VALUES ('team:return-leads', 'Return Leads', 'r@commversion.com')")
    await database.execute("INSERT INTO people VALUES ('ivan', 'Ivan Hale', 'ivan@commversion.com', 'local', 'ivan')")
    return ApiKeys(await database.pool("door"))


async def make(keys: ApiKeys, name: str = "website", per_minute: int = 600) -> str:
    return await keys.create(name, TEAM, ALL, lasts=QUARTER, per_minute=per_minute, by="otto")


async def code_of(keys: ApiKeys, token: str) -> str:
    try:
        await keys.recognise(token)
    except Refused as refused:
        return refused.code
    return ""


async def test_only_the_hash_of_a_secret_is_kept(keys: ApiKeys, database: Database) -> None:
    token = await make(keys)
    _, key_id, secret = token.split("_", 2)
    (row,) = await database.fetch("SELECT * FROM api_key_secrets")
    assert row["secret_sha256"] == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in str(dict(row))
    assert len(secret) == 43
    (listed,) = await keys.list()
    assert secret not in listed.model_dump_json()
    assert (listed.secrets[0].key_id, listed.secrets[0].state) == (key_id, "live")


async def test_a_key_is_recognised_and_its_use_is_noted(keys: ApiKeys) -> None:
    token = await make(keys)
    found = await keys.recognise(token)
    assert (found.name, found.role, found.scopes, found.wait) == ("website", TEAM, frozenset(ALL), timedelta())
    (listed,) = await keys.list()
    assert listed.secrets[0].last_used_at is not None


async def test_what_is_not_a_key_is_unknown(keys: ApiKeys) -> None:
    token = await make(keys)
    prefix, key_id, secret = token.split("_", 2)
    for wrong in (
        "", "hf", "hf__", f"{prefix}_{key_id}_", f"{prefix}_{key_id}_{secret}x", f"{prefix}_nobody_{secret}", secret,
        token.upper(), f"xx_{key_id}_{secret}", "hf_\0_x", "hf_é_x", "x" * 5000, key_id, f"{token}\n",
    ):  # fmt: skip
        assert await code_of(keys, wrong) == "api-key-unknown", wrong
    assert await code_of(keys, token) == ""


async def test_a_name_is_taken_once_and_has_a_form(keys: ApiKeys) -> None:
    await make(keys)
    for name, code in (
        ("website", "key-exists"),
        ("", "bad-key-name"),
        ("Jane Doe", "bad-key-name"),
        ("a/b", "bad-key-name"),
    ):
        with pytest.raises(Refused) as caught:
            await make(keys, name)
        assert caught.value.code == code


@pytest.mark.parametrize("role", ["team:accounts", "role:approver", "role:partner"])
async def test_no_key_acts_for_money(keys: ApiKeys, role: str) -> None:
    with pytest.raises(Refused) as caught:
        await keys.create("money", role, ALL, lasts=QUARTER, per_minute=60, by="otto")
    assert caught.value.code == "no-money-by-key"


async def test_a_key_acts_as_somebody_there_is(keys: ApiKeys) -> None:
    await keys.create("by-ivan", "ivan", ALL, lasts=QUARTER, per_minute=60, by="otto")
    with pytest.raises(Refused) as caught:
        await keys.create("by-nobody", "nobody", ALL, lasts=QUARTER, per_minute=60, by="otto")
    assert caught.value.code == "unknown-principal"


async def test_a_key_is_for_a_department_of_the_directory_too(keys: ApiKeys, database: Database) -> None:
    await database.execute(
        "INSERT INTO directory (slug, version, position, name, since, set_by)"
        " VALUES ('ppc', 1, 0, 'PPC', '2020-01-01', 'test')"
    )
    token = await keys.create("by-ppc", "department:ppc", ALL, lasts=QUARTER, per_minute=60, by="otto")
    assert (await keys.recognise(token)).role == "department:ppc"
    for nobody in ("department:seo", "ppc"):
        with pytest.raises(Refused) as caught:
            await keys.create("by-nobody", nobody, ALL, lasts=QUARTER, per_minute=60, by="otto")
        assert caught.value.code == "unknown-principal"


async def test_two_secrets_live_while_a_key_is_rotated(keys: ApiKeys, database: Database) -> None:
    first = await make(keys)
    second = await keys.rotate("website", lasts=QUARTER, overlap=WEEK, by="otto")
    assert (await code_of(keys, first), await code_of(keys, second)) == ("", "")
    third = await keys.rotate("website", lasts=QUARTER, overlap=WEEK, by="otto")
    assert [await code_of(keys, one) for one in (first, second, third)] == ["api-key-revoked", "", ""]
    await database.shift(WEEK)
    assert [await code_of(keys, one) for one in (second, third)] == ["api-key-expired", ""]
    await database.shift(QUARTER)
    assert await code_of(keys, third) == "api-key-expired"


async def test_a_rotation_never_makes_a_secret_live_longer(keys: ApiKeys, database: Database) -> None:
    short = await keys.create("website", TEAM, ALL, lasts=timedelta(days=1), per_minute=60, by="otto")
    await keys.rotate("website", lasts=QUARTER, overlap=WEEK, by="otto")
    await database.shift(timedelta(days=2))
    assert await code_of(keys, short) == "api-key-expired"


async def test_what_is_revoked_stays_so(keys: ApiKeys) -> None:
    first = await make(keys)
    second = await keys.rotate("website", lasts=QUARTER, overlap=WEEK, by="otto")
    assert await keys.revoke(first.split("_")[1], "otto") == 1
    assert [await code_of(keys, one) for one in (first, second)] == ["api-key-revoked", ""]
    assert await keys.revoke("website", "otto") == 1
    assert await code_of(keys, second) == "api-key-revoked"
    with pytest.raises(Refused) as caught:
        await keys.rotate("website", lasts=QUARTER, overlap=WEEK, by="otto")
    assert caught.value.code == "no-such-key"
    with pytest.raises(Refused):
        await keys.revoke("nobody", "otto")


async def test_a_bucket_empties_and_fills_again(keys: ApiKeys, database: Database) -> None:
    token = await make(keys, per_minute=3)
    left = [(await keys.recognise(token)).left for _ in range(3)]
    assert left == [2, 1, 0]
    empty = await keys.recognise(token)
    assert timedelta(seconds=15) < empty.wait <= timedelta(seconds=20)
    await database.shift(timedelta(seconds=21))
    assert (await keys.recognise(token)).wait == timedelta()
    await database.shift(timedelta(days=1))
    assert (await keys.recognise(token)).left == 2


@pytest.mark.parametrize("role", ["sops", "money"])
async def test_the_workers_never_see_a_hash_and_make_no_key(keys: ApiKeys, database: Database, role: str) -> None:
    await make(keys)
    pool = await database.pool(role)  # pyright: ignore[reportArgumentType]
    assert await pool.fetchval("SELECT name FROM api_key_secrets") == "website"
    for statement in (
        "SELECT secret_sha256 FROM api_key_secrets",
        "INSERT INTO api_keys (name, role, scopes, per_minute, tokens, created_by) VALUES ('x', 'y', '{}', 1, 1, 'z')",
        "UPDATE api_keys SET role = 'team:accounts'",
    ):
        with pytest.raises(Exception, match="permission denied"):
            await pool.execute(statement)


async def test_the_door_can_not_give_a_key_another_life(keys: ApiKeys, database: Database) -> None:
    await make(keys)
    pool = await database.pool("door")
    for change in ("api_keys SET role = 'x'", "api_keys SET scopes = '{}'", "api_key_secrets SET secret_sha256 = 'x'"):
        with pytest.raises(Exception, match="permission denied"):
            await pool.execute(f"UPDATE {change}")
