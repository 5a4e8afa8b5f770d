import asyncio
import tempfile
from collections.abc import AsyncGenerator, Generator
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import WorkflowExecutionStatus
from temporalio.testing import TimeSkipper, TimeSkippingConfig
from temporalio.worker import Worker

from runtime import namespace
from runtime import temporal_server as module
from runtime.connect import connect
from runtime.processes import LocalServerError, free_port
from runtime.settings import Settings
from runtime.temporal_server import (
    TemporalServer,
    find_temporal,
    server_version,
    shared_dynamic_config,
    temporal_server,
)
from tests.runtime.sample_workflows import WaitsTwoDays


@pytest.fixture
def db_file() -> Generator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "temporal.db"


@pytest.fixture
async def server(db_file: Path) -> AsyncGenerator[TemporalServer]:
    async with temporal_server(db_file=db_file, ui=True, time_travel=True) as running:
        yield running


async def test_a_wait_survives_a_kill_of_the_server(server: TemporalServer) -> None:
    client = await connect(Settings(), address=server.address)
    handle = await client.start_workflow(WaitsTwoDays.run, id="kept", task_queue="kept")
    server.kill()
    await server.restart()
    client = await connect(Settings(), address=server.address)
    described = await client.get_workflow_handle(handle.id).describe()
    assert described.status == WorkflowExecutionStatus.RUNNING


async def test_time_can_be_skipped_when_asked_for(server: TemporalServer) -> None:
    client = await connect(Settings(), address=server.address)
    config = TimeSkippingConfig(enabled=False, max_session_skip_count=5000, disable_propagation=True)
    skipper = TimeSkipper(client, config=config)
    async with Worker(skipper.client, task_queue="skip", workflows=[WaitsTwoDays]):
        handle = await skipper.client.start_workflow(WaitsTwoDays.run, id="skipped", task_queue="skip")
        await asyncio.wait_for(skipper.fast_forward(handle), 30)
        assert await handle.result() == "chased"


async def test_cases_are_kept_thirty_days_and_found_by_their_attributes(server: TemporalServer) -> None:
    client = await connect(Settings(), address=server.address)
    described = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="default"))
    assert described.config.workflow_execution_retention_ttl.ToTimedelta() == timedelta(days=30)
    query = "CaseKind='a' AND CaseStatus='b' AND Owner='c' AND WaitingFor='d' AND ClientId='e'"
    assert (await client.count_workflows(f"{query} AND DueAt > '2026-01-01T00:00:00Z'")).count == 0


async def test_the_ui_answers(server: TemporalServer) -> None:
    host, _, port = server.ui_url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /api/v1/settings HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert (await reader.readline()).split()[1] == b"200"
    writer.close()


async def test_an_older_database_gains_what_it_lacks(db_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as older:
        older.setattr(module, "SEARCH_ATTRIBUTES", {"CaseKind": "Keyword"})
        older.setattr(namespace, "SEARCH_ATTRIBUTES", {"CaseKind": "Keyword"})
        async with temporal_server(db_file=db_file):
            pass
    async with temporal_server(db_file=db_file) as server:
        client = await connect(Settings(), address=server.address)
        assert (await client.count_workflows("Owner='c' AND CaseKind='a'")).count == 0


async def test_another_namespace_may_be_asked_for() -> None:
    async with temporal_server(namespace="agency") as server:
        client = await connect(Settings(temporal_namespace="agency"), address=server.address)
        assert (await client.count_workflows()).count == 0


async def test_a_server_that_cannot_start_tells_its_last_words(db_file: Path) -> None:
    with pytest.raises(LocalServerError, match=r"(?s)did not start; its log ends with.*temporal"):
        async with temporal_server(db_file=db_file.parent / "missing" / "temporal.db", port=free_port()):
            pass


def test_the_shared_values_reach_the_server_as_whole_numbers() -> None:
    values = shared_dynamic_config()
    assert values["history.transferProcessorMaxPollRPS"] == 2000
    assert values["history.timerProcessorMaxPollRPS"] == 2000


def _program(path: Path, version: str) -> Path:
    path.write_text(f"#!/bin/sh\necho 'temporal version 1.9.0 (Server {version}, UI 2.54.0)'\n")
    path.chmod(0o755)
    return path


def test_a_program_says_which_server_is_inside(tmp_path: Path) -> None:
    assert server_version(_program(tmp_path / "temporal", "1.32.4")) == (1, 32, 4)
    assert server_version(tmp_path / "missing") == ()
    assert server_version(Path("/bin/true")) == ()


def test_the_setting_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path / "temporal", "1.33.0")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    own = _program(tmp_path / "mine", "1.32.0")
    monkeypatch.setenv("HOLDFAST_TEMPORAL", str(own))
    said: list[str] = []
    assert find_temporal(say=said.append).path == own
    assert "HOLDFAST_TEMPORAL" in said[-1]


def test_an_old_program_in_the_setting_is_refused(tmp_path: Path) -> None:
    old = _program(tmp_path / "old", "1.29.1")
    with pytest.raises(LocalServerError, match=r"no Temporal server of version 1\.32 or newer"):
        find_temporal(str(old))


def test_one_on_the_path_comes_second_if_it_is_new_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLDFAST_TEMPORAL", raising=False)
    program = _program(tmp_path / "temporal", "1.32.0")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(module, "_built", lambda _say: None)
    assert find_temporal().path == program
    _program(program, "1.31.9")
    monkeypatch.setattr(module, "_downloaded", lambda _say: "the download")
    assert find_temporal(say=lambda _line: None) == "the download"


def test_a_current_build_is_not_built_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLDFAST_TEMPORAL", raising=False)
    monkeypatch.setattr(module, "_on_path", lambda: None)
    find_temporal()
    monkeypatch.setattr(module, "_build", pytest.fail)
    assert find_temporal().path.name == "temporal-dev"
