"""Judging what a person signed: pure checks, each with a stable word for machines and a sentence for people.

The signature is checked over the received bytes before anything is parsed; keys are the adapters' business (`Keys`).
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Protocol, cast

from pydantic import ValidationError

from domain import api_keys
from domain.case import Model
from domain.department_request import Estimate, Routed
from domain.errors import Refused
from domain.messages import ACT_DOMAIN, MOST_ACT_BYTES, ActBody, ActKind, Auth, SignedAct
from domain.orders import PolicyOrder, PricesOrder, RatesOrder, StandInOrder
from domain.people import Identity, Role
from domain.return_lead import (
    Authorisation,
    Claimed,
    Confirmation,
    Decision,
    FinalDecision,
    Findings,
    Mark,
    Move,
    Reassignment,
    Reduction,
    StepResult,
    Triage,
    Verdict,
)
from domain.rules.authority import ACT_RULES, MONEY_LOGIN, ORDERS, may_sign
from domain.texts import canonical, digest

MOST_PAYLOAD_BYTES = MOST_ACT_BYTES * 8
MONEY_LIFETIME = MONEY_LOGIN
LIFETIME = timedelta(hours=24)
FURTHEST_MOVE = timedelta(days=90)
MONEY_ROLES = frozenset({Role.ACCOUNTS.value, Role.APPROVER.value, Role.PARTNER.value})

OWNERSHIP = frozenset({ActKind.CLAIM, ActKind.RELEASE, ActKind.REASSIGN, ActKind.MOVE})
"""Kinds that any open step takes: they change whose it is or until when, and don't end it."""
DECISIONS = frozenset({ActKind.APPROVE, ActKind.REJECT, ActKind.ASK_BACK})
"""What an approval step asks for. WITHDRAW is taken beside whatever step is open, and ends none."""

PAYLOADS: dict[ActKind, type[Model]] = {
    ActKind.CLAIM: Claimed,
    ActKind.RELEASE: Claimed,
    ActKind.REASSIGN: Reassignment,
    ActKind.MOVE: Move,
    ActKind.DONE: StepResult,
    ActKind.WAIVE: StepResult,
    ActKind.RESEND: StepResult,
    ActKind.TRIAGE: Triage,
    ActKind.FINDINGS: Findings,
    ActKind.CONFIRM: Confirmation,
    ActKind.REDUCE: Reduction,
    ActKind.TAKEN_OFF: StepResult,
    ActKind.AUTHORISE: Authorisation,
    ActKind.DECLINE: Authorisation,
    ActKind.ALLOCATED: StepResult,
    ActKind.APPROVE: Decision,
    ActKind.REJECT: Decision,
    ActKind.ASK_BACK: Decision,
    ActKind.WITHDRAW: Decision,
    ActKind.MARK: Mark,
    ActKind.DECIDED: FinalDecision,
    ActKind.ROUTED: Routed,
    ActKind.ESTIMATED: Estimate,
    ActKind.PROCESSED: StepResult,
    ActKind.SET_POLICY: PolicyOrder,
    ActKind.IMPORT_RATES: RatesOrder,
    ActKind.SET_PRICES: PricesOrder,
    ActKind.SET_STAND_IN: StandInOrder,
}

SUBJECTS: dict[ActKind, str] = {
    ActKind.FINDINGS: "all",
    ActKind.CONFIRM: "valid",
    ActKind.REDUCE: "open",
    ActKind.AUTHORISE: "issued",
    ActKind.DECLINE: "issued",
    ActKind.ALLOCATED: "issued",
    ActKind.APPROVE: "approval",
    ActKind.REJECT: "approval",
    ActKind.ASK_BACK: "approval",
    ActKind.DECIDED: "refused",
}
"""Which set of the case a kind is about, whatever the workflow says. All others are about their step.

An approval can be withdrawn whatever became of its lines since: a withdrawal is about its step.
"""

