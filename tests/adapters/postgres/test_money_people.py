import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.postgres.crypto import Vault
from adapters.postgres.money_people import MoneyPeopleError, load_money_people, recent_changes, sync_money_people
from runtime.settings import Settings
from tests.conftest import Database


def person(role: str, sub: str) -> str:
    return f'[[{role}]]\nissuer = "i"\nsub = "{sub}"\nname = "{sub.title()}"\n'


def settings(folder: Path, content: str | None) -> Settings:
    path = folder / "money.toml"
    if content is None:
        return Settings(state_dir=folder)
    path.write_text(content)
    return Settings(state_dir=folder, money_people=path)


async def listed(database: Database) -> Mapping[str, list[str]]:
    rows = await database.fetch("SELECT role, sub FROM money_people WHERE until IS NULL ORDER BY role, sub")
    return {role: [row["sub"] for row in rows if row["role"] == role] for role in {row["role"] for row in rows}}


async def test_the_table_says_what_the_file_says(database: Database, vault: Vault, tmp_path: Path) -> None:
    content = person("approver", "shobhit") + person("accounts", "carl") + person("partner", "pia")
    await sync_money_people(await database.pool("money"), vault, settings(tmp_path, content))
    assert await listed(database) == {"role:approver": ["shobhit"], "team:accounts": ["carl"], "role:partner": ["pia"]}


async def test_without_a_file_the_approver_is_that_of_the_settings(
    database: Database, vault: Vault, tmp_path: Path
) -> None:
    await sync_money_people(await database.pool("money"), vault, settings(tmp_path, None))
    assert await listed(database) == {"role:approver": ["shobhit.patil"]}


async def test_rows_are_added_and_ended_as_of_now_and_never_taken_away(
    database: Database, vault: Vault, tmp_path: Path
) -> None:
    pool = await database.pool("money")
    await sync_money_people(pool, vault, settings(tmp_path, person("accounts", "carl")))
    await sync_money_people(pool, vault, settings(tmp_path, person("accounts", "cora")))
    await sync_money_people(pool, vault, settings(tmp_path, person("accounts", "cora") + person("accounts", "carl")))
    rows = await database.fetch("SELECT sub, until FROM money_people WHERE role = 'team:accounts' ORDER BY since")
    assert [(row["sub"], row["until"] is None) for row in rows] == [("carl", False), ("cora", True), ("carl", True)]
    past = await database.value(
        "SELECT bool_and(since <= holdfast_now() AND (until IS NULL OR until >= since)) FROM money_people"
    )
    assert past is True


async def test_each_change_is_told_once_and_no_change_not_at_all(
    database: Database, vault: Vault, tmp_path: Path
) -> None:
    pool = await database.pool("money")
    same = settings(tmp_path, person("approver", "shobhit") + person("accounts", "carl"))
    await asyncio.gather(*(sync_money_people(pool, vault, same) for _ in range(4)))
    assert await database.value("SELECT count(*) FROM case_events") == 2
    await sync_money_people(pool, vault, settings(tmp_path, person("approver", "shobhit")))
    assert await database.value("SELECT count(*) FROM case_events") == 3


async def test_the_approver_sees_who_began_and_who_ceased_to_act_for_money(
    database: Database, vault: Vault, tmp_path: Path
) -> None:
    pool = await database.pool("money")
    await sync_money_people(pool, vault, settings(tmp_path, person("approver", "shobhit") + person("accounts", "carl")))
    await sync_money_people(pool, vault, settings(tmp_path, person("approver", "shobhit")))
    told = await recent_changes(await database.pool("door"))
    first, *others = [one.partition(": ")[2] for one in told]
    assert first == "Carl may no longer act for team:accounts"
    assert sorted(others) == ["Carl may act for team:accounts", "Shobhit may act as role:approver"]
    await database.shift(timedelta(days=31))
    assert await recent_changes(await database.pool("door")) == ()


@pytest.mark.parametrize(
    "content",
    [
        "nonsense",
        '[[accounts]]\nissuer = "i"\nname = "n"\n',
        '[[accounts]]\nissuer = ""\nsub = "s"\nname = "n"\n',
        '[[accounts]]\nissuer = "i"\nsub = "s"\nname = "n"\nemail = "e"\n',
        '[[owner]]\nissuer = "i"\nsub = "s"\nname = "n"\n',
        person("accounts", "carl") + person("approver", "carl"),
    ],
)
def test_a_file_that_can_not_be_used_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(MoneyPeopleError):
        load_money_people(settings(tmp_path, content))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MoneyPeopleError, match="can't be read"):
        load_money_people(Settings(state_dir=tmp_path, money_people=tmp_path / "none.toml"))


async def test_only_the_money_worker_writes_them(database: Database, vault: Vault, tmp_path: Path) -> None:
    for role in ("sops", "door"):
        with pytest.raises(Exception, match="permission denied"):
            await sync_money_people(await database.pool(role), vault, settings(tmp_path, person("accounts", "carl")))
