"""The pages over a fresh agency for each test."""

from collections.abc import AsyncGenerator

import pytest_asyncio

from tests.agency import Agency
from tests.pages.town import Town, open_town


@pytest_asyncio.fixture
async def town(agency: Agency) -> AsyncGenerator[Town]:
    async with open_town(agency) as made:
        yield made
