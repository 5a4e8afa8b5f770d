"""The pages over a whole agency: the real application on a real port, and a stand-in of the identity provider."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from html import unescape
from secrets import token_hex
from typing import Any, cast

import httpx2

from runtime.processes import free_port
from runtime.settings import Settings
from simulators.idp import Account, IdpSimulator, idp_simulator
from starter.pages.house import House
from starter.pages.render import step_url
from starter.web import open_house, server
from tests.agency import PEOPLE, Agency, eventually
from tests.workflows.desk import PEOPLE as DEPARTMENTS_PEOPLE

APPROVER = "shobhit.patil"
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')


@dataclass
class Visit:
    """A browser without a screen: cookies, forms and the Origin that browsers send."""

    url: str
    http: httpx2.AsyncClient

    async def get(self, path: str, **more: Any) -> httpx2.Response:
        return await self.http.get(self.url + path if path.startswith("/") else path, **more)

    async def post(self, path: str, data: dict[str, Any], *, origin: str | None = None, **more: Any) -> httpx2.Response:
        headers = {"Origin": self.url if origin is None else origin} if origin != "" else {}
        return await self.http.post(self.url + path, data=data, headers=headers | more.pop("headers", {}), **more)

    async def sign_in(self, sub: str, target: str = "/", *, again: bool = False) -> httpx2.Response:
        """As a person would: to the provider, who is asked by name, and back. Returns what came of it."""
        asked = await self.get(f"/login/start?next={target}{'&fresh=true' if again else ''}", follow_redirects=False)
        there = await self.http.get(asked.headers["location"], follow_redirects=False)
        if there.status_code == 200:
            there = await self.http.post(asked.headers["location"], data={"sub": sub}, follow_redirects=False)
        return await self.http.get(there.headers["location"], follow_redirects=False)

    async def fields(self, path: str, kind: str) -> dict[str, str]:
        """The hidden fields of the form that sends an act of this kind."""
        return form_fields((await self.get(path)).text, kind)

    async def act(self, path: str, kind: str, **given: str) -> httpx2.Response:
        return await self.post(path, await self.fields(path, kind) | given)

    @property
    def session(self) -> str:
        return cast("str", self.http.cookies.get("holdfast_session", default=""))


def form_fields(page: str, kind: str) -> dict[str, str]:
    for form in re.findall(r"<form.*?</form>", page, re.DOTALL):
        fields = {name: unescape(value) for name, value in _HIDDEN.findall(form)}
        if fields.get("kind") == kind or f'value="{kind}"' in form:
            return fields | {"kind": kind}
    raise AssertionError(f"the page has no form for {kind}")


@dataclass
class Town:
    agency: Agency
    house: House
    idp: IdpSimulator
    url: str
    _visits: list[httpx2.AsyncClient] = field(default_factory=list[httpx2.AsyncClient])

    def visit(self) -> Visit:
        """Somebody who is not signed in."""
        self._visits.append(httpx2.AsyncClient(timeout=30))
        return Visit(self.url, self._visits[-1])

    async def signed_in(self, sub: str) -> Visit:
        visit = self.visit()
        answer = await visit.sign_in(sub)
        assert answer.status_code == 303, answer.text
        return visit

    async def close(self) -> None:
        for http in self._visits:
            await http.aclose()

    async def opened(self, *leads: str) -> str:
        """A request that waits for its findings."""
        case_id = await self.agency.open_return(*leads, reference=f"R-{token_hex(4)}")
        await self.agency.parked(case_id, "investigate")
        return case_id

    async def investigated(self, *leads: str, by: str = "P-1") -> tuple[str, str]:
        """A request whose leads were all found valid: its case, and the page of the step that confirms it."""
        case_id = await self.opened(*leads)
        await self.agency.find(case_id, leads, by=by)
        await self.agency.parked(case_id, "confirm")
        return case_id, step_url(case_id, "confirm")

    async def acts(self, case_id: str, kind: str) -> int:
        found = await self.agency.database.value(
            "SELECT count(*) FROM acts WHERE case_id = $1 AND kind = $2", case_id, kind
        )
        return int(cast("int", found))


@asynccontextmanager
async def open_town(agency: Agency) -> AsyncGenerator[Town]:
    accounts = [Account(sub, name) for sub, (name, _, _) in PEOPLE.items()]
    accounts += [Account(sub, name) for sub, (name, _, _) in DEPARTMENTS_PEOPLE.items()]
    with idp_simulator([*accounts, Account(APPROVER, "Shobhit Patil")]) as idp:
        settings = _settings(agency.settings, idp)
        async with open_house(settings, agency.client.service_client.config.target_host) as house, serving(house):
            town = Town(agency, house, idp, settings.web_url)
            try:
                yield town
            finally:
                await town.close()


def _settings(settings: Settings, idp: IdpSimulator) -> Settings:
    return settings.model_copy(update={"web_port": free_port(), "oidc_issuer": idp.issuer})


@asynccontextmanager
async def serving(house: House) -> AsyncGenerator[None]:
    running = server(house)
    running.capture_signals = nullcontext  # pyright: ignore[reportAttributeAccessIssue]  the test runner keeps its own
    task = asyncio.create_task(running.serve())

    async def started() -> bool:
        return running.started

    await eventually(started, "the pages never started")
    try:
        yield
    finally:
        running.should_exit = True
        await task
