import pytest

from adapters.postgres.crypto import Vault
from adapters.postgres.directory_book import set_channels
from adapters.postgres.peoples_channels import PostgresPeoplesChannels
from adapters.postgres.pool import transaction
from domain.chat import Channel, ChannelKind
from domain.rules.channels import slack_before_mail
from tests.adapters.postgres.conftest import CASE, AddCase
from tests.conftest import Database


async def test_people_are_found_by_address_with_their_channels_in_order(database: Database, vault: Vault) -> None:
    for person, email in (("barb", "Barb@commversion.com"), ("al", "al@commversion.com")):
        await database.execute("INSERT INTO people VALUES ($1, $1, $2, 'local', $1)", person, email)
    async with transaction(await database.pool("door")) as conn:
        await set_channels(conn, vault, "barb", [("slack", "U0BARB"), ("teamwork", "304")])
    found = await PostgresPeoplesChannels(await database.pool("sops"), vault).of(
        ["barb@commversion.com", "al@commversion.com", "nobody@commversion.com"], "no-case"
    )
    mail = Channel(kind=ChannelKind.EMAIL, address="Barb@commversion.com")
    assert found["barb@commversion.com"] == (Channel(kind=ChannelKind.SLACK, address="U0BARB"), mail)
    assert set(found) == {"barb@commversion.com", "al@commversion.com"}
    assert {email: slack_before_mail(ways) for email, ways in found.items()} == {
        "barb@commversion.com": "U0BARB",
        "al@commversion.com": "",
    }


async def test_somebody_who_is_gone_stays_with_mail(database: Database, vault: Vault) -> None:
    await database.execute("INSERT INTO people VALUES ('eve', 'Eve', 'eve@commversion.com', 'local', 'eve')")
    async with transaction(await database.pool("door")) as conn:
        await set_channels(conn, vault, "eve", [("slack", "U0EVE")])
    await database.execute("UPDATE people SET active = false WHERE person_id = 'eve'")
    assert (
        await PostgresPeoplesChannels(await database.pool("sops"), vault).of(["eve@commversion.com"], "no-case") == {}
    )


@pytest.mark.clause("ID-10")
async def test_nobody_is_asked_on_slack_about_a_task_that_is_not_commented_on(
    database: Database, vault: Vault, add_case: AddCase
) -> None:
    await database.execute("INSERT INTO people VALUES ('eve', 'Eve', 'eve@commversion.com', 'local', 'eve')")
    async with transaction(await database.pool("door")) as conn:
        await set_channels(conn, vault, "eve", [("slack", "U0EVE")])
    await add_case()
    channels = PostgresPeoplesChannels(await database.pool("sops"), vault)

    async def on_slack() -> bool:
        return bool(slack_before_mail((await channels.of(["eve@commversion.com"], CASE))["eve@commversion.com"]))

    async def comment(name: str, state: str) -> None:
        await database.execute(
            "INSERT INTO effects (key, case_id, kind, clause, gated, body, state, settled_at)"
            " VALUES ($1, $2, 'comment-task', 'ID-6', false, '{}', $3, now())"
            " ON CONFLICT (key) DO UPDATE SET state = EXCLUDED.state",
            f"{CASE}/{name}", CASE, state,
        )  # fmt: skip

    assert await on_slack()  # a case of another kind has no task
    await database.execute("UPDATE cases SET kind = 'DepartmentRequest' WHERE case_id = $1", CASE)
    assert not await on_slack()
    await comment("comment/1", "prepared")
    assert not await on_slack()
    await comment("comment/1", "sent")
    assert await on_slack()
    await comment("ask-estimate/1", "prepared")
    assert not await on_slack()
    await comment("ask-estimate/1", "abandoned")  # somebody wrote it by hand, or waived it
    assert await on_slack()
