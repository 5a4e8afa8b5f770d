from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.books import BookLine, CreditNote, Invoice, InvoiceStatus, NoteStatus
from domain.gate import LeadRow
from domain.money import Money
from domain.return_lead import BillingState, LeadBilling
from domain.rules.billing import bill, credit_note, named, same_note, share

PENNIES = st.integers(-100_000_000, 100_000_000).map(lambda pennies: Decimal(pennies) / 100)


def lead(lead_id: str = "L-1001", price: str | None = "40.00") -> LeadRow:
    money = Money(amount=Decimal(price)) if price is not None else None
    return LeadRow(lead_id=lead_id, client_id="C-1", price=money, received_at=datetime(2026, 3, 1, tzinfo=UTC))


def line(description: str, net: str = "40.00", tax: str = "8.00") -> BookLine:
    return BookLine(
        line_id="line", description=description, net=Decimal(net), tax=Decimal(tax), account_code="200", tax_type="OUT"
    )


def invoice(
    *lines: BookLine, number: str = "INV-1", status: InvoiceStatus = InvoiceStatus.ISSUED, on: date = date(2026, 3, 31)
) -> Invoice:
    return Invoice(
        invoice_id=f"id-{number}",
        number=number,
        contact_id="c",
        status=status,
        currency="GBP",
        issued_on=on,
        lines=lines,
    )


def note(*lines: BookLine, number: str = "CN-1", status: NoteStatus = NoteStatus.AUTHORISED) -> CreditNote:
    return CreditNote(number=number, contact_id="c", currency="GBP", reference="INV-1", lines=lines, status=status)


def billed(*invoices: Invoice, notes: tuple[CreditNote, ...] = (), row: LeadRow | None = None) -> LeadBilling:
    (one,) = bill([row or lead()], invoices, notes)
    return one


@given(PENNIES, st.integers(1, 60))
@example(Decimal("0.01"), 3)
@example(Decimal("-100.00"), 3)
def test_the_shares_of_a_line_add_up_to_the_line(amount: Decimal, among: int) -> None:
    shares = [share(amount, position, among) for position in range(among)]
    assert sum(shares) == amount
    assert max(shares) - min(shares) <= Decimal("0.01")
    assert [abs(one) for one in shares] == sorted((abs(one) for one in shares), reverse=True)


@given(PENNIES, PENNIES, st.integers(1, 12))
def test_the_leads_of_a_line_are_billed_the_whole_line(net: Decimal, tax: Decimal, among: int) -> None:
    ids = [f"L-{1001 + n}" for n in range(among)]
    whole = line(" ".join(ids), str(net), str(tax))
    leads = bill([lead(one) for one in ids], [invoice(whole)], [])
    assert sum(one.gross or 0 for one in leads) == whole.gross
    assert sum(one.net or 0 for one in leads) == whole.net


@pytest.mark.clause("RL-5")
def test_a_lead_on_no_invoice_is_unbilled_at_the_price_it_came_with() -> None:
    one = billed(invoice(line("L-1002")))
    assert (one.state, one.gross, one.invoice_id, one.currency) == (BillingState.UNBILLED, Decimal("40.00"), "", "GBP")


def test_a_lead_without_a_price_has_no_amount() -> None:
    assert billed(row=lead(price=None)).gross is None


@pytest.mark.clause("RL-6")
@pytest.mark.parametrize(
    ("status", "state"),
    [
        (InvoiceStatus.DRAFT, BillingState.DRAFT),
        (InvoiceStatus.ISSUED, BillingState.ISSUED),
        (InvoiceStatus.PAID, BillingState.PAID),
    ],
)
def test_a_lead_is_billed_as_its_invoice_is(status: InvoiceStatus, state: BillingState) -> None:
    one = billed(invoice(line("Lead l\u20111001, kitchen"), status=status))
    assert (one.state, one.invoice_number, one.gross, one.net) == (state, "INV-1", Decimal("48.00"), Decimal("40.00"))
    assert (one.line_id, one.account_code, one.tax_type) == ("line", "200", "OUT")


