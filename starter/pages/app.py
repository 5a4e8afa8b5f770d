"""The web application: the pages, what guards them, and one clear page for whatever goes wrong."""

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp
from temporalio.service import RPCError

from adapters.postgres.pool import DatabaseError
from domain.errors import Refused
from starter.pages import agenda, cases, lists, login, my_work, requests, steps, withdrawal
from starter.pages.guard import TOO_LARGE, Guard, TooLargeError
from starter.pages.house import House
from starter.pages.render import STATIC, problem
from starter.pages.visitor import SignInError, sign_in_url, whoever_looks

log = structlog.get_logger("web")

_STATUS = {
    "unknown-case": 404,
    "no-such-case": 404,
    "unknown-step": 404,
    "no-such-step": 404,
    "unknown-act": 404,
    "unknown-agenda": 404,
    "unknown-evidence": 404,
    "foreign-form": 403,
    "not-known-here": 403,
    "sign-in-refused": 401,
    "not-configured": 503,
    "provider-unreachable": 503,
    "case-not-running": 409,
}


_PAGES = (
    login.pages,
    my_work.pages,
    lists.pages,
    requests.pages,
    agenda.pages,
    withdrawal.pages,
    steps.pages,
    cases.pages,
)


def create_app(house: House) -> ASGIApp:
    """Takes requests at `settings.web_url` only."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.house = house
    app.mount("/static", _Static(directory=STATIC))
    for router in _PAGES:
        app.include_router(router)
    app.add_exception_handler(SignInError, _sign_in)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(TooLargeError, _too_large)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _misread)
    app.add_exception_handler(DatabaseError, _gone)
    app.add_exception_handler(RPCError, _gone)
    app.add_exception_handler(Exception, _broken)
    return Guard(app, house.settings.web_url)


class _Static(StaticFiles):
    """Files named with a part of their hash: kept by browsers for as long as they like."""

    def file_response(self, *args: object, **more: object) -> Response:
        answer = super().file_response(*args, **more)  # pyright: ignore[reportArgumentType]
        answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return answer


async def _sign_in(request: Request, error: Exception) -> Response:
    assert isinstance(error, SignInError)
    if request.method in {"GET", "HEAD"} and "HX-Request" not in request.headers:
        return RedirectResponse(sign_in_url(error.target), 303)
    words = (
        "Your session has ended, and nothing was done. Sign in, and do it again: you come back to the page you were on."
    )
    return problem(request, 401, "signed-out", words)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return await _told(request, _STATUS.get(error.code, 422), error.code, str(error))


async def _too_large(request: Request, _error: Exception) -> Response:
    return await _told(request, 413, "too-large", TOO_LARGE)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: "There is no such page.", 405: "These pages are read, and forms are sent."}
    return await _told(request, error.status_code, "http", words.get(error.status_code, str(error.detail)))


async def _misread(request: Request, _error: Exception) -> Response:
    return await _told(request, 422, "misread", "This address or form can't be understood.")


async def _gone(request: Request, error: Exception) -> Response:
    log.warning("a page could not be made", path=request.url.path, problem=type(error).__name__)
    words = "Holdfast can't reach one of its own parts now. Nothing was lost; try again in a moment."
    return await _told(request, 503, "unavailable", words)


async def _broken(request: Request, error: Exception) -> Response:
    log.error("a page broke", path=request.url.path, exc_info=error)
    words = "Something went wrong here, and it is written down. Try again, or tell Operations what you did."
    return await _told(request, 500, "broken", words)


async def _told(request: Request, status: int, code: str, detail: str) -> Response:
    """With the way to everything else, for whoever is signed in."""
    return problem(request, status, code, detail, await whoever_looks(request))
