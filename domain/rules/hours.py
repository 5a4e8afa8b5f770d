"""Working hours and durations as people write them: `Mon-Fri 09:00-12:30,13:30-17:30; Sat 10:00-14:00`, `1d 12h`."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, time, timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

from domain.errors import Refused
from domain.rules.calendar import DAYS, Window, in_hours

LONDON = "Europe/London"
_DURATION = re.compile(r"(?:(\d{1,4})d)?\s*(?:(\d{1,4})h)?\s*(?:(\d{1,4})m)?")
_TIME = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)")
_EXAMPLE = "write them like `Mon-Fri 09:00-12:30,13:30-17:30; Sat 10:00-14:00`"


def parse_hours(text: str) -> tuple[Window, ...]:
    """The windows of a week. Raises Refused `bad-hours`; whether they overlap is not looked at here."""
    return tuple(window for part in text.split(";") if part.strip() for window in _part(part.strip()))


def parse_duration(text: str) -> timedelta:
    """`90m`, `4h`, `2d`, `1d 12h`; a day is 24 hours. Raises Refused `bad-duration`."""
    found = _DURATION.fullmatch(text.strip().lower())
    days, hours, minutes = (int(one or 0) for one in found.groups()) if found else (0, 0, 0)
    length = timedelta(days=days, hours=hours, minutes=minutes)
    if not length:
        raise Refused("bad-duration", f"{text[:40]!r} is not a duration: write it like 90m, 4h, 2d or 1d 12h")
    return length


def parse_time(text: str) -> time:
    """`09:00`; 24:00 is the midnight at the end of the day, kept as 00:00. Raises Refused `bad-hours`."""
    found = _TIME.fullmatch(text.strip())
    if not found or (found[1] == "24" and found[2] != "00"):
        raise Refused("bad-hours", f"{text[:40]!r} is not a time of day such as 09:00")
    return time(int(found[1]) % 24, int(found[2]))


def hours_in_words(windows: Sequence[Window]) -> str:
    """The windows as `parse_hours` reads them, days with the same hours together."""
    week = [
        (day, ",".join(in_hours(one) for one in sorted(windows, key=lambda one: one.opens) if one.weekday == day))
        for day in range(7)
    ]
    parts = [(list(days), hours) for hours, days in groupby(week, key=lambda one: one[1]) if hours]
    return "; ".join(f"{_days([day for day, _ in days])} {hours}" for days, hours in parts)


def duration_in_words(length: timedelta) -> str:
    """`4 h`, `2 d 6 h`, `90 min`: whole minutes, days only from two days on."""
    minutes = round(length.total_seconds() / 60)
    days, minutes = divmod(minutes, 24 * 60) if minutes > 2 * 24 * 60 else (0, minutes)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{count} {unit}" for count, unit in ((days, "d"), (hours, "h"), (minutes, "min")) if count]
    return " ".join(parts) or "0 min"


def in_zone(at: datetime, zone: str = LONDON) -> str:
    """A moment as a person reads it, in their own zone, which is named: `Tue 10 Mar 2026, 09:00 London time`."""
    city = zone.rpartition("/")[2].replace("_", " ")
    return f"{at.astimezone(ZoneInfo(zone)):%a %d %b %Y, %H:%M} {'UTC' if zone == 'UTC' else f'{city} time'}"


def _days(days: Sequence[int]) -> str:
    return DAYS[days[0]] if len(days) == 1 else f"{DAYS[days[0]]}-{DAYS[days[-1]]}"


def _part(part: str) -> Iterator[Window]:
    days, _, hours = part.partition(" ")
    for day in _week(days):
        for window in hours.split(","):
            opens, dash, closes = window.partition("-")
            if not dash:
                raise Refused("bad-hours", f"{part[:60]!r} does not say from when to when: {_EXAMPLE}")
            if closes.strip() == "00:00":
                raise Refused("bad-hours", "write the midnight at the end of a day as 24:00")
            yield Window(weekday=day, opens=parse_time(opens), closes=parse_time(closes))


def _week(text: str) -> list[int]:
    first, dash, last = text.partition("-")
    start, end = _day(first), _day(last) if dash else _day(first)
    return list(range(start, end + 1)) if start <= end else [*range(start, 7), *range(end + 1)]


def _day(text: str) -> int:
    try:
        return DAYS.index(text.strip().capitalize()[:3])
    except ValueError:
        raise Refused("bad-hours", f"{text[:20]!r} is not a day of the week: {_EXAMPLE}") from None
