"""How the simulated books reckon and filter: lines, totals, dates, `where`."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from operator import eq, ge, gt, le, lt, ne
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

RATES = {
    "OUTPUT2": Decimal(20),
    "RROUTPUT": Decimal(5),
    "ZERORATEDOUTPUT": Decimal(0),
    "EXEMPTOUTPUT": Decimal(0),
    "NONE": Decimal(0),
}
_CENT = Decimal("0.01")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {"==": eq, "!=": ne, ">=": ge, "<=": le, ">": gt, "<": lt}
_CLAUSE = re.compile(r"\s*([A-Za-z.]+)\s*(==|!=|>=|<=|>|<)\s*(.+?)\s*")
_DATE_LITERAL = re.compile(r"DateTime\(\s*(\d{4})\s*,\s*(\d{1,2})\s*,\s*(\d{1,2})\s*\)")
_GUID_LITERAL = re.compile(r'[Gg]uid\("([0-9A-Fa-f-]{36})"\)')
_TEXT_LITERAL = re.compile(r'"([^"\\]*)"')


class InvalidError(Exception):
    """A validation error of Xero; the message is what its pages would show."""


class UnreadableError(Exception):
    """A `where` that Xero can't parse."""


def _exact(value: object) -> object:
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _plain_date(value: object) -> object:
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        raise ValueError("a date is YYYY-MM-DD")
    return date.fromisoformat(value)


Number = Annotated[Decimal, BeforeValidator(_exact)]
Day = Annotated[date, BeforeValidator(_plain_date)]


class Wire(BaseModel):
    """What a client may send; Xero skips fields that it does not know, the stand-in refuses them."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ContactIn(Wire):
    ContactID: str
    Name: str | None = None


class LineIn(Wire):
    LineItemID: str | None = None
    Description: str = Field(min_length=1, max_length=4000)
    Quantity: Number | None = None
    UnitAmount: Number | None = None
    LineAmount: Number | None = None
    TaxType: str | None = None
    TaxAmount: Number | None = None
    AccountCode: str | None = None


class DocumentIn(Wire):
    Type: str | None = None
    Reference: str | None = None
    Contact: ContactIn | None = None
    Date: Day | None = None
    Status: Literal["DRAFT", "SUBMITTED", "AUTHORISED", "PAID", "VOIDED", "DELETED"] | None = None
    CurrencyCode: Literal["GBP", "EUR", "USD", "AUD"] | None = None
    LineAmountTypes: Literal["Exclusive", "Inclusive", "NoTax"] | None = None
    LineItems: list[LineIn] | None = Field(default=None, min_length=1)


class InvoiceIn(DocumentIn):
    InvoiceID: str | None = None
    InvoiceNumber: str | None = None


class CreditNoteIn(DocumentIn):
    CreditNoteID: str | None = None
    CreditNoteNumber: str | None = Field(default=None, max_length=255)


def read_fields(kind: str, document: object) -> dict[str, Any]:
    """The fields that were given, checked. Raises InvalidError with the first thing wrong."""
    model = CreditNoteIn if kind == "CreditNotes" else InvoiceIn
    try:
        return model.model_validate(document).model_dump(exclude_none=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidError(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from error


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(_CENT, ROUND_HALF_UP)


def reckoned(line: Mapping[str, Any], line_id: str, amount_types: str, places: int) -> dict[str, Any]:
    """One line as Xero stores it, its amount and tax worked out. Raises InvalidError."""
    quantity, unit, amount = _amounts(line, places)
    tax_type = line.get("TaxType") or ("NONE" if amount_types == "NoTax" else "OUTPUT2")
    return {
        "LineItemID": line_id,
        "Description": line["Description"],
        "Quantity": quantity,
        "UnitAmount": unit,
        "LineAmount": amount,
        "TaxType": tax_type,
        "TaxAmount": _tax(line, amount, tax_type, amount_types),
        "AccountCode": line.get("AccountCode", ""),
        "Tracking": [],
    }


def totals(document: Mapping[str, Any]) -> dict[str, Decimal]:
    lines = document["LineItems"]
    tax = sum((line["TaxAmount"] for line in lines), Decimal(0))
    amounts = sum((line["LineAmount"] for line in lines), Decimal(0))
    net = amounts - tax if document["LineAmountTypes"] == "Inclusive" else amounts
    return {"SubTotal": cents(net), "TotalTax": cents(tax), "Total": cents(net + tax)}


def xero_date(day: date) -> str:
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return f"/Date({int((moment - _EPOCH).total_seconds()) * 1000}+0000)/"


def xero_now() -> str:
    return f"/Date({int(datetime.now(UTC).timestamp() * 1000)}+0000)/"


def day_of(document: Mapping[str, Any]) -> date:
    return date.fromisoformat(document["DateString"][:10])


def guid(value: object) -> str:
    try:
        return str(UUID(str(value)))
    except ValueError as error:
        raise InvalidError("not a valid GUID") from error


def selector(where: str) -> Callable[[Mapping[str, Any]], bool]:
    """A filter from Xero's `where`: comparisons joined by AND. Raises UnreadableError."""
    tests = [_clause(clause) for clause in re.split(r"\s+AND\s+", where.strip())] if where.strip() else []
    return lambda document: all(test(document) for test in tests)


