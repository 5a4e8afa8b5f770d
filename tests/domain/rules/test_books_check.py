"""Promises against the books, and credit notes against confirmations: by amounts, per currency."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from domain.books import BookLine, CreditNote, Invoice, InvoiceStatus, NoteStatus
from domain.books_check import Confirmed, Promise
from domain.rules.books_check import charges, unconfirmed

PROMISE = Promise(lead_id="L-1001", case_id="return-lead/1")
OURS = "RL-0123456789AB"


def line(text: str, net: str = "50.00", tax: str = "10.00") -> BookLine:
    return BookLine(description=text, net=Decimal(net), tax=Decimal(tax))


def invoice(*lines: BookLine, number: str = "INV-1", status: InvoiceStatus = InvoiceStatus.ISSUED) -> Invoice:
    return Invoice(
        invoice_id=number, number=number, contact_id="c", status=status, currency="GBP",
        issued_on=date(2026, 11, 1), lines=lines,
    )  # fmt: skip


def note(*lines: BookLine, status: NoteStatus = NoteStatus.AUTHORISED, **changes: Any) -> CreditNote:
    plain = CreditNote(
        number="CN-1", contact_id="c", currency="GBP", reference="INV-1", lines=lines, status=status, note_id="n"
    )
    return plain.model_copy(update=changes)


@pytest.mark.clause("RL-11")
@pytest.mark.parametrize("status", [InvoiceStatus.DRAFT, InvoiceStatus.ISSUED, InvoiceStatus.PAID])
def test_a_promised_lead_on_a_live_invoice_is_charged(status: InvoiceStatus) -> None:
    (found,) = charges([PROMISE], [invoice(line("Lead L-1001"), status=status)], [])
    assert (found.lead_id, found.state, found.gross, found.invoices) == ("L-1001", status, Decimal("60.00"), ("INV-1",))


@pytest.mark.parametrize(
    "lines", [(line("Lead L-1002"),), (line("Lead L-1001", "0", "0"),), (line("Lead L-10011"),)], ids=str
)
def test_another_lead_or_a_line_for_nothing_is_no_charge(lines: tuple[BookLine, ...]) -> None:
    assert charges([PROMISE], [invoice(*lines)], []) == ()


def test_a_voided_invoice_is_no_charge() -> None:
    assert charges([PROMISE], [invoice(line("Lead L-1001"), status=InvoiceStatus.VOIDED)], []) == ()


@pytest.mark.clause("RL-12")
@pytest.mark.parametrize(
    ("notes", "left"),
    [
        ([note(line("L-1001"))], None),
        ([note(line("L-1001"), status=NoteStatus.DRAFT)], "60.00"),
        ([note(line("L-1001"), status=NoteStatus.VOIDED)], "60.00"),
        ([note(line("L-1001", "49.99", "10.00"))], "0.01"),
        ([note(line("L-1002"))], "60.00"),
        ([note(line("L-1001"), currency="EUR")], "60.00"),
        ([note(line("L-1001 and L-1002", "100.00", "20.00"))], None),
    ],
)
def test_only_authorised_credit_over_all_of_it_makes_it_good(notes: list[CreditNote], left: str | None) -> None:
    found = charges([PROMISE], [invoice(line("Lead L-1001"))], notes)
    assert [one.gross for one in found] == ([Decimal(left)] if left else [])


def test_a_lead_on_two_invoices_needs_both_made_good() -> None:
    two = [invoice(line("L-1001")), invoice(line("L-1001"), number="INV-2", status=InvoiceStatus.PAID)]
    (found,) = charges([PROMISE], two, [note(line("L-1001"))])
    assert (found.gross, found.state, found.invoices) == (Decimal("60.00"), InvoiceStatus.PAID, ("INV-1", "INV-2"))


@pytest.mark.clause("RL-13")
def test_a_note_is_reported_for_the_leads_that_nobody_confirmed() -> None:
    (found,) = unconfirmed([note(line("L-1001 and L-1002"))], Confirmed(lead_ids=frozenset({"L-1001"})))
    assert found.lead_ids == ("L-1002",)


@pytest.mark.clause("RL-13")
def test_a_note_with_a_number_like_ours_is_reported_unless_it_is_ours() -> None:
    plain = note(line("Goodwill"), number=OURS)
    assert [one.number for one in unconfirmed([plain], Confirmed())] == [OURS]
    assert unconfirmed([plain], Confirmed(numbers=frozenset({OURS}))) == ()


@pytest.mark.parametrize("harmless", [note(line("Goodwill")), note(line("L-1001"), status=NoteStatus.VOIDED)], ids=str)
def test_what_is_not_about_leads_or_was_voided_is_not_reported(harmless: CreditNote) -> None:
    assert unconfirmed([harmless], Confirmed()) == ()
