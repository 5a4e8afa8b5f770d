"""A person's step: asked, chased until done, ended by a signed act that was checked and stored."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from pydantic import JsonValue, ValidationError
from temporalio import workflow

from domain.acts import ActAnswer, Candidate, RecordActs
from domain.acts_arrived import claimed_kind
from domain.case import Deadline, EventKind, Model, Move, OpenStep
from domain.effects import Effect, Nudge, Receipt, Stage
from domain.ids import effect_key
from domain.messages import ActKind, SignedAct
from domain.rules.hours import duration_in_words
from domain.steps import Done, Look, PersonStep
from workflows.steps.asking import judge, perform
from workflows.steps.case import Case
from workflows.steps.clocks import meet_step
from workflows.steps.deadline import BESIDE, first, never, others_first, wait
from workflows.steps.stage import RECEIPTS, break_down
from workflows.steps.visibility import show

R = TypeVar("R", bound=Model)
MOST_AT_ONCE = 200
MOST_BYTES = 400_000
PATIENCE_WITH_REFUSALS = 5
ESCALATED_AT = 2
MOOT = "moot"
OWNERSHIP = (ActKind.CLAIM, ActKind.RELEASE, ActKind.REASSIGN, ActKind.MOVE)


class _Kept(Model):
    """How a finished step is remembered."""

    result: str
    by: str
    kind: ActKind
    receipts: tuple[Receipt, ...] = ()


async def person(case: Case, step: PersonStep[R], *, key: str = "") -> Done[R]:
    """Asks whoever the step belongs to, and waits until a valid act ends it. `key`: of a step beside the case."""
    done = await _person(case, key or case.key(step.name), step, never, None)
    assert done is not None, "nothing is over that never is"
    return done


async def person_unless(
    case: Case, step: PersonStep[R], over: Callable[[], bool], look: Look | None = None, *, key: str = ""
) -> Done[R] | None:
    """As `person`, but None once it is `over`: whoever was asked is asked no more, and reminded of nothing.

    `look` is read before each reminder, so that nobody is reminded of what is done already. `key`: of a step that is
    one of several of its kind, whichever there are.
    """
    key = key or case.key(step.name)
    if key not in case.done and key not in case.open:
        if look and look.before_asking:
            await _read_again(case, key, step.clause, look)
        if over():
            case.done[key] = MOOT
    return await _person(case, key, step, over, look)


async def _person(
    case: Case, key: str, step: PersonStep[R], over: Callable[[], bool], look: Look | None
) -> Done[R] | None:
    if key in case.done:
        return _remembered(case.done[key], step)
    if look:
        case.looks[key] = look
    await _begin(case, key, step)
    while True:
        waiting = case.open[key]
        label = f"{step.clause} {waiting.deadline.label}"
        match await first(case, label, waiting.deadline.due, act=key, over=over):
            case "due":
                if not (look and await _overtaken(case, key, step, over, look)):
                    await _chase(case, key, step)
            case "act":
                if done := await _hear(case, key, step):
                    return done
                await _let_a_flood_settle(case)
            case "over":
                return _drop(case, key, step)
            case "moved":
                pass


async def _begin(case: Case, key: str, step: PersonStep[R]) -> None:
    case.passed_on[key] = step.passed_on
    if key not in case.open:
        await _ask(case, key, step)
    if step.opened:
        step.opened(RECEIPTS.validate_json(case.done[_opening(key)]))


def _remembered(kept: str, step: PersonStep[R]) -> Done[R] | None:
    if kept == MOOT:
        return None
    known = _Kept.model_validate_json(kept)
    return Done(step.result.model_validate_json(known.result), known.by, known.kind, known.receipts)


async def _overtaken(case: Case, key: str, step: PersonStep[R], over: Callable[[], bool], look: Look) -> bool:
    """Looks before reminding: whether it is over, was said to be done meanwhile, or has got more time."""
    due = case.open[key].deadline.due
    await _read_again(case, key, step.clause, look)
    return over() or case.has_acts(key) or case.open[key].deadline.due != due


async def looked(case: Case, key: str) -> None:
    """Looks, where the step can, before somebody is told of it late: what is done by now is found out first."""
    if (look := case.looks.get(key)) and (step := case.open.get(key)):
        await _read_again(case, key, step.clause, look)


async def _read_again(case: Case, key: str, clause: str, look: Look) -> None:
    """What could not be read is no reason not to remind. What follows from what was read comes first."""
    stage = Stage(
        name=f"look {key}", clause=clause, effects=(look.effect,), events=case.take_events(), view=case.view()
    )
    (receipt,) = await perform(case, stage)
    if receipt.done:
        look.seen(receipt)
        await others_first()


def _drop(case: Case, key: str, step: PersonStep[R]) -> None:
    _done_late(case, case.open.pop(key), workflow.now())
    case.done[key] = MOOT
    case.unwritten = case.version
    case.note(EventKind.NOTED, step.clause, f"No longer asked: {step.waiting_for}.", step_id=key)
    show(case)


def move(case: Case, name: str, to: str, due: datetime, why: str, by: str = "") -> None:
    """Moves the deadline of the open step `to`, once: what follows from an answer shows where the deadline was."""
    key = case.key(name)
    if key in case.done:
        return
    case.done[key] = "null"
    if step := case.open.get(to):
        moved = step.deadline.later(Move(before=step.deadline.due, after=due, by=by, why=why))
        case.open[to] = step.model_copy(update={"deadline": moved})
        line = moved.moved[-1].in_words("UTC")
        case.note(EventKind.MOVED, step.clause, f"The deadline was {line}.", step_id=to)
        show(case)


async def _let_a_flood_settle(case: Case) -> None:
    """Refusals in a row are heard in full batches, so that a flood of forged acts costs little and delays a good one
    little.
    """
    if case.refusals > PATIENCE_WITH_REFUSALS and len(case.acts) < MOST_AT_ONCE:
        pause = timedelta(seconds=min(8, 2 ** (case.refusals - PATIENCE_WITH_REFUSALS)))
        await wait(case, "letting a flood of refused acts settle", workflow.now() + pause, lambda: False)


async def _ask(case: Case, key: str, step: PersonStep[R]) -> None:
    due = case.mint(key, f"{step.name} is due", step.clause, step.due)
    case.open[key] = OpenStep(
        step_id=key,
        name=step.name,
        clause=step.clause,
        kinds=tuple(kind.value for kind in step.kinds),
        role=step.role,
        subject=step.subject,
        waiting_for=step.waiting_for,
        asked_at=workflow.now(),
        deadline=due,
        reference=step.reference,
        hears_client=step.hears_client,
        urgent=step.urgent,
    )
    case.note(
        EventKind.ASKED, step.clause, f"Asked {step.role}: {step.waiting_for}.", step_id=key, due=due.due.isoformat()
    )
    request = Nudge(key=_nudge(case, key, 0), clause=step.clause, step_id=key, urgent=step.urgent)
    asking = (request,) if step.told else ()
    told = await _tell(case, key, step, (*step.opening, *asking))
    if step.opened:
        case.done[_opening(key)] = RECEIPTS.dump_json(told).decode()


def _opening(key: str) -> str:
    return f"{key}: opening"


async def _chase(case: Case, key: str, step: PersonStep[R]) -> None:
    """The deadline passed: say so, and ask again, whoever the step belongs to by now."""
    waiting, now = case.open[key], workflow.now()
    waiting = _missed(case, waiting)
    count, every = waiting.chased + 1, case.request.chase_every
    missed = max(0, (now - waiting.deadline.due) // every)
    since = waiting.deadline.due + missed * every
    following = Deadline(label=f"reminder {count + 1}", clause=step.clause, since=since, after=every, due=since + every)
    case.open[key] = waiting.model_copy(update={"chased": count, "deadline": following})
    case.note(EventKind.CHASED, step.clause, f"Reminded {waiting.owner} ({count}).", step_id=key, times=count)
    nudge = Nudge(key=_nudge(case, key, count), clause=step.clause, step_id=key, chase=count, urgent=step.urgent)
    await _tell(case, key, step, (nudge, *_escalation(case, key, step, count)))


def _missed(case: Case, step: OpenStep) -> OpenStep:
    """The first time that it is late: on record at the moment, with whose it was. A clock of its own tells it."""
    if step.missed or any(clock.step_id == step.step_id for clock in case.clocks.values()):
        return step
    late = step.hold(workflow.now()).model_copy(update={"missed": step.deadline.due})
    text = f"Due {step.deadline.due:%Y-%m-%d %H:%M} UTC and not done."
    case.note(EventKind.BREACHED, step.clause, text, step_id=step.step_id, **_lateness(late, workflow.now()))  # pyright: ignore[reportArgumentType]  JSON's own types
    return late


def _lateness(step: OpenStep, until: datetime) -> dict[str, JsonValue]:
    """What a broken deadline is told with: what was promised, how late it is, and how long it was in whose hands."""
    missed = step.missed or step.deadline.due
    return {
        "promised_at": missed.isoformat(),
        "late_minutes": max(timedelta(), until - missed) // timedelta(minutes=1),
        "held_minutes": dict(step.minutes_held(until)),
    }


def _done_late(case: Case, step: OpenStep, at: datetime) -> None:
    """What was late and is done after all."""
    if step.missed:
        late = duration_in_words(at - step.missed)
        facts = _lateness(step, at) | {"met_at": at.isoformat()}
        case.note(EventKind.MET, step.clause, f"{step.name} is done, {late} late.", step_id=step.step_id, **facts)  # pyright: ignore[reportArgumentType]  JSON's own types


def _nudge(case: Case, key: str, chase: int) -> str:
    return effect_key(case.request.case_id, f"nudge-{key}", chase)


def _escalation(case: Case, key: str, step: PersonStep[R], chase: int) -> tuple[Nudge, ...]:
    """From the second reminder on another role is told as well; silence still decides nothing."""
    if step.escalate is None or chase < ESCALATED_AT:
        return ()
    name = effect_key(case.request.case_id, f"escalate-{key}", chase)
    return (Nudge(key=name, clause=step.clause, step_id=key, chase=chase, role=step.escalate, urgent=step.urgent),)


async def _tell(case: Case, key: str, step: PersonStep[R], effects: tuple[Effect, ...]) -> tuple[Receipt, ...]:
    show(case)
    done = await perform(
        case, Stage(name=key, clause=step.clause, effects=effects, events=case.take_events(), view=case.view())
    )
    break_down(case, effects, done)
    return done


async def _hear(case: Case, key: str, step: PersonStep[R]) -> Done[R] | None:
    """Has the acts that arrived judged; the step's end if one of them ends it."""
    acts = _batch(case, key)
    if not acts:
        return None
    before, after, heard = case.view(), case.view(without=key), workflow.now()
    results = [_read(act, step) for act in acts]
    request = RecordActs(
        case_id=case.request.case_id,
        workflow_id=case.workflow_id,
        step_id=key,
        kinds=tuple(kind.value for kind in step.kinds),
        role=step.role,
        claimed_by=case.open[key].claimed_by,
        subject=step.subject,
        reference=step.reference,
        candidates=tuple(_candidate(act, result, step) for act, result in zip(acts, results, strict=True)),
        events=case.take_events(),
        view=before,
        view_after=after,
    )
    try:
        answer = await judge(case, request, step.clause)
    except (Exception, asyncio.CancelledError):  # not GeneratorExit: an evicted workflow has no time to ask for
        case.give_back_acts(acts)
        raise
    came = case.came_at(acts[answer.accepted]) if answer.accepted >= 0 else workflow.now()
    case.judged(acts)
    case.refused += answer.refused
    case.refusals = 0 if answer.accepted >= 0 else case.refusals + 1
    if answer.accepted < 0 or answer.kind in OWNERSHIP:
        _change_owner(case, key, answer)
        return None
    result = results[answer.accepted]
    if not isinstance(result, Model):
        return None
    meet_step(case, key, came, heard)
    _done_late(case, case.open[key], came)
    return _finish(
        case, key, Done(result, answer.by, ActKind(answer.kind), answer.receipts), request.candidates[answer.accepted]
    )


