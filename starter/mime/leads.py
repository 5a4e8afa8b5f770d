"""Reading lead ids from a CSV attachment.

What isn't a lead id is reported by its row: never evaluated, never dropped in silence.
"""

import csv
import io
import re

from domain.mail import Attachment, lead_id
from starter.mime.text import decode

LARGEST = 1024 * 1024
MOST_ROWS = 5_000
MOST_PROBLEMS = 50

_COLUMNS = ("lead id", "lead", "leadid", "lead ids", "leads", "lead number", "lead no", "id")
_SHEET = re.compile(r"\.(xlsx?|xlsm|ods|numbers)$", re.IGNORECASE)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def is_table(attachment: Attachment) -> bool:
    table = attachment.content_type in {"text/csv", "text/tab-separated-values"}
    return table or attachment.name.lower().endswith((".csv", ".tsv"))


def leads_of(attachments: tuple[Attachment, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The lead ids of all CSV attachments in order, duplicates kept, and what could not be read, a sentence each."""
    ids: list[str] = []
    problems: list[str] = []
    for number, attachment in enumerate(attachments, start=1):
        if is_table(attachment):
            found, wrong = _table(attachment.content)
            ids += found
            problems += [f"attachment {number}: {each}" for each in wrong]
        elif _SHEET.search(attachment.name):
            problems.append(f"attachment {number} is a spreadsheet, which is not read: send it as CSV")
    return tuple(ids), tuple(problems)


def _table(content: bytes) -> tuple[list[str], list[str]]:
    if len(content) > LARGEST:
        return [], [f"the CSV is larger than {LARGEST // 1024} KB"]
    text = _text(content)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text)))
    except csv.Error:
        return [], ["the CSV can't be read: a quote or a cell is broken"]
    filled = [(number, row) for number, row in enumerate(rows, start=1) if any(cell.strip() for cell in row)]
    if not filled:
        return [], ["the CSV is empty"]
    column = _column(filled[0][1])
    if column is None:
        return [], ['the CSV has no column named "lead id"']
    if len(filled) > MOST_ROWS:
        return [], [f"the CSV has more than {MOST_ROWS:,} rows"]
    return _ids(filled[1:], column)


def _ids(rows: list[tuple[int, list[str]]], column: int) -> tuple[list[str], list[str]]:
    ids: list[str] = []
    problems: list[str] = []
    for number, row in rows:
        cell = row[column].strip() if column < len(row) else ""
        found = lead_id(cell.removeprefix("'"))
        if found:
            ids.append(found)
        elif cell.startswith(_FORMULA):
            problems.append(f"row {number}: a formula, not a lead id")
        else:
            problems.append(f"row {number}: {'not a lead id' if cell else 'no lead id'}")
    return ids, problems


def _text(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return decode(content, "utf-16")
    return decode(content, "utf-8-sig")


def _delimiter(text: str) -> str:
    """Whichever separates the first line most; Excel writes `;` where the comma is a decimal point."""
    heading = next((line for line in text.split("\n") if line.strip()), "")
    return max((",", ";", "\t"), key=re.sub(r'"[^"]*"', "", heading).count)


def _column(heading: list[str]) -> int | None:
    names = [" ".join(re.sub(r"[_\-#.]+", " ", cell).split()).lower() for cell in heading]
    return next((names.index(wanted) for wanted in _COLUMNS if wanted in names), None)
