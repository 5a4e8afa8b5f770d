from decimal import Decimal

import pytest

from domain import ids
from domain.return_lead import BillingState, Finding, Findings, LeadBilling, Reason, Reduction, Verdict, Withdrawal
from domain.rules.answer import CaseLead, Done, answer, valid_leads

SHA = "0" * 64


def lead(lead_id: str, state: BillingState, invoice: str = "") -> CaseLead:
    billed = LeadBilling(lead_id=lead_id, state=state, invoice_id=invoice, invoice_number=invoice, gross=Decimal(12))
    return CaseLead(lead_id=lead_id, billing=billed)


def finding(lead_id: str, verdict: Verdict) -> Finding:
    return Finding(lead_id=lead_id, verdict=verdict, reason=Reason.SPAM, text_sha256=SHA)


@pytest.mark.clause("RL-5")
@pytest.mark.parametrize("state", [BillingState.UNBILLED, BillingState.VOIDED])
def test_a_lead_that_is_not_billed_will_not_be_charged(state: BillingState) -> None:
    assert answer("c", [lead("L-1", state)], [], Done()).not_charged == ("L-1",)


@pytest.mark.clause("RL-6")
def test_a_credit_is_told_only_once_its_note_is_authorised() -> None:
    leads = [lead("L-1", BillingState.ISSUED, "INV-1"), lead("L-2", BillingState.PAID, "INV-2")]
    said = answer("c", leads, [], Done(credited={"L-1": "RL-X"}))
    assert [(one.number, one.total) for one in said.credits] == [("RL-X", Decimal(12))]
    assert said.pending == ("L-2",)


def test_one_credit_note_an_invoice_for_all_its_leads() -> None:
    leads = [lead("L-1", BillingState.ISSUED, "INV-1"), lead("L-2", BillingState.ISSUED, "INV-1")]
    (credit,) = answer("c", leads, [], Done(), foreseen=True).credits
    assert [one.lead_id for one in credit.leads] == ["L-1", "L-2"]
    assert (credit.number, credit.total) == (ids.credit_note_number("c", "INV-1"), Decimal(24))


@pytest.mark.clause("RL-6")
def test_a_lead_billed_later_on_a_credited_invoice_has_the_note_of_its_own_confirmation() -> None:
    leads = [lead("L-1", BillingState.CREDITED, "INV-1"), lead("L-2", BillingState.ISSUED, "INV-1")]
    done = Done(credited={"L-1": ids.credit_note_number("c", "INV-1")}, turn=2)
    before = answer("c", leads, [], done)
    assert ([one.number for one in before.credits], before.pending) == ([done.credited["L-1"]], ("L-2",))
    foreseen = answer("c", leads, [], done, foreseen=True)
    second = ids.credit_note_number("c", "INV-1", 2)
    told = [(one.number, one.total, one.authorised) for one in foreseen.credits]
    assert told == [(done.credited["L-1"], Decimal(12), True), (second, Decimal(12), False)]
    assert [one.number for one in foreseen.to_issue] == [second]


@pytest.mark.clause("RL-11")
def test_a_lead_still_on_a_draft_invoice_is_promised_nothing() -> None:
    drafted = [lead("L-1", BillingState.DRAFT, "INV-1")]
    assert answer("c", drafted, [], Done()).pending == ("L-1",)
    assert answer("c", drafted, [], Done(), foreseen=True).not_charged == ("L-1",)


def test_our_own_credit_read_again_from_the_books_is_not_an_earlier_one() -> None:
    credited = [lead("L-1", BillingState.CREDITED, "INV-1")]
    assert answer("c", credited, [], Done()).credited_before == ("L-1",)
    ours = answer("c", credited, [], Done(credited={"L-1": "RL-X"}))
    assert (ours.credited_before, ours.credits[0].number) == ((), "RL-X")


def test_leads_whose_listing_was_given_up_are_pending() -> None:
    assert answer("c", [lead("L-1", BillingState.UNBILLED)], [], Done(not_listed=True)).pending == ("L-1",)


def test_a_lead_whose_billing_was_never_read_is_pending() -> None:
    assert answer("c", [CaseLead(lead_id="L-1")], [], Done()).pending == ("L-1",)


def test_withdrawn_and_refused_leads_are_not_valid() -> None:
    leads = [CaseLead(lead_id=one) for one in ("L-1", "L-2", "L-3")]
    found = Findings(
        findings=(finding("L-3", Verdict.VALID), finding("L-2", Verdict.NOT_VALID), finding("L-1", Verdict.VALID))
    )
    reduced = [Reduction(leads=(Withdrawal(lead_id="L-1", text_sha256=SHA),))]
    assert [one.lead_id for one in valid_leads(leads, found, [])] == ["L-1", "L-3"]
    assert [one.lead_id for one in valid_leads(leads, found, reduced)] == ["L-3"]