def _clause(text: str) -> Callable[[Mapping[str, Any]], bool]:
    found = _CLAUSE.fullmatch(text)
    if found is None:
        raise UnreadableError(f"cannot parse: {text}")
    name, sign, literal = found.groups()
    value = _literal(literal)
    return lambda document: _COMPARE[sign](_field(document, name), value)


def _literal(text: str) -> object:
    if day := _DATE_LITERAL.fullmatch(text):
        try:
            return date(*(int(part) for part in day.groups()))
        except ValueError as error:
            raise UnreadableError("not a date") from error
    if identifier := _GUID_LITERAL.fullmatch(text):
        return guid(identifier[1])
    if words := _TEXT_LITERAL.fullmatch(text):
        return words[1]
    raise UnreadableError(f"cannot parse: {text}")


def _field(document: Mapping[str, Any], name: str) -> object:
    if name == "Date":
        return day_of(document)
    value: Any = document
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise UnreadableError(f"No property or field '{name}' exists")
        value = value[part]  # pyright: ignore[reportUnknownVariableType]
    return value  # pyright: ignore[reportUnknownVariableType]


def _amounts(line: Mapping[str, Decimal | None], places: int) -> tuple[Decimal, Decimal, Decimal]:
    quantity = line.get("Quantity")
    quantity = Decimal("1.0000") if quantity is None else quantity.quantize(Decimal("0.0001"), ROUND_HALF_UP)
    unit, amount = line.get("UnitAmount"), line.get("LineAmount")
    step = Decimal(1).scaleb(-places)
    if unit is None:
        if amount is None:
            return quantity, Decimal("0.00"), Decimal("0.00")
        return quantity, (amount / (quantity or 1)).quantize(step, ROUND_HALF_UP), cents(amount)
    unit = unit.quantize(step, ROUND_HALF_UP)
    expected = cents(quantity * unit)
    if amount is not None and amount != expected:
        raise InvalidError(f"The line total {amount} does not match the expected line total {expected}")
    return quantity, unit, expected


def _tax(line: Mapping[str, Any], amount: Decimal, tax_type: str, amount_types: str) -> Decimal:
    if tax_type not in RATES:
        raise InvalidError(
            f"The TaxType code '{tax_type}' does not exist or cannot be used for this type of transaction"
        )
    rate = Decimal(0) if amount_types == "NoTax" else RATES[tax_type]
    given: Decimal | None = line.get("TaxAmount")
    if given is None:
        return cents(amount * rate / (100 + rate if amount_types == "Inclusive" else 100))
    if rate == 0 and given != 0:
        raise InvalidError(f"The tax amount must be zero for the TaxType {tax_type}")
    return cents(given)
