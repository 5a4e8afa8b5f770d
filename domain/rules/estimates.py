"""A manager's estimate in a comment (ID-5): read only where nobody could read it otherwise."""

import re
from datetime import date

from domain.department_request import Estimate

_SPAN = re.compile(r"\b(\d{1,3})\s*(?:-\s*(\d{1,3})\s*)?(hours?|hrs?|h|days?|d|weeks?)\b", re.IGNORECASE)
_DAY = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})\b")
_HOURS = {"h": 1, "d": 24, "w": 7 * 24}


def read_estimate(text: str) -> Estimate | None:
    """`8 days`, `7-10 days` (the longer), `36 hours`, `2026-12-04`; None unless exactly one such thing is said."""
    days, spans = _DAY.findall(text), _SPAN.findall(_DAY.sub("", text))
    if len(days) + len(spans) != 1:
        return None
    if days:
        return _day(*map(int, days[0]))
    least, most, unit = spans[0]
    hours = int(most or least) * _HOURS[unit[0].lower()]
    return Estimate(hours=hours) if 0 < hours <= 24 * 90 else None


def _day(year: int, month: int, day: int) -> Estimate | None:
    try:
        return Estimate(on=date(year, month, day))
    except ValueError:
        return None
