"""Cases: who must act, by when and why then; everything that happened, by clause; what people signed, and its proof."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from starlette.responses import Response

from adapters.postgres.audit import verify
from adapters.postgres.correspondence import read_case
from adapters.postgres.directory import Asked
from adapters.postgres.page_reader import ShownAct
from adapters.postgres.pool import transaction
from adapters.postgres.reader import CaseDetail, Line
from domain.department_request import DEPARTMENT_REQUEST
from domain.errors import Refused
from domain.explained import lines
from domain.mail import IncomingMail
from domain.messages import ActKind
from domain.people import Role
from domain.subject import Subject
from starter.evidence_types import KNOWN_TYPES
from starter.mime.message import parse
from starter.pages.house import House
from starter.pages.render import LONDON, page
from starter.pages.visitor import Visitor, Who
from starter.story import told

pages = APIRouter()


@dataclass(frozen=True)
class LetterIn:
    """A mail that came in for a case, as text. `problem`: why it can't be read, "" if it can."""

    at: datetime
    sender: str = ""
    to: str = ""
    subject: str = ""
    text: str = ""
    authenticated: bool = False
    problem: str = ""


async def came_in(house: House, case_id: str) -> list[LetterIn]:
    """What was accepted by mail for the case, the latest first."""
    settings = house.settings
    staff = frozenset({settings.mail_domain})
    shown: list[LetterIn] = []
    for one in await house.operations.came_in(case_id, most=10):
        try:
            mail = parse(one.content, authserv_id=settings.imap_authserv_id, staff_domains=staff)
        except Refused as error:
            shown.append(LetterIn(one.received_at, problem=str(error)))
        else:
            shown.append(_letter(one.received_at, mail))
    return shown


def _letter(at: datetime, mail: IncomingMail) -> LetterIn:
    to = ", ".join((*mail.to, *mail.cc))
    return LetterIn(at, mail.sender, to, mail.subject, mail.text, mail.authenticated)


@pages.get("/cases")
async def list_cases(who: Who, status: str = "", client: str = "", cursor: str = "") -> Response:
    found = await who.client.cases(status=status, client_id=client, cursor=cursor)
    names, clients = await who.house.pages.names(), await who.house.pages.clients()
    more = f"/cases?status={quote(status)}&client={quote(client)}&cursor={quote(found.cursor)}" if found.cursor else ""
    return page("cases.html", who, found=found, names=names, clients=clients, status=status, client=client, more=more)


@pages.get("/cases/{case_id:path}/letters")
async def letters(who: Who, case_id: str) -> Response:
    """What the client and our own teams were told, word for word, each held to the hash of what was sent."""
    detail, sent = await who.client.case(case_id), await who.house.letters.sent(case_id)
    return page("letters.html", who, detail=detail, letters=sent)


@pages.get("/cases/{case_id:path}/acts/{jti}")
async def show_act(who: Who, case_id: str, jti: str) -> Response:
    """The receipt of a signed act: exactly what was decided about, and whether its proof holds now."""
    pages = who.house.pages
    act = await pages.act(case_id, jti)
    values = _receipt(act)
    known = await pages.evidence_named(case_id, [sha for line in values["subject"].lines for sha in line.evidence])
    values["proofs"] = {
        line.lead_id: [known[sha] for sha in line.evidence if sha in known]
        for line in values["subject"].lines
        if line.evidence
    }
    values["words"] = next(iter((await pages.texts(case_id, _words(act))).values()), "")
    return page("act.html", who, case_id=case_id, act=act, names=await pages.names(), **values)


def _words(act: ShownAct) -> list[str]:
    """The SHA-256 of what was written with an act."""
    payload: dict[str, Any] = json.loads(act.row.act.payload)
    return [str(payload[name]) for name in ("reason_sha256", "note_sha256") if payload.get(name)]


