"""`holdfast directory`, `holdfast people`, `holdfast reassign`: who is asked, who is away, and who takes over."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text
from temporalio.service import RPCError

from adapters.postgres.attendance import Absence, Attendance, Left
from adapters.postgres.directory import PostgresDirectory
from adapters.postgres.directory_book import DepartmentEntry, DirectoryBook, Worry
from adapters.postgres.imports import PostgresImports
from adapters.postgres.reader import StepRow
from adapters.temporal.owners import TemporalMovements
from domain.errors import Refused
from domain.messages import ActKind
from domain.people import Topic, department_role
from domain.rules.routing import Contact
from starter.cli.world import (
    MISTAKE,
    As,
    Json,
    Office,
    complaints,
    console,
    moment,
    office,
    operator,
    plain,
    run,
    show,
    signed_in,
    table,
)
from starter.client import Client
from starter.imports import import_file

directory = typer.Typer(no_args_is_help=True, help="Whom to contact in each department (ID-1), since when, by whom.")
people = typer.Typer(no_args_is_help=True, help="Who is away, who is back, and who left.")

Department = Annotated[str, typer.Argument(metavar="DEPARTMENT", help="Its short name, such as google-local.")]
Person = Annotated[str, typer.Argument(metavar="PERSON", help="A person's id.")]
StandIn = Annotated[str, typer.Option("--stand-in", metavar="PERSON", help="Who does their work meanwhile.")]


@directory.command("show", epilog="Example: holdfast directory show andy --on 2026-12-01")
def show_directory(
    department: Annotated[str, typer.Argument(metavar="[DEPARTMENT]", help="Only this one.")] = "",
    on: Annotated[str, typer.Option(help="As it was or will be on a day, such as 2026-12-01.")] = "",
    as_json: Json = False,
) -> None:
    """Show the departments with their contacts, who is asked today, and what can't be relied on."""
    run(_show(department, day(on) if on else None, as_json=as_json))


async def _show(slug: str, on: date | None, *, as_json: bool) -> None:
    async with office() as here:
        book = DirectoryBook(here.pool, here.vault)
        found, worries = await book.entries(on, slug), await book.worries()
        today = {} if on else await _asked_today(here, found)
        pairs = await book.pairs()
    worries = tuple(one for one in worries if slug in {"", one.slug})
    shown = [_as_shown(one, today.get(one.slug)) for one in found]
    data = {"departments": shown, "pairs": pairs, "worries": plain(worries)}
    show(data, as_json=as_json, human=lambda: _print(shown, () if slug else pairs, worries))


async def _asked_today(here: Office, found: Sequence[DepartmentEntry]) -> dict[str, Mapping[str, Any]]:
    """Who is asked now if nothing else is said: people by their id, and why it is not the contacts."""
    known = PostgresDirectory(here.pool)
    asked = {one.slug: await known.asked(department_role(one.slug)) for one in found}
    return {
        slug: {"people": [one.person_id for one in answer.people], "fell_back": answer.fell_back}
        for slug, answer in asked.items()
    }


def _as_shown(entry: DepartmentEntry, today: Mapping[str, Any] | None) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "slug": entry.slug,
        "name": entry.name,
        "contacts": [f"{one.person_id}{f' ({one.topic})' if one.topic else ''}" for one in entry.contacts],
        "principal": entry.principal_id,
        "manager": entry.manager_id,
        "since": str(entry.since),
        "set_by": entry.set_by,
        "confirmed": moment(entry.confirmed_at) if entry.confirmed_at else "",
        "confirmed_by": entry.confirmed_by,
    }
    return shown if today is None else shown | {"today": dict(today)}


