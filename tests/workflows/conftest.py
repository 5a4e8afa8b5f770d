"""A server on which cases are short."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest_asyncio

from runtime.temporal_server import TemporalServer, temporal_server
from tests.agency import Agency, open_agency
from tests.conftest import Database


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def hasty_temporal() -> AsyncGenerator[TemporalServer]:
    """A server on which every case continues as new after few events."""
    suggest = {"limit.historyCount.suggestContinueAsNew": 25}
    async with temporal_server(time_travel=True, dynamic_config=suggest) as server:
        yield server


@pytest_asyncio.fixture
async def hasty(tmp_path: Path, database: Database, hasty_temporal: TemporalServer) -> AsyncGenerator[Agency]:
    async with open_agency(tmp_path, database, hasty_temporal) as made:
        yield made
