import pytest

from adapters.postgres import policy
from adapters.postgres.crypto import Vault
from adapters.postgres.pool import Pool, transaction
from adapters.postgres.reader import CaseReader
from domain.errors import Refused
from domain.money import Money
from tests.conftest import Database


@pytest.fixture
async def pool(database: Database, clients: None) -> Pool:
    return await database.pool("door")


async def test_nothing_may_leave_at_first(pool: Pool) -> None:
    async with transaction(pool) as conn:
        found = await policy.outbound(conn)
        assert (found.mode, found.allow, found.changed_by) == ("off", (), "")
        assert await policy.holds(conn) == ()


async def test_the_switch_remembers_who_turned_it(pool: Pool, vault: Vault) -> None:
    async with transaction(pool) as conn:
        await policy.set_outbound(conn, vault, "allowlist", [" Jane@Acme.example", "vendor:xero", "vendor:xero"], "p-1")
    async with transaction(pool) as conn:
        found = await policy.outbound(conn)
    assert (found.mode, found.allow, found.changed_by) == ("allowlist", ("jane@acme.example", "vendor:xero"), "p-1")
    (line,) = await CaseReader(pool, vault).timeline("")
    assert (line.actor, line.data) == ("p-1", {"outbound": "allowlist", "allowed": 2})


async def test_an_empty_allowlist_is_refused(pool: Pool, vault: Vault) -> None:
    async with transaction(pool) as conn:
        with pytest.raises(Refused, match="at least one"):
            await policy.set_outbound(conn, vault, "allowlist", [" "], "p-1")


async def test_holds_are_set_and_ended_by_somebody(pool: Pool, vault: Vault) -> None:
    async with transaction(pool) as conn:
        await policy.hold(conn, vault, "acme", "p-1")
        await policy.hold(conn, vault, "acme", "p-2")
        await policy.hold(conn, vault, "*", "p-2")
        assert [(one.client_id, one.set_by) for one in await policy.holds(conn)] == [("*", "p-2"), ("acme", "p-1")]
        with pytest.raises(Refused, match="no client"):
            await policy.hold(conn, vault, "nobody", "p-1")
        assert await policy.resume(conn, vault, "*", "p-1")
        assert not await policy.resume(conn, vault, "*", "p-1")
        assert await policy.why_on_hold(conn, "acme") == "on-hold"
        assert await policy.why_on_hold(conn, "globex") == ""
    told = [(line.actor, line.data) for line in await CaseReader(pool, vault).timeline("")]
    assert told[-1] == ("p-1", {"resume": "*"})


async def test_settings_are_versions_and_the_newest_counts(pool: Pool, database: Database) -> None:
    async with transaction(pool) as conn:
        assert await policy.approval_limit(conn) == Money.model_validate({"amount": "500.00"})
        assert await policy.current(conn, "chase-every") == {"hours": 48}
        with pytest.raises(Refused):
            await policy.current(conn, "no-such-setting")
    await database.execute("INSERT INTO policy (name, version, value) VALUES ('chase-every', 2, '{\"hours\": 24}')")
    async with transaction(pool) as conn:
        assert await policy.current(conn, "chase-every") == {"hours": 24}
