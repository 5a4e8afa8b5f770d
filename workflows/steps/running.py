"""The frame around a case: what runs beside it, and how it ends when it is cancelled."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from temporalio import workflow
from temporalio.exceptions import is_cancelled_exception

from domain.case import CaseStatus, EventKind
from domain.effects import Stage
from workflows.steps.admission import admit
from workflows.steps.asking import perform
from workflows.steps.case import Case
from workflows.steps.person import refuse_strays
from workflows.steps.visibility import show

Beside = Callable[[Case], Awaitable[None]]


@asynccontextmanager
async def running(case: Case, *beside: Beside) -> AsyncGenerator[Case]:
    """The frame of `run`. `beside` runs as long as the case does. A cancelled case closes its steps and says so."""
    if case.request.opening is not None:
        await admit(case)
    if by := case.request.opened_by:
        said = f"Opened by {by}." if case.request.cycle == 1 else f"Opened again: {by}."
        case.note_once("opened", EventKind.OPENED, case.desk.trail, said)
    tasks = [asyncio.create_task(_run(one, case)) for one in beside]
    try:
        yield case
    except BaseException as error:
        _stop(tasks)
        if is_cancelled_exception(error) and not isinstance(error, workflow.ContinueAsNewError):
            await asyncio.shield(_cancelled(case))
        raise
    finally:
        _stop(tasks)


def _stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()


async def _run(one: Beside, case: Case) -> None:
    try:
        await one(case)
    except Exception as error:  # noqa: BLE001  raised where the case waits: a workflow task that fails is seen
        case.fault = error


async def _cancelled(case: Case) -> None:
    case.note(EventKind.CLOSED, case.desk.trail, "The case was cancelled by a person.")
    case.open.clear()
    case.status, case.outcome, case.doing = CaseStatus.CANCELLED, "cancelled", "cancelled"
    show(case)
    if case.admitted:
        await refuse_strays(case, case.desk.trail)
    view = case.view()
    await perform(
        case, Stage(name="cancelled", clause=case.desk.trail, events=case.take_events(), view=view, closing=view)
    )
    await refuse_strays(case, case.desk.trail)
