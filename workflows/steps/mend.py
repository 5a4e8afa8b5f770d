"""Mending beside the case: what an outside system did not do is tried again with growing pauses, then by a person."""

import asyncio
from collections import Counter
from datetime import timedelta

from pydantic import TypeAdapter
from temporalio import workflow

from domain.case import Broken, EventKind, OpenStep
from domain.effects import Effect, Nudge, Receipt, ReceiptState, Stage
from domain.ids import effect_key, part_of
from domain.messages import ActKind, Fact, FactKind
from domain.rules.clock import TargetName, chosen
from domain.steps import PersonStep, StepResult
from workflows.steps.asking import perform
from workflows.steps.case import Case
from workflows.steps.clocks import start_clock
from workflows.steps.could_not import HELD_PAUSE, PAUSES, could_not
from workflows.steps.deadline import BESIDE, wait
from workflows.steps.linked import LINKED, look_up_linked, reported
from workflows.steps.owners import OWNERS, heard_of, look_up_owners
from workflows.steps.person import looked, person
from workflows.steps.stage import break_down
from workflows.steps.visibility import show

EFFECT: TypeAdapter[Effect] = TypeAdapter(Effect)
MOST_BESIDE = 5
TOLD: dict[FactKind, tuple[EventKind, str]] = {
    FactKind.JOINED: (EventKind.NOTED, "Another message about this request arrived; it joined this case."),
    FactKind.LINKED: (EventKind.NOTED, "A linked case says that it is over, or open again: it is looked up."),
    FactKind.RESUMED: (EventKind.RESUMED, "Sending was switched on again."),
    FactKind.BOUNCED: (EventKind.NOTED, "A mail of ours came back."),
    FactKind.UNDELIVERED: (EventKind.NOTED, "A message of ours did not arrive after all."),
    FactKind.REPLIED: (EventKind.NOTED, "The client wrote in the case's thread."),
    FactKind.OWNERS: (EventKind.NOTED, "Somebody went, left or came back: whose the open steps are is looked up."),
}
UNHEARD = (EventKind.NOTED, "A fact arrived that a case of this kind has no use for.")
LOOKS: dict[FactKind, tuple[str, str]] = {
    FactKind.BOUNCED: ("not-reached", "our mail came back: reach them another way"),
    FactKind.UNDELIVERED: ("not-delivered", "a message of ours did not arrive: tell them another way"),
    FactKind.REPLIED: ("reply", "the client wrote: read it and answer"),
}


async def mends(case: Case) -> None:
    """Runs beside a case: takes up each broken effect, and each fact that a person must see."""
    BESIDE.set(True)
    started: dict[str, asyncio.Task[None]] = {}

    def to_start() -> list[str]:
        return [key for key in (*case.broken, *case.beside) if key not in started]

    def over() -> list[str]:
        return [key for key, task in started.items() if task.done()]

    try:
        while True:
            _sort_facts(case)
            for key in to_start():
                started[key] = asyncio.create_task(_mend(case, key) if key in case.broken else _look(case, key))
                started[key].add_done_callback(_heard)
            await workflow.wait_condition(lambda: bool(_is_to_sort(case) or to_start() or over()))
            for key in over():
                started.pop(key).result()  # what went wrong in it goes wrong here
    finally:
        for task in started.values():
            task.cancel()


def _heard(task: asyncio.Task[None]) -> None:
    """What is stopped because the case goes on in a new run is no error that nobody looked at."""
    if not task.cancelled():
        task.exception()


def _sort_facts(case: Case) -> None:
    """Facts of one kind that arrive together are told once: a flood of them costs one line and few looks."""
    facts, case.facts = [*case.facts, *_replies(case)], []
    kinds = Counter(fact.kind for fact in facts)
    for kind, times in kinds.items():
        told, text = TOLD.get(kind, UNHEARD)
        if kind not in case.desk.hears:
            case.note_often(told, _clause(case, kind), text, times)
    case.resumed += kinds[FactKind.RESUMED]
    for fact in facts:
        if fact.kind in case.desk.hears:
            case.tell(fact)
        if fact.kind is FactKind.LINKED and fact.reference in case.linked:
            reported(case, fact)
        if fact.kind is FactKind.OWNERS:
            heard_of(case, fact)
        if fact.kind in LOOKS and not _is_looked_at(case, fact):
            case.beside[fact.event_id] = fact.model_dump_json()


def _is_to_sort(case: Case) -> bool:
    return bool(case.facts or (case.messages and (_hearing(case) or not case.awaits_reply)))


def _replies(case: Case) -> list[Fact]:
    """What the client wrote: for whoever has a step that hears him, else left to `reply` where it is awaited."""
    step = _hearing(case)
    if not step and case.awaits_reply:
        return []
    messages, case.messages = case.messages, []
    return [Fact(event_id=one.event_id, kind=FactKind.REPLIED, reference=step) for one in messages]


def _hearing(case: Case) -> str:
    return next((step.step_id for step in case.open.values() if step.hears_client), "")


def _clause(case: Case, kind: FactKind) -> str:
    of_its_own = {
        FactKind.JOINED: case.desk.inbox,
        FactKind.RESUMED: case.desk.trail,
        FactKind.OWNERS: case.desk.trail,
    }
    return of_its_own.get(kind, case.desk.client)


def _is_looked_at(case: Case, fact: Fact) -> bool:
    """One look at a client's messages is enough at a time: whoever looks sees them all. Bounces are bounded."""
    waiting = [Fact.model_validate_json(one).kind for one in case.beside.values()]
    return len(waiting) >= MOST_BESIDE or (fact.kind is FactKind.REPLIED and FactKind.REPLIED in waiting)