def _print(shown: Sequence[Mapping[str, Any]], pairs: Sequence[tuple[str, str]], worries: Sequence[Worry]) -> None:
    rows = table("Department", "Contacts", "Manager", "Asked today", "Since", "Set by", "Confirmed")
    for one in shown:
        today = ", ".join(one["today"]["people"]) if "today" in one else ""
        name = f"{one['slug']} ({one['name']})"
        confirmed = f"{one['confirmed']} by {one['confirmed_by']}" if one["confirmed"] else "-"
        contacts = ", ".join(one["contacts"])
        rows.add_row(name, contacts, one["manager"] or "-", today, one["since"], one["set_by"], confirmed)
    console.print(rows)
    for csm, css in pairs:
        console.print(Text(f"{css} is the CSS of {csm}"))
    tell(worries)


def tell(worries: Sequence[Worry]) -> None:
    """What the directory can't be relied on for, at once."""
    for one in worries:
        complaints.print(Text(f"{one.what}: {one.then}", style="yellow"))


@directory.command("set", epilog="Example: holdfast directory set andy --contact al:operational --contact cath:client")
def set_department(  # noqa: PLR0917 - what a command line can say
    department: Department,
    contact: Annotated[list[str] | None, typer.Option(help="PERSON or PERSON:operational, PERSON:client.")] = None,
    manager: Annotated[str | None, typer.Option(metavar="PERSON", help="Its manager.")] = None,
    principal: Annotated[str | None, typer.Option(metavar="PERSON", help="For whom the contacts speak.")] = None,
    name: Annotated[str, typer.Option(help="What people call it.")] = "",
    since: Annotated[str, typer.Option(help="From a day on, such as 2026-12-01; else from today.")] = "",
    close: Annotated[bool, typer.Option("--close", help="There is no such department any more.")] = False,
    person: As = "",
    as_json: Json = False,
) -> None:
    """Say whom to contact in a department. What is not given stays as it was; what was said before is kept."""
    said = {"contact": contact, "manager": manager, "principal": principal, "name": name}
    run(_set(department, said, day(since) if since else None, operator(person), close=close, as_json=as_json))


async def _set(slug: str, said: Mapping[str, Any], since: date | None, by: str, *, close: bool, as_json: bool) -> None:
    async with office() as here:
        book = DirectoryBook(here.pool, here.vault)
        before = next((one for one in await book.entries(since) if one.slug == slug), None)
        changed = await book.set(_changed(slug, before, said, since), by, closed=close)
        told, worries = await tell_cases(here), await book.worries()
    line = f"{slug}: set{_told(told)}" if changed else f"{slug}: as before"

    def human() -> None:
        console.print(line)
        tell([one for one in worries if one.slug == slug])

    show({"department": slug, "changed": changed, "told": told}, as_json=as_json, human=human)


def _changed(slug: str, before: DepartmentEntry | None, said: Mapping[str, Any], since: date | None) -> DepartmentEntry:
    old = before or DepartmentEntry(slug, slug, ())
    contacts = tuple(_contact(one) for one in said["contact"]) if said["contact"] else old.contacts
    manager = old.manager_id if said["manager"] is None else said["manager"]
    principal = old.principal_id if said["principal"] is None else said["principal"]
    return DepartmentEntry(slug, said["name"] or old.name, contacts, principal, manager, since)


def _contact(text: str) -> Contact:
    person_id, _, topic = text.partition(":")
    if topic not in set(Topic):
        raise Refused("bad-contact", f"{text}: after a colon stands operational or client")
    return Contact(person_id, Topic(topic))


@directory.command("confirm", epilog="Example: holdfast directory confirm content ppc --as nicole")
def confirm(
    department: Annotated[list[str] | None, typer.Argument(metavar="[DEPARTMENT...]", help="Else all.")] = None,
    person: As = "",
    as_json: Json = False,
) -> None:
    """Say that you looked and it is true. After 90 days without that, `holdfast doctor` asks for it."""
    run(_confirm(department or [], operator(person), as_json=as_json))


async def _confirm(slugs: Sequence[str], by: str, *, as_json: bool) -> None:
    async with office() as here:
        done = await DirectoryBook(here.pool, here.vault).confirm(slugs, by)
    show({"confirmed": done}, as_json=as_json, human=lambda: console.print(f"{len(done)} departments confirmed"))


