"""What comes in: what the tables know of it, what is decided, and what Temporal is told afterwards."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from domain.case import Model, Request
from domain.ids import workflow_id
from domain.messages import ClientMessage, Fact
from domain.return_lead import Doubt, LoopIn, ReturnRequest
from domain.thread import CaseThread

RETURN_LEAD = "ReturnLead"


class KnownCase(Model):
    case_id: str
    workflow_id: str
    client_id: str  # "": not known yet
    is_open: bool


class Speaker(Model):
    """The department in whose name RL-3's sentence goes."""

    address: str
    name: str


class Sought(Model):
    """What is asked of the tables about one mail."""

    sender: str
    original_sender: str = ""
    original_id: str = ""
    message_id: str = ""
    references: tuple[str, ...] = ()  # of the mail and its original, nearest first
    tokens: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()  # of the original
    bounce_of: str = ""


class Bounced(Model):
    """The mail of ours that came back."""

    case: KnownCase
    effect_key: str
    effect_kind: str


class Known(Model):
    """What the tables know about one mail. Nothing here says that the sender is who they claim to be."""

    now: datetime  # the database's
    staff: bool = False
    ours: bool = False  # an e-mail that we sent, copied to the inbox
    client_id: str = ""  # whose address the original's sender is
    speaker: Speaker | None = None
    thread: KnownCase | None = None  # the case that one of its references belongs to
    repeated: bool = False  # the original itself is in a case already
    bounced: Bounced | None = None


class NewCase(Model):
    """A case to be opened. `leads` are claimed if there is no doubt, else proposed to whoever looks at it."""

    case_id: str
    client_id: str
    doubt: Doubt = Doubt.NONE
    loop_in: LoopIn = LoopIn.NONE
    leads: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()  # what could not be read, a sentence each
    file_copy: bool = False
    linked_to: str = ""
    reference: str = ""  # an effect key, for a mail that came back
    note: str = ""
    opened_by: str = ""  # for the audit trail, by ids
    thread: CaseThread | None = None  # None: the thread of the case it is linked to
    message_ids: tuple[str, ...] = ()  # join the case's thread


class Told(Model):
    """A signal to a case: the client's message if `fact` is None. Message and fact get their ids when stored."""

    case: KnownCase
    fact: Literal["joined", "bounced"] | None = None
    reference: str = ""
    message_ids: tuple[str, ...] = ()


class Decision(Model):
    """What is done with something that came in: ignored, or a case opened, or a case told."""

    code: str = ""
    ignored: bool = False
    opens: NewCase | None = None
    tells: Told | None = None


class Start(Model):
    """A workflow to be started, of any SOP. `summary` is one line for the Temporal UI: ids only."""

    do: Literal["start"] = "start"
    workflow_id: str
    kind: str
    case_id: str
    client_id: str = ""
    summary: str = ""
    request: dict[str, JsonValue]


def start_of(kind: str, request: Request, summary: str) -> Start:
    """The start of a case, as its door made it."""
    return Start(
        workflow_id=workflow_id(request.case_id, request.cycle),
        kind=kind,
        case_id=request.case_id,
        client_id=request.client_id,
        summary=summary,
        request=request.model_dump(mode="json", exclude={"carried"}),
    )


def return_summary(request: ReturnRequest) -> str:
    what = f"{len(request.claims)} leads" if not request.doubt else f"a person looks ({request.doubt})"
    return f"RL-1 return of {request.client_id or 'a client not known yet'}: {what}"


class Signal(Model):
    do: Literal["signal"] = "signal"
    workflow_id: str
    case_id: str
    message: ClientMessage | None = None
    fact: Fact | None = None


class Handover(Model):
    """What Temporal is told about one row of the inbox, in this order. Ids only."""

    steps: tuple[Annotated[Start | Signal, Field(discriminator="do")], ...] = ()


class Acceptance(Model):
    """The door's answer, given after the commit. `repeated`: the same thing had been accepted before.

    `replayed`: this is the answer to a delivery that was answered before; the rest is as it was then.
    """

    inbox_id: int
    state: str
    code: str = ""
    case_id: str = ""
    repeated: bool = False
    replayed: bool = False
