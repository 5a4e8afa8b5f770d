"""Shobhit Patil's approval above GBP 500 (RL-14): asked internally before anything is promised, never by silence."""

from datetime import timedelta

import pytest

from domain.messages import ActKind
from tests.agency import CLIENT_MAIL, SHOBHIT, Agency, letter

LEADS = ["L-1005", "L-1006", "L-1007", "L-1008"]


async def priced(agency: Agency, price: str) -> str:
    """A request whose four unbilled leads cost so much each, found valid."""
    await agency.database.arrived_at(price, *LEADS)
    case_id = await agency.receive(letter(", ".join(LEADS)))
    await agency.find(case_id, LEADS)
    return case_id


def promises(agency: Agency) -> list[str]:
    return [str(mail["To"]) for mail in agency.mails("not be charged") if CLIENT_MAIL in str(mail["To"])]


@pytest.mark.clause("RL-14")
async def test_exactly_the_limit_needs_no_approver(agency: Agency) -> None:
    case_id = await priced(agency, "125.00")
    await agency.confirm(case_id)
    assert (await agency.result(case_id)).valid == 4


@pytest.mark.clause("RL-14")
async def test_a_penny_more_is_put_to_shobhit_internally_before_anything_is_promised(agency: Agency) -> None:
    case_id = await priced(agency, "125.01")
    await agency.parked(case_id, "approval")
    (asked,) = [mail for mail in agency.mails("Approve") if SHOBHIT in str(mail["To"])]
    assert CLIENT_MAIL not in f"{asked['To']} {asked['Cc']}"
    assert promises(agency) == []
    await agency.decide(case_id, ActKind.APPROVE)
    await agency.confirm(case_id)
    assert (await agency.result(case_id)).valid == 4
    assert len(promises(agency)) == 1
    await agency.keep(case_id, "approved")


@pytest.mark.clause("RL-14")
async def test_silence_never_decides_and_the_escalation_role_is_told(agency: Agency) -> None:
    case_id = await priced(agency, "125.01")
    await agency.parked(case_id, "approval")
    for times in range(1, 4):
        await agency.pass_time(case_id, timedelta(hours=48, minutes=1))
        await agency.chased(case_id, "approval", times)
    assert len([mail for mail in agency.mails("Reminder") if SHOBHIT in str(mail["To"])]) == 3
    assert {"escalate-approval/2", "escalate-approval/3"} <= (await agency.effects(case_id)).keys()
    assert promises(agency) == []


@pytest.mark.clause("RL-14")
async def test_a_rejection_keeps_its_reason_internal_and_the_team_writes_the_text(agency: Agency) -> None:
    case_id = await priced(agency, "125.01")
    await agency.decide(case_id, ActKind.REJECT)
    told = await agency.text("We looked again and can't take this lead back.")
    leads = [{"lead_id": lead, "text_sha256": told} for lead in LEADS]
    await agency.act(case_id, "rejected", ActKind.REDUCE, {"leads": leads}, "P-1")
    outcome = await agency.closed(case_id)
    assert (outcome.valid, outcome.refused) == (0, 4)
    to_client = [mail.get_content() for mail in agency.mails() if CLIENT_MAIL in str(mail["To"])]
    assert "can't take this lead back" in to_client[-1]
    assert not [text for text in to_client if "Because of the amount" in text]
    await agency.keep(case_id, "rejected")


@pytest.mark.clause("RL-14")
async def test_a_question_goes_to_the_team_and_the_approver_is_asked_again(agency: Agency) -> None:
    case_id = await priced(agency, "125.01")
    await agency.decide(case_id, ActKind.ASK_BACK)
    await agency.act(case_id, "answer-back", ActKind.DONE, {"note_sha256": ""}, "P-1")
    await agency.decide(case_id, ActKind.APPROVE, "approval.2")
    await agency.confirm(case_id)
    assert (await agency.result(case_id)).valid == 4
    await agency.keep(case_id, "asked-back")


@pytest.mark.clause("RL-14")
async def test_somebody_else_can_not_approve(agency: Agency) -> None:
    case_id = await priced(agency, "125.01")
    for somebody in ("P-1", "P-2", "P-3", "P-4"):
        await agency.decide(case_id, ActKind.APPROVE, by=somebody)
    await agency.refused(case_id, "not-asked")
    await agency.parked(case_id, "approval")
    assert promises(agency) == []


@pytest.mark.clause("RL-14")
async def test_a_withdrawn_approval_lets_nothing_through(agency: Agency) -> None:
    case_id = await priced(agency, "125.01")
    await agency.decide(case_id, ActKind.APPROVE)
    await agency.parked(case_id, "confirm")
    reason = {"reason_sha256": await agency.text("I did not see the last one.")}
    withdrawal = await agency.crafted(case_id, "approval", ActKind.WITHDRAW, reason, "shobhit.patil")
    await agency.handle(case_id).signal("act", withdrawal)

    async def stored() -> bool:
        return bool(await agency.database.value("SELECT true FROM acts WHERE kind = 'return.withdraw'"))

    await agency.eventually(stored, "the withdrawal was not stored")
    await agency.confirm(case_id)
    await agency.parked(case_id, "approval.2")
    assert promises(agency) == []
