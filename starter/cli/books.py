"""`holdfast billing`, `holdfast schedules`: month end."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Annotated

import typer
from temporalio.client import ScheduleDescription

from adapters.postgres.promises import PostgresPromises
from domain.books_check import ListedLead
from domain.errors import Refused
from runtime.settings import Settings
from starter import schedules as made
from starter.cli.world import Json, console, moment, office, run, show, table

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
    lines = "\n".join(f"{name}: {what}" for name, what in done.items())
    show(done, as_json=as_json, human=lambda: console.print(lines))


async def apply_schedules(settings: Settings) -> dict[str, str]:
    """`created` or `updated`, by the schedule's id."""
    async with office(settings) as here:
        client, days = await here.temporal(), await PostgresPromises(here.pool).invoice_days()
    return {name: await made.apply(client, name, one) for name, one in made.wanted(days).items()}


@schedules.command("run", epilog="Example: holdfast schedules run morning-digest")
def run_schedule(
    name: Annotated[str, typer.Argument(metavar="SCHEDULE", help="As `holdfast schedules show` names it.")],
    as_json: Json = False,
) -> None:
    """Have it done now, whatever the clock says. If it is being done already, nothing more happens."""
    run(_run(name, as_json=as_json))


async def _run(name: str, *, as_json: bool) -> None:
    async with office() as here:
        client, days = await here.temporal(), await PostgresPromises(here.pool).invoice_days()
    if name not in made.wanted(days):
        raise Refused("unknown-schedule", f"there is no schedule {name}: {', '.join(made.wanted(days))}")
    await client.get_schedule_handle(name).trigger()
    show({"started": name}, as_json=as_json, human=lambda: console.print(f"{name} is being done."))


@schedules.command("show")
def show_schedules(as_json: Json = False) -> None:
    """Show what is done by the clock, and when next."""
    run(_show(as_json=as_json))


async def _show(*, as_json: bool) -> None:
    async with office() as here:
        client, days = await here.temporal(), await PostgresPromises(here.pool).invoice_days()
    found = {name: await made.describe(client, name) for name in made.wanted(days)}
    data = {name: _shown(one) for name, one in found.items()}
    show(data, as_json=as_json, human=lambda: _print_schedules(data))


def _print_schedules(found: Mapping[str, Mapping[str, object]]) -> None:
    shown = table("Schedule", "What it does", "Next (London time)")
    for name, one in found.items():
        shown.add_row(name, made.WHAT[name], "PAUSED" if one["paused"] else str(one["when"]).removeprefix("next "))
    console.print(shown)


def _shown(found: ScheduleDescription) -> dict[str, object]:
    state, due = found.schedule.state, next(iter(found.info.next_action_times), None)
    when = f"next {moment(due)}"
    return {"paused": state.paused, "note": state.note or "", "next": due.isoformat() if due else None, "when": when}
