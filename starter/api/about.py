"""What there is to know without a case: who a key is, what problems mean, and whether all is well."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel
from starlette.requests import Request
from temporalio.service import RPCError

from adapters.postgres.pool import DatabaseError, transaction
from domain.api_keys import Scope
from domain.messages import Auth
from domain.rules.authority import ACT_RULES
from starter.api.caller import AnyKey
from starter.api.problems import KINDS, ProblemError
from starter.pages.house import House, house_of

routes = APIRouter()


class WhoAmI(BaseModel):
    """`acts_as`: a person's id or a department's role. `kinds`: the acts that a key may sign at all."""

    name: str
    key_id: str
    acts_as: str
    scopes: list[Scope]
    kinds: list[str]
    per_minute: int
    expires_at: datetime


class Health(BaseModel):
    """`parts`: ok, or what is the matter."""

    status: str
    parts: dict[str, str] = {}


class Meaning(BaseModel):
    code: str
    status: int
    title: str
    then: str


@routes.get("/whoami", summary="Which key this is, and what it may do")
async def whoami(caller: AnyKey) -> WhoAmI:
    found = caller.credential
    return WhoAmI(
        name=found.name,
        key_id=found.key_id,
        acts_as=found.role or found.person_id,
        scopes=sorted(found.scopes),
        kinds=sorted(kind.value for kind, rule in ACT_RULES.items() if Auth.API_KEY in rule.auth),
        per_minute=found.per_minute,
        expires_at=found.expires_at,
    )


@routes.get("/health", summary="Whether this process answers")
async def health() -> Health:
    return Health(status="ok")


@routes.get(
    "/ready", summary="Whether it can do its work now", responses={503: {"model": Health, "description": "It can't."}}
)
async def ready(request: Request, response: Response) -> Health:
    house = house_of(request)
    parts = {"database": await _database(house), "temporal": await _temporal(house)}
    good = all(state == "ok" for state in parts.values())
    response.status_code = 200 if good else 503
    return Health(status="ok" if good else "unavailable", parts=parts)


@routes.get("/problems", summary="Every problem that there can be")
async def problems() -> list[Meaning]:
    return [_meaning(code) for code in sorted(KINDS)]


@routes.get("/problems/{code}", summary="What a problem means, and what to do")
async def problem(code: Annotated[str, Path(max_length=100)]) -> Meaning:
    if code not in KINDS:
        raise ProblemError("unknown-problem")
    return _meaning(code)


def _meaning(code: str) -> Meaning:
    kind = KINDS[code]
    return Meaning(code=code, status=kind.status, title=kind.title, then=kind.then)


async def _database(house: House) -> str:
    try:
        async with transaction(house.pool, reading=True) as conn:
            await conn.fetchval("SELECT 1")
    except DatabaseError:
        return "can't be reached"
    return "ok"


async def _temporal(house: House) -> str:
    try:
        return "ok" if await house.client.service_client.check_health() else "not serving"
    except (RPCError, RuntimeError):
        return "can't be reached"
