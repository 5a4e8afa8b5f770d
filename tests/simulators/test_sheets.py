from collections.abc import AsyncIterator

import httpx2
import pytest

from simulators.sheets import SheetsSimulator, sheets_simulator

VALUES = "/v4/spreadsheets/simulator/values/"
RAW = {"valueInputOption": "RAW", "insertDataOption": "INSERT_ROWS"}


@pytest.fixture
async def google() -> AsyncIterator[SheetsSimulator]:
    async with sheets_simulator() as simulator:
        yield simulator


@pytest.fixture
async def http(google: SheetsSimulator) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"authorization": f"Bearer {google.token}"}
    async with httpx2.AsyncClient(base_url=google.url, headers=headers, trust_env=False, verify=False) as client:
        yield client


async def test_an_append_answers_with_the_range_it_went_to(google: SheetsSimulator, http: httpx2.AsyncClient) -> None:
    body = {"range": "RL!A:Z", "majorDimension": "ROWS", "values": [["k", "=1+1"], ["l"]]}
    answer = (await http.post(f"{VALUES}RL!A:Z:append", params=RAW, json=body)).json()
    assert answer == {
        "spreadsheetId": "simulator",
        "updates": {
            "spreadsheetId": "simulator",
            "updatedRange": "RL!A1:B2",
            "updatedRows": 2,
            "updatedColumns": 2,
            "updatedCells": 3,
        },
    }
    assert google.rows() == [["k", "=1+1"], ["l"]]


async def test_how_a_row_was_written_is_kept(google: SheetsSimulator, http: httpx2.AsyncClient) -> None:
    for option in ("RAW", "USER_ENTERED"):
        await http.post(f"{VALUES}RL!A:Z:append", params={"valueInputOption": option}, json={"values": [["k"]]})
    assert [append["valueInputOption"] for append in google.state["appends"]] == ["RAW", "USER_ENTERED"]


async def test_a_read_leaves_out_empty_cells_and_rows_at_the_end(
    google: SheetsSimulator, http: httpx2.AsyncClient
) -> None:
    google.seed(spreadsheets={"simulator": {"RL": [["a", "", "c", ""], ["", ""], ["x"], [""]]}})
    assert (await http.get(f"{VALUES}RL!A:C")).json()["values"] == [["a", "", "c"], [], ["x"]]
    assert (await http.get(f"{VALUES}RL!B:C")).json()["values"] == [["", "c"]]
    google.seed(spreadsheets={"simulator": {"RL": []}})
    assert "values" not in (await http.get(f"{VALUES}A:Z")).json()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v4/spreadsheets/none/values/RL!A:Z", (404, "NOT_FOUND")),
        (f"{VALUES}None!A:Z", (400, "INVALID_ARGUMENT")),
        (f"{VALUES}RL!1", (400, "INVALID_ARGUMENT")),
    ],
)
async def test_a_range_that_is_not_there_is_refused_in_googles_shape(
    http: httpx2.AsyncClient, path: str, status: tuple[int, str]
) -> None:
    answer = await http.get(path)
    assert (answer.status_code, answer.json()["error"]["status"]) == status


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ({}, {"values": [["k"]]}),
        ({**RAW, "insertDataOption": "X"}, {"values": [["k"]]}),
        (RAW, {}),
        (RAW, []),
        (RAW, {"values": [[]]}),
        (RAW, {"values": [[{}]]}),
        (RAW, {"values": [["x" * 50_001]]}),
        (RAW, {"values": [["k"]], "colour": 1}),
        (RAW, {"values": [["k"]], "range": "A1"}),
    ],
)
async def test_an_append_google_would_refuse_changes_nothing(
    google: SheetsSimulator, http: httpx2.AsyncClient, query: dict[str, str], body: object
) -> None:
    answer = await http.post(f"{VALUES}RL!A:Z:append", params=query, json=body)
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert google.rows() == []


async def test_a_wrong_token_and_unknown_paths_are_refused(http: httpx2.AsyncClient) -> None:
    wrong = await http.get(f"{VALUES}RL!A:Z", headers={"authorization": "Bearer wrong"})
    assert (wrong.status_code, wrong.json()["error"]["status"]) == (401, "UNAUTHENTICATED")
    for method, path in (
        ("GET", "/v4"),
        ("POST", f"{VALUES}RL!A:Z"),
        ("GET", f"{VALUES}RL!A:Z:append"),
        ("PUT", VALUES),
    ):
        assert (await http.request(method, path)).status_code == 404
