"""Processes of our own on this machine: start them, know them again later, end exactly those."""

import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

Say = Callable[[str], None]
"""Takes one line of progress for a person to read."""

LOOPBACK = "127.0.0.1"
FIRST_PORT, PORTS, MOST_TRIES = 20_000, 12_000, 500


class LocalServerError(Exception):
    """A local server could not be found, built, started or ended. The message says what to do."""


@dataclass(frozen=True)
class Account:
    """The unprivileged user that a server runs as when we are root."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Record:
    """What `up` remembers of a process. `start_token` tells it from a later process with the same id."""

    name: str
    pid: int
    start_token: str
    command: tuple[str, ...]
    stop_signal: int
    started_at: float

    @property
    def alive(self) -> bool:
        return self.start_token != "" and start_token(self.pid) == self.start_token


_children: dict[int, subprocess.Popen[bytes]] = {}


def free_port() -> int:
    """A loopback port nobody listens on at this moment.

    Below those that systems give to connections by themselves: whoever asks may listen on it only half a minute later.
    """
    for _ in range(MOST_TRIES):
        port = FIRST_PORT + secrets.randbelow(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port
    raise OSError(f"no free port found between {FIRST_PORT} and {FIRST_PORT + PORTS}")


def port_is_taken(port: int, host: str = LOOPBACK) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def refuse_taken_port(port: int, setting: str) -> None:
    """Raises LocalServerError that names the environment variable to change."""
    if port_is_taken(port):
        raise LocalServerError(f"port {port} is taken: set {setting} to a free one")


def accepts_connections(port: int, host: str = LOOPBACK) -> bool:
    with suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def start_token(pid: int) -> str:
    """When the process started, as the system tells it; empty when there is no such process or only its corpse."""
    _reap(pid)
    proc = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = proc.read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] in {"Z", "X"} else fields[19]
    shown = subprocess.run(["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603 - a number
    return shown.stdout.strip()


def spawn(
    command: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None, account: Account | None = None
) -> subprocess.Popen[bytes]:
    """Starts a process in a session of its own, its output appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - commands come from our own tables
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if env is None else {**os.environ, **env},
            cwd=None if account is None else "/",
            start_new_session=True,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
        )
    _children[process.pid] = process
    return process


def last_lines(log: Path, *, since: int = 0, count: int = 15) -> str:
    """The end of a log, for an error message; `since` leaves out the bytes of earlier runs."""
    said = log.read_bytes()[since:].decode(errors="replace").splitlines() if log.exists() else []
    return "\n".join(f"    {line[:400]}" for line in said[-count:]) or "    (nothing was logged)"


def size_of(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def record_of(name: str, pid: int, command: Sequence[str], stop_signal: signal.Signals = signal.SIGTERM) -> Record:
    return Record(name, pid, start_token(pid), tuple(command), int(stop_signal), time.time())


def write_record(run_dir: Path, record: Record) -> None:
    run_dir.mkdir(parents=True, exist_ok=True)
    fresh = run_dir / f"{record.name}.json.new"
    fresh.write_text(json.dumps(asdict(record), indent=1))
    fresh.replace(run_dir / f"{record.name}.json")


def read_records(run_dir: Path) -> list[Record]:
    """All records, in the order in which the processes were started."""
    found = [_read_record(path) for path in run_dir.glob("*.json")]
    return sorted(found, key=lambda record: record.started_at)


def _read_record(path: Path) -> Record:
    kept: dict[str, Any] = json.loads(path.read_text())
    kept["command"] = tuple(kept["command"])
    return Record(**kept)


def forget(run_dir: Path, name: str) -> None:
    (run_dir / f"{name}.json").unlink(missing_ok=True)


def end(record: Record, timeout: float = 40) -> bool:
    """Asks a process to end; after `timeout` seconds kills it and its whole session. False: it was already gone."""
    if not record.alive:
        return False
    with suppress(ProcessLookupError):
        os.kill(record.pid, record.stop_signal)
    if not wait_until(lambda: not record.alive, timeout):
        with suppress(ProcessLookupError):
            os.killpg(record.pid, signal.SIGKILL)
        wait_until(lambda: not record.alive, 10)
    return True


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL and wait, as a power cut would."""
    process.kill()
    process.wait()
    _children.pop(process.pid, None)


def wait_until(condition: Callable[[], bool], timeout: float) -> bool:
    """Polls until the condition holds; False after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _reap(pid: int) -> None:
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        del _children[pid]
