"""The end of a case: only when nothing is broken and no person is waited for beside it."""

from collections.abc import Sequence
from typing import TypeVar

from temporalio import workflow

from domain.case import CaseEvent, CaseStatus, EventKind, Model
from domain.effects import Effect, Stage
from workflows.steps.asking import perform
from workflows.steps.case import Case
from workflows.steps.deadline import wait
from workflows.steps.linked import linked_over
from workflows.steps.person import refuse_strays
from workflows.steps.stage import break_down
from workflows.steps.visibility import show

O = TypeVar("O", bound=Model)  # noqa: E741  an outcome


async def close(case: Case, outcome: O, words: str, clause: str, effects: Sequence[Effect] = ()) -> O:
    """Carries out the last effects and closes the case; what fails is mended first."""
    key, told = case.key("close"), tuple[CaseEvent, ...]()
    await linked_over(case, clause)
    if case.unwritten and not _is_quiet(case):
        await perform(case, Stage(name="waiting", clause=clause, events=case.take_events(), view=case.view()))
    while True:
        await wait(case, "mending", None, lambda: _is_quiet(case))
        await linked_over(case, clause)
        await refuse_strays(case, clause)
        if not _is_quiet(case):
            continue
        case.doing = "closing"
        stage = _last(case, words, clause, () if key in case.done else effects, told)
        break_down(case, stage.effects, await perform(case, stage))
        case.done[key] = "null"
        if _is_quiet(case) and not case.acts:
            break
        told = () if case.broken else stage.closed  # what was told already is the same line when it is told again
    case.status, case.outcome = CaseStatus.CLOSED, words
    show(case)
    return outcome


def _last(case: Case, words: str, clause: str, effects: Sequence[Effect], told: tuple[CaseEvent, ...]) -> Stage:
    view = case.view()
    now = CaseEvent(kind=EventKind.CLOSED, clause=clause, at=workflow.now(), text=f"Closed: {words}.")
    closing = case.view().model_copy(update={"status": CaseStatus.CLOSED, "outcome": words, "doing": "closed"})
    return Stage(
        name="close",
        clause=clause,
        effects=tuple(effects),
        events=case.take_events(),
        view=view,
        closing=closing,
        closed=told or (now,),
    )


def _is_quiet(case: Case) -> bool:
    return (
        not case.telling
        and not case.broken
        and not case.beside
        and not case.facts
        and not case.messages
        and not case.open
    )
