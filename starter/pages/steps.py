"""A person's step: instructions beside the form.

GET and HEAD only show; what decides is a POST, signed by the gateway.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from adapters.postgres.correspondence import CaseFacts, read_case
from adapters.postgres.directory import Asked
from adapters.postgres.reader import CaseDetail, StepRow
from domain.department_request import DEPARTMENT_REQUEST
from domain.errors import Refused
from domain.explained import lines as in_words
from domain.messages import ActKind
from domain.money import Currency
from domain.people import Role
from domain.rules.acts import OWNERSHIP, refuse
from domain.rules.answer import valid_leads
from domain.sops.texts import INSTRUCTIONS
from domain.subject import Subject, SubjectLine
from domain.texts import digest
from starter.client import Acted
from starter.evidence_types import ACCEPTED
from starter.pages import table
from starter.pages.cases import came_in
from starter.pages.instructions import Instructions, read_instructions
from starter.pages.render import LONDON, case_url, money, page, step_url
from starter.pages.visitor import Form, Visitor, Who, sign_in_url, text_of

pages = APIRouter()
_DECISIONS = {ActKind.APPROVE, ActKind.REJECT, ActKind.ASK_BACK}
_SHOWS_PROOF = _DECISIONS | {ActKind.CONFIRM, ActKind.AUTHORISE, ActKind.DECLINE}
MOST_IN_PLACE = 20


@dataclass
class Desk:
    """One step on somebody's screen. `barred`: why an act of a kind would be refused now, by kind."""

    who: Visitor
    detail: CaseDetail
    row: StepRow
    facts: CaseFacts
    instructions: Instructions
    subjects: dict[str, Subject] = field(default_factory=dict[str, Subject])
    barred: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def case_id(self) -> str:
        return self.row.case_id

    @property
    def step_id(self) -> str:
        return self.row.step.step_id

    @property
    def url(self) -> str:
        return step_url(self.case_id, self.step_id)

    @property
    def anchor(self) -> str:
        """A name for it that no other step on the same page has."""
        return digest(self.url)[:8]

    @property
    def in_place(self) -> bool:
        """Whether it is done on My work, too: all but a long table."""
        return ActKind.FINDINGS not in self.kinds or len(self.subject.lines) <= MOST_IN_PLACE

    @property
    def kinds(self) -> tuple[str, ...]:
        return self.row.step.kinds

    @property
    def open(self) -> bool:
        return self.row.state == "open"

    @property
    def may(self) -> bool:
        """Whether this person can do what the step asks for: an approval is not for whoever could only ask back."""
        wanted = [ActKind.APPROVE] if ActKind.APPROVE in self.kinds else self.kinds
        return self.open and any(not self.barred.get(kind) for kind in wanted)

    @property
    def why_not(self) -> str:
        return next((code for code in self.barred.values() if code), "")

    @property
    def stale(self) -> bool:
        """Whether they have to sign in again first, because money follows."""
        return self.may and any(self.who.must_sign_in_again(kind) for kind in self.kinds)

    @property
    def subject(self) -> Subject:
        return self.subjects[self.kinds[0]]

    @property
    def disputed(self) -> tuple[SubjectLine, ...]:
        """The leads that a step names as its matter; all of its subject where it names none."""
        named = self.row.step.reference.split()
        return tuple(line for line in self.subject.lines if line.lead_id in named) or self.subject.lines


async def desk(who: Visitor, case_id: str, step_id: str) -> Desk:
    """Raises Refused `unknown-case` or `unknown-step`."""
    house = who.house
    detail = await who.client.case(case_id)
    row = next((one for one in detail.steps if one.step.step_id == step_id), None)
    if row is None:
        raise Refused("unknown-step", f"Case {case_id} has no step {step_id}.")
    facts = await read_case(house.pool, house.vault, house.letters.trust, case_id)
    known = row.step.name in INSTRUCTIONS
    text = await house.letters.instructions(case_id, step_id) if known else row.step.waiting_for
    made = Desk(who, detail, row, facts, read_instructions(text))
    for kind in (*row.step.kinds, ActKind.CLAIM.value):
        shown = await who.client.show(case_id, step_id, kind)
        made.subjects[kind] = shown.subject
        if kind in row.step.kinds:
            made.barred[kind] = shown.code
    return made


@pages.get("/cases/{case_id:path}/steps/{step_id}/findings.csv")
async def findings_csv(who: Who, case_id: str, step_id: str) -> Response:
    made = await desk(who, case_id, step_id)
    name = f"findings-{digest(case_id)[:8]}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(table.written_csv(await _rows(made)), headers=headers, media_type="text/csv; charset=utf-8")


