"""Whose the open steps are, looked up beside the case when somebody went, left or came back."""

from collections.abc import Mapping, Sequence

from domain.case import EventKind, OpenStep
from domain.effects import Effect, Nudge, Receipt, ResolveOwners, Stage
from domain.ids import effect_key, part_of
from domain.messages import Fact
from domain.owners import OwnersToday, OwnerToday, StepOwner
from domain.steps import no_more
from workflows.steps.asking import perform
from workflows.steps.case import Case
from workflows.steps.deadline import others_first
from workflows.steps.stage import break_down
from workflows.steps.visibility import show

OWNERS = "owners"
"""The name under which the latest such fact waits beside the case: what comes meanwhile is looked up once more."""


def heard_of(case: Case, fact: Fact) -> None:
    """Facts that wait together are one, about all the steps that they name."""
    waiting = Fact.model_validate_json(case.beside[OWNERS]).reference if OWNERS in case.beside else ""
    steps = sorted({*waiting.split(), *fact.reference.split()} & set(case.open))
    case.beside[OWNERS] = fact.model_copy(update={"reference": " ".join(steps)}).model_dump_json()


async def look_up_owners(case: Case) -> None:
    """Each open step goes to whoever covers for its owner, to the successor, or back; each of them is told."""
    looked_at, told = "", set[str]()
    while case.beside[OWNERS] != looked_at:
        looked_at = case.beside[OWNERS]
        fact = Fact.model_validate_json(looked_at)
        told |= await _look_up(case, part_of(fact.event_id), set(fact.reference.split()) - told)
    del case.beside[OWNERS]


async def _look_up(case: Case, word: str, asks_others: set[str]) -> set[str]:
    """Which steps' people were told. `asks_others`: those whose role means others than before."""
    asked = dict(case.open)
    if not asked:
        return set()
    effect = ResolveOwners(
        key=effect_key(case.request.case_id, "owners", word),
        clause=case.desk.trail,
        steps=tuple(map(_as_asked, asked.values())),
    )
    looks = {look.effect.key: look for key, look in case.looks.items() if key in asked}
    receipt, *read = await _perform(case, "owners", (effect, *(look.effect for look in looks.values())))
    for one in (one for one in read if one.done):
        looks[one.key].seen(one)
        await others_first()  # nobody is told that a step is theirs which is done by now
    found = OwnersToday.model_validate(receipt.data).owners if receipt.done else ()
    moved = {one.step_id for one in found if _takes(case, asked, one)}
    moved |= {key for key in asks_others & set(case.open) if case.open[key].owner == case.open[key].role}
    follows = [effect for key, step in case.open.items() for effect in case.passed_on.get(key, no_more)(step, word)]
    if moved or follows:
        show(case)
        effects = (*(_nudge(case, case.open[key], word) for key in sorted(moved)), *follows)
        break_down(case, effects, await _perform(case, "passed on", effects))
    return moved


async def _perform(case: Case, name: str, effects: Sequence[Effect]) -> tuple[Receipt, ...]:
    stage = Stage(
        name=name, clause=case.desk.trail, effects=tuple(effects), events=case.take_events(), view=case.view()
    )
    return await perform(case, stage)


def _as_asked(step: OpenStep) -> StepOwner:
    return StepOwner(step_id=step.step_id, role=step.role, claimed_by=step.claimed_by, reassigned_to=step.reassigned_to)


def _takes(case: Case, asked: Mapping[str, OpenStep], today: OwnerToday) -> bool:
    """Whether the step changes hands. One that was claimed or given away meanwhile is left as it is."""
    step, before = case.open.get(today.step_id), asked[today.step_id]
    if step is None or _as_asked(step) != _as_asked(before):
        return False
    now = step.owned(today.claimed_by, today.reassigned_to).model_copy(update={"covered_by": today.covered_by})
    if now == step:
        return False
    case.open[today.step_id] = now
    case.note(EventKind.MOVED, step.clause, _in_words(step, now, today.fell_back), step_id=step.step_id)
    return True


def _in_words(before: OpenStep, now: OpenStep, fell_back: str) -> str:
    why = f" ({fell_back})" if fell_back else ""
    if now.covered_by:
        return f"{now.covered_by} covers for {now.belongs_to}{why}."
    if now.belongs_to == before.belongs_to:
        return f"Back with {now.owner}."
    return f"{before.belongs_to} left: this goes to {now.owner}{why}."


def _nudge(case: Case, step: OpenStep, word: str) -> Nudge:
    key = effect_key(case.request.case_id, f"passed-on-{step.step_id}", word)
    return Nudge(
        key=key, clause=step.clause, step_id=step.step_id, chase=step.chased, passed_on=True, urgent=step.urgent
    )
