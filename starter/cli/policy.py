"""`holdfast policy`, `holdfast import rates|prices`: limits, VAT, stand-ins, exchange rates and prices, changed by
signed acts alone.
"""

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import JsonValue
from rich.text import Text

from adapters.postgres.orders import read_orders, read_settings
from domain.errors import Refused
from domain.messages import ActKind
from domain.orders import APPROVAL_LIMIT, VAT_BASIS
from starter.cli.data import imports
from starter.cli.world import As, Json, console, moment, office, run, show, signed_in, table
from starter.tables import read_table

policy = typer.Typer(no_args_is_help=True, help="Limits of the rules and who stands in: versions, each signed.")


@policy.command("show", epilog="Example: holdfast policy show")
def show_policy(as_json: Json = False) -> None:
    """Show the settings of the rules with their versions, exchange rates, and who stands in for the approver."""
    run(_show(as_json=as_json))


async def _show(*, as_json: bool) -> None:
    async with office() as here:
        settings, orders = await read_settings(here.pool), await read_orders(here.pool)
        names = await here.client().names()
    data = {"settings": settings, "orders": orders}
    show(data, as_json=as_json, human=lambda: _print(settings, orders, names))


def _print(
    settings: tuple[Mapping[str, Any], ...], orders: tuple[Mapping[str, Any], ...], names: Mapping[str, str]
) -> None:
    rows = table("Setting", "Version", "Value", "Since")
    for one in settings:
        rows.add_row(one["name"], str(one["version"]), _value(one["value"]), moment(one["since"]))
    console.print(rows)
    signed = table("Signed", "By", "At", "What")
    for one in orders:
        by, what = names.get(one["person_id"], one["person_id"]), Text(ordered(json.loads(one["payload"])))
        signed.add_row(one["kind"], by, moment(one["accepted_at"]), what)
    if orders:
        console.print(signed)


def ordered(said: JsonValue) -> str:
    """What an order says, without JSON's brackets."""
    match said:
        case dict():
            return " ".join(filter(None, map(ordered, said.values())))
        case list():
            return ", ".join(map(ordered, said))
        case _:
            return str(said)


def _value(value: JsonValue) -> str:
    if not isinstance(value, dict):
        return str(value)
    return " ".join(f"{one} hours" if unit == "hours" else str(one) for unit, one in value.items())


@policy.command("set", epilog="Example: holdfast policy set approval-limit 400.00 --as priya")
def set_policy(
    name: Annotated[str, typer.Argument(help=f"Which setting: {APPROVAL_LIMIT} or {VAT_BASIS}.")],
    value: Annotated[str, typer.Argument(help=f"In GBP, such as 400.00; {VAT_BASIS}: with or without.")],
    person: As = "",
    as_json: Json = False,
) -> None:
    """Set a rule from now on: the limit (RL-14), or whether amounts are compared with it with VAT or without.

    Signed by the approver or a partner who has no hand in an open case. An open case keeps the stricter of the rule it
    began with and today's.
    """
    given = {"vat": value} if name == VAT_BASIS else {"amount": value, "currency": "GBP"}
    run(_order(ActKind.SET_POLICY, {"name": name, "value": given}, person, as_json=as_json))


@policy.command(
    "stand-in", epilog="Example: holdfast policy stand-in otto shobhit 2026-12-21 2027-01-02 2000 --as priya"
)
def stand_in(  # noqa: PLR0917 - what a command line can say
    stands_in: Annotated[str, typer.Argument(metavar="PERSON", help="Who stands in.")],
    approver: Annotated[str, typer.Argument(metavar="APPROVER", help="For whom.")],
    starts: Annotated[str, typer.Argument(metavar="FROM", help="The first day, such as 2026-12-21; not past.")],
    ends: Annotated[str, typer.Argument(metavar="TO", help="The last day.")],
    ceiling: Annotated[str, typer.Argument(metavar="CEILING", help="In GBP: above it only the approver decides.")],
    person: As = "",
    as_json: Json = False,
) -> None:
    """Let somebody decide for the approver, from day to day, up to a ceiling. A later one for the two replaces it."""
    run(_stand_in((approver, stands_in), (_day(starts), _day(ends)), ceiling, person, as_json=as_json))


async def _stand_in(
    people: tuple[str, str], days: tuple[date, date], ceiling: str, person: str, *, as_json: bool
) -> None:
    async with signed_in(None) as here:
        approver, stands_in = [(await here.person(one)).identity for one in people]
    payload = {
        "approver": approver.model_dump(),
        "stand_in": stands_in.model_dump(),
        "starts": days[0].isoformat(),
        "ends": days[1].isoformat(),
        "ceiling_gbp": ceiling,
    }
    await _order(ActKind.SET_STAND_IN, payload, person, as_json=as_json)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Refused("bad-day", f"{text} is not a day such as 2026-12-21") from None


@imports.command("rates", epilog="Example: holdfast import rates rates.csv --as priya")
def import_rates(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV with currency,on,gbp, or JSON.")],
    person: As = "",
    as_json: Json = False,
) -> None:
    """Bring in exchange rates: how many GBP one unit is, on a day. Signed; all rows or none, none of them backdated."""
    rows = read_table(file, ["currency", "on", "gbp"])
    run(_order(ActKind.IMPORT_RATES, {"rates": [row.cells for row in rows]}, person, as_json=as_json))


@imports.command("prices", epilog="Example: holdfast import prices prices.csv --as priya")
def import_prices(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV with lead_id,price and currency, or JSON.")],
    person: As = "",
    as_json: Json = False,
) -> None:
    """Change what leads cost, VAT included, from now on. Signed; all rows or none. Each price is a version of its own.

    A price that only an import of leads changed counts as the one before it, and such a lead needs the approver.
    """
    rows = read_table(file, ["lead_id", "price"], ["currency"])
    prices = [{name: cell for name, cell in row.cells.items() if cell} for row in rows]
    run(_order(ActKind.SET_PRICES, {"prices": prices}, person, as_json=as_json))


async def _order(kind: ActKind, payload: dict[str, Any], person: str, *, as_json: bool) -> None:
    async with signed_in(person) as here:
        jti = await here.order(kind, payload)
    show({"jti": jti}, as_json=as_json, human=lambda: console.print("Done, and signed: it holds from now on."))
