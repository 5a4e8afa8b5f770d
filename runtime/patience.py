"""Starting while another system is away: waited out and said so, instead of ending."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

T = TypeVar("T")
LONGEST_PAUSE = 30.0
log = structlog.get_logger("start")


async def patiently(what: str, make: Callable[[], Awaitable[T]], gone: type[Exception]) -> T:
    """What `make` makes, tried again with growing pauses (seconds: 1, 2, 4, ... 30) for as long as it raises `gone`."""
    pause = 1.0
    while True:
        try:
            return await make()
        except gone as error:
            log.warning("waiting for another system", what=what, problem=str(error), seconds=pause)
        await asyncio.sleep(pause)
        pause = min(LONGEST_PAUSE, pause * 2)
