"""A CSM's agenda (ID-8): a page a day, with every request on it and the notes of its follow-ups."""

from datetime import date, timedelta
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

from domain.errors import Refused
from starter.pages.render import page
from starter.pages.visitor import Who

pages = APIRouter()


@pages.get("/agenda")
@pages.get("/agenda/mine")
async def mine(who: Who) -> Response:
    """Today's own; for a CSS, that of their CSM."""
    agendas = who.house.agendas
    return RedirectResponse(agenda_url(await agendas.whose(who.person_id), await agendas.today()), 303)


@pages.get("/agenda/{csm_id}/{day}")
async def show(who: Who, csm_id: str, day: date) -> Response:
    """Raises Refused `unknown-agenda`."""
    names = await who.house.pages.names()
    csms = await who.house.agendas.csms()
    if csm_id not in {*csms, who.person_id}:
        raise Refused("unknown-agenda", "There is no CSM of that name, so there is no such agenda.")
    before, after = (agenda_url(csm_id, day + timedelta(days=days)) for days in (-1, 1))
    values: dict[str, Any] = {"csm_id": csm_id, "day": day, "names": names, "before": before, "after": after}
    values["csms"] = [(one, names.get(one, one), agenda_url(one, day)) for one in csms]
    values["lines"] = await who.house.agendas.of(csm_id, day)
    return page("agenda.html", who, today=await who.house.agendas.today(), **values)


def agenda_url(csm_id: str, day: date) -> str:
    return f"/agenda/{quote(csm_id, safe='')}/{day}"
