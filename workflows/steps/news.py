"""Something that an SOP waits to hear of: a fact by its kind, read again before anything follows from it."""

from collections.abc import Callable

from domain.messages import FactKind
from workflows.steps.case import Case
from workflows.steps.deadline import wait


async def news(case: Case, name: str, clause: str, kind: FactKind, over: Callable[[], bool]) -> bool:
    """Waits until something new of this kind arrived (True), or until it is `over` (False)."""
    key = case.key(name)
    if key not in case.done:
        await wait(case, f"{clause} {name}", None, lambda: case.has_news(kind) or over())
        case.done[key] = "true" if case.take_news(kind) else "false"
    return case.done[key] == "true"
