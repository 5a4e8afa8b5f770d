"""What a person may hand in for each kind of act, checked strictly at the door, and the result that is signed for it.

Human texts stay out of what is signed: it holds their SHA-256, the texts are kept sealed.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from domain.case import Model
from domain.department_request import Estimate, Routed
from domain.errors import Refused
from domain.mail import lead_id
from domain.messages import ActKind
from domain.money import Amount, Currency, Money
from domain.orders import PolicyOrder, PriceIn, PricesOrder, RateIn, RatesOrder, StandInOrder, VatBasis
from domain.people import Identity
from domain.return_lead import (
    Authorisation,
    Claimed,
    Confirmation,
    Decision,
    FinalDecision,
    Finding,
    Findings,
    Mark,
    Move,
    Reason,
    Reassignment,
    Reduction,
    ReplyMark,
    StepResult,
    Triage,
    Verdict,
    Withdrawal,
)
from domain.rules.acts import MOST_PAYLOAD_BYTES, refuse, written
from domain.texts import clean, digest

SHORTEST_REASON = 20
MOST_LEADS = 2_000
_SAYS_NOTHING = re.compile(
    r"\b(this|that|the|a|lead|is|was|are|it|its|it's|not|isn't|in|no|so|valid|invalid|sorry|return)\b"
)
_WORD = re.compile(r"\w")


class Given:
    """A result and the human texts it names by their SHA-256."""

    def __init__(self, result: Model, texts: Sequence[str] = (), evidence: Sequence[str] = ()) -> None:
        self.result, self.texts, self.evidence = result, tuple(texts), tuple(evidence)


def read_result(kind: ActKind, payload: Mapping[str, Any]) -> Given:
    """The result in a payload from outside. Raises Refused: `invalid-result`, `reason-too-thin`, those of `clean`."""
    if kind not in _READERS:
        raise refuse("unknown-kind")
    try:
        given = _READERS[kind](payload)
    except ValidationError as error:
        raise Refused("invalid-result", _sentence(error)) from None
    if len(written(given.result).encode()) > MOST_PAYLOAD_BYTES:
        raise refuse("too-large")
    return given


def read_finding(payload: Mapping[str, Any]) -> "FindingIn":
    """One lead's finding, for a draft. Raises Refused."""
    try:
        found = FindingIn.model_validate(dict(payload))
    except ValidationError as error:
        raise Refused("invalid-result", _sentence(error)) from None
    return found.model_copy(update={"text": _reason(found.lead_id, found.text, found.verdict)})


def _word(value: object) -> object:
    return re.sub(r"[\s_]+", "-", value.strip().casefold()) if isinstance(value, str) else value


def _lead(value: object) -> object:
    found = lead_id(value) if isinstance(value, str) else ""
    if not found:
        raise ValueError("a lead id looks like L-1001")
    return found


