"""One Temporal server for all tests of the API; the process of the pages and the API over a fresh agency for each."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest_asyncio

from runtime.temporal_server import TemporalServer, temporal_server
from tests.agency import Agency, open_agency
from tests.conftest import Database
from tests.starter.api.office import ApiOffice, open_api


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def temporal() -> AsyncGenerator[TemporalServer]:
    async with temporal_server(time_travel=True) as server:
        yield server


@pytest_asyncio.fixture
async def agency(tmp_path: Path, database: Database, temporal: TemporalServer) -> AsyncGenerator[Agency]:
    async with open_agency(tmp_path, database, temporal) as made:
        yield made


@pytest_asyncio.fixture
async def api(agency: Agency) -> AsyncGenerator[ApiOffice]:
    async with open_api(agency) as made:
        yield made
