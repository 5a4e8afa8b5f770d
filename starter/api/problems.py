"""Whatever goes wrong, as RFC 9457 problem details: a stable code, what it means, and what to do. No personal data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from domain.errors import Refused
from domain.rules.acts import REFUSALS
from starter.client import API
from starter.openings import Fault, MisreadError

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class Kind:
    """A kind of problem. `then`: what to do. `said`: its words, where the door's own would repeat what was sent."""

    status: int
    title: str
    then: str
    said: str = ""


_TRY_AGAIN = "Try again in a moment, with the same Idempotency-Key: nothing is done twice."
KINDS: dict[str, Kind] = {
    "unauthenticated": Kind(
        401, "No API key", "Send Authorization: Bearer with an API key of `holdfast api-key create`."
    ),
    "api-key-unknown": Kind(401, "Unknown API key", "Check the key, or have a new one made."),
    "api-key-expired": Kind(401, "The API key has expired", "Have it rotated: `holdfast api-key rotate`."),
    "api-key-revoked": Kind(401, "The API key was revoked", "Have another one made."),
    "scope-missing": Kind(403, "The API key may not do this", "Have a key made with the scope that is named."),
    "money-needs-a-person": Kind(403, "Money needs a person", "Somebody has to sign in at the pages and do it there."),
    "unknown-case": Kind(404, "No such case", "GET /cases lists them.", "There is no such case."),
    "several-cases": Kind(404, "Several cases", "Give the whole id.", "Several cases end like that."),
    "unknown-step": Kind(404, "No such step", "GET /cases/{case_id}/steps lists them.", "The case has no such step."),
    "unknown-opening": Kind(404, "Nothing is started by that name", "The API's description lists what can be started."),
    "unknown-problem": Kind(404, "No such problem", "GET /problems lists them.", "There is no problem of that code."),
    "not-found": Kind(404, "Nothing is here", "The API's description lists what there is."),
    "method-not-allowed": Kind(405, "Not by this method", "The header Allow names those that there are."),
    "too-large": Kind(413, "Too large", "Send less at once; a body has at most 1 MB."),
    "address-too-long": Kind(414, "Too long an address", "Ask for less at once; an address has at most 8,000 bytes."),
    "not-json": Kind(415, "Not JSON", "Send Content-Type: application/json, without compression."),
    "broken-json": Kind(400, "Broken JSON", "Send one JSON object in UTF-8, each name once."),
    "unreadable-text": Kind(400, "Unreadable text", "Take NUL and broken characters out."),
    "broken-request": Kind(400, "Broken request", "Send a request as HTTP describes it."),
    "idempotency-key-missing": Kind(
        400, "No Idempotency-Key", "Send one of 1 to 200 visible characters, new for each request."
    ),
    "idempotency-key-reused": Kind(422, "The Idempotency-Key was used before", "Choose a new one for a new request."),
    "another-content": Kind(
        409,
        "The reference was used before",
        "Choose another reference for another request.",
        "This reference was used before for something else.",
    ),
    "bad-cursor": Kind(400, "Not a cursor of this list", "Begin without a cursor."),
    "bad-query": Kind(400, "The query is not understood", "See the description of this operation."),
    "bad-request": Kind(422, "The request is not understood", "See the description of this operation."),
    "invalid-result": Kind(
        422, "The result is not of the documented form", "See docs/api.md for the form of each kind."
    ),
    "bad-lead-id": Kind(422, "Not a lead id", "A lead id looks like L-1001.", "A lead id is malformed."),
    "bad-address": Kind(422, "Not an address", "Write it as name@example.com."),
    "unknown-address": Kind(422, "Not an address of the client", "Import it first, or leave reply_to out."),
    "unknown-client": Kind(422, "No such client", "Import the client first.", "There is no such client."),
    "unknown-department": Kind(422, "No such department", "`holdfast directory show` names them."),
    "department-missing": Kind(422, "Which department?", "Name it, or the task or ticket that it is about."),
    "title-missing": Kind(422, "Without a title", "Give it one, or name the task or ticket that it is about."),
    "due-over": Kind(422, "Due in the past", "Name a day to come, or none."),
    "due-twice": Kind(422, "Due in several ways", "Say it once: due_on, hours, or new_pages."),
    "reply-to-missing": Kind(
        422,
        "Whom to answer?",
        "Name the address to answer to as reply_to.",
        "The client has no address on record, or several.",
    ),
    "text-too-long": Kind(422, "A text is too long", "Shorten it."),
    "reason-too-thin": Kind(422, "The reason is too thin", "Say it in detail."),
    "case-not-running": Kind(
        409, "The case has ended", "Open a new one if there is something new.", "The case is not running any more."
    ),
    "too-many-requests": Kind(429, "Too many requests", "Wait as long as Retry-After says."),
    "unavailable": Kind(503, "Not available now", _TRY_AGAIN),
    "broken": Kind(500, "Something is broken here", _TRY_AGAIN),
}
_FORBIDDEN = {
    "auth-not-allowed",
    "not-asked",
    "unknown-person",
    "may-not-confirm",
    "may-not-authorise",
    "may-not-approve",
    "above-the-ceiling",
    "not-a-setter",
    "involved",
}
_CONFLICT = {
    "step-already-done",
    "no-such-step",
    "belongs-to-another",
    "not-claimed",
    "subject-changed",
    "jti-reused",
    "nothing-to-withdraw",
    "already-carried-out",
    "retired-key",
    "expired",
}
for _code, _sentence in REFUSALS.items():
    _status = 403 if _code in _FORBIDDEN else 409 if _code in _CONFLICT else 422
    KINDS.setdefault(_code, Kind(_status, _code.replace("-", " ").capitalize(), _sentence))


class FaultOut(BaseModel):
    """What is wrong at one place. `pointer` is a JSON pointer into the body, or the name of a parameter."""

    pointer: str
    detail: str


class Problem(BaseModel):
    """RFC 9457. `code` is stable; `type` leads to what it means and what to do."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    then: str
    errors: list[FaultOut] = []


@dataclass
class ProblemError(Exception):
    """Something that ends a request. `detail` holds nothing of what was sent."""

    code: str
    detail: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    faults: Sequence[Fault] = ()


def of_refusal(error: Refused) -> ProblemError:
    found = error.faults if isinstance(error, MisreadError) else ()
    return ProblemError(error.code, str(error), faults=found)


def respond(problem: ProblemError, base: str) -> Response:
    """The answer for a problem; `base` is the address that the API is reached at."""
    kind = KINDS.get(problem.code) or Kind(422, "It was refused", "See the detail.")
    body: dict[str, Any] = {
        "type": f"{base}{API}/problems/{problem.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": kind.said or problem.detail or f"{HTTPStatus(kind.status).phrase}. {kind.title}.",
        "code": problem.code,
        "then": kind.then,
    }
    if problem.faults:
        body["errors"] = [{"pointer": one.pointer, "detail": one.detail} for one in problem.faults]
    headers = dict(problem.headers)
    if kind.status == HTTPStatus.UNAUTHORIZED:
        headers.setdefault("WWW-Authenticate", 'Bearer realm="holdfast"')
    return JSONResponse(body, kind.status, headers=headers, media_type=MEDIA_TYPE)
