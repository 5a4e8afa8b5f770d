"""What every simulated vendor has: a loopback HTTP server with state, a ledger of what arrived, and fault switches.

`GET /_sim/ledger`, `GET /_sim/state`, `POST /_sim/seed`, `POST /_sim/edit`, `POST` and `DELETE /_sim/faults`.
State lives in a JSON file (replaced atomically), the ledger beside it in `FILE.ledger.jsonl`: a restart keeps both.
"""

import argparse
import asyncio
import re
import socket
import struct
import sys
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import uvicorn
from pydantic import BaseModel, ConfigDict
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from runtime import exact_json

TOKEN = "simulator"  # noqa: S105 - the stand-in's token is no secret
LOOPBACK = "127.0.0.1"

_MINUTE = 60
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
_LEDGER_HEADERS = ("content-type", "idempotency-key", "xero-tenant-id", "x-region")

Sim = TypeVar("Sim", bound="Simulator")


class BadSwitchError(Exception):
    """A request to `/_sim/` that makes no sense; the message says why."""


@dataclass(frozen=True)
class Call:
    """One request of a client, as the vendor sees it. `body` is parsed JSON, None if empty or not JSON."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    raw: bytes
    body: Any

    @property
    def fields(self) -> dict[str, Any]:
        """The body, or nothing if it is no JSON object."""
        body = self.body
        return cast("dict[str, Any]", body) if isinstance(body, dict) else {}

    @property
    def malformed(self) -> bool:
        return self.body is None and bool(self.raw)


@dataclass(frozen=True)
class Answer:
    """What the vendor answers. `changed` says whether its state did; a `body` of bytes is sent as it is."""

    status: int
    body: object = b""
    outcome: str = "refused"
    changed: bool = False
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def response(self) -> Response:
        raw, media_type = self.body, "text/html; charset=utf-8"
        if not isinstance(raw, bytes):
            raw, media_type = exact_json.dumps(raw), "application/json; charset=utf-8"
        return Response(raw, self.status, dict(self.headers), media_type)


Routes = Sequence[tuple[str, str, Callable[..., Answer]]]
"""Method, a pattern of the path, and what answers, given the call and the groups of the pattern."""


def routed(call: Call, routes: Routes) -> Answer | None:
    """What the first route that fits makes of a call; None if none does."""
    for method, pattern, work in routes:
        found = re.fullmatch(pattern, call.path)
        if found is not None and method == call.method:
            return work(call, *found.groups())
    return None


class Fault(BaseModel):
    """A switch: the next `times` calls that match misbehave (None: until switched off).

    `match` is a method (or `*`) and a part of the path, such as `PUT /CreditNotes`. Not done: `error_before`, `429`,
    `reset`, `redirect`. Done, then: `error_after`, `reset_after`, `garbage` (200, no JSON), `slow` (late by `seconds`).
    """

    model_config = ConfigDict(extra="forbid")
    match: str
    mode: Literal["error_before", "error_after", "slow", "429", "reset", "reset_after", "garbage", "redirect"]
    times: int | None = 1
    status: int = 500
    seconds: float = 1.0

    @property
    def prevents(self) -> bool:
        return self.mode in {"error_before", "429", "reset", "redirect"}

    @property
    def cuts(self) -> bool:
        return self.mode in {"reset", "reset_after"}

    def matches(self, call: Call) -> bool:
        method, _, path = self.match.partition(" ")
        return method in {"*", call.method} and path in call.path

    def use_up(self) -> None:
        self.times = None if self.times is None else self.times - 1


class Simulator(ABC):
    """A vendor on loopback. Subclasses say what it answers; everything here may be read and switched in process too.

    `rate_limit` is calls per minute, None: any number.
    """

    name: str = "vendor"

    def __init__(self, *, state_file: Path | None = None, token: str = TOKEN, rate_limit: int | None = None) -> None:
        self.url = ""
        self.token = token
        self.rate_limit = rate_limit
        self._calls: deque[float] = deque()
        self.faults: list[Fault] = []
        self.closing = asyncio.Event()
        self.connections: dict[tuple[str, int], asyncio.Transport] = {}
        self._file = state_file
        self.state: dict[str, Any] = self.fresh() | (_read_state(state_file) or {})
        self.ledger: list[dict[str, Any]] = _read_ledger(state_file)

    @abstractmethod
    def fresh(self) -> dict[str, Any]:
        """The state of a vendor nobody has used yet."""

    @abstractmethod
    def respond(self, call: Call) -> Answer:
        """Carries out one call, or refuses it, in the vendor's own words."""

    @abstractmethod
    def failure(self, status: int) -> Answer:
        """What the vendor answers when it is itself in trouble."""

    @abstractmethod
    def load(self, seed: dict[str, Any]) -> object:
        """Takes in what a test or the demo starts from. Raises BadSwitchError."""

    def change(self, edit: dict[str, Any]) -> object:
        """What a person does in the vendor's own pages, or a setting of the vendor. Raises BadSwitchError."""
        raise BadSwitchError(f"{self.name} has no edits: {sorted(edit)}")

    def tell(self, url: str, secret: str) -> None:
        """Has webhooks sent to an address on this machine. Raises BadSwitchError if the vendor sends none."""
        del secret
        raise BadSwitchError(f"{self.name} sends no webhooks, to {url} neither")

    def over_limit(self) -> bool:
        """Whether this call is one too many; it counts if it isn't."""
        now = time.monotonic()
        while self._calls and self._calls[0] <= now - _MINUTE:
            self._calls.popleft()
        if self.rate_limit is not None and len(self._calls) >= self.rate_limit:
            return True
        self._calls.append(now)
        return False

    @property
    def wait(self) -> int:
        """Seconds until there is room for a call again, 1 or more."""
        return max(1, round(self._calls[0] + _MINUTE - time.monotonic())) if self._calls else 1

    async def aclose(self) -> None:
        """Ends what still runs when the server has ended."""
        self.closing.set()

    def seed(self, **things: object) -> Any:
        return self._switched(self.load, things)

    def edit(self, **things: object) -> Any:
        return self._switched(self.change, things)

    def fault(self, match: str, mode: str, **options: object) -> None:
        self.faults.append(Fault.model_validate({"match": match, "mode": mode, **options}))

    def done(self, outcome: str = "") -> list[dict[str, Any]]:
        """The entries of the ledger that changed something, or those with this outcome."""
        return [entry for entry in self.ledger if (entry["outcome"] == outcome if outcome else entry["changed"])]

    def save(self) -> None:
        if self._file is None:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_name(self._file.name + ".new")
        fresh.write_bytes(exact_json.dumps(self.state))
        fresh.replace(self._file)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                *self.more_switches(),
                Route("/_sim/ledger", self._get_ledger, methods=["GET"]),
                Route("/_sim/state", self._get_state, methods=["GET"]),
                Route("/_sim/seed", self._post_seed, methods=["POST"]),
                Route("/_sim/edit", self._post_edit, methods=["POST"]),
                Route("/_sim/faults", self._switch_faults, methods=["GET", "POST", "DELETE"]),
                Route("/{path:path}", self._vendor, methods=_METHODS),
            ]
        )

    def more_switches(self) -> list[Route]:
        """Routes below `/_sim/` that only this vendor has."""
        return []

    async def _vendor(self, request: Request) -> Response:
        call = await _read(request)
        fault = self._next_fault(call)
        answer = self._answer(call, fault)
        self._write_down(call, answer, fault)
        if fault is not None and fault.mode == "slow":
            await self._pause(fault.seconds)
        if fault is not None and fault.cuts:
            await self._cut(request)
        return answer.response()

    def _answer(self, call: Call, fault: Fault | None) -> Answer:
        if fault is not None and fault.prevents:
            return self._spoiled(fault, Answer(fault.status, outcome="not done"))
        answer = self.respond(call)
        if answer.changed:
            self.save()
        return answer if fault is None else self._spoiled(fault, answer)

    def _spoiled(self, fault: Fault, answer: Answer) -> Answer:
        broken = {
            "error_before": self.failure(fault.status),
            "error_after": self.failure(fault.status),
            "429": self.failure(429),
            "redirect": Answer(302, headers={"location": "http://127.0.0.1:9/elsewhere"}),
            "garbage": Answer(200, b"<html>It works!"),
        }.get(fault.mode, answer)
        return Answer(broken.status, broken.body, answer.outcome, answer.changed, broken.headers)

    def _next_fault(self, call: Call) -> Fault | None:
        for fault in self.faults:
            if fault.times != 0 and fault.matches(call):
                fault.use_up()
                return fault
        return None

    def _write_down(self, call: Call, answer: Answer, fault: Fault | None) -> None:
        entry = {
            "n": len(self.ledger) + 1,
            "at": datetime.now(UTC).isoformat(),
            "method": call.method,
            "path": call.path,
            "query": dict(call.query),
            "headers": {name: call.headers[name] for name in _LEDGER_HEADERS if name in call.headers},
            "body": call.raw.decode(errors="replace") if call.body is None else call.body,
            "status": None if fault is not None and fault.cuts else answer.status,
            "outcome": answer.outcome,
            "changed": answer.changed,
            "fault": None if fault is None else fault.mode,
        }
        self.ledger.append(entry)
        if self._file is not None:
            with _ledger_path(self._file).open("ab") as lines:
                lines.write(_line(entry))

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.closing.wait(), seconds)
        except TimeoutError:
            return

    async def _cut(self, request: Request) -> None:
        client = cast("tuple[str, int]", request.scope["client"])
        transport = self.connections[client]
        raw = cast("socket.socket", transport.get_extra_info("socket"))
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        while (await request.receive())["type"] != "http.disconnect":
            continue

    async def _get_ledger(self, _: Request) -> Response:
        return switch_answer({"entries": self.ledger})

    async def _get_state(self, _: Request) -> Response:
        return switch_answer(self.state)

    async def _post_seed(self, request: Request) -> Response:
        return await self.switch(request, self.load)

    async def _post_edit(self, request: Request) -> Response:
        return await self.switch(request, self.change)

    async def _switch_faults(self, request: Request) -> Response:
        if request.method == "DELETE":
            self.faults.clear()
        if request.method == "POST":
            return await self.switch(request, self._add_fault)
        return switch_answer({"faults": [fault.model_dump(exclude={"seconds"}) for fault in self.faults]})

    def _add_fault(self, switch: dict[str, Any]) -> object:
        numbers = {key: float(value) if key == "seconds" else value for key, value in switch.items()}
        fault = Fault.model_validate(numbers)
        self.faults.append(fault)
        return {"mode": fault.mode}

    async def switch(self, request: Request, work: Callable[[dict[str, Any]], object]) -> Response:
        """Answers a request to `/_sim/` with what `work` makes of its body, or with 400 and why not."""
        try:
            body = dict[str, Any](exact_json.loads(await request.body()))
            return switch_answer(self._switched(work, body))
        except (BadSwitchError, TypeError, ValueError) as error:
            return switch_answer({"error": str(error)}, 400)

    def _switched(self, work: Callable[[dict[str, Any]], object], body: dict[str, Any]) -> object:
        try:
            answer = work(body)
        except (KeyError, TypeError, ArithmeticError) as error:
            raise BadSwitchError(f"{type(error).__name__}: {error}") from error
        self.save()
        return answer


