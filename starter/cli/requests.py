"""`holdfast request`: something is asked of a department (ID-1 to ID-12)."""

from datetime import date
from typing import Annotated
from uuid import uuid4

import typer

from domain.errors import Refused
from starter.cli.cases import start
from starter.cli.world import As, Json, run

requests = typer.Typer(no_args_is_help=True, help="Requests to a department, followed up until they are done.")


@requests.command(
    "open",
    epilog=(
        'Examples: holdfast request open ppc --client brightsmile --title "Pause the brand campaign"; '
        "holdfast request open content --client brightsmile --task 7001 --new-pages"
    ),
)
def open_request(  # noqa: PLR0917 - what a command line can say
    department: Annotated[str, typer.Argument(help="Its short name: see `holdfast directory show`.")] = "",
    client: Annotated[str, typer.Option(help="The client's id; none: it is about no client.")] = "",
    title: Annotated[str, typer.Option(help="What the task is called.")] = "",
    details: Annotated[str, typer.Option(help="All there is to know.")] = "",
    task: Annotated[str, typer.Option(help="It is about this task, which is there already.")] = "",
    ticket: Annotated[str, typer.Option(help="It is about this ticket.")] = "",
    on: Annotated[str, typer.Option(help="Due on this day, such as 2026-12-04; 48 hours if nothing is said.")] = "",
    hours: Annotated[int, typer.Option(help="Due in so many hours.")] = 0,
    new_pages: Annotated[bool, typer.Option("--new-pages", help="Content for new pages: 10 days.")] = False,
    unsure: Annotated[bool, typer.Option("--unsure", help="Ask the department's manager how long it takes.")] = False,
    operational: Annotated[bool, typer.Option("--operational", help="It is not about the client (ID-2).")] = False,
    reference: Annotated[str, typer.Option(help="Your own name for it: the same again is the same request.")] = "",
    by: As = "",
    as_json: Json = False,
) -> None:
    """Ask something of a department: a task with everybody on it, followed up until it is done."""
    said = {
        "department": department, "client_id": client, "title": title, "details": details, "task_id": task,
        "ticket_id": ticket, "due_on": day(on) if on else None, "hours": hours or None, "new_pages": new_pages,
        "unsure": unsure, "operational": operational, "reference": reference or f"cli-{uuid4()}",
    }  # fmt: skip
    run(start("department-requests", {name: value for name, value in said.items() if value}, by, as_json=as_json))


def day(text: str) -> str:
    """Raises Refused `bad-day`."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise Refused("bad-day", f"{text} is not a day such as 2026-12-04") from None
