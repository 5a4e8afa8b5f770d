"""Xero's Accounting API 2.0 on the wire, and its translation into the agency's words."""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from domain.books import BookLine, CreditNote, Invoice, InvoiceStatus, NoteStatus
from domain.money import CURRENCIES, Currency

NO_TAX = "NONE"

Word = TypeVar("Word")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE = re.compile(r"/Date\((-?\d{1,15})(?:[+-]\d{4})?\)/")
_GUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_UNIT_STEP = Decimal("0.0001")
_LARGEST = Decimal(10**10)

_INVOICE_STATUS = {
    "DRAFT": InvoiceStatus.DRAFT,
    "SUBMITTED": InvoiceStatus.DRAFT,
    "AUTHORISED": InvoiceStatus.ISSUED,
    "PAID": InvoiceStatus.PAID,
    "VOIDED": InvoiceStatus.VOIDED,
    "DELETED": InvoiceStatus.VOIDED,
}
_NOTE_STATUS = {
    "DRAFT": NoteStatus.DRAFT,
    "SUBMITTED": NoteStatus.DRAFT,
    "AUTHORISED": NoteStatus.AUTHORISED,
    "PAID": NoteStatus.AUTHORISED,
    "VOIDED": NoteStatus.VOIDED,
    "DELETED": NoteStatus.VOIDED,
}


class UnsupportedError(Exception):
    """Something that is well-formed in Xero and has no counterpart here; the message says what."""


def _day(value: object) -> date:
    found = _DATE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("not a date of Xero's")
    try:
        return (_EPOCH + timedelta(milliseconds=int(found[1]))).date()
    except OverflowError as error:
        raise ValueError("not a date of Xero's") from error


Number = Annotated[Decimal, Field(ge=-(10**12), le=10**12, max_digits=26, decimal_places=10)]
Day = Annotated[date, BeforeValidator(_day)]


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        return {name: value for name, value in cast("dict[str, object]", data).items() if value is not None}


class WireContact(_Wire):
    contact_id: str = Field(alias="ContactID")


class WireLine(_Wire):
    line_item_id: str = Field(alias="LineItemID", default="")
    description: str = Field(alias="Description", default="")
    quantity: Number = Field(alias="Quantity", default=Decimal(1))
    line_amount: Number = Field(alias="LineAmount", default=Decimal(0))
    tax_amount: Number = Field(alias="TaxAmount", default=Decimal(0))
    tax_type: str = Field(alias="TaxType", default="")
    account_code: str = Field(alias="AccountCode", default="")


class WireDocument(_Wire):
    type: str = Field(alias="Type")
    contact: WireContact = Field(alias="Contact")
    status: str = Field(alias="Status")
    currency_code: str = Field(alias="CurrencyCode")
    line_amount_types: Literal["Exclusive", "Inclusive", "NoTax"] = Field(alias="LineAmountTypes")
    line_items: tuple[WireLine, ...] = Field(alias="LineItems")
    total: Number = Field(alias="Total")
    reference: str = Field(alias="Reference", default="")

    def is_of(self, contact_id: str) -> bool:
        return self.contact.contact_id.lower() == contact_id.lower()


class WireInvoice(WireDocument):
    invoice_id: str = Field(alias="InvoiceID")
    invoice_number: str = Field(alias="InvoiceNumber", default="")
    date: Day = Field(alias="Date")


class WireCreditNote(WireDocument):
    credit_note_id: str = Field(alias="CreditNoteID")
    credit_note_number: str = Field(alias="CreditNoteNumber", default="")
    remaining_credit: Number | None = Field(alias="RemainingCredit", default=None)


class WirePages(_Wire):
    page_count: int | None = Field(alias="pageCount", default=None)


class WireListing(_Wire):
    """A page of documents; the key that was not asked for is empty."""

    invoices: tuple[WireInvoice, ...] = Field(alias="Invoices", default=())
    credit_notes: tuple[WireCreditNote, ...] = Field(alias="CreditNotes", default=())
    pagination: WirePages = Field(default_factory=WirePages)


def invoice(wire: WireInvoice) -> Invoice:
    """Raises UnsupportedError for a status or a currency that Holdfast does not know."""
    return Invoice(
        invoice_id=wire.invoice_id,
        number=wire.invoice_number,
        contact_id=wire.contact.contact_id,
        status=_known(_INVOICE_STATUS, wire.status),
        currency=_currency(wire.currency_code),
        issued_on=wire.date,
        lines=_lines(wire),
    )


