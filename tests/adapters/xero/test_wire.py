"""The shapes against Xero's own client library, which is generated from Xero's OpenAPI description."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError
from xero_python.accounting import models as theirs

from adapters.xero import wire
from domain.books import BookLine, CreditNote
from simulators import xero_rules
from simulators.xero import XeroSimulator

ACME = "430fa14a-f945-44d3-9f97-5df5e28441b8"
SEED: dict[str, Any] = {
    "Contact": {"ContactID": ACME, "Name": "Acme"},
    "LineItems": [{"Description": "Lead", "UnitAmount": 10}],
}
EXTRAS = {"DateString"}  # sent by Xero beside Date; its client library leaves it out


def names_of(model: type[Any]) -> set[str]:
    return set(model.attribute_map.values())


def aliases_of(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


@pytest.mark.parametrize(
    ("ours", "model"),
    [
        (wire.WireInvoice, theirs.Invoice),
        (wire.WireCreditNote, theirs.CreditNote),
        (wire.WireLine, theirs.LineItem),
        (wire.WireContact, theirs.Contact),
        (wire.WirePages, theirs.Pagination),
        (xero_rules.InvoiceIn, theirs.Invoice),
        (xero_rules.CreditNoteIn, theirs.CreditNote),
        (xero_rules.LineIn, theirs.LineItem),
        (xero_rules.ContactIn, theirs.Contact),
    ],
)
def test_every_field_read_is_one_of_xeros(ours: type[BaseModel], model: type[Any]) -> None:
    assert aliases_of(ours) <= names_of(model)


def test_every_field_written_is_one_of_xeros() -> None:
    lines = (BookLine(description="Lead", net=Decimal(10), tax=Decimal(2)),)
    body = wire.new_note(CreditNote(number="CN", contact_id=ACME, currency="GBP", reference="I", lines=lines), "2", "T")
    assert set(body) <= names_of(theirs.CreditNote)
    assert set(body["LineItems"][0]) <= names_of(theirs.LineItem)
    assert set(body["Contact"]) <= names_of(theirs.Contact)


@pytest.mark.parametrize(("kind", "model"), [("invoices", theirs.Invoice), ("credit_notes", theirs.CreditNote)])
async def test_every_field_the_stand_in_answers_with_is_one_of_xeros(kind: str, model: type[Any]) -> None:
    (document,) = XeroSimulator().seed(**{kind: [SEED]})[kind]
    assert set(document) - EXTRAS <= names_of(model)
    assert set(document["LineItems"][0]) <= names_of(theirs.LineItem)


def test_the_statuses_are_xeros() -> None:
    assert set(wire._NOTE_STATUS) == {"DRAFT", "SUBMITTED", "DELETED", "AUTHORISED", "PAID", "VOIDED"}
    assert set(wire._INVOICE_STATUS) == set(wire._NOTE_STATUS)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("/Date(1539993600000+0000)/", date(2018, 10, 20)),
        ("/Date(1552326816230)/", date(2019, 3, 11)),
        ("/Date(-86400000+0000)/", date(1969, 12, 31)),
        ("/Date(1539993600000+1300)/", date(2018, 10, 20)),
    ],
)
def test_a_date_is_read_in_utc(text: str, day: date) -> None:
    assert TypeAdapter(wire.Day).validate_python(text) == day


@pytest.mark.parametrize("text", ["2018-10-20", "/Date()/", "/Date(999999999999999)/", "", None, 5])
def test_what_is_no_date_is_refused(text: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(wire.Day).validate_python(text)


def test_what_xero_leaves_empty_is_read_as_absent() -> None:
    line = wire.WireLine.model_validate({"Description": "only text", "LineAmount": None, "TaxType": None})
    assert (line.line_amount, line.tax_type) == (0, "")


@pytest.mark.parametrize("amount", [Decimal("1e13"), Decimal("1e-11"), "NaN", True, [1]])
def test_an_amount_that_cannot_be_money_is_refused(amount: object) -> None:
    with pytest.raises(ValidationError):
        wire.WireLine.model_validate({"LineAmount": amount})
