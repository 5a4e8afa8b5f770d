import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import structlog
from temporalio.client import Client
from temporalio.worker import Replayer, Worker
from temporalio.worker.workflow_sandbox import UnintentionalPassthroughError

from domain.money import Money
from runtime.connect import connect, names_a_server
from runtime.plugin import holdfast_plugin
from runtime.settings import Settings
from runtime.temporal_server import temporal_server
from tests.runtime.forgetful import Forgetful
from tests.runtime.sample_workflows import Colour, Echo, Payload


@pytest.fixture
async def client() -> AsyncGenerator[Client]:
    async with temporal_server() as server:
        yield await connect(Settings(), address=server.address)


async def test_payloads_come_back_as_they_went(client: Client) -> None:
    given = Payload(
        amount=Decimal("0.10"),
        wait=timedelta(hours=48),
        at=datetime(2026, 1, 1, tzinfo=UTC),
        colour=Colour.RED,
        money=Money(amount=Decimal("500.00"), currency="GBP"),
    )
    async with Worker(client, task_queue="echo", workflows=[Echo]):
        handle = await client.start_workflow(Echo.run, given, id="echo", task_queue="echo")
        assert await handle.result() == given.model_copy(update={"amount": Decimal("1.10")})
        assert await handle.query(Echo.view) == given
    history = await handle.fetch_history()
    await Replayer(workflows=[Echo], plugins=[holdfast_plugin()]).replay_workflow(history)


async def test_a_forgotten_import_fails_the_worker_at_once_and_is_named(client: Client) -> None:
    with pytest.raises(RuntimeError) as refused:
        Worker(client, task_queue="forgetful", workflows=[Forgetful])
    assert isinstance(refused.value.__cause__, UnintentionalPassthroughError)
    assert structlog.__name__ in str(refused.value.__cause__)


async def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEMPORAL_ADDRESS", raising=False)
    with pytest.raises(RuntimeError):
        await asyncio.wait_for(connect(Settings(), address="127.0.0.1:1"), 30)


@pytest.mark.parametrize("name", ["TEMPORAL_ADDRESS", "TEMPORAL_PROFILE", "TEMPORAL_CONFIG_FILE"])
def test_the_environment_may_name_a_server(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for every in ("TEMPORAL_ADDRESS", "TEMPORAL_PROFILE", "TEMPORAL_CONFIG_FILE"):
        monkeypatch.delenv(every, raising=False)
    assert not names_a_server()
    monkeypatch.setenv(name, "x")
    assert names_a_server()


async def test_temporals_own_configuration_wins_over_the_port(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", client.service_client.config.target_host)
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "default")
    reached = await connect(Settings(temporal_port=1, temporal_namespace="elsewhere"))
    assert reached.namespace == "default"
    assert (await reached.count_workflows()).count == 0
