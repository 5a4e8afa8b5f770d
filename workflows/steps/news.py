"""Something that an SOP waits to hear of: a fact by its kind, read again before anything follows from it."""

from collections.abc import Callable

from domain.messages import FactKind
from workflows.steps.case import Case
from workflows.steps.deadline import wait


async def news(
    case: Case, name: str, clause: str, kind: FactKind, over: Callable[[], bool], reference: str = ""
) -> bool:
    """Waits until something new of this kind arrived (True), or until it is `over` (False).

    `reference`: only what is about this.
    """
    key = case.key(name)
    if key not in case.done:
        await wait(case, f"{clause} {name}", None, lambda: case.has_news(kind, reference) or over())
        case.done[key] = "true" if case.take_news(kind, reference) else "false"
    return case.done[key] == "true"


async def left_out(case: Case, clause: str, over: Callable[[], bool]) -> tuple[str, ...]:
    """Waits until an effect could not put somebody where they belong, whichever effect it was: those, each told once.

    None of them once it is `over`.
    """
    key = case.key("left-out")
    if key not in case.done:
        await wait(case, f"{clause} nobody is left out", None, lambda: over() or not all(case.left_out.values()))
        case.done[key] = " ".join(person for person, told in case.left_out.items() if not told)
        case.left_out = dict.fromkeys(case.left_out, True)
    return tuple(case.done[key].split())
