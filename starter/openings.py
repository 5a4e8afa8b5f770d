"""What can be started, by whichever door: an SOP is one line of `OPENINGS`; API, command line and client follow it."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from adapters.postgres.crypto import Vault
from adapters.postgres.intake import Once
from adapters.postgres.pool import Pool
from domain.department_request import DEPARTMENT_REQUEST
from domain.errors import Refused
from domain.intake import RETURN_LEAD, Acceptance
from runtime.settings import Settings
from starter.intake import Door, OpenReturn, case_of_return
from starter.requests import OpenRequest, RequestDoor, case_of

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Caller:
    """Who starts a case, and how they proved who they are, for the audit trail.

    `once`: their own name for this delivery, None if they gave none.
    """

    name: str
    once: Once | None = None


class Doors:
    """The doors of all SOPs, beside the tables."""

    def __init__(self, pool: Pool, vault: Vault, settings: Settings) -> None:
        self.returns, self.requests = Door(pool, vault, settings), RequestDoor(pool, vault, settings)


@dataclass(frozen=True)
class Opening(Generic[M]):
    """`request` is strict: no unknown fields, nothing converted. `open` raises Refused, with nothing changed.

    `case_of` is the case that a request opens. Raises Refused.
    """

    slug: str
    kind: str
    title: str
    request: type[M]
    open: Callable[[Doors, M, Caller], Awaitable[Acceptance]]
    case_of: Callable[[M], str]

    async def start(self, doors: Doors, data: object, caller: Caller) -> Acceptance:
        """From JSON's own types, or from the model itself. Raises MisreadError, and whatever `open` refuses."""
        return await self.open(doors, self.read(data), caller)

    def read(self, data: object) -> M:
        """Raises MisreadError."""
        if isinstance(data, self.request):
            return data
        try:
            return self.request.model_validate_json(json.dumps(data, allow_nan=False))
        except ValidationError as error:
            raise MisreadError(faults(error)) from None
        except (TypeError, ValueError):
            raise Refused("bad-request", "the request: that has no form in JSON") from None


@dataclass(frozen=True)
class Fault:
    """What is wrong at one place of a request: a JSON pointer, and a sentence without what was sent."""

    pointer: str
    detail: str


class MisreadError(Refused):
    """A request that is not of the documented form."""

    def __init__(self, found: Sequence[Fault]) -> None:
        place = found[0].pointer.strip("/").replace("/", ".") or "the request"
        super().__init__("bad-request", f"{place}: {found[0].detail}")
        self.faults = tuple(found)


def faults(error: ValidationError) -> list[Fault]:
    """The first ten. The name of a field nobody asked for is the sender's own word, and is not said back."""
    found = error.errors(include_url=False, include_input=False, include_context=False)[:10]
    return [Fault(_pointer(one["loc"], unknown=one["type"] == "extra_forbidden"), _words(one["msg"])) for one in found]


def _pointer(place: tuple[int | str, ...], *, unknown: bool) -> str:
    parts = place[:-1] if unknown else place
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in parts)


def _words(said: str) -> str:
    return "there is a field here that is not known" if said.startswith("Extra inputs") else said


async def _return_leads(doors: Doors, request: OpenReturn, caller: Caller) -> Acceptance:
    return await doors.returns.open_return(request, caller.once, caller.name)


async def _requests(doors: Doors, request: OpenRequest, caller: Caller) -> Acceptance:
    return await doors.requests.open(request, once=caller.once, by=caller.name)


_ALL: tuple[Opening[Any], ...] = (
    Opening(
        "return-leads",
        RETURN_LEAD,
        "Leads that a client wants to return (RL-1)",
        OpenReturn,
        _return_leads,
        case_of_return,
    ),
    Opening(
        "department-requests",
        DEPARTMENT_REQUEST,
        "Something that is asked of a department (ID-1)",
        OpenRequest,
        _requests,
        case_of,
    ),
)
OPENINGS = {one.slug: one for one in _ALL}


def opening(slug: str) -> Opening[Any]:
    """Raises Refused `unknown-opening`."""
    if slug not in OPENINGS:
        raise Refused("unknown-opening", f"nothing is started by that name; what can be: {', '.join(OPENINGS)}")
    return OPENINGS[slug]


def opening_of(kind: str) -> Opening[Any]:
    """By the kind of the case. Raises Refused `unknown-kind`."""
    found = next((one for one in _ALL if one.kind == kind), None)
    if found is None:
        raise Refused("unknown-kind", "no door opens workflows of this kind")
    return found
