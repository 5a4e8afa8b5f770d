"""The end of a case: only when nothing is broken and no person is waited for beside it."""

from collections.abc import Sequence
from typing import TypeVar

from domain.case import CaseStatus, EventKind, Model
from domain.effects import Effect, Stage
from workflows.steps.asking import perform
from workflows.steps.case import Case
from workflows.steps.deadline import wait
from workflows.steps.person import refuse_strays
from workflows.steps.stage import break_down
from workflows.steps.visibility import show

O = TypeVar("O", bound=Model)  # noqa: E741  an outcome


async def close(case: Case, outcome: O, words: str, clause: str, effects: Sequence[Effect] = ()) -> O:
    """Carries out the last effects and closes the case; what fails is mended first."""
    key = case.key("close")
    while True:
        await wait(case, "mending", None, lambda: _is_quiet(case))
        await refuse_strays(case, clause)
        if not _is_quiet(case):
            continue
        if key in case.done:
            await perform(case, _last(case, words, clause, ()))
        else:
            case.note(EventKind.CLOSED, clause, f"Closed: {words}.")
            case.doing = "closing"
            break_down(case, effects, await perform(case, _last(case, words, clause, effects)))
            case.done[key] = "null"
        if _is_quiet(case) and not case.acts:
            break
    case.status, case.outcome = CaseStatus.CLOSED, words
    show(case)
    return outcome


def _last(case: Case, words: str, clause: str, effects: Sequence[Effect]) -> Stage:
    view = case.view()
    closing = case.view().model_copy(update={"status": CaseStatus.CLOSED, "outcome": words, "doing": "closed"})
    return Stage(
        name="close", clause=clause, effects=tuple(effects), events=case.take_events(), view=view, closing=closing
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
