"""The Return Lead SOP's words: what is asked for, what is found, what comes of it."""

from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from pydantic import Field

from domain.books import InvoiceStatus
from domain.case import Model, Request
from domain.money import Currency, Vat
from domain.steps import StepResult as _Done


class LoopIn(StrEnum):
    """What RL-2 and RL-3 ask for, decided at the door from the mail itself."""

    SEND = "send"  # a department was asked: the sentence goes once, in its name
    ALREADY_SAID = "already-said"
    ACKNOWLEDGE = "acknowledge"  # the client wrote to the returns inbox himself
    NONE = "none"  # opened by CLI or code: no thread


class ClaimProblem(StrEnum):
    """Why a lead of a request is answered without an investigation."""

    NONE = ""
    UNKNOWN = "unknown-lead"
    OTHER_CLIENT = "other-client"
    ALREADY_RETURNED = "already-returned"
    TWICE = "twice-in-request"
    ELSEWHERE = "under-review"


class Doubt(StrEnum):
    """Why a person must look before anything is done or sent."""

    NONE = ""
    SENDER_UNKNOWN = "sender-unknown"
    SENDER_UNAUTHENTICATED = "sender-unauthenticated"
    ORIGINAL_UNREADABLE = "original-unreadable"
    NO_LEADS = "no-leads"
    UNREADABLE_LEADS = "unreadable-leads"
    UNREADABLE_MAIL = "unreadable-mail"  # too large or broken: nothing of it can be trusted
    CASE_ENDED = "case-ended"  # something arrived for a case that is over
    LATE_REPLY = "late-reply"  # the client's reply to refusals, after the case was closed (RL-10)
    CLIENT_NOT_REACHED = "client-not-reached"


class LeadClaim(Model):
    lead_id: str
    problem: ClaimProblem = ClaimProblem.NONE


class ReturnRequest(Request):
    """Input of `ReturnLead`: ids only. The mail, its recipients and texts are in the tables under `case_id`."""

    claims: tuple[LeadClaim, ...] = ()
    loop_in: LoopIn = LoopIn.NONE
    doubt: Doubt = Doubt.NONE
    file_copy: bool = False  # RL-1: opened elsewhere than by mail, so a copy goes to the inbox
    linked_to: str = ""
    holding_after: timedelta = timedelta(hours=48)
    dispute_window: timedelta = timedelta(days=14)  # how long an answer with refusals waits for a reply (RL-10)


class Triage(Model):
    """A person's look at a request that can't be trusted as it came. `accept` names the client and the leads."""

    accept: bool
    client_id: str = ""
    lead_ids: tuple[str, ...] = ()


class Verdict(StrEnum):
    VALID = "valid"
    NOT_VALID = "not-valid"


class Reason(StrEnum):
    """Reason codes of a finding; the human text beside it is the client's."""

    SPAM = "spam"
    DUPLICATE = "duplicate"
    WRONG_SERVICE = "wrong-service"
    OUT_OF_AREA = "out-of-area"
    WRONG_CONTACT = "wrong-contact-details"
    JOB_SEEKER = "job-seeker"
    GENUINE = "genuine-enquiry"
    TOO_LATE = "outside-return-window"
    CONTACTED = "client-made-contact"
    OTHER = "other"


class Finding(Model):
    """One lead's finding. `text_sha256` is the human text that the client reads, `evidence` what supports it."""

    lead_id: str
    verdict: Verdict
    reason: Reason
    text_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    evidence: tuple[str, ...] = ()


class Findings(Model):
    findings: tuple[Finding, ...]


class Confirmation(Model):
    """A named team member stands behind the settlement as previewed (RL-12, RL-13)."""

    preview_sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Withdrawal(Model):
    lead_id: str
    text_sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Reduction(Model):
    """Above the limit: these leads are not granted, each with the text the client reads (all of them: a rejection)."""

    leads: tuple[Withdrawal, ...]


class Authorisation(Model):
    """Accounts' own decision on the drafts of the case (RL-12). The kind of the act says which way."""

    reason_sha256: str = ""


class Decision(Model):
    """The approver's word (RL-14).

    The kind of the act says which way; a rejection needs a reason, which stays internal.
    """

    reason_sha256: str = ""


class ReplyMark(StrEnum):
    ACCEPTS = "accepts"
    DISPUTES = "disputes"
    NEW_LEADS = "new-leads"
    OTHER = "other"


class Mark(Model):
    """What the team says a client's reply is; `lead_ids` are those he disputes."""

    mark: ReplyMark
    lead_ids: tuple[str, ...] = ()
    note_sha256: str = ""


class FinalDecision(Model):
    """The account manager's final decision on disputed leads (RL-10): what is overturned, and what is told of the
    rest.
    """

    overturned: tuple[Finding, ...] = ()
    upheld: tuple[Withdrawal, ...] = ()


class Claimed(Model):
    """Payload of a claim or a release."""


class Reassignment(Model):
    to: str  # person id


class Move(Model):
    """A deadline moved by a person, with the reason beside it."""

    due: datetime
    reason_sha256: str = Field(pattern="^[0-9a-f]{64}$")


StepResult = _Done  # a plain step's result, under this SOP's words too


class BillingState(StrEnum):
    UNBILLED = "unbilled"
    DRAFT = "draft"
    ISSUED = "issued"
    PAID = "paid"
    VOIDED = "voided"
    CREDITED = "credited"  # the books already hold a credit for it


class LeadBilling(Model):
    """How one lead is billed now. `gross` is its uncredited gross share of the invoice line, or its recorded price."""

    lead_id: str
    state: BillingState
    invoice_id: str = ""
    invoice_number: str = ""
    line_id: str = ""
    account_code: str = ""  # the books' own, of the invoice line
    tax_type: str = ""
    gross: Decimal | None = None
    net: Decimal | None = None
    currency: Currency = "GBP"
    gbp: Decimal | None = None  # of `gross`; None: no valid rate
    gbp_net: Decimal | None = None  # of `net`


class Billing(Model):
    """What the books said. `approval` is why an approver is needed, "" if none is."""

    leads: tuple[LeadBilling, ...]
    total_gbp: Decimal = Decimal(0)
    granted_gbp: Decimal = Decimal(0)  # already granted this month without an approver, and on the same invoices
    limit_gbp: Decimal = Decimal(500)
    vat: Vat = "with"
    approval: str = ""

    def in_state(self, *states: BillingState) -> tuple[LeadBilling, ...]:
        return tuple(lead for lead in self.leads if lead.state in states)

    @property
    def invoices(self) -> tuple[str, ...]:
        """Ids of the invoices to be credited, in order, each once."""
        return tuple(dict.fromkeys(lead.invoice_id for lead in self.in_state(BillingState.ISSUED, BillingState.PAID)))


def billing_state(status: InvoiceStatus) -> BillingState:
    """The state of a lead whose invoice has this status."""
    return BillingState(status.value)


class ReturnOutcome(Model):
    status: str
    valid: int = 0
    refused: int = 0
