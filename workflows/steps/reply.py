"""The client's own reply, where an SOP waits for one."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime

from domain.case import EventKind
from domain.messages import ClientMessage
from workflows.steps.case import Case
from workflows.steps.deadline import wait
from workflows.steps.visibility import show


@contextmanager
def awaiting_replies(case: Case) -> Generator[None]:
    """What the client writes in this block is left to `reply`; elsewhere a person reads it beside the case."""
    case.awaits_reply = True
    try:
        yield
    finally:
        case.awaits_reply = False


async def reply(case: Case, name: str, clause: str, until: datetime, doing: str) -> ClientMessage | None:
    """The client's next message, or None once `until` has passed without one.

    Messages that wait together are one: whoever reads sees them all. `doing`: what the case is shown to do meanwhile.
    """
    key = case.key(name)
    if key not in case.done:
        case.doing = doing
        show(case)
        came = await wait(case, f"{clause} {name}", until, lambda: bool(case.messages))
        if came:
            case.note_often(EventKind.NOTED, clause, "The client replied.", len(case.messages))
        case.done[key] = case.messages[-1].model_dump_json() if came else "null"
        case.messages.clear()
    kept = case.done[key]
    return None if kept == "null" else ClientMessage.model_validate_json(kept)
