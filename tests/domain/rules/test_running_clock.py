from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.rules.clock import Cause, ClockKind, Pause, PauseRule, Target, TargetName, total
from domain.rules.running_clock import (
    HOLDFAST,
    Clock,
    Happening,
    advance,
    as_shown,
    held,
    hold,
    late,
    meet,
    minutes,
    next_moment,
    passed,
    pause,
    paused,
    recalculated,
    resume,
    segments,
    start,
)
from tests.domain.rules.calendars import AGENCY, at

HOUR = timedelta(hours=1)
NOW = at("2026-11-25 10:00")
RULES = (
    PauseRule(cause=Cause.CLIENT, longest=timedelta(days=5), follow_up=timedelta(days=2)),
    PauseRule(cause=Cause.THIRD_PARTY, longest=timedelta(days=3), follow_up=timedelta(days=1)),
)


def target(hours: int = 48, **changes: object) -> Target:
    made = Target(name=TargetName.RESOLVED, clause="CR-5.8", after=timedelta(hours=hours), pauses=RULES)
    return made.model_copy(update=changes)


def started(hours: int = 48, **changes: object) -> Clock:
    return start("resolved", target(hours, **changes), NOW, AGENCY)


@dataclass
class Story:
    """A clock that somebody looks at whenever something is due, as `clocks` does."""

    clock: Clock
    now: datetime
    told: list[tuple[datetime, Happening]] = field(default_factory=list[tuple[datetime, Happening]])

    def to(self, then: datetime) -> None:
        while (moment := next_moment(self.clock)) is not None and moment <= then:
            assert moment > self.now or not self.told or self.told[-1][0] <= moment, "time never runs back"
            self.now = max(self.now, moment)
            self.clock, happened = advance(self.clock, self.now)
            assert happened, "what is due comes about"
            self.told += [(self.now, one) for one in happened]
        self.now = then

    def kinds(self) -> list[str]:
        return [f"{one.kind} {one.point}" for _, one in self.told]


def test_warnings_and_the_breach_come_at_their_moments() -> None:
    story = Story(started(), NOW)
    story.to(NOW + timedelta(days=10))
    assert [((one.at or moment) - NOW, one.point) for moment, one in story.told] == [
        (24 * HOUR, 50),
        (36 * HOUR, 75),
        (43.2 * HOUR, 90),
        (48 * HOUR, 100),
    ]
    assert next_moment(story.clock) is None


def test_what_was_missed_is_told_once() -> None:
    clock, happened = advance(started(), NOW + 40 * HOUR)
    assert [one.point for one in happened] == [50, 75]
    clock, happened = advance(clock, NOW + 60 * HOUR)
    assert [(one.kind, one.point) for one in happened] == [("warned", 90), ("breached", 100)]
    assert advance(clock, NOW + 61 * HOUR)[1] == ()


def test_a_warning_that_nudges_nobody_wakes_nobody_and_has_its_own_moment() -> None:
    quiet = started(nudge_at=(75,))
    assert next_moment(quiet) == NOW + 36 * HOUR
    told, happened = passed(quiet, NOW + 47 * HOUR)
    assert [(one.point, one.at) for one in happened] == [(50, NOW + 24 * HOUR)], "75 % is told as it nudges"
    told, happened = advance(told, NOW + 47 * HOUR)
    assert [(one.point, one.nudges) for one in happened] == [(75, False), (90, False)], "the last one nudges nobody"
    assert passed(told, NOW + 47 * HOUR) == (told, ())
    _, happened = advance(quiet, NOW + 36 * HOUR)
    assert [(one.point, one.nudges) for one in happened] == [(50, False), (75, True)]


def test_nothing_happens_to_what_is_met() -> None:
    clock = meet(started(), NOW + HOUR)
    assert next_moment(clock) is None
    assert advance(clock, NOW + 90 * HOUR) == (clock, ())
    assert pause(clock, Cause.CLIENT, NOW + 2 * HOUR) == clock
    assert meet(clock, NOW + 3 * HOUR) == clock


def test_what_is_met_before_its_breach_is_told_was_met_in_time() -> None:
    clock = meet(started(), NOW + 48 * HOUR + timedelta(milliseconds=3))
    assert (clock.met_at, late(clock, NOW + 50 * HOUR)) == (clock.due, timedelta())
    broken, _ = advance(started(), NOW + 48 * HOUR)
    assert late(meet(broken, NOW + 50 * HOUR), NOW + 90 * HOUR) == 2 * HOUR


def test_a_pause_is_asked_about_and_ends_at_its_longest() -> None:
    story = Story(pause(started(), Cause.CLIENT, NOW, "P-1"), NOW)
    assert len(paused(story.clock, NOW)) == 1
    story.to(NOW + timedelta(days=5))
    assert story.kinds() == ["ask-again 1", "ask-again 2", "ran-again 0"]
    assert paused(story.clock, story.now) == ()
    assert story.clock.due == NOW + timedelta(days=7)
    assert story.clock.promised == NOW + timedelta(days=2)


def test_a_second_pause_for_the_same_cause_changes_nothing_while_the_first_lasts() -> None:
    clock = pause(started(), Cause.CLIENT, NOW)
    assert pause(clock, Cause.CLIENT, NOW + HOUR) == clock
    again = pause(resume(clock, NOW + HOUR), Cause.CLIENT, NOW + 2 * HOUR)
    assert len(again.pauses) == 2
    assert again.due == NOW + 49 * HOUR + timedelta(days=5)