@asynccontextmanager
async def serving(simulator: Sim, port: int = 0) -> AsyncGenerator[Sim]:
    """Runs a simulator in this process, on loopback; port 0 takes a free one. Raises OSError if the port is taken."""
    with _bound(port) as listener:
        server = _Embedded(_configured(simulator), simulator.closing)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await server.ready.wait()
            simulator.url = _address(listener)
            yield simulator
        finally:
            simulator.closing.set()
            await task
            await simulator.aclose()


def main(make: Callable[[Path | None, str], Simulator], argv: list[str] | None = None) -> int:
    """The command line of every simulator; ends on SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(description="A loopback stand-in of a vendor.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--state", type=Path, help="JSON file that keeps the state over a restart")
    parser.add_argument("--token", default=TOKEN, help="the token it asks for")
    parser.add_argument("--webhook", default="", help="an address on this machine that is told of changes")
    parser.add_argument("--webhook-secret", default=TOKEN, help="what webhooks are signed with")
    options = parser.parse_args(argv)
    try:
        return asyncio.run(_serve(make, options))
    except OSError as error:
        sys.stderr.write(f"port {options.port} cannot be taken ({error.strerror}); choose another with --port\n")
        return 1


async def _serve(make: Callable[[Path | None, str], Simulator], options: argparse.Namespace) -> int:
    simulator = make(options.state, options.token)
    if options.webhook:
        simulator.tell(options.webhook, options.webhook_secret)
    with _bound(options.port) as listener:
        simulator.url = _address(listener)
        await _Standalone(simulator).serve(sockets=[listener])
    await simulator.aclose()
    return 0


class _Standalone(uvicorn.Server):
    """Prints its address once it listens."""

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(_configured(simulator))
        self._simulator = simulator

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stdout.write(f"{self._simulator.name} listens on {self._simulator.url}\n")
        sys.stdout.flush()


class _Embedded(uvicorn.Server):
    """Says when it listens, and leaves the signal handlers of the process that it runs in alone."""

    def __init__(self, config: uvicorn.Config, closing: asyncio.Event) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self.closing = closing

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.closing.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in (*self.servers, *(sockets or [])):
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await asyncio.wait_for(self._wait_tasks_to_complete(), timeout=2)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _bound(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio then sets TCP_NODELAY
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except OSError:
        listener.close()
        raise
    return listener


def _address(listener: socket.socket) -> str:
    return f"http://{LOOPBACK}:{listener.getsockname()[1]}"


def _configured(simulator: Simulator) -> uvicorn.Config:
    return uvicorn.Config(
        simulator.app(),
        http=_protocol(simulator.connections),
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=2,
    )


def _protocol(connections: dict[tuple[str, int], asyncio.Transport]) -> type[H11Protocol]:
    class Connection(H11Protocol):
        """Remembers its transport, so that a fault can cut it."""

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            if self.client is not None:
                connections[self.client] = transport

        def connection_lost(self, exc: Exception | None) -> None:
            if self.client is not None:
                connections.pop(self.client, None)
            super().connection_lost(exc)

    return Connection


async def _read(request: Request) -> Call:
    raw = await request.body()
    try:
        body = exact_json.loads(raw) if raw else None
        exact_json.dumps(body)  # a lone surrogate can be written in JSON, but is no text
    except ValueError:
        body = None
    return Call(request.method, request.scope["path"], dict(request.query_params), request.headers, raw, body)


def switch_answer(body: object, status: int = 200) -> Response:
    return Response(exact_json.dumps(body), status, media_type="application/json")


def _line(entry: object) -> bytes:
    try:
        return exact_json.dumps(entry) + b"\n"
    except ValueError:
        return exact_json.dumps({**cast("dict[str, Any]", entry), "body": "(not text)"}) + b"\n"


def _ledger_path(state_file: Path) -> Path:
    return state_file.with_name(state_file.name + ".ledger.jsonl")


def _read_state(state_file: Path | None) -> dict[str, Any] | None:
    if state_file is None or not state_file.exists():
        return None
    return exact_json.loads(state_file.read_bytes())


def _read_ledger(state_file: Path | None) -> list[dict[str, Any]]:
    if state_file is None or not _ledger_path(state_file).exists():
        return []
    return [
        exact_json.loads(line) for line in _ledger_path(state_file).read_bytes().splitlines() if line.endswith(b"}")
    ]
