from collections.abc import AsyncIterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.xero.books import XeroBooks
from domain.books import BookLine, CreditNote, InvoiceStatus, NoteStatus
from domain.errors import Permanent, Retryable, Unclear, VendorError
from simulators.xero import XeroSimulator, xero_simulator

ACME = "430fa14a-f945-44d3-9f97-5df5e28441b8"
OTHER = "a3675fc4-f8dd-4f03-ba5b-f1870566bcd7"
QUICK = timedelta(seconds=1)
SINCE = date(2026, 1, 1)


def invoice(number: str, contact: str = ACME, **fields: object) -> dict[str, Any]:
    lines = [{"Description": "4 leads", "Quantity": 4, "UnitAmount": Decimal("25.50"), "AccountCode": "200"}]
    usual = {"Date": "2026-03-31", "Status": "AUTHORISED", "LineItems": lines}
    return {"InvoiceNumber": number, "Contact": {"ContactID": contact}, **usual, **fields}


def note(number: str = "HF-CN-1", **fields: Any) -> CreditNote:
    lines = (
        BookLine(description="Lead L-1", net=Decimal("33.33"), tax=Decimal("6.67"), account_code="210"),
        BookLine(description="Lead L-2", net=Decimal("12.00"), tax_type="ZERORATEDOUTPUT"),
    )
    usual: dict[str, Any] = {"contact_id": ACME, "currency": "GBP", "reference": "INV-1", "lines": lines}
    return CreditNote(number=number, **(usual | fields))


def amounts(stored: CreditNote) -> list[tuple[Decimal, Decimal, Decimal]]:
    return [(line.quantity, line.net, line.tax) for line in stored.lines]


@pytest.fixture
async def xero() -> AsyncIterator[XeroSimulator]:
    async with xero_simulator() as simulator:
        simulator.seed(contacts=[{"ContactID": ACME, "Name": "Acme Ltd"}, {"ContactID": OTHER, "Name": "Other Ltd"}])
        yield simulator


@pytest.fixture
async def books(xero: XeroSimulator) -> AsyncIterator[XeroBooks]:
    adapter = XeroBooks(xero.url, xero.tenant, xero.token, timeout=QUICK)
    yield adapter
    await adapter.aclose()


async def test_invoices_come_with_lines_amounts_and_status(xero: XeroSimulator, books: XeroBooks) -> None:
    xero.seed(invoices=[invoice("INV-1")])
    (found,) = await books.invoices(ACME, SINCE)
    (line,) = found.lines
    assert (found.number, found.contact_id, found.status) == ("INV-1", ACME, InvoiceStatus.ISSUED)
    assert (found.currency, found.issued_on) == ("GBP", date(2026, 3, 31))
    assert (line.quantity, line.net, line.tax, line.gross) == (4, Decimal(102), Decimal("20.40"), Decimal("122.40"))
    assert (line.account_code, line.tax_type, bool(line.line_id)) == ("200", "OUTPUT2", True)


async def test_only_the_contacts_own_invoices_since_the_date(xero: XeroSimulator, books: XeroBooks) -> None:
    xero.seed(
        invoices=[
            invoice("INV-OLD", Date="2025-12-31"),
            invoice("INV-1", Date="2026-01-01"),
            invoice("INV-2"),
            invoice("INV-3", OTHER),
        ]
    )
    assert [one.number for one in await books.invoices(ACME, SINCE)] == ["INV-1", "INV-2"]


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        ("DRAFT", InvoiceStatus.DRAFT),
        ("SUBMITTED", InvoiceStatus.DRAFT),
        ("AUTHORISED", InvoiceStatus.ISSUED),
        ("PAID", InvoiceStatus.PAID),
        ("VOIDED", InvoiceStatus.VOIDED),
        ("DELETED", InvoiceStatus.VOIDED),
    ],
)
async def test_every_status_of_an_invoice_has_a_meaning(
    xero: XeroSimulator, books: XeroBooks, status: str, meaning: InvoiceStatus
) -> None:
    xero.seed(invoices=[invoice("INV-1")])
    xero.edit(op="set_invoice_status", number="INV-1", status=status)
    assert [one.status for one in await books.invoices(ACME, SINCE)] == [meaning]


