"""Promises that run: started, paused, met; and what runs beside a case to tell each warning and breach in time.

`start_clock`, `pause`, `resume` and `met` are remembered like every step, and cost nothing: what they tell rides on the
next activity. `clocks` is given to `running` beside the case; a breach is on record at the moment, by an activity.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from temporalio import workflow

from domain.case import EventKind
from domain.digest import ALONE_WITHIN
from domain.effects import Effect, Nudge, Stage
from domain.ids import effect_key
from domain.people import Role
from domain.rules.calendar import Calendar
from domain.rules.clock import Cause, ClockKind, Target
from domain.rules.hours import duration_in_words
from domain.rules.running_clock import (
    Clock,
    Following,
    Happening,
    advance,
    follow,
    held,
    late,
    meet,
    minutes,
    next_moment,
    start_counted,
)
from domain.rules.running_clock import pause as paused
from domain.rules.running_clock import resume as resumed
from workflows.steps.asking import perform
from workflows.steps.case import Case
from workflows.steps.deadline import BESIDE, others_first, wait
from workflows.steps.stage import break_down
from workflows.steps.visibility import show

ALL = ""
MOST_KEPT = 20
"""Clocks of a case that are carried and shown: of those that are met the last ones. The audit trail holds all."""


def start_clock(
    case: Case,
    target: Target,
    *,
    step: str = "",
    calendar: Calendar | None = None,
    clock_id: str = "",
    then: tuple[Target, str] | None = None,
) -> datetime:
    """Promises `target` from now on, once, and says by when.

    `step`: the person's step whose end meets it (its key, such as `draft`), else the SOP calls `met`. `calendar`: whose
    working time counts, if not the case's own. `clock_id`: of one beside the case, which nothing there counts. `then`:
    the next promise of this name and its step, which an act that ends `step` makes: it is in the tables with that act.
    """
    key = f"clock-{clock_id}" if clock_id else case.key(f"clock-{target.name}")
    if key not in case.done:
        clock = _started(case, key.removeprefix("clock-"), target, step, calendar or case.request.calendar)
        if then:
            following = case.next_named(f"clock-{target.name}").removeprefix("clock-")
            after = Following(clock_id=following, target=then[0], step_id=then[1])
            clock = clock.model_copy(update={"then": after})
        _begin(case, clock)
    return datetime.fromisoformat(case.done[key])


def _begin(case: Case, clock: Clock) -> None:
    case.clocks[clock.clock_id] = clock
    _forget_old(case)
    case.hold_clocks()
    case.clock_changes += 1
    case.done[f"clock-{clock.clock_id}"] = clock.promised.isoformat()
    versions = _versions(clock, clock.calendar or case.request.calendar)
    _note(case, EventKind.PROMISED, clock, f"Promise: {clock.in_words} by {_utc(clock.promised)}.", **versions)


def pause(case: Case, name: str, cause: Cause, by: str = "", until: datetime | None = None) -> None:
    """Stands still for a cause that the target lists, until `resume`, `until`, or for its longest. `name` ALL: all."""
    now = workflow.now()
    for clock in _once(case, "pause", name):
        changed = paused(clock, cause, now, by, until)
        if changed != clock:
            case.clocks[clock.clock_id] = changed
            text = f"{clock.in_words} stands still: the {_in_words(cause)} is waited for; due {_utc(changed.due)} now."
            _note(case, EventKind.PAUSED, changed, text, by=by)


def resume(case: Case, name: str, cause: Cause | None = None) -> None:
    """Runs again: whoever was waited for answered."""
    now = workflow.now()
    for clock in _once(case, "resume", name):
        changed = resumed(clock, now, cause)
        if changed != clock:
            case.clocks[clock.clock_id] = changed
            _note(case, EventKind.RAN_AGAIN, changed, f"{clock.in_words} runs again, due {_utc(changed.due)}.")


def met_by(case: Case, name: str, keys: Sequence[str]) -> None:
    """Names the effects whose sending keeps a promise, before they are carried out; `met` is called all the same."""
    for clock in promised(case, name):
        case.clocks[clock.clock_id] = clock.model_copy(update={"met_by": tuple(keys)})


def met(case: Case, name: str) -> None:
    """The promise is kept: now, or in time if its breach is not on record yet."""
    for clock in _once(case, "met", name):
        _meet(case, clock, workflow.now())


def promised(case: Case, name: str) -> tuple[Clock, ...]:
    """The running clocks of this name."""
    return tuple(one for one in case.clocks.values() if one.runs and one.target.name == name)


def meet_step(case: Case, step_id: str, came: datetime, heard: datetime) -> None:
    """A person's step ended by an act that came at this moment: what it was to meet is met. `heard`: when it was
    judged, which is when the promise begins that follows.
    """
    for clock in tuple(case.clocks.values()):
        if clock.runs and clock.step_id == step_id:
            _meet(case, clock, came)
            case.clock_changes += 1
            if begun := follow(clock, heard, case.request.calendar):
                _begin(case, begun)


async def clocks(case: Case) -> None:
    """Runs beside a case: tells warnings that nudge, breaches and the ends of pauses when they come about.

    Nothing is told before the case is on record; and a moment that has moved away is not worth another timer.
    """
    BESIDE.set(True)
    await wait(case, "on record", None, lambda: case.admitted)
    while True:
        await others_first()
        moment, label = _next(case)
        await wait(case, label, moment, _earlier(case, moment))
        await _let_decisions_win(case)
        await _catch_up(case)


def _earlier(case: Case, moment: datetime | None) -> Callable[[], bool]:
    """Whether something comes about before that moment by now; looked at only when a clock was changed."""
    known = {case.clock_changes: False}

    def is_earlier() -> bool:
        if case.clock_changes not in known:
            soonest, _ = _next(case)
            known[case.clock_changes] = soonest is not None and (moment is None or soonest < moment)
        return known[case.clock_changes]

    return is_earlier


def _started(case: Case, clock_id: str, target: Target, step: str, calendar: Calendar | None) -> Clock:
    if target.clock is ClockKind.BUSINESS and calendar is None:
        case.note(EventKind.NOTED, target.clause, f"{clock_id}: no calendar is known, so that all time counts.")
    return start_counted(clock_id, target, workflow.now(), calendar, step)


def _forget_old(case: Case) -> None:
    over = [key for key, clock in case.clocks.items() if not clock.runs]
    for key in over[: max(0, len(case.clocks) - MOST_KEPT)]:
        del case.clocks[key]


def _once(case: Case, what: str, name: str) -> Sequence[Clock]:
    """The running clocks that are meant, the first time that `run` comes here; afterwards none."""
    key = case.key(f"{what}-{name or 'all'}")
    if key in case.done:
        return ()
    case.done[key] = "null"
    case.clock_changes += 1
    return tuple(one for one in case.clocks.values() if one.runs and name in {ALL, one.clock_id, one.target.name})


def _meet(case: Case, clock: Clock, at: datetime) -> None:
    case.hold_clocks()
    case.note_warnings(at)
    case.clocks[clock.clock_id] = over = meet(case.clocks[clock.clock_id], at)
    lateness = late(over, at)
    how = f"{duration_in_words(lateness)} late" if over.breached_at else "in time"
    facts = _facts(over, at) | {"met_at": (over.met_at or at).isoformat(), "late_minutes": _whole(lateness)}
    case.unwritten = case.version
    _note(case, EventKind.MET, over, f"{clock.in_words} is met, {how}.", **facts)


def _next(case: Case) -> tuple[datetime | None, str]:
    """When the next thing happens to any clock, and what the timer is called."""
    moments = [(at, one) for one in case.clocks.values() if (at := next_moment(one)) is not None]
    if not moments:
        return None, "no clock runs"
    at, clock = min(moments, key=lambda one: one[0])
    return at, f"{clock.target.clause} {clock.clock_id}"


async def _let_decisions_win(case: Case) -> None:
    """What came by the moment a promise was due is judged before a breach is told."""
    now = workflow.now()

    def is_open() -> bool:
        return any(
            case.is_undecided(one.step_id, now)
            for one in case.clocks.values()
            if one.runs and one.breached_at is None and one.due <= now
        )

    if is_open():
        await workflow.wait_condition(lambda: not is_open())


async def _catch_up(case: Case) -> None:
    """Lets come about what is due; tells it at once only if it is a breach or somebody is to be nudged."""
    now, effects, at_once = workflow.now(), list[Effect](), False
    case.hold_clocks()
    for key in tuple(case.clocks):
        case.clocks[key], happened = advance(case.clocks[key], now)
        for one in happened:
            effects += _told(case, case.clocks[key], one, now)
            at_once = at_once or one.kind == "breached"
    if effects or at_once:
        await _tell(case, effects)


async def _tell(case: Case, effects: Sequence[Effect]) -> None:
    case.telling = True
    show(case)
    clause = case.events[-1].clause if case.events else case.desk.trail
    stage = Stage(name="clock", clause=clause, effects=tuple(effects), events=case.take_events(), view=case.view())
    try:
        break_down(case, effects, await perform(case, stage))
    finally:
        case.telling = False


def _told(case: Case, clock: Clock, what: Happening, now: datetime) -> list[Effect]:
    """Notes what came about, and returns the nudge that goes with it."""
    name, words, due = clock.clock_id, clock.in_words, _utc(clock.due)
    match what.kind:
        case "breached":
            _note(
                case, EventKind.BREACHED, clock, f"{words} was promised by {due} and is not met.", **_facts(clock, now)
            )
        case "warned":
            text = case.note_warning(clock, what)
            if what.nudges:
                return _nudge(case, clock, f"warn-{name}", what.point, text)
        case "ran-again":
            text = f"The {_in_words(what.cause)} was waited for as long as may be: {words} runs again, due {due}."
            _note(case, EventKind.RAN_AGAIN, clock, text)
            return _nudge(case, clock, f"ran-again-{name}-{what.cause}", len(clock.pauses), text)
        case "ask-again":
            text = f"{words} still stands still for the {_in_words(what.cause)}: ask again."
            _note(case, EventKind.CHASED, clock, text, times=what.point)
            return _nudge(case, clock, f"ask-again-{name}-{what.cause}-{len(clock.pauses)}", what.point, text)
    return []


def _nudge(case: Case, clock: Clock, name: str, ordinal: int, why: str) -> list[Effect]:
    """To whoever holds the clock's step, else to whoever must act first; where nobody is waited for, to nobody."""
    first = min(case.open.values(), key=lambda one: one.deadline.due, default=None)
    step = case.open.get(clock.step_id) or first
    if step is None:
        return []
    key = effect_key(case.request.case_id, name, ordinal)
    waits = not (step.urgent or step.role == Role.APPROVER) and clock.due - workflow.now() > ALONE_WITHIN
    clause = clock.target.clause
    told = Nudge(key=key, clause=clause, step_id=step.step_id, chase=step.chased, why=why, digest=waits)
    return [told.model_copy(update={"urgent": step.urgent})]


