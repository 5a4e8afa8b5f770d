"""A clock that was started: what happens to it and when, as pure functions of the moment.

A workflow carries it, asks when the next thing happens to it (`next_moment`), waits until then, and lets it come about
(`advance`).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise, takewhile
from typing import Literal, NamedTuple

from domain.model import Model
from domain.rules.calendar import Calendar
from domain.rules.clock import (
    FOREVER,
    Cause,
    ClockKind,
    Pause,
    PauseRule,
    Segment,
    SegmentKind,
    Target,
    due,
    ends,
    explain,
    ran,
    total,
    warnings,
)

MOST_OWNERS = 200
HOLDFAST = "holdfast"
"""Who holds a case in which no person is waited for."""


class Owned(Model):
    """From when on somebody held the case: a person's id or a team."""

    since: datetime
    owner: str


class Following(Model):
    """The promise that the end of another one's step makes, for the next step of its kind."""

    clock_id: str
    target: Target
    step_id: str


class Clock(Model):
    """A promise that runs. `promised`: the moment that was promised at the start, which only pauses move.

    `step_id`: the person's step whose end meets it; "": the SOP says when it is met. `met_by`: keys of the effects that
    meet it once all of them are sent, so that whoever reads the tables need not wait for the case's next word. `then`:
    what is promised from the moment on at which its step ends.
    `warned`: the highest point, in percent, that was warned of. `breached_at`: when the breach was recorded.
    """

    clock_id: str
    target: Target
    since: datetime
    promised: datetime
    step_id: str = ""
    calendar: Calendar | None = None
    pauses: tuple[Pause, ...] = ()
    owners: tuple[Owned, ...] = ()
    warned: int = 0
    breached_at: datetime | None = None
    met_at: datetime | None = None
    met_by: tuple[str, ...] = ()
    then: Following | None = None

    @property
    def in_words(self) -> str:
        """Its name for people: the second promise of a next reply is "next reply (2)"."""
        turn = self.clock_id.rpartition(".")[2]
        return self.target.name.replace("-", " ") + (f" ({turn})" if turn.isdigit() else "")

    @property
    def due(self) -> datetime:
        """When it is due as things stand; a pause that lasts is taken at its longest."""
        return due(self.target, self.since, self.calendar, self.pauses)

    @property
    def runs(self) -> bool:
        """Whether it is still to be met."""
        return self.met_at is None


class Happening(NamedTuple):
    """What came about: a warning point reached, the breach, a pause at its end, or a time to ask again in a pause."""

    kind: Literal["warned", "breached", "ran-again", "ask-again"]
    point: int = 0  # percent, or how often was asked again
    cause: Cause | None = None
    at: datetime | None = None  # of a warning: when its point was reached
    nudges: bool = False  # of a warning: the owner is nudged as well


def start(clock_id: str, target: Target, now: datetime, calendar: Calendar | None, step_id: str = "") -> Clock:
    """A clock that runs from `now` on."""
    promised = due(target, now, calendar)
    return Clock(clock_id=clock_id, target=target, since=now, promised=promised, step_id=step_id, calendar=calendar)


def start_counted(clock_id: str, target: Target, now: datetime, calendar: Calendar | None, step_id: str) -> Clock:
    """As `start`: with the calendar if its working time counts, and by all time where none is known."""
    if calendar is None:
        target = target.model_copy(update={"clock": ClockKind.ELAPSED})
    own = calendar if target.clock is ClockKind.BUSINESS else None
    return start(clock_id, target, now, own, step_id)


def follow(clock: Clock, now: datetime, calendar: Calendar | None) -> Clock | None:
    """The promise that follows, if its step ends now."""
    if clock.then is None:
        return None
    return start_counted(clock.then.clock_id, clock.then.target, now, calendar, clock.then.step_id)


def paused(clock: Clock, now: datetime) -> tuple[Pause, ...]:
    """The pauses that last."""
    return tuple(one for one in clock.pauses if not one.over and (ends(clock.target, one) or now) > now)


