from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, pairwise
from random import Random
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.tseries.offsets import CustomBusinessHour

from domain.rules.calendar import (
    Calendar,
    Closure,
    Holiday,
    NeverOpenError,
    Region,
    TileKind,
    Window,
    in_hours,
    is_working_day,
    next_working_moment,
    problem_of_closure,
    problem_of_hours,
    public_holidays,
    round_to_end_of_day,
    tiles,
    working_time,
)
from domain.rules.clock import ClockKind, Target, due
from tests.domain.rules.calendars import AGENCY, LONDON, at, calendars, hours, moments

CASES = 2_000
YEARS = (date(2023, 1, 1), date(2029, 12, 31))
AROUND = (
    date(2024, 3, 31),  # the clocks go forward
    date(2024, 10, 27),  # and back
    date(2026, 3, 29),
    date(2026, 10, 25),
    date(2024, 2, 29),
    date(2028, 2, 29),
    date(2024, 12, 31),
    date(2027, 1, 1),
    date(2026, 12, 25),
)
SHIFTS = (
    (("09:00", "17:30"),),
    (("08:00", "12:00"), ("13:00", "16:30")),
    (("09:15", "11:45"), ("12:30", "15:00"), ("16:00", "20:45")),
)
HOLIDAYS = {region: public_holidays(region, *YEARS) for region in Region}
WEEKS = ("Mon Tue Wed Thu Fri", "Mon Tue Wed Thu Fri Sat", "Sun Mon Tue Wed Thu", "Mon Wed Fri")


def random_case(rng: Random) -> tuple[Calendar, CustomBusinessHour, datetime]:
    """The same calendar twice, ours and pandas', and the moment (London's wall clock) from which hours are counted."""
    shifts, week = rng.choice(SHIFTS), rng.choice(WEEKS)
    region = rng.choice(tuple(Region))
    closures = tuple(Closure(day=near(rng), name="Closed") for _ in range(rng.randint(0, 3)))
    ours = Calendar(
        calendar_id="random",
        windows=hours(week, *shifts),
        holidays=HOLIDAYS[region],
        closures=closures,
    )
    days_off = [one.day for one in (*ours.holidays, *closures)]
    starts, ends = [list(one) for one in zip(*shifts, strict=True)]
    theirs = CustomBusinessHour(n=rng.randint(1, 80), weekmask=week, holidays=days_off, start=starts, end=ends)
    wall = datetime.combine(near(rng), time(rng.randint(0, 23), rng.randint(0, 59)))
    return ours, theirs, wall


def near(rng: Random) -> date:
    return rng.choice(AROUND) + timedelta(days=rng.randint(-6, 6))


def test_working_hours_are_counted_as_pandas_counts_them() -> None:
    """Over both changes of London's clocks, leap days and year ends. Pandas names the next opening where we name the
    closing that is the same working moment.
    """
    rng, changes, leap, turns = Random(20_260_101), 0, 0, 0  # noqa: S311  the same cases every time
    for _ in range(CASES):
        calendar, offset, wall = random_case(rng)
        since = wall.replace(tzinfo=LONDON)
        target = Target(name="any", clause="ID-5", after=timedelta(hours=offset.n), clock=ClockKind.BUSINESS)
        ours = due(target, since, calendar)
        theirs = datetime.fromisoformat(str(pd.Timestamp(wall) + offset)).replace(tzinfo=LONDON)
        assert next_working_moment(calendar, ours) == theirs.astimezone(UTC), (calendar, offset, wall)
        changes += since.utcoffset() != ours.astimezone(LONDON).utcoffset()
        leap += since.date() <= date(since.year, 3, 1) - timedelta(days=1) <= ours.date() and since.year % 4 == 0
        turns += since.year != ours.year
    assert min(changes, leap, turns) > CASES // 20, "the cases do not cross what they are meant to cross"


def test_a_day_of_the_agency() -> None:
    friday = at("2026-12-24 16:00")
    told = [
        (one.kind.value, one.why, f"{one.until.astimezone(LONDON):%a %d %H:%M}")
        for one in islice(tiles(AGENCY, friday), 6)
    ]
    assert told == [
        ("open", "", "Thu 24 17:30"),
        ("out of hours", "", "Fri 25 00:00"),
        ("holiday", "Christmas Day", "Sat 26 00:00"),
        ("out of hours", "", "Mon 28 00:00"),
        ("holiday", "Boxing Day (observed)", "Tue 29 00:00"),
        ("out of hours", "", "Tue 29 09:00"),
    ]


