"""Findings as people hand them in: a table as CSV or JSON, or one lead at a time (RL-4)."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any, cast

from domain.errors import Refused

MOST_BYTES = 1_000_000
MOST_ROWS = 2_000
COLUMNS = ("lead_id", "verdict", "reason", "text")
_EVIDENCE = "evidence"


def parse_findings_csv(content: bytes) -> list[dict[str, Any]]:
    """One finding a row: lead_id, verdict, reason, text, and evidence (SHA-256s, by spaces) if there is any.

    Cells are text, formulas too: nothing is evaluated. Raises Refused with the line that can't be read.
    """
    rows = csv.reader(io.StringIO(_text(content), newline=""), strict=True)
    try:
        header = [name.strip().casefold() for name in next(rows, list[str]())]
        _check_header(header)
        return [_finding(header, row, rows.line_num) for row in rows if any(cell.strip() for cell in row)][
            : MOST_ROWS + 1
        ]
    except csv.Error as error:
        raise Refused("unreadable-csv", f"Line {rows.line_num} of the CSV can't be read: {error}.") from None


def parse_findings_json(content: bytes) -> list[dict[str, Any]]:
    """A list of findings, or an object whose `findings` is one. A key named twice is refused. Raises Refused."""
    try:
        found: object = json.loads(_text(content), object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise Refused("unreadable-json", "This is not JSON that can be read.") from None
    if isinstance(found, dict):
        found = cast("dict[str, object]", found).get("findings")
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in cast("list[object]", found)):
        raise Refused("unreadable-json", "Findings are a list of objects, or an object with a list called findings.")
    return cast("list[dict[str, Any]]", found)


def _check_header(header: Sequence[str]) -> None:
    missing = [name for name in COLUMNS if name not in header]
    unknown = [name for name in header if name not in {*COLUMNS, _EVIDENCE}]
    if missing or unknown or len(set(header)) != len(header):
        wanted = ", ".join(COLUMNS)
        raise Refused("unreadable-csv", f"The CSV's first line names the columns {wanted} (and evidence), each once.")


def _finding(header: Sequence[str], row: Sequence[str], line: int) -> dict[str, Any]:
    if len(row) != len(header):
        raise Refused("unreadable-csv", f"Line {line} of the CSV has {len(row)} cells instead of {len(header)}.")
    found: dict[str, Any] = {name: cell.strip() for name, cell in zip(header, row, strict=True)}
    if _EVIDENCE in found:
        found[_EVIDENCE] = found[_EVIDENCE].split()
    return found


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise Refused("unreadable-json", "The JSON names a key twice.")
    return made


def _text(content: bytes) -> str:
    if len(content) > MOST_BYTES:
        raise Refused("too-large", f"That is {len(content):,} bytes; findings have at most {MOST_BYTES:,}.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refused("not-utf-8", "That is not UTF-8 text: save it as UTF-8 and try again.") from None
