import os
import signal
import socket
import sys
import tempfile
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from runtime import local
from runtime.local import LocalServerError, Service, Start, down, local_services, running, up
from runtime.processes import Say, accepts_connections, free_port, wait_until
from runtime.settings import Settings

_PORTS = [name for name in Settings.model_fields if name.endswith("_port")]
_LISTENER = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(60)"


@pytest.fixture
def settings() -> Generator[Settings]:
    """In a folder that the database's account may enter, which pytest's own is not when we are root."""
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as folder:
        Path(folder).chmod(0o755)
        ports = {name: free_port() for name in _PORTS}
        made = Settings(state_dir=Path(folder), **ports)  # pyright: ignore[reportArgumentType]
        yield made
        down(made, say=lambda _line: None)


def _listener(name: str, port: int) -> Service:
    def make(say: Say) -> Start:
        say("getting ready")
        return Start((sys.executable, "-c", _LISTENER, str(port)))

    return Service(name, make, {f"HOLDFAST_{name.upper()}_PORT": port}, lambda: accepts_connections(port))


def test_up_twice_starts_once_and_down_ends_all(settings: Settings) -> None:
    services = [_listener("first", free_port()), _listener("second", free_port())]
    said: list[str] = []
    started = up(settings, services, say=said.append)
    assert [record.name for record in running(settings)] == ["first", "second"]
    assert up(settings, services, say=said.append) == started
    assert f"first: already running (process {started[0].pid})" in said
    assert "first: getting ready" in said
    assert down(settings, say=said.append) == 2
    assert running(settings) == []
    assert said[-2:] == [f"second: ended (process {started[1].pid})", f"first: ended (process {started[0].pid})"]
    assert down(settings, say=said.append) == 0
    assert said[-1] == "nothing of Holdfast was running"


def test_one_that_died_is_started_again_and_the_others_left(settings: Settings) -> None:
    services = [_listener("first", free_port()), _listener("second", free_port())]
    first, second = up(settings, services, say=lambda _line: None)
    os.kill(first.pid, signal.SIGKILL)
    assert wait_until(lambda: not first.alive, 10)
    again = up(settings, services, say=lambda _line: None)
    assert again[0].pid != first.pid
    assert again[1] == second


def test_a_taken_port_names_its_setting_and_starts_nothing(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(LocalServerError, match=f"port {port} is taken: set HOLDFAST_FIRST_PORT to a free one"):
            up(settings, [_listener("first", port)], say=lambda _line: None)
    assert running(settings) == []


def test_one_that_ends_at_once_shows_its_last_words(settings: Settings) -> None:
    script = "import sys; print('no key found'); sys.exit(3)"
    service = Service("broken", lambda _say: Start((sys.executable, "-c", script)))
    with pytest.raises(
        LocalServerError, match=r"(?s)broken ended while it started; .*broken\.log ends with.*no key found"
    ):
        up(settings, [service], say=lambda _line: None)
    assert running(settings) == []


def test_what_comes_after_a_service_runs_before_the_next(settings: Settings) -> None:
    port, seen = free_port(), list[bool]()
    services = [_listener("first", port), _listener("second", free_port())]

    def look() -> None:
        seen.append(accepts_connections(port) and len(running(settings)) == 1)

    up(settings, services, after={"first": look}, say=lambda _line: None)
    assert seen == [True]


def test_the_settings_given_by_hand_reach_the_children(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, chase_every=timedelta(minutes=90), xero_token=SecretStr("t"), xero_port=9)
    assert local.environment(settings) == {
        "HOLDFAST_STATE_DIR": str(tmp_path),
        "HOLDFAST_CHASE_EVERY": "PT5400S",
        "HOLDFAST_XERO_TOKEN": "t",
        "HOLDFAST_XERO_PORT": "9",
    }


def test_a_child_reads_back_the_same_settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in local.environment(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_what_a_setting_places_elsewhere_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [service.name for service in local_services(Settings())]
    assert names == [
        "postgres",
        "temporal",
        "xero",
        "sheets",
        "livechat",
        "teamwork",
        "tickets",
        "slack",
        "whatsapp",
        "mail",
        "worker-sops",
        "worker-money",
        "inbox",
        "idp",
        "web",
    ]
    monkeypatch.setenv("TEMPORAL_ADDRESS", "temporal.example:7233")
    elsewhere = Settings(
        database_url="postgresql://db.example/x", xero_address="https://xero.example", xero_token=SecretStr("real")
    )
    assert {"postgres", "temporal", "xero"}.isdisjoint(service.name for service in local_services(elsewhere))


async def test_the_real_servers_start_and_leave_their_data(settings: Settings) -> None:
    servers = [service for service in local_services(settings) if service.name in {"postgres", "temporal"}]
    for _ in range(2):
        started = await local.asyncio.to_thread(up, settings, servers, say=lambda _line: None)
        assert [record.alive for record in started] == [True, True]
        connection = await asyncpg.connect(settings.database_url_for("owner"))
        assert await connection.fetchval("SELECT current_database()") == "holdfast"
        await connection.close()
        assert await local.asyncio.to_thread(down, settings, say=lambda _line: None) == 2
    assert (settings.state_dir / "temporal.db").exists()


def test_every_address_that_up_tells_is_on_this_machine(settings: Settings) -> None:
    assert all("127.0.0.1" in address for address in local.addresses(settings).values())
