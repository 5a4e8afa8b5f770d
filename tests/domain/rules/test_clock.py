from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from domain.rules.calendar import Calendar, Closure
from domain.rules.clock import (
    WARNINGS,
    Cause,
    ClockKind,
    Pause,
    PauseRule,
    SegmentKind,
    Target,
    TargetName,
    due,
    explain,
    ran,
    total,
    used,
    warnings,
)
from tests.domain.rules.calendars import AGENCY, LONDON, at, calendars, moments

HOUR = timedelta(hours=1)
RULES = (
    PauseRule(cause=Cause.CLIENT, longest=timedelta(days=5)),
    PauseRule(cause=Cause.THIRD_PARTY, longest=timedelta(days=3), follow_up=timedelta(hours=24)),
)


def target(hours: float = 24, clock: ClockKind = ClockKind.ELAPSED, *, pauses: tuple[PauseRule, ...] = RULES) -> Target:
    return Target(
        name=TargetName.SOLUTION_PROPOSED, clause="CR-5.3", after=timedelta(hours=hours), clock=clock, pauses=pauses
    )


def targets() -> SearchStrategy[Target]:
    return st.builds(
        target,
        st.integers(1, 60 * 240).map(lambda minutes: minutes / 60),
        st.sampled_from(ClockKind),
        pauses=st.sampled_from(((), RULES[:1], RULES)),
    )


@st.composite
def stories(draw: st.DrawFn) -> tuple[Target, datetime, Calendar, tuple[Pause, ...]]:
    """A target, when it began, its calendar, and who was waited for since."""
    since = draw(moments())
    pauses: list[Pause] = []
    for _ in range(draw(st.integers(0, 4))):
        began = since + timedelta(minutes=draw(st.integers(-60, 60 * 24 * 8)))
        lasted = draw(st.none() | st.integers(0, 60 * 24 * 8))
        until = None if lasted is None else began + timedelta(minutes=lasted)
        pauses.append(Pause(cause=draw(st.sampled_from(Cause)), since=began, until=until, by="P-1"))
    return draw(targets()), since, draw(calendars()), tuple(pauses)


# What holds of every deadline -----------------------------------------------------------------------------------------


@settings(deadline=None)
@given(stories())
def test_the_segments_that_ran_add_up_to_the_target_exactly_when_it_is_due(
    story: tuple[Target, datetime, Calendar, tuple[Pause, ...]],
) -> None:
    what, since, calendar, pauses = story
    told = explain(what, since, calendar, pauses)
    assert total(told) == what.after
    assert (told[0].since, told[-1].until) == (since, due(what, since, calendar, pauses))
    assert told[-1].kind is SegmentKind.RAN
    assert all(one.until == following.since for one, following in pairwise(told))
    assert all(one.length > timedelta() for one in told)
    assert all((one.kind, one.why, one.by) != (next_.kind, next_.why, next_.by) for one, next_ in pairwise(told))


@settings(deadline=None)
@given(stories(), st.integers(1, 10_000))
def test_what_begins_later_or_lasts_longer_is_never_due_earlier(
    story: tuple[Target, datetime, Calendar, tuple[Pause, ...]], minutes: int
) -> None:
    what, since, calendar, pauses = story
    more = timedelta(minutes=minutes)
    promised = due(what, since, calendar, pauses)
    assert due(what.model_copy(update={"after": what.after + more}), since, calendar, pauses) > promised
    assert due(what, since + more, calendar, pauses) >= promised


@settings(deadline=None)
@given(stories(), st.integers(0, 20_000), st.sampled_from(Cause))
def test_a_pause_never_makes_anything_due_earlier_and_never_holds_longer_than_its_longest(
    story: tuple[Target, datetime, Calendar, tuple[Pause, ...]], minutes: int, cause: Cause
) -> None:
    what, since, calendar, pauses = story
    promised = due(what, since, calendar, pauses)
    one_more = Pause(cause=cause, since=since + timedelta(minutes=minutes))
    moved = due(what, since, calendar, (*pauses, one_more))
    assert moved >= promised
    held = sum(
        (one.length for one in explain(what, since, calendar, (one_more,)) if one.kind is SegmentKind.PAUSED),
        timedelta(),
    )
    rule = what.pausing(cause)
    assert held <= (rule.longest if rule else timedelta())


