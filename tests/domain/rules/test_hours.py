from datetime import time, timedelta

import pytest
from hypothesis import given, settings

from domain.errors import Refused
from domain.rules.calendar import Calendar, Window
from domain.rules.hours import duration_in_words, hours_in_words, parse_duration, parse_hours, parse_time
from tests.domain.rules.calendars import calendars, hours


def test_several_windows_and_days_in_one_line() -> None:
    wanted = (*hours("Mon Tue", ("09:00", "12:30"), ("13:30", "17:30")), *hours("Sat", ("10:00", "14:00")))
    assert parse_hours("Mon-Tue 09:00-12:30,13:30-17:30; sat 10:00-14:00") == wanted


def test_a_week_may_go_over_its_end() -> None:
    assert {one.weekday for one in parse_hours("Sun-Tue 09:00-17:00")} == {6, 0, 1}


def test_the_midnight_at_the_end_of_a_day_is_24() -> None:
    assert parse_hours("Fri 18:00-24:00") == (Window(weekday=4, opens=time(18), closes=time.min),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Mon", "from when to when"),
        ("Mon 09:00", "from when to when"),
        ("Someday 09:00-17:00", "not a day of the week"),
        ("Mon 9-17", "not a time of day"),
        ("Mon 25:00-26:00", "not a time of day"),
        ("Mon 24:30-24:45", "not a time of day"),
        ("Mon 18:00-00:00", "as 24:00"),
    ],
)
def test_what_are_no_hours_is_refused(text: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        parse_hours(text)


@settings(deadline=None)
@given(calendars())
def test_hours_in_words_are_read_back_as_they_were(calendar: Calendar) -> None:
    assert set(parse_hours(hours_in_words(calendar.windows))) == set(calendar.windows)


def test_days_with_the_same_hours_are_told_together() -> None:
    week = parse_hours("Mon-Thu 09:00-17:30; Fri 09:00-16:00")
    assert hours_in_words(week) == "Mon-Thu 09:00-17:30; Fri 09:00-16:00"


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90m", timedelta(minutes=90)),
        ("4h", timedelta(hours=4)),
        ("2D", timedelta(days=2)),
        ("1d 12h 5m", timedelta(days=1, hours=12, minutes=5)),
    ],
)
def test_a_duration_is_read(text: str, length: timedelta) -> None:
    assert parse_duration(text) == length


@pytest.mark.parametrize("text", ["", "0h", "4", "h", "-4h", "4 weeks", "1h 2d", "99999h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(hours=4), "4 h"),
        (timedelta(hours=48), "48 h"),
        (timedelta(days=5), "5 d"),
        (timedelta(hours=54), "2 d 6 h"),
        (timedelta(hours=1, minutes=30), "1 h 30 min"),
        (timedelta(), "0 min"),
    ],
)
def test_a_duration_is_told(length: timedelta, words: str) -> None:
    assert duration_in_words(length) == words


def test_a_time_of_day() -> None:
    assert parse_time("9:05") == time(9, 5)
    with pytest.raises(Refused):
        parse_time("nine")