REFUSALS: dict[str, str] = {
    "unsigned": "It carries no signature. Nothing is decided by a signal alone: do it from Holdfast, signed in.",
    "bad-signature": "Its signature does not fit its content: it was changed on the way, or made by somebody else.",
    "unknown-key": "It was signed with a key this deployment does not know.",
    "retired-key": "It was signed with a key that has been retired. Do it again: it will be signed with the new one.",
    "too-large": "It is larger than an act may be.",
    "malformed": "What was signed is not an act in its one exact form.",
    "wrong-deployment": "It was signed for another deployment of Holdfast.",
    "wrong-case": "It was signed for another case.",
    "wrong-workflow": "It was signed for another cycle of this case.",
    "no-such-step": "The step it was signed for is not open in this case.",
    "step-already-done": "The step is already done: somebody was faster.",
    "kind-not-asked": "This step does not ask for that kind of answer.",
    "unknown-kind": "There is no such kind of act.",
    "money-needs-a-person": "This step can let money go: a person who signs in ends it, never a program.",
    "auth-not-allowed": "Who signed in this way may not sign that kind of act.",
    "acting-for-not-allowed": "Nobody can sign this on behalf of another.",
    "payload-changed": "The result was changed after it was signed.",
    "payload-malformed": "The result is not of the documented form.",
    "subject-changed": "What this decides about was changed since it was shown. Look again and decide anew.",
    "issued-in-the-future": "It says it was signed at a time that has not come yet.",
    "expired": "It arrived too late after it was signed. Do it again.",
    "lives-too-long": "It was signed to be valid for longer than acts may be.",
    "login-too-old": "Whoever signed had signed in more than 15 minutes before. Sign in again and repeat it.",
    "unknown-person": "Whoever signed is not known here, or no longer active.",
    "not-asked": "Whoever signed is not one of those this step asks.",
    "belongs-to-another": "The step belongs to somebody else: it has to be released or reassigned first.",
    "not-claimed": "The step belongs to nobody: there is nothing to release.",
    "unknown-assignee": "The step can't be given to that person: unknown, not active, or not one of those it asks.",
    "may-not-confirm": "An approver can't also confirm to Accounts.",
    "may-not-authorise": "Whoever investigated or confirmed, or is an approver, can't authorise the credit note.",
    "may-not-approve": "Whoever asked for it, investigated or confirmed it, or gains by it, can't decide about it.",
    "above-the-ceiling": "It is above the ceiling of whoever stands in: only the approver decides.",
    "reason-missing": "It needs a reason. The reason stays internal.",
    "nothing-to-withdraw": "There is no approval in this case that could be withdrawn.",
    "already-carried-out": "What was approved has been carried out: it can't be withdrawn any more.",
    "not-a-setter": "Limits, prices, rates and stand-ins are set by the approver or a partner only.",
    "involved": "Whoever has a hand in an open case, or gains by it, can't set this.",
    "unknown-policy": "There is no such setting of the rules that could be set.",
    "prices-do-not-fit": "Each lead has one price, and must be known here.",
    "rates-do-not-fit": "Each currency has one rate a day, newer than those before it and not of the future.",
    "backdated": "Nobody stands in for a time that is over.",
    "not-an-approver": "There is no such approver to stand in for.",
    "jti-reused": "Its number was already used for another act.",
    "result-refused": "The result can't be taken as it is.",
    "leads-do-not-fit": "The result must name each lead it decides about exactly once, and no other.",
    "evidence-malformed": "Evidence is named by its SHA-256, 64 hex digits.",
    "due-out-of-range": "A deadline can be moved to a time from now on, at most 90 days ahead.",
}

_SHA256 = re.compile(r"[0-9a-f]{64}")
_KID = re.compile(rb'"kid":"([A-Za-z0-9_.-]{1,64})"')


@dataclass(frozen=True)
class Proof:
    """The key that made a signature. `retired_at`: whole seconds since 1970, None while the key is active."""

    kid: str
    retired_at: int | None = None


class Keys(Protocol):
    """The ring of public keys."""

    def prove(self, message: bytes, signature: str) -> Proof | None:
        """Which key made this signature over these bytes; None if no known one did."""
        ...

    def knows(self, kid: str) -> bool: ...


@dataclass(frozen=True)
class Opened:
    """An act whose signature was found good, parsed."""

    act: SignedAct
    body: ActBody
    result: Model
    retired_at: int | None = None

    @property
    def kind(self) -> ActKind:
        return ActKind(self.body.kind)


