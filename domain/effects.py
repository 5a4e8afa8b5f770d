"""Effects on the outside world: a closed union. Each has a key of its own and happens once.

An effect carries ids, template names and row references; addresses, texts and amounts are resolved where it is
carried out.
"""

from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from domain.case import CaseEvent, CaseView, Model
from domain.owners import StepOwner
from domain.people import Topic


class EffectState(StrEnum):
    PREPARED = "prepared"
    SENDING = "sending"
    SENT = "sent"
    UNKNOWN = "unknown"
    ABANDONED = "abandoned"


class Audience(StrEnum):
    """To whom a letter goes; turned into addresses from the tables, inside the activity."""

    CLIENT_THREAD = "client-thread"  # the client, everyone of the original mail in copy
    ALL_RECIPIENTS = "all-recipients"  # RL-9: ALL recipients of the original e-mail
    RETURNS_INBOX = "returns-inbox"
    ACCOUNTS = "accounts"
    APPROVER = "approver"  # whoever is, and whoever was lately: a change can't be kept from him by making it


class _Effect(Model):
    key: str
    clause: str
    after: str = ""  # the key of an effect of the same stage that must be sent first


class SendLetter(_Effect):
    """An e-mail made from one of the SOP's templates, in the case's thread or to a team."""

    kind: Literal["send-letter"] = "send-letter"
    template: str
    audience: Audience


class Nudge(_Effect):
    """Asks whoever a step belongs to, with the SOP's instructions and the link: resolved anew each time."""

    kind: Literal["nudge"] = "nudge"
    step_id: str
    chase: int = 0  # 0: asked; n: the n-th reminder
    role: str = ""  # "": whoever the step belongs to; else a role that is told as well
    replied: bool = False  # the client wrote again while the step is open
    passed_on: bool = False  # the step is somebody else's than before: who had it is away, left, or is back
    digest: bool = False  # can wait for the recipient's morning
    urgent: bool = False  # an emergency: at once, whatever the hour
    why: str = ""  # one sentence of our own, where it is neither asked nor reminded; no personal data


class SendDigest(_Effect):
    """One recipient's digest of one day: what is in it is read from the tables when it is sent."""

    kind: Literal["send-digest"] = "send-digest"


class TagChat(_Effect):
    """Marks a lead's chat as a return (RL-7). A lead without a chat is recorded as such."""

    kind: Literal["tag-chat"] = "tag-chat"
    lead_id: str


class AppendRow(_Effect):
    """Adds a lead's row to the RL tracking sheet (RL-7)."""

    kind: Literal["append-row"] = "append-row"
    lead_id: str


class OpenLinked(_Effect):
    """Gives leads whose refusal was overturned to a case of their own, in which they are settled as any other
    (RL-10).
    """

    kind: Literal["open-linked"] = "open-linked"
    lead_ids: tuple[str, ...]


class AssignTask(_Effect):
    """Has a task on the board, assigned to the relevant people, the CSS and the CSM, and due on a day (ID-4, ID-5).

    Made if there is none yet; what is missing of it is put right. Whom the roles mean is found out each time.
    """

    kind: Literal["assign-task"] = "assign-task"
    role: str
    due_on: date
    reopen: bool = False  # one that is completed is opened again


class CommentTask(_Effect):
    """A comment on the case's task, directed to somebody (ID-6). `step_id`: the words are those signed there."""

    kind: Literal["comment-task"] = "comment-task"
    template: str
    to: str  # a role
    step_id: str = ""


class CompleteTask(_Effect):
    """Completes the case's task on the board, if it is not."""

    kind: Literal["complete-task"] = "complete-task"


class FollowTicket(_Effect):
    """Has the CSS and the CSM follow the case's ticket (ID-7). One that is a task without a due date gets it (ID-5).

    `to`: the role that it is assigned to if it is nobody's (ID-4).
    """

    kind: Literal["follow-ticket"] = "follow-ticket"
    due: datetime | None = None
    to: str = ""


class NoteTicket(_Effect):
    """An internal note on the case's ticket (ID-8). `step_id`: the words are those signed there."""

    kind: Literal["note-ticket"] = "note-ticket"
    template: str
    step_id: str = ""


class ListOnAgenda(_Effect):
    """Puts the case on its CSM's agenda of the day (ID-8)."""

    kind: Literal["list-on-agenda"] = "list-on-agenda"


class Tell(_Effect):
    """A message to whoever a role means, by the first of their own channels that works (ID-9 to ID-12)."""

    kind: Literal["tell"] = "tell"
    template: str
    to: str  # a role


