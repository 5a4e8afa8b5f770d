"""Mending beside the case: what an outside system did not do is tried again with growing pauses, then by a person."""

import asyncio
from datetime import timedelta

from pydantic import TypeAdapter
from temporalio import workflow

from domain.case import Broken, EventKind
from domain.effects import Effect, Nudge, Receipt, ReceiptState, Stage
from domain.ids import part_of
from domain.messages import ActKind, Fact, FactKind
from domain.people import Role
from domain.return_lead import StepResult
from domain.steps import PersonStep
from workflows.steps.case import Case
from workflows.steps.deadline import BESIDE, wait
from workflows.steps.person import person
from workflows.steps.running import perform
from workflows.steps.visibility import show

PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60))
HELD_PAUSE = timedelta(hours=6)
EFFECT: TypeAdapter[Effect] = TypeAdapter(Effect)


async def mends(case: Case) -> None:
    """Runs beside a case: takes up each broken effect, and each fact that a person must see."""
    BESIDE.set(True)
    started: dict[str, asyncio.Task[None]] = {}

    def to_start() -> list[str]:
        return [key for key in (*case.broken, *case.beside) if key not in started]

    def over() -> list[str]:
        return [key for key in started if key not in case.broken and key not in case.beside]

    while True:
        _sort_facts(case)
        for key in to_start():
            started[key] = asyncio.create_task(_mend(case, key) if key in case.broken else _look(case, key))
        await workflow.wait_condition(lambda: bool(case.facts or to_start() or over()))
        for key in over():
            del started[key]


def _sort_facts(case: Case) -> None:
    facts, case.facts = case.facts, []
    for fact in facts:
        match fact.kind:
            case FactKind.JOINED:
                case.note(EventKind.NOTED, "RL-1", "Another message about this request arrived; it joined this case.")
            case FactKind.RESUMED:
                case.note(EventKind.RESUMED, "RL-15", "Sending was switched on again.")
                case.resumed += 1
            case FactKind.BOUNCED:
                case.beside[fact.event_id] = fact.model_dump_json()


async def _look(case: Case, event_id: str) -> None:
    """Our mail came back: a person reaches the client another way."""
    fact = Fact.model_validate_json(case.beside[event_id])
    step = PersonStep(
        name="not-reached",
        clause="RL-9",
        role=Role.RETURN_LEADS,
        kinds=(ActKind.DONE, ActKind.WAIVE),
        result=StepResult,
        waiting_for="our mail came back: reach the client another way",
        reference=fact.reference,
    )
    await person(case, step, key=f"not-reached:{part_of(event_id)}")
    del case.beside[event_id]


async def _mend(case: Case, key: str) -> None:
    """The same key again after growing pauses; then a person does it, has it tried again, or waives it by name."""
    while (broken := case.broken.get(key)) and not _moot(case, broken):
        attempt = broken.attempt
        if (pause := _pause(broken)) is not None:
            await _rest(case, broken, pause)
        else:
            await person(case, could_not(_effect(broken), _last(broken)), key=f"could-not:{part_of(key)}.{attempt}")
        receipt = await _again(case, broken)
        case.broken[key] = broken.model_copy(
            update={"receipt": receipt.model_dump(mode="json"), "attempt": attempt + 1}
        )
        if receipt.done:
            break
    case.broken.pop(key, None)
    show(case)


def _effect(broken: Broken) -> Effect:
    return EFFECT.validate_python(broken.effect)


def _last(broken: Broken) -> Receipt:
    return Receipt.model_validate(broken.receipt)


def _moot(case: Case, broken: Broken) -> bool:
    """A reminder of a step that is done is never sent."""
    effect = _effect(broken)
    return isinstance(effect, Nudge) and effect.step_id not in case.open


def _pause(broken: Broken) -> timedelta | None:
    """How long to wait before the next try; None: a person must look."""
    last, turn = _last(broken), broken.attempt % (len(PAUSES) + 1)
    if last.state is ReceiptState.HELD:
        return HELD_PAUSE
    if isinstance(_effect(broken), Nudge):
        return PAUSES[min(broken.attempt, len(PAUSES) - 1)]
    worth_it = last.state is ReceiptState.SKIPPED or (last.state is ReceiptState.FAILED and last.retry)
    return PAUSES[turn] if worth_it and turn < len(PAUSES) else None


async def _rest(case: Case, broken: Broken, pause: timedelta) -> None:
    """Waits out the pause; sending that is switched on again, or a step that is done, ends it early."""
    effect, seen, key = _effect(broken), case.resumed, f"mend {_last(broken).key}"
    due = case.mint(key, "trying again", effect.clause, pause).due
    await wait(case, f"{effect.clause} {effect.kind} again", due, lambda: case.resumed != seen or _moot(case, broken))
    case.deadlines.pop(key, None)


async def _again(case: Case, broken: Broken) -> Receipt:
    effect = _effect(broken).model_copy(update={"after": ""})
    if _moot(case, broken):
        return _last(broken)
    stage = Stage(
        name=f"again {effect.kind}",
        clause=effect.clause,
        effects=(effect,),
        events=case.take_events(),
        view=case.view(),
    )
    (receipt,) = await perform(case, stage)
    return receipt


def could_not(effect: Effect, receipt: Receipt, *, waivable: bool = True) -> PersonStep[StepResult]:
    """The step "could not do X": done by hand, tried again, or (never for money) waived by name."""
    kinds = (ActKind.DONE, ActKind.RESEND, ActKind.WAIVE) if waivable else (ActKind.DONE, ActKind.RESEND)
    return PersonStep(
        name="could-not",
        clause=effect.clause,
        role=Role.RETURN_LEADS,
        kinds=kinds,
        result=StepResult,
        waiting_for=f"could not {effect.kind.replace('-', ' ')} ({receipt.code or receipt.state})",
        reference=effect.key,
    )