@pytest.mark.parametrize(
    ("amount_types", "net", "tax"),
    [
        ("Exclusive", Decimal("102.00"), Decimal("20.40")),
        ("Inclusive", Decimal("85.00"), Decimal("17.00")),
        ("NoTax", Decimal("102.00"), Decimal(0)),
    ],
)
async def test_net_and_tax_are_told_apart_however_the_invoice_states_them(
    xero: XeroSimulator, books: XeroBooks, amount_types: str, net: Decimal, tax: Decimal
) -> None:
    xero.seed(invoices=[invoice("INV-1", LineAmountTypes=amount_types)])
    ((line,),) = [one.lines for one in await books.invoices(ACME, SINCE)]
    assert (line.net, line.tax) == (net, tax)


async def test_a_line_taken_off_in_xero_is_gone_when_read_afresh(xero: XeroSimulator, books: XeroBooks) -> None:
    lines = [{"Description": name, "UnitAmount": 10, "AccountCode": "200"} for name in ("L-1", "L-2")]
    xero.seed(invoices=[invoice("INV-1", Status="DRAFT", LineItems=lines)])
    (before,) = await books.invoices(ACME, SINCE)
    xero.edit(op="remove_invoice_line", number="INV-1", line_id=before.lines[0].line_id)
    (after,) = await books.invoices(ACME, SINCE)
    assert [line.description for line in after.lines] == ["L-2"]


async def test_many_invoices_and_notes_are_read_to_the_last_page(xero: XeroSimulator, books: XeroBooks) -> None:
    xero.seed(invoices=[invoice(f"INV-{n}") for n in range(201)])
    notes = [{"CreditNoteNumber": f"CN-{n}", **_seed_note()} for n in range(100)]
    xero.seed(credit_notes=notes)
    assert len(await books.invoices(ACME, SINCE)) == 201
    assert len(await books.credit_notes(ACME)) == 100
    assert [entry["query"]["page"] for entry in xero.ledger] == ["1", "2", "3", "1"]