@pytest.mark.parametrize(("day", "length"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)])
def test_a_day_on_which_the_clocks_change_has_its_own_length(day: str, length: int) -> None:
    """A calendar that is always open counts each hour of it once."""
    always = Calendar(calendar_id="always", windows=hours("Mon Tue Wed Thu Fri Sat Sun", ("00:00", "00:00")))
    (one,) = islice(tiles(always, at(f"{day} 00:00")), 1)
    assert (one.kind, one.until - one.since) == (TileKind.OPEN, timedelta(hours=length))


def test_a_window_in_the_hour_that_the_clocks_leave_out_is_not_there() -> None:
    night = Calendar(calendar_id="night", windows=hours("Sun", ("01:00", "02:00"), ("03:00", "04:00")))
    opened = [one.since for one in islice(tiles(night, at("2026-03-29 00:00")), 2) if one.kind is TileKind.OPEN]
    assert opened == [datetime(2026, 3, 29, 2, tzinfo=UTC)]


def test_a_closure_of_half_a_day_takes_only_its_hours() -> None:
    party = Closure(day=date(2026, 12, 18), name="Summer party", since=time(13), until=time.min)
    calendar = AGENCY.model_copy(update={"closures": (party,)})
    told = [(one.kind.value, one.why) for one in islice(tiles(calendar, at("2026-12-18 09:00")), 3)]
    assert told == [("open", ""), ("closure", "Summer party"), ("out of hours", "")]
    assert round_to_end_of_day(party.day, calendar) == at("2026-12-18 13:00")


def test_two_closures_that_overlap_are_told_one_after_the_other() -> None:
    day = date(2026, 12, 18)
    shut = (
        Closure(day=day, name="a", since=time(10), until=time(12)),
        Closure(day=day, name="b", since=time(11), until=time(13)),
    )
    calendar = AGENCY.model_copy(update={"closures": shut})
    told = [one.why or one.kind.value for one in islice(tiles(calendar, at("2026-12-18 09:00")), 4)]
    assert told == ["open", "a", "b", "open"]


@pytest.mark.parametrize(
    ("moment", "wanted"),
    [
        ("2026-11-25 10:00", "2026-11-25 10:00"),
        ("2026-11-25 08:59", "2026-11-25 09:00"),
        ("2026-11-25 17:30", "2026-11-26 09:00"),
        ("2026-11-27 18:00", "2026-11-30 09:00"),
        ("2026-12-24 17:30", "2026-12-29 09:00"),
    ],
)
def test_a_nudge_waits_for_the_next_working_moment(moment: str, wanted: str) -> None:
    assert next_working_moment(AGENCY, at(moment)) == at(wanted)


@pytest.mark.parametrize(
    ("day", "wanted"),
    [
        (date(2026, 11, 25), "2026-11-25 17:30"),
        (date(2026, 11, 28), "2026-11-30 17:30"),
        (date(2026, 12, 25), "2026-12-29 17:30"),
        (date(2026, 6, 1), "2026-06-01 17:30"),
    ],
)
def test_a_date_alone_means_the_end_of_that_working_day_or_of_the_next(day: date, wanted: str) -> None:
    assert round_to_end_of_day(day, AGENCY) == at(wanted)


def test_which_days_are_worked() -> None:
    days = [date(2026, 12, 24) + timedelta(days=one) for one in range(6)]
    assert [is_working_day(AGENCY, day) for day in days] == [True, False, False, False, False, True]


def test_a_calendar_that_never_opens_says_so() -> None:
    never = Calendar(calendar_id="never", windows=())
    with pytest.raises(NeverOpenError, match="never is not open within ten years"):
        next_working_moment(never, at("2026-11-25 10:00"))
    with pytest.raises(NeverOpenError):
        round_to_end_of_day(date(2026, 11, 25), never)


@settings(deadline=None)
@given(calendars(), moments())
def test_time_is_cut_up_without_gap_or_overlap(calendar: Calendar, since: datetime) -> None:
    cut = list(islice(tiles(calendar, since), 30))
    assert cut[0].since == since
    assert all(one.until == following.since for one, following in pairwise(cut))
    assert all(one.since < one.until for one in cut)
    assert all(one.why for one in cut if one.kind in {TileKind.HOLIDAY, TileKind.CLOSURE})


