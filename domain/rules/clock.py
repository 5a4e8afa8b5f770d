"""Deadlines, explained: how long a target runs, when it stands still and why, and when it is therefore due.

Pure: a workflow calls these with the calendar it carries. Hours that an SOP names are elapsed; only a target that says
so runs in working time.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from domain.model import Model
from domain.rules.calendar import Calendar, TileKind, tiles

FOREVER = datetime(9999, 1, 1, tzinfo=UTC)
WARNINGS = (50, 75, 90)


class ClockKind(StrEnum):
    """Which time counts: all of it, or the calendar's working time."""

    ELAPSED = "elapsed"
    BUSINESS = "business"


class TargetName(StrEnum):
    """The four standard targets; an SOP may have more of its own."""

    ACKNOWLEDGE = "acknowledge"
    NEXT_REPLY = "next-reply"
    SOLUTION_PROPOSED = "solution-proposed"
    RESOLVED = "resolved"


_STANDARD = {
    TargetName.ACKNOWLEDGE: timedelta(hours=4),
    TargetName.NEXT_REPLY: timedelta(hours=48),
    TargetName.SOLUTION_PROPOSED: timedelta(hours=24),
    TargetName.RESOLVED: timedelta(hours=48),
}
"""Of a case whose door gave none."""


class Cause(StrEnum):
    """Whom a clock may stand still for. There is no other cause."""

    CLIENT = "client"
    THIRD_PARTY = "third-party"


class PauseRule(Model):
    """For whom a target stands still, how long at the most (elapsed; then it runs again by itself), and how often
    whoever holds the case is told to ask them again meanwhile.
    """

    cause: Cause
    longest: timedelta
    follow_up: timedelta = timedelta(hours=48)


class Target(Model):
    """A promise as data. `warn`: at how many percent a warning is recorded; `nudge_at`: at which of them the owner is
    nudged as well. `version` is that of the policy row it was made from.
    """

    name: str
    clause: str
    after: timedelta
    clock: ClockKind = ClockKind.ELAPSED
    warn: tuple[int, ...] = WARNINGS
    nudge_at: tuple[int, ...] = ()
    pauses: tuple[PauseRule, ...] = ()
    version: int = 0

    def pausing(self, cause: Cause) -> PauseRule | None:
        """The rule of a cause that pauses this target. Acknowledging never waits for anybody."""
        if self.name == TargetName.ACKNOWLEDGE:
            return None
        return next((rule for rule in self.pauses if rule.cause is cause), None)


def chosen(
    known: Iterable[Target], name: TargetName, clause: str, after: timedelta | None = None, *, pauses: bool = True
) -> Target:
    """The standard target as a case promises it: the row that its door found in force, under the SOP's own clause.

    `after`: how long where the SOP itself says so, which is then elapsed time. `pauses`: whether it may stand still.
    """
    row = next((one for one in known if one.name == name), Target(name=name, clause=clause, after=_STANDARD[name]))
    named = {"after": after, "clock": ClockKind.ELAPSED} if after is not None else {}
    still = {} if pauses else {"pauses": ()}
    return row.model_copy(update={"clause": clause, **named, **still})


def problem_of_target(target: Target) -> str:
    """Why this can't be kept as a target, "" if it can: for doors."""
    if target.after <= timedelta():
        return "a target needs a duration, such as 4h"
    if any(not 0 < point < 100 for point in (*target.warn, *target.nudge_at)):  # noqa: PLR2004  percent
        return "a warning point is a percentage from 1 to 99"
    if target.name == TargetName.ACKNOWLEDGE and target.pauses:
        return "acknowledging never waits for anybody: this target can't be paused"
    if any(rule.longest <= timedelta() or rule.follow_up <= timedelta() for rule in target.pauses):
        return "a pause needs a longest length and a time to follow up, such as 5d and 48h"
    causes = [rule.cause for rule in target.pauses]
    return "a cause may be named once" if len(set(causes)) != len(causes) else ""


class Pause(Model):
    """A time in which somebody else is waited for. `until`: when it ended or is to end; None: at its longest."""

    cause: Cause
    since: datetime
    by: str = ""  # who said so: a person's id, or "" for the SOP itself
    until: datetime | None = None
    over: bool = False  # that it ended is on record
    asked: int = 0  # how often whoever holds the case was told to ask again


class SegmentKind(StrEnum):
    RAN = "ran"
    PAUSED = "paused"
    OUT_OF_HOURS = "out of hours"
    HOLIDAY = "holiday"
    CLOSURE = "closure"
    ADDED = "added"  # by moving the deadline of a person's step


class Segment(Model):
    """A stretch of a clock's time: it ran, or it stood still and this is why."""

    kind: SegmentKind
    since: datetime
    until: datetime
    why: str = ""  # the cause of a pause, or the name of a holiday or closure
    by: str = ""  # who paused it

    @property
    def length(self) -> timedelta:
        return self.until - self.since


class _Held(NamedTuple):
    since: datetime
    until: datetime
    why: str
    by: str