def test_a_voided_invoice_leaves_the_lead_at_its_recorded_price() -> None:
    one = billed(invoice(line("L-1001", "99.00"), status=InvoiceStatus.VOIDED))
    assert (one.state, one.gross, one.invoice_id) == (BillingState.VOIDED, Decimal("40.00"), "")


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("weaker", [InvoiceStatus.VOIDED, InvoiceStatus.DRAFT])
def test_an_invoice_that_counts_is_preferred_whatever_the_order(weaker: InvoiceStatus, *, first: bool) -> None:
    counts = invoice(line("L-1001"), number="INV-9", on=date(2026, 1, 1))
    other = invoice(line("L-1001"), number="INV-8", status=weaker, on=date(2026, 2, 1))
    assert billed(*((counts, other) if first else (other, counts))).invoice_number == "INV-9"


@pytest.mark.parametrize("status", [NoteStatus.DRAFT, NoteStatus.AUTHORISED])
def test_a_lead_that_a_note_names_is_credited(status: NoteStatus) -> None:
    one = billed(invoice(line("L-1001")), notes=(note(line("Returned lead L-1001"), status=status),))
    assert one.state is BillingState.CREDITED


def test_a_voided_note_credits_nothing() -> None:
    notes = (note(line("Returned lead L-1001"), status=NoteStatus.VOIDED),)
    assert billed(invoice(line("L-1001")), notes=notes).state is BillingState.ISSUED


def test_a_lead_named_twice_on_a_line_has_one_share() -> None:
    assert named(line("L-1001 and L-1002 (L-1001 again)")) == ("L-1001", "L-1002")
    assert billed(invoice(line("L-1001 and L-1002 (L-1001 again)"))).gross == Decimal("24.00")


def test_a_credit_note_has_a_line_a_lead_and_the_books_own_codes() -> None:
    leads = bill([lead("L-1001"), lead("L-1002")], [invoice(line("L-1001, L-1002", "33.33", "6.67"))], [])
    made = credit_note("RL-1", "c", leads)
    assert (made.number, made.reference, made.total) == ("RL-1", "INV-1", Decimal("40.00"))
    assert [(one.description, one.gross, one.account_code, one.tax_type) for one in made.lines] == [
        ("Returned lead L-1001", Decimal("20.00"), "200", "OUT"),
        ("Returned lead L-1002", Decimal("20.00"), "200", "OUT"),
    ]


WANTED = note(line("Returned lead L-1001"), line("Returned lead L-1002", "10.00", "2.00"))


def test_the_same_note_is_known_whatever_the_order_of_its_lines_and_its_state() -> None:
    turned = [one.model_copy(update={"line_id": "theirs", "tax_type": "other"}) for one in reversed(WANTED.lines)]
    found = WANTED.model_copy(update={"lines": tuple(turned), "note_id": "n", "status": NoteStatus.DRAFT})
    assert same_note(WANTED, found)


@pytest.mark.parametrize(
    "change",
    [
        {"contact_id": "another"},
        {"reference": "INV-2"},
        {"currency": "EUR"},
        {"status": NoteStatus.VOIDED},
        {"lines": WANTED.lines[:1]},
        {"lines": (*WANTED.lines, WANTED.lines[0])},
        {"lines": (line("Returned lead L-1003"), WANTED.lines[1])},
        {"lines": (line("Returned lead L-1001", "40.01", "7.99"), WANTED.lines[1])},
        {"lines": (line("Returned lead L-1001", "10.00", "2.00"), line("Returned lead L-1002"))},
    ],
)
def test_a_note_that_differs_in_anything_of_weight_is_another(change: dict[str, object]) -> None:
    assert not same_note(WANTED, WANTED.model_copy(update=change))
