"""Cases and steps over HTTP: lists, one case with its story, and what a key may do in it."""

import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.json_schema import SkipJsonSchema
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from adapters.postgres.cursors import LONGEST
from adapters.postgres.reader import CaseDetail, CasePage, Line, StepPage, StepRow
from domain.case import CaseStatus
from domain.errors import Refused
from domain.explained import Explained
from domain.messages import ActKind
from domain.rules.acts import refuse
from domain.rules.authority import ACT_RULES
from starter.api.caller import Acts, Reads, Starts
from starter.api.problems import ProblemError
from starter.client import API, MOST_ROWS, Acted, Shown, Started, case_path
from starter.openings import MisreadError, Opening, faults


class _CaseConvertor(Convertor[str]):
    """A case's id, its slashes as they are or as tildes; what follows is named and no part of one."""

    regex = "[^/]+(?:/(?!(?:timeline|clocks|steps)(?:/|$))[^/]+)*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return case_path(value)


register_url_convertor("case", _CaseConvertor())
routes = APIRouter()
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)


def _sensible(at: datetime) -> datetime:
    if not _EARLIEST <= at <= _LATEST:
        raise ValueError("a moment between the years 1970 and 3000")
    return at.astimezone(UTC)


def _spelled(form: str, example: str) -> BeforeValidator:
    """A query's value in the one spelling that the description gives it; readers are wont to take many more."""

    def check(value: object) -> object:
        if isinstance(value, str) and not re.fullmatch(form, value, re.ASCII | re.IGNORECASE):
            raise ValueError(f"it is written like {example}")
        return value

    return BeforeValidator(check)


_MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"  # RFC 3339
Moment = Annotated[AwareDatetime, _spelled(_MOMENT, "2026-12-01T17:00:00Z"), AfterValidator(_sensible)]
Flag = Annotated[bool, _spelled("(?-i:true|false)", "true or false")]
Number = Annotated[int, _spelled(r"-?\d+", "50")]
CaseId = Annotated[
    str,
    Path(
        min_length=1,
        max_length=200,
        description="A case's id. Its slashes are written as tildes (return-lead~1e197f5c04326aab), or as %2F.",
        examples=["return-lead~1e197f5c04326aab"],
    ),
]
StepId = Annotated[str, Path(min_length=1, max_length=200, description="A step's id.", examples=["investigate"])]
Kind = Annotated[str, Path(min_length=1, max_length=100, description="A kind of act.", examples=["step.claim"])]


class _Page(BaseModel):
    model_config = ConfigDict(extra="forbid")
    cursor: str = Field(
        default="",
        max_length=LONGEST,
        pattern=r"^[A-Za-z0-9_-]*$",
        description="From the page before: goes on after it.",
    )
    limit: Number = Field(default=50, ge=1, le=MOST_ROWS)
    due_before: Moment | SkipJsonSchema[None] = Field(default=None, description="Due before this moment.")


class CaseQuery(_Page):
    kind: str = Field(default="", max_length=100, description="The workflow's type, such as ReturnLead.")
    status: CaseStatus | Literal[""] = ""
    client: str = Field(default="", max_length=200, description="A client's id.")
    owner: str = Field(default="", max_length=200, description="Who must act: a person's id or a team's role.")
    breached: str = Field(default="", max_length=40, description="A clause that was not kept in time, such as RL-4.")


class StepQuery(_Page):
    role: str = Field(default="", max_length=200, description="A team's queue, such as team:return-leads.")
    owner: str = Field(default="", max_length=200, description="Whose it is now.")
    case_id: str = Field(default="", max_length=200)
    mine: Flag = Field(default=False, description="Those that this key has taken, instead of `owner`.")


class ActIn(BaseModel):
    """What is done in a step, by the kinds that a key may sign; `payload` as docs/api.md describes it for each."""

    model_config = ConfigDict(extra="forbid", strict=True)
    kind: str = Field(min_length=1, max_length=100, examples=["step.done"])
    payload: dict[str, Any] = Field(default_factory=dict[str, Any], examples=[{"note": "The page is live."}])
    shown: str = Field(
        default="",
        pattern="^([0-9a-f]{64})?$",
        description="The `sha256` of what the act is about, as it was shown: if that has changed, nothing is signed.",
    )


class FoundCase(BaseModel):
    case_id: str


IDEMPOTENCY = "Idempotency-Key"


def _sent(body: str, *, required: bool) -> dict[str, Any]:
    """What a POST is sent, in the description: a body by the name of its form, and the caller's own name for it."""
    name = {
        "name": IDEMPOTENCY,
        "in": "header",
        "required": required,
        "schema": {"type": "string", "pattern": '^([!#-~]{1,200}|"[!#-~]{1,200}")$'},
        "description": "Your own name for this request: the same again gets the same answer.",
    }
    schema = {"$ref": f"#/components/schemas/{body}"}
    content = {"application/json": {"schema": schema}}
    return {"parameters": [name], "requestBody": {"required": True, "content": content}}


@routes.get("/cases", summary="Cases, the newest first")
async def list_cases(caller: Reads, query: Annotated[CaseQuery, Query()]) -> CasePage:
    return await caller.client.cases(
        cursor=query.cursor, limit=query.limit, status=query.status, client_id=query.client, kind=query.kind,
        owner=query.owner, due_before=query.due_before, breached=query.breached,
    )  # fmt: skip