LeadId = Annotated[str, BeforeValidator(_lead)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FindingIn(_Strict):
    """`text` is what the client reads. `evidence` names what was uploaded before, by SHA-256."""

    lead_id: LeadId
    verdict: Annotated[Verdict, BeforeValidator(_word)]
    reason: Annotated[Reason, BeforeValidator(_word)]
    text: str = ""
    evidence: tuple[Sha256, ...] = Field(default=(), max_length=20)


class FindingsIn(_Strict):
    findings: tuple[FindingIn, ...] = Field(min_length=1, max_length=MOST_LEADS)


class WithdrawalIn(_Strict):
    lead_id: LeadId
    text: str


class ReductionIn(_Strict):
    leads: tuple[WithdrawalIn, ...] = Field(min_length=1, max_length=MOST_LEADS)


class ConfirmationIn(_Strict):
    preview_sha256: Sha256


class NoteIn(_Strict):
    note: str = ""


class ReasonIn(_Strict):
    reason: str = ""


class NothingIn(_Strict):
    pass


class ReassignmentIn(_Strict):
    to: str = Field(min_length=1, max_length=200)


class MoveIn(_Strict):
    due: AwareDatetime
    reason: str


class TriageIn(_Strict):
    accept: bool
    client_id: str = Field(default="", max_length=200)
    lead_ids: tuple[LeadId, ...] = Field(default=(), max_length=MOST_LEADS)


class PolicyIn(_Strict):
    name: str = Field(min_length=1, max_length=100)
    value: Money | VatBasis


class RateGiven(_Strict):
    currency: Currency
    on: date
    gbp: Annotated[Decimal, Field(gt=0, lt=1000, max_digits=14, decimal_places=8)]


class RatesIn(_Strict):
    rates: tuple[RateGiven, ...] = Field(min_length=1, max_length=100)


class PriceGiven(_Strict):
    lead_id: LeadId
    price: Amount
    currency: Currency = "GBP"


class PricesIn(_Strict):
    prices: tuple[PriceGiven, ...] = Field(min_length=1, max_length=MOST_LEADS)


class StandInIn(_Strict):
    approver: Identity
    stand_in: Identity
    starts: date
    ends: date
    ceiling_gbp: Amount


class MarkIn(_Strict):
    mark: Annotated[ReplyMark, BeforeValidator(_word)]
    lead_ids: tuple[LeadId, ...] = Field(default=(), max_length=MOST_LEADS)
    note: str = ""


class FinalDecisionIn(_Strict):
    overturned: tuple[FindingIn, ...] = Field(default=(), max_length=MOST_LEADS)
    upheld: tuple[WithdrawalIn, ...] = Field(default=(), max_length=MOST_LEADS)


class RoutedIn(_Strict):
    department: str = Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")


class EstimateIn(_Strict):
    """Hours from now, or the day it will be done."""

    hours: int = Field(default=0, ge=0, le=24 * 90)
    on: date | None = None


def _findings(payload: Mapping[str, Any]) -> Given:
    found, texts, evidence = _found(FindingsIn.model_validate(dict(payload)).findings)
    return Given(Findings(findings=found), texts, evidence)


def _found(given: Sequence[FindingIn]) -> tuple[tuple[Finding, ...], list[str], list[str]]:
    texts = [_reason(one.lead_id, one.text, one.verdict) for one in given]
    found = tuple(
        Finding(
            lead_id=one.lead_id, verdict=one.verdict, reason=one.reason, text_sha256=digest(text), evidence=one.evidence
        )
        for one, text in zip(given, texts, strict=True)
    )
    return found, texts, [each for one in given for each in one.evidence]


def _reduction(payload: Mapping[str, Any]) -> Given:
    leads, texts = _withdrawn(ReductionIn.model_validate(dict(payload)).leads)
    return Given(Reduction(leads=leads), texts)


def _withdrawn(given: Sequence[WithdrawalIn]) -> tuple[tuple[Withdrawal, ...], list[str]]:
    texts = [_reason(one.lead_id, one.text, Verdict.NOT_VALID) for one in given]
    pairs = zip(given, texts, strict=True)
    return tuple(Withdrawal(lead_id=one.lead_id, text_sha256=digest(text)) for one, text in pairs), texts


def _confirmation(payload: Mapping[str, Any]) -> Given:
    given = ConfirmationIn.model_validate(dict(payload))
    return Given(Confirmation(preview_sha256=given.preview_sha256))


def _authorisation(payload: Mapping[str, Any]) -> Given:
    reason = clean(ReasonIn.model_validate(dict(payload)).reason.strip(), "The reason")
    return Given(Authorisation(reason_sha256=digest(reason) if reason else ""), [reason] if reason else [])


def _declination(payload: Mapping[str, Any]) -> Given:
    given = _authorisation(payload)
    if not given.texts:
        raise Refused("reason-missing", "Say why: the team has to settle it with you.")
    return given


def _decision(payload: Mapping[str, Any]) -> Given:
    reason = clean(ReasonIn.model_validate(dict(payload)).reason.strip(), "The reason")
    return Given(Decision(reason_sha256=digest(reason) if reason else ""), [reason] if reason else [])


def _reasoned(payload: Mapping[str, Any]) -> Given:
    given = _decision(payload)
    if not given.texts:
        raise Refused("reason-missing", "Give a reason. It stays internal: the client's text is written separately.")
    return given


def _mark(payload: Mapping[str, Any]) -> Given:
    given = MarkIn.model_validate(dict(payload))
    note = clean(given.note.strip(), "The note")
    mark = Mark(mark=given.mark, lead_ids=given.lead_ids, note_sha256=digest(note) if note else "")
    return Given(mark, [note] if note else [])


def _final_decision(payload: Mapping[str, Any]) -> Given:
    given = FinalDecisionIn.model_validate(dict(payload))
    overturned, texts, evidence = _found(given.overturned)
    upheld, told = _withdrawn(given.upheld)
    return Given(FinalDecision(overturned=overturned, upheld=upheld), [*texts, *told], evidence)


def _policy(payload: Mapping[str, Any]) -> Given:
    given = PolicyIn.model_validate(dict(payload))
    return Given(PolicyOrder(name=given.name, value=given.value))


def _rates(payload: Mapping[str, Any]) -> Given:
    given = RatesIn.model_validate(dict(payload)).rates
    rates = sorted((RateIn.model_validate(one.model_dump()) for one in given), key=lambda one: (one.currency, one.on))
    return Given(RatesOrder(rates=tuple(rates)))


def _prices(payload: Mapping[str, Any]) -> Given:
    given = PricesIn.model_validate(dict(payload)).prices
    prices = (PriceIn(lead_id=one.lead_id, price=Money(amount=one.price, currency=one.currency)) for one in given)
    return Given(PricesOrder(prices=tuple(sorted(prices, key=lambda one: one.lead_id))))


def _stand_in(payload: Mapping[str, Any]) -> Given:
    given = StandInIn.model_validate(dict(payload))
    return Given(StandInOrder.model_validate(given.model_dump()))


def _note(payload: Mapping[str, Any]) -> Given:
    note = clean(NoteIn.model_validate(dict(payload)).note.strip(), "The note")
    return Given(StepResult(note_sha256=digest(note) if note else ""), [note] if note else [])


def _waiver(payload: Mapping[str, Any]) -> Given:
    given = _note(payload)
    if not given.texts:
        raise Refused("reason-missing", "Say in a note why it is waived.")
    return given


def _nothing(payload: Mapping[str, Any]) -> Given:
    NothingIn.model_validate(dict(payload))
    return Given(Claimed())


def _reassignment(payload: Mapping[str, Any]) -> Given:
    return Given(Reassignment(to=ReassignmentIn.model_validate(dict(payload)).to))


def _move(payload: Mapping[str, Any]) -> Given:
    given = MoveIn.model_validate(dict(payload))
    reason = clean(given.reason.strip(), "The reason")
    if not reason:
        raise Refused("reason-missing", "Say why the deadline is moved.")
    due: datetime = given.due.astimezone(UTC)
    return Given(Move(due=due, reason_sha256=digest(reason)), [reason])


def _triage(payload: Mapping[str, Any]) -> Given:
    given = TriageIn.model_validate(dict(payload))
    return Given(Triage(accept=given.accept, client_id=given.client_id.strip(), lead_ids=given.lead_ids))


def _routed(payload: Mapping[str, Any]) -> Given:
    return Given(Routed(department=RoutedIn.model_validate(dict(payload)).department))


def _estimate(payload: Mapping[str, Any]) -> Given:
    found = EstimateIn.model_validate(dict(payload))
    if bool(found.hours) == bool(found.on):
        raise Refused("invalid-result", "Say how many hours it takes, or the day it will be done: one of the two.")
    return Given(Estimate(hours=found.hours, on=found.on))


_READERS = {
    ActKind.ROUTED: _routed,
    ActKind.ESTIMATED: _estimate,
    ActKind.PROCESSED: _note,
    ActKind.CLAIM: _nothing,
    ActKind.RELEASE: _nothing,
    ActKind.REASSIGN: _reassignment,
    ActKind.MOVE: _move,
    ActKind.DONE: _note,
    ActKind.WAIVE: _waiver,
    ActKind.RESEND: _note,
    ActKind.TRIAGE: _triage,
    ActKind.FINDINGS: _findings,
    ActKind.CONFIRM: _confirmation,
    ActKind.REDUCE: _reduction,
    ActKind.TAKEN_OFF: _note,
    ActKind.AUTHORISE: _authorisation,
    ActKind.DECLINE: _declination,
    ActKind.ALLOCATED: _note,
    ActKind.APPROVE: _decision,
    ActKind.REJECT: _reasoned,
    ActKind.ASK_BACK: _reasoned,
    ActKind.WITHDRAW: _decision,
    ActKind.MARK: _mark,
    ActKind.DECIDED: _final_decision,
    ActKind.SET_POLICY: _policy,
    ActKind.IMPORT_RATES: _rates,
    ActKind.SET_PRICES: _prices,
    ActKind.SET_STAND_IN: _stand_in,
}


def _reason(lead: str, text: str, verdict: Verdict) -> str:
    """A text for the client. Refusing a lead needs a detailed reason, not just "not valid" (RL-9)."""
    cleaned = clean(text.strip(), f"The text for {lead}", 5_000)
    rest = _SAYS_NOTHING.sub(" ", cleaned.casefold())
    thin = len(cleaned) < SHORTEST_REASON or not _WORD.search(rest)
    if verdict is Verdict.NOT_VALID and thin:
        raise Refused(
            "reason-too-thin",
            f'{lead}: give the client a detailed reason of at least {SHORTEST_REASON} characters; "not valid" is none.',
        )
    return cleaned


def _sentence(error: ValidationError) -> str:
    """What is wrong, without what was given."""
    problems = error.errors(include_input=False, include_url=False, include_context=False)
    said = [f"{_place(one)}: {one['msg']}" for one in problems[:3]]
    more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""  # noqa: PLR2004
    return "; ".join(said) + more + "."


def _place(problem: ErrorDetails) -> str:
    """The name of a field nobody asked for is the sender's own word, and is not said back."""
    parts = problem["loc"][:-1] if problem["type"] == "extra_forbidden" else problem["loc"]
    return ".".join(str(part) for part in parts) or "the result"
