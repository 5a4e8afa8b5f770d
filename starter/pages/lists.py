"""Lists of what waits: somebody's own queue, and what Accounts look after."""

import csv
import io
import re
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from adapters.postgres.reader import StepRow
from domain.people import Role, department_in
from starter.client import every_step
from starter.pages.render import page
from starter.pages.visitor import Visitor, Who

pages = APIRouter()
_OF_A_CASE = (Role.CSM, Role.CSS, Role.ACCOUNT_MANAGER)
_MONTH = re.compile(r"^\d{4}-(0[1-9]|1[0-2])$")


@dataclass(frozen=True)
class Queue:
    mine: tuple[StepRow, ...]
    free: tuple[StepRow, ...]
    others: tuple[StepRow, ...]


async def queue_of(who: Visitor) -> Queue:
    """What is theirs, what anybody of their teams may take, and what colleagues have taken."""
    roles = [*who.colleague.roles, *who.colleague.person.managers_of, *_OF_A_CASE]
    found = await who.house.cases.open_steps(roles=roles, person=who.person_id)
    steps = [step for step in found if await _theirs(who, step)]
    mine = [step for step in steps if step.step.owner == who.person_id]
    free = [step for step in steps if step.step.owner == step.step.role]
    taken = [step for step in steps if step not in mine and step not in free]
    return Queue(tuple(mine), tuple(free), tuple(taken))


async def _theirs(who: Visitor, step: StepRow) -> bool:
    """A CSM's or account manager's step is theirs who look after its client, and of whoever stands in for them; a
    department's contact may be asked about clients only, or about anything else (ID-2).
    """
    of_a_case = step.step.role in _OF_A_CASE or department_in(step.step.role) is not None
    if not of_a_case or step.step.owner == who.person_id:
        return True
    return await who.house.pages.is_asked(who.session.identity, step.step.role, step.case_id)


@pages.get("/")
async def my_queue(who: Who, part: str = "") -> Response:
    queue, names = await queue_of(who), await who.house.pages.names()
    template = "queue_part.html" if part else "queue.html"
    return page(template, who, queue=queue, names=names, now=who.session.now)


@pages.get("/accounts")
async def accounts(who: Who, month: str = "") -> Response:
    of_both = [await every_step(who.client, role=role) for role in (Role.ACCOUNTS, Role.RETURN_LEADS)]
    steps = sorted(chain(*of_both), key=lambda one: one.step.deadline.due)
    months = await who.house.pages.months()
    chosen = month if _MONTH.match(month) else months[0]
    values: dict[str, Any] = {
        "waiting": [one for one in steps if one.step.name in {"confirm", "approval"}],
        "to_do": [one for one in steps if one.step.role == Role.ACCOUNTS],
        "listed": await who.house.pages.do_not_invoice(chosen),
        "months": months,
        "month": chosen,
        "names": await who.house.pages.names(),
        "now": who.session.now,
    }
    return page("accounts.html", who, **values)


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
