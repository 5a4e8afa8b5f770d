"""Working time: which hours of which days count, in whose zone, less public holidays and company closures.

A `Calendar` is a snapshot: a door makes it (`public_holidays` is the only use of the holidays package), and a workflow
carries it in its input. Everything else here is pure and may be called while a workflow runs.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from domain.model import Model

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
FARTHEST = timedelta(days=10 * 366)
"""How far ahead working time is looked for before a calendar counts as one that never opens."""


class Region(StrEnum):
    """Whose public holidays are kept."""

    ENGLAND = "england"
    SCOTLAND = "scotland"
    WALES = "wales"
    NORTHERN_IRELAND = "northern-ireland"
    NONE = "none"


class Window(Model):
    """Hours of one weekday (0 is Monday) that count. `closes` at 00:00 is the midnight at the end of the day."""

    weekday: int
    opens: time
    closes: time


class Holiday(Model):
    """A public holiday: the whole day does not count."""

    day: date
    name: str


class Closure(Model):
    """Closed by the company's own word: a whole day, or a part of it. `until` 00:00 is the end of the day."""

    day: date
    name: str
    since: time = time.min
    until: time = time.min


class Calendar(Model):
    """What counts as working time for a team, a person or a client, as a door knew it.

    `known_until`: no holiday after that day is in it. `closures_version`: how many closures had ever been written.
    """

    calendar_id: str
    version: int = 0
    closures_version: int = 0
    zone: str = "Europe/London"
    windows: tuple[Window, ...]
    holidays: tuple[Holiday, ...] = ()
    closures: tuple[Closure, ...] = ()
    known_until: date | None = None


class TileKind(StrEnum):
    OPEN = "open"
    OUT_OF_HOURS = "out of hours"
    HOLIDAY = "holiday"
    CLOSURE = "closure"


class Tile(NamedTuple):
    """A stretch of time of one kind, in UTC. `why` names a holiday or a closure."""

    since: datetime
    until: datetime
    kind: TileKind
    why: str = ""


class NeverOpenError(ValueError):
    """The calendar has no working time within ten years."""


def tiles(calendar: Calendar, since: datetime) -> Iterator[Tile]:
    """All time from `since` on, without gap or overlap. Raises NeverOpenError instead of going on without an end."""
    at = since.astimezone(UTC)
    day, seen, last = at.astimezone(ZoneInfo(calendar.zone)).date(), at, None
    while True:
        for tile in _of_day(calendar, day):
            if tile.until <= at:
                continue
            cut = tile._replace(since=max(tile.since, at))
            if last and _is_one(last, cut):
                last = last._replace(until=cut.until)
                continue
            if last:
                yield last
            seen, last = cut.until if cut.kind is TileKind.OPEN else seen, cut
        day += timedelta(days=1)
        if last and last.until - seen > FARTHEST:
            raise NeverOpenError(f"calendar {calendar.calendar_id} is not open within ten years of {seen:%Y-%m-%d}")


def _is_one(tile: Tile, following: Tile) -> bool:
    """Closed time is told as one; working time is not, for a calendar may be open for ever."""
    return tile.kind is not TileKind.OPEN and (tile.kind, tile.why) == (following.kind, following.why)


def next_working_moment(calendar: Calendar, at: datetime) -> datetime:
    """`at` itself if it is working time, else when working time begins again: when a nudge may be delivered."""
    return next(tile.since for tile in tiles(calendar, at) if tile.kind is TileKind.OPEN)


def working_time(calendar: Calendar, since: datetime, until: datetime) -> timedelta:
    """How much working time lies between two moments; none if `until` is not later."""
    worked = timedelta()
    for tile in tiles(calendar, since):
        if tile.since >= until:
            break
        worked += min(tile.until, until) - tile.since if tile.kind is TileKind.OPEN else timedelta()
    return worked


def is_working_day(calendar: Calendar, day: date) -> bool:
    return any(tile.kind is TileKind.OPEN for tile in _of_day(calendar, day))


def round_to_end_of_day(day: date, calendar: Calendar) -> datetime:
    """The exact moment that a date alone stands for: the end of that working day, or of the next one if it is none."""
    for ahead in range(FARTHEST.days):
        ends = [one.until for one in _of_day(calendar, day + timedelta(days=ahead)) if one.kind is TileKind.OPEN]
        if ends:
            return ends[-1]
    raise NeverOpenError(f"calendar {calendar.calendar_id} is not open within ten years of {day}")


def public_holidays(region: Region, first: date, last: date) -> tuple[Holiday, ...]:
    """The public holidays from `first` to `last`. For doors: the holidays package does not work in a workflow."""
    subdivision = _SUBDIVISIONS.get(region)
    if subdivision is None:
        return ()
    from holidays import country_holidays  # noqa: PLC0415  takes a while to load, and only doors need it

    known = country_holidays("GB", subdiv=subdivision, years=range(first.year, last.year + 1), language="en_GB")
    return tuple(Holiday(day=day, name=known[day]) for day in sorted(known) if first <= day <= last)


