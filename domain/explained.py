"""A deadline as it is shown: every stretch of its time, which add up to what was promised, and what became of it."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from pydantic import Field

from domain.case import CaseView, Deadline, Move, OpenStep
from domain.model import Model
from domain.rules.calendar import Calendar
from domain.rules.clock import Segment, SegmentKind, Target, total
from domain.rules.hours import duration_in_words
from domain.rules.running_clock import Clock, held, late, minutes, recalculated, segments


class Explained(Model):
    """`due` = when the segments that ran (or were added) have added up to `after`. `of_today`: when it would be due by
    the rules as they are now, if that is another moment; the promise stays.
    """

    name: str
    label: str
    clause: str
    since: datetime
    after: timedelta
    due: datetime
    promised: datetime
    segments: tuple[Segment, ...] = ()
    moved: tuple[Move, ...] = ()
    met_at: datetime | None = None
    breached_at: datetime | None = None
    missed: datetime | None = None  # of a step: when it was due at first; what is due now is a reminder
    late: timedelta = timedelta()
    held_minutes: dict[str, int] = Field(default_factory=dict)
    of_today: datetime | None = None
    version: int = 0  # of the target's row
    calendar: str = ""
    calendar_version: int = 0

    @property
    def ran(self) -> timedelta:
        return total(self.segments)


def of_deadline(name: str, deadline: Deadline) -> Explained:
    """All time counts; what a move added is a stretch of its own."""
    original = deadline.since + deadline.after
    ran = Segment(kind=SegmentKind.RAN, since=deadline.since, until=min(original, deadline.due))
    why = deadline.moved[-1].why if deadline.moved else ""
    added = Segment(kind=SegmentKind.ADDED, since=original, until=deadline.due, why=why)
    return Explained(
        name=name,
        label=deadline.label,
        clause=deadline.clause,
        since=deadline.since,
        after=deadline.after,
        due=deadline.due,
        promised=original,
        segments=tuple(one for one in (ran, added) if one.length > timedelta()),
        moved=deadline.moved,
    )


def of_step(step: OpenStep, now: datetime) -> Explained:
    """The deadline of an open step; of a late one also since when, and how long it was in whose hands."""
    told = of_deadline(step.step_id, step.deadline)
    if step.missed is None:
        return told
    late = {"missed": step.missed, "breached_at": step.missed, "late": max(timedelta(), now - step.missed)}
    return told.model_copy(update={**late, "held_minutes": step.minutes_held(now)})


def of_clock(clock: Clock, now: datetime, today: Target | None = None, calendar: Calendar | None = None) -> Explained:
    """A clock at the moment `now`; `today` and `calendar`: its target and calendar as they are today, shown beside."""
    over = clock.met_at or now
    return Explained(
        name=clock.clock_id,
        label=f"{clock.in_words} within {duration_in_words(clock.target.after)}",
        clause=clock.target.clause,
        since=clock.since,
        after=clock.target.after,
        due=clock.due,
        promised=clock.promised,
        segments=segments(clock),
        met_at=clock.met_at,
        breached_at=clock.breached_at,
        late=late(clock, now) if clock.breached_at else timedelta(),
        held_minutes=minutes(held(clock, max(over, clock.since))),
        of_today=recalculated(clock, today, calendar) if today and clock.runs else None,
        version=clock.target.version,
        calendar=clock.calendar.calendar_id if clock.calendar else "",
        calendar_version=clock.calendar.version if clock.calendar else 0,
    )


def of_case(
    view: CaseView, now: datetime, targets: Mapping[str, Target], calendars: Mapping[str, Calendar]
) -> tuple[Explained, ...]:
    """Every deadline of a case: those of its open steps, and its clocks beside the rules of today."""
    steps = (of_step(step, now) for step in view.steps)
    clocks = (
        of_clock(
            one, now, targets.get(one.target.name), calendars.get(one.calendar.calendar_id if one.calendar else "")
        )
        for one in view.clocks
    )
    return (*steps, *clocks)


def lines(told: Explained, zone: ZoneInfo | None = None, names: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """An explanation as people read it, a line a stretch, in a zone's own time (UTC if none is given).

    `names`: what people and teams are called, by their ids.
    """
    known = names or {}
    shown = [_stretch(one, zone, known) for one in told.segments]
    moves = (one.in_words(zone.key if zone else "UTC", known) for one in told.moved)
    return (*shown, _sum(told, zone), *moves, *_became(told, zone, known), *_beside(told, zone))


def _stretch(one: Segment, zone: ZoneInfo | None, names: Mapping[str, str]) -> str:
    return f"{_at(one.since, zone)} to {_at(one.until, zone)}: {_what(one, names)}"


def _what(one: Segment, names: Mapping[str, str]) -> str:
    length = duration_in_words(one.length)
    match one.kind:
        case SegmentKind.RAN:
            return f"{length} run"
        case SegmentKind.PAUSED:
            by = f", says {names.get(one.by, one.by)}" if one.by else ""
            return f"stands still {length}: the {one.why.replace('-', ' ')} is waited for{by}"
        case SegmentKind.OUT_OF_HOURS:
            return f"stands still {length}: out of hours"
        case SegmentKind.HOLIDAY:
            return f"stands still {length}: {one.why} (public holiday)"
        case SegmentKind.CLOSURE:
            return f"stands still {length}: {one.why} (closed)"
        case SegmentKind.ADDED:
            return f"{length} added by a move"


def _sum(told: Explained, zone: ZoneInfo | None) -> str:
    counted = [one for one in told.segments if one.kind in {SegmentKind.RAN, SegmentKind.ADDED}]
    parts = " + ".join(duration_in_words(one.length) for one in counted) or "0 min"
    whole = sum((one.length for one in counted), timedelta())
    so = f" = {duration_in_words(whole)}" if len(counted) > 1 else ""
    used = f" of {duration_in_words(told.after)} used" if told.met_at else ""
    return f"{parts}{so}{used}: due {_at(told.due, zone)} ({told.clause})"


def _became(told: Explained, zone: ZoneInfo | None, names: Mapping[str, str]) -> Iterable[str]:
    if told.breached_at:
        late = f": {duration_in_words(told.late)} late" if told.late else ""
        yield f"not met by {_at(told.missed or told.due, zone)}{late}"
    if told.met_at:
        yield f"met {_at(told.met_at, zone)}" + ("" if told.breached_at else ", in time")
    if told.held_minutes:
        lengths = {owner: duration_in_words(timedelta(minutes=one)) for owner, one in told.held_minutes.items()}
        yield "held by " + ", ".join(f"{names.get(owner, owner)} {length}" for owner, length in lengths.items())


def _beside(told: Explained, zone: ZoneInfo | None) -> Iterable[str]:
    if told.promised != told.due and not told.moved:
        yield f"promised at first: {_at(told.promised, zone)}"
    if told.of_today:
        yield f"by the rules of today it would be due {_at(told.of_today, zone)}: the promise stays"


def _at(moment: datetime, zone: ZoneInfo | None) -> str:
    return f"{moment.astimezone(zone or UTC):%a %d %b %Y %H:%M}"
