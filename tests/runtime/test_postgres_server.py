import asyncio
import tempfile
from collections.abc import Generator
from pathlib import Path

import asyncpg
import pytest

from runtime import postgres_server as module
from runtime.postgres_server import Binaries, ensure_database, find_binaries, postgres_server
from runtime.processes import LocalServerError


@pytest.fixture
def data_dir() -> Generator[Path]:
    """A folder that the server's account may enter, which pytest's own is not when we are root."""
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as parent:
        Path(parent).chmod(0o755)
        yield Path(parent) / "data"


def _only_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SYSTEM_BINARIES", ())
    monkeypatch.setenv("PATH", "/nonexistent")


async def _value(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_what_was_committed_survives_a_kill() -> None:
    async with postgres_server() as server:
        await _value(server.url, "CREATE TABLE kept AS SELECT 7 AS n")
        first = server.pid
        server.kill()
        with pytest.raises(OSError):
            await _value(server.url, "SELECT 1")
        await server.restart()
        assert server.pid != first
        assert await _value(server.url, "SELECT n FROM kept") == 7


async def test_a_live_server_is_adopted_and_left_running(data_dir: Path) -> None:
    async with postgres_server(data_dir, durable=False) as own:
        async with postgres_server(data_dir) as adopted:
            assert (adopted.pid, adopted.url) == (own.pid, own.url)
            with pytest.raises(LocalServerError, match="not ours"):
                adopted.kill()
        assert await _value(own.url, "SELECT 1") == 1


async def test_the_note_of_a_killed_server_does_not_stop_the_next(data_dir: Path) -> None:
    async with postgres_server(data_dir) as server:
        await _value(server.url, "CREATE TABLE kept AS SELECT 7 AS n")
        server.kill()
    assert (data_dir / "postmaster.pid").exists()
    async with postgres_server(data_dir) as server:
        assert await _value(server.url, "SELECT n FROM kept") == 7


async def test_a_password_is_asked_for(data_dir: Path) -> None:
    async with postgres_server(data_dir, password="right", durable=False) as server:
        assert await _value(server.url, "SELECT current_user") == "holdfast"
        with pytest.raises(asyncpg.InvalidPasswordError):
            await _value(server.url.replace("right", "wrong"), "SELECT 1")
        stored = await _value(server.url, "SELECT rolpassword FROM pg_authid WHERE rolname = current_user")
        assert str(stored).startswith("SCRAM-SHA-256$")


async def test_it_listens_on_loopback_alone(data_dir: Path) -> None:
    async with postgres_server(data_dir, durable=False) as server:
        assert await _value(server.url, "SHOW listen_addresses") == "127.0.0.1"
        assert await _value(server.url, "SHOW unix_socket_directories") == ""


async def test_the_wheels_server_takes_over_where_the_system_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    _only_the_wheel(monkeypatch)
    async with postgres_server(durable=False) as server:
        assert server.binaries.origin == "from its wheel"
        assert str(await _value(server.url, "SHOW server_version")).startswith("18.")


async def test_data_of_another_major_version_is_refused(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with postgres_server(data_dir, durable=False):
        pass
    (data_dir / "PG_VERSION").write_text("12\n")
    with pytest.raises(LocalServerError, match="made by PostgreSQL 12, which is no longer on this machine"):
        async with postgres_server(data_dir):
            pass


def test_a_wrapper_of_that_name_is_not_taken_for_postgresql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("postgres", "initdb"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'another postgres 99'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(module, "_SYSTEM_BINARIES", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    assert all(binaries.folder != tmp_path for binaries in find_binaries())


async def test_a_cut_initdb_leaves_nothing_half_made(data_dir: Path) -> None:
    fresh = data_dir.with_name("data.new")
    fresh.mkdir()
    (fresh / "PG_VERSION").write_text("15\n")
    async with postgres_server(data_dir, durable=False) as server:
        assert await _value(server.url, "SELECT 1") == 1
    assert not fresh.exists()


async def test_binaries_that_cannot_make_a_database_are_passed_over(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = next(find_binaries())
    broken = Binaries(tmp_path, 17, "broken")
    (tmp_path / "initdb").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "initdb").chmod(0o755)
    monkeypatch.setattr(module, "find_binaries", lambda _account: iter([broken, good]))
    async with postgres_server(data_dir, durable=False) as server:
        assert server.binaries == good


async def test_a_folder_that_the_account_may_not_enter_becomes_a_link(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    async with postgres_server(closed / "data", durable=False) as server:
        await _value(server.url, "CREATE TABLE kept AS SELECT 7 AS n")
        real = server.data_dir
    async with postgres_server(closed / "data", durable=False) as server:
        assert server.data_dir == real
        assert await _value(server.url, "SELECT n FROM kept") == 7
    if real != closed / "data":
        module.shutil.rmtree(real.parent)


async def test_two_may_make_the_same_database_at_once() -> None:
    async with postgres_server(durable=False) as server:
        url = f"{server.url.rpartition('/')[0]}/twice"
        await asyncio.gather(*(ensure_database(url) for _ in range(4)))
        assert await _value(url, "SELECT current_database()") == "twice"