def pause(clock: Clock, cause: Cause, now: datetime, by: str = "", until: datetime | None = None) -> Clock:
    """Stands still for a cause that the target lists; for any other, or if it does already, nothing changes."""
    lasts = any(one.cause is cause for one in paused(clock, now))
    if not clock.runs or lasts or clock.target.pausing(cause) is None:
        return clock
    return clock.model_copy(update={"pauses": (*clock.pauses, Pause(cause=cause, since=now, by=by, until=until))})


def resume(clock: Clock, now: datetime, cause: Cause | None = None) -> Clock:
    """Runs again: all pauses that last are over, or those of one cause."""
    lasting = [one for one in paused(clock, now) if cause in {None, one.cause}]
    pauses = tuple(
        one.model_copy(update={"until": now, "over": True}) if one in lasting else one for one in clock.pauses
    )
    return clock.model_copy(update={"pauses": pauses})


def meet(clock: Clock, now: datetime) -> Clock:
    """Met now. What is met before its breach was recorded was met in time: a decision at the very moment wins."""
    if not clock.runs:
        return clock
    at = now if clock.breached_at else min(now, clock.due)
    return resume(clock, at).model_copy(update={"met_at": max(at, clock.since)})


def hold(clock: Clock, owner: str, now: datetime) -> Clock:
    """From now on `owner` holds the case, until somebody else does."""
    if not clock.runs or (clock.owners and clock.owners[-1].owner == owner):
        return clock
    kept = [one for one in clock.owners if one.since < now][-MOST_OWNERS + 1 :]
    return clock.model_copy(update={"owners": (*kept, Owned(since=now, owner=owner))})


def next_moment(clock: Clock) -> datetime | None:
    """When the next thing happens to it that is told at once; None: nothing more will.

    A warning that nudges nobody is no such thing: `passed` tells it, under its own moment, with whatever comes next.
    """
    if not clock.runs:
        return None
    moments = [moment for one in clock.pauses if not one.over for moment in _of_pause(clock, one)]
    if clock.breached_at is None:
        nudging = (moment for point, moment in _left(clock) if point in clock.target.nudge_at)
        moments += [clock.due, *nudging]
    return min(moments, default=None)


def advance(clock: Clock, now: datetime) -> tuple[Clock, tuple[Happening, ...]]:
    """What has come about by now, each thing once. Of several warnings that were missed only the last nudges."""
    if not clock.runs:
        return clock, ()
    clock, happened = _pauses_by(clock, now)
    if clock.breached_at:
        return clock, happened
    breached = clock.due <= now
    reached = [(point, moment) for point, moment in _left(clock) if moment <= now]
    warned = tuple(
        Happening("warned", point, at=moment, nudges=last and not breached and point in clock.target.nudge_at)
        for last, (point, moment) in ((one is reached[-1], one) for one in reached)
    )
    changes = {"warned": max((point for point, _ in reached), default=clock.warned)}
    breach = (Happening("breached", 100),) if breached else ()
    changed = clock.model_copy(update={**changes, "breached_at": now if breached else None})
    return changed, (*happened, *warned, *breach)


def passed(clock: Clock, now: datetime) -> tuple[Clock, tuple[Happening, ...]]:
    """The warning points that it has passed, up to the next one at which its owner is nudged."""
    if not clock.runs or clock.breached_at:
        return clock, ()
    quiet = takewhile(lambda one: one[0] not in clock.target.nudge_at and one[1] <= now, _left(clock))
    happened = tuple(Happening("warned", point, at=moment) for point, moment in quiet)
    return clock.model_copy(update={"warned": happened[-1].point}) if happened else clock, happened


def late(clock: Clock, now: datetime) -> timedelta:
    """How much longer than its target it has run, by its own clock; zero if it is not late."""
    at = clock.met_at or now
    return max(timedelta(), ran(clock.target, clock.since, at, clock.calendar, clock.pauses) - clock.target.after)


