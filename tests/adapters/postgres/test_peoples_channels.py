from adapters.postgres.crypto import Vault
from adapters.postgres.directory_book import set_channels
from adapters.postgres.peoples_channels import PostgresPeoplesChannels
from adapters.postgres.pool import transaction
from domain.chat import Channel, ChannelKind
from domain.rules.channels import slack_before_mail
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
