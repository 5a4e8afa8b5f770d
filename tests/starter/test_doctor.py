"""A failing workflow task is silent in Temporal: the doctor is not."""

import asyncio
from pathlib import Path

import pytest
from pydantic import SecretStr
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from runtime.connect import connect
from runtime.settings import Settings
from runtime.temporal_server import temporal_server
from starter.doctor import Finding, examine
from starter.handover import Handover
from tests.conftest import Database
from tests.starter.broken_workflow import Broken
from tests.starter.door import mail, reception


async def _tries(client: Client, case_id: str, most: int) -> None:
    """Waits until the case's task has failed a few times."""
    async with asyncio.timeout(60):
        while True:
            described = await client.get_workflow_handle(case_id).describe()
            if described.raw_description.pending_workflow_task.attempt > most:
                return
            await asyncio.sleep(0.1)


async def test_a_case_whose_tasks_fail_is_named_with_its_cause(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = await reception(database)
    settings = Settings(
        state_dir=tmp_path, database_url=database.url("owner"), database_url_door=SecretStr(database.url("door"))
    )
    async with temporal_server() as server:
        monkeypatch.setenv("TEMPORAL_ADDRESS", server.address)
        client = await connect(settings)
        case_id = (await desk.door.accept_mail(mail().as_bytes())).case_id
        await Handover(desk.door.intake, client, queue="broken").run_once()
        worker = Worker(client, task_queue="broken", workflows=[Broken], workflow_runner=UnsandboxedWorkflowRunner())
        async with worker:
            await _tries(client, case_id, 1)
            found = await examine(settings)
    wrong = [one for one in found if one.about == "workflow tasks"]
    assert wrong == [
        Finding("problem", "workflow tasks", f"{case_id} fails again and again: {_CAUSE}", wrong[0].then),
    ]
    assert "restart the worker" in wrong[0].then


_CAUSE = "workflow worker unhandled failure"


async def test_without_temporal_the_database_is_still_looked_at(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:9")
    settings = Settings(
        state_dir=tmp_path, database_url=database.url("owner"), database_url_door=SecretStr(database.url("door"))
    )
    found = {one.about: one for one in await examine(settings)}
    assert found["database"].level == "ok"
    assert found["outbound"].what == "outbound is OFF"
    assert (found["temporal"].level, "`holdfast up`" in found["temporal"].what) == ("problem", True)
