"""Signing in and out. A sign-in belongs to the browser that began it.

Money needs one for which the provider asked for the password anew.
"""

import secrets
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from adapters.postgres.web_sessions import LOGIN_LASTS, PendingLogin
from domain.errors import Refused
from domain.people import Identity
from domain.rules.authority import MONEY_LOGIN
from starter.pages.house import House, house_of
from starter.pages.provider import SignedIn
from starter.pages.render import page
from starter.pages.visitor import Form, Who, cookie_name

pages = APIRouter()
_SKEW = timedelta(seconds=30)
Next = Annotated[str, Query(alias="next", max_length=500)]


@pages.get("/login")
async def sign_in(request: Request, target: Next = "/") -> Response:
    return _asking(request, target, again=False)


@pages.get("/login/again")
async def sign_in_again(request: Request, target: Next = "/") -> Response:
    return _asking(request, target, again=True)


def _asking(request: Request, target: str, *, again: bool) -> Response:
    settings = house_of(request).settings
    local = settings.people_issuer == "local"
    return page("login.html", target=local_path(target), again=again, issuer=settings.issuer_url, local=local)


@pages.get("/login/start")
async def start(request: Request, target: Next = "/", *, fresh: bool = False) -> Response:
    """Sends the browser to the identity provider."""
    house = house_of(request)
    state, nonce, verifier, browser = (secrets.token_urlsafe(32) for _ in range(4))
    age = int(MONEY_LOGIN.total_seconds())
    url = await house.provider.authorization_url(state, nonce, verifier, age, fresh=fresh)
    await house.sessions.begin(browser, state, nonce, verifier, local_path(target), fresh=fresh)
    answer = RedirectResponse(url, 303)
    _set_cookie(answer, house, _login_cookie(house), browser, int(LOGIN_LASTS.total_seconds()))
    return answer


@pages.get("/login/callback")
async def callback(request: Request, state: str = "", code: str = "", error: str = "") -> Response:
    """Opens a new session for whoever the provider vouches for; one that was open in this browser ends."""
    house = house_of(request)
    pending = await house.sessions.finish(request.cookies.get(_login_cookie(house), ""), state)
    if pending is None:
        raise Refused("sign-in-refused", "This sign-in was not begun in this browser, or took too long. Sign in again.")
    if error or not code:
        raise Refused("sign-in-refused", "The identity provider did not sign you in. Sign in again.")
    signed_in = await house.provider.redeem(code, pending.nonce, pending.verifier)
    identity = Identity(issuer=house.settings.people_issuer, sub=signed_in.sub)
    auth_time = await _auth_time(house, pending, signed_in)
    token = await house.sessions.open(identity, auth_time, request.cookies.get(cookie_name(house), ""))
    answer = RedirectResponse(pending.next, 303)
    _set_cookie(answer, house, cookie_name(house), token, None)
    answer.delete_cookie(_login_cookie(house), path="/", secure=_secure(house), httponly=True, samesite="lax")
    return answer


async def _auth_time(house: House, pending: PendingLogin, signed_in: SignedIn) -> datetime:
    now = await house.sessions.now()
    if signed_in.auth_time > now + _SKEW:
        raise Refused("sign-in-refused", "The identity provider's clock is ahead of ours. Sign in again.")
    if pending.fresh and signed_in.auth_time < pending.started_at - _SKEW:
        raise Refused(
            "sign-in-refused", "The identity provider did not ask you again. Sign out there, and sign in again."
        )
    return min(signed_in.auth_time, now)


@pages.post("/logout")
async def sign_out(who: Who, _sent: Form) -> Response:
    await who.house.sessions.revoke(who.session.token)
    answer = RedirectResponse("/login", 303)
    name = cookie_name(who.house)
    answer.delete_cookie(name, path="/", secure=_secure(who.house), httponly=True, samesite="lax")
    return answer


@pages.post("/logout/everywhere")
async def sign_out_everywhere(who: Who, _sent: Form) -> Response:
    await who.house.sessions.revoke_all(who.session.identity)
    return RedirectResponse("/login", 303)


def local_path(target: str) -> str:
    """Where to go after signing in: a page of ours, whatever was asked for."""
    ours = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if ours and "\\" not in target else "/"


def _login_cookie(house: House) -> str:
    return f"{cookie_name(house)}_login"


def _secure(house: House) -> bool:
    return house.settings.web_url.startswith("https://")


def _set_cookie(answer: Response, house: House, name: str, value: str, seconds: int | None) -> None:
    answer.set_cookie(name, value, seconds, path="/", secure=_secure(house), httponly=True, samesite="lax")
