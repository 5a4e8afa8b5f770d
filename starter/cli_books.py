"""`holdfast billing`, `holdfast schedules`: month end."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated

import typer

from adapters.postgres.promises import PostgresPromises
from domain.books_check import ListedLead
from domain.errors import Refused
from runtime.settings import Settings
from starter import schedules as made
from starter.cli_world import Json, console, moment, office, run, show, table

billing = typer.Typer(no_args_is_help=True, help="What Accounts need to know when invoices are made.")
schedules = typer.Typer(no_args_is_help=True, help="What Holdfast does by the clock.")


@billing.command("do-not-invoice", epilog="Example: holdfast billing do-not-invoice --month 2026-11")
def do_not_invoice(
    month: Annotated[str, typer.Option(help="YYYY-MM: the leads received in it. Without it, all.")] = "",
    as_json: Json = False,
) -> None:
    """List the leads that are not to be invoiced, for Accounts (RL-11)."""
    run(_do_not_invoice(_month(month), as_json=as_json))


def _month(text: str) -> date | None:
    try:
        return datetime.strptime(text, "%Y-%m").date() if text else None  # noqa: DTZ007 - a month has no zone
    except ValueError:
        raise Refused("no-month", f"{text} is no month: write it as 2026-11") from None


async def _do_not_invoice(month: date | None, *, as_json: bool) -> None:
    async with office() as here:
        found = await PostgresPromises(here.pool).do_not_invoice(month)
    show(found, as_json=as_json, human=lambda: _print_list(found))


def _print_list(found: Sequence[ListedLead]) -> None:
    if not found:
        console.print("No lead is on the list.")
        return
    shown = table("Lead", "Client", "Received", "On the list since", "Case")
    for one in found:
        shown.add_row(one.lead_id, one.client_name, moment(one.received_at), moment(one.since), one.case_id)
    console.print(shown)


@billing.command("check")
def check(as_json: Json = False) -> None:
    """Have the books checked now; what is found becomes a step for Accounts."""
    run(_check(as_json=as_json))


async def _check(*, as_json: bool) -> None:
    async with office() as here:
        await made.check_now(await here.temporal())
    show({"check": "started"}, as_json=as_json, human=lambda: console.print("The books are being checked."))


@schedules.command("apply")
def apply(as_json: Json = False) -> None:
    """Make the schedules what they should be. One that was paused stays paused."""
    done = run(apply_schedules(Settings()))
    show({"books-check": done}, as_json=as_json, human=lambda: console.print(f"books-check: {done}"))


async def apply_schedules(settings: Settings) -> str:
    """`created` or `updated`."""
    async with office(settings) as here:
        return await made.apply(await here.temporal(), await PostgresPromises(here.pool).invoice_days())


@schedules.command("show")
def show_schedules(as_json: Json = False) -> None:
    """Show when the books are checked next, and how it went lately."""
    run(_show(as_json=as_json))


async def _show(*, as_json: bool) -> None:
    async with office() as here:
        found = await made.describe(await here.temporal())
    state, due = found.schedule.state, found.info.next_action_times[:1]
    data = {"paused": state.paused, "note": state.note or "", "next": due[0].isoformat() if due else None}
    line = f"books-check: {'PAUSED' if state.paused else f'next {moment(due[0] if due else None)}'}"
    show({"books-check": data}, as_json=as_json, human=lambda: console.print(line))