@settings(deadline=None)
@given(calendars(), moments())
def test_a_working_moment_is_never_before_and_is_its_own_next(calendar: Calendar, since: datetime) -> None:
    moment = next_working_moment(calendar, since)
    assert moment >= since
    assert next_working_moment(calendar, moment) == moment


@settings(deadline=None)
@given(calendars(), moments(), st.integers(1, 600))
def test_the_working_time_before_a_moment_is_what_a_business_clock_counts(
    calendar: Calendar, since: datetime, minutes: int
) -> None:
    target = Target(name="any", clause="ID-5", after=timedelta(minutes=minutes), clock=ClockKind.BUSINESS)
    until = due(target, since, calendar)
    assert working_time(calendar, since, until) == target.after
    assert working_time(calendar, until, since) == timedelta()


@settings(deadline=None)
@given(calendars(), st.dates(*YEARS))
def test_the_end_of_a_working_day_is_a_closing(calendar: Calendar, day: date) -> None:
    end = round_to_end_of_day(day, calendar)
    assert end.astimezone(ZoneInfo(calendar.zone)) > datetime.combine(day, time.min, ZoneInfo(calendar.zone))
    assert next_working_moment(calendar, end) > end or any(one.opens == time.min for one in calendar.windows), (
        "only where one window opens as another closes is an end working time"
    )


@settings(deadline=None)
@given(calendars())
def test_a_snapshot_survives_its_journey_through_a_history(calendar: Calendar) -> None:
    assert Calendar.model_validate_json(calendar.model_dump_json()) == calendar


def test_the_holidays_of_each_region_are_its_own() -> None:
    year = date(2026, 1, 1), date(2026, 12, 31)
    names = {region: {one.name for one in public_holidays(region, *year)} for region in Region}
    assert "Saint Andrew's Day" in names[Region.SCOTLAND] - names[Region.ENGLAND]
    assert "Easter Monday" in names[Region.ENGLAND] - names[Region.SCOTLAND]
    assert "Saint Patrick's Day" in names[Region.NORTHERN_IRELAND]
    assert names[Region.WALES] == names[Region.ENGLAND]
    assert names[Region.NONE] == set()


def test_only_the_days_that_matter_are_in_a_snapshot() -> None:
    found = public_holidays(Region.ENGLAND, date(2026, 12, 1), date(2027, 1, 31))
    assert [one.day for one in found] == [date(2026, 12, 25), date(2026, 12, 26), date(2026, 12, 28), date(2027, 1, 1)]
    assert found[0] == Holiday(day=date(2026, 12, 25), name="Christmas Day")


@pytest.mark.parametrize(
    ("zone", "windows", "said"),
    [
        ("Europe/London", hours("Mon", ("09:00", "17:30")), ""),
        ("Mars/Base", hours("Mon", ("09:00", "17:30")), "is not a time zone"),
        ("", hours("Mon", ("09:00", "17:30")), "is not a time zone"),
        ("Europe/London", (), "at least one window"),
        ("Europe/London", hours("Mon", ("17:30", "09:00")), "opens before it closes"),
        ("Europe/London", hours("Mon", ("09:00", "12:00"), ("11:00", "17:00")), "overlap: 09:00-12:00 and 11:00-17:00"),
        ("Europe/London", hours("Mon", ("09:00", "12:00"), ("12:00", "00:00")), ""),
        ("Europe/London", (Window(weekday=7, opens=time(9), closes=time(17)),), "from Mon to Sun"),
    ],
)
def test_hours_that_make_no_calendar_are_refused(zone: str, windows: tuple[Window, ...], said: str) -> None:
    problem = problem_of_hours(zone, windows)
    assert said in problem
    assert bool(problem) == bool(said)


def test_a_closure_has_a_name_and_an_order() -> None:
    day = date(2026, 12, 24)
    assert problem_of_closure(Closure(day=day, name="Christmas Eve", since=time(13))) == ""
    assert "needs a name" in problem_of_closure(Closure(day=day, name=" "))
    assert "begins before it ends" in problem_of_closure(Closure(day=day, name="x", since=time(13), until=time(12)))


def test_midnight_at_the_end_of_a_day_is_written_as_such() -> None:
    assert in_hours(Window(weekday=0, opens=time(9), closes=time.min)) == "09:00-24:00"
