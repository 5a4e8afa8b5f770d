"""The HTTP API: OpenAPI 3.1, version 1, under /api/v1 of the process of the pages.

python -m starter.api.app > docs/api/openapi.json
"""

import json
import re
import sys
from collections.abc import Sequence
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import iter_route_contexts
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Scope
from temporalio.service import RPCError

from adapters.postgres.pool import DatabaseError
from domain.errors import Refused
from starter.api import about, cases
from starter.api.guard import Guard, allow
from starter.api.problems import MEDIA_TYPE, FaultOut, Problem, ProblemError, of_refusal, respond
from starter.client import API
from starter.openings import OPENINGS, Fault
from starter.pages.house import House

log = structlog.get_logger("api")
_PROBLEM: dict[str, Any] = {
    "description": "A problem: its `code` says which.",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_DESCRIPTION = """\
Start standard operating procedures, follow their cases, and do what a program may do in them. Nothing with money in it
is decided by an API key: people do that, signed in at the pages. docs/api.md has examples."""


def create_api(house: House) -> ASGIApp:
    """Answers everything below /api/ of the pages' address."""
    app = _app()
    app.state.house = house
    return Guard(app, house.settings.web_url, lambda scope: _methods(app.routes, scope))


def document() -> dict[str, Any]:
    """The API's description, the same wherever it runs."""
    return _app().openapi()


def written() -> str:
    """The description as it is kept in docs/api/openapi.json."""
    return json.dumps(document(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _app() -> FastAPI:
    app = FastAPI(
        title="Holdfast", version="1", description=_DESCRIPTION, docs_url=None, redoc_url=None,
        openapi_url=f"{API}/openapi.json", redirect_slashes=False,
    )  # fmt: skip
    for opening in OPENINGS.values():
        app.include_router(
            cases.starts(opening), prefix=API, tags=["cases"], responses=_problems(400, 409, 413, 414, 415, 422)
        )
    app.include_router(cases.routes, prefix=API, tags=["cases"], responses=_problems(400, 404, 409, 413, 414, 415, 422))
    app.include_router(about.routes, prefix=API, tags=["about"], responses=_problems(400, 404, 414, 422))
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)
    app.openapi = lambda: _described(app)
    return app


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return dict.fromkeys((*statuses, 401, 403, 429, 503), _PROBLEM)


def _described(app: FastAPI) -> dict[str, Any]:
    """The description with the bodies that are read here and not by the framework."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        models = [cases.ActIn, Problem, FaultOut, *(one.request for one in OPENINGS.values())]
        _, schemas = models_json_schema(
            [(one, "validation") for one in models], ref_template="#/components/schemas/{model}"
        )
        made["components"]["schemas"] |= schemas["$defs"]
        app.openapi_schema = made
    return app.openapi_schema


def _methods(routes: Sequence[BaseRoute], scope: Scope) -> set[str]:
    """What there is at a path; one that is written out is not also a case's."""
    shown = [one for one in iter_route_contexts(routes) if getattr(one, "include_in_schema", True)]
    found = [one for one in shown if re.match(one.path_regex, scope["path"])]
    literal = [one for one in found if not one.param_convertors]
    return {method for one in literal or found for method in one.methods or ()} - {"HEAD"}


def _base(request: Request) -> str:
    return request.app.state.house.settings.web_url


def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return respond(error, _base(request))


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return respond(of_refusal(error), _base(request))


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:  # noqa: PLR2004
        headers = {"Allow": allow(_methods(request.app.routes, request.scope))}
        words = f"Nothing is started here; what can be: {', '.join(OPENINGS)}." if request.method == "POST" else ""
        return respond(ProblemError("method-not-allowed", words, headers), _base(request))
    return respond(ProblemError("not-found" if error.status_code == 404 else "broken-request"), _base(request))  # noqa: PLR2004


def _misread(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = [Fault(_parameter(one), str(one["msg"])) for one in error.errors()[:10]]
    return respond(ProblemError("bad-query", f"{found[0].pointer}: {found[0].detail}", faults=found), _base(request))


def _parameter(error: dict[str, Any]) -> str:
    """Which parameter; the name of one that nobody asked for is not said back."""
    place = [str(one) for one in error["loc"][1:]]
    return "the query" if error["type"] == "extra_forbidden" or not place else ".".join(place)


def _gone(request: Request, error: Exception) -> Response:
    if isinstance(error, RuntimeError) and "connect" not in str(error).lower():
        return _broken(request, error)
    log.warning("the api could not answer", problem=type(error).__name__)
    words = "Holdfast can't reach one of its own parts now."
    return respond(ProblemError("unavailable", words, {"Retry-After": "5"}), _base(request))


def _broken(request: Request, error: Exception) -> Response:
    log.error("the api broke", exc_info=error)
    return respond(ProblemError("broken", "It is written down here."), _base(request))


_HANDLERS = {
    ProblemError: _problem,
    Refused: _refused,
    HTTPException: _http,
    RequestValidationError: _misread,
    DatabaseError: _gone,
    RPCError: _gone,
    RuntimeError: _gone,
    Exception: _broken,
}


if __name__ == "__main__":
    sys.stdout.write(written())
