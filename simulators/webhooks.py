"""How a simulated vendor tells of its changes: signed webhooks to one loopback address, and switches that spoil them.

`GET` and `POST /_sim/hooks` (`Switches`), `POST /_sim/hooks/again` (`{"times": N}`: the last one N times at once).
Deliveries go out one after another in the order of the changes, unless they are delayed or held back.
"""

import asyncio
import random
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx2
from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulators.base import TOKEN, BadSwitchError, Simulator, switch_answer

_OK = range(200, 300)


@dataclass(frozen=True)
class Hook:
    """One webhook to be sent: `event` and `delivery` are the vendor's names for what happened and for this message.

    `attempt` counts the attempts before this one, and `reason` says why the last of them failed.
    """

    event: str
    delivery: str
    body: bytes
    attempt: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Taken:
    """How one attempt ended: the status it was answered with, and why it counts as failed ("" if it does not)."""

    status: int | None
    reason: str = ""
    body: bytes = b""
    give_up: bool = False


class Switches(BaseModel):
    """`url` "" tells nobody. The next `drop` are lost; each is sent `repeat` times; each waits `delay` seconds.

    `hold` keeps them back until it is switched off, when they go out as `order` says. One that is not answered 2xx
    within `patience` seconds is tried again `retries` times, `pause` seconds apart. `skew` (seconds) shifts the time
    that is stamped on them.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)
    url: str = ""
    secret: str = "simulator"  # noqa: S105 - the stand-in's secret is no secret
    drop: int = Field(default=0, ge=0)
    repeat: int = Field(default=1, ge=1, le=100)
    delay: float = Field(default=0.0, ge=0)
    hold: bool = False
    order: Literal["as-made", "reversed", "shuffled"] = "as-made"
    retries: int = Field(default=0, ge=0, le=10)
    pause: float = Field(default=0.05, ge=0)
    patience: float = Field(default=5.0, gt=0)
    skew: float = 0.0

    @field_validator("url")
    @classmethod
    def _only_this_machine(cls, url: str) -> str:
        host = urlsplit(url).hostname or ""
        if url and not (host == "localhost" or ip_address(host).is_loopback):
            raise ValueError("webhooks of a stand-in go to this machine only")
        return url


Sign = Callable[[Hook, str, datetime], Mapping[str, str]]
"""The headers of a webhook, given the secret and the time at which it is sent."""


class Hooks:
    """The sender. `sent` is the ledger of what went out: `{event, delivery, attempt, status}`, status None if cut."""

    def __init__(self, sign: Sign, switches: Switches | None = None) -> None:
        self.switches = switches or Switches()
        self.sent: list[dict[str, Any]] = []
        self._sign = sign
        self._held: list[Hook] = []
        self._last: Hook | None = None
        self._turn: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def tell(self, hook: Hook) -> None:
        """Sends one webhook soon, as the switches say."""
        if not self.switches.url:
            return
        if self.switches.drop:
            self.switches.drop -= 1
            return
        self._last = hook
        if self.switches.hold:
            self._held.append(hook)
        else:
            self._enqueue(hook)

    def set(self, **changes: object) -> None:
        """Turns switches; raises ValueError on one that makes no sense, and then turns none."""
        merged = {**self.switches.model_dump(), **changes}
        self.switches = Switches.model_validate(merged)
        if not self.switches.hold:
            self._release()

    def again(self, times: int) -> None:
        """Sends the last webhook `times` times at once: what a flood looks like."""
        if self._last is not None:
            for _ in range(times):
                self.start(self._send(self._last))

    async def idle(self) -> None:
        """Waits until everything is out that is not held back."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _release(self) -> None:
        held, self._held = self._held, []
        if self.switches.order == "reversed":
            held.reverse()
        if self.switches.order == "shuffled":
            random.shuffle(held)
        for hook in held:
            self._enqueue(hook)

    def _enqueue(self, hook: Hook) -> None:
        if self.switches.delay:
            self.start(self._later(hook, self.switches.delay))
            return
        before = self._turn
        self._turn = self.start(self._after(before, hook))

    async def _after(self, before: asyncio.Task[None] | None, hook: Hook) -> None:
        if before is not None:
            await asyncio.wait([before])
        for _ in range(self.switches.repeat):
            await self._send(hook)

    async def _later(self, hook: Hook, seconds: float) -> None:
        await asyncio.sleep(seconds)
        for _ in range(self.switches.repeat):
            await self._send(hook)

    async def ask(self, method: str, query: Mapping[str, str] | None = None, body: bytes = b"") -> Taken:
        """One call of the address that is not repeated: how a vendor makes sure of it."""
        return await self._call(method, body, Hook("verify", "", body), query)

    async def _send(self, hook: Hook) -> None:
        for attempt in range(self.switches.retries + 1):
            taken = await self._call("POST", hook.body, hook)
            sent = {"event": hook.event, "delivery": hook.delivery, "attempt": attempt + 1, "status": taken.status}
            self.sent.append(sent)
            if not taken.reason or taken.give_up:
                return
            hook = replace(hook, attempt=attempt + 1, reason=taken.reason)
            await asyncio.sleep(self.switches.pause)

    async def _call(self, method: str, body: bytes, hook: Hook, query: Mapping[str, str] | None = None) -> Taken:
        now = datetime.now(UTC) + timedelta(seconds=self.switches.skew)
        headers = {"content-type": "application/json", **self._sign(hook, self.switches.secret, now)} if body else {}
        try:
            async with httpx2.AsyncClient(timeout=self.switches.patience, trust_env=False, verify=False) as client:
                answer = await client.request(method, self.switches.url, params=query, content=body, headers=headers)
        except httpx2.TimeoutException:
            return Taken(None, "http_timeout")
        except (httpx2.HTTPError, OSError):
            return Taken(None, "connection_failed")
        reason = "" if answer.status_code in _OK else "http_error"
        return Taken(answer.status_code, reason, answer.content, answer.headers.get("x-slack-no-retry") == "1")

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Does something beside the answers; `idle` waits for it, `aclose` ends it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class HookingSimulator(Simulator):
    """A vendor that tells of its changes."""

    def __init__(self, *, state_file: Path | None = None, token: str = TOKEN, rate_limit: int | None = None) -> None:
        super().__init__(state_file=state_file, token=token, rate_limit=rate_limit)
        self.hooks = Hooks(self.signed)

    @abstractmethod
    def signed(self, hook: Hook, secret: str, now: datetime) -> Mapping[str, str]:
        """The headers by which a receiver knows the vendor."""

    def tell(self, url: str, secret: str) -> None:
        self.hooks.set(url=url, secret=secret)

    async def aclose(self) -> None:
        await super().aclose()
        await self.hooks.aclose()

    def more_switches(self) -> list[Route]:
        return [
            Route("/_sim/hooks", self._switch_hooks, methods=["GET", "POST"]),
            Route("/_sim/hooks/again", self._again, methods=["POST"]),
        ]

    async def _switch_hooks(self, request: Request) -> Response:
        if request.method == "POST":
            return await self.switch(request, self._set)
        return switch_answer({"switches": _exact(self.hooks.switches.model_dump()), "sent": self.hooks.sent})

    async def _again(self, request: Request) -> Response:
        return await self.switch(request, lambda body: self.hooks.again(int(body["times"])))

    def _set(self, changes: dict[str, Any]) -> object:
        try:
            self.hooks.set(**{name: _plain(value) for name, value in changes.items()})
        except ValueError as error:
            raise BadSwitchError("no such switch, or not like this") from error
        return {}


def _plain(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else value


def _exact(values: Mapping[str, object]) -> dict[str, object]:
    return {name: Decimal(str(value)) if isinstance(value, float) else value for name, value in values.items()}
