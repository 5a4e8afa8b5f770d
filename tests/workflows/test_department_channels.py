"""How a department's contact is told: Slack with the link, e-mail and WhatsApp with the details (ID-9 to ID-12)."""

from datetime import timedelta
from typing import Any

import pytest

from adapters.postgres.crypto import DEPLOYMENT, Vault, load_master
from adapters.postgres.pool import transaction
from adapters.postgres.windows import PostgresWindows
from tests.agency import CLIENT, Agency
from tests.workflows.desk import Desk, furnish

NUMBER, SLACK = "447700900104", "U0BARB001"
DETAILS = "From Monday on:\nthe budget is spent.\n\nKeep the generic campaign as it is."
IN_ONE_LINE = "From Monday on: the budget is spent. Keep the generic campaign as it is."


@pytest.fixture
async def desk(agency: Agency) -> Desk:
    return await furnish(agency)


def vault_of(desk: Desk) -> Vault:
    return Vault(load_master(desk.agency.settings.keys_dir))


async def reached_by(desk: Desk, *ways: tuple[str, str]) -> None:
    """Barb's channels, in her own order."""
    async with transaction(await desk.agency.database.pool("owner")) as conn:
        await conn.execute("DELETE FROM person_channels WHERE person_id = 'barb' AND channel <> 'teamwork'")
        for rank, (channel, address) in enumerate(ways, 2):
            sealed = await vault_of(desk).seal(conn, DEPLOYMENT, address.encode())
            await conn.execute("INSERT INTO person_channels VALUES ('barb', $1, $2, $3)", channel, sealed, rank)


async def wrote(desk: Desk, ago: timedelta) -> None:
    """Barb wrote to our number so long ago: Meta knows it, and so do we."""
    desk.agency.outside.whatsapp.seed(numbers=[{"number": NUMBER, "wrote": int(ago.total_seconds())}])
    pool = await desk.agency.database.pool("owner")
    async with transaction(pool) as conn:
        at = await conn.fetchval("SELECT now() - $1::interval", ago)
        await PostgresWindows(pool, vault_of(desk)).wrote(conn, NUMBER, at)


async def tried(desk: Desk, case_id: str) -> list[tuple[str, str]]:
    told: Any = await desk.agency.database.value(
        "SELECT data FROM effects WHERE case_id = $1 AND kind = 'tell'", case_id
    )
    return [(one["channel"], one["ended"]) for one in told["tried"]]


async def told(desk: Desk) -> str:
    case_id = await desk.open(details=DETAILS)
    await desk.agency.parked(case_id, "process")
    return case_id


@pytest.mark.clause("ID-11")
async def test_by_e_mail_everything_is_said_and_the_link_stands_below(desk: Desk) -> None:
    await reached_by(desk)
    case_id = await told(desk)
    (mail,) = desk.agency.mails("Pause the brand campaign")
    assert mail["To"] == "barb@commversion.com"
    assert DETAILS in mail.get_content().replace("\r\n", "\n")
    assert str(desk.tasks()[0]["id"]) in mail.get_content()
    assert await tried(desk, case_id) == [("email", "sent")]


@pytest.mark.clause("ID-12")
async def test_whoever_did_not_write_for_a_day_gets_the_approved_template_with_the_details(desk: Desk) -> None:
    await reached_by(desk, ("whatsapp", NUMBER))
    await wrote(desk, timedelta(hours=25))
    case_id = await told(desk)
    (said,) = desk.agency.outside.whatsapp.messages
    assert (said["to"], said["kind"]) == (NUMBER, "holdfast_task/en_GB")
    assert "Pause the brand campaign" in said["text"]
    assert IN_ONE_LINE in said["text"]
    assert str(desk.tasks()[0]["id"]) in said["text"]
    assert await tried(desk, case_id) == [("whatsapp", "sent")]
    assert desk.agency.mails("Pause the brand campaign") == []


@pytest.mark.clause("ID-12")
async def test_whoever_wrote_today_gets_the_details_as_they_were_written(desk: Desk) -> None:
    await reached_by(desk, ("whatsapp", NUMBER))
    await wrote(desk, timedelta(hours=2))
    case_id = await told(desk)
    (said,) = desk.agency.outside.whatsapp.messages
    assert (said["to"], said["kind"]) == (NUMBER, "text")
    assert DETAILS in said["text"]
    assert str(desk.tasks()[0]["id"]) in said["text"]
    assert await tried(desk, case_id) == [("whatsapp", "sent")]


@pytest.mark.clause("ID-12")
async def test_a_template_holds_the_beginning_of_very_long_details(desk: Desk) -> None:
    await reached_by(desk, ("whatsapp", NUMBER))
    case_id = await desk.open(details="Please look at every keyword. " * 300)
    await desk.agency.parked(case_id, "process")
    (said,) = desk.agency.outside.whatsapp.messages
    assert len(said["text"]) < 1024
    assert "look at every ... - all of it" in said["text"]
    assert str(desk.tasks()[0]["id"]) in said["text"]


@pytest.mark.clause("ID-11")
@pytest.mark.clause("ID-12")
async def test_whom_whatsapp_does_not_take_is_told_by_e_mail_and_both_are_on_record(desk: Desk) -> None:
    """Meta says that the day is over, and we thought that it was not."""
    await reached_by(desk, ("whatsapp", NUMBER))
    await wrote(desk, timedelta(hours=2))
    desk.agency.outside.whatsapp.seed(numbers=[{"number": NUMBER, "wrote": 25 * 60 * 60}])
    case_id = await told(desk)
    assert desk.agency.outside.whatsapp.messages == []
    (mail,) = desk.agency.mails("Pause the brand campaign")
    assert "the budget is spent" in mail.get_content()
    assert await tried(desk, case_id) == [("whatsapp", "refused"), ("email", "sent")]


@pytest.mark.clause("ID-9")
@pytest.mark.clause("ID-10")
async def test_in_the_clients_channel_the_contact_is_named_beside_the_link(desk: Desk) -> None:
    desk.agency.outside.slack.seed(channels=[{"id": "C0ACME001", "name": "acme-plumbing", "members": [SLACK]}])
    await desk.agency.database.execute(
        "UPDATE client_boards SET slack_channel = 'C0ACME001' WHERE client_id = $1", CLIENT
    )
    await told(desk)
    (said,) = desk.agency.outside.slack.state["channels"]["C0ACME001"]["messages"]
    assert f"<@{SLACK}>" in said["text"]
    assert str(desk.tasks()[0]["id"]) in said["text"]
    assert "the budget is spent" not in said["text"]  # the conversation stays on the task