@dataclass(frozen=True)
class Asked:
    """The open step an act is judged against. `now`: database time, whole seconds since 1970."""

    deployment: str
    case_id: str
    workflow_id: str
    step_id: str
    kinds: tuple[str, ...]
    role: str
    now: int
    local_counts: bool


@dataclass(frozen=True)
class Actor:
    """A known, active person. Money roles are those of the money worker's own list, at this moment."""

    person_id: str
    identity: Identity
    roles: frozenset[str] = frozenset()
    manages: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Authority:
    """That somebody may decide as the approver. `ceiling_gbp` is a stand-in's own; None: no ceiling."""

    ceiling_gbp: Decimal | None = None

    def reaches(self, sum_gbp: Decimal | None) -> bool:
        return self.ceiling_gbp is None or (sum_gbp is not None and sum_gbp <= self.ceiling_gbp)


@dataclass(frozen=True)
class Ownership:
    """Whose a step is. `covers`: who does its owner's work today, where that is somebody else; never for money."""

    claimed_by: str = ""
    reassigned_to: str = ""
    covers: tuple[str, ...] = ()

    @property
    def owner(self) -> str:
        return self.claimed_by or self.reassigned_to

    def is_theirs(self, person_id: str) -> bool:
        return person_id == self.owner or person_id in self.covers


@dataclass(frozen=True)
class Past:
    """Who already had a hand in the case, by stored acts that prove themselves."""

    investigators: frozenset[Identity] = field(default_factory=frozenset[Identity])
    confirmers: frozenset[Identity] = field(default_factory=frozenset[Identity])
    approvers: frozenset[Identity] = field(default_factory=frozenset[Identity])
    requesters: frozenset[Identity] = field(default_factory=frozenset[Identity])  # the client's side, or who took it in


def sentence(code: str) -> str:
    """What a refusal code means, for people."""
    return REFUSALS.get(code, "It was refused.")


def refuse(code: str) -> Refused:
    return Refused(code, sentence(code))


def fingerprint(act: SignedAct) -> str:
    """SHA-256 over everything that arrived: names an act in refusals without keeping its content."""
    return digest(f"{act.body}\n{act.payload}\n{act.signature}".encode(errors="surrogatepass"))


def prove(act: SignedAct, keys: Keys) -> Proof:
    """The proof of an act's signature, over its bytes as received. Raises Refused; nothing is parsed before."""
    raw = _raw(act.body, MOST_ACT_BYTES)
    if not act.signature:
        raise refuse("unsigned")
    proof = keys.prove(ACT_DOMAIN + raw, act.signature)
    if proof is None:
        claimed = _KID.search(raw)
        known = claimed is None or keys.knows(claimed.group(1).decode())
        raise refuse("bad-signature" if known else "unknown-key")
    return proof


def open_act(act: SignedAct, keys: Keys) -> Opened:
    """The act, if its signature is good and every byte is as it must be. Raises Refused."""
    proof = prove(act, keys)
    body = parse_body(act.body)
    if body.kid != proof.kid:
        raise refuse("bad-signature")
    if body.kind not in ACT_RULES or body.kind not in PAYLOADS:
        raise refuse("unknown-kind")
    if digest(_raw(act.payload, MOST_PAYLOAD_BYTES)) != body.payload_sha256:
        raise refuse("payload-changed")
    return Opened(act, body, parse_payload(ActKind(body.kind), act.payload), proof.retired_at)


def parse_body(text: str) -> ActBody:
    """A body in its one exact form: canonical, every key once, none unknown. Raises Refused `malformed`."""
    _only_once(text, "malformed")
    try:
        body = ActBody.model_validate_json(text)
    except ValidationError:
        raise refuse("malformed") from None
    if canonical(body.model_dump(mode="json")) != text:
        raise refuse("malformed")
    return body


def parse_payload(kind: ActKind, text: str) -> Model:
    """A result in its one exact form. Raises Refused `payload-malformed`."""
    _only_once(text, "payload-malformed")
    try:
        result = PAYLOADS[kind].model_validate_json(text)
    except ValidationError:
        raise refuse("payload-malformed") from None
    if canonical(result.model_dump(mode="json")) != text:
        raise refuse("payload-malformed")
    return result


def written(result: Model) -> str:
    """A result in its one exact form, as a signed act carries it."""
    return canonical(result.model_dump(mode="json"))