def _finish(case: Case, key: str, done: Done[R], candidate: Candidate) -> Done[R]:
    case.open.pop(key)
    break_down(case, candidate.then, done.receipts)
    if not BESIDE.get():
        case.doing = f"{key} is done"
    kept = _Kept(result=done.result.model_dump_json(), by=done.by, kind=done.kind, receipts=done.receipts)
    case.done[key] = kept.model_dump_json()
    return done


def _batch(case: Case, key: str) -> tuple[SignedAct, ...]:
    """Up to 200 acts, and no more bytes than one activity takes."""
    room, count = MOST_BYTES, 0
    for act in case.mine(key)[:MOST_AT_ONCE]:
        room -= len(act.body) + len(act.payload)
        if room < 0 and count:
            break
        count += 1
    return case.take_acts(key, count)


def _read(act: SignedAct, step: PersonStep[R]) -> R | str:
    """The result in an act, "" for one that only changes the owner, or why it can't be read."""
    if claimed_kind(act) in OWNERSHIP:
        return ""
    try:
        return step.result.model_validate_json(act.payload)
    except ValidationError:
        return f"The result of {step.name} is not of the documented form."


def _candidate(act: SignedAct, result: R | str, step: PersonStep[R]) -> Candidate:
    if isinstance(result, str):
        return Candidate(act=act, problem=result)
    problem = step.check(result)
    return Candidate(
        act=act, problem=problem, then=() if problem or claimed_kind(act) != step.kinds[0] else tuple(step.then(result))
    )


def _change_owner(case: Case, key: str, answer: ActAnswer) -> None:
    """Claims, releases, reassignments and moves of a deadline, as they stand after all acts of a batch."""
    if answer.accepted >= 0:
        step = case.open[key]
        owned = step.owned(answer.claimed_by, answer.reassigned_to)
        case.open[key] = owned.model_copy(update={"deadline": _moved(step.deadline, answer)})
    show(case)


def _moved(deadline: Deadline, answer: ActAnswer) -> Deadline:
    if answer.due is None or answer.due == deadline.due:
        return deadline
    return deadline.later(Move(before=deadline.due, after=answer.due, by=answer.by))


async def refuse_strays(case: Case, clause: str) -> None:
    """Acts that no step waits for are refused visibly, not dropped."""
    while acts := _batch(case, ""):
        strays = tuple(Candidate(act=act, problem="No step waits for this.") for act in acts)
        request = RecordActs(
            case_id=case.request.case_id,
            workflow_id=case.workflow_id,
            step_id="",
            candidates=strays,
            events=case.take_events(),
            view=case.view(),
        )
        case.refused += (await judge(case, request, clause)).refused
        case.judged(acts)
