"""Cases that go on while whatever they rest on is SIGKILLed at random: nothing twice, nothing lost, no case stuck."""

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from random import Random

import pytest

from tests.agency import letter
from tests.crash.people import People, nothing_twice_nothing_missing
from tests.crash.town import SIDES, ServerName, Town, open_town

INVOICED, UNBILLED = ("L-1001", "L-1002", "L-1003"), ("L-1005", "L-1006", "L-1007", "L-1008")
SERVERS: tuple[ServerName, ...] = ("temporal", "postgres")


@pytest.fixture
async def town(tmp_path: Path) -> AsyncGenerator[Town]:
    async with open_town(tmp_path) as made:
        yield made


async def mayhem(town: Town, chance: Random, seconds: float) -> None:
    """Kills one thing after the other."""
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        await asyncio.sleep(chance.uniform(0.1, 3))
        if chance.random() < 0.5:
            await town.crash(chance.choice(SIDES))
        else:
            await town.outage(chance.choice(SERVERS), chance.uniform(0, 2))


async def supervise(town: Town) -> None:
    """Starts again what ended, by itself as well: a process that finds a server away when it starts does."""
    while True:
        town.revive()
        await asyncio.sleep(0.5)


async def live_through(town: Town, seed: int, seconds: float) -> None:
    chance = Random(seed)  # noqa: S311  the same mayhem again for the same seed
    trouble, supervisor = asyncio.create_task(mayhem(town, chance, seconds)), asyncio.create_task(supervise(town))

    async def one(lead: str, after: float) -> People:
        await asyncio.sleep(after)
        await town.agency.deliver(letter(lead))
        people = People(town.agency, await town.case_of(lead), [lead], credited=lead in INVOICED)
        await people.finish(seconds + 240)
        return people

    starts = [(lead, chance.uniform(0, seconds)) for lead in (*INVOICED, *UNBILLED)]
    cases = await asyncio.gather(*(one(lead, after) for lead, after in starts))
    await trouble
    supervisor.cancel()
    await nothing_twice_nothing_missing(town.agency, cases)


@pytest.mark.slow
async def test_ten_seconds_of_mayhem(town: Town) -> None:
    await live_through(town, 1, 10)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(2, 6))
async def test_minutes_of_mayhem(town: Town, seed: int) -> None:
    await live_through(town, seed, float(os.environ.get("HOLDFAST_MAYHEM_SECONDS", "90")))