@routes.get("/find-case", summary="The case that a short name means")
async def find_case(caller: Reads, name: Annotated[str, Query(min_length=1, max_length=400)]) -> FoundCase:
    """By the end of its id, by the Message-ID of one of its e-mails, or by our reference in them (RL#...)."""
    return FoundCase(case_id=await caller.client.find_case(name.replace("~", "/")))


@routes.get("/cases/{case_id:case}/timeline", summary="Everything that happened in a case, by clause")
async def timeline(caller: Reads, case_id: CaseId) -> tuple[Line, ...]:
    known = _id(case_id)
    await caller.client.case(known)
    return await caller.client.timeline(known)


@routes.get("/cases/{case_id:case}/clocks", summary="What was promised in a case, by when, and why then")
async def clocks(caller: Reads, case_id: CaseId) -> tuple[Explained, ...]:
    return await caller.client.clocks(_id(case_id))


@routes.get("/cases/{case_id:case}/steps", summary="A case's steps, open and done")
async def steps_of_case(caller: Reads, case_id: CaseId) -> tuple[StepRow, ...]:
    return (await caller.client.case(_id(case_id))).steps


@routes.get("/cases/{case_id:case}", summary="A case: who must act, its leads, and what was sent")
async def show_case(caller: Reads, case_id: CaseId) -> CaseDetail:
    return await caller.client.case(_id(case_id))


@routes.get("/steps", summary="Open steps, the first due first")
async def list_steps(caller: Reads, query: Annotated[StepQuery, Query()]) -> StepPage:
    return await caller.client.steps(
        cursor=query.cursor, limit=query.limit, role=query.role, case_id=_id(query.case_id),
        owner=caller.credential.owner if query.mine else query.owner, due_before=query.due_before,
    )  # fmt: skip


@routes.get(
    "/cases/{case_id:case}/steps/{step_id}/acts/{kind}",
    summary="What an act would be about, and why it would be refused now",
)
async def show_act(caller: Reads, case_id: CaseId, step_id: StepId, kind: Kind) -> Shown:
    """Of the kinds that a key may sign; `code` is "" if nothing speaks against it."""
    _without_money(kind)
    return await caller.client.show(_id(case_id), step_id, kind)


@routes.post(
    "/cases/{case_id:case}/steps/{step_id}/acts",
    summary="Do what a step asks for, or take it, give it back, hand it on",
    response_model=Acted,
    responses={202: {"model": Acted, "description": "Signed and sent; judged as soon as a worker is there."}},
    openapi_extra=_sent("ActIn", required=False),
)
async def act(caller: Acts, case_id: CaseId, step_id: StepId, request: Request) -> Response:
    """Never with money in it: that is refused with `money-needs-a-person`, whatever the key's scopes."""
    once = idempotency_key(request) if IDEMPOTENCY in request.headers else ""
    given = read_body(ActIn, await request.body())
    _without_money(given.kind)
    done = await caller.client.act(_id(case_id), step_id, given.kind, given.payload, once=once, shown=given.shown)
    if done.state == "refused":
        raise Refused(done.code, done.sentence)
    return _answer(Acted, done, 202 if done.state == "waiting" else 200, _replayed(done))


def _without_money(kind: str) -> None:
    """Raises Refused `money-needs-a-person`."""
    if kind in ACT_RULES and ACT_RULES[ActKind(kind)].money:
        raise refuse("money-needs-a-person")


def starts(opening: Opening[BaseModel]) -> APIRouter:
    """The way in for one SOP."""
    router = APIRouter()

    @router.post(
        f"/cases/{opening.slug}",
        summary=opening.title,
        operation_id=f"start_{opening.slug.replace('-', '_')}",
        status_code=201,
        response_model=Started,
        responses={200: {"model": Started, "description": "It was opened before, by the same reference."}},
        openapi_extra=_sent(opening.request.__name__, required=True),
    )
    async def start(caller: Starts, request: Request) -> Response:
        once = idempotency_key(request)
        body = read_body(None, await request.body())
        started = await caller.client.start(opening.slug, body, once=once)
        headers = {"Location": f"{API}/cases/{case_path(started.case_id)}"} | _replayed(started)
        return _answer(Started, started, 200 if started.repeated else 201, headers)

    @router.get(f"/cases/{opening.slug}", include_in_schema=False)
    async def only_post() -> Response:
        raise ProblemError("method-not-allowed", "", {"Allow": "OPTIONS, POST"})

    return router


def idempotency_key(request: Request) -> str:
    """Raises ProblemError `idempotency-key-missing`. In quotation marks, as a structured field has it, or without."""
    key = request.headers.get(IDEMPOTENCY, "")
    key = key[1:-1] if len(key) > 1 and key[0] == key[-1] == '"' else key
    if not 1 <= len(key) <= 200 or not all("!" <= one <= "~" and one != '"' for one in key):  # noqa: PLR2004
        raise ProblemError("idempotency-key-missing", "This needs a header Idempotency-Key.")
    return key


def read_body(model: type[BaseModel] | None, body: bytes) -> Any:
    """A body in its documented form; without a model, JSON's own types. Raises MisreadError."""
    if model is None:
        return json.loads(body)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise MisreadError(faults(error)) from None


def _replayed(done: Started | Acted) -> dict[str, str]:
    return {"Idempotency-Replayed": "true"} if done.replayed else {}


def _answer(model: type[Any], value: Any, status: int, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(vars(model(**vars(value))), status, headers=headers)


def _id(case_id: str) -> str:
    return case_id.replace("~", "/")
