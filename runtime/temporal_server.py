"""A Temporal server for one machine: finding it, building it where none is to be had, starting it."""

import asyncio
import fcntl
import gc
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import yaml
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from runtime.namespace import SEARCH_ATTRIBUTES, ensure_namespace
from runtime.processes import LOOPBACK, LocalServerError, Say, free_port, kill, last_lines, size_of, spawn

TIME_TRAVEL: Mapping[str, Any] = {
    "frontend.WorkflowTimeSkippingEnabled": True,
    "history.timerProcessorMaxTimeShift": "20ms",
    "history.workflowIdReuseMinimalInterval": "0s",
}
"""Dynamic configuration of tests and the demo, never of production: time may be skipped."""

_ROOT = Path(__file__).resolve().parent.parent
_SOURCE = _ROOT / "tools" / "temporal-dev"
_BUILD = _ROOT / ".build"
_OLDEST_SERVER = (1, 32)
_START_TIMEOUT = 30.0
_ATTEMPTS = 3


@dataclass(frozen=True)
class TemporalBinary:
    """A program that understands `server start-dev`, and where it comes from."""

    path: Path
    origin: str

    def __str__(self) -> str:
        return f"Temporal server: {self.origin}"


@dataclass
class TemporalServer:
    """A running server. `address` is host:port of its frontend, `ui_url` empty without a UI."""

    address: str
    ui_url: str
    namespace: str
    log: Path
    _command: tuple[str, ...]
    _process: "subprocess.Popen[bytes]" = field(repr=False)

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL. With a database file, every workflow and timer is there again after `restart()`."""
        kill(self._process)

    async def restart(self) -> None:
        """Starts it again at the same address, after `kill()` or while it runs."""
        await self.stop()
        self._process = await _start_process(self._command, self.log, self.address, self.namespace)

    async def stop(self) -> None:
        if self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(self._process.wait, 20)
        except subprocess.TimeoutExpired:
            kill(self._process)


@asynccontextmanager
async def temporal_server(
    binary: TemporalBinary | None = None,
    *,
    db_file: Path | None = None,
    port: int = 0,
    ui: bool = False,
    ui_port: int = 0,
    namespace: str = "default",
    time_travel: bool = False,
    dynamic_config: Mapping[str, Any] | None = None,
    log: Path | None = None,
) -> AsyncGenerator[TemporalServer]:
    """Runs a server while the block runs; port 0 takes a free one, no `db_file` means in memory.

    `binary` None finds one as `find_temporal()` does. `dynamic_config` comes on top of the shared file's values;
    `time_travel` lets tests and the demo skip time. Raises LocalServerError.
    """
    with tempfile.TemporaryDirectory(prefix="holdfast-temporal-") as scratch:
        found = binary or await asyncio.to_thread(find_temporal)
        extra = {**(TIME_TRAVEL if time_travel else {}), **(dynamic_config or {})}
        wanted = Wanted(found, db_file, port, ui_port if ui else None, namespace, extra)
        server = await _started(wanted, log or Path(scratch) / "temporal.log")
        try:
            yield server
        finally:
            await server.stop()


@dataclass(frozen=True)
class Wanted:
    """What a server is started with. `ui_port` None: no UI; 0: a free port."""

    binary: TemporalBinary
    db_file: Path | None
    port: int
    ui_port: int | None
    namespace: str
    dynamic_config: Mapping[str, Any]

    def with_ports(self) -> "Wanted":
        ui_port = None if self.ui_port is None else self.ui_port or free_port()
        return Wanted(self.binary, self.db_file, self.port or free_port(), ui_port, self.namespace, self.dynamic_config)

    def command(self) -> tuple[str, ...]:
        """The words of `temporal server start-dev`."""
        words = [str(self.binary.path), "server", "start-dev", "--ip", LOOPBACK, "--port", str(self.port)]
        words += ["--namespace", self.namespace, "--log-level", "warn", "--log-format", "json"]
        words += ["--headless"] if self.ui_port is None else ["--ui-port", str(self.ui_port)]
        words += ["--db-filename", str(self.db_file)] if self.db_file else []
        for name, kind in SEARCH_ATTRIBUTES.items():
            words += ["--search-attribute", f"{name}={kind}"]
        for key, value in {**shared_dynamic_config(), **self.dynamic_config}.items():
            words += ["--dynamic-config-value", f"{key}={json.dumps(value)}"]
        return tuple(words)


def shared_dynamic_config() -> dict[str, Any]:
    """The unconstrained values of deploy/dynamicconfig.yaml, which production's server reads too."""
    text = (_ROOT / "deploy" / "dynamicconfig.yaml").read_text()
    entries = cast("dict[str, list[dict[str, Any]]]", yaml.safe_load(text))
    return {key: values[0]["value"] for key, values in entries.items() if not values[0].get("constraints")}


def find_temporal(configured: str = "", say: Say | None = None) -> TemporalBinary:
    """HOLDFAST_TEMPORAL, a `temporal` on PATH that is new enough, our own build of the server, the SDK's download.

    `configured` is that setting's value; empty reads it from the environment. Raises LocalServerError.
    """
    tell = say or _silent
    path = configured or os.environ.get("HOLDFAST_TEMPORAL", "")
    found = _configured(path) if path else _on_path() or _built(tell) or _downloaded(tell)
    tell(str(found))
    return found