def subject_name(kind: ActKind) -> str:
    return SUBJECTS.get(kind, "step")


def lifetime(kind: ActKind) -> timedelta:
    """How long after signing an act may still be accepted."""
    return MONEY_LIFETIME if ACT_RULES[kind].money and kind is not ActKind.WITHDRAW else LIFETIME


def refusal(opened: Opened, asked: Asked, subject_sha256: str) -> str:
    """Why an act can't be taken, as far as that does not depend on who signed; "" if it can."""
    return (
        _misaddressed(opened.body, asked)
        or _not_asked_for(opened.body, asked)
        or _untimely(opened, asked)
        or ("subject-changed" if opened.body.subject_sha256 != subject_sha256 else "")
    )


def entitlement(kind: ActKind, actor: Actor, role: str, own: Ownership, past: Past) -> str:
    """Why this person may not do this now; "" if they may."""
    rule = ACT_RULES[kind]
    asked_of = rule.role.value if rule.role else role
    given = not rule.money and bool(own.reassigned_to) and own.is_theirs(actor.person_id)
    manages = kind in OWNERSHIP and asked_of in actor.manages
    anyone = rule.anyone and actor.identity.issuer != api_keys.ISSUER
    if asked_of not in actor.roles and not given and not manages and not anyone:
        return "not-asked"
    if asked_of in MONEY_ROLES and kind not in OWNERSHIP:
        own = replace(own, covers=())  # who stands in for money is a signed order, never the directory
    return _not_theirs(kind, actor, role, own) or excluded(kind, actor.identity, actor.roles, past)


def excluded(kind: ActKind, who: Identity, roles: frozenset[str], past: Past) -> str:
    """Who had a hand in a case can't also let its money go (four eyes); "" if that is not so."""
    approver = Role.APPROVER.value in roles
    match kind:
        case ActKind.CONFIRM if approver or who in past.approvers:
            return "may-not-confirm"
        case ActKind.AUTHORISE if approver or who in past.investigators | past.confirmers | past.approvers:
            return "may-not-authorise"
        case ActKind.APPROVE | ActKind.REJECT if who in past.investigators | past.confirmers | past.requesters:
            return "may-not-approve"
        case _:
            return ""


def unreasoned(opened: Opened) -> str:
    """A rejection and a question back are nothing without their words (RL-14)."""
    wordless = opened.kind in {ActKind.REJECT, ActKind.ASK_BACK}
    reason = getattr(opened.result, "reason_sha256", "")
    return "reason-missing" if wordless and not _SHA256.fullmatch(reason) else ""


def beyond(kind: ActKind, authority: Authority | None, sum_gbp: Decimal | None) -> str:
    """Why this is not for whoever stands in to decide; "" if it is."""
    decides = kind in {ActKind.APPROVE, ActKind.REJECT}
    return "above-the-ceiling" if decides and authority and not authority.reaches(sum_gbp) else ""


def unfit(result: Model, leads: Sequence[str], now: int) -> str:
    """Why a result does not fit what it is about; "" if it does. `leads`: those of its subject, in order."""
    match result:
        case Findings(findings=findings):
            named = [one.lead_id for one in findings]
            if sorted(named) != sorted(leads):
                return "leads-do-not-fit"
            return (
                ""
                if all(_SHA256.fullmatch(each) for one in findings for each in one.evidence)
                else "evidence-malformed"
            )
        case Reduction(leads=withdrawn):
            return _unnamed([one.lead_id for one in withdrawn], leads)
        case FinalDecision(overturned=overturned, upheld=upheld):
            named = [one.lead_id for one in (*overturned, *upheld)]
            if any(one.verdict is not Verdict.VALID for one in overturned):
                return "leads-do-not-fit"
            proven = all(_SHA256.fullmatch(each) for one in overturned for each in one.evidence)
            return _unnamed(named, leads) or ("" if proven else "evidence-malformed")
        case Move(due=due):
            ahead = due.timestamp() - now if due.tzinfo else -1
            return "" if 0 <= ahead <= FURTHEST_MOVE.total_seconds() else "due-out-of-range"
        case _:
            return ""