class OpenRequest(_Effect):
    """Opens a department request as a case of its own, for what is left of the opener's promise, if it is for one.

    `words` is the template of the opener's SOP that says what is asked: its subject is the title.
    """

    kind: Literal["open-request"] = "open-request"
    department: str
    words: str
    topic: Topic = Topic.CLIENT
    due_after: timedelta = timedelta(hours=48)
    first_chase: timedelta | None = None


class ReportEnd(_Effect):
    """Tells the case that opened this one that it is over."""

    kind: Literal["report-end"] = "report-end"
    to_workflow_id: str
    outcome: str  # in words


class ReportAgain(_Effect):
    """Tells the case that opened this one that it is open again."""

    kind: Literal["report-again"] = "report-again"
    to_workflow_id: str


class ReadTask(_Effect):
    """Reads the case's task and ticket as they are now; changes nothing outside."""

    kind: Literal["read-task"] = "read-task"
    manager: str  # the role of whoever's estimate counts (ID-5)


class ReadLinked(_Effect):
    """Reads from the tables whether a case that was opened by this one is over, and how it ended."""

    kind: Literal["read-linked"] = "read-linked"
    linked_id: str


class ReadBilling(_Effect):
    """Reads from the books how each lead is billed at this moment, and stores it; changes nothing outside."""

    kind: Literal["read-billing"] = "read-billing"
    lead_ids: tuple[str, ...]


class AdmitRequest(_Effect):
    """Takes a request in that a person looked at: its client and its leads, claimed one by one. Changes nothing
    outside.
    """

    kind: Literal["admit-request"] = "admit-request"
    client_id: str
    lead_ids: tuple[str, ...]


class ReadCharge(_Effect):
    """Reads from the books whether they charge a lead that is not to be charged; changes nothing outside."""

    kind: Literal["read-charge"] = "read-charge"
    lead_id: str
    promised_in: str  # case id


class ReadNotes(_Effect):
    """Reads back from the books whether the case's credit notes are allocated or refunded; changes nothing outside."""

    kind: Literal["read-notes"] = "read-notes"
    invoice_numbers: tuple[str, ...]
    turns: tuple[int, ...] = ()  # the confirmation that each note rests on; empty: the first


class ResolveOwners(_Effect):
    """Looks up whose each open step is today: somebody went, left or came back. Changes nothing outside."""

    kind: Literal["resolve-owners"] = "resolve-owners"
    steps: tuple[StepOwner, ...]


class ConfirmToAccounts(_Effect):
    """The confirmation e-mail to Accounts without which no credit note is issued (RL-13). Gated."""

    kind: Literal["confirm-to-accounts"] = "confirm-to-accounts"


class DraftCreditNote(_Effect):
    """A draft credit note for exactly the confirmed leads of one invoice (RL-12). Gated."""

    kind: Literal["draft-credit-note"] = "draft-credit-note"
    invoice_id: str
    turn: int = Field(default=1, ge=1)  # which confirmation it rests on: a part of the note's number


class AuthoriseCreditNote(_Effect):
    """Authorises the draft after Accounts' own signed act (RL-12). Gated."""

    kind: Literal["authorise-credit-note"] = "authorise-credit-note"
    invoice_id: str
    turn: int = Field(default=1, ge=1)  # of the draft


class ListDoNotInvoice(_Effect):
    """Puts the confirmed unbilled leads on Accounts' do-not-invoice list (RL-11). Gated: it is a grant."""

    kind: Literal["list-do-not-invoice"] = "list-do-not-invoice"


class AnswerClient(_Effect):
    """The one coherent reply, promises included (RL-5, RL-6, RL-9). Gated: it promises money."""

    kind: Literal["answer-client"] = "answer-client"


Gated = ConfirmToAccounts | DraftCreditNote | AuthoriseCreditNote | ListDoNotInvoice | AnswerClient
Reading = ReadBilling | ReadNotes | ReadCharge | AdmitRequest | ResolveOwners | ReadTask | ReadLinked
Ticketing = FollowTicket | NoteTicket
Tasking = AssignTask | CommentTask | CompleteTask
Worded = CommentTask | NoteTicket | Tell | OpenRequest
Linking = OpenLinked | OpenRequest | ReportEnd | ReportAgain
Sending = SendLetter | Nudge | SendDigest | Tell
Open = Sending | TagChat | AppendRow | Tasking | Ticketing | ListOnAgenda | Linking | Reading
Effect = Annotated[Open | Gated, Field(discriminator="kind")]