@settings(deadline=None)
@given(stories())
def test_working_time_is_never_due_before_elapsed_time(
    story: tuple[Target, datetime, Calendar, tuple[Pause, ...]],
) -> None:
    what, since, calendar, pauses = story
    elapsed = what.model_copy(update={"clock": ClockKind.ELAPSED})
    business = what.model_copy(update={"clock": ClockKind.BUSINESS})
    assert due(business, since, calendar, pauses) >= due(elapsed, since, calendar, pauses)


@settings(deadline=None)
@given(stories())
def test_warnings_come_in_order_before_the_deadline_and_say_what_is_used(
    story: tuple[Target, datetime, Calendar, tuple[Pause, ...]],
) -> None:
    what, since, calendar, pauses = story
    warned = warnings(what, since, calendar, pauses)
    assert tuple(point for point, _ in warned) == WARNINGS
    moments_ = [moment for _, moment in warned]
    assert moments_ == sorted(moments_)
    assert moments_[-1] <= due(what, since, calendar, pauses)
    for point, moment in warned:
        assert used(what, since, moment, calendar, pauses) == pytest.approx(point, abs=1e-6)


@settings(deadline=None)
@given(stories(), st.integers(0, 60 * 24 * 20), st.integers(0, 60 * 24 * 20))
def test_a_clock_never_runs_back(
    story: tuple[Target, datetime, Calendar, tuple[Pause, ...]], one: int, other: int
) -> None:
    what, since, calendar, pauses = story
    early, late = sorted((since + timedelta(minutes=one), since + timedelta(minutes=other)))
    before, after = (ran(what, since, moment, calendar, pauses) for moment in (early, late))
    assert timedelta() <= after - before <= late - early


@settings(deadline=None)
@given(stories())
def test_a_target_and_its_pauses_survive_their_journey_through_a_history(
    story: tuple[Target, datetime, Calendar, tuple[Pause, ...]],
) -> None:
    what, _, _, pauses = story
    assert Target.model_validate_json(what.model_dump_json()) == what
    assert tuple(Pause.model_validate_json(one.model_dump_json()) for one in pauses) == pauses


# What the agency promises ---------------------------------------------------------------------------------------------


def told(what: Target, since: datetime, pauses: tuple[Pause, ...] = (), calendar: Calendar = AGENCY) -> list[str]:
    return [
        f"{one.since.astimezone(LONDON):%a %H:%M}-{one.until.astimezone(LONDON):%a %H:%M} {one.kind} {one.why}".strip()
        for one in explain(what, since, calendar, pauses)
    ]


def test_hours_that_an_sop_names_run_over_the_night_and_over_christmas() -> None:
    assert due(target(48), at("2026-12-24 16:00")) == at("2026-12-26 16:00")


def test_forty_eight_hours_over_the_change_of_the_clocks_are_forty_eight_hours() -> None:
    assert due(target(48), at("2026-10-24 12:00")) == at("2026-10-26 11:00")
    assert due(target(48), at("2026-03-28 12:00")) == at("2026-03-30 13:00")


def test_a_business_clock_stands_still_out_of_hours_and_says_why() -> None:
    assert told(target(4, ClockKind.BUSINESS), at("2026-12-24 16:00")) == [
        "Thu 16:00-Thu 17:30 ran",
        "Thu 17:30-Fri 00:00 out of hours",
        "Fri 00:00-Sat 00:00 holiday Christmas Day",
        "Sat 00:00-Mon 00:00 out of hours",
        "Mon 00:00-Tue 00:00 holiday Boxing Day (observed)",
        "Tue 00:00-Tue 09:00 out of hours",
        "Tue 09:00-Tue 11:30 ran",
    ]


def test_what_fills_the_day_to_its_end_is_due_at_its_end() -> None:
    assert due(target(8.5, ClockKind.BUSINESS), at("2026-11-25 09:00"), AGENCY) == at("2026-11-25 17:30")