def segments(clock: Clock) -> tuple[Segment, ...]:
    """Every stretch from its start to when it is due or, once that is known, to when it was met."""
    until = clock.met_at or max(clock.due, clock.breached_at or clock.due)
    return explain(clock.target, clock.since, clock.calendar, clock.pauses, until=until)


def held(clock: Clock, now: datetime) -> dict[str, timedelta]:
    """How long it ran in whose hands, up to now or to when it was met: together, as long as it ran."""
    at = clock.met_at or now
    running = explain(clock.target, clock.since, clock.calendar, clock.pauses, until=at)
    changes = [(one.since, one.owner) for one in clock.owners]
    first = [(clock.since, HOLDFAST)] if not changes or changes[0][0] > clock.since else []
    found: dict[str, timedelta] = {}
    for (since, owner), (until, _) in pairwise([*first, *changes, (FOREVER, "")]):
        lasted = total(_within(running, since, until))
        if lasted:
            found[owner] = found.get(owner, timedelta()) + lasted
    return found


def minutes(lengths: dict[str, timedelta]) -> dict[str, int]:
    """The same in whole minutes, which add up to the whole minutes of all together."""
    found, so_far, told = dict[str, int](), timedelta(), 0
    for owner, length in lengths.items():
        so_far += length
        found[owner] = so_far // timedelta(minutes=1) - told
        told += found[owner]
    return found


def recalculated(clock: Clock, target: Target, calendar: Calendar | None) -> datetime | None:
    """When it would be due by a target and a calendar of today; None: no other moment than it is."""
    of_today = due(target, clock.since, calendar or clock.calendar, clock.pauses)
    return None if of_today == clock.due else of_today


def as_shown(clock: Clock) -> Clock:
    """The same with only those days of its calendar that its explanation can name: views are written often."""
    if clock.calendar is None:
        return clock
    first, last = clock.since.date() - timedelta(days=1), max(clock.due, clock.met_at or clock.due).date()
    near = {
        name: tuple(one for one in days if first <= one.day <= last + timedelta(days=1))
        for name, days in (("holidays", clock.calendar.holidays), ("closures", clock.calendar.closures))
    }
    return clock.model_copy(update={"calendar": clock.calendar.model_copy(update=near)})


def _within(running: Sequence[Segment], since: datetime, until: datetime) -> list[Segment]:
    return [
        one.model_copy(update={"since": max(one.since, since), "until": min(one.until, until)})
        for one in running
        if one.kind is SegmentKind.RAN and one.since < until and one.until > since
    ]


def _left(clock: Clock) -> list[tuple[int, datetime]]:
    """The warning points that were not told yet, and when they are reached."""
    known = warnings(clock.target, clock.since, clock.calendar, clock.pauses)
    return [one for one in known if one[0] > clock.warned]


def _of_pause(clock: Clock, one: Pause) -> list[datetime]:
    """The end of a pause, and before it the next time to ask again."""
    rule, end = clock.target.pausing(one.cause), ends(clock.target, one)
    if rule is None or end is None:
        return []
    again = _asks(one, rule)
    return [end, again] if again < end else [end]


def _asks(one: Pause, rule: PauseRule) -> datetime:
    return one.since + (one.asked + 1) * rule.follow_up


def _pauses_by(clock: Clock, now: datetime) -> tuple[Clock, tuple[Happening, ...]]:
    happened: list[Happening] = []
    pauses = tuple(_pause_by(clock, one, now, happened) for one in clock.pauses)
    return clock.model_copy(update={"pauses": pauses}), tuple(happened)


def _pause_by(clock: Clock, one: Pause, now: datetime, happened: list[Happening]) -> Pause:
    rule, end = clock.target.pausing(one.cause), ends(clock.target, one)
    if one.over or rule is None or end is None:
        return one
    if end <= now:
        happened.append(Happening("ran-again", cause=one.cause))
        return one.model_copy(update={"until": end, "over": True})
    if _asks(one, rule) > now:
        return one
    asked = (now - one.since) // rule.follow_up
    happened.append(Happening("ask-again", asked, one.cause))
    return one.model_copy(update={"asked": asked})
