"""A look at the world that no person waits for: one activity, tried again for a while, and then seen to have failed."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy

from domain.ids import door_queue

A = TypeVar("A")
T = TypeVar("T")
FOR_A_WHILE = RetryPolicy(
    initial_interval=timedelta(seconds=30), maximum_interval=timedelta(minutes=10), maximum_attempts=6
)


async def poll(method: Callable[[Any, A], Awaitable[T]], argument: A, summary: str, *, at_the_door: bool = False) -> T:
    """Raises ActivityError after six tries: the next run of the schedule looks again.

    `at_the_door`: the door's own process does it, under its database role.
    """
    return await workflow.execute_activity_method(
        method,
        argument,
        task_queue=door_queue(workflow.info().task_queue) if at_the_door else None,
        start_to_close_timeout=timedelta(minutes=50),
        heartbeat_timeout=timedelta(seconds=15),
        retry_policy=FOR_A_WHILE,
        summary=summary,
    )