@pages.get("/cases/{case_id:path}/steps/{step_id}")
async def show(who: Who, case_id: str, step_id: str, saved: str = "") -> Response:
    return await render(await desk(who, case_id, step_id), saved=saved)


@pages.get("/cases/{case_id:path}/steps/{step_id}/panel")
async def panel(who: Who, case_id: str, step_id: str) -> Response:
    """What My work shows below a step: the instructions, why it is due then, and there it is done."""
    made = await desk(who, case_id, step_id)
    shown = await _extras(made, {"rows": None}) if made.in_place else await _shown(made)
    return page("panel.html", who, desk=made, back="work", **_BLANK, **shown)


@pages.post("/cases/{case_id:path}/steps/{step_id}")
async def act(who: Who, sent: Form, case_id: str, step_id: str) -> Response:
    made = await desk(who, case_id, step_id)
    kind = text_of(sent, "kind")
    try:
        if kind.startswith("table."):
            return await _table(made, sent, kind.removeprefix("table."))
        if who.must_sign_in_again(kind):
            return _sign_in_first(made)
        return _answered(made, kind, await _decide(made, kind, sent), back=text_of(sent, "back"))
    except Refused as error:
        return await render(made, status=409, complaint=str(error), given=dict(_strings(sent)))


_BLANK: dict[str, Any] = {"saved": "", "complaint": "", "given": dict[str, str]()}


async def render(made: Desk, status: int = 200, **more: Any) -> Response:
    """The page of a step, with what is asked for by its kinds."""
    values: dict[str, Any] = _BLANK | {"rows": None, "reply": None} | more
    values["back"] = values["given"].get("back", "")
    values |= await _extras(made, values)
    return page(_template(made), made.who, status, desk=made, **values)


def _template(made: Desk) -> str:
    if ActKind.FINDINGS in made.kinds:
        return "findings.html"
    return "approval.html" if ActKind.APPROVE in made.kinds else "step.html"


async def _extras(made: Desk, values: Mapping[str, Any]) -> dict[str, Any]:
    house = made.who.house
    found = await _shown(made)
    found["letters_in"] = await came_in(house, made.case_id)
    found["clients"] = await house.pages.clients() if ActKind.TRIAGE in made.kinds else []
    found["preview"] = await house.letters.preview(made.case_id) if made.facts.findings.findings else None
    found["found"] = await _found(made)
    if ActKind.FINDINGS in made.kinds:
        rows: Sequence[table.Row] = values["rows"] or await _rows(made)
        known = await house.pages.evidence_named(made.case_id, [sha for row in rows for sha in row.evidence])
        found |= {"rows": rows, "evidence": table.evidence_of(rows, known), "reasons": table.REASONS}
        found |= {"accepted": ACCEPTED, "chat_link": house.settings.chat_transcript_address}
    if ActKind.APPROVE in made.kinds:
        found |= await _approval(made)
    return found


async def _shown(made: Desk) -> dict[str, Any]:
    """What is shown of every step, on its own page and on My work."""
    house, row = made.who.house, made.row
    names = await house.pages.names()
    is_request = made.detail.row.kind == DEPARTMENT_REQUEST
    return {
        "names": names,
        "people": await house.pages.people(),
        "said": made.facts.said,
        "why_then": await _why_then(made, names) if made.open else (),
        "effect": next((one for one in made.detail.effects if one.key == row.step.reference), None),
        "request": await house.requests.of(made.case_id) if is_request else None,
        "departments": await house.directory.entries() if ActKind.ROUTED in made.kinds else (),
        "decides": await _decides(made),
    }


async def _decides(made: Desk) -> Asked | None:
    """Who decides an approval that nobody has taken; None of all other steps."""
    step = made.row.step
    free = made.open and step.owner == Role.APPROVER
    return await made.who.house.pages.asked_to_approve(made.case_id) if free else None


async def _why_then(made: Desk, names: Mapping[str, str]) -> tuple[str, ...]:
    """The step's deadline, stretch by stretch."""
    told = await made.who.client.clocks(made.case_id)
    one = next((one for one in told if one.name == made.step_id), None)
    return in_words(one, LONDON, names) if one else ()


async def _found(made: Desk) -> list[dict[str, Any]]:
    """The valid leads as they were found: who, why, and what supports it."""
    by_lead = {one.lead_id: one for one in made.facts.findings.findings}
    leads = valid_leads(made.facts.leads, made.facts.findings, made.facts.reductions)
    shown = [by_lead[lead.lead_id] for lead in leads]
    texts = await made.who.house.pages.texts(made.case_id, [one.text_sha256 for one in shown])
    shas = [sha for one in shown for sha in one.evidence]
    evidence = await made.who.house.pages.evidence_named(made.case_id, shas)
    return [
        {
            "lead_id": one.lead_id,
            "reason": table.REASONS[one.reason],
            "text": texts.get(one.text_sha256, ""),
            "evidence": [evidence[sha] for sha in one.evidence if sha in evidence],
            "billing": next(lead.billing for lead in leads if lead.lead_id == one.lead_id),
        }
        for one in shown
    ]


