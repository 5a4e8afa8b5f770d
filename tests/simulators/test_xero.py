from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from runtime import exact_json
from simulators.base import BadSwitchError
from simulators.xero import XeroSimulator, xero_simulator
from simulators.xero_rules import UnreadableError, selector

ACME = "430fa14a-f945-44d3-9f97-5df5e28441b8"
LINE = {"Description": "Lead", "Quantity": 1, "UnitAmount": 10, "AccountCode": "200"}
NOTES = "/api.xro/2.0/CreditNotes"


def note(number: str = "CN-1", **fields: object) -> dict[str, Any]:
    usual = {"Type": "ACCRECCREDIT", "Contact": {"ContactID": ACME}, "CreditNoteNumber": number, "LineItems": [LINE]}
    return {**usual, **fields}


@pytest.fixture
async def xero() -> AsyncIterator[XeroSimulator]:
    async with xero_simulator() as simulator:
        simulator.seed(contacts=[{"ContactID": ACME, "Name": "Acme Ltd"}])
        yield simulator


@pytest.fixture
async def http(xero: XeroSimulator) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"authorization": f"Bearer {xero.token}", "xero-tenant-id": xero.tenant}
    async with httpx2.AsyncClient(base_url=xero.url, headers=headers, trust_env=False, verify=False) as client:
        yield client


async def test_a_wrong_token_or_organisation_is_refused_in_xeros_shape(http: httpx2.AsyncClient) -> None:
    token = await http.get(NOTES, headers={"authorization": "Bearer wrong"})
    tenant = await http.get(NOTES, headers={"xero-tenant-id": "wrong"})
    assert (token.status_code, token.json()["Detail"]) == (401, "AuthenticationUnsuccessful")
    assert (tenant.status_code, tenant.json()["Title"]) == (403, "Forbidden")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/api.xro/2.0/Contacts", 404),
        ("GET", f"{NOTES}/none", 404),
        ("GET", f"{NOTES}/a/b", 404),
        ("DELETE", NOTES, 405),
        ("PUT", "/api.xro/2.0/Invoices", 405),
    ],
)
async def test_what_xero_has_not_got_is_refused(http: httpx2.AsyncClient, method: str, path: str, status: int) -> None:
    assert (await http.request(method, path)).status_code == status


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"x"',
        b"{}",
        exact_json.dumps({"CreditNotes": []}),
        exact_json.dumps({"CreditNotes": [5]}),
        exact_json.dumps(note(Type="ACCPAYCREDIT")),
        exact_json.dumps(note(Colour="red")),
        exact_json.dumps(note(Contact={})),
        exact_json.dumps(note(Contact={"ContactID": "acme"})),
        exact_json.dumps(note(Contact={"ContactID": "00000000-0000-0000-0000-000000000000"})),
        exact_json.dumps(note(LineItems=[])),
        exact_json.dumps(note(LineItems=["x"])),
        exact_json.dumps(note(LineItems=[{**LINE, "UnitAmount": "10"}])),
        exact_json.dumps(note(LineItems=[{**LINE, "Description": ""}])),
        exact_json.dumps(note(LineItems=[{**LINE, "LineAmount": 11}])),
        exact_json.dumps(note(LineItems=[{**LINE, "TaxType": "VAT"}])),
        exact_json.dumps(note(LineItems=[{**LINE, "TaxType": "NONE", "TaxAmount": 1}])),
        exact_json.dumps(note(Status="VOIDED")),
        exact_json.dumps(note(Status="AUTHORISED", LineItems=[{"Description": "x", "UnitAmount": 1}])),
        exact_json.dumps(note(CurrencyCode="XXX")),
        exact_json.dumps(note(Date="31/03/2026")),
        exact_json.dumps({"CreditNotes": [note(), note()]}),
    ],
)
async def test_a_malformed_or_invalid_note_is_refused_whole(
    xero: XeroSimulator, http: httpx2.AsyncClient, body: bytes
) -> None:
    answer = await http.put(NOTES, content=body)
    assert answer.status_code == 400
    assert answer.json()["Type"] in {"ValidationException", "PostDataInvalidException"}
    assert (xero.credit_notes, xero.done()) == ([], [])


