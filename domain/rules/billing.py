"""How a lead is billed, read out of the books (RL-5, RL-6, RL-11, RL-12).

A lead belongs to the invoice line whose description names it. A line that names several leads is shared equally,
pennies
going to the first ones, so that the shares of a line always add up to the line.
"""

from collections.abc import Iterable, Sequence
from decimal import ROUND_DOWN, Decimal

from domain.books import BookLine, CreditNote, Invoice, InvoiceStatus, NoteStatus
from domain.gate import LeadRow
from domain.mail import lead_ids_in
from domain.return_lead import BillingState, LeadBilling, billing_state

PENNY = Decimal("0.01")


def named(line: BookLine) -> tuple[str, ...]:
    """The leads a line of the books is about, each once."""
    return tuple(dict.fromkeys(lead_ids_in(line.description)))


def share(amount: Decimal, position: int, among: int) -> Decimal:
    """The `position`-th of `among` shares of an amount in pennies, be it negative; the shares add up to the amount."""
    each = (amount / among).quantize(PENNY, rounding=ROUND_DOWN)
    extra = int((amount - each * among) / PENNY)
    return each + (PENNY.copy_sign(amount) if position < abs(extra) else Decimal(0))


def bill(leads: Sequence[LeadRow], invoices: Iterable[Invoice], notes: Iterable[CreditNote]) -> tuple[LeadBilling, ...]:
    """How each lead is billed now. `gbp` is left open: rates are the authority rules' business."""
    placed = _places(invoices)
    credited = {
        lead for note in notes if note.status is not NoteStatus.VOIDED for line in note.lines for lead in named(line)
    }
    return tuple(_one(lead, placed.get(lead.lead_id), lead.lead_id in credited) for lead in leads)


def _places(invoices: Iterable[Invoice]) -> dict[str, tuple[Invoice, BookLine]]:
    """Where each lead stands; an invoice that counts is preferred to a draft, and both to a voided one."""
    rank = {InvoiceStatus.VOIDED: 0, InvoiceStatus.DRAFT: 1, InvoiceStatus.ISSUED: 2, InvoiceStatus.PAID: 3}
    places: dict[str, tuple[Invoice, BookLine]] = {}
    for invoice in sorted(invoices, key=lambda one: (rank[one.status], one.issued_on)):
        for line in invoice.lines:
            places.update(dict.fromkeys(named(line), (invoice, line)))
    return places


def _one(lead: LeadRow, place: tuple[Invoice, BookLine] | None, credited: bool) -> LeadBilling:
    if place is None or place[0].status is InvoiceStatus.VOIDED:
        price = lead.price
        return LeadBilling(
            lead_id=lead.lead_id,
            state=BillingState.UNBILLED if place is None else BillingState.VOIDED,
            gross=price.amount if price else None,
            currency=price.currency if price else "GBP",
        )
    invoice, line = place
    on_line = named(line)
    position, among = on_line.index(lead.lead_id), len(on_line)
    return LeadBilling(
        lead_id=lead.lead_id,
        state=BillingState.CREDITED if credited else billing_state(invoice.status),
        invoice_id=invoice.invoice_id,
        invoice_number=invoice.number,
        line_id=line.line_id,
        account_code=line.account_code,
        tax_type=line.tax_type,
        gross=share(line.gross, position, among),
        net=share(line.net, position, among),
        currency=invoice.currency,
    )


def credit_note(number: str, contact_id: str, leads: Sequence[LeadBilling]) -> CreditNote:
    """The credit note for exactly these leads of one invoice: a line a lead, gross to the penny."""
    first = leads[0]
    lines = tuple(
        BookLine(
            description=f"Returned lead {lead.lead_id}",
            net=lead.net or Decimal(0),
            tax=(lead.gross or Decimal(0)) - (lead.net or Decimal(0)),
            account_code=lead.account_code,
            tax_type=lead.tax_type,
        )
        for lead in leads
    )
    return CreditNote(
        number=number, contact_id=contact_id, currency=first.currency, reference=first.invoice_number, lines=lines
    )


def same_note(wanted: CreditNote, found: CreditNote) -> bool:
    """Whether a note in the books is the one we mean: contact, invoice, currency, lines and total."""

    def core(note: CreditNote) -> tuple[object, ...]:
        lines = sorted((line.description.strip(), line.net, line.tax) for line in note.lines)
        return (note.contact_id, note.reference, note.currency, lines, note.total)

    return found.status is not NoteStatus.VOIDED and core(wanted) == core(found)
