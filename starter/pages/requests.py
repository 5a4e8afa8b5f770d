"""Asking a department for something (ID-1 to ID-5): a form, and what is wrong with it beside its fields."""

from collections.abc import Mapping
from secrets import token_urlsafe
from typing import Any

from fastapi import APIRouter
from pydantic import ValidationError
from starlette.responses import RedirectResponse, Response

from domain.errors import Refused
from starter.pages.render import case_url, page
from starter.pages.visitor import Form, Visitor, Who, text_of
from starter.requests import OpenRequest

pages = APIRouter()
_FIELDS = ("department", "client_id", "title", "details", "due", "hours", "due_on", "ticket_id", "about")
_FIELD_OF = {
    "title-missing": "title",
    "department-missing": "department",
    "unknown-department": "department",
    "unknown-client": "client_id",
    "due-over": "due_on",
    "due-twice": "due",
}
_WORDS = {
    "title-missing": "Say in a few words what is asked for.",
    "department-missing": "Choose the department that is asked.",
    "due-over": "This day is over: choose a later one.",
}


@pages.get("/requests/new")
async def new(who: Who, client: str = "", department: str = "") -> Response:
    given = {"client_id": client, "department": department, "reference": _reference()}
    return await _form(who, given)


@pages.post("/requests")
async def open_request(who: Who, sent: Form) -> Response:
    """The same form sent twice is one request: a hidden reference names it."""
    given = {name: text_of(sent, name) for name in (*_FIELDS, "reference")}
    try:
        started = await who.client.start("department-requests", _request(who, given))
    except ValidationError as error:
        return await _form(who, given, _problems(error))
    except Refused as error:
        problem = {_FIELD_OF.get(error.code, ""): _WORDS.get(error.code, _sentence(str(error)))}
        return await _form(who, given, problem)
    return RedirectResponse(case_url(started.case_id), 303)


def _request(who: Visitor, given: Mapping[str, str]) -> OpenRequest:
    """Raises ValidationError or Refused. The reference is of this person's own forms alone."""
    due = given["due"]
    return OpenRequest.model_validate_strings(
        {
            "reference": f"page-{who.person_id}-{given['reference']}",
            **{name: given[name] for name in ("department", "client_id", "title", "details", "ticket_id")},
            "new_pages": str(due == "new-pages").lower(),
            "unsure": str(due == "unsure").lower(),
            "operational": str(given["about"] == "operational").lower(),
            **({"hours": given["hours"]} if due == "hours" else {}),
            **({"due_on": given["due_on"]} if due == "day" else {}),
        }
    )


def _problems(error: ValidationError) -> dict[str, str]:
    """What is wrong with each field, in words; "" for what belongs to none that is shown."""
    found = dict[str, str]()
    for one in error.errors():
        name = str(one["loc"][0]) if one["loc"] else ""
        found[name if name in _FIELDS else ""] = _READ_AS.get(name, _sentence(one["msg"]))
    return found


_READ_AS = {
    "hours": "Give whole hours, from 1 to 2160.",
    "due_on": "Give the day, such as 2026-12-04.",
    "ticket_id": "A ticket's number has letters, digits and dashes only.",
}


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:].rstrip('.')}."


async def _form(who: Visitor, given: Mapping[str, str], problems: Mapping[str, str] | None = None) -> Response:
    house = who.house
    values: dict[str, Any] = {
        "given": dict.fromkeys(_FIELDS, "") | dict(given),
        "problems": problems or {},
        "departments": await house.directory.entries(),
        "clients": await house.pages.clients(),
        "names": await house.pages.names(),
    }
    return page("request_new.html", who, 422 if problems else 200, **values)


def _reference() -> str:
    return token_urlsafe(16)
