"""Which API key asks, whether it may, and how much it has left."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPBearer
from starlette.requests import Request

from adapters.postgres.api_keys import ApiKeys, Credential
from domain.api_keys import Scope, identity_of
from domain.errors import Refused
from domain.messages import Auth
from starter.api.problems import ProblemError, of_refusal
from starter.client import DirectClient
from starter.gateway import Login
from starter.pages.house import House, house_of

bearer = HTTPBearer(
    auto_error=False, scheme_name="apiKey", bearerFormat="hf_...", description="A key of `holdfast api-key create`."
)


@dataclass(frozen=True)
class ApiCaller:
    """A key that was recognised, and Holdfast as it may ask it."""

    house: House
    credential: Credential

    @property
    def client(self) -> DirectClient:
        login = Login(identity_of(self.credential.key_id), Auth.API_KEY, datetime.now(UTC))
        return self.house.client_for(login, self.credential.name)


def needs(scope: Scope | None) -> Callable[..., Awaitable[ApiCaller]]:
    """Raises ProblemError: 401 for no key that counts, 429 for too much, 403 for a key without this scope."""

    async def caller(request: Request, _: Annotated[object, Depends(bearer)]) -> ApiCaller:
        house = house_of(request)
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            raise ProblemError("unauthenticated", "This needs an API key.")
        try:
            found = await ApiKeys(house.pool).recognise(token.strip())
        except Refused as refused:
            raise _unknown(refused) from None
        request.state.headers.update(_limits(found))
        if found.wait:
            wait = str(ceil(found.wait.total_seconds()))
            raise ProblemError("too-many-requests", "This API key asks too often.", {"Retry-After": wait})
        if scope and scope not in found.scopes:
            raise ProblemError("scope-missing", f"This needs a key with the scope {scope.value}.")
        return ApiCaller(house, found)

    return caller


def _unknown(refused: Refused) -> ProblemError:
    problem = of_refusal(refused)
    return ProblemError(
        problem.code, problem.detail, {"WWW-Authenticate": 'Bearer realm="holdfast", error="invalid_token"'}
    )


def _limits(found: Credential) -> dict[str, str]:
    """As draft-ietf-httpapi-ratelimit-headers has it: the bucket, what is left, and when it is full again."""
    full = ceil((found.per_minute - found.left) * 60 / found.per_minute)
    return {
        "RateLimit-Policy": f'"key";q={found.per_minute};w=60',
        "RateLimit": f'"key";r={found.left};t={full}',
    }


AnyKey = Annotated[ApiCaller, Depends(needs(None))]
Reads = Annotated[ApiCaller, Depends(needs(Scope.READ))]
Starts = Annotated[ApiCaller, Depends(needs(Scope.START))]
Acts = Annotated[ApiCaller, Depends(needs(Scope.ACT))]
