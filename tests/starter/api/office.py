"""The API over a whole agency: the real process on a real port, and keys as an operator makes them."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from secrets import token_hex
from typing import Any

import httpx2

from adapters.postgres.api_keys import ApiKeys
from domain.api_keys import Scope
from runtime.processes import free_port
from starter.client import API, HttpClient
from starter.web import open_house
from tests.agency import CLIENT, Agency
from tests.pages.town import serving

TEAM = "team:return-leads"


@dataclass
class Key:
    """Another system, with its key."""

    url: str
    token: str
    http: httpx2.AsyncClient

    async def get(self, path: str, **more: Any) -> httpx2.Response:
        return await self.ask("GET", path, **more)

    async def post(self, path: str, body: object, *, once: str = "", **headers: str) -> httpx2.Response:
        sent = ({"Idempotency-Key": once} if once else {}) | headers
        return await self.ask("POST", path, json=body, headers=sent)

    async def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.token}"} | more.pop("headers", {})
        return await self.http.request(method, self.url + path, headers=headers, **more)

    async def start(self, *leads: str, once: str = "", **more: object) -> httpx2.Response:
        body = {"client_id": CLIENT, "leads": list(leads), "reference": f"R-{token_hex(4)}"} | more
        return await self.post("/cases/return-leads", body, once=once or token_hex(8))

    async def act(self, case_id: str, step_id: str, kind: str, *, once: str = "", **payload: object) -> httpx2.Response:
        path = f"/cases/{case_id.replace('/', '~')}/steps/{step_id}/acts"
        return await self.post(path, {"kind": kind, "payload": payload}, once=once)


@dataclass
class ApiOffice:
    agency: Agency
    keys: ApiKeys
    address: str
    _made: list[httpx2.AsyncClient] = field(default_factory=list[httpx2.AsyncClient])

    @property
    def url(self) -> str:
        return self.address + API

    def with_token(self, token: str) -> Key:
        self._made.append(httpx2.AsyncClient(timeout=30))
        return Key(self.url, token, self._made[-1])

    async def key(
        self, acts_as: str = TEAM, *, scopes: Sequence[Scope] = tuple(Scope), per_minute: int = 6000, days: float = 90
    ) -> Key:
        token = await self.keys.create(
            f"k-{token_hex(4)}", acts_as, scopes, lasts=timedelta(days=days), per_minute=per_minute, by="otto"
        )
        return self.with_token(token)

    async def client(self, acts_as: str = TEAM) -> HttpClient:
        key = await self.key(acts_as)
        return HttpClient(self.address, key.token, key.http)

    async def close(self) -> None:
        for http in self._made:
            await http.aclose()


@asynccontextmanager
async def open_api(agency: Agency) -> AsyncGenerator[ApiOffice]:
    settings = agency.settings.model_copy(update={"web_port": free_port()})
    address = agency.client.service_client.config.target_host
    async with open_house(settings, address) as house, serving(house):
        made = ApiOffice(agency, ApiKeys(house.pool), settings.web_url)
        try:
            yield made
        finally:
            await made.close()


def refused(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """The problem that an answer is; every one of them is of the one form."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code), problem
    assert problem["type"].endswith(f"{API}/problems/{code}")
    assert problem["title"]
    assert problem["detail"]
    assert problem["then"]
    return problem
