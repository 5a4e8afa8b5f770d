"""One way to Holdfast, whoever asks: the command line, the API and the pages beside the tables, others over HTTP.

Both ways give the same values and refuse with the same codes. What only a person signs has no form over HTTP, and so no
method there: `DirectClient` has it for whoever signed in.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar, Unpack
from urllib.parse import quote

import httpx2
from pydantic import JsonValue, TypeAdapter, ValidationError
from temporalio.client import Client as Temporal
from temporalio.service import RPCError

from adapters.postgres.crypto import Vault
from adapters.postgres.intake import Once
from adapters.postgres.kept_acts import KeptActs
from adapters.postgres.pool import Pool
from adapters.postgres.reader import (
    CaseDetail,
    CaseFilters,
    CasePage,
    CaseReader,
    Line,
    StepFilters,
    StepPage,
    StepRow,
)
from domain.errors import HoldfastError, Refused
from domain.explained import Explained
from domain.messages import ActKind, Auth, SignedAct
from domain.people import Person
from domain.rules.acts import sentence
from domain.subject import Subject
from domain.texts import canonical, digest
from runtime.settings import Settings
from starter.gateway import Answer, Gateway, LocalLogin, Login, Signed
from starter.handover import Handover
from starter.openings import Caller, Doors, opening

T = TypeVar("T")
_TIMEOUT = 30.0
MOST_ROWS = 200
API = "/api/v1"


@dataclass(frozen=True)
class Started:
    """What became of a request. `repeated`: this case had been opened before, by the same request under its own name.

    `replayed`: this is the answer that the same Idempotency-Key got before. `handed_over`: whether
    Temporal was told of it; None: that is left to the process at the inbox.
    """

    case_id: str
    kind: str
    repeated: bool = False
    replayed: bool = False
    handed_over: bool | None = None


@dataclass(frozen=True)
class Acted:
    """What became of an act. `waiting`: signed and sent, judged as soon as a worker is there.

    `replayed`: this is the act that the same Idempotency-Key stood for before, as it stands now.
    """

    jti: str
    state: str
    code: str = ""
    sentence: str = ""
    replayed: bool = False


@dataclass(frozen=True)
class Shown:
    """What an act of a kind would be about, and why it would be refused now ("" if nothing speaks against it).

    `sha256` is the subject's: given to `act` as `shown`, it has exactly this signed, or nothing.
    """

    kind: str
    sha256: str
    subject: Subject
    code: str = ""
    sentence: str = ""


class Client(Protocol):
    """What every door can do.

    Each raises Refused with the code of the door, and DatabaseError or NotReachedError if nobody could be asked.
    """

    async def start(self, slug: str, request: object, *, once: str = "") -> Started: ...

    async def cases(self, *, cursor: str = "", limit: int = 50, **filters: Unpack[CaseFilters]) -> CasePage: ...

    async def case(self, case_id: str) -> CaseDetail: ...

    async def timeline(self, case_id: str) -> tuple[Line, ...]: ...

    async def clocks(self, case_id: str) -> tuple[Explained, ...]: ...

    async def steps(self, *, cursor: str = "", limit: int = 50, **filters: Unpack[StepFilters]) -> StepPage: ...

    async def show(self, case_id: str, step_id: str, kind: str) -> Shown: ...

    async def act(
        self, case_id: str, step_id: str, kind: str, payload: Mapping[str, Any], *, once: str = "", shown: str = ""
    ) -> Acted: ...

    async def find_case(self, name: str) -> str: ...

    async def names(self) -> Mapping[str, str]: ...


class NotReachedError(HoldfastError):
    """The server did not answer, or not as Holdfast does."""


class DirectClient:
    """Beside the tables. `gateway` is made when something is first signed; `by` signs, None: nobody does.

    `key`: the name of the API key that asks, "" for people. `opener`: what the audit trail calls whoever opens a case,
    if `by` does not say it. `handover`: Temporal, told at once of what was started;
    without it, the process at the inbox does that.
    """

    def __init__(
        self,
        pool: Pool,
        vault: Vault,
        settings: Settings,
        gateway: Callable[[], Awaitable[Gateway]],
        *,
        by: LocalLogin | Login | None = None,
        key: str = "",
        opener: str = "",
        handover: Callable[[], Awaitable[Temporal]] | None = None,
    ) -> None:
        self._reader, self._doors = CaseReader(pool, vault), Doors(pool, vault, settings)
        self._acts = KeptActs(pool, vault)
        self._settings, self._temporal = settings, handover
        self._gateway, self._by, self._key = gateway, by, key
        self._opener = opener or _called(by, key)

    async def start(self, slug: str, request: object, *, once: str = "") -> Started:
        """`once` counts for API keys alone; for people the request's own name says whether it is the same."""
        kind = opening(slug)
        named = Once(self._key, once, digest(canonical(request))) if self._key and once else None
        accepted = await kind.start(self._doors, request, Caller(self._opener, named))
        told = await self._hand_over()
        return Started(accepted.case_id, kind.kind, accepted.repeated, accepted.replayed, told)

    async def _hand_over(self) -> bool | None:
        """At once if Temporal is there; what is accepted is not lost if it isn't."""
        if self._temporal is None:
            return None
        try:
            told = Handover(self._doors.returns.intake, await self._temporal(), page_of=self._settings.page_of)
            await told.run_once()
        except (RPCError, RuntimeError):
            return False
        return True

    async def cases(self, *, cursor: str = "", limit: int = 50, **filters: Unpack[CaseFilters]) -> CasePage:
        return await self._reader.list_cases(cursor=cursor, limit=limit, **filters)

    async def case(self, case_id: str) -> CaseDetail:
        return await self._reader.case(case_id)

    async def timeline(self, case_id: str) -> tuple[Line, ...]:
        return await self._reader.timeline(case_id)

    async def clocks(self, case_id: str) -> tuple[Explained, ...]:
        return await self._reader.clocks(case_id)

    async def steps(self, *, cursor: str = "", limit: int = 50, **filters: Unpack[StepFilters]) -> StepPage:
        return await self._reader.list_steps(cursor=cursor, limit=limit, **filters)

    async def held_by(self, person: str, case_id: str = "") -> tuple[StepRow, ...]:
        """Open steps that the person claimed or was given, whoever covers for them today."""
        return await self._reader.held_by(person, case_id)

    async def show(self, case_id: str, step_id: str, kind: str) -> Shown:
        """`who-are-you` where nobody signs; the subject is the same."""
        gateway = await self._gateway()
        if self._by is None:
            about = await gateway.about(case_id, step_id, kind)
            return Shown(kind, about.sha256, about, "who-are-you", _NOBODY)
        found = await gateway.prepare(case_id, step_id, kind, self._by)
        return Shown(kind, found.subject.sha256, found.subject, found.code, sentence(found.code) if found.code else "")

    async def act(
        self, case_id: str, step_id: str, kind: str, payload: Mapping[str, Any], *, once: str = "", shown: str = ""
    ) -> Acted:
        """`once` counts for API keys alone. `shown`: see `Shown`."""
        by, gateway = self._signs(), await self._gateway()
        wanted = _Wanted(case_id, step_id, kind, payload, by, shown)
        if not (self._key and once):
            return await wanted.done(gateway)
        return await self._act_once(wanted, gateway, Once(self._key, once, wanted.sha256))

    def _signs(self) -> LocalLogin | Login:
        if self._by is None:
            raise Refused("who-are-you", _NOBODY)
        return self._by

    async def _act_once(self, wanted: "_Wanted", gateway: Gateway, once: Once) -> Acted:
        """What was signed first under this name is the act, also where the answer to it was never heard."""
        if before := await self._acts.find(once):
            return await wanted.again(gateway, before)
        try:
            signed = await wanted.signed(gateway)
        except Refused:
            if before := await self._acts.find(once):  # the same at the same time was quicker
                return await wanted.again(gateway, before)
            raise
        if not await self._acts.keep(once, signed.act):
            return await self._act_once(wanted, gateway, once)
        return acted(await gateway.settle(signed))

    async def find_case(self, name: str) -> str:
        return await self._reader.find_case(name)

    async def names(self) -> Mapping[str, str]:
        return await self._reader.names()

    # What only a person signs ----------------------------------------------------------------------------------------

    async def sign(self, case_id: str, step_id: str, kind: str, payload: Mapping[str, Any]) -> SignedAct:
        """An act that is not sent: whoever has it may send it as the signal `act`."""
        return (await (await self._gateway()).sign(case_id, step_id, kind, payload, self._signs())).act

    async def order(self, kind: ActKind, payload: Mapping[str, Any]) -> str:
        """Something about the deployment itself: limits, prices, rates, stand-ins. Returns its number."""
        return await (await self._gateway()).order(kind, payload, self._signs())

    async def person(self, person_id: str) -> Person:
        """Raises Refused `unknown-person`."""
        return await (await self._gateway()).person(person_id)

    async def keep_evidence(self, case_id: str, step_id: str, content: bytes, *, name: str) -> str:
        """Kept, sealed; returns the SHA-256 by which findings name it. Raises Refused, such as `evidence-type`."""
        return await (await self._gateway()).keep_evidence(case_id, step_id, content, self._signs(), name=name)

    async def drafted(self, case_id: str, step_id: str) -> dict[str, dict[str, JsonValue]]:
        """The findings put down so far, by lead id."""
        return await (await self._gateway()).drafted(case_id, step_id)

    async def put_down(self, case_id: str, step_id: str, finding: Mapping[str, Any]) -> tuple[int, int]:
        """One lead's finding for later: how many there are now, out of how many. Nothing is signed yet."""
        return await (await self._gateway()).put_down(case_id, step_id, finding, self._signs())

    async def hand_in(self, case_id: str, step_id: str) -> Acted:
        """Signs the findings that were put down. Raises Refused `leads-do-not-fit` while some are missing."""
        return acted(await (await self._gateway()).complete_drafted(case_id, step_id, self._signs()))