def _unnamed(named: Sequence[str], leads: Sequence[str]) -> str:
    fits = named and len(set(named)) == len(named) and set(named) <= set(leads)
    return "" if fits else "leads-do-not-fit"


def changed(opened: Opened, person_id: str, own: Ownership) -> Ownership:
    """Whose the step is after this act of that person."""
    match opened.kind:
        case ActKind.CLAIM:
            return Ownership(claimed_by=person_id)
        case ActKind.RELEASE:
            return Ownership()
        case ActKind.REASSIGN:
            return Ownership(reassigned_to=cast("Reassignment", opened.result).to)
        case _:
            return own


def _misaddressed(body: ActBody, asked: Asked) -> str:
    if body.deployment != asked.deployment:
        return "wrong-deployment"
    if body.case_id != asked.case_id:
        return "wrong-case"
    if body.workflow_id != asked.workflow_id:
        return "wrong-workflow"
    return "no-such-step" if not asked.step_id or body.step_id != asked.step_id else ""


def _not_asked_for(body: ActBody, asked: Asked) -> str:
    if code := may_sign(body.kind, body.auth, local_counts=asked.local_counts):
        return code
    if (body.actor.issuer == api_keys.ISSUER) != (body.auth == Auth.API_KEY):
        return "auth-not-allowed"
    if code := barred_to_machines(body.kind, body.auth, asked.kinds):
        return code
    if body.acting_for:
        return "acting-for-not-allowed"
    asked_for = body.kind in asked.kinds and body.kind not in ORDERS
    return "" if asked_for or body.kind in OWNERSHIP else "kind-not-asked"


def barred_to_machines(kind: str, auth: str, kinds: Sequence[str]) -> str:
    """A step that can let money go is ended by people only, whatever kind ends it; "" if it may be so.

    `kinds`: those that the step asks for.
    """
    about_money = any(one in ACT_RULES and ACT_RULES[ActKind(one)].money for one in kinds)
    machine = auth in {Auth.API_KEY, Auth.WEBHOOK}
    return "money-needs-a-person" if machine and about_money and kind not in OWNERSHIP else ""


def _untimely(opened: Opened, asked: Asked) -> str:
    if opened.retired_at is not None:
        return "retired-key"
    return untimely(opened.body, asked.now)


def untimely(body: ActBody, now: int) -> str:
    """Why a body can't be accepted at `now` (whole seconds since 1970); "" if it can."""
    longest = int(lifetime(ActKind(body.kind)).total_seconds())
    if body.iat > now or body.auth_time > body.iat:
        return "issued-in-the-future"
    if body.exp - body.iat > longest:
        return "lives-too-long"
    if now > body.exp:
        return "expired"
    # A withdrawal that waited for a worker to come back still counts: only its login must have been fresh.
    at = body.iat if body.kind == ActKind.WITHDRAW else now
    stale = ACT_RULES[ActKind(body.kind)].money and at - body.auth_time > MONEY_LOGIN.total_seconds()
    return "login-too-old" if stale else ""


def _not_theirs(kind: ActKind, actor: Actor, role: str, own: Ownership) -> str:
    theirs = not own.owner or own.is_theirs(actor.person_id)
    manages = role in actor.manages
    match kind:
        case ActKind.CLAIM:
            return "" if not own.claimed_by or own.is_theirs(actor.person_id) else "belongs-to-another"
        case ActKind.RELEASE if not own.owner:
            return "not-claimed"
        case ActKind.RELEASE | ActKind.REASSIGN | ActKind.MOVE:
            return "" if theirs or manages else "belongs-to-another"
        case _:
            return "" if theirs else "belongs-to-another"


def _only_once(text: str, code: str) -> None:
    """Refuses a JSON object that names a key twice (which one counts would be the reader's guess), and NUL in it."""

    def pairs(found: list[tuple[str, object]]) -> dict[str, object]:
        made = dict(found)
        if len(made) != len(found):
            raise refuse(code)
        return made

    if "\\u0000" in text:  # canonical JSON escapes it; no table takes it
        raise refuse(code)
    try:
        json.loads(text, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        raise refuse(code) from None


def _raw(text: str, most: int) -> bytes:
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        raise refuse("malformed") from None
    if len(raw) > most:
        raise refuse("too-large")
    return raw
