"""A pytest plugin: one Temporal server for a process of tests (time may be skipped on it), a fresh agency for each."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest_asyncio

from runtime.temporal_server import TemporalServer, temporal_server
from tests.agency import Agency, open_agency
from tests.conftest import Database


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def temporal() -> AsyncGenerator[TemporalServer]:
    """A case's time is its own: what one skips, another does not."""
    async with temporal_server(time_travel=True, ui=True) as server:
        yield server


@pytest_asyncio.fixture
async def agency(tmp_path: Path, database: Database, temporal: TemporalServer) -> AsyncGenerator[Agency]:
    async with open_agency(tmp_path, database, temporal) as made:
        yield made