async def test_paging_ends_where_the_answer_names_no_page_count(
    xero: XeroSimulator, books: XeroBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulators.xero._pagination", lambda *_: {})
    xero.seed(invoices=[invoice(f"INV-{n}") for n in range(101)])
    assert len(await books.invoices(ACME, SINCE)) == 101


async def test_a_drafted_note_is_what_was_asked_for(xero: XeroSimulator, books: XeroBooks) -> None:
    stored = await books.draft_credit_note(note(), "case-1/credit-note/0")
    (kept,) = xero.credit_notes
    assert (kept["Type"], kept["Status"], kept["CreditNoteNumber"]) == ("ACCRECCREDIT", "DRAFT", "HF-CN-1")
    assert (kept["Reference"], kept["CurrencyCode"], kept["Total"]) == ("INV-1", "GBP", Decimal("52.00"))
    assert [line["AccountCode"] for line in kept["LineItems"]] == ["210", "200"]
    assert [line["TaxType"] for line in kept["LineItems"]] == ["OUTPUT2", "ZERORATEDOUTPUT"]
    assert (stored.total, stored.status, stored.note_id) == (note().total, NoteStatus.DRAFT, kept["CreditNoteID"])
    assert amounts(stored) == amounts(note())
    assert xero.ledger[0]["headers"]["idempotency-key"] == "case-1/credit-note/0"


async def test_a_note_is_found_by_contact_and_by_number(books: XeroBooks) -> None:
    drafted = await books.draft_credit_note(note(), "k")
    assert await books.credit_note("HF-CN-1") == drafted
    assert await books.credit_notes(ACME) == (drafted,)
    assert await books.credit_notes(OTHER) == ()
    assert await books.credit_note("HF-CN-2") is None


async def test_the_same_key_and_note_make_one_note(xero: XeroSimulator, books: XeroBooks) -> None:
    first = await books.draft_credit_note(note(), "k")
    assert await books.draft_credit_note(note(), "k") == first
    assert [entry["outcome"] for entry in xero.ledger] == ["created", "replayed"]


async def test_the_same_key_with_another_note_is_refused(xero: XeroSimulator, books: XeroBooks) -> None:
    await books.draft_credit_note(note(), "k")
    with pytest.raises(Permanent) as caught:
        await books.draft_credit_note(note("HF-CN-2"), "k")
    assert (caught.value.code, len(xero.credit_notes)) == ("validation-exception", 1)


async def test_a_number_taken_is_refused_once_the_vendor_forgot_the_key(xero: XeroSimulator, books: XeroBooks) -> None:
    await books.draft_credit_note(note(), "k")
    xero.edit(op="forget_idempotency_keys")
    with pytest.raises(Permanent):
        await books.draft_credit_note(note(), "k")
    assert len(xero.credit_notes) == 1


async def test_a_draft_is_authorised_once(xero: XeroSimulator, books: XeroBooks) -> None:
    drafted = await books.draft_credit_note(note(), "k")
    authorised = await books.authorise_credit_note(note(), "k2")
    again = await books.authorise_credit_note(note(), "k3")
    assert authorised.status is NoteStatus.AUTHORISED
    assert (amounts(authorised), again) == (amounts(drafted), authorised)
    assert [entry["outcome"] for entry in xero.done()] == ["created", "updated"]


@pytest.mark.parametrize(
    "edited",
    [
        {"LineItems": [{"Description": "more", "UnitAmount": 400, "AccountCode": "200"}]},
        {"Contact": {"ContactID": OTHER}},
        {"Reference": "INV-9"},
    ],
    ids=["lines", "contact", "reference"],
)
async def test_a_draft_edited_between_looking_and_authorising_is_authorised_as_it_was_looked_at(
    xero: XeroSimulator, books: XeroBooks, edited: dict[str, Any]
) -> None:
    drafted = await books.draft_credit_note(note(), "k")
    xero.edit(op="edit_credit_note", number="HF-CN-1", set=edited)
    authorised = await books.authorise_credit_note(note(), "k2")
    assert (authorised.status, authorised.total, authorised.contact_id, authorised.reference) == (
        NoteStatus.AUTHORISED, drafted.total, drafted.contact_id, drafted.reference,
    )  # fmt: skip
    assert amounts(authorised) == amounts(drafted)


@pytest.mark.parametrize("status", ["VOIDED", "DELETED"])
async def test_a_voided_note_cannot_be_authorised(xero: XeroSimulator, books: XeroBooks, status: str) -> None:
    await books.draft_credit_note(note(), "k")
    xero.edit(op="set_credit_note_status", number="HF-CN-1", status=status)
    with pytest.raises(Permanent) as caught:
        await books.authorise_credit_note(note(), "k2")
    assert (caught.value.code, xero.credit_notes[0]["Status"]) == ("voided", status)


async def test_a_missing_note_cannot_be_authorised(books: XeroBooks) -> None:
    with pytest.raises(Permanent) as caught:
        await books.authorise_credit_note(note("HF-CN-9"), "k")
    assert caught.value.code == "missing"


async def test_of_two_notes_with_one_number_the_live_one_counts(xero: XeroSimulator, books: XeroBooks) -> None:
    xero.seed(credit_notes=[{"CreditNoteNumber": "CN-1", **_seed_note(status)} for status in ("VOIDED", "DRAFT")])
    found = await books.credit_note("CN-1")
    assert found is not None
    assert found.status is NoteStatus.DRAFT
    xero.seed(credit_notes=[{"CreditNoteNumber": "CN-1", **_seed_note()}])
    with pytest.raises(Permanent) as caught:
        await books.credit_note("CN-1")
    assert caught.value.code == "ambiguous-number"


@pytest.mark.parametrize(
    "line",
    [
        BookLine(description="x", net=Decimal("1.001")),
        BookLine(description="x", net=Decimal("1.00"), tax=Decimal("0.001")),
        BookLine(description="x", net=Decimal("100.00"), quantity=Decimal(3)),
        BookLine(description="x", net=Decimal("1.00"), quantity=Decimal(0)),
        BookLine(description="x", net=Decimal("1.00"), quantity=Decimal(-1)),
        BookLine(description="x", net=Decimal("1e40")),
    ],
)
async def test_a_line_that_xero_would_round_is_refused_before_it_is_sent(
    xero: XeroSimulator, books: XeroBooks, line: BookLine
) -> None:
    with pytest.raises(Permanent) as caught:
        await books.draft_credit_note(note(lines=(line,)), "k")
    assert (caught.value.code, xero.ledger) == ("unsupported", [])


async def test_a_quantity_is_kept_where_its_price_is_exact(books: XeroBooks) -> None:
    line = BookLine(description="x", net=Decimal("0.25"), tax=Decimal("0.05"), quantity=Decimal(100))
    stored = await books.draft_credit_note(note(lines=(line,)), "k")
    assert amounts(stored) == [(Decimal(100), Decimal("0.25"), Decimal("0.05"))]


@pytest.mark.parametrize("key", ["", "k" * 129, "line\nbreak", "caf\u00e9"])
async def test_a_key_that_cannot_be_a_header_is_refused_before_it_is_sent(
    xero: XeroSimulator, books: XeroBooks, key: str
) -> None:
    for call in (books.draft_credit_note(note(), key), books.authorise_credit_note(note(), key)):
        with pytest.raises(Permanent) as caught:
            await call
        assert caught.value.code == "bad-key"
    assert xero.ledger == []


@pytest.mark.parametrize(
    "contact", ["", "acme", f'{ACME}") OR Status=="PAID', ACME + "0", ACME.replace("-", ""), f"{{{ACME}}}", f" {ACME}"]
)
async def test_a_contact_that_is_no_guid_never_reaches_the_filter(
    xero: XeroSimulator, books: XeroBooks, contact: str
) -> None:
    for call in (books.invoices(contact, SINCE), books.credit_notes(contact)):
        with pytest.raises(Permanent):
            await call
    assert xero.ledger == []


@pytest.mark.parametrize("number", ["", 'CN-1" OR Status=="PAID', "CN\\1"])
async def test_a_number_that_would_change_the_filter_is_refused(
    xero: XeroSimulator, books: XeroBooks, number: str
) -> None:
    with pytest.raises(Permanent):
        await books.credit_note(number)
    assert xero.ledger == []


async def test_a_currency_holdfast_does_not_keep_is_said_so(xero: XeroSimulator, books: XeroBooks) -> None:
    xero.seed(invoices=[invoice("INV-1", CurrencyCode="AUD")])
    with pytest.raises(Permanent) as caught:
        await books.invoices(ACME, SINCE)
    assert caught.value.code == "unsupported"


WRITES = [
    ({"mode": "error_before"}, (Unclear, "internal-error", 0)),
    ({"mode": "error_before", "status": 503}, (Unclear, "internal-error", 0)),
    ({"mode": "error_before", "status": 400}, (Permanent, "internal-error", 0)),
    ({"mode": "error_before", "status": 403}, (Permanent, "internal-error", 0)),
    ({"mode": "error_before", "status": 404}, (Permanent, "internal-error", 0)),
    ({"mode": "error_before", "status": 401}, (Retryable, "unauthorised", 0)),
    ({"mode": "error_before", "status": 408}, (Unclear, "internal-error", 0)),
    ({"mode": "error_after"}, (Unclear, "internal-error", 1)),
    ({"mode": "slow", "seconds": 30}, (Unclear, "timeout", 1)),
    ({"mode": "429"}, (Retryable, "http-429", 0)),
    ({"mode": "reset"}, (Unclear, "cut-off", 0)),
    ({"mode": "reset_after"}, (Unclear, "cut-off", 1)),
    ({"mode": "garbage"}, (Unclear, "bad-answer", 1)),
    ({"mode": "redirect"}, (Permanent, "redirected", 0)),
]


@pytest.mark.parametrize(("fault", "outcome"), WRITES)
async def test_each_failure_of_drafting_has_its_error_and_its_truth(
    xero: XeroSimulator, books: XeroBooks, fault: dict[str, Any], outcome: tuple[type[VendorError], str, int]
) -> None:
    error, code, made = outcome
    xero.fault("PUT /CreditNotes", **fault)
    with pytest.raises(VendorError) as caught:
        await books.draft_credit_note(note(), "k")
    assert (type(caught.value), caught.value.code) == (error, code)
    assert (len(xero.done()), len(xero.credit_notes)) == (made, made)
    found = await books.credit_note("HF-CN-1")
    assert (found is not None) == bool(made)
    await books.draft_credit_note(note(), "k")
    assert len(xero.credit_notes) == 1


@pytest.mark.parametrize(("fault", "outcome"), WRITES)
async def test_each_failure_of_authorising_has_its_error_and_its_truth(
    xero: XeroSimulator, books: XeroBooks, fault: dict[str, Any], outcome: tuple[type[VendorError], str, int]
) -> None:
    error, code, made = outcome
    await books.draft_credit_note(note(), "k")
    xero.fault("POST /CreditNotes", **fault)
    with pytest.raises(VendorError) as caught:
        await books.authorise_credit_note(note(), "k2")
    assert (type(caught.value), caught.value.code) == (error, code)
    assert len(xero.done("updated")) == made
    assert (await books.authorise_credit_note(note(), "k2")).status is NoteStatus.AUTHORISED
    assert len(xero.done("updated")) == 1


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        ({"mode": "error_before"}, Retryable, "internal-error"),
        ({"mode": "slow", "seconds": 30}, Retryable, "timeout"),
        ({"mode": "429"}, Retryable, "http-429"),
        ({"mode": "reset"}, Retryable, "cut-off"),
        ({"mode": "garbage"}, Retryable, "bad-answer"),
        ({"mode": "redirect"}, Permanent, "redirected"),
        ({"mode": "error_before", "status": 401}, Retryable, "unauthorised"),
        ({"mode": "error_before", "status": 404}, Permanent, "internal-error"),
    ],
)
async def test_a_read_that_fails_is_never_unclear(
    xero: XeroSimulator, books: XeroBooks, fault: dict[str, Any], error: type[VendorError], code: str
) -> None:
    xero.fault("GET /", times=4, **fault)
    reads = (
        books.invoices(ACME, SINCE),
        books.credit_notes(ACME),
        books.credit_note("CN-1"),
        books.authorise_credit_note(note("CN-1"), "k"),
    )
    for read in reads:
        with pytest.raises(VendorError) as caught:
            await read
        assert (type(caught.value), caught.value.code) == (error, code)