async def _look(case: Case, event_id: str) -> None:
    """A person looks: at a mail of ours that came back, or at what the client wrote."""
    if event_id == OWNERS:
        await look_up_owners(case)
        return
    if event_id.startswith(LINKED):
        await look_up_linked(case, event_id)
        return
    fact = Fact.model_validate_json(case.beside[event_id])
    if fact.kind is FactKind.REPLIED and fact.reference in case.open:
        await _pass_on(case, event_id, case.open[fact.reference])
        return
    name, waiting_for = LOOKS[fact.kind]
    step = PersonStep(
        name=name,
        clause=case.desk.client,
        role=case.desk.team,
        kinds=(ActKind.DONE, ActKind.WAIVE),
        result=StepResult,
        waiting_for=waiting_for,
        reference=fact.reference if fact.kind in {FactKind.BOUNCED, FactKind.UNDELIVERED} else "",
    )
    key = f"{name}:{part_of(event_id)}"
    if fact.kind is FactKind.REPLIED and case.desk.answers:
        target = chosen(case.request.targets, TargetName.NEXT_REPLY, case.desk.client)
        start_clock(case, target, step=key, clock_id=f"{target.name}:{part_of(event_id)}")
    await person(case, step, key=key)
    del case.beside[event_id]
    show(case)


async def _pass_on(case: Case, event_id: str, step: OpenStep) -> None:
    """Whoever has the step is told that the client wrote again; what comes while they are being told is one with it."""
    key = effect_key(case.request.case_id, f"replied-{step.step_id}", part_of(event_id))
    nudge = Nudge(key=key, clause=step.clause, step_id=step.step_id, replied=True, urgent=step.urgent)
    stage = Stage(
        name=f"reply for {step.name}",
        clause=step.clause,
        effects=(nudge,),
        events=case.take_events(),
        view=case.view(),
    )
    break_down(case, stage.effects, await perform(case, stage))
    del case.beside[event_id]


async def _mend(case: Case, key: str) -> None:
    """The same key again after growing pauses; then a person does it, has it tried again, or waives it by name."""
    while (broken := case.broken.get(key)) and not _moot(case, broken):
        await _turn(case, key, broken)
        if isinstance(effect := _effect(broken), Nudge):
            await looked(case, effect.step_id)
        if _moot(case, broken):
            break
        receipt = await _again(case, broken)
        if receipt.done:
            break
        if key in case.broken:
            case.broken[key] = broken.model_copy(
                update={"receipt": receipt.model_dump(mode="json"), "attempt": broken.attempt + 1}
            )
    case.broken.pop(key, None)
    show(case)


async def _turn(case: Case, key: str, broken: Broken) -> None:
    """Until the effect's turn has come again: after the one it waits for, after a pause, or when a person says so."""
    effect, last = _effect(broken), _last(broken)
    if last.state is ReceiptState.SKIPPED:
        await wait(case, f"{effect.clause} {effect.kind} in its turn", None, lambda: effect.after not in case.broken)
    elif (pause := _pause(broken)) is not None:
        await _rest(case, broken, pause)
    else:
        await person(case, could_not(case, effect, last), key=f"could-not:{part_of(key)}.{broken.attempt}")


def drop(case: Case, key: str) -> None:
    """An effect that the case has overtaken is tried no more, unless a person was already asked about it."""
    if not any(step.reference == key for step in case.open.values()):
        case.broken.pop(key, None)


def _effect(broken: Broken) -> Effect:
    return EFFECT.validate_python(broken.effect)


def _last(broken: Broken) -> Receipt:
    return Receipt.model_validate(broken.receipt)


def _moot(case: Case, broken: Broken) -> bool:
    """What was dropped, and a reminder that is late: of a step that is done, before a newer one, or perhaps sent."""
    effect, last = _effect(broken), _last(broken)
    if last.key not in case.broken:
        return True
    if not isinstance(effect, Nudge):
        return False
    step = case.open.get(effect.step_id)
    return step is None or effect.chase < step.chased or last.state is ReceiptState.UNKNOWN


def _pause(broken: Broken) -> timedelta | None:
    """How long to wait before the next try; None: a person must look."""
    last, turn = _last(broken), broken.attempt % (len(PAUSES) + 1)
    if last.state is ReceiptState.HELD:
        return HELD_PAUSE
    if isinstance(_effect(broken), Nudge):
        return PAUSES[min(broken.attempt, len(PAUSES) - 1)]
    return PAUSES[turn] if last.state is ReceiptState.FAILED and last.retry and turn < len(PAUSES) else None


async def _rest(case: Case, broken: Broken, pause: timedelta) -> None:
    """Waits out the pause; sending that is switched on again, or a step that is done, ends it early."""
    effect, seen, key = _effect(broken), case.resumed, f"mend {_last(broken).key}"
    due = case.mint(key, "trying again", effect.clause, pause).due
    await wait(case, f"{effect.clause} {effect.kind} again", due, lambda: case.resumed != seen or _moot(case, broken))
    case.deadlines.pop(key, None)


async def _again(case: Case, broken: Broken) -> Receipt:
    effect = _effect(broken).model_copy(update={"after": ""})
    stage = Stage(
        name=f"again {effect.kind}",
        clause=effect.clause,
        effects=(effect,),
        events=case.take_events(),
        view=case.view(),
    )
    (receipt,) = await perform(case, stage)
    return receipt
