from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from adapters.sheets.sheet import GoogleSheet, escaped, unescaped
from domain.errors import Permanent, Retryable, Unclear, VendorError
from simulators.sheets import SheetsSimulator, sheets_simulator

QUICK = timedelta(seconds=1)
ROW = ("L-1", "Acme Ltd", "valid", "2026-03-31")
CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@pytest.fixture
async def google() -> AsyncIterator[SheetsSimulator]:
    async with sheets_simulator() as simulator:
        yield simulator


@pytest.fixture
async def sheet(google: SheetsSimulator) -> AsyncIterator[GoogleSheet]:
    adapter = GoogleSheet(google.url, "simulator", google.token, timeout=QUICK)
    yield adapter
    await adapter.aclose()


async def test_a_row_goes_in_raw_at_the_end_and_is_found_by_its_key(
    google: SheetsSimulator, sheet: GoogleSheet
) -> None:
    google.seed(spreadsheets={"simulator": {"RL": [["Lead", "Client"], ["L-0", "Other"]]}})
    assert await sheet.append(ROW) == "RL!A3:D3"
    assert google.rows()[2] == list(ROW)
    assert google.state["appends"] == [
        {"range": "RL!A3:D3", "valueInputOption": "RAW", "insertDataOption": "INSERT_ROWS"}
    ]
    assert await sheet.find("L-1") == ROW
    assert await sheet.find("L-2") is None


async def test_an_empty_sheet_has_no_rows(sheet: GoogleSheet) -> None:
    assert await sheet.find("L-1") is None


async def test_a_row_a_person_removed_is_not_found(google: SheetsSimulator, sheet: GoogleSheet) -> None:
    await sheet.append(ROW)
    google.edit(op="delete_row", key="L-1")
    assert await sheet.find("L-1") is None


async def test_numbers_people_typed_are_read_as_text(google: SheetsSimulator, sheet: GoogleSheet) -> None:
    google.seed(spreadsheets={"simulator": {"RL": [["L-1", 5, True]]}})
    assert await sheet.find("L-1") == ("L-1", "5", "TRUE")


async def test_a_tab_with_a_quote_in_its_name_is_reached(google: SheetsSimulator) -> None:
    google.seed(spreadsheets={"other": {"Bob's tab!": []}})
    sheet = GoogleSheet(google.url, "other", google.token, tab="Bob's tab!")
    await sheet.append(ROW)
    await sheet.aclose()
    assert google.rows("Bob's tab!", "other") == [list(ROW)]


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+44 20", "-5", "@here", "\t=1", "\r=1", "\n=1", " =1", "\u00a0=1", '=HYPERLINK("http://x")'],
)
async def test_what_a_spreadsheet_could_evaluate_is_neutralised(
    google: SheetsSimulator, sheet: GoogleSheet, cell: str
) -> None:
    await sheet.append(("L-1", cell))
    assert google.rows() == [["L-1", "'" + cell]]
    assert await sheet.find("L-1") == ("L-1", cell)


@given(CELLS)
@example("'=1")
@example("''")
def test_escaping_is_undone_exactly_and_leaves_nothing_dangerous(cell: str) -> None:
    assert unescaped(escaped(cell)) == cell
    assert not escaped(cell).lstrip().startswith(("=", "+", "-", "@"))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=CELLS.filter(bool), cells=st.lists(CELLS, max_size=4))
async def test_any_text_comes_back_as_it_was(
    google: SheetsSimulator, sheet: GoogleSheet, key: str, cells: list[str]
) -> None:
    google.seed(spreadsheets={"simulator": {"RL": []}})
    await sheet.append((key, *cells))
    found = await sheet.find(key)
    assert found is not None
    assert [*found, *[""] * (1 + len(cells) - len(found))] == [key, *cells]


@pytest.mark.parametrize("row", [(), ("",), ("", "x")])
async def test_a_row_without_a_key_is_refused(
    google: SheetsSimulator, sheet: GoogleSheet, row: tuple[str, ...]
) -> None:
    with pytest.raises(Permanent):
        await sheet.append(row)
    assert google.ledger == []


@pytest.mark.parametrize("cell", ["\ud800", "x" * 50_001])
async def test_what_a_cell_cannot_hold_is_permanent(google: SheetsSimulator, sheet: GoogleSheet, cell: str) -> None:
    with pytest.raises(Permanent):
        await sheet.append(("L-1", cell))
    assert google.rows() == []


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ({"mode": "error_before"}, (Unclear, "internal", 0)),
        ({"mode": "error_before", "status": 503}, (Unclear, "unavailable", 0)),
        ({"mode": "error_before", "status": 400}, (Permanent, "invalid-argument", 0)),
        ({"mode": "error_before", "status": 403}, (Permanent, "permission-denied", 0)),
        ({"mode": "error_before", "status": 401}, (Retryable, "unauthorised", 0)),
        ({"mode": "error_after"}, (Unclear, "internal", 1)),
        ({"mode": "slow", "seconds": 30}, (Unclear, "timeout", 1)),
        ({"mode": "429"}, (Retryable, "resource-exhausted", 0)),
        ({"mode": "reset"}, (Unclear, "cut-off", 0)),
        ({"mode": "reset_after"}, (Unclear, "cut-off", 1)),
        ({"mode": "garbage"}, (Unclear, "bad-answer", 1)),
        ({"mode": "redirect"}, (Permanent, "redirected", 0)),
    ],
)
async def test_each_failure_of_appending_has_its_error_and_its_truth(
    google: SheetsSimulator, sheet: GoogleSheet, fault: dict[str, Any], outcome: tuple[type[VendorError], str, int]
) -> None:
    error, code, made = outcome
    google.fault("POST :append", **fault)
    with pytest.raises(VendorError) as caught:
        await sheet.append(ROW)
    assert (type(caught.value), caught.value.code) == (error, code)
    assert (len(google.done()), len(google.rows())) == (made, made)
    assert (await sheet.find("L-1") is not None) == bool(made)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"mode": "error_before"}, Retryable),
        ({"mode": "slow", "seconds": 30}, Retryable),
        ({"mode": "429"}, Retryable),
        ({"mode": "reset"}, Retryable),
        ({"mode": "garbage"}, Retryable),
        ({"mode": "redirect"}, Permanent),
    ],
)
async def test_a_read_that_fails_is_never_unclear(
    google: SheetsSimulator, sheet: GoogleSheet, fault: dict[str, Any], error: type[VendorError]
) -> None:
    google.fault("GET /values", **fault)
    with pytest.raises(VendorError) as caught:
        await sheet.find("L-1")
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("sheet_id", "tab", "code"), [("none", "RL", "not-found"), ("simulator", "No", "invalid-argument")]
)
async def test_a_wrong_sheet_or_tab_is_permanent(google: SheetsSimulator, sheet_id: str, tab: str, code: str) -> None:
    sheet = GoogleSheet(google.url, sheet_id, google.token, tab=tab)
    for call in (sheet.find("L-1"), sheet.append(ROW)):
        with pytest.raises(Permanent) as caught:
            await call
        assert caught.value.code == code
    await sheet.aclose()


async def test_errors_hold_nothing_of_the_row(google: SheetsSimulator, sheet: GoogleSheet) -> None:
    google.fault("POST :append", "error_before", status=400)
    with pytest.raises(Permanent) as caught:
        await sheet.append(("L-1", "Ann Example"))
    for secret in ("Ann", "L-1", "simulator"):
        assert secret not in str(caught.value)
