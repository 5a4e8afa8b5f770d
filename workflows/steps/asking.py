"""Asking the activities: each call is counted, and none loses the events it carries."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy

from activities.acts import ActActivities
from activities.effects import EffectActivities
from activities.money import MoneyActivities
from domain.acts import ActAnswer, RecordActs
from domain.case import CaseEvent
from domain.effects import Grant, Receipt, ReceiptState, Stage, StageDone
from domain.ids import money_queue
from workflows.steps.admission import turn_away
from workflows.steps.case import Case

A = TypeVar("A")
T = TypeVar("T")
S = TypeVar("S", Stage, Grant)
PATIENT = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=60)
)


async def perform(case: Case, stage: Stage) -> tuple[Receipt, ...]:
    """Carries out a stage: one activity."""
    summary = f"{stage.clause} {stage.name}"
    if not case.admitted:
        stage = stage.model_copy(update={"started": case.request.stamp})

    async def ask(stage: Stage) -> StageDone:
        done = await _execute(case, EffectActivities.perform, stage, stage.events, summary)
        if done.refused:
            turn_away(case, done.refused)
        case.admitted = True
        case.written(stage.view)
        case.received(done.receipts)
        return done

    return await _asked_again_if_resumed(case, ask, stage)


async def carry_out_grant(case: Case, grant: Grant) -> tuple[Receipt, ...]:
    """Asks the money worker for gated effects: one activity on its own task queue."""
    queue = money_queue(workflow.info().task_queue)

    async def ask(grant: Grant) -> StageDone:
        return await _execute(case, MoneyActivities.grant, grant, grant.events, f"{grant.clause} money", queue)

    return await _asked_again_if_resumed(case, ask, grant)


async def _asked_again_if_resumed(case: Case, ask: Callable[[S], Awaitable[StageDone]], what: S) -> tuple[Receipt, ...]:
    """What was held back while sending was being switched on is not left to wait for the next time that it is."""
    seen = case.resumed
    receipts = (await ask(what)).receipts
    if case.resumed != seen and any(one.state is ReceiptState.HELD for one in receipts):
        receipts = (await ask(what.model_copy(update={"events": ()}))).receipts
    return receipts


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