async def _approval(made: Desk) -> dict[str, Any]:
    """What the approver sees beside the lines: who investigated, why he is asked, and what becomes of it."""
    acts, lines = await made.who.house.pages.acts(made.case_id), made.subject.lines
    invoices = dict.fromkeys(line.invoice_number for line in lines if line.invoice_number)
    return {
        "asked_by": [one for one in acts if one.row.kind == ActKind.FINDINGS and one.standing],
        "asking": made.subject.asking,
        "worth": worth(lines),
        "not_charged": [line.lead_id for line in lines if not line.invoice_number],
        "credits": {one: [line for line in lines if line.invoice_number == one] for one in invoices},
        "foreign": any(line.currency != "GBP" for line in lines),
    }


def worth(lines: Sequence[SubjectLine]) -> str:
    """What is approved, as its lines say it: one amount a currency, and how many leads have none."""
    sums: dict[Currency, Decimal] = {}
    for line in lines:
        if line.gross is not None:
            sums[line.currency] = sums.get(line.currency, Decimal(0)) + line.gross
    said = [money(total, currency) for currency, total in sums.items()]
    if unpriced := sum(line.gross is None for line in lines):
        said.append(f"{unpriced} lead{'' if unpriced == 1 else 's'} without a price")
    return " and ".join(said)


async def _rows(made: Desk) -> list[table.Row]:
    lines = made.subjects[ActKind.FINDINGS].lines
    draft = await made.who.client.drafted(made.case_id, made.step_id)
    return table.drafted_rows(lines, draft, await made.who.house.pages.chats([line.lead_id for line in lines]))


async def _table(made: Desk, sent: FormData, what: str) -> Response:
    """Saves the table, or previews it, or hands it in. What was typed is never lost to a refusal."""
    rows = await _rows(made)
    table.posted_rows(rows, sent)
    if what == "csv":
        table.read_csv(await table.uploaded_csv(sent), rows)
    await table.keep_rows(made.who, made.case_id, made.step_id, rows)
    wrong = any(row.problem for row in rows)
    if what == "autosave":
        return page("autosaved.html", made.who, rows=rows)
    if what == "preview" and not wrong:
        return await render(made, rows=rows, reply=await _reply(made, rows))
    if what == "hand-in" and not wrong:
        return await _hand_in(made, rows, text_of(sent, "back"))
    if wrong:
        words = "Some rows could not be kept; each says why."
        return await render(made, status=422, rows=rows, complaint=words)
    return RedirectResponse(f"{made.url}?saved=yes", 303)


async def _reply(made: Desk, rows: Sequence[table.Row]) -> str:
    """The letter that the client would read, "" as long as nothing was found out."""
    findings, texts = table.findings_of(rows)
    return await made.who.house.letters.drafted(made.case_id, findings, texts) if findings.findings else ""


async def _hand_in(made: Desk, rows: Sequence[table.Row], back: str) -> Response:
    if missing := [row.lead_id for row in rows if not row.done]:
        words = f"Not yet: {', '.join(missing)} {'has' if len(missing) == 1 else 'have'} no verdict and reason."
        return await render(made, status=422, rows=rows, complaint=words)
    if made.who.must_sign_in_again(ActKind.FINDINGS):
        return _sign_in_first(made)
    try:
        done = await made.who.client.hand_in(made.case_id, made.step_id)
    except Refused as error:
        return await render(made, status=409, rows=rows, complaint=str(error))
    return _answered(made, ActKind.FINDINGS, done, back)


async def _decide(made: Desk, kind: str, sent: FormData) -> Acted:
    """Signs what was shown, or nothing: if it was changed since, it is shown again."""
    if kind not in {*made.kinds, *OWNERSHIP}:
        raise refuse("kind-not-asked")
    if kind == ActKind.CONFIRM:
        await _as_shown(made, sent)
    shown = "" if kind in OWNERSHIP else text_of(sent, "subject")
    if not shown and kind not in OWNERSHIP:
        raise refuse("subject-changed")
    return await made.who.client.act(made.case_id, made.step_id, kind, _payload(made, kind, sent), shown=shown)


async def _as_shown(made: Desk, sent: FormData) -> None:
    preview = await made.who.house.letters.preview(made.case_id)
    if preview.sha256 != text_of(sent, "preview_sha256"):
        raise refuse("subject-changed")