_NOBODY = "say who you are: --as PERSON, or set HOLDFAST_AS"


def _called(by: LocalLogin | Login | None, key: str) -> str:
    """Who it is and how they proved it: a person by id, a key by its name and id."""
    match by:
        case LocalLogin():
            return f"{by.person_id} ({Auth.LOCAL})"
        case Login() if key:
            return f"the API key {key} ({by.identity.sub}, {by.auth})"
        case _:
            return ""


@dataclass(frozen=True)
class _Wanted:
    """What somebody wants to do in a step."""

    case_id: str
    step_id: str
    kind: str
    payload: Mapping[str, Any]
    by: LocalLogin | Login
    shown: str

    @property
    def sha256(self) -> str:
        said = [self.case_id, self.step_id, self.kind, self.payload, *([self.shown] if self.shown else [])]
        return digest(canonical({"act": said}))

    async def signed(self, gateway: Gateway) -> Signed:
        return await gateway.sign(self.case_id, self.step_id, self.kind, self.payload, self.by, self.shown)

    async def done(self, gateway: Gateway) -> Acted:
        given = (self.case_id, self.step_id, self.kind, self.payload, self.by)
        return acted(await gateway.complete(*given, shown=self.shown))

    async def again(self, gateway: Gateway, act: SignedAct) -> Acted:
        jti, outcome = await gateway.resume(self.case_id, self.step_id, act)
        return Acted(jti, outcome.state, outcome.code, outcome.sentence, replayed=True)


