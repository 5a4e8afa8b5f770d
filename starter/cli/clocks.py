"""`holdfast calendar`, `holdfast targets`: working hours, days off, and how long things may take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.text import Text

from adapters.postgres.calendars import AGENCY, CalendarRow, PostgresCalendars, TargetRow
from domain.errors import Refused
from domain.rules.calendar import Calendar, Closure, Region, in_part, next_working_moment
from domain.rules.clock import Cause, ClockKind, PauseRule, Target
from domain.rules.hours import duration_in_words, hours_in_words, parse_duration, parse_hours, parse_time
from starter.cli.world import As, Json, Office, console, moment, office, operator, run, show, table
from starter.tables import Row, read_table

calendar = typer.Typer(no_args_is_help=True, help="Working hours, public holidays and closures: when a clock runs.")
targets = typer.Typer(no_args_is_help=True, help="How long things may take, what warns before, and what may pause it.")
Whose = Annotated[str, typer.Option("--of", metavar="CALENDAR", help="agency, team:..., person:... or client:...")]
Day = Annotated[str, typer.Argument(metavar="DAY", help="Such as 2026-12-24.")]
Begins = Annotated[str, typer.Option("--from", metavar="TIME", help="Of a part of a day: when it begins, as 13:00.")]
MOST_SHOWN = 12
W = TypeVar("W", Region, ClockKind, Cause)


@dataclass(frozen=True)
class Shown:
    """One calendar as a case would get it now."""

    row: CalendarRow
    calendar: Calendar
    next_working_moment: datetime


@calendar.command("show", epilog="Example: holdfast calendar show --of team:return-leads")
def show_calendar(whose: Whose = "", as_json: Json = False) -> None:
    """Show all calendars, or with --of the one that counts for somebody, with the days off to come."""
    run(_show_one(whose, as_json=as_json) if whose else _show_all(as_json=as_json))


async def _show_all(*, as_json: bool) -> None:
    async with office() as here:
        rows = await _calendars(here).calendars()
    show([_row(one) for one in rows], as_json=as_json, human=lambda: _print_all(rows))


async def _show_one(whose: str, *, as_json: bool) -> None:
    async with office() as here:
        found = await _calendars(here).snapshot(whose)
        rows = {row.calendar_id: row for row in await _calendars(here).calendars()}
        now = await _calendars(here).now()
    shown = Shown(rows[found.calendar_id], found, next_working_moment(found, now))
    data = {**_row(shown.row), "snapshot": found, "next_working_moment": shown.next_working_moment}
    show(data, as_json=as_json, human=lambda: _print_one(whose, shown, now))


def _row(row: CalendarRow) -> dict[str, Any]:
    return {
        "calendar": row.calendar_id,
        "version": row.version,
        "hours": hours_in_words(row.windows),
        "zone": row.zone,
        "holidays": row.region.value,
        "since": row.since,
        "set_by": row.set_by,
    }


def _print_all(rows: Sequence[CalendarRow]) -> None:
    shown = table("Calendar", "Version", "Hours", "Zone", "Holidays of", "Since")
    for row in rows:
        hours, version = hours_in_words(row.windows), str(row.version)
        shown.add_row(row.calendar_id, version, hours, row.zone, row.region.value, moment(row.since))
    console.print(shown)
    console.print("Whoever has none of their own has the agency's. Days off: holdfast calendar show --of agency")


def _print_one(whose: str, shown: Shown, now: datetime) -> None:
    found = shown.calendar
    console.print(Text(f"{found.calendar_id}, version {found.version}", style="bold"))
    if found.calendar_id != whose:
        console.print(f"{whose} has no calendar of its own: the {found.calendar_id}'s counts.")
    console.print(f"{hours_in_words(found.windows)} in {found.zone}; public holidays of {shown.row.region.value}")
    opens = shown.next_working_moment
    console.print("It is open now." if opens <= now else f"It is closed now, and opens {moment(opens)} (London).")
    days = [(one.day, one.name) for one in found.holidays if one.day >= now.date()]
    days += [(one.day, f"{one.name}{in_part(one)}") for one in found.closures if one.day >= now.date()]
    for day, name in sorted(days)[:MOST_SHOWN]:
        console.print(f"  {day:%a %d %b %Y}  {name}", markup=False)


@calendar.command(
    "set", epilog='Example: holdfast calendar set --of team:return-leads --hours "Mon-Fri 08:00-12:00,13:00-17:00"'
)
def set_calendar(
    whose: Whose = AGENCY,
    hours: Annotated[str, typer.Option(help='Such as "Mon-Fri 09:00-17:30; Sat 10:00-14:00".')] = "",
    zone: Annotated[str, typer.Option(help="Such as Europe/London.")] = "",
    holidays: Annotated[str, typer.Option(help=f"Of {', '.join(Region)}.")] = "",
    person: As = "",
    as_json: Json = False,
) -> None:
    """Set hours, zone or holidays from now on; what is not given stays. Deadlines already promised keep theirs."""
    if not (hours or zone or holidays):
        raise Refused("nothing-to-set", "say what to set: --hours, --zone or --holidays")
    given = {
        "windows": parse_hours(hours) or None,
        "zone": zone or None,
        "region": _one_of(Region, holidays) if holidays else None,
    }
    run(_set_calendar(whose, given, person, as_json=as_json))


async def _set_calendar(whose: str, given: Mapping[str, Any], person: str, *, as_json: bool) -> None:
    async with office() as here:
        changed = await _calendars(here).set_calendar(whose, by=operator(person), **given)
    _say({"calendar": whose}, f"{whose} is set from now on.", changed=changed, as_json=as_json)


@calendar.command("close", epilog='Example: holdfast calendar close 2026-12-24 --name "Christmas Eve" --from 13:00')
def close_day(  # noqa: PLR0917 - what a command line can say
    day: Day,
    name: Annotated[str, typer.Option(help="What it is called wherever a deadline is explained.")],
    begins: Begins = "",
    until: Annotated[str, typer.Option(metavar="TIME", help="When it ends; the end of the day if not given.")] = "",
    whose: Whose = AGENCY,
    person: As = "",
    as_json: Json = False,
) -> None:
    """Close a day, or a part of it: business clocks stand still and nudges wait. The agency's counts for its teams."""
    closure = _closure(day, name, begins, until)
    run(_close([(whose, closure)], person, as_json=as_json))


