"""What Accounts look after."""

import csv
import io
import re
from collections.abc import Sequence
from itertools import chain
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from adapters.postgres.reader import StepRow
from domain.messages import ActKind
from domain.people import Role
from domain.subject import SubjectNote
from starter.client import every_step
from starter.pages.render import page
from starter.pages.visitor import Visitor, Who

pages = APIRouter()
_MOST_DRAFTS = 50
_MONTH = re.compile(r"^\d{4}-(0[1-9]|1[0-2])$")


@pages.get("/accounts")
async def accounts(who: Who, month: str = "") -> Response:
    asked = (Role.ACCOUNTS, Role.RETURN_LEADS, Role.APPROVER)
    found = [await every_step(who.client, role=role) for role in asked]
    steps = sorted(chain(*found), key=lambda one: one.step.deadline.due)
    months = await who.house.pages.months()
    chosen = month if _MONTH.match(month) else months[0]
    values: dict[str, Any] = {
        "waiting": [one for one in steps if one.step.name in {"confirm", "approval"}],
        "to_do": [one for one in steps if one.step.role == Role.ACCOUNTS],
        "drafts": await _drafts(who, steps),
        "listed": await who.house.pages.do_not_invoice(chosen),
        "months": months,
        "month": chosen,
        "names": await who.house.pages.names(),
        "now": who.session.now,
    }
    return page("accounts.html", who, **values)


async def _drafts(who: Visitor, steps: Sequence[StepRow]) -> dict[tuple[str, str], tuple[SubjectNote, ...]]:
    """The credit notes that each step would authorise, of as many as are read at a glance."""
    asking = [one for one in steps if ActKind.AUTHORISE in one.step.kinds][:_MOST_DRAFTS]
    about = who.house.gateway.about
    return {
        (one.case_id, one.step.step_id): (await about(one.case_id, one.step.step_id, ActKind.AUTHORISE)).notes
        for one in asking
    }


@pages.get("/accounts/do-not-invoice.csv")
async def do_not_invoice(who: Who, month: Annotated[str, Query(pattern=_MONTH.pattern)]) -> Response:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["client_id", "client", "lead_id", "listed_at", "case_id"])
    for one in await who.house.pages.do_not_invoice(month):
        name = f"'{one.client_name}" if one.client_name[:1] in "=+-@" else one.client_name
        writer.writerow([one.client_id, name, one.lead_id, one.since.isoformat(), one.case_id])
    headers = {"Content-Disposition": f'attachment; filename="do-not-invoice-{month}.csv"'}
    return Response(out.getvalue(), headers=headers, media_type="text/csv; charset=utf-8")
