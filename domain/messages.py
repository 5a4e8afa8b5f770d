"""The signals every case understands: a person's signed act, a client's message, a fact by its id.

Payloads in Temporal are tolerant (unknown fields ignored, new ones defaulted); `ActBody` is parsed strictly, because it
is signed.
"""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from domain.people import Identity

ACT_DOMAIN = b"holdfast-act-v1\n"  # what a signature is made over starts with this
MOST_ACT_BYTES = 64_000


class ActKind(StrEnum):
    """The outcome a person signs. It is part of the signed bytes, so a rejection can't be turned into an approval."""

    CLAIM = "step.claim"
    RELEASE = "step.release"
    REASSIGN = "step.reassign"
    MOVE = "step.move"
    DONE = "step.done"
    WAIVE = "step.waive"
    RESEND = "step.resend"
    TRIAGE = "return.triage"
    FINDINGS = "return.findings"
    CONFIRM = "return.confirm"
    REDUCE = "return.reduce"
    TAKEN_OFF = "return.taken_off"
    AUTHORISE = "return.authorise"
    DECLINE = "return.decline"
    ALLOCATED = "return.allocated"
    APPROVE = "return.approve"
    REJECT = "return.reject"
    ASK_BACK = "return.ask_back"
    WITHDRAW = "return.withdraw"  # the approver takes an approval back; the latest act on a subject counts
    MARK = "return.mark"  # the team says what a client's reply is
    DECIDED = "return.decided"  # the account manager's final decision on a dispute (RL-10)
    ROUTED = "request.route"  # the CSS says which department a task is for
    ESTIMATED = "request.estimate"  # the department's manager says how long it takes (ID-5)
    PROCESSED = "request.done"  # the department has done it (ID-3)
    SET_POLICY = "policy.set"
    IMPORT_RATES = "rates.import"
    SET_PRICES = "prices.set"
    SET_STAND_IN = "standin.set"


class Auth(StrEnum):
    """How the actor proved who they are to the gateway."""

    OIDC = "oidc"
    LOCAL = "local"
    API_KEY = "api_key"
    WEBHOOK = "webhook"
    EMAIL = "email"
    CHAT = "chat"


class SignedAct(BaseModel):
    """A signal's argument. `body` is the canonical JSON of an ActBody exactly as signed, `payload` that of the result.

    `payload` holds ids, hashes, amounts and enums: texts are in the database under their SHA-256.
    """

    model_config = ConfigDict(frozen=True)
    body: str = Field(max_length=MOST_ACT_BYTES)
    payload: str = Field(default="{}", max_length=MOST_ACT_BYTES * 8)
    signature: str = Field(max_length=200)  # base64url, Ed25519


class ActBody(BaseModel):
    """What the gateway signs. Times are whole seconds since 1970 (UTC)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    v: Literal[1] = 1
    kid: str
    jti: str
    kind: str
    deployment: str
    case_id: str
    workflow_id: str
    step_id: str
    subject_sha256: str
    payload_sha256: str
    actor: Identity
    acting_for: str = ""
    auth: str
    auth_time: int
    iat: int
    exp: int


class ClientMessage(BaseModel):
    """The client wrote in the case's thread; the text is in the inbox table."""

    model_config = ConfigDict(frozen=True)
    event_id: str
    inbox_id: int = 0
    at: datetime | None = None


class FactKind(StrEnum):
    BOUNCED = "bounced"
    UNDELIVERED = "undelivered"  # a message of ours, as a chat's vendor says later
    JOINED = "joined"  # another mail about leads that are under review here
    REPLIED = "replied"  # made of a client's message by the case itself
    TASK = "task-changed"  # in Teamwork, or the ticket at the desk: read again before anything follows
    LINKED = "linked-ended"  # a case that this one opened says that it is over
    OWNERS = "owners-moved"  # somebody went, left or came back: whose the open steps are is looked up anew
    RESUMED = "resumed"  # outbound was switched on, or a hold lifted: held effects are tried again


class Fact(BaseModel):
    """Something that happened, by its id: read again from the tables before anything follows from it. Never money."""

    model_config = ConfigDict(frozen=True)
    event_id: str
    kind: FactKind
    reference: str = ""  # an effect key, a step id


class Unreadable(BaseModel):
    """What a signal turned out to be when it could not be read. `why` holds nothing of its content."""

    model_config = ConfigDict(frozen=True)
    signal: str
    why: str
