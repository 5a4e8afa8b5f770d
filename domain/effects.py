"""Effects on the outside world: a closed union. Each has a key of its own and happens once.

An effect carries ids, template names and row references; addresses, texts and amounts are resolved where it is
carried out.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from domain.case import CaseEvent, CaseView, Model
from domain.owners import StepOwner


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


class AuthoriseCreditNote(_Effect):
    """Authorises the draft after Accounts' own signed act (RL-12). Gated."""

    kind: Literal["authorise-credit-note"] = "authorise-credit-note"
    invoice_id: str


class ListDoNotInvoice(_Effect):
    """Puts the confirmed unbilled leads on Accounts' do-not-invoice list (RL-11). Gated: it is a grant."""

    kind: Literal["list-do-not-invoice"] = "list-do-not-invoice"


class AnswerClient(_Effect):
    """The one coherent reply, promises included (RL-5, RL-6, RL-9). Gated: it promises money."""

    kind: Literal["answer-client"] = "answer-client"


Gated = ConfirmToAccounts | DraftCreditNote | AuthoriseCreditNote | ListDoNotInvoice | AnswerClient
Reading = ReadBilling | ReadNotes | ReadCharge | AdmitRequest | ResolveOwners
Open = SendLetter | Nudge | SendDigest | TagChat | AppendRow | OpenLinked | Reading
Effect = Annotated[Open | Gated, Field(discriminator="kind")]


def in_words(effect: Effect) -> str:
    """What an effect is, for people: `Live Chat mark on L-1001`. No personal data."""
    match effect:
        case SendLetter():
            return f"letter {effect.template} to {effect.audience.replace('-', ' ')}"
        case Nudge():
            return f"reminder {effect.chase} by e-mail" if effect.chase else "request by e-mail"
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
            return effect.kind.replace("-", " ")


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


class Stage(Model):
    """All effects of one moment of an SOP, with what is to be recorded in the same transaction."""

    name: str
    clause: str
    effects: tuple[Effect, ...] = ()
    events: tuple[CaseEvent, ...] = ()
    view: CaseView
    closing: CaseView | None = None  # recorded instead of `view` once every effect is done
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
