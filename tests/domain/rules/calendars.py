"""Calendars for tests: the agency's own, and any that a property holds for."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from domain.rules.calendar import DAYS, Calendar, Closure, Holiday, Region, Window, public_holidays

LONDON = ZoneInfo("Europe/London")
ZONES = ("Europe/London", "America/New_York", "Asia/Kolkata", "Pacific/Auckland", "UTC")


def at(moment: str) -> datetime:
    """A moment as London's clocks show it."""
    return datetime.fromisoformat(moment).replace(tzinfo=LONDON).astimezone(UTC)


def hours(week: str, *shifts: tuple[str, str]) -> tuple[Window, ...]:
    """The same hours on each of these days, which are written as `Mon Tue`."""
    return tuple(
        Window(weekday=DAYS.index(day), opens=time.fromisoformat(opens), closes=time.fromisoformat(closes))
        for day in week.split()
        for opens, closes in shifts
    )


AGENCY = Calendar(
    calendar_id="agency",
    version=1,
    windows=hours("Mon Tue Wed Thu Fri", ("09:00", "17:30")),
    holidays=public_holidays(Region.ENGLAND, date(2026, 1, 1), date(2028, 12, 31)),
)


def moments() -> SearchStrategy[datetime]:
    return st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)).map(lambda one: one.replace(tzinfo=UTC))  # noqa: DTZ001  the strategy wants naive bounds


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    """One to three windows on one to seven days a week, with some days off."""
    edges = draw(
        st.lists(st.integers(0, 24 * 4), min_size=2, max_size=6, unique=True).filter(lambda one: len(one) % 2 == 0)
    )
    marks = [_quarter(one) for one in sorted(edges)]
    week = draw(st.sets(st.integers(0, 6), min_size=1))
    days_off = draw(st.lists(st.dates(date(2026, 1, 1), date(2028, 1, 31)), max_size=8, unique=True))
    half = draw(st.integers(0, len(days_off)))
    return Calendar(
        calendar_id="any",
        zone=draw(st.sampled_from(ZONES)),
        windows=tuple(
            Window(weekday=day, opens=opens, closes=closes)
            for day in sorted(week)
            for opens, closes in zip(marks[::2], marks[1::2], strict=True)
        ),
        holidays=tuple(Holiday(day=day, name=f"Holiday {day}") for day in sorted(days_off[:half])),
        closures=tuple(Closure(day=day, name=f"Closed {day}", since=time(12)) for day in sorted(days_off[half:])),
    )


def _quarter(count: int) -> time:
    """Quarters of an hour since midnight; midnight at the end of the day is 00:00."""
    return (datetime.min + timedelta(minutes=15 * count)).time()  # noqa: DTZ901  only the time of day counts
