"""People are asked on Slack where they put it before e-mail, and by e-mail whenever Slack does not take it (ID-9)."""

from datetime import timedelta

import pytest

from adapters.postgres.crypto import Vault, load_master
from adapters.postgres.directory_book import set_channels
from adapters.postgres.pool import transaction
from adapters.postgres.reader import CaseReader
from domain.messages import ActKind
from simulators.slack_rules import shown
from tests.agency import SHOBHIT, Agency, letter

LEADS = ["L-1005", "L-1006", "L-1007", "L-1008"]
USER = "U0SHOBHIT"


async def above_the_limit(agency: Agency) -> str:
    """A request that needs Shobhit Patil, who would rather be asked on Slack."""
    agency.outside.slack.seed(users=[{"id": USER, "email": SHOBHIT}])
    vault = Vault(load_master(agency.settings.keys_dir))
    async with transaction(await agency.database.pool("door")) as conn:
        await set_channels(conn, vault, "P-9", [("slack", USER)])
    await agency.database.execute("UPDATE leads SET price = 125.01 WHERE lead_id = ANY($1)", LEADS)
    case_id = await agency.receive(letter(", ".join(LEADS)))
    await agency.find(case_id, LEADS)
    await agency.parked(case_id, "approval")
    return case_id


def asked_by_mail(agency: Agency) -> int:
    return len([mail for mail in agency.mails() if SHOBHIT in str(mail["To"])])


async def timeline(agency: Agency, case_id: str, effect: str) -> list[str]:
    pool = await agency.database.pool("door")
    lines = await CaseReader(pool, Vault(load_master(agency.settings.keys_dir))).timeline(case_id)
    return [line.text for line in lines if line.data.get("effect") == f"{case_id}/{effect}"]


async def on_record(agency: Agency, case_id: str, effect: str) -> object:
    query = "SELECT data -> 'tried' FROM effects WHERE key = $1"
    return await agency.database.value(query, f"{case_id}/{effect}")


@pytest.mark.clause("RL-14")
async def test_the_approver_is_asked_and_reminded_on_slack_with_the_link_and_decides_on_the_page(
    agency: Agency,
) -> None:
    case_id = await above_the_limit(agency)
    await agency.pass_time(case_id, timedelta(hours=48, minutes=1))
    await agency.chased(case_id, "approval", 1)
    asked, reminded = [shown(one["text"]) for one in agency.outside.slack.messages(USER)]
    page = agency.settings.page_of(case_id, "approval")
    assert {link for link, _ in asked.links} & {link for link, _ in reminded.links} >= {page}
    assert (asked.mentions, asked_by_mail(agency)) == ((), 0)
    await agency.decide(case_id, ActKind.APPROVE)
    await agency.confirm(case_id)
    assert (await agency.result(case_id)).valid == 4


@pytest.mark.clause("RL-14")
async def test_when_slack_is_down_the_approver_is_mailed_and_both_are_on_record(agency: Agency) -> None:
    agency.outside.slack.fault("* /api/", "429", times=None)
    case_id = await above_the_limit(agency)
    assert asked_by_mail(agency) == 1
    assert agency.outside.slack.messages(USER) == []
    effects = await agency.effects(case_id)
    (asking,) = [name for name in effects if name.startswith("nudge-approval/")]
    assert (effects[asking], await on_record(agency, case_id, asking)) == (
        "sent",
        [{"channel": "slack", "ended": "down", "code": "ratelimited"}],
    )
    assert await timeline(agency, case_id, asking) == ["message to whoever is asked (slack down: ratelimited)"]
