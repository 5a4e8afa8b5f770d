"""A loopback stand-in of Google Sheets v4: `values.get` and `values.append`. It evaluates nothing.

`python -m simulators.sheets --port N --state FILE`, or `async with sheets_simulator() as sheets:` inside a test.
"""

import re
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, cast

from simulators.base import TOKEN, Answer, BadSwitchError, Call, Simulator, main, serving

SHEET_ID = "simulator"
TAB = "RL"

_PATH = re.compile(r"/v4/spreadsheets/([^/]+)/values/(.+?)(:append)?")
_RANGE = re.compile(r"(?:(?:'((?:[^']|'')+)'|([^'!]+))!)?([A-Z]{1,3})([1-9]\d{0,6})?(?::([A-Z]{1,3})([1-9]\d{0,6})?)?")
_LONGEST_CELL = 50_000
_STATUS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
           429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE"}  # fmt: skip


class SheetsSimulator(Simulator):
    """`state["spreadsheets"][id][tab]` is a list of rows; `state["appends"]` how each row was written."""

    name = "Google Sheets"

    def fresh(self) -> dict[str, Any]:
        return {"spreadsheets": {SHEET_ID: {TAB: []}}, "appends": []}

    def rows(self, tab: str = TAB, sheet_id: str = SHEET_ID) -> list[list[Any]]:
        return self.state["spreadsheets"][sheet_id][tab]

    def respond(self, call: Call) -> Answer:
        if call.headers.get("authorization") != f"Bearer {self.token}":
            return _error(401, "Request had invalid authentication credentials.")
        found = _PATH.fullmatch(call.path)
        if found is None or (call.method == "POST") != bool(found[3]) or call.method not in {"GET", "POST"}:
            return Answer(404, b"The requested URL was not found on this server.")
        tabs = self.state["spreadsheets"].get(found[1])
        if tabs is None:
            return _error(404, "Requested entity was not found.")
        place = _place(found[2], tabs)
        if place is None:
            return _error(400, f"Unable to parse range: {found[2]}")
        return self._append(call, found[1], found[2], place) if found[3] else self._get(tabs, place)

    def failure(self, status: int) -> Answer:
        return _error(status, "Backend error")

    def load(self, seed: dict[str, Any]) -> object:
        """`{"spreadsheets": {id: {tab: [[cell, ...], ...]}}}`: adds tabs, or replaces them."""
        for sheet_id, tabs in seed["spreadsheets"].items():
            self.state["spreadsheets"].setdefault(sheet_id, {}).update(tabs)
        return {}

    def change(self, edit: dict[str, Any]) -> object:
        """`{"op": "delete_row", "key": ...}`: a person removes the rows with this first cell from the RL tab."""
        if edit["op"] != "delete_row":
            raise BadSwitchError(f"no edit {edit['op']}")
        self.rows()[:] = [row for row in self.rows() if row[:1] != [edit["key"]]]
        return {}

    def _get(self, tabs: dict[str, list[list[Any]]], place: tuple[str, int, int]) -> Answer:
        tab, first, last = place
        rows = [_trimmed([_shown(cell) for cell in row[first - 1 : last]]) for row in tabs[tab]]
        while rows and not rows[-1]:
            rows.pop()
        body: dict[str, Any] = {"range": f"{tab}!{_letters(first)}1:{_letters(last)}1000", "majorDimension": "ROWS"}
        return Answer(200, body | ({"values": rows} if rows else {}), "read")

    def _append(self, call: Call, sheet_id: str, asked: str, place: tuple[str, int, int]) -> Answer:
        refusal = _bad_append(call, asked)
        if refusal is not None:
            return refusal
        tab, first, _ = place
        rows, fresh = self.rows(tab, sheet_id), call.fields["values"]
        top = len(rows) + 1
        rows.extend([*[""] * (first - 1), *row] for row in fresh)
        width = max(len(row) for row in fresh)
        went_to = f"{tab}!{_letters(first)}{top}:{_letters(first + width - 1)}{top + len(fresh) - 1}"
        self.state["appends"].append({"range": went_to, **dict(call.query)})
        updates = {
            "spreadsheetId": sheet_id,
            "updatedRange": went_to,
            "updatedRows": len(fresh),
            "updatedColumns": width,
            "updatedCells": sum(len(row) for row in fresh),
        }
        return Answer(200, {"spreadsheetId": sheet_id, "updates": updates}, "created", changed=True)


def sheets_simulator(
    port: int = 0, *, state_file: Path | None = None, token: str = TOKEN
) -> AbstractAsyncContextManager[SheetsSimulator]:
    """Runs the stand-in in this process, with one empty spreadsheet `simulator` that has a tab RL."""
    return serving(SheetsSimulator(state_file=state_file, token=token), port)


def _bad_append(call: Call, asked: str) -> Answer | None:
    if call.query.get("valueInputOption") not in {"RAW", "USER_ENTERED"}:
        return _error(400, "'valueInputOption' is required but not specified")
    if call.query.get("insertDataOption", "OVERWRITE") not in {"OVERWRITE", "INSERT_ROWS"}:
        return _error(400, "Invalid value at 'insert_data_option'")
    body = call.fields
    if unknown := set(body) - {"range", "majorDimension", "values"}:
        return _error(400, f'Invalid JSON payload received. Unknown name "{min(unknown)}"')
    if body.get("range", asked) != asked:
        return _error(400, "Requested writing within range [...], but tried writing to another")
    if not _is_grid(body.get("values")):
        return _error(400, "Invalid values")
    return None


def _is_grid(values: object) -> bool:
    rows = cast("list[object]", values) if isinstance(values, list) else []
    return bool(rows) and all(isinstance(row, list) and _are_cells(cast("list[object]", row)) for row in rows)


def _are_cells(row: list[object]) -> bool:
    plain = bool(row) and all(isinstance(cell, str | bool | int) for cell in row)
    return plain and all(len(cell) <= _LONGEST_CELL for cell in row if isinstance(cell, str))


def _place(asked: str, tabs: dict[str, Any]) -> tuple[str, int, int] | None:
    found = _RANGE.fullmatch(asked)
    if found is None:
        return None
    tab = (found[1] or found[2] or next(iter(tabs))).replace("''", "'")
    first = _column(found[3])
    return (tab, first, _column(found[5]) if found[5] else first) if tab in tabs else None


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number


def _letters(column: int) -> str:
    text = ""
    while column:
        column, rest = divmod(column - 1, 26)
        text = chr(65 + rest) + text
    return text


def _shown(cell: object) -> str:
    return str(cell).upper() if isinstance(cell, bool) else str(cell)


def _trimmed(row: list[str]) -> list[str]:
    while row and row[-1] == "":
        row.pop()
    return row


def _error(status: int, message: str) -> Answer:
    return Answer(status, {"error": {"code": status, "message": message, "status": _STATUS.get(status, "UNKNOWN")}})


if __name__ == "__main__":
    sys.exit(main(lambda state_file, token: SheetsSimulator(state_file=state_file, token=token)))