def _note(case: Case, kind: EventKind, clock: Clock, text: str, **data: object) -> None:
    case.note(kind, clock.target.clause, text, step_id=clock.step_id, clock=clock.clock_id, **data)  # pyright: ignore[reportArgumentType]  JSON's own types


def _facts(clock: Clock, now: datetime) -> dict[str, object]:
    """What a breach is told with: what was promised at first and as it stands, and how long it ran in whose hands."""
    return {
        "promised_at": clock.promised.isoformat(),
        "due_at": clock.due.isoformat(),
        "held_minutes": minutes(held(clock, now)),
    }


def _versions(clock: Clock, calendar: Calendar | None) -> dict[str, object]:
    """Which rows it was made from: kept on the case. Of a clock that counts all time, whose calendar the case has."""
    known = {"calendar": calendar.calendar_id, "calendar_version": calendar.version} if calendar else {}
    closures = {"closures_version": calendar.closures_version} if calendar else {}
    return {"promised_at": clock.promised.isoformat(), "target_version": clock.target.version, **known, **closures}


def _in_words(cause: Cause | None) -> str:
    return cause.value.replace("-", " ") if cause else ""


def _whole(length: timedelta) -> int:
    return length // timedelta(minutes=1)


def _utc(at: datetime) -> str:
    return f"{at:%a %d %b %Y %H:%M} UTC"
