from datetime import date, timedelta

import pytest

from domain.digest import morning
from domain.rules.calendar import Closure
from tests.domain.rules.calendars import AGENCY, at


@pytest.mark.parametrize(
    ("written", "now", "day"),
    [
        ("2026-11-24 18:00", "2026-11-25 09:00", date(2026, 11, 25)),
        ("2026-11-25 08:59", "2026-11-25 11:00", date(2026, 11, 25)),
        ("2026-11-25 09:00", "2026-11-25 09:15", None),  # work has begun: tomorrow's
        ("2026-11-25 10:00", "2026-11-26 09:00", date(2026, 11, 26)),
        ("2026-11-24 18:00", "2026-11-25 08:59", None),  # not yet
        ("2026-11-24 18:00", "2026-11-25 17:30", None),  # too late: tomorrow's
        ("2026-11-27 18:00", "2026-11-28 10:00", None),  # a Saturday
        ("2026-11-27 18:00", "2026-11-30 09:00", date(2026, 11, 30)),
        ("2026-12-24 18:00", "2026-12-25 10:00", None),  # Christmas
    ],
)
def test_what_waits_is_told_as_the_next_working_day_begins(written: str, now: str, day: date | None) -> None:
    assert morning(AGENCY, at(written), at(now)) == day


def test_a_closed_morning_begins_in_the_afternoon() -> None:
    shut = Closure(day=date(2026, 11, 25), name="Fire drill", until=(at("2026-11-25 13:00")).time())
    calendar = AGENCY.model_copy(update={"closures": (shut,)})
    written = at("2026-11-25 11:00")
    assert morning(calendar, written, at("2026-11-25 12:59")) is None
    assert morning(calendar, written, at("2026-11-25 13:00")) == shut.day
    assert morning(calendar, written, at("2026-11-25 13:00") + timedelta(days=29)) is not None
