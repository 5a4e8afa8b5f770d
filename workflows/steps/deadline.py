"""Waiting: until something arrives or a deadline comes. The only place where a case's time passes."""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Literal

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from domain.effects import Effect
from workflows.steps.case import Case
from workflows.steps.stage import stage

Woke = Literal["act", "over", "moved", "due"]
BESIDE: ContextVar[bool] = ContextVar("beside", default=False)


async def wait(case: Case, label: str, until: datetime | None, met: Callable[[], bool]) -> bool:
    """Waits until `met` or the moment `until` (None: for as long as it takes), and says whether it is met.

    A decision that is there when the timer fires wins. Continue-as-new happens here and only here, between two things,
    and only in `run` itself: what runs beside it starts again from what was carried.
    """
    inside = not BESIDE.get()

    def woken() -> bool:
        return met() or (inside and (case.should_continue() or case.fault is not None))

    while not met() and (until is None or until > workflow.now()):
        remaining = None if until is None else until - workflow.now()
        try:
            await workflow.wait_condition(woken, timeout=remaining, timeout_summary=label)
        except TimeoutError:
            break
        if inside and isinstance(case.fault, ApplicationError):
            raise case.fault  # it is no case at all
        if inside and case.fault:
            raise RuntimeError("what runs beside the case failed") from case.fault
        if inside and case.should_continue():
            case.continue_as_new()
    return met()


def never() -> bool:
    return False


async def others_first() -> None:
    """Lets whoever waits for what has just changed go on: once to wake them, once until all of them wait again."""
    for _ in range(2):
        await workflow.wait_condition(lambda: True)


async def first(case: Case, label: str, until: datetime, *, act: str, over: Callable[[], bool] = never) -> Woke:
    """What comes first: an act for the step `act` (or for no step), that it is `over`, its deadline moved, or the
    moment `until`. Takes nothing. A decision that is there wins over everything else.
    """

    def is_moved() -> bool:
        return case.open[act].deadline.due != until

    def came() -> bool:
        return case.has_acts(act) or over() or is_moved()

    if not await wait(case, label, until, came):
        return "due"
    return "act" if case.has_acts(act) else "over" if over() else "moved"


async def when(case: Case, clause: str, name: str, met: Callable[[], bool]) -> None:
    """Waits until something that is remembered elsewhere is so."""
    await wait(case, f"{clause} {name}", None, met)


async def passed(case: Case, name: str, clause: str, until: datetime, over: Callable[[], bool]) -> bool:
    """Whether the moment `until` came; False if it was `over` before."""
    key = case.key(name)
    if key not in case.done:
        case.done[key] = "false" if await wait(case, f"{clause} {name}", until, over) else "true"
    return case.done[key] == "true"


async def deadline(case: Case, name: str, clause: str, after: timedelta) -> datetime:
    """An absolute moment, minted once per key: never inside a loop's condition."""
    return case.mint(case.key(name), name, clause, after).due


async def unless(
    case: Case,
    name: str,
    clause: str,
    until: datetime,
    met: Callable[[], bool],
    effects: Callable[[], Sequence[Effect]],
) -> None:
    """Does `effects` once if `met` is still false at `until`."""
    key = case.key(f"unless-{name}")
    if key in case.done:
        return
    if not await wait(case, f"{clause} {name}", until, met):
        await stage(case, name, clause, effects())
    case.done[key] = "null"