def _asked_in_words(effect: CommentTask | NoteTicket | OpenRequest) -> str:
    if isinstance(effect, OpenRequest):
        return f"request to {effect.department}"
    where = "task" if isinstance(effect, CommentTask) else "ticket"
    about = effect.template.removeprefix("task-").removeprefix("ticket-")
    return f"{'comment' if where == 'task' else 'note'} on the {where}: {about.replace('-', ' ')}"


def in_words(effect: Effect) -> str:
    """What an effect is, for people: `Live Chat mark on L-1001`. No personal data."""
    match effect:
        case CommentTask() | NoteTicket() | OpenRequest():
            return _asked_in_words(effect)
        case SendLetter():
            return f"letter ({effect.template.replace('-', ' ')}) to {_AUDIENCES[effect.audience]}"
        case Nudge():
            return f"reminder {effect.chase}" if effect.chase else "message to whoever is asked"
        case OpenLinked():
            return f"linked case of {', '.join(effect.lead_ids)}"
        case TagChat() | AppendRow():
            what = "Live Chat mark on" if isinstance(effect, TagChat) else "tracking sheet row of"
            return f"{what} {effect.lead_id}"
        case ConfirmToAccounts():
            return "confirmation to Accounts"
        case AnswerClient():
            return "answer to the client"
        case _:
            return _PLAIN.get(effect.kind, effect.kind.replace("-", " "))


_AUDIENCES = {
    Audience.CLIENT_THREAD: "the client",
    Audience.ALL_RECIPIENTS: "everybody on the client's e-mail",
    Audience.RETURNS_INBOX: "the returns inbox",
    Audience.ACCOUNTS: "Accounts",
    Audience.APPROVER: "the approver",
}
_PLAIN = {
    "assign-task": "task with everybody on it",
    "complete-task": "task completed",
    "follow-ticket": "CSS and CSM follow the ticket",
    "list-do-not-invoice": "leads put on the list of those not to invoice",
    "list-on-agenda": "on the CSM's agenda",
    "tell": "message to the contact",
    "report-end": "end told to the case that asked",
    "report-again": "that it is open again, told to the case that asked",
}


class ReceiptState(StrEnum):
    SENT = "sent"
    PREPARED = "prepared"  # gated: waits for the money activity
    HELD = "held"  # outbound is off, or the client is on hold
    FAILED = "failed"  # certainly not done; `code` says why
    UNKNOWN = "unknown"  # may have been done: a person looks
    SKIPPED = "skipped"  # the effect it comes after was not done
    NEEDS_APPROVAL = "needs-approval"
    REFUSED = "refused"  # the gate found no valid act for it
    ABANDONED = "abandoned"


INVOICE_PAID = "invoice_paid"  # in the data of an authorised credit note


class Receipt(Model):
    """What became of one effect. `data` is what a reading effect read; `retry` says whether asking again can help."""

    key: str
    kind: str
    clause: str
    state: ReceiptState
    reference: str = ""
    code: str = ""
    retry: bool = False
    data: dict[str, JsonValue] = Field(default_factory=dict)

    @property
    def done(self) -> bool:
        return self.state in {ReceiptState.SENT, ReceiptState.PREPARED, ReceiptState.ABANDONED}

    @property
    def of_paid(self) -> bool:
        """Of an authorised credit note: whether its invoice was paid when the books were last read."""
        return self.data.get(INVOICE_PAID) is True


class Stage(Model):
    """All effects of one moment of an SOP, with what is to be recorded in the same transaction."""

    name: str
    clause: str
    effects: tuple[Effect, ...] = ()
    events: tuple[CaseEvent, ...] = ()
    view: CaseView
    closing: CaseView | None = None  # recorded instead of `view` once every effect is done
    closed: tuple[CaseEvent, ...] = ()  # told with it, and not before
    started: str = ""  # the request's stamp, in the first activity of a case: only what a door took in goes on


class StageDone(Model):
    """`refused`: why the case is none, and nothing was done; "" if it is one."""

    receipts: tuple[Receipt, ...] = ()
    refused: str = ""


class Grant(Model):
    """The gated effects of one moment, by key and nothing else: the money activity resolves all the rest itself."""

    case_id: str
    workflow_id: str
    clause: str
    keys: tuple[str, ...]
    events: tuple[CaseEvent, ...] = ()
    view: CaseView
