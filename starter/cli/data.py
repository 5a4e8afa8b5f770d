"""`holdfast import`, `holdfast return-lead open`: what goes in by hand."""

import csv
import io
import json
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from adapters.postgres.imports import PostgresImports
from domain.errors import Refused
from starter.cli.cases import start
from starter.cli.directory import tell_cases
from starter.cli.world import As, Json, console, file_text, office, operator, run, show
from starter.imports import KINDS, Kind, import_file

imports = typer.Typer(no_args_is_help=True, help="Bring in who and what there is from files: all rows or none.")
returns = typer.Typer(no_args_is_help=True, help="Return-lead requests that did not come by e-mail.")
File = Annotated[Path, typer.Argument(metavar="FILE", help="A CSV with a heading, or JSON.")]


_WHAT: dict[Kind, str] = {
    "clients": "clients: by which addresses they write, and who looks after them",
    "people": "people: their addresses, and of which teams they are",
    "departments": "teams and departments with an address of their own",
    "leads": "leads: whose, since when, at what price, and their chat",
    "directory": "whom to contact in each department (ID-1)",
    "pairs": "which CSS belongs to which CSM",
    "channels": "how each person is reached, in their own order",
    "boards": "each client's task list in Teamwork and channel on Slack",
}


def _register(kind: Kind) -> None:
    example = f"Example: holdfast import {kind} samples/{kind}.csv --as otto"

    @imports.command(kind, help=f"Bring in {_WHAT[kind]}. The same file again changes nothing.", epilog=example)
    def _(file: File, person: As = "", as_json: Json = False) -> None:
        run(_import(kind, file, person, as_json=as_json))


for _kind in KINDS:
    _register(_kind)


async def _import(kind: Kind, file: Path, person: str, *, as_json: bool) -> None:
    async with office() as here:
        report = await import_file(PostgresImports(here.pool, here.vault), kind, file, operator(person))
        if kind in {"people", "directory", "pairs"} and (report.added or report.changed):
            await tell_cases(here)
    line = f"{kind}: {report.added} new, {report.changed} changed, {report.same} as before"
    show(report, as_json=as_json, human=lambda: console.print(line))


@returns.command("open", epilog="Example: holdfast return-lead open samples/request.json --as otto")
def open_return(file: File, person: As = "", as_json: Json = False) -> None:
    """Open a return-lead request from a file; a copy of it goes to the returns inbox (RL-1).

    JSON: {"client_id", "leads": [...], "reference", "note"?, "reply_to"?, "recipients"?}. CSV: a row a lead with the
    columns client_id, lead_id, reference and, if you like, note. The same reference again is the same request.
    """
    run(start("return-leads", read_file(file), person, as_json=as_json))


def read_file(file: Path) -> object:
    """The request in a file, not yet checked. Raises Refused if it can't be read."""
    try:
        text = file_text(file).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refused("not-utf-8", f"{file.name} is not UTF-8: save it as UTF-8 and try again") from None
    return _from_csv(file.name, text) if file.suffix.lower() == ".csv" else _from_json(file.name, text)


def _from_json(name: str, text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused("broken-json", f"{name} is not JSON: {error}") from None


def _from_csv(name: str, text: str) -> object:
    try:
        rows = cast("list[dict[str | None, Any]]", list(csv.DictReader(io.StringIO(text, newline=""), strict=True)))
    except csv.Error as error:
        raise Refused("broken-csv", f"{name} can't be read: {error}") from None
    columns = {"client_id", "lead_id", "reference", "note"}
    if not rows or not columns - {"note"} <= set(rows[0]) or not set(rows[0]) <= columns:
        raise Refused("bad-columns", f"{name} needs the columns client_id, lead_id and reference, and may have note")
    same = {key: {str(row.get(key) or "").strip() for row in rows} - {""} for key in ("client_id", "reference", "note")}
    if any(len(values) > 1 for values in same.values()):
        raise Refused("several-requests", f"{name} holds more than one client or reference: one file is one request")
    request: dict[str, object] = {key: next(iter(values), "") for key, values in same.items()}
    return request | {"leads": [str(row["lead_id"] or "").strip() for row in rows]}