@directory.command("import", epilog="Example: holdfast directory import samples/directory.csv --as nicole")
def import_directory(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV with slug,name,contacts,principal,manager.")],
    person: As = "",
    as_json: Json = False,
) -> None:
    """Bring in departments and their contacts: all rows or none. What is said already keeps its date."""
    run(_import(file, operator(person), as_json=as_json))


async def _import(file: Path, by: str, *, as_json: bool) -> None:
    async with office() as here:
        report = await import_file(PostgresImports(here.pool, here.vault), "directory", file, by)
        told, worries = await tell_cases(here), await DirectoryBook(here.pool, here.vault).worries()
    line = f"directory: {report.added} new, {report.changed} changed, {report.same} as before{_told(told)}"

    def human() -> None:
        console.print(line)
        tell(worries)

    show(plain(report), as_json=as_json, human=human)


@directory.command("sweep")
def sweep(as_json: Json = False) -> None:
    """Tell open cases now who went, left or came back; a schedule does it every night."""
    run(_sweep(as_json=as_json))


async def _sweep(*, as_json: bool) -> None:
    async with office() as here:
        told = await TemporalMovements(here.pool, await here.temporal()).tell()
    show({"told": told}, as_json=as_json, human=lambda: console.print(f"{told} open cases were told"))


async def tell_cases(here: Office) -> int | None:
    """How many open cases were told what moved; None if Temporal can't be reached: the next sweep tells them."""
    try:
        return await TemporalMovements(here.pool, await here.temporal()).tell()
    except (RPCError, RuntimeError):
        return None


def _told(told: int | None) -> str:
    if told is None:
        return "; Temporal can't be reached now: open cases are told by the next sweep"
    return f"; {told} open cases were told" if told else ""


@people.command(
    "absent", epilog="Example: holdfast people absent carl --from 2026-12-21 --to 2027-01-02 --stand-in andy"
)
def absent(
    person_id: Person,
    starts: Annotated[str, typer.Option("--from", metavar="DAY", help="The first day away, such as 2026-12-21.")],
    ends: Annotated[str, typer.Option("--to", metavar="DAY", help="The last day away.")],
    stand_in: StandIn = "",
    person: As = "",
    as_json: Json = False,
) -> None:
    """Put down an absence (days in London). Open steps go to whoever stands in, and come back afterwards."""
    run(_absent(Absence(person_id, day(starts), day(ends), stand_in), operator(person), as_json=as_json))


async def _absent(absence: Absence, by: str, *, as_json: bool) -> None:
    async with office() as here:
        new = await Attendance(here.pool, here.vault).away(absence, by)
        told, worries = await tell_cases(here), await DirectoryBook(here.pool, here.vault).worries()
    stands_in = f", {absence.stand_in_id} stands in" if absence.stand_in_id else ", nobody stands in"
    line = f"{absence.person_id} is away from {absence.starts} to {absence.ends}{stands_in}{_told(told)}"

    def human() -> None:
        console.print(line if new else f"{line} (known before)")
        tell([one for one in worries if "is here today" in one.what])

    show({"absence": plain(absence), "new": new, "told": told}, as_json=as_json, human=human)


@people.command("back", epilog="Example: holdfast people back carl")
def back(person_id: Person, person: As = "", as_json: Json = False) -> None:
    """End the absence of today; if there is none, call off those to come."""
    run(_back(person_id, operator(person), as_json=as_json))


async def _back(person_id: str, by: str, *, as_json: bool) -> None:
    async with office() as here:
        ended = await Attendance(here.pool, here.vault).back(person_id, by)
        told = await tell_cases(here)
    line = f"{person_id} is back{_told(told)}" if ended else f"{person_id} was not away"
    show({"ended": plain(ended), "told": told}, as_json=as_json, human=lambda: console.print(line))


@people.command("away")
def away(as_json: Json = False) -> None:
    """List who is away today and who will be."""
    run(_away(as_json=as_json))