def test_a_closure_is_named() -> None:
    away = AGENCY.model_copy(update={"closures": (Closure(day=date(2026, 11, 26), name="Company day"),)})
    assert "closure Company day" in " ".join(told(target(9, ClockKind.BUSINESS), at("2026-11-25 16:00"), (), away))


def test_a_pause_says_whom_it_waits_for_and_who_said_so() -> None:
    pause = Pause(cause=Cause.CLIENT, since=at("2026-11-25 12:00"), until=at("2026-11-26 12:00"), by="P-2")
    segments = explain(target(24), at("2026-11-25 10:00"), AGENCY, (pause,))
    assert [(one.kind, one.why, one.by, one.length) for one in segments] == [
        (SegmentKind.RAN, "", "", 2 * HOUR),
        (SegmentKind.PAUSED, "client", "P-2", 24 * HOUR),
        (SegmentKind.RAN, "", "", 22 * HOUR),
    ]


def test_a_pause_hides_the_night_it_lasts_over() -> None:
    pause = Pause(cause=Cause.CLIENT, since=at("2026-11-25 17:00"), until=at("2026-11-26 10:00"))
    assert told(target(2, ClockKind.BUSINESS), at("2026-11-25 16:00"), (pause,)) == [
        "Wed 16:00-Wed 17:00 ran",
        "Wed 17:00-Thu 10:00 paused client",
        "Thu 10:00-Thu 11:00 ran",
    ]


def test_a_pause_that_nobody_ends_runs_out() -> None:
    since = at("2026-11-25 10:00")
    pause = Pause(cause=Cause.THIRD_PARTY, since=since + HOUR)
    assert due(target(24), since, None, (pause,)) == since + timedelta(hours=24, days=3)


def test_two_pauses_at_once_hold_no_longer_than_both_together() -> None:
    since = at("2026-11-25 10:00")
    pauses = (
        Pause(cause=Cause.CLIENT, since=since + HOUR, until=since + 3 * HOUR),
        Pause(cause=Cause.THIRD_PARTY, since=since + 2 * HOUR, until=since + 5 * HOUR),
    )
    assert due(target(24), since, None, pauses) == since + 28 * HOUR
    assert told(target(24), since, pauses)[1:3] == [
        "Wed 11:00-Wed 13:00 paused client",
        "Wed 13:00-Wed 15:00 paused third-party",
    ]


def test_acknowledging_never_waits_for_anybody() -> None:
    """Even if a row said so."""
    since = at("2026-11-25 10:00")
    what = target(4).model_copy(update={"name": TargetName.ACKNOWLEDGE})
    assert due(what, since, None, (Pause(cause=Cause.CLIENT, since=since),)) == since + 4 * HOUR


def test_only_a_cause_that_is_listed_pauses() -> None:
    since = at("2026-11-25 10:00")
    what = target(4, pauses=RULES[:1])
    assert due(what, since, None, (Pause(cause=Cause.THIRD_PARTY, since=since),)) == since + 4 * HOUR
    assert due(what, since, None, (Pause(cause=Cause.CLIENT, since=since),)) == since + timedelta(days=5, hours=4)


def test_what_is_used_goes_on_above_a_hundred_percent() -> None:
    since = at("2026-11-25 10:00")
    assert [used(target(4), since, since + one * HOUR) for one in (0, 1, 4, 6)] == [0, 25, 100, 150]
    assert used(target(0), since, since) == 100


def test_a_clock_that_is_asked_before_it_began_has_not_run() -> None:
    since = at("2026-11-25 10:00")
    assert ran(target(4), since, since - HOUR) == timedelta()
    assert explain(target(4), since, until=since) == ()


def test_an_explanation_may_go_on_after_the_deadline() -> None:
    since = at("2026-11-25 10:00")
    assert total(explain(target(4), since, until=since + 6 * HOUR)) == 6 * HOUR


def test_a_business_clock_without_a_calendar_is_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match="has no calendar"):
        due(target(4, ClockKind.BUSINESS), datetime(2026, 11, 25, tzinfo=UTC))