def _receipt(act: ShownAct) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(act.row.act.body)
    subject = act.standing.subject if act.standing else Subject.model_validate_json(act.row.subject)
    return {
        "subject": subject,
        "kid": body.get("kid", ""),
        "accepted_at": datetime.fromtimestamp(act.row.accepted_at).astimezone(),
        "auth_time": datetime.fromtimestamp(int(body.get("auth_time", 0))).astimezone(),
        "body": json.dumps(body, indent=2),
        "payload": json.dumps(json.loads(act.row.act.payload), indent=2),
    }


@pages.get("/cases/{case_id:path}/evidence/{sha256}")
async def evidence(who: Who, case_id: str, sha256: str) -> Response:
    """A download, never a page: whatever it holds, the browser runs nothing of it."""
    found = await who.house.pages.evidence(case_id, sha256)
    kind = found.content_type if found.content_type in KNOWN_TYPES else "application/octet-stream"
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in found.name) or "evidence"
    headers = {
        "Content-Disposition": f'attachment; filename="{safe.encode("ascii", "replace").decode().replace("?", "_")}"',
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    return Response(found.content, headers=headers, media_type=kind)


@pages.get("/audit")
async def audit(who: Who, part: str = "") -> Response:
    """Walks the whole chain: every event follows from the one before it, and none is missing."""
    async with transaction(who.house.pool, reading=True) as conn:
        report = await verify(conn)
    return page("audit_part.html" if part else "audit.html", who, report=report)


@pages.get("/cases/{case_id:path}")
async def show(who: Who, case_id: str, act: str = "") -> Response:
    house = who.house
    detail, deadlines = await who.client.case(case_id), await who.client.clocks(case_id)
    facts = await read_case(house.pool, house.vault, house.letters.trust, case_id)
    acts, names = await house.pages.acts(case_id), await house.pages.names()
    values: dict[str, Any] = {
        "detail": detail,
        "deadlines": [(one, lines(one, LONDON, names)) for one in deadlines],
        "thread": facts.thread,
        "verdicts": {one.lead_id: one.verdict.value for one in facts.findings.findings},
        "acts": acts,
        "said": next((one for one in acts if one.row.jti == act), None),
        "waits": bool(act) and all(one.row.jti != act for one in acts),
        "timeline": await _timeline(who, case_id, names),
        "letters_in": await came_in(house, case_id),
        "request": await house.requests.of(case_id) if detail.row.kind == DEPARTMENT_REQUEST else None,
        "asked": facts.asked,
        "linked": [one for one in detail.effects if one.kind in _OPENS and one.state == "sent"],
        "names": names,
        "asked_of": await _asked_of(who, detail),
        "temporal": _temporal(house, detail.row.workflow_id),
    }
    return page("case.html", who, **values)


async def _asked_of(who: Visitor, detail: CaseDetail) -> Mapping[str, Asked]:
    """Who decides an approval that nobody has taken, by the step that asks for it."""
    free = [one.step for one in detail.steps if one.state == "open" and one.step.owner == Role.APPROVER]
    return {one.step_id: await who.house.pages.asked_to_approve(detail.row.case_id) for one in free}


async def _timeline(who: Visitor, case_id: str, names: Mapping[str, str]) -> list[tuple[Line, str]]:
    """The latest first; where somebody moved a deadline, with the reason they gave."""
    story = await who.client.timeline(case_id)
    reasons = await who.house.pages.texts(case_id, filter(None, map(_reason, story)))
    return [(line, told(line, names) + _because(reasons.get(_reason(line), ""))) for line in reversed(story)]


def _reason(line: Line) -> str:
    """The SHA-256 of the reason why a deadline was moved, "" of all else."""
    match line.data:
        case {"kind": ActKind.MOVE, "result": {"reason_sha256": str(sha)}}:
            return sha
        case _:
            return ""


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


_OPENS = {"open-linked", "open-request"}


def _temporal(house: House, workflow_id: str) -> str:
    settings = house.settings
    if not settings.temporal_ui_url:
        return ""
    namespace = house.client.namespace
    return f"{settings.temporal_ui_url}/namespaces/{quote(namespace)}/workflows/{quote(workflow_id, safe='')}"
