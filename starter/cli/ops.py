"""`holdfast up`, `down`, `status`, `doctor`, and the switches that stop what goes out."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated, Literal, cast
from uuid import uuid4

import typer
from rich.text import Text

from adapters.postgres import policy
from adapters.postgres.intake import PostgresIntake
from adapters.postgres.operations import DeadRow
from adapters.postgres.pool import transaction
from domain.errors import Refused
from runtime import local
from runtime.settings import Role, Settings
from starter.cli.books import apply_schedules
from starter.cli.world import As, Json, Office, console, moment, office, operator, plain, run, several, show, table
from starter.doctor import Finding, examine

outbound = typer.Typer(no_args_is_help=True, help="What may leave: off, only to an allowlist, or everything.")
inbox = typer.Typer(no_args_is_help=True, help="What came in and could not be handed over.")
_MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "problem": ("PROBLEM", "red")}


def up(
    only: Annotated[list[str] | None, typer.Option(help="Only this service; may be given again.")] = None,
    as_json: Json = False,
) -> None:
    """Start everything Holdfast needs on this machine and leave it running. What runs already is left as it is."""
    settings = Settings()
    say: Callable[[str], None] = (lambda _: None) if as_json else (lambda line: console.print(Text(line)))
    services = [one for one in local.local_services(settings) if not only or one.name in only]
    if only and len(services) != len(set(only)):
        known = ", ".join(one.name for one in local.local_services(settings))
        raise Refused("unknown-service", f"services are: {known}")
    if settings.database_url:
        _migrate(settings, say)
    after = {"postgres": lambda: _migrate(settings, say), "worker-sops": lambda: _schedule(settings, say)}
    records = local.up(settings, services, after=after, say=say)
    data = {"running": [record.name for record in records], "addresses": local.addresses(settings)}
    show(data, as_json=as_json, human=lambda: print_up(settings))


def _migrate(settings: Settings, say: Callable[[str], None]) -> None:
    """The tables, and the roles that each process logs in with."""
    from adapters.postgres import migrate  # noqa: PLC0415 - a third of a second that no other command needs

    passwords: dict[Role, str] | None = None
    if settings.mode == "local":
        passwords = {role: settings.database_password(role) for role in migrate.ROLES}
    say(migrate.in_words(asyncio.run(migrate.apply(settings.database_url_for("owner"), passwords))))


def _schedule(settings: Settings, say: Callable[[str], None]) -> None:
    """What is done by the clock, once there is somebody to do it."""
    say("schedules: " + ", ".join(f"{name} {done}" for name, done in run(apply_schedules(settings)).items()))


def print_up(settings: Settings) -> None:
    shown = table("", "")
    for name, address in local.addresses(settings).items():
        shown.add_row(name, address)
    console.print(shown)
    if settings.money_people is None:
        console.print(
            "HOLDFAST_MONEY_PEOPLE is not set: from now on nobody may sign for Accounts or as partner, and only"
            f" {settings.approver_name} approves. If that is not meant: holdfast down, set it, holdfast up."
        )
    console.print("Everything is running. `holdfast status` shows how it goes, `holdfast down` ends it.")


def down(as_json: Json = False) -> None:
    """End exactly what `holdfast up` started."""
    said: list[str] = []
    ended = local.down(Settings(), say=said.append)
    show({"ended": ended}, as_json=as_json, human=lambda: console.print(Text("\n".join(said))))


def status(as_json: Json = False) -> None:
    """Say how it goes in one look: what is open, what is late, what is wrong, whether mail goes out."""
    run(_status(as_json=as_json))


async def _status(*, as_json: bool) -> None:
    settings = Settings()
    async with office(settings) as here:
        counts = await here.operations.counts()
    findings = await examine(settings)
    data = {"counts": plain(counts), "findings": plain(findings)}

    def human() -> None:
        steps = (
            f"{several(counts.open_steps, 'step waits', 'steps wait')} for people, {counts.overdue_steps} of them late"
        )
        console.print(f"{several(counts.open_cases, 'open case')}; {steps}")
        inbox = several(counts.waiting_inbox, "row of the inbox waits", "rows of the inbox wait")
        console.print(f"{inbox}; {several(counts.held_effects, 'effect is', 'effects are')} held back")
        _print_findings([one for one in findings if one.level != "ok" or one.about in {"outbound", "temporal"}])

    show(data, as_json=as_json, human=human)


def doctor(as_json: Json = False) -> None:
    """Look for everything that fails in silence. Exit code 1 if there is a problem."""
    findings = run(examine(Settings()))
    show(findings, as_json=as_json, human=lambda: _print_findings(findings))
    if any(one.level == "problem" for one in findings):
        raise typer.Exit(1)


def _print_findings(findings: list[Finding]) -> None:
    for one in findings:
        word, colour = _MARKS[one.level]
        console.print(Text.assemble((f"{word:8}", colour), f"{one.about}: {one.what}"))
        if one.then:
            console.print(Text(f"          {one.then}"))


Mode = Literal["off", "allowlist", "on"]


@outbound.command("show")
def show_outbound(as_json: Json = False) -> None:
    """Show what may leave now, and which clients are on hold."""
    run(_show_outbound(as_json=as_json))


async def _show_outbound(*, as_json: bool) -> None:
    async with office() as here, transaction(here.pool, reading=True) as conn:
        switch, holds = await policy.outbound(conn), await policy.holds(conn)

    def human() -> None:
        by = f", set {moment(switch.changed_at)} by {switch.changed_by}" if switch.changed_by else ""
        console.print(f"outbound is {switch.mode.upper()}{by}")
        for address in switch.allow:
            console.print(f"  allowed: {address}")
        for hold in holds:
            console.print(f"  on hold: {_called(hold.client_id)}, since {moment(hold.since)} by {hold.set_by}")

    show({"outbound": plain(switch), "holds": plain(holds)}, as_json=as_json, human=human)


@outbound.command(
    "set", epilog="Example: holdfast outbound set allowlist --allow me@agency.example --allow vendor:xero"
)
def set_outbound(
    mode: Annotated[str, typer.Argument(help="off, allowlist or on.")],
    allow: Annotated[list[str] | None, typer.Option(help="An address, or vendor:NAME.")] = None,
    person: As = "",
    as_json: Json = False,
) -> None:
    """Say what may leave. What was held back is tried again when it may."""
    if mode not in {"off", "allowlist", "on"}:
        raise Refused("unknown-mode", "outbound is off, allowlist or on")
    run(_set_outbound(cast("Mode", mode), allow or [], operator(person), as_json=as_json))


async def _set_outbound(mode: Mode, allow: list[str], by: str, *, as_json: bool) -> None:
    async with office() as here:
        async with transaction(here.pool) as conn:
            await policy.set_outbound(conn, here.vault, mode, allow, by)
        told = await _resumed(here, "*") if mode != "off" else 0
    line = f"outbound is {mode.upper()}" + (f"; {_again(told)} what was held back" if told else "")
    show({"outbound": mode, "told": told}, as_json=as_json, human=lambda: console.print(line))


async def _resumed(here: Office, client_id: str) -> int:
    return await PostgresIntake(here.pool, here.vault, here.settings).tell_resumed(client_id, f"resumed:{uuid4()}")


Client = Annotated[str, typer.Option("--client", help="One client's id.")]
Everyone = Annotated[bool, typer.Option("--all", help="All clients.")]


def hold(client: Client = "", everyone: Everyone = False, person: As = "", as_json: Json = False) -> None:
    """Keep everything of a client, or of all, from leaving. Cases go on; effects wait."""
    run(_hold(_whom(client, everyone=everyone), operator(person), as_json=as_json))


def resume(client: Client = "", everyone: Everyone = False, person: As = "", as_json: Json = False) -> None:
    """End a hold; what waited is tried again."""
    run(_resume(_whom(client, everyone=everyone), operator(person), as_json=as_json))


def _whom(client: str, *, everyone: bool) -> str:
    if bool(client) == everyone:
        raise Refused("whom", "say whom: --client ID, or --all")
    return client or policy.EVERYONE


def _again(told: int) -> str:
    return several(told, "case tries again", "cases try again")


def _called(client_id: str) -> str:
    return "everything" if client_id == policy.EVERYONE else client_id


async def _hold(client_id: str, by: str, *, as_json: bool) -> None:
    async with office() as here, transaction(here.pool) as conn:
        await policy.hold(conn, here.vault, client_id, by)
    show({"hold": client_id}, as_json=as_json, human=lambda: console.print(f"on hold: {_called(client_id)}"))


async def _resume(client_id: str, by: str, *, as_json: bool) -> None:
    async with office() as here:
        async with transaction(here.pool) as conn:
            ended = await policy.resume(conn, here.vault, client_id, by)
        told = await _resumed(here, client_id) if ended else 0
    whom = _called(client_id)
    line = f"the hold on {whom} is ended; {_again(told)} what waited" if ended else f"{whom} was not on hold"
    show({"resumed": ended, "told": told}, as_json=as_json, human=lambda: console.print(line))


@inbox.command("list", epilog="Example: holdfast inbox list")
def list_dead(as_json: Json = False) -> None:
    """List what could not be handed over, and why."""
    run(_list_dead(as_json=as_json))


async def _list_dead(*, as_json: bool) -> None:
    async with office() as here:
        found = await here.operations.dead_rows()
    show(found, as_json=as_json, human=lambda: _print_dead(found))


def _print_dead(found: Sequence[DeadRow]) -> None:
    if not found:
        console.print("Everything that came in was handed over.")
        return
    shown = table("Row", "From", "Came in", "Tried", "Why not")
    for row in found:
        shown.add_row(str(row.inbox_id), row.provider, moment(row.received_at), f"{row.attempts}x", row.code)
    console.print(shown)
    console.print("Mend the cause, then: holdfast inbox retry ROW")


@inbox.command("retry", epilog="Example: holdfast inbox retry 17")
def retry(
    inbox_id: Annotated[int, typer.Argument(metavar="ROW", help="As `holdfast inbox list` numbers it.")],
    as_json: Json = False,
) -> None:
    """Have a dead row of the inbox handed over again."""
    run(_retry(inbox_id, as_json=as_json))


async def _retry(inbox_id: int, *, as_json: bool) -> None:
    async with office() as here:
        revived = await PostgresIntake(here.pool, here.vault, here.settings).revive(inbox_id)
    if not revived:
        raise Refused("not-dead", f"row {inbox_id} is not a dead row: `holdfast inbox list` shows them")
    show({"revived": inbox_id}, as_json=as_json, human=lambda: console.print(f"row {inbox_id} is handed over again"))