def _payload(made: Desk, kind: str, sent: FormData) -> dict[str, Any]:
    """The result that a form describes; the gateway reads it strictly."""
    match kind:
        case ActKind.REDUCE:
            return {"leads": _worded(made, sent)}
        case ActKind.TRIAGE:
            return _triage(sent)
        case ActKind.MOVE:
            return {"due": _due(text_of(sent, "due")), "reason": text_of(sent, "reason")}
        case ActKind.MARK:
            leads = [one for one in sent.getlist("lead") if isinstance(one, str)]
            return {"mark": text_of(sent, "mark"), "lead_ids": leads, "note": text_of(sent, "note")}
        case ActKind.DECIDED:
            return _final(made, sent)
        case ActKind.ESTIMATED:
            return _estimate(text_of(sent, "hours"), text_of(sent, "on"))
        case _:
            return {name: text_of(sent, name) for name in _FIELDS.get(kind, ("note",))}


_REASON = ("reason",)
_FIELDS: dict[str, tuple[str, ...]] = {
    ActKind.CLAIM: (),
    ActKind.RELEASE: (),
    ActKind.REASSIGN: ("to",),
    ActKind.ROUTED: ("department",),
    ActKind.CONFIRM: ("preview_sha256",),
    ActKind.AUTHORISE: _REASON,
    ActKind.DECLINE: _REASON,
    ActKind.APPROVE: _REASON,
    ActKind.REJECT: _REASON,
    ActKind.ASK_BACK: _REASON,
    ActKind.WITHDRAW: _REASON,
}


def _worded(made: Desk, sent: FormData) -> list[dict[str, str]]:
    chosen = {one for one in sent.getlist("lead") if isinstance(one, str)}
    leads = [line.lead_id for line in made.subject.lines if line.lead_id in chosen]
    return [{"lead_id": lead, "text": text_of(sent, f"text:{lead}")} for lead in leads]


def _triage(sent: FormData) -> dict[str, Any]:
    if text_of(sent, "accept") != "yes":
        return {"accept": False}
    leads = [one.strip() for one in text_of(sent, "leads").replace("\n", ",").split(",") if one.strip()]
    return {"accept": True, "client_id": text_of(sent, "client"), "lead_ids": leads}


def _final(made: Desk, sent: FormData) -> dict[str, Any]:
    """RL-10: each disputed lead is overturned (a finding of its own) or upheld."""
    overturned: list[dict[str, Any]] = []
    upheld: list[dict[str, Any]] = []
    for lead in made.row.step.reference.split():
        text = text_of(sent, f"text:{lead}")
        if text_of(sent, f"final:{lead}") == "overturned":
            reason = text_of(sent, f"reason:{lead}")
            overturned.append({"lead_id": lead, "verdict": "valid", "reason": reason, "text": text})
        else:
            upheld.append({"lead_id": lead, "text": text})
    return {"overturned": overturned, "upheld": upheld}


def _estimate(hours: str, day: str) -> dict[str, Any]:
    """ID-5: hours, or a day. Raises Refused."""
    if bool(hours) == bool(day):
        raise Refused("estimate-unclear", "Give hours, or a day, one of the two.")
    if hours and not (hours.isdecimal() and int(hours) > 0):
        raise Refused("estimate-unclear", "Give whole hours, 1 or more.")
    return {"hours": int(hours) if hours else 0, "on": day or None}


def _due(given: str) -> str:
    """The browser's own form of a moment, London time. Raises Refused."""
    try:
        return datetime.fromisoformat(given).replace(tzinfo=LONDON).isoformat()
    except ValueError:
        raise Refused("bad-moment", "Choose the new day and time.") from None


def _answered(made: Desk, kind: str, done: Acted, back: str = "") -> Response:
    """After a POST always another page, so that a reload sends nothing again. `back` "work": to My work."""
    if done.state == "refused":
        raise Refused(done.code, done.sentence)
    here, jti = case_url(made.case_id), done.jti
    if back == "work":
        said = f"?case={quote(made.case_id, safe='')}&act={jti}"
        return RedirectResponse("/" if kind in OWNERSHIP else f"/{said}", 303)
    if kind in OWNERSHIP:
        return RedirectResponse(made.url, 303)
    proof = kind in _SHOWS_PROOF and done.state == "accepted"
    return RedirectResponse(f"{here}/acts/{jti}" if proof else f"{here}?act={jti}", 303)


def _sign_in_first(made: Desk) -> Response:
    return page("again.html", made.who, 401, target=made.url, link=sign_in_url(made.url, again=True))


def _strings(sent: FormData) -> list[tuple[str, str]]:
    return [(name, value) for name, value in sent.multi_items() if isinstance(value, str) and name != "csrf"]