def credit_note(wire: WireCreditNote) -> CreditNote:
    """Raises UnsupportedError for a status or a currency that Holdfast does not know."""
    return CreditNote(
        number=wire.credit_note_number,
        contact_id=wire.contact.contact_id,
        currency=_currency(wire.currency_code),
        reference=wire.reference,
        lines=_lines(wire),
        status=_known(_NOTE_STATUS, wire.status),
        note_id=wire.credit_note_id,
        remaining=wire.remaining_credit,
    )


def new_note(note: CreditNote, account_code: str, tax_type: str) -> dict[str, Any]:
    """The body that drafts a note; the same note gives the same bytes, as its idempotency key asks for.

    Amounts go without tax and the tax beside them, so that nothing is reckoned back: gross is exactly net + tax.
    `account_code` and `tax_type` stand in where a line has none. Raises UnsupportedError.
    """
    lines = [_new_line(line, account_code, tax_type) for line in note.lines]
    return {
        "Type": "ACCRECCREDIT",
        "Status": "DRAFT",
        "Contact": {"ContactID": note.contact_id},
        "CreditNoteNumber": note.number,
        "Reference": note.reference,
        "CurrencyCode": note.currency,
        "LineAmountTypes": "Exclusive",
        "LineItems": lines,
    }


def same_note(asked: CreditNote, stored: CreditNote) -> bool:
    """Whether the books hold what was asked for: number, contact, currency, reference, and each line's amounts."""
    return _essence(asked) == _essence(stored)


def as_guid(text: str) -> str:
    """In small letters. Raises UnsupportedError unless it is a GUID with hyphens, which is what goes into a `where`:
    in any other spelling it would be another client to whoever compares.
    """
    if not _GUID.fullmatch(text):
        raise UnsupportedError("the contact's id in the books is not a GUID")
    return text.lower()


def _essence(note: CreditNote) -> tuple[object, ...]:
    lines = [(line.description.split(), line.quantity, line.net, line.tax) for line in note.lines]
    return note.number, note.contact_id.lower(), note.currency, note.reference.split(), lines


def _new_line(line: BookLine, account_code: str, tax_type: str) -> dict[str, Any]:
    _check_exact(line)
    return {
        "Description": line.description,
        "Quantity": line.quantity,
        "UnitAmount": line.net / line.quantity,
        "LineAmount": line.net,
        "TaxType": line.tax_type or (tax_type if line.tax else NO_TAX),
        "TaxAmount": line.tax,
        "AccountCode": line.account_code or account_code,
    }


def _check_exact(line: BookLine) -> None:
    for amount in (line.net, line.tax, line.quantity):
        if not abs(amount) <= _LARGEST:
            raise UnsupportedError("an amount is out of range")
    for amount in (line.net, line.tax):
        if amount != round(amount, 2):
            raise UnsupportedError("an amount has more than two decimal places")
    if line.quantity <= 0 or line.quantity != round(line.quantity, 4):
        raise UnsupportedError("a quantity is not positive, or has more than four decimal places")
    unit = line.net / line.quantity
    if unit != unit.quantize(_UNIT_STEP) or unit * line.quantity != line.net:
        raise UnsupportedError("a line's amount is not its quantity times a price of at most four decimal places")


def _lines(wire: WireDocument) -> tuple[BookLine, ...]:
    return tuple(_line(line, inclusive=wire.line_amount_types == "Inclusive") for line in wire.line_items)


def _line(line: WireLine, *, inclusive: bool) -> BookLine:
    return BookLine(
        line_id=line.line_item_id,
        description=line.description,
        quantity=line.quantity,
        net=line.line_amount - line.tax_amount if inclusive else line.line_amount,
        tax=line.tax_amount,
        account_code=line.account_code,
        tax_type=line.tax_type,
    )


def sums_up(wire: WireDocument) -> bool:
    """Whether the lines account for the total; a person may have set a total that they do not make."""
    return _gross(_lines(wire)) == wire.total


def _gross(lines: Iterable[BookLine]) -> Decimal:
    return sum((line.gross for line in lines), Decimal(0))


def _known(words: dict[str, Word], status: str) -> Word:
    if status not in words:
        raise UnsupportedError("a status that Holdfast does not know")
    return words[status]


def _currency(code: str) -> Currency:
    for currency in CURRENCIES:
        if currency == code:
            return currency
    raise UnsupportedError("a currency that Holdfast does not keep")