_SUBDIVISIONS = {
    Region.ENGLAND: "ENG",
    Region.SCOTLAND: "SCT",
    Region.WALES: "WLS",
    Region.NORTHERN_IRELAND: "NIR",
}


def problem_of_hours(zone: str, windows: Sequence[Window]) -> str:
    """Why these can't be a calendar's hours, "" if they can: for doors."""
    if zone not in available_timezones():
        return f"{zone!r} is not a time zone: write one like Europe/London"
    if not windows:
        return "a calendar needs at least one window of working hours, such as Mon 09:00-17:30"
    if any(one.weekday not in range(7) or _ends(one.closes) <= _begins(one.opens) for one in windows):
        return "a window opens before it closes, on a day from Mon to Sun"
    ordered = sorted(windows, key=lambda one: (one.weekday, one.opens))
    for one, following in pairwise(ordered):
        if one.weekday == following.weekday and _begins(following.opens) < _ends(one.closes):
            return f"two windows of {DAYS[one.weekday]} overlap: {in_hours(one)} and {in_hours(following)}"
    return ""


def problem_of_closure(closure: Closure) -> str:
    """Why this can't be a closure, "" if it can: for doors."""
    if not closure.name.strip():
        return "a closure needs a name: it is shown wherever a deadline is explained"
    return "" if _begins(closure.since) < _ends(closure.until) else "a closure begins before it ends"


def in_hours(window: Window) -> str:
    """`09:00-17:30`; the midnight at the end of a day is 24:00."""
    closes = "24:00" if window.closes == time.min else f"{window.closes:%H:%M}"
    return f"{window.opens:%H:%M}-{closes}"


def in_part(closure: Closure) -> str:
    """` from 13:00 until 24:00` where a closure is not a whole day, else empty."""
    if (closure.since, closure.until) == (time.min, time.min):
        return ""
    until = "24:00" if closure.until == time.min else f"{closure.until:%H:%M}"
    return f" from {closure.since:%H:%M} until {until}"


def _begins(moment: time) -> timedelta:
    return timedelta(hours=moment.hour, minutes=moment.minute, seconds=moment.second, microseconds=moment.microsecond)


def _ends(moment: time) -> timedelta:
    return _begins(moment) or timedelta(days=1)


def _of_day(calendar: Calendar, day: date) -> list[Tile]:
    """One local day, midnight to midnight, which is 23 or 25 hours long when the clocks change."""
    zone = ZoneInfo(calendar.zone)
    start, end = _moment(day, time.min, zone), _moment(day + timedelta(days=1), time.min, zone)
    windows = [
        (_moment(day, one.opens, zone), _closing(day, one.closes, zone))
        for one in calendar.windows
        if one.weekday == day.weekday()
    ]
    if not windows:
        return [Tile(start, end, TileKind.OUT_OF_HOURS)]
    if holiday := next((one for one in calendar.holidays if one.day == day), None):
        return [Tile(start, end, TileKind.HOLIDAY, holiday.name)]
    shut = [
        (_moment(day, one.since, zone), _closing(day, one.until, zone), one.name)
        for one in calendar.closures
        if one.day == day
    ]
    return _cut(start, end, windows, shut)


def _cut(
    start: datetime,
    end: datetime,
    windows: Sequence[tuple[datetime, datetime]],
    shut: Sequence[tuple[datetime, datetime, str]],
) -> list[Tile]:
    if all_day := next((name for since, until, name in shut if since <= start and until >= end), ""):
        return [Tile(start, end, TileKind.CLOSURE, all_day)]
    edges = {start, end, *(edge for window in windows for edge in window), *(edge for one in shut for edge in one[:2])}
    return [_tile(since, until, windows, shut) for since, until in pairwise(sorted(edges))]


def _tile(
    since: datetime,
    until: datetime,
    windows: Iterable[tuple[datetime, datetime]],
    shut: Iterable[tuple[datetime, datetime, str]],
) -> Tile:
    if not any(opens <= since < closes for opens, closes in windows):
        return Tile(since, until, TileKind.OUT_OF_HOURS)
    name = next((name for begins, ends, name in shut if begins <= since < ends), None)
    return Tile(since, until, TileKind.OPEN) if name is None else Tile(since, until, TileKind.CLOSURE, name)


def _moment(day: date, at: time, zone: ZoneInfo) -> datetime:
    """Of a time that the clocks show twice the first; of one that they leave out, as many minutes after the change."""
    return datetime.combine(day, at, zone).astimezone(UTC)


def _closing(day: date, at: time, zone: ZoneInfo) -> datetime:
    return _moment(day + timedelta(days=1) if at == time.min else day, at, zone)
