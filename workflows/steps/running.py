"""Asking the activities, and the frame around a case: what runs beside it, and how it ends when it is cancelled."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
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
from domain.effects import Grant, Receipt, Stage
from domain.ids import money_queue
from workflows.steps.case import Case
from workflows.steps.visibility import show

A = TypeVar("A")
T = TypeVar("T")
PATIENT = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=60)
)


async def perform(case: Case, stage: Stage) -> tuple[Receipt, ...]:
    """Carries out a stage: one activity."""
    summary = f"{stage.clause} {stage.name}"
    return (await _execute(case, EffectActivities.perform, stage, stage.events, summary)).receipts


async def carry_out_grant(case: Case, grant: Grant) -> tuple[Receipt, ...]:
    """Asks the money worker for gated effects: one activity on its own task queue."""
    queue = money_queue(workflow.info().task_queue)
    return (await _execute(case, MoneyActivities.grant, grant, grant.events, f"{grant.clause} money", queue)).receipts


async def judge(case: Case, request: RecordActs, clause: str) -> ActAnswer:
    """Has acts checked, stored or refused: one activity for a batch of them."""
    summary = f"{clause} {request.step_id or 'stray acts'}"
    return await _execute(case, ActActivities.record_acts, request, request.events, summary)


async def _execute(
    case: Case,
    method: Callable[[Any, A], Awaitable[T]],
    argument: A,
    events: tuple[CaseEvent, ...],
    summary: str,
    queue: str | None = None,
) -> T:
    """Counts what is in flight (continue-as-new waits for it); events of a failed activity are given back."""
    case.in_flight += 1
    try:
        return await workflow.execute_activity_method(
            method,
            argument,
            task_queue=queue,
            start_to_close_timeout=timedelta(seconds=120),
            heartbeat_timeout=timedelta(seconds=10),
            retry_policy=PATIENT,
            summary=summary,
        )
    except BaseException:
        case.give_back(events)
        raise
    finally:
        case.in_flight -= 1


Beside = Callable[[Case], Awaitable[None]]


@asynccontextmanager
async def running(case: Case, *beside: Beside) -> AsyncGenerator[Case]:
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


async def _run(one: Beside, case: Case) -> None:
    await one(case)


async def _cancelled(case: Case) -> None:
    case.note(EventKind.CLOSED, "RL-15", "The case was cancelled by a person.")
    case.open.clear()
    case.status, case.outcome, case.doing = CaseStatus.CANCELLED, "cancelled", "cancelled"
    show(case)
    view = case.view()
    await perform(case, Stage(name="cancelled", clause="RL-15", events=case.take_events(), view=view, closing=view))