async def _away(*, as_json: bool) -> None:
    async with office() as here:
        found = await Attendance(here.pool, here.vault).absences()

    def human() -> None:
        rows = table("Person", "From", "To", "Stands in")
        for one in found:
            rows.add_row(one.person_id, str(one.starts), str(one.ends), one.stand_in_id or "nobody")
        console.print(rows if found else "Nobody is away.")

    show(found, as_json=as_json, human=human)


@people.command("leave", epilog="Example: holdfast people leave zane --to quinn")
def leave(
    person_id: Person,
    to: Annotated[str, typer.Option("--to", metavar="PERSON", help="Who takes over.")] = "",
    person: As = "",
    as_json: Json = False,
) -> None:
    """Say that a person left: their open steps, clients, departments and pairs pass to whoever takes over."""
    run(_leave(person_id, to, operator(person), as_json=as_json))


async def _leave(person_id: str, to: str, by: str, *, as_json: bool) -> None:
    async with office() as here:
        left = await Attendance(here.pool, here.vault).leave(person_id, to, by)
        told, worries = await tell_cases(here), await DirectoryBook(here.pool, here.vault).worries()

    def human() -> None:
        console.print(f"{person_id} left{_told(told)}")
        _print_left(left, to)
        tell(worries)

    show({"left": plain(left), "told": told}, as_json=as_json, human=human)


def _print_left(left: Left, to: str) -> None:
    passed = {"clients": left.clients, "departments": left.departments, "CSMs": left.csms}
    for what, found in passed.items():
        if found:
            console.print(Text(f"  {what} to {to}: {', '.join(found)}"))


def reassign(
    giver: Annotated[str, typer.Option("--from", metavar="PERSON", help="Whose open steps.")],
    to: Annotated[str, typer.Option("--to", metavar="PERSON", help="To whom.")],
    case: Annotated[str, typer.Option(help="Only this case's.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list them.")] = False,
    person: As = "",
    as_json: Json = False,
) -> None:
    """Give all open steps that somebody claimed or was given to another person, each by a signed act of yours.

    As that person, or as a manager of the team asked. The same again finds what is left. Steps that a department asks
    follow the directory: `holdfast directory set`.
    """
    run(_reassign(giver, to, case, person, dry_run=dry_run, as_json=as_json))


async def _reassign(giver: str, to: str, case: str, person: str, *, dry_run: bool, as_json: bool) -> None:
    async with signed_in(person) as here:
        found = await here.held_by(giver, await here.find_case(case) if case else "")
        done = [_line(one, "would be given") for one in found]
        if not dry_run:
            done = [await _give(here, one, to, as_json=as_json) for one in found]
    refused = [one for one in done if one["state"] == "refused"]
    summary = f"{len(done) - len(refused)} of {len(done)} open steps of {giver} {_ENDED[dry_run]} {to}"
    if dry_run and not as_json:
        console.print(Text("\n".join(f"{one['case_id']} {one['step_id']}" for one in done)))
    show({"from": giver, "to": to, "steps": done}, as_json=as_json, human=lambda: console.print(summary))
    if refused:
        raise typer.Exit(MISTAKE)


_ENDED = {True: "would be given to", False: "were given to"}


async def _give(here: Client, one: StepRow, to: str, *, as_json: bool) -> dict[str, str]:
    """One act; what is refused is said and keeps nothing else back."""
    try:
        done = await here.act(one.case_id, one.step.step_id, ActKind.REASSIGN, {"to": to})
        line = _line(one, done.state, done.code, done.sentence)
    except Refused as refused:
        line = _line(one, "refused", refused.code, str(refused))
    if not as_json:
        console.print(Text(f"{line['case_id']} {line['step_id']}: {line['sentence'] or line['state']}"))
    return line


def _line(one: StepRow, state: str, code: str = "", sentence: str = "") -> dict[str, str]:
    return {
        "case_id": one.case_id, "step_id": one.step.step_id, "state": state, "code": code, "sentence": sentence
    }  # fmt: skip


def day(text: str) -> date:
    """Raises Refused."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Refused("bad-day", f"{text} is not a day such as 2026-12-21") from None
