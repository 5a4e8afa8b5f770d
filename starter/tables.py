"""Tables that people hand in, CSV or JSON: read strictly, every problem named by its line, nothing taken by halves."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from domain.errors import Refused
from domain.texts import clean

LARGEST = 10 * 1024 * 1024
MOST_ROWS = 100_000
MOST_SHOWN = 20
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Row:
    """One row: where it stands (a CSV's line, a JSON's item, from 1) and its cells as text, without outer spaces."""

    line: int
    cells: dict[str, str]


class Problems:
    """What is wrong with a table, line by line."""

    def __init__(self, name: str) -> None:
        self._name, self._found = name, list[str]()

    def add(self, line: int, what: str) -> None:
        self._found.append(f"line {line}: {what}")

    def refuse(self) -> None:
        """Raises Refused `bad-rows` with all that was found, if anything was."""
        if self._found:
            shown = self._found[:MOST_SHOWN]
            more = len(self._found) - len(shown)
            shown += [f"and {more} more"] if more else []
            raise Refused("bad-rows", "\n  ".join((f"{self._name} was not taken, nothing was changed:", *shown)))


def read_table(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> list[Row]:
    """The rows of a file. Raises Refused if it is not a table with these columns, or a cell holds a formula."""
    content = _content(path)
    text = _text(path.name, content)
    rows = _json(path.name, text) if path.suffix.lower() == ".json" else _csv(path.name, text)
    if not rows:
        raise Refused("no-rows", f"{path.name} holds no rows")
    if len(rows) > MOST_ROWS:
        raise Refused("too-many-rows", f"{path.name} holds more than {MOST_ROWS:,} rows: split it")
    problems = Problems(path.name)
    for row in rows:
        _check(row, required, {*required, *optional}, problems)
    problems.refuse()
    return rows


def as_models(name: str, rows: Sequence[Row], model: type[M]) -> list[tuple[int, M]]:
    """Each row as a model, with its line. Raises Refused with every row that is none."""
    problems, made = Problems(name), list[tuple[int, M]]()
    for row in rows:
        try:
            made.append((row.line, model.model_validate(row.cells)))
        except ValidationError as error:
            for one in error.errors(include_url=False, include_input=False):
                place = ".".join(str(part) for part in one["loc"])
                problems.add(row.line, f"{place}: {one['msg'].removeprefix('Value error, ')}")
    problems.refuse()
    return made


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST:
            raise Refused("too-large", f"{path.name} is larger than {LARGEST // 1024 // 1024} MB: split it")
        return path.read_bytes()
    except OSError as error:
        raise Refused("no-such-file", f"{path} can't be read: {error.strerror}") from None


def _text(name: str, content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise Refused("not-utf-8", f"{name}, line {line}: not UTF-8; save it as UTF-8 and try again") from None
    return clean(text, name, limit=LARGEST)


def _csv(name: str, text: str) -> list[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        heading = [cell.strip().lower() for cell in next(reader, list[str]())]
        if len(set(heading)) != len(heading):
            raise Refused("bad-columns", f"{name}: a column is named twice")
        return list(_rows(name, reader, heading))
    except csv.Error as error:
        raise Refused("broken-csv", f"{name}, line {reader.line_num}: {error}") from None


def _rows(name: str, reader: Any, heading: list[str]) -> "list[Row]":
    found: list[Row] = []
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(heading):
            raise Refused("bad-rows", f"{name}, line {reader.line_num}: {len(cells)} cells, {len(heading)} columns")
        values = (cell.strip(" ") for cell in cells)
        found.append(Row(reader.line_num, dict(zip(heading, values, strict=True))))
    return found


def _json(name: str, text: str) -> list[Row]:
    try:
        data: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused("broken-json", f"{name} is not JSON: {error}") from None
    if not isinstance(data, list):
        raise Refused("bad-rows", f"{name} is not a list of objects")
    return [_item(name, line, item) for line, item in enumerate(cast("list[object]", data), 1)]


def _item(name: str, line: int, item: object) -> Row:
    """Only texts: a number in JSON has no exact decimal places."""
    if not isinstance(item, dict):
        raise Refused("bad-rows", f"{name}, item {line}: not an object")
    cells = cast("dict[str, object]", item)
    wrong = [key for key, value in cells.items() if not isinstance(value, str)]
    if wrong:
        raise Refused("bad-rows", f'{name}, item {line}: {wrong[0]} must be a text in quotes, such as "60.00"')
    return Row(line, {key: str(value).strip(" ") for key, value in cells.items()})


def _check(row: Row, required: Sequence[str], known: set[str], problems: Problems) -> None:
    missing, unknown = [one for one in required if one not in row.cells], sorted(set(row.cells) - known)
    if missing:
        problems.add(row.line, f"the column {missing[0]} is missing")
    if unknown:
        problems.add(row.line, f"the column {unknown[0]!r} is not known; known are {', '.join(sorted(known))}")
    for name, cell in row.cells.items():
        if cell.startswith(_FORMULA):
            problems.add(row.line, f"{name} starts with {cell[0]!r}: formulas and signs are not taken")
