"""An approval taken back (RL-14), good on a phone: what was approved is shown, a POST signs that it holds no longer."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

from adapters.postgres.page_reader import ShownAct
from domain.errors import Refused
from domain.messages import ActKind
from domain.rules.acts import refuse
from domain.subject import Subject
from starter.client import Acted
from starter.pages.render import case_url, page, step_url
from starter.pages.visitor import Form, Visitor, Who, sign_in_url, text_of

pages = APIRouter()


@pages.get("/cases/{case_id:path}/steps/{step_id}/withdraw")
async def show(who: Who, case_id: str, step_id: str) -> Response:
    return await _render(who, case_id, step_id)


@pages.post("/cases/{case_id:path}/steps/{step_id}/withdraw")
async def withdraw(who: Who, sent: Form, case_id: str, step_id: str) -> Response:
    here = withdraw_url(case_id, step_id)
    if who.must_sign_in_again(ActKind.WITHDRAW):
        return page("again.html", who, 401, target=here, link=sign_in_url(here, again=True))
    try:
        done = await _signed(who, case_id, step_id, text_of(sent, "reason"), text_of(sent, "approval"))
    except Refused as error:
        return await _render(who, case_id, step_id, 409, complaint=str(error), reason=text_of(sent, "reason"))
    accepted = done.state == "accepted"
    return RedirectResponse(f"{case_url(case_id)}/acts/{done.jti}" if accepted else case_url(case_id), 303)


def withdraw_url(case_id: str, step_id: str) -> str:
    return f"{step_url(case_id, step_id)}/withdraw"


async def _signed(who: Visitor, case_id: str, step_id: str, reason: str, shown: str) -> Acted:
    """Takes back the approval that was shown, or nothing."""
    approval = await approval_of(who, case_id, step_id)
    if approval is None or approval.row.jti != shown:
        raise refuse("nothing-to-withdraw")
    done = await who.client.act(case_id, step_id, ActKind.WITHDRAW, {"reason": reason})
    if done.state == "refused":
        raise Refused(done.code, done.sentence)
    return done


async def _render(who: Visitor, case_id: str, step_id: str, status: int = 200, **more: Any) -> Response:
    """Raises Refused `unknown-case` or `unknown-step`."""
    code = (await who.client.show(case_id, step_id, ActKind.WITHDRAW)).code
    approval = await approval_of(who, case_id, step_id)
    values: dict[str, Any] = {"complaint": "", "reason": ""} | more
    values["code"] = code or ("" if approval else "nothing-to-withdraw")
    values["approval"], values["stale"] = approval, who.must_sign_in_again(ActKind.WITHDRAW)
    values["subject"] = Subject.model_validate_json(approval.row.subject) if approval else None
    values["detail"] = await who.client.case(case_id)
    return page("withdraw.html", who, status, case_id=case_id, here=withdraw_url(case_id, step_id), **values)


async def approval_of(who: Visitor, case_id: str, step_id: str) -> ShownAct | None:
    """The approval that was given at this step, if it is the approver's latest word in the case and proves itself."""
    acts = [one for one in await who.house.pages.acts(case_id) if one.row.kind in _WORDS and one.standing]
    latest = max(acts, key=lambda one: one.row.seq, default=None)
    given_here = latest is not None and (latest.row.kind, latest.row.step_id) == (ActKind.APPROVE, step_id)
    return latest if given_here else None


_WORDS = {ActKind.APPROVE, ActKind.REJECT, ActKind.ASK_BACK, ActKind.WITHDRAW}
