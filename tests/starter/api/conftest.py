"""The process of the pages and the API over a fresh agency for each test."""

from collections.abc import AsyncGenerator

import pytest_asyncio

from tests.agency import Agency
from tests.starter.api.office import ApiOffice, open_api


@pytest_asyncio.fixture
async def api(agency: Agency) -> AsyncGenerator[ApiOffice]:
    async with open_api(agency) as made:
        yield made