async def _close(closures: Sequence[tuple[str, Closure]], person: str, *, as_json: bool) -> None:
    async with office() as here:
        added = await _calendars(here).close(closures, operator(person))
    line = f"{added} closed, {len(closures) - added} as before. It counts for clocks that start from now on."
    show({"added": added, "same": len(closures) - added}, as_json=as_json, human=lambda: console.print(line))


@calendar.command("open", epilog="Example: holdfast calendar open 2026-12-24 --from 13:00")
def open_day(day: Day, begins: Begins = "", whose: Whose = AGENCY, person: As = "", as_json: Json = False) -> None:
    """Take a closure back. Public holidays can't be opened: choose `--holidays none` and close days by hand."""
    run(_open(whose, _closure(day, "opened", begins, ""), person, as_json=as_json))


async def _open(whose: str, closure: Closure, person: str, *, as_json: bool) -> None:
    async with office() as here:
        changed = await _calendars(here).reopen(whose, closure, operator(person))
    _say({"day": closure.day}, f"{closure.day} counts again.", changed=changed, as_json=as_json)


@calendar.command("import", epilog="Example: holdfast calendar import closures.csv")
def import_closures(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV: day,name and maybe from,until,calendar; or JSON.")],
    person: As = "",
    as_json: Json = False,
) -> None:
    """Bring in a year's closures: all rows or none. The same file again changes nothing."""
    rows = read_table(file, ["day", "name"], ["from", "until", "calendar"])
    run(_close([_of_row(file.name, row) for row in rows], person, as_json=as_json))


def _of_row(name: str, row: Row) -> tuple[str, Closure]:
    cells = row.cells
    try:
        closure = _closure(cells["day"], cells["name"], cells.get("from", ""), cells.get("until", ""))
    except Refused as error:
        raise Refused(error.code, f"{name}, line {row.line}: {error}; nothing was changed") from None
    return cells.get("calendar", "") or AGENCY, closure


def _closure(day: str, name: str, begins: str, until: str) -> Closure:
    try:
        on = date.fromisoformat(day)
    except ValueError:
        raise Refused("bad-day", f"{day!r} is not a day such as 2026-12-24") from None
    return Closure(day=on, name=name, since=parse_time(begins or "00:00"), until=parse_time(until or "24:00"))


@targets.command("show", epilog="Example: holdfast targets show")
def show_targets(as_json: Json = False) -> None:
    """Show every target: how long, by which clock, what warns before, and what may pause it and for how long."""
    run(_show_targets(as_json=as_json))


async def _show_targets(*, as_json: bool) -> None:
    async with office() as here:
        rows = await _calendars(here).all_targets()
    show(rows, as_json=as_json, human=lambda: _print_targets(rows))


