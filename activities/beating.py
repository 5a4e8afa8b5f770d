"""Heartbeats for activities that wait on others: a worker that died is noticed in seconds."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from temporalio import activity

EVERY = 3.0


@asynccontextmanager
async def beating() -> AsyncGenerator[None]:
    """Heartbeats every three seconds while the block runs."""

    async def beat() -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(EVERY)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
