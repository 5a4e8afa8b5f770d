"""`holdfast api-key`: keys by which other systems come in. A secret is shown once, when it is made."""

from datetime import timedelta
from typing import Annotated

import typer
from rich.text import Text

from adapters.postgres.api_keys import ApiKeys
from domain.api_keys import ApiKey, Scope
from domain.errors import Refused
from domain.people import department_role
from starter.cli.world import As, Json, console, moment, office, operator, run, show, table

keys = typer.Typer(no_args_is_help=True, help="API keys: made, rotated, revoked. None of them reaches money.")
Name = Annotated[str, typer.Argument(metavar="NAME", help="The key's name, such as ppc-website.")]
Days = Annotated[int, typer.Option("--days", min=1, max=730, help="For how long the secret counts.")]


@keys.command(epilog="Example: holdfast api-key create ppc-website --department team:return-leads --as otto")
def create(  # noqa: PLR0917 - what a command line can say
    name: Name,
    department: Annotated[
        str, typer.Option(help="As which department it acts: one of the directory, such as ppc, or team:return-leads.")
    ] = "",
    acts_as: Annotated[str, typer.Option("--person", help="As which person it acts, by id, instead.")] = "",
    scope: Annotated[
        list[Scope] | None, typer.Option(help="What it may do; may be given again. All if left out.")
    ] = None,
    days: Days = 90,
    per_minute: Annotated[int, typer.Option(min=1, max=60_000, help="How many requests a minute.")] = 600,
    person: As = "",
    as_json: Json = False,
) -> None:
    """Make a key and show its secret, this once."""
    if bool(department) == bool(acts_as):
        raise Refused("acts-as-whom", "say as whom it acts: --department, or --person")
    whose = department if ":" in department else department_role(department)
    principal, scopes = whose if department else acts_as, tuple(scope or Scope)
    run(_create(name, principal, scopes, days, per_minute, operator(person), as_json=as_json))


async def _create(
    name: str, principal: str, scopes: tuple[Scope, ...], days: int, per_minute: int, by: str, *, as_json: bool
) -> None:
    async with office() as here:
        made = ApiKeys(here.pool)
        lasts = timedelta(days=days)
        token = await made.create(name, principal, scopes, lasts=lasts, per_minute=per_minute, by=by)
    _print_token(name, token, as_json=as_json)


def _print_token(name: str, token: str, *, as_json: bool) -> None:
    def human() -> None:
        console.print(Text(token))
        console.print("Keep it where only that system reads it: it is never shown again.")

    show({"name": name, "token": token}, as_json=as_json, human=human)


@keys.command("list")
def list_keys(as_json: Json = False) -> None:
    """List keys with the visible beginning of each secret, who they act as, and when they were last used."""
    run(_list(as_json=as_json))


async def _list(*, as_json: bool) -> None:
    async with office() as here:
        found = await ApiKeys(here.pool).list()
    show(found, as_json=as_json, human=lambda: _print_keys(found))


def _print_keys(found: tuple[ApiKey, ...]) -> None:
    if not found:
        console.print("There is no API key.")
        return
    shown = table("Key", "Acts as", "May", "Secret", "State", "Until", "Last used")
    for key in found:
        may = " ".join(key.scopes)
        for secret in key.secrets:
            begins, used = f"hf_{secret.key_id}_...", moment(secret.last_used_at)
            shown.add_row(key.name, key.acts_as, may, begins, secret.state, moment(secret.expires_at), used)
    console.print(shown)


@keys.command(epilog="Example: holdfast api-key rotate ppc-website --overlap-days 7 --as otto")
def rotate(
    name: Name,
    days: Days = 90,
    overlap_days: Annotated[int, typer.Option(min=0, max=90, help="How long the present secret counts on.")] = 7,
    person: As = "",
    as_json: Json = False,
) -> None:
    """Make a second secret beside the present one, so that the other system can change over without a gap."""
    run(_rotate(name, days, overlap_days, operator(person), as_json=as_json))


async def _rotate(name: str, days: int, overlap_days: int, by: str, *, as_json: bool) -> None:
    lasts, overlap = timedelta(days=days), timedelta(days=overlap_days)
    async with office() as here:
        token = await ApiKeys(here.pool).rotate(name, lasts=lasts, overlap=overlap, by=by)
    _print_token(name, token, as_json=as_json)


@keys.command(epilog="Example: holdfast api-key revoke ppc-website --as otto")
def revoke(
    what: Annotated[str, typer.Argument(metavar="KEY", help="A key's name, or the id of one secret (hf_<id>_...).")],
    person: As = "",
    as_json: Json = False,
) -> None:
    """End a key, or one of its secrets, at once and for ever."""
    run(_revoke(what, operator(person), as_json=as_json))


async def _revoke(what: str, by: str, *, as_json: bool) -> None:
    async with office() as here:
        ended = await ApiKeys(here.pool).revoke(what.removeprefix("hf_").partition("_")[0], by)
    show({"ended": ended}, as_json=as_json, human=lambda: console.print(f"{ended} secrets don't count any more."))
