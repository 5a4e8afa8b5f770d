"""Who is looking at a page: their session, who they are to the agency, and the form they sent."""

import asyncio
import hmac
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from urllib.parse import quote, urlsplit

from fastapi import Depends
from starlette.datastructures import FormData
from starlette.requests import Request

from adapters.postgres.page_reader import Colleague
from adapters.postgres.pool import DatabaseError
from adapters.postgres.web_sessions import WebSession
from domain.errors import Refused
from domain.messages import ActKind, Auth
from domain.rules.authority import ACT_RULES, MONEY_LOGIN
from starter.client import DirectClient
from starter.gateway import Login
from starter.pages.house import House, house_of

MOST_FIELDS = 12_000
MOST_FILES = 200
_PATIENCE = 2.0


class SignInError(Exception):
    """Somebody has to sign in first; `target` is where they wanted to go."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.target = target


@dataclass(frozen=True)
class Visitor:
    house: House
    session: WebSession
    colleague: Colleague

    @property
    def login(self) -> Login:
        return Login(self.session.identity, Auth.OIDC, self.session.auth_time)

    @property
    def client(self) -> DirectClient:
        return self.house.client_for(self.login, opener=f"{self.person_id} ({Auth.OIDC})")

    @property
    def person_id(self) -> str:
        return self.colleague.person.person_id

    @property
    def name(self) -> str:
        return self.colleague.person.name

    @property
    def fresh(self) -> bool:
        """Whether money may be signed without signing in anew."""
        return self.session.is_fresh(MONEY_LOGIN)

    @property
    def fresh_until(self) -> datetime:
        return self.session.fresh_until(MONEY_LOGIN)

    def must_sign_in_again(self, kind: str) -> bool:
        return not self.fresh and kind in ACT_RULES and ACT_RULES[ActKind(kind)].money


def cookie_name(house: House) -> str:
    return "__Host-holdfast" if house.settings.web_url.startswith("https://") else "holdfast_session"


async def visitor(request: Request) -> Visitor:
    """Raises SignInError without a session that counts, Refused `not-known-here` for one of nobody here."""
    house = house_of(request)
    token = request.cookies.get(cookie_name(house), "")
    by_hand = "part" not in request.query_params
    session = await house.sessions.find(token, used=by_hand) if token else None
    if session is None:
        raise SignInError(_target(request))
    colleague = await house.pages.colleague(session.identity)
    if colleague is None:
        raise Refused("not-known-here", "You are signed in, but nobody here is known by that account: ask Operations.")
    request.state.visitor = Visitor(house, session, colleague)
    return request.state.visitor


async def whoever_looks(request: Request) -> Visitor | None:
    """Who reads that something went wrong, if that can be told; nothing is asked of tables that are out of reach."""
    known: Visitor | None = getattr(request.state, "visitor", None)
    if known is not None:
        return known
    try:
        return await asyncio.wait_for(visitor(request), _PATIENCE)
    except (SignInError, Refused, DatabaseError, TimeoutError):
        return None


def came_from(request: Request) -> str:
    """The page of ours that the browser was on, "" if it does not say."""
    at = urlsplit(request.headers.get("referer", ""))
    ours = f"{at.scheme}://{at.netloc}" == house_of(request).settings.web_url
    return at.path + (f"?{at.query}" if at.query else "") if ours else ""


async def form(request: Request, who: Annotated[Visitor, Depends(visitor)]) -> AsyncGenerator[FormData]:
    """The form that was sent, if it is one of this session's. Raises Refused `foreign-form`."""
    async with request.form(max_files=MOST_FILES, max_fields=MOST_FIELDS, max_part_size=200_000) as sent:
        given = sent.get("csrf")
        if not isinstance(given, str) or not hmac.compare_digest(given.encode(), who.session.csrf.encode()):
            raise Refused("foreign-form", "This form is not one of your session's: open the page again.")
        yield sent


Who = Annotated[Visitor, Depends(visitor)]
Form = Annotated[FormData, Depends(form)]


def text_of(sent: FormData, name: str) -> str:
    value = sent.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def sign_in_url(target: str, *, again: bool = False) -> str:
    return f"/login{'/again' if again else ''}?next={quote(target, safe='/')}"


def _target(request: Request) -> str:
    if request.method not in {"GET", "HEAD"}:
        return ""
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")