_SHOWN = {
    TileKind.OPEN: SegmentKind.RAN,
    TileKind.OUT_OF_HOURS: SegmentKind.OUT_OF_HOURS,
    TileKind.HOLIDAY: SegmentKind.HOLIDAY,
    TileKind.CLOSURE: SegmentKind.CLOSURE,
}


def due(target: Target, since: datetime, calendar: Calendar | None = None, pauses: Sequence[Pause] = ()) -> datetime:
    """When the target is due, in UTC. A pause that still lasts is taken at its longest.

    Raises ValueError for a business clock without a calendar.
    """
    return _reached(target, target.after, since, calendar, pauses)


def warnings(
    target: Target, since: datetime, calendar: Calendar | None = None, pauses: Sequence[Pause] = ()
) -> tuple[tuple[int, datetime], ...]:
    """The moments at which each warning point is reached, the earliest first."""
    points = sorted(set(target.warn) | set(target.nudge_at))
    return tuple((one, _reached(target, target.after * one / 100, since, calendar, pauses)) for one in points)


def explain(
    target: Target,
    since: datetime,
    calendar: Calendar | None = None,
    pauses: Sequence[Pause] = (),
    until: datetime | None = None,
) -> tuple[Segment, ...]:
    """Every stretch from `since` to `until` (or to when it is due), without gap or overlap: those that ran add up to
    the target's duration exactly when it is due.
    """
    end = (until or due(target, since, calendar, pauses)).astimezone(UTC)
    shown: list[Segment] = []
    for one in _walk(target, since, calendar, pauses):
        if one.since >= end:
            break
        cut = one.model_copy(update={"until": min(one.until, end)})
        if shown and _alike(shown[-1], cut):
            shown[-1] = shown[-1].model_copy(update={"until": cut.until})
        else:
            shown.append(cut)
    return tuple(shown)


def ran(
    target: Target, since: datetime, at: datetime, calendar: Calendar | None = None, pauses: Sequence[Pause] = ()
) -> timedelta:
    """How long the clock has run at the moment `at`."""
    return total(explain(target, since, calendar, pauses, until=at))


def used(
    target: Target, since: datetime, at: datetime, calendar: Calendar | None = None, pauses: Sequence[Pause] = ()
) -> float:
    """How much of the target is used up at the moment `at`, in percent: above 100 it is late."""
    if not target.after:
        return 100.0
    return 100 * (ran(target, since, at, calendar, pauses) / target.after)


def total(segments: Iterable[Segment]) -> timedelta:
    """What the segments that ran add up to."""
    return sum((one.length for one in segments if one.kind is SegmentKind.RAN), timedelta())


def ends(target: Target, pause: Pause) -> datetime | None:
    """When a pause ends at the latest; None: it does not pause this target at all."""
    rule = target.pausing(pause.cause)
    if rule is None:
        return None
    return min(pause.since + rule.longest, pause.until or FOREVER)


def _reached(
    target: Target, after: timedelta, since: datetime, calendar: Calendar | None, pauses: Sequence[Pause]
) -> datetime:
    left = after
    for one in _walk(target, since, calendar, pauses):
        if one.kind is not SegmentKind.RAN:
            continue
        if one.length >= left:
            return one.since + left
        left -= one.length
    raise ValueError(f"{target.name} is never due")


def _walk(target: Target, since: datetime, calendar: Calendar | None, pauses: Sequence[Pause]) -> Iterator[Segment]:
    """All time from `since` on, as this target counts it."""
    held = [
        _Held(one.since, end, one.cause.value, one.by)
        for one in pauses
        if (end := ends(target, one)) is not None and end > one.since
    ]
    for tile_since, tile_until, kind, why in _counted(target, since.astimezone(UTC), calendar):
        yield from _cut(Segment(kind=kind, since=tile_since, until=tile_until, why=why), held)


def _counted(
    target: Target, since: datetime, calendar: Calendar | None
) -> Iterator[tuple[datetime, datetime, SegmentKind, str]]:
    if target.clock is ClockKind.ELAPSED:
        yield since, FOREVER, SegmentKind.RAN, ""
    elif calendar is None:
        raise ValueError(f"{target.name} runs in working time and has no calendar")
    else:
        for tile in tiles(calendar, since):
            yield tile.since, tile.until, _SHOWN[tile.kind], tile.why


def _cut(whole: Segment, held: Sequence[_Held]) -> Iterator[Segment]:
    """A stretch, less the pauses in it; of two pauses at once the one named first is shown."""
    at = whole.since
    while at < whole.until:
        pause = next((one for one in held if one.since <= at < one.until), None)
        if pause:
            until = min(pause.until, whole.until).astimezone(UTC)
            yield Segment(kind=SegmentKind.PAUSED, since=at, until=until, why=pause.why, by=pause.by)
        else:
            until = min((one.since for one in held if one.since > at), default=whole.until)
            until = min(until, whole.until).astimezone(UTC)
            yield whole.model_copy(update={"since": at, "until": until})
        at = until


def _alike(one: Segment, other: Segment) -> bool:
    return (one.kind, one.why, one.by) == (other.kind, other.why, other.by)
