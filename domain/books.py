"""What the books (Xero) say about invoices and credit notes, in the agency's words."""

from datetime import date
from decimal import Decimal
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from domain.money import Currency


class InvoiceStatus(StrEnum):
    DRAFT = "draft"  # DRAFT or SUBMITTED: not yet issued
    ISSUED = "issued"  # AUTHORISED
    PAID = "paid"
    VOIDED = "voided"  # VOIDED or DELETED


class NoteStatus(StrEnum):
    DRAFT = "draft"
    AUTHORISED = "authorised"  # AUTHORISED or PAID (fully allocated)
    VOIDED = "voided"


class BookLine(BaseModel):
    """One line of an invoice or credit note. Amounts are totals of the line, gross = net + tax."""

    model_config = ConfigDict(frozen=True)
    line_id: str = ""
    description: str
    quantity: Decimal = Decimal(1)
    net: Decimal
    tax: Decimal = Decimal(0)
    account_code: str = ""  # as in the books; a credit note's line takes over those of the invoice's line
    tax_type: str = ""

    @property
    def gross(self) -> Decimal:
        return self.net + self.tax


class Invoice(BaseModel):
    model_config = ConfigDict(frozen=True)
    invoice_id: str
    number: str
    contact_id: str
    status: InvoiceStatus
    currency: Currency
    issued_on: date
    lines: tuple[BookLine, ...]


class CreditNote(BaseModel):
    """`number` is ours, set when drafting: the key by which a note is read back. `reference` names the invoice it
    credits.
    """

    model_config = ConfigDict(frozen=True)
    number: str
    contact_id: str
    currency: Currency
    reference: str
    lines: tuple[BookLine, ...]
    status: NoteStatus = NoteStatus.DRAFT
    note_id: str = ""
    remaining: Decimal | None = None  # not yet allocated or refunded; None: the books did not say

    @property
    def total(self) -> Decimal:
        return sum((line.gross for line in self.lines), Decimal(0))