def acted(answer: Answer) -> Acted:
    outcome = answer.outcome
    return Acted(answer.signed.jti, outcome.state, outcome.code, outcome.sentence)


class HttpClient:
    """From outside, by an API key. What needs a person's signature, such as anything with money in it, is refused."""

    def __init__(self, server: str, key: str, http: httpx2.AsyncClient | None = None) -> None:
        self._url = server.rstrip("/") + API
        self._http = http or httpx2.AsyncClient(timeout=_TIMEOUT)
        self._headers = {"Authorization": f"Bearer {key}", "Accept": "application/json, application/problem+json"}

    async def start(self, slug: str, request: object, *, once: str = "") -> Started:
        return await self._ask(Started, "POST", f"/cases/{quote(slug, safe='')}", body=request, headers=_named(once))

    async def cases(self, *, cursor: str = "", limit: int = 50, **filters: Unpack[CaseFilters]) -> CasePage:
        return await self._ask(CasePage, "GET", "/cases", _query(filters, cursor, limit))

    async def case(self, case_id: str) -> CaseDetail:
        return await self._ask(CaseDetail, "GET", _case(case_id))

    async def timeline(self, case_id: str) -> tuple[Line, ...]:
        return await self._ask(tuple[Line, ...], "GET", f"{_case(case_id)}/timeline")

    async def clocks(self, case_id: str) -> tuple[Explained, ...]:
        return await self._ask(tuple[Explained, ...], "GET", f"{_case(case_id)}/clocks")

    async def steps(self, *, cursor: str = "", limit: int = 50, **filters: Unpack[StepFilters]) -> StepPage:
        return await self._ask(StepPage, "GET", "/steps", _query(filters, cursor, limit))

    async def show(self, case_id: str, step_id: str, kind: str) -> Shown:
        return await self._ask(Shown, "GET", f"{_acts(case_id, step_id)}/{quote(kind, safe='')}")

    async def act(
        self, case_id: str, step_id: str, kind: str, payload: Mapping[str, Any], *, once: str = "", shown: str = ""
    ) -> Acted:
        body = {"kind": kind, "payload": dict(payload)} | ({"shown": shown} if shown else {})
        return await self._ask(Acted, "POST", _acts(case_id, step_id), body=body, headers=_named(once))

    async def find_case(self, name: str) -> str:
        return (await self._ask(dict[str, str], "GET", "/find-case", {"name": name}))["case_id"]

    async def names(self) -> Mapping[str, str]:
        """None: another system knows people by their ids."""
        return {}

    async def close(self) -> None:
        await self._http.aclose()

    async def _ask(
        self,
        model: type[T],
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        typed = {} if body is None else {"Content-Type": "application/json"}
        sent = {**self._headers, **typed, **(headers or {})}
        content = None if body is None else json.dumps(body).encode()
        try:
            answer = await self._http.request(method, self._url + path, params=query, content=content, headers=sent)
        except httpx2.HTTPError as error:
            raise NotReachedError(f"{self._url} can't be reached ({type(error).__name__})") from None
        if answer.is_success:
            return _read(model, answer.content)
        raise _problem(answer)


def _named(once: str) -> dict[str, str]:
    return {"Idempotency-Key": once} if once else {}


def _query(filters: Mapping[str, Any], cursor: str, limit: int) -> dict[str, str]:
    asked = {**filters, "cursor": cursor, "limit": min(limit, MOST_ROWS)}
    return {_PARAMETERS.get(name, name): _word(value) for name, value in asked.items() if value}


_PARAMETERS = {"client_id": "client"}


def _word(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def case_path(case_id: str) -> str:
    """A case's id as one part of a path: ids hold no tilde, and no proxy touches one."""
    return quote(case_id.replace("/", "~"), safe="~")


def _case(case_id: str) -> str:
    return f"/cases/{case_path(case_id)}"


def _acts(case_id: str, step_id: str) -> str:
    return f"{_case(case_id)}/steps/{quote(step_id, safe='')}/acts"


def _read(model: type[T], content: bytes) -> T:
    try:
        return TypeAdapter(model).validate_json(content)
    except ValidationError:
        raise NotReachedError("the server's answer is not one of Holdfast's: is it an API of this version?") from None


def _problem(answer: httpx2.Response) -> HoldfastError:
    try:
        said: dict[str, JsonValue] = TypeAdapter(dict[str, JsonValue]).validate_json(answer.content)
        return Refused(str(said["code"]), str(said["detail"]))
    except (ValidationError, KeyError):
        return NotReachedError(f"the server answered {answer.status_code}, not as Holdfast does")


async def every_step(client: Client, **filters: Unpack[StepFilters]) -> tuple[StepRow, ...]:
    """All of a list, page by page."""
    page = await client.steps(limit=MOST_ROWS, **filters)
    rows = page.rows
    while page.cursor:
        page = await client.steps(limit=MOST_ROWS, cursor=page.cursor, **filters)
        rows += page.rows
    return rows
