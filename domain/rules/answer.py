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
    """The credit note of one invoice; amounts are gross."""

    number: str
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


class Done(Model):
    """What was done outside so far: credit notes by invoice id, authorised ones, whether the listing was given up."""

    notes: Mapping[str, str] = {}
    turn: int = 1  # the confirmation that the other notes rest on
    authorised: frozenset[str] = frozenset()
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
        credits=_by_invoice(case_id, to_credit, done),
        credited_before=before,
        pending=tuple(one.lead_id for one in settled if one.lead_id not in said),
        refused=tuple(refused),
    )


def _credited(lead: LeadBilling, done: Done, *, foreseen: bool) -> bool:
    if lead.gross is None or not lead.invoice_id:
        return False
    if lead.state in {BillingState.ISSUED, BillingState.PAID}:
        return foreseen or lead.invoice_id in done.authorised
    return lead.state is BillingState.CREDITED and lead.invoice_id in done.authorised  # read again after our own note


def _not_charged(lead: LeadBilling, done: Done, *, foreseen: bool) -> bool:
    unbilled = lead.state in {BillingState.UNBILLED, BillingState.VOIDED}
    return not done.not_listed and (unbilled or (foreseen and lead.state is BillingState.DRAFT))


def _by_invoice(case_id: str, leads: Sequence[LeadBilling], done: Done) -> tuple[Credit, ...]:
    invoices = dict.fromkeys(lead.invoice_id for lead in leads)
    return tuple(_credit(case_id, [one for one in leads if one.invoice_id == invoice], done) for invoice in invoices)


def _credit(case_id: str, leads: Sequence[LeadBilling], done: Done) -> Credit:
    first = leads[0]
    return Credit(
        number=done.notes.get(first.invoice_id) or ids.credit_note_number(case_id, first.invoice_number, done.turn),
        invoice_number=first.invoice_number,
        currency=first.currency,
        paid=any(lead.state is BillingState.PAID for lead in leads),
        leads=tuple(CreditedLead(lead_id=lead.lead_id, gross=lead.gross or Decimal(0)) for lead in leads),
    )