def _print_targets(rows: Sequence[TargetRow]) -> None:
    shown = table("Target", "Version", "Within", "Clock", "Warns at", "May be paused by", "Clause")
    for one in rows:
        target = one.target
        within, version = duration_in_words(target.after), str(target.version)
        shown.add_row(target.name, version, within, target.clock, _warns(target), _pauses(target), target.clause)
    console.print(shown)


def _warns(target: Target) -> str:
    points = sorted({*target.warn, *target.nudge_at})
    return ", ".join(f"{one}%{' (nudges)' if one in target.nudge_at else ''}" for one in points) or "-"


def _pauses(target: Target) -> str:
    rules = target.pauses
    return "; ".join(f"{one.cause} for at most {duration_in_words(one.longest)}" for one in rules) or "nobody"


@targets.command(
    "set", epilog="Example: holdfast targets set resolved --after 72h --clock business --pause client=5d/48h"
)
def set_target(  # noqa: PLR0917 - what a command line can say
    name: Annotated[str, typer.Argument(metavar="TARGET", help="Such as acknowledge; a new name makes a new one.")],
    after: Annotated[str, typer.Option(metavar="DURATION", help="Such as 90m, 4h, 2d.")] = "",
    clock: Annotated[str, typer.Option(help="elapsed: all time counts; business: only working time.")] = "",
    warn: Annotated[str, typer.Option(metavar="PERCENT", help="Such as 50,75,90; none for no warning.")] = "",
    nudge_at: Annotated[str, typer.Option(metavar="PERCENT", help="At which of them the owner is nudged.")] = "",
    pause: Annotated[
        list[str] | None,
        typer.Option(metavar="CAUSE=LONGEST/FOLLOW-UP", help="Such as client=5d/48h, again for others; none for none."),
    ] = None,
    clause: Annotated[str, typer.Option(help="The SOP's clause that it carries out, such as CR-5.1.")] = "",
    person: As = "",
    as_json: Json = False,
) -> None:
    """Set a target from now on; what is not given stays. Promises already made keep theirs, and show both."""
    given: dict[str, Any] = {
        "after": parse_duration(after) if after else None,
        "clock": _one_of(ClockKind, clock) if clock else None,
        "warn": _percents(warn),
        "nudge_at": _percents(nudge_at),
        "pauses": _rules(pause),
        "clause": clause or None,
    }
    changes = {key: value for key, value in given.items() if value is not None}
    if not changes:
        raise Refused("nothing-to-set", "say what to set: --after, --clock, --warn, --nudge-at, --pause or --clause")
    run(_set_target(name, changes, person, as_json=as_json))


async def _set_target(name: str, changes: Mapping[str, Any], person: str, *, as_json: bool) -> None:
    async with office() as here:
        store = _calendars(here)
        known = {one.target.name: one.target for one in await store.all_targets()}
        if name not in known and not {"after", "clause"} <= set(changes):
            raise Refused("unknown-target", f"{name} is new: it needs --after and --clause. Known: {', '.join(known)}")
        before = known.get(name) or Target(name=name, clause=changes["clause"], after=changes["after"])
        changed = await store.set_target(before.model_copy(update=dict(changes)), operator(person))
    _say({"target": name}, f"{name} is set from now on.", changed=changed, as_json=as_json)


def _percents(text: str) -> tuple[int, ...] | None:
    if not text:
        return None
    try:
        return () if text == "none" else tuple(sorted({int(one.strip().rstrip("%")) for one in text.split(",")}))
    except ValueError:
        raise Refused("bad-percent", f"{text!r} are not percentages such as 50,75,90") from None


def _rules(given: Sequence[str] | None) -> tuple[PauseRule, ...] | None:
    if not given:
        return None
    return () if list(given) == ["none"] else tuple(map(_rule, given))


def _rule(text: str) -> PauseRule:
    cause, _, lengths = text.partition("=")
    longest, _, follow_up = lengths.partition("/")
    if not longest or not follow_up:
        raise Refused("bad-pause", f"{text!r} is not a pause such as client=5d/48h: its longest length, its follow-up")
    return PauseRule(cause=_one_of(Cause, cause), longest=parse_duration(longest), follow_up=parse_duration(follow_up))


def _one_of(kind: type[W], text: str) -> W:
    try:
        return kind(text.strip().lower())
    except ValueError:
        raise Refused("unknown-word", f"{text!r} is none of {', '.join(one.value for one in kind)}") from None


def _say(data: Mapping[str, object], line: str, *, changed: bool, as_json: bool) -> None:
    said = line if changed else "It was so already: nothing is changed."
    show({**data, "changed": changed}, as_json=as_json, human=lambda: console.print(said))


def _calendars(here: Office) -> PostgresCalendars:
    return PostgresCalendars(here.pool, here.vault)
