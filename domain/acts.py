"""Asking people and judging what they signed: what the workflow hands to `record_acts`, and what comes back."""

from datetime import datetime

from pydantic import Field, JsonValue

from domain.case import CaseEvent, CaseView, Model
from domain.effects import Effect, Receipt
from domain.messages import SignedAct


class Candidate(Model):
    """An act that arrived. `problem` is the SOP's own objection to its result; `then` is done if the act is
    accepted.
    """

    act: SignedAct
    problem: str = ""
    then: tuple[Effect, ...] = ()


class RecordActs(Model):
    """A batch of acts, judged against one open step. Acts for a step that is not open are refused as strays."""

    case_id: str
    workflow_id: str
    step_id: str  # "" when no step waits: every act is a stray
    kinds: tuple[str, ...] = ()
    role: str = ""
    claimed_by: str = ""
    subject: str = "all"
    reference: str = ""  # the effect key a could-not step is about
    candidates: tuple[Candidate, ...] = ()
    events: tuple[CaseEvent, ...] = ()
    view: CaseView  # as it is if no act is accepted
    view_after: CaseView | None = None  # as it is once the step is done


class ActAnswer(Model):
    """`accepted` is the index of the candidate that ends or changes the step, -1 for none."""

    accepted: int = -1
    kind: str = ""
    by: str = ""  # person id
    jti: str = ""
    at: str = ""  # database time, ISO 8601
    refused: int = 0
    receipts: tuple[Receipt, ...] = ()
    claimed_by: str = ""  # after a claim, release or reassignment
    reassigned_to: str = ""
    due: datetime | None = None  # after a move: the step's new deadline
    data: dict[str, JsonValue] = Field(default_factory=dict)