def server_version(binary: Path) -> tuple[int, ...]:
    """The version of the server inside a `temporal` program; empty where it says none."""
    try:
        shown = subprocess.run(  # noqa: S603 - a path of the settings or the search path
            [str(binary), "--version"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    match = re.search(r"server (\d+)\.(\d+)\.(\d+)", shown.stdout, re.IGNORECASE)
    return tuple(int(part) for part in match.groups()) if match else ()


def _silent(line: str) -> None:
    """Says nothing."""


def _configured(path: str) -> TemporalBinary:
    version = server_version(Path(path))
    if version < _OLDEST_SERVER:
        raise LocalServerError(f"HOLDFAST_TEMPORAL={path} is no Temporal server of version 1.32 or newer")
    return TemporalBinary(Path(path).absolute(), f"{path} (HOLDFAST_TEMPORAL, server {_dotted(version)})")


def _on_path() -> TemporalBinary | None:
    path = shutil.which("temporal")
    version = server_version(Path(path)) if path else ()
    if not path or version < _OLDEST_SERVER:
        return None
    return TemporalBinary(Path(path), f"{path} (on PATH, server {_dotted(version)})")


def _built(say: Say) -> TemporalBinary | None:
    target = _BUILD / "temporal-dev"
    go = shutil.which("go")
    _BUILD.mkdir(exist_ok=True)
    with (_BUILD / "temporal-dev.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = _BUILD / "temporal-dev.stamp"
        current = target.exists() and stamp.exists() and stamp.read_text() == _source_hash()
        if not current:
            if go is None:
                return None
            _build(go, target, say)
            stamp.write_text(_source_hash())
    return TemporalBinary(target, f".build/temporal-dev (our own build, server {_dotted(server_version(target))})")


def _source_hash() -> str:
    digest = hashlib.sha256()
    for path in sorted([*_SOURCE.rglob("*.go"), _SOURCE / "go.mod", _SOURCE / "go.sum"]):
        if not path.name.endswith("_test.go"):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _build(go: str, target: Path, say: Say) -> None:
    say("building the Temporal dev server (once; some minutes)")
    command = [go, "build", "-v", "-trimpath", "-ldflags", "-s -w", "-o", str(target), "."]
    process = subprocess.Popen(  # noqa: S603 - go, as found on PATH
        command, cwd=_SOURCE, env={**os.environ, "CGO_ENABLED": "0"}, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    with process:
        said = _watch(cast("IO[str]", process.stdout), say)
    if process.returncode != 0:
        raise LocalServerError("the Temporal dev server could not be built:\n" + "\n".join(said[-15:]))


def _watch(lines: IO[str], say: Say) -> list[str]:
    """Tells every five seconds how far the build is; returns all that was said."""
    said: list[str] = []
    told = started = time.monotonic()
    for line in lines:
        said.append(line.rstrip())
        now = time.monotonic()
        if now - told >= 5:  # noqa: PLR2004 - seconds
            told = now
            what = "modules fetched" if said[-1].startswith("go: ") else "packages compiled"
            say(f"  {now - started:.0f} s: {len(said)} {what}, now {said[-1].split()[-1][:70]}")
    return said


def _downloaded(say: Say) -> TemporalBinary:
    say("no `temporal` on PATH and no Go to build it with: asking the SDK to download it")
    _BUILD.mkdir(exist_ok=True)
    try:
        asyncio.run(_start_once())
    except RuntimeError as error:
        raise LocalServerError(
            "no Temporal server: put `temporal` (server 1.32 or newer) on PATH, name one in HOLDFAST_TEMPORAL, "
            f"or install Go 1.26 to have it built ({error})"
        ) from error
    finally:
        gc.collect()
    newest = max(_BUILD.glob("temporal-sdk-python-*"), key=lambda path: path.stat().st_mtime)
    return TemporalBinary(newest, f"{newest} (downloaded by the SDK, server {_dotted(server_version(newest))})")


async def _start_once() -> None:
    start = WorkflowEnvironment.start_local  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - a bare generic of the SDK's
    async with await start(download_dest_dir=str(_BUILD)):
        pass


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


async def _started(wanted: Wanted, log: Path) -> TemporalServer:
    """A free port may be taken by someone else between choosing and using it: another is tried then."""
    for attempt in range(1, _ATTEMPTS + 1):
        ready = wanted.with_ports()
        command, address = ready.command(), f"{LOOPBACK}:{ready.port}"
        try:
            process = await _start_process(command, log, address, ready.namespace)
        except LocalServerError:
            if wanted.port or attempt == _ATTEMPTS:
                raise
            continue
        ui_url = "" if ready.ui_port is None else f"http://{LOOPBACK}:{ready.ui_port}"
        return TemporalServer(address, ui_url, ready.namespace, log, command, process)
    raise AssertionError("unreachable")


async def _start_process(
    command: tuple[str, ...], log: Path, address: str, namespace: str
) -> "subprocess.Popen[bytes]":
    earlier = size_of(log)
    process = spawn(command, log)
    deadline = asyncio.get_running_loop().time() + _START_TIMEOUT
    while process.poll() is None and asyncio.get_running_loop().time() < deadline:
        with suppress(RuntimeError, RPCError):
            await ensure_namespace(await Client.connect(address, namespace=namespace))
            return process
        await asyncio.sleep(0.03)
    if process.poll() is None:
        kill(process)
    raise LocalServerError(f"the Temporal server did not start; its log ends with\n{last_lines(log, since=earlier)}")