async def test_totals_are_worked_out_by_the_server(http: httpx2.AsyncClient) -> None:
    lines = [{"Description": "A", "UnitAmount": amount} for amount in (Decimal("25.06"), Decimal("25.61"))]
    answer = await http.put(NOTES, content=exact_json.dumps(note(LineItems=lines)))
    (made,) = exact_json.loads(answer.content)["CreditNotes"]
    assert (made["SubTotal"], made["TotalTax"], made["Total"]) == (
        Decimal("50.67"),
        Decimal("10.13"),
        Decimal("60.80"),
    )
    assert made["Status"] == "DRAFT"


@pytest.mark.parametrize(("places", "unit"), [({}, Decimal("0.06")), ({"unitdp": "4"}, Decimal("0.0612"))])
async def test_unit_prices_keep_four_places_only_when_asked(
    http: httpx2.AsyncClient, places: dict[str, str], unit: Decimal
) -> None:
    line = {"Description": "A", "Quantity": 1000, "UnitAmount": Decimal("0.0612")}
    answer = await http.put(NOTES, params=places, content=exact_json.dumps(note(LineItems=[line])))
    (made,) = exact_json.loads(answer.content)["CreditNotes"]
    assert made["LineItems"][0]["UnitAmount"] == unit


async def test_an_idempotency_key_replays_refuses_and_outlives_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "xero.json"
    answers: list[int] = []
    for number in ("CN-1", "CN-1", "CN-2"):
        async with xero_simulator(state_file=file) as xero:
            xero.seed(contacts=[{"ContactID": ACME, "Name": "Acme Ltd"}])
            headers = {"authorization": "Bearer simulator", "xero-tenant-id": "simulator", "idempotency-key": "k"}
            async with httpx2.AsyncClient(base_url=xero.url, headers=headers, trust_env=False, verify=False) as http:
                answers.append((await http.put(NOTES, json=note(number))).status_code)
    assert answers == [200, 200, 400]
    assert [entry["outcome"] for entry in xero.ledger] == ["created", "replayed", "refused"]
    assert len(xero.credit_notes) == 1


@pytest.mark.parametrize("key", ["", "k" * 129])
async def test_a_key_of_a_wrong_length_is_refused(http: httpx2.AsyncClient, key: str) -> None:
    assert (await http.put(NOTES, json=note(), headers={"idempotency-key": key})).status_code == 400


@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [
        ("DRAFT", "SUBMITTED", True),
        ("DRAFT", "AUTHORISED", True),
        ("SUBMITTED", "AUTHORISED", True),
        ("AUTHORISED", "VOIDED", True),
        ("AUTHORISED", "DRAFT", False),
        ("VOIDED", "AUTHORISED", False),
        ("DELETED", "AUTHORISED", False),
        ("PAID", "VOIDED", False),
    ],
)
async def test_a_note_moves_only_along_xeros_statuses(
    xero: XeroSimulator, http: httpx2.AsyncClient, before: str, after: str, allowed: bool
) -> None:
    await http.put(NOTES, json=note())
    xero.edit(op="set_credit_note_status", number="CN-1", status=before)
    answer = await http.post(f"{NOTES}/CN-1", json={"Status": after})
    assert (answer.status_code == 200) is allowed
    assert xero.credit_notes[0]["Status"] == (after if allowed else before)


async def test_an_authorised_note_cannot_be_edited(xero: XeroSimulator, http: httpx2.AsyncClient) -> None:
    await http.put(NOTES, json=note(Status="AUTHORISED"))
    answer = await http.post(f"{NOTES}/CN-1", json={"LineItems": [{**LINE, "UnitAmount": 1}]})
    assert (answer.status_code, xero.credit_notes[0]["Total"]) == (400, Decimal("12.00"))


async def test_a_draft_is_edited_by_id_and_reckoned_anew(xero: XeroSimulator, http: httpx2.AsyncClient) -> None:
    identity = (await http.put(NOTES, json=note())).json()["CreditNotes"][0]["CreditNoteID"]
    await http.post(f"{NOTES}/{identity}", json={"LineItems": [{**LINE, "UnitAmount": 1}]})
    assert (xero.credit_notes[0]["Total"], xero.credit_notes[0]["CreditNoteID"]) == (Decimal("1.20"), identity)
    assert [entry["outcome"] for entry in xero.done()] == ["created", "updated"]


