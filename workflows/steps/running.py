"""Asking the activities, and the frame around a case: what runs beside it, and how it ends when it is cancelled."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import is_cancelled_exception

from activities.acts import ActActivities
from activities.effects import EffectActivities
from activities.money import MoneyActivities
from domain.acts import ActAnswer, RecordActs
from domain.case import CaseEvent, CaseStatus, EventKind
from domain.effects import Grant, Receipt, Stage, StageDone
from domain.ids import MONEY_QUEUE
from workflows.steps.case import Case
from workflows.steps.visibility import show

T = TypeVar("T")
PATIENT = RetryPolicy(initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=60))
TIMES = {"start_to_close_timeout": timedelta(seconds=120), "heartbeat_timeout": timedelta(seconds=10), "retry_policy": PATIENT}


async def perform(case: Case, stage: Stage) -> tuple[Receipt, ...]:
    """Carries out a stage: one activity."""
    done: StageDone = await _execute(
        case, stage.events, workflow.execute_activity_method(EffectActivities.perform, stage, summary=f"{stage.clause} {stage.name}", **TIMES)
    )
    return done.receipts


async def carry_out_grant(case: Case, grant: Grant) -> tuple[Receipt, ...]:
    """Asks the money worker for gated effects: one activity on its own task queue."""
    done: StageDone = await _execute(
        case,
        grant.events,
        workflow.execute_activity_method(
            MoneyActivities.grant, grant, summary=f"{grant.clause} money", task_queue=MONEY_QUEUE, **TIMES
        ),
    )
    return done.receipts


async def judge(case: Case, request: RecordActs, clause: str) -> ActAnswer:
    """Has acts checked, stored or refused: one activity for up to 50 of them."""
    return await _execute(
        case,
        request.events,
        workflow.execute_activity_method(ActActivities.record_acts, request, summary=f"{clause} {request.step_id or 'stray acts'}", **TIMES),
    )


async def _execute(case: Case, events: tuple[CaseEvent, ...], call: Awaitable[T]) -> T:
    """Counts what is in flight (continue-as-new waits for it); events of a failed activity are given back."""
    case.in_flight += 1
    try:
        return await call
    except BaseException:
        case.give_back(events)
        raise
    finally:
        case.in_flight -= 1


Beside = Callable[[Case], Awaitable[None]]


@asynccontextmanager
async def running(case: Case, *beside: Beside) -> AsyncIterator[Case]:
    """The frame of `run`. `beside` runs as long as the case does. A cancelled case closes its steps and says so."""
    tasks = [asyncio.create_task(_run(one, case)) for one in beside]
    try:
        yield case
    except BaseException as error:
        if is_cancelled_exception(error) and not isinstance(error, workflow.ContinueAsNewError):
            await asyncio.shield(_cancelled(case))
        raise
    finally:
        for task in tasks:
            task.cancel()


async def _run(one: Any, case: Case) -> None:
    await one(case)


async def _cancelled(case: Case) -> None:
    case.note(EventKind.CLOSED, "RL-15", "The case was cancelled by a person.")
    case.open.clear()
    case.status, case.outcome, case.doing = CaseStatus.CANCELLED, "cancelled", "cancelled"
    show(case)
    view = case.view()
    await perform(case, Stage(name="cancelled", clause="RL-15", events=case.take_events(), view=view, closing=view))