async def test_the_limit_of_calls_says_when_to_come_back(books: XeroBooks, xero: XeroSimulator) -> None:
    xero.edit(op="rate_limit", per_minute=2)
    await books.credit_notes(ACME)
    await books.credit_notes(ACME)
    with pytest.raises(Retryable) as caught:
        await books.credit_notes(ACME)
    assert caught.value.retry_after is not None
    assert timedelta(0) < caught.value.retry_after <= timedelta(seconds=60)


@pytest.mark.parametrize(("tenant", "token", "error"), [("simulator", "wrong", Retryable), ("wrong", None, Permanent)])
async def test_a_wrong_token_may_be_renewed_a_wrong_organisation_not(
    xero: XeroSimulator, tenant: str, token: str | None, error: type[VendorError]
) -> None:
    stranger = XeroBooks(xero.url, tenant, token or xero.token)
    with pytest.raises(error):
        await stranger.draft_credit_note(note(), "k")
    await stranger.aclose()
    assert xero.credit_notes == []


async def test_an_answer_with_other_amounts_is_not_taken_for_success(
    xero: XeroSimulator, books: XeroBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    from simulators import xero as module  # noqa: PLC0415

    honest = module.reckoned

    def dishonest(*what: Any) -> dict[str, Any]:
        line = honest(*what)
        return {**line, "LineAmount": line["LineAmount"] + Decimal("0.01")}

    monkeypatch.setattr(module, "reckoned", dishonest)
    with pytest.raises(Unclear) as caught:
        await books.draft_credit_note(note(), "k")
    assert (caught.value.code, len(xero.credit_notes)) == ("answer-differs", 1)


async def test_errors_hold_nothing_of_the_vendors_text_or_of_the_client(xero: XeroSimulator, books: XeroBooks) -> None:
    await books.draft_credit_note(note(), "k")
    with pytest.raises(Permanent) as caught:
        await books.draft_credit_note(note(reference="Ann Example"), "k")
    for secret in ("Ann", "HF-CN-1", ACME, "simulator", "Idempotency"):
        assert secret not in str(caught.value)


CENTS = st.integers(min_value=0, max_value=999_999_999).map(lambda cents: Decimal(cents) / 100)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.tuples(CENTS, CENTS), min_size=1, max_size=6))
async def test_amounts_come_back_to_the_penny(
    xero: XeroSimulator, books: XeroBooks, lines: list[tuple[Decimal, Decimal]]
) -> None:
    number = f"CN-{len(xero.credit_notes)}"
    asked = note(
        number, lines=tuple(BookLine(description="Lead", net=net, tax=tax) for net, tax in lines), currency="EUR"
    )
    await books.draft_credit_note(asked, number)
    found = await books.credit_note(number)
    assert found is not None
    assert amounts(found) == amounts(asked)
    assert found.total == sum((net + tax for net, tax in lines), Decimal(0))


def _seed_note(status: str = "DRAFT") -> dict[str, Any]:
    lines = [{"Description": "Lead", "UnitAmount": 10, "AccountCode": "200"}]
    return {"Contact": {"ContactID": ACME}, "Status": status, "LineItems": lines}
