import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from runtime import processes
from runtime.processes import LocalServerError

_SLEEPER = (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)")
_STUBBORN = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
)


def _started(tmp_path: Path, command: tuple[str, ...]) -> processes.Record:
    log = tmp_path / "x.log"
    process = processes.spawn(command, log)
    assert processes.wait_until(lambda: "up" in log.read_text(), 10)
    return processes.record_of("x", process.pid, command)


def test_a_process_is_ended_when_asked(tmp_path: Path) -> None:
    record = _started(tmp_path, _SLEEPER)
    assert record.alive
    assert processes.end(record)
    assert not record.alive
    assert not processes.end(record)


def test_a_process_that_will_not_end_is_killed(tmp_path: Path) -> None:
    record = _started(tmp_path, _STUBBORN)
    assert processes.end(record, timeout=0.3)
    assert not record.alive


def test_another_process_with_the_same_id_is_left_alone(tmp_path: Path) -> None:
    record = _started(tmp_path, _SLEEPER)
    stranger = replace(record, start_token="1")
    assert not processes.end(stranger)
    assert record.alive
    processes.end(record)


def test_a_corpse_is_not_alive(tmp_path: Path) -> None:
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {})
    assert processes.wait_until(lambda: processes.start_token(pid) == "", 10)
    os.waitpid(pid, 0)


def test_records_come_back_in_the_order_of_their_start(tmp_path: Path) -> None:
    own = os.getpid()
    for number, name in enumerate(("zeta", "alpha", "mid")):
        record = processes.record_of(name, own, ("x", "y"), signal.SIGINT)
        processes.write_record(tmp_path, replace(record, started_at=number))
    found = processes.read_records(tmp_path)
    assert [record.name for record in found] == ["zeta", "alpha", "mid"]
    assert found[0].alive
    assert found[0].command == ("x", "y")
    processes.forget(tmp_path, "alpha")
    assert [record.name for record in processes.read_records(tmp_path)] == ["zeta", "mid"]


def test_a_taken_port_is_told_by_the_settings_name() -> None:
    with processes.socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(LocalServerError, match=f"port {port} is taken: set HOLDFAST_XERO_PORT to a free one"):
            processes.refuse_taken_port(port, "HOLDFAST_XERO_PORT")
    processes.refuse_taken_port(port, "HOLDFAST_XERO_PORT")


def test_a_free_port_is_none_that_a_connection_is_given_by_chance_before_it_is_used() -> None:
    found = {processes.free_port() for _ in range(50)}
    assert all(20_000 <= port < 32_000 for port in found)
    assert len(found) > 25


def test_only_what_this_run_logged_is_shown(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("old\n")
    earlier = processes.size_of(log)
    assert processes.last_lines(log, since=earlier) == "    (nothing was logged)"
    with log.open("a") as more:
        more.write("new\n")
    assert processes.last_lines(log, since=earlier) == "    new"