def test_only_the_cause_that_is_over_is_resumed() -> None:
    clock = pause(pause(started(), Cause.CLIENT, NOW), Cause.THIRD_PARTY, NOW)
    left = resume(clock, NOW + HOUR, Cause.CLIENT)
    assert [one.cause for one in paused(left, NOW + HOUR)] == [Cause.THIRD_PARTY]
    assert paused(resume(left, NOW + 2 * HOUR), NOW + 2 * HOUR) == ()


def test_a_cause_that_is_not_listed_does_not_pause() -> None:
    clock = started(pauses=RULES[:1])
    assert pause(clock, Cause.THIRD_PARTY, NOW) == clock
    assert pause(started(name=TargetName.ACKNOWLEDGE), Cause.CLIENT, NOW).pauses == ()


def test_the_minutes_go_to_whoever_held_it_while_it_ran() -> None:
    clock = hold(started(), "team:return-leads", NOW + HOUR)
    clock = pause(hold(clock, "P-1", NOW + 3 * HOUR), Cause.CLIENT, NOW + 4 * HOUR)
    clock = hold(resume(clock, NOW + 10 * HOUR), "P-2", NOW + 10 * HOUR)
    found = minutes(held(clock, NOW + 11 * HOUR))
    assert found == {HOLDFAST: 60, "team:return-leads": 120, "P-1": 60, "P-2": 60}


def test_a_policy_that_was_edited_is_shown_beside_the_promise() -> None:
    clock = started(48)
    assert recalculated(clock, target(48), AGENCY) is None
    assert recalculated(clock, target(72), AGENCY) == NOW + 72 * HOUR
    assert clock.due == NOW + 48 * HOUR


def test_what_is_shown_names_only_the_days_near() -> None:
    clock = start("resolved", target(40, clock=ClockKind.BUSINESS), at("2026-12-23 10:00"), AGENCY)
    shown = as_shown(clock)
    assert shown.calendar
    assert {one.name for one in shown.calendar.holidays} >= {"Christmas Day", "Boxing Day (observed)"}
    assert len(shown.calendar.holidays) < 6
    assert (shown.due, segments(shown)) == (clock.due, segments(clock))


@st.composite
def doings(draw: st.DrawFn) -> list[tuple[int, str]]:
    """What people do to a clock, each some minutes after the last."""
    kinds = ("pause client", "pause third-party", "resume", "hold a", "hold b", "look")
    return draw(st.lists(st.tuples(st.integers(0, 60 * 24 * 4), st.sampled_from(kinds)), max_size=8))


def played(story: Story, done: list[tuple[int, str]]) -> None:
    for wait, what in done:
        story.to(story.now + timedelta(minutes=wait))
        match what.split():
            case ["pause", cause]:
                story.clock = pause(story.clock, Cause(cause), story.now)
            case ["resume"]:
                story.clock = resume(story.clock, story.now)
            case ["hold", owner]:
                story.clock = hold(story.clock, owner, story.now)
            case _:
                story.clock = Clock.model_validate_json(story.clock.model_dump_json())


@settings(deadline=None)
@given(doings(), st.sampled_from(ClockKind))
def test_whatever_is_done_each_thing_is_told_once_and_the_segments_add_up(
    done: list[tuple[int, str]], clock: ClockKind
) -> None:
    story = Story(started(clock=clock), NOW)
    played(story, done)
    story.to(story.now + timedelta(days=90))
    kinds = [kind for kind in story.kinds() if kind.startswith(("warned", "breached"))]
    assert kinds == ["warned 50", "warned 75", "warned 90", "breached 100"]
    breach = next(moment for moment, one in story.told if one.kind == "breached")
    assert breach == story.clock.due == story.clock.breached_at
    assert total(segments(story.clock)) == story.clock.target.after
    assert story.clock.due >= story.clock.promised
    ended = [one for _, one in story.told if one.kind == "ran-again"]
    assert len(ended) <= len(story.clock.pauses)
    assert all(one.over for one in story.clock.pauses)


@settings(deadline=None)
@given(doings(), st.integers(0, 60 * 24 * 8))
def test_the_minutes_held_add_up_to_what_ran(done: list[tuple[int, str]], after: int) -> None:
    story = Story(started(), NOW)
    played(story, done)
    story.to(story.now + timedelta(minutes=after))
    story.clock = meet(story.clock, story.now)
    lengths = held(story.clock, story.now)
    until = total(segments(story.clock))
    assert sum(lengths.values(), timedelta()) == until
    assert sum(minutes(lengths).values()) == until // timedelta(minutes=1)
    assert bool(late(story.clock, story.now)) == (until > story.clock.target.after)


@pytest.mark.parametrize("days", [1, 30])
def test_a_pause_may_have_an_end_of_its_own_but_no_longer_than_the_longest(days: int) -> None:
    until = NOW + timedelta(days=days)
    clock = pause(started(), Cause.CLIENT, NOW, until=until)
    assert clock.due == NOW + timedelta(days=2 + min(days, 5))
    assert isinstance(clock.pauses[0], Pause)
