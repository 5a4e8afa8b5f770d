"""A failing workflow task is silent in Temporal: the doctor is not."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from adapters.postgres.api_keys import ApiKeys
from domain.api_keys import Scope
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


async def test_api_keys_that_run_out_or_lie_about_are_named(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:9")
    await database.execute("INSERT INTO departments VALUES ('team:t', 'T', 't@commversion.com')")
    keys = ApiKeys(await database.pool("door"))
    tokens = {name: await _made(keys, name, days) for name, days in LASTING.items()}
    for name in ("in-use", "rotated", "gone-in-use"):
        await keys.recognise(tokens[name])
    await keys.revoke("revoked", "otto")
    await database.shift(timedelta(days=85))
    await keys.rotate("rotated", lasts=timedelta(days=90), overlap=timedelta(days=7), by="otto")
    for name in ("in-use", "rotated", "gone-in-use"):
        await keys.recognise(tokens[name])
    await database.shift(timedelta(days=92))
    settings = Settings(
        state_dir=tmp_path, database_url=database.url("owner"), database_url_door=SecretStr(database.url("door"))
    )
    found = [one for one in await examine(settings) if one.about == "API keys"]
    told = {one.what.split()[3]: (one.level, " ".join(one.what.split()[4:6])) for one in found}
    assert told == {
        "ending": ("note", "expires on"),
        "gone": ("note", "has expired:"),
        "gone-in-use": ("problem", "has expired:"),
        "unused": ("note", "was not"),
    }
    assert "`holdfast api-key rotate gone-in-use`" in next(one.then for one in found if one.level == "problem")


LASTING = {"in-use": 365, "rotated": 95, "ending": 100, "gone": 30, "gone-in-use": 90, "unused": 365, "revoked": 1}


async def _made(keys: ApiKeys, name: str, days: int) -> str:
    lasts = timedelta(days=days)
    return await keys.create(name, "team:t", tuple(Scope), lasts=lasts, per_minute=9, by="otto")
