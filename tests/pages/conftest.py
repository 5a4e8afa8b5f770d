"""One Temporal server for all tests of the pages, a fresh agency and its pages for each."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest_asyncio

from runtime.temporal_server import TemporalServer, temporal_server
from tests.agency import Agency, open_agency
from tests.conftest import Database
from tests.pages.town import Town, open_town


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def temporal() -> AsyncGenerator[TemporalServer]:
    async with temporal_server(time_travel=True) as server:
        yield server


@pytest_asyncio.fixture
async def agency(tmp_path: Path, database: Database, temporal: TemporalServer) -> AsyncGenerator[Agency]:
    async with open_agency(tmp_path, database, temporal) as made:
        yield made


@pytest_asyncio.fixture
async def town(agency: Agency) -> AsyncGenerator[Town]:
    async with open_town(agency) as made:
        yield made
