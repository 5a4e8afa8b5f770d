"""The steps on a real server: whatever arrives, whatever fails, however long it takes, and over continue-as-new."""

from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest_asyncio
from temporalio.client import Client

from domain.effects import ReceiptState
from domain.messages import Fact, FactKind
from runtime.connect import connect
from runtime.settings import Settings
from runtime.temporal_server import temporal_server
from tests.workflows.steps_stand_in import Vendors, scripted

OFTEN = {"limit.historyCount.suggestContinueAsNew": 40}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address() -> AsyncGenerator[str]:
    """One server for the module, on which every case continues as new after forty events."""
    async with temporal_server(time_travel=True, dynamic_config=OFTEN) as server:
        yield server.address


@pytest_asyncio.fixture
async def client(address: str) -> Client:
    return await connect(Settings(), address=address)


async def test_a_held_grant_is_tried_every_six_hours_however_often_the_case_continues(client: Client) -> None:
    vendors = Vendors()
    vendors.will("answer-client", ReceiptState.HELD)
    async with scripted(client, {"moments": ("grant",)}, vendors) as case:
        await case.until(lambda view: view.doing == "grant")
        await case.forward(timedelta(hours=6 * 20 + 1))
        assert vendors.calls["grant"] == 21
        vendors.will("answer-client", ReceiptState.SENT)
        await case.handle.signal("event", Fact(event_id="on", kind=FactKind.RESUMED))
        assert (await case.result()).said == ("sent",)
        assert vendors.calls["grant"] == 22