async def test_lines_are_listed_only_on_pages(xero: XeroSimulator, http: httpx2.AsyncClient) -> None:
    xero.seed(invoices=[{"Contact": {"ContactID": ACME}, "InvoiceNumber": "I", "LineItems": [LINE]}])
    summary = (await http.get("/api.xro/2.0/Invoices")).json()
    page = (await http.get("/api.xro/2.0/Invoices", params={"page": "1"})).json()
    assert summary["Invoices"][0]["LineItems"] == []
    assert page["Invoices"][0]["LineItems"][0]["Description"] == "Lead"
    assert page["pagination"] == {"page": 1, "pageSize": 100, "pageCount": 1, "itemCount": 1}


@pytest.mark.parametrize("query", [{"page": "0"}, {"page": "x"}, {"page": "1", "pageSize": "1001"}, {"where": "1=1"}])
async def test_a_query_that_cannot_be_read_is_refused(http: httpx2.AsyncClient, query: dict[str, str]) -> None:
    answer = await http.get(NOTES, params=query)
    assert (answer.status_code, answer.json()["Type"]) == (400, "QueryParseException")


@pytest.mark.parametrize(
    ("where", "selected"),
    [
        ("", True),
        ('Type=="ACCREC"', True),
        ('Type=="ACCREC" AND Date>=DateTime(2026,03,31)', True),
        ("Date>DateTime(2026, 3, 31)", False),
        ("Date<DateTime(2026, 4, 1)", True),
        (f'Contact.ContactID==guid("{ACME}")', True),
        (f'Contact.ContactID==guid("{ACME.upper()}")', True),
        ('Contact.ContactID==guid("00000000-0000-0000-0000-000000000000")', False),
        ('InvoiceNumber!="I-1"', False),
    ],
)
def test_where_selects(where: str, selected: bool) -> None:
    document = {
        "Type": "ACCREC",
        "DateString": "2026-03-31T00:00:00",
        "Contact": {"ContactID": ACME},
        "InvoiceNumber": "I-1",
    }
    assert selector(where)(document) is selected


@pytest.mark.parametrize(
    "where",
    ["Colour==1", 'Colour=="red"', 'Type="ACCREC"', "Date>=DateTime(2026,13,1)", 'Type=="A" OR Type=="B"', "AND"],
)
def test_where_that_xero_could_not_parse_is_refused(where: str) -> None:
    with pytest.raises(UnreadableError):
        selector(where)({"Type": "ACCREC", "DateString": "2026-03-31T00:00:00"})


async def test_a_person_adds_and_removes_lines_and_marks_invoices(xero: XeroSimulator) -> None:
    xero.seed(invoices=[{"Contact": {"ContactID": ACME}, "InvoiceNumber": "I", "LineItems": [LINE]}])
    first = xero.invoices[0]["LineItems"][0]["LineItemID"]
    added = xero.edit(op="add_invoice_line", number="I", line={"Description": "more", "UnitAmount": 5})
    assert (added["Total"], added["LineItems"][0]["LineItemID"]) == (Decimal("18.00"), first)
    assert xero.edit(op="remove_invoice_line", number="I", line_id=first)["Total"] == Decimal("6.00")
    assert xero.edit(op="set_invoice_status", number="I", status="PAID")["Status"] == "PAID"


@pytest.mark.parametrize(
    "edit",
    [
        {},
        {"op": "explode", "number": "I"},
        {"op": "set_invoice_status", "number": "none", "status": "PAID"},
        {"op": "set_invoice_status", "number": "I"},
        {"op": "set_invoice_status", "number": "I", "status": "LOST"},
        {"op": "add_invoice_line", "number": "I", "line": {"Description": ""}},
    ],
)
async def test_an_edit_that_makes_no_sense_is_refused(xero: XeroSimulator, edit: dict[str, Any]) -> None:
    xero.seed(invoices=[{"Contact": {"ContactID": ACME}, "InvoiceNumber": "I", "LineItems": [LINE]}])
    before = exact_json.dumps(xero.state)
    with pytest.raises(BadSwitchError):
        xero.edit(**edit)
    assert exact_json.dumps(xero.state) == before


async def test_the_limit_is_told_with_xeros_headers(xero: XeroSimulator, http: httpx2.AsyncClient) -> None:
    xero.rate_limit = 1
    answers = [await http.get(NOTES) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[1].headers["x-rate-limit-problem"] == "minute"
    assert 1 <= int(answers[1].headers["retry-after"]) <= 60
