"""What the client is told of each lead (RL-5, RL-6, RL-9), out of what was found, billed and done."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from domain import ids
from domain.case import Model
from domain.money import Currency
from domain.return_lead import BillingState, ClaimProblem, Findings, LeadBilling, Reduction, Verdict


class CaseLead(Model):
    """A lead as the case holds it: why it is not looked into, if so, and how it is billed."""

    lead_id: str
    problem: ClaimProblem = ClaimProblem.NONE
    billing: LeadBilling | None = None


class CreditedLead(Model):
    lead_id: str
    gross: Decimal


class Credit(Model):
    """A credit note on one invoice; amounts are gross."""

    number: str
    authorised: bool = False
    invoice_number: str
    currency: Currency
    paid: bool
    leads: tuple[CreditedLead, ...]

    @property
    def total(self) -> Decimal:
        return sum((lead.gross for lead in self.leads), Decimal(0))


class RefusedLead(Model):
    """`text` is what the client reads. `problem` says why it was not looked into, if it was not."""

    lead_id: str
    text: str
    problem: ClaimProblem = ClaimProblem.NONE


class Answer(Model):
    """Every lead of the request in exactly one of these; only a lead named twice stands twice."""

    not_charged: tuple[str, ...] = ()
    credits: tuple[Credit, ...] = ()
    credited_before: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()  # valid, but Holdfast can't say that it is settled
    refused: tuple[RefusedLead, ...] = ()

    @property
    def to_issue(self) -> tuple[Credit, ...]:
        """The credit notes that Accounts are still to authorise."""
        return tuple(one for one in self.credits if not one.authorised)


class Done(Model):
    """What was done outside so far, and whether the listing was given up. Credit notes are named by their numbers."""

    credited: Mapping[str, str] = {}  # by lead: its authorised note
    paid: frozenset[str] = frozenset()  # authorised notes whose invoice was paid by then
    drafts: Mapping[str, str] = {}  # by invoice id: the note of the confirmation that counts
    turn: int = 1  # which confirmation that is
    not_listed: bool = False


def valid_leads(leads: Sequence[CaseLead], findings: Findings, reductions: Sequence[Reduction]) -> tuple[CaseLead, ...]:
    """The leads found valid and not withdrawn since, in the request's order."""
    found = {one.lead_id for one in findings.findings if one.verdict is Verdict.VALID}
    withdrawn = {one.lead_id for reduction in reductions for one in reduction.leads}
    return tuple(lead for lead in leads if not lead.problem and lead.lead_id in found - withdrawn)


def answer(
    case_id: str,
    valid: Sequence[CaseLead],
    refused: Sequence[RefusedLead],
    done: Done,
    *,
    foreseen: bool = False,
) -> Answer:
    """The answer as it stands, or as it will stand if everything goes well (`foreseen`).

    A lead without its credit note authorised, or still on a draft invoice, is never promised: it is `pending`.
    """
    settled = tuple(lead.billing or LeadBilling(lead_id=lead.lead_id, state=BillingState.DRAFT) for lead in valid)
    to_credit = tuple(one for one in settled if _credited(one, done, foreseen=foreseen))
    not_charged = tuple(one.lead_id for one in settled if _not_charged(one, done, foreseen=foreseen))
    before = tuple(one.lead_id for one in settled if one.state is BillingState.CREDITED and one not in to_credit)
    said = {*not_charged, *before, *(one.lead_id for one in to_credit)}
    return Answer(
        not_charged=not_charged,
        credits=_by_note(case_id, to_credit, done),
        credited_before=before,
        pending=tuple(one.lead_id for one in settled if one.lead_id not in said),
        refused=tuple(refused),
    )


def _credited(lead: LeadBilling, done: Done, *, foreseen: bool) -> bool:
    if lead.gross is None or not lead.invoice_id:
        return False
    if lead.state in {BillingState.ISSUED, BillingState.PAID}:
        return foreseen or lead.lead_id in done.credited
    return lead.state is BillingState.CREDITED and lead.lead_id in done.credited  # read again after our own note


def _not_charged(lead: LeadBilling, done: Done, *, foreseen: bool) -> bool:
    unbilled = lead.state in {BillingState.UNBILLED, BillingState.VOIDED}
    return not done.not_listed and (unbilled or (foreseen and lead.state is BillingState.DRAFT))


def _by_note(case_id: str, leads: Sequence[LeadBilling], done: Done) -> tuple[Credit, ...]:
    by_number: dict[str, list[LeadBilling]] = {}
    for lead in leads:
        by_number.setdefault(_number(case_id, lead, done), []).append(lead)
    return tuple(_credit(number, on_it, done) for number, on_it in by_number.items())


def _number(case_id: str, lead: LeadBilling, done: Done) -> str:
    """An invoice may have several notes of one case: each confirmation makes its own."""
    known = done.credited.get(lead.lead_id) or done.drafts.get(lead.invoice_id)
    return known or ids.credit_note_number(case_id, lead.invoice_number, done.turn)


def _credit(number: str, leads: Sequence[LeadBilling], done: Done) -> Credit:
    first = leads[0]
    return Credit(
        number=number,
        authorised=first.lead_id in done.credited,
        invoice_number=first.invoice_number,
        currency=first.currency,
        paid=number in done.paid or any(lead.state is BillingState.PAID for lead in leads),
        leads=tuple(CreditedLead(lead_id=lead.lead_id, gross=lead.gross or Decimal(0)) for lead in leads),
    )
