"""The approver is told by e-mail who begins or ceases to act for money, and who stands in: once a change."""

from datetime import date, timedelta
from pathlib import Path
from typing import cast

import pytest

from adapters.postgres.crypto import Vault, load_master
from adapters.postgres.money_people import sync_money_people
from domain.messages import ActKind
from runtime.settings import Settings
from starter.gateway import Gateway, LocalLogin
from tests.agency import SHOBHIT, Agency
from worker import money_worker

SUBJECT = "Who may act for money has changed"


def listed(agency: Agency, folder: Path, *accounts: str, approver: str = "shobhit.patil") -> Settings:
    """The money worker's configuration with these people of Accounts."""
    people = [("approver", approver), *(("accounts", one) for one in accounts)]
    text = "".join(f'[[{role}]]\nissuer = "local"\nsub = "{sub}"\nname = "{sub}"\n' for role, sub in people)
    path = folder / "money_people.toml"
    path.write_text(text)
    return agency.settings.model_copy(update={"money_people": path})


async def told(agency: Agency, times: int) -> None:
    async def there() -> bool:
        await agency.take_in()
        return len(agency.mails(SUBJECT)) >= times

    await agency.eventually(there, "the approver was not told")
    await agency.take_in()
    assert len(agency.mails(SUBJECT)) == times


@pytest.mark.clause("RL-14")
async def test_the_approver_is_told_of_a_change_once_however_often_the_money_worker_starts(
    agency: Agency, tmp_path: Path
) -> None:
    assert agency.mails(SUBJECT) == []  # the first list is no change
    changed = listed(agency, tmp_path, "P-3", "P-4")
    for _ in range(3):
        async with money_worker(changed, agency.client, queue=f"{agency.queue}-other"):
            pass
    await told(agency, 1)
    (mail,) = agency.mails(SUBJECT)
    assert str(mail["To"]) == SHOBHIT
    assert "P-4 may act for Accounts\r\n" in mail.get_content()
    (case_id,) = await agency.database.fetch("SELECT case_id FROM cases WHERE kind = 'MoneyPeopleChanged'")
    assert (await agency.audited()).whole
    await agency.keep(str(case_id["case_id"]), "money-people")


async def test_whoever_made_himself_the_approver_is_not_alone_in_being_told(agency: Agency, tmp_path: Path) -> None:
    changed = listed(agency, tmp_path, approver="P-4")
    pool = await agency.database.pool("money")
    await sync_money_people(pool, Vault(load_master(agency.settings.keys_dir)), changed)
    await told(agency, 1)
    (mail,) = agency.mails(SUBJECT)
    assert {SHOBHIT, "omar@commversion.com"} == {one.strip() for one in str(mail["To"]).split(",")}
    assert "may no longer act as the approver" in mail.get_content()


@pytest.mark.clause("RL-14")
async def test_a_stand_in_is_told_of_as_he_was_ordered(agency: Agency) -> None:
    day = cast("date", await agency.database.value("SELECT (holdfast_now() AT TIME ZONE 'Europe/London')::date"))
    vault = Vault(load_master(agency.settings.keys_dir))
    gateway = Gateway(agency.door_pool, vault, agency.client, agency.settings)
    payload = {
        "approver": {"issuer": "local", "sub": "shobhit.patil"},
        "stand_in": {"issuer": "local", "sub": "P-4"},
        "starts": day.isoformat(),
        "ends": (day + timedelta(days=3)).isoformat(),
        "ceiling_gbp": "2000.00",
    }
    await gateway.order(ActKind.SET_STAND_IN, payload, LocalLogin("P-9"))
    await told(agency, 1)
    (mail,) = agency.mails(SUBJECT)
    assert str(mail["To"]) == SHOBHIT
    assert "Omar Ali stands in for Shobhit Patil" in mail.get_content()
    assert "GBP 2,000.00" in " ".join(mail.get_content().split())
