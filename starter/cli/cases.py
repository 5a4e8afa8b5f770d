"""`holdfast case`: what is going on, who must act, by when and why then."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, cast
from uuid import uuid4

import typer
from rich.text import Text

from adapters.postgres.names import by_name
from adapters.postgres.reader import CaseDetail, CaseRow, Line, StepRow
from domain.case import OpenStep
from domain.errors import Refused
from domain.explained import Explained, lines
from domain.rules.hours import duration_in_words
from starter.cli.world import LONDON, As, Case, Json, console, file_text, holdfast, moment, run, show, table
from starter.openings import OPENINGS
from starter.story import kind_in_words, told, who_did

cases = typer.Typer(no_args_is_help=True, help="Cases: a list, and one with its whole story.")


@cases.command("list", epilog="Example: holdfast case list --status open --client brightsmile")
def list_cases(
    status: str = typer.Option("", help="open, closed, cancelled or refused."),
    client: str = typer.Option("", help="Only this client's."),
    owner: str = typer.Option("", help="Only those that wait for this person or team."),
    limit: int = typer.Option(50, min=1, max=500, help="How many at most."),
    cursor: str = typer.Option("", help="Go on where the last list ended."),
    as_json: Json = False,
) -> None:
    """List cases, the newest first."""
    run(_list(status, client, owner, limit, cursor, as_json=as_json))


async def _list(status: str, client: str, owner: str, limit: int, cursor: str, *, as_json: bool) -> None:
    async with holdfast() as here:
        page = await here.cases(status=status, client_id=client, owner=owner, limit=limit, cursor=cursor)
        names = await here.names()
    show(page, as_json=as_json, human=lambda: _print_list(page.rows, page.cursor, names))


def _print_list(rows: Sequence[CaseRow], cursor: str, names: Mapping[str, str]) -> None:
    if not rows:
        console.print("There are no such cases.")
        return
    shown = table("Case", "Client", "State", "Waits for", "What", "Due")
    for row in rows:
        state = row.status + (f": {by_name(row.outcome, names)}" if row.outcome else "")
        owner, what = names.get(row.owner, row.owner) or "-", row.waiting_for or "-"
        shown.add_row(row.case_id, row.client_name or "-", state, owner, what, moment(row.due_at))
    console.print(shown)
    if cursor:
        console.print(f"More: holdfast case list --cursor '{cursor}'")


@cases.command("start", epilog="Example: holdfast case start return-leads samples/request.json")
def start_case(
    slug: Annotated[str, typer.Argument(metavar="WHAT", help=f"One of: {', '.join(OPENINGS)}.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The request, in JSON.")],
    by: As = "",
    as_json: Json = False,
) -> None:
    """Start a case from a file. The same request again is the same case."""
    data = parse_json(file_text(file).decode("utf-8-sig", errors="replace"))
    run(start(slug, data, by, as_json=as_json))


async def start(slug: str, data: object, by: str = "", *, as_json: bool) -> None:
    """Starts a case and says which. `by`: who does, "" if they did not say."""
    async with holdfast(by or None) as here:
        started = await here.start(slug, data, once=str(uuid4()))
    again = " (it was opened before)" if started.repeated else ""
    later = (
        ""
        if started.handed_over is not False
        else "\nTemporal can't be reached now: the case starts as soon as it is back."
    )
    show(started, as_json=as_json, human=lambda: console.print(f"{started.case_id}{again}{later}"))


def parse_json(text: str) -> dict[str, Any]:
    """An object in JSON. Raises Refused."""
    try:
        data: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused("broken-json", f"that is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise Refused("broken-json", "that is not a JSON object")
    return cast("dict[str, Any]", data)


@cases.command("show", epilog="Example: holdfast case show return-lead/9bc5eb253069c483")
def show_case(case: Case, as_json: Json = False) -> None:
    """Show a case: who must act, by when and why then; its leads; and everything that happened, by clause."""
    run(_show(case, as_json=as_json))


async def _show(case: str, *, as_json: bool) -> None:
    async with holdfast() as here:
        case_id = await here.find_case(case)
        detail, timeline = await here.case(case_id), await here.timeline(case_id)
        deadlines, names = await here.clocks(case_id), await here.names()
    data = {"case": detail, "deadlines": deadlines, "timeline": timeline}
    show(data, as_json=as_json, human=lambda: _print_case(detail, deadlines, timeline, names))


def _print_case(
    detail: CaseDetail, deadlines: Sequence[Explained], timeline: Sequence[Line], names: Mapping[str, str]
) -> None:
    row = detail.row
    console.print(Text(f"{kind_in_words(row.kind)}: {row.case_id}", style="bold"))
    outcome = f": {by_name(row.outcome, names)}" if row.outcome else ""
    console.print(f"{row.client_name or 'client not known yet'}, {row.status}{outcome}, opened {moment(row.opened_at)}")
    if row.linked_to:
        console.print(f"Linked to {row.linked_to}")
    if row.arrived_at and row.looped_in_at:
        took = duration_in_words(row.looped_in_at - row.opened_at)
        mail = duration_in_words(row.looped_in_at - row.arrived_at)
        console.print(f"Looped in {took} after it reached us, {mail} after the client wrote (RL-2)")
    print_steps([step for step in detail.steps if step.state == "open"], names, detail)
    print_deadlines(deadlines, names)
    _print_leads(detail)
    _print_effects(detail)
    print_timeline(timeline, names)


def print_steps(steps: Sequence[StepRow], names: Mapping[str, str], detail: CaseDetail | None = None) -> None:
    """Who must act, by when and why then."""
    if detail is not None:
        console.print(Text("\nWho must act", style="bold"))
        if not steps:
            console.print(f"  nobody{f' ({detail.view.doing})' if detail.view and detail.view.doing else ''}")
    for step in steps:
        what = step.step
        reminded = f", reminded {what.chased}x" if what.chased else ""
        console.print(f"  {_whose(what, names)}: {what.waiting_for} [{what.step_id}] ({what.clause})", markup=False)
        console.print(f"    by {moment(what.deadline.due)}{reminded}; {what.deadline.why(names=names)}", markup=False)


def _whose(step: OpenStep, names: Mapping[str, str]) -> str:
    covered = f" for {names.get(step.belongs_to, step.belongs_to)}" if step.covered_by else ""
    return names.get(step.owner, step.owner) + covered


def print_deadlines(deadlines: Sequence[Explained], names: Mapping[str, str]) -> None:
    """Every stretch of every deadline: they add up."""
    if deadlines:
        console.print(Text("\nDeadlines, explained (London time)", style="bold"))
    for one in deadlines:
        console.print(f"  {one.label} [{one.name}]", markup=False)
        for line in lines(one, LONDON, names):
            console.print(f"    {line}", markup=False)


def _print_leads(detail: CaseDetail) -> None:
    if not detail.leads:
        return
    console.print(Text("\nLeads", style="bold"))
    shown = table("  Lead", "State", "Amount", "Invoice")
    for lead in detail.leads:
        billing = lead.billing
        state = lead.problem.replace("-", " ") or (billing.state if billing else "-")
        amount = f"{billing.currency} {billing.gross}" if billing and billing.gross is not None else "-"
        shown.add_row(f"  {lead.lead_id}", state, amount, (billing.invoice_number if billing else "") or "-")
    console.print(shown)


def _print_effects(detail: CaseDetail) -> None:
    waiting = [effect for effect in detail.effects if effect.state not in {"sent", "abandoned"}]
    if not waiting:
        return
    console.print(Text("\nNot sent (yet)", style="bold"))
    for effect in waiting:
        console.print(f"  {effect.state}: {effect.kind} ({effect.clause}) {effect.code}", markup=False)


def print_timeline(timeline: Sequence[Line], names: Mapping[str, str], *, moved: bool = False) -> None:
    """`moved`: the case's own clock was moved on, so that two clocks tell the time: a star marks this machine's."""
    console.print(Text("\nWhat happened (London time)", style="bold"))
    shown = table("  When", "Clause", "What", "Who")
    for line in timeline:
        star = ("*" if line.kind.startswith(_BY_THE_MACHINE) else " ") if moved else ""
        words = f"{told(line, names)} [{line.step_id}]" if line.step_id else told(line, names)
        shown.add_row(f"  {moment(line.at)}{star}", line.clause, Text(words), who_did(line, names))
    console.print(shown)


_BY_THE_MACHINE = ("act.", "effect.")
