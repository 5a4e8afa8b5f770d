"""Shobhit Patil's approval above GBP 500 (RL-14): asked internally before anything is promised, never by silence."""

from datetime import timedelta

import pytest

from domain.case import EventKind
from domain.messages import ActKind
from tests.agency import CLIENT_MAIL, SHOBHIT, Agency, invoice, letter

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
    assert await stopped_by(agency, case_id) == {"approval-withdrawn"}


async def stopped_by(agency: Agency, case_id: str) -> set[str]:
    """Why the gate stopped the promises of a case, as the audit trail tells it."""
    query = "SELECT dedupe FROM case_events WHERE case_id = $1 AND kind = $2"
    rows = await agency.database.fetch(query, case_id, EventKind.EFFECT_REFUSED.value)
    return {str(row["dedupe"]).partition(":gate:")[2] for row in rows}


@pytest.mark.clause("RL-12")
@pytest.mark.clause("RL-14")
async def test_an_approval_withdrawn_before_accounts_authorise_stops_the_credit_note_at_the_gate(
    agency: Agency,
) -> None:
    """The draft is there and Accounts say yes; nothing is credited, the approver is asked anew, the draft goes."""
    agency.outside.xero.seed(invoices=[invoice("INV-2", range(1007, 1008), net="500.00")])
    case_id = await agency.receive(letter("L-1007"))
    await agency.find(case_id, ["L-1007"])
    await agency.decide(case_id, ActKind.APPROVE)
    await agency.confirm(case_id)
    await agency.parked(case_id, "authorise")
    reason = {"reason_sha256": await agency.text("I took it for another client.")}
    withdrawal = await agency.crafted(case_id, "approval", ActKind.WITHDRAW, reason, "shobhit.patil")
    await agency.handle(case_id).signal("act", withdrawal)
    await agency.authorise(case_id)
    await agency.parked(case_id, "approval.2")
    (note,) = agency.outside.xero.credit_notes
    assert (note["Status"], await stopped_by(agency, case_id)) == ("DRAFT", {"approval-withdrawn"})
    assert [mail for mail in agency.mails("a credit note has been issued") if CLIENT_MAIL in str(mail["To"])] == []
    await agency.decide(case_id, ActKind.REJECT, "approval.2")
    told = await agency.text("We looked again and can't take this lead back.")
    left_out = {"leads": [{"lead_id": "L-1007", "text_sha256": told}]}
    await agency.act(case_id, "rejected", ActKind.REDUCE, left_out, "P-1")
    agency.outside.xero.edit(op="set_credit_note_status", number=note["CreditNoteNumber"], status="DELETED")
    await agency.act(case_id, "void-draft", ActKind.DONE, {"note_sha256": ""}, "P-3")
    assert (await agency.closed(case_id)).valid == 0
    assert (await agency.audited()).whole
