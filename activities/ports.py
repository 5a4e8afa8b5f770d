"""What activities ask of the world: one Protocol per outside system. Adapters implement them; `worker.py` brings both
together.

Every method may raise the typed errors of `domain.errors`: Retryable, Permanent or Unclear, and nothing else of the
vendor's.
No method retries by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal, NamedTuple, Protocol

from pydantic import JsonValue

from domain.acts import ActAnswer, RecordActs
from domain.board import BoardComment, BoardTask, BoardUser, NewTask, TaskList, Ticket, TicketAbility, TicketNote
from domain.books import CreditNote, Invoice
from domain.books_check import BooksFinding, CheckedClient, Confirmed
from domain.brief import Brief
from domain.case import CaseEvent, CaseView
from domain.chat import Channel, ChatPosted
from domain.effects import Effect, Nudge, OpenRequest, SendDigest, Worded
from domain.gate import LeadRow, MoneyContext, Permit
from domain.mail import OutgoingMail, Words
from domain.owners import OwnerToday, StepOwner
from domain.request_sweep import RequestsSwept
from domain.return_lead import Billing, LeadBilling, LeadClaim, Triage


class Mailer(Protocol):
    async def send(self, mail: OutgoingMail) -> None:
        """Hands one message to the mail server. There is no read-back: a timeout after DATA is Unclear."""
        ...


class Books(Protocol):
    """The accounts (Xero). Amounts come back as the books hold them, read afresh at every call."""

    async def invoices(self, contact_id: str, since: date) -> tuple[Invoice, ...]:
        """All invoices of a contact dated `since` or later, with their lines, whatever their status."""
        ...

    async def credit_notes(self, contact_id: str) -> tuple[CreditNote, ...]:
        """All credit notes of a contact, with their lines."""
        ...

    async def credit_note(self, number: str) -> CreditNote | None:
        """The note with this number, or None."""
        ...

    async def draft_credit_note(self, note: CreditNote, key: str) -> CreditNote:
        """Creates a DRAFT note; `key` (at most 128 characters) makes a repeat within the vendor's window harmless."""
        ...

    async def authorise_credit_note(self, note: CreditNote, key: str) -> CreditNote:
        """Turns a draft into this note, AUTHORISED. Permanent if it is missing or voided."""
        ...


class Sheet(Protocol):
    """The RL tracking sheet. Column A holds our key."""

    async def find(self, key: str) -> tuple[str, ...] | None:
        """The row whose first cell is `key`, or None."""
        ...

    async def append(self, row: Sequence[str]) -> str:
        """Appends one row, taken as text (nothing is evaluated); returns the range it went to."""
        ...


class LiveChat(Protocol):
    async def tags(self, chat_id: str, thread_id: str) -> tuple[str, ...]:
        """The tags on a thread. Permanent with code `not-found` if there is no such chat or thread."""
        ...

    async def tag(self, chat_id: str, thread_id: str, tag: str) -> None:
        """Puts a tag on a thread; a tag already there is a success."""
        ...


class TaskBoard(Protocol):
    """The departments' task lists (Teamwork Projects).

    Nothing written here has an idempotency key of the vendor's: after Unclear, a task is read back with `find`, a
    comment by its marker in `comments`, a change in `task`.
    """

    async def task(self, task_id: str) -> BoardTask | None:
        """The task as it is now; None if there is none, or it was deleted."""
        ...

    async def find(self, list_id: str, marker: str) -> BoardTask | None:
        """The task of a list, open or completed, whose description holds `marker`, or None.

        Permanent `ambiguous-marker` if there are several.
        """
        ...

    async def create(self, new: NewTask) -> BoardTask:
        """Makes a task and returns it as the board holds it."""
        ...

    async def change(
        self,
        task_id: str,
        *,
        assignees: Sequence[str] | None = None,
        due_on: date | None = None,
        followers: Sequence[str] | None = None,
    ) -> BoardTask:
        """Replaces what is given and leaves what is None alone. Permanent `not-found` if there is no such task."""
        ...

    async def comment(self, task_id: str, body: str, notify: Sequence[str], marker: str) -> str:
        """Comments on a task, tells the users of `notify`, and returns the comment's id."""
        ...

    async def comments(self, task_id: str) -> tuple[BoardComment, ...]:
        """All comments of a task, oldest first; deleted ones are left out."""
        ...

    async def complete(self, task_id: str) -> None:
        """Completes a task; one that is completed already is a success."""
        ...

    async def reopen(self, task_id: str) -> None:
        """Opens a completed task again; one that is open is a success."""
        ...

    async def tasks(self, list_id: str, *, open_only: bool = True) -> tuple[BoardTask, ...]:
        """All tasks of a list."""
        ...

    async def task_lists(self, project_id: str) -> tuple[TaskList, ...]:
        """All task lists of a project, or of every project we see (""), such as a client's `[CSM] Tasks`."""
        ...

    async def users(self) -> tuple[BoardUser, ...]:
        """Everybody a task can be assigned to."""
        ...


class TicketDesk(Protocol):
    """A ticket desk (Zendesk). People are e-mail addresses. After Unclear, a note is read back by its marker."""

    @property
    def capabilities(self) -> frozenset[TicketAbility]:
        """What this desk can do. What it can't is Permanent `not-able`."""
        ...

    async def ticket(self, ticket_id: str) -> Ticket | None:
        """The ticket as it is now; None if there is none, or it was deleted."""
        ...

    async def tickets(self, updated_since: datetime) -> tuple[Ticket, ...]:
        """All tickets that changed at `updated_since` or later, the latest change first."""
        ...

    async def unsettled(self) -> tuple[Ticket, ...]:
        """All tickets that are neither solved nor closed, however long ago they changed. The newest may be missing."""
        ...

    async def was_opened_again(self, ticket_id: str, since: datetime) -> bool:
        """Whether it was settled and opened again, the latter at `since` or later."""
        ...

    async def set_followers(self, ticket_id: str, add: Sequence[str]) -> Ticket:
        """Adds followers and leaves those that are there. Permanent `not-a-user` if the desk knows one of them not."""
        ...

    async def note(self, ticket_id: str, body: str, marker: str) -> str:
        """Writes a note that only the team sees, never a message to the requester; returns its id."""
        ...

    async def notes(self, ticket_id: str) -> tuple[TicketNote, ...]:
        """The whole conversation of a ticket, oldest first, public messages too."""
        ...

    async def change(self, ticket_id: str, *, assignee: str | None = None, due_at: datetime | None = None) -> Ticket:
        """Replaces what is given and leaves what is None alone. Permanent `not-found` if there is no such ticket."""
        ...


class Slack(Protocol):
    """`to` is the id of a channel (C...) or of a user (U...): a user is written to in a DM, which is opened first."""

    async def user_by_email(self, email: str) -> str:
        """The user id of an address, "" if the workspace has no such member."""
        ...

    async def post(self, to: str, text: str, marker: str, mention: str = "") -> ChatPosted:
        """Posts `text` as it is (nothing in it mentions, links under another name or unfurls), with `marker` in the
        message's metadata; `mention` is a user id that is named first and so notified. A repeat posts again: `find`.
        """
        ...

    async def find(self, to: str, marker: str, since: datetime) -> ChatPosted | None:
        """Our own message with this marker, posted there at `since` or later."""
        ...


class WhatsApp(Protocol):
    """`to` is a number in digits, country first. There is no read-back: a timeout after sending is Unclear, and a
    failure may come later by a status webhook under the returned wamid. `marker` comes back with every status.
    """

    async def send_text(self, to: str, text: str, marker: str = "") -> str:
        """Free text. Permanent `window-closed` if the person did not write in the last 24 hours (`whatsapp_form`)."""
        ...

    async def send_template(
        self, to: str, template: str, language: str, parameters: Sequence[str], marker: str = ""
    ) -> str:
        """An approved template with its body's parameters in order. Permanent `no-template` if it does not exist."""
        ...


class PeoplesChannels(Protocol):
    async def of(self, emails: Sequence[str], case_id: str) -> Mapping[str, tuple[Channel, ...]]:
        """How the people at these addresses are reached about a case, in their own order; an address of nobody's is
        left out, and so is Slack while something is still to be said on the case's task (ID-10).
        """
        ...


class ChatWindows(Protocol):
    async def last_inbound(self, number: str) -> datetime | None:
        """When a number last wrote to ours on WhatsApp, None if never."""
        ...


@dataclass(frozen=True)
class Intent:
    """An effect about to be carried out.

    `recipients` are addresses, or `vendor:<name>`: checked against outbound and holds.
    """

    effect: Effect
    body_sha256: str
    recipients: tuple[str, ...]


@dataclass(frozen=True)
class Claim:
    """What the ledger says of an intent.

    `go`: it was prepared and is now `sending`, committed: call. `look`: an earlier attempt left it `sending` at
    `sending_at` (read back first). `held`: outbound is off or the client is on hold; the row stays prepared.
    Any other value is the settled state, with what is known of it.
    """

    key: str
    verdict: Literal["go", "look", "held", "sent", "unknown", "abandoned", "needs_approval", "refused"]
    reference: str = ""
    code: str = ""
    seconds_in_flight: float = 0.0
    data: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    attempt: int = 0  # which `sending` this is, the first being 1


@dataclass(frozen=True)
class Settled:
    """How a claimed effect ended. `prepared` gives it back to a later attempt (certainly not done)."""

    effect: Effect
    state: Literal["sent", "unknown", "prepared"]
    reference: str = ""
    code: str = ""
    data: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    message_id: str = ""  # of a mail that went out: joins the case's thread
    attempt: int = 0  # of the claim: what an older attempt says then counts no more, unless it is `sent`; 0: any


class Ledger(Protocol):
    """One row per effect, UNIQUE by key: prepared -> sending -> sent | unknown | abandoned."""

    async def prepare(self, case_id: str, effects: Sequence[Effect]) -> None:
        """Writes missing rows as `prepared`; existing ones are left alone."""
        ...

    async def claim(self, case_id: str, intents: Sequence[Intent]) -> tuple[Claim, ...]:
        """Commits `sending` before any call. Refuses gated kinds (Refused `gated`)."""
        ...

    async def settle(self, case_id: str, results: Sequence[Settled]) -> None:
        """Writes what became of claimed effects, and their audit events (dedupe by key, state and attempt)."""
        ...

    async def read(self, case_id: str, keys: Sequence[str]) -> tuple[tuple[Effect, str], ...]:
        """Stored effects with their state, in the order of `keys`; missing ones are left out."""
        ...

    async def abandon(self, case_id: str, keys: Sequence[str], code: str) -> None:
        """Marks effects as waived by a person: never sent after this. Gated rows are left alone."""
        ...

    async def reopen(self, case_id: str, keys: Sequence[str]) -> None:
        """A person asked for another try: `unknown` becomes `prepared` again. Gated rows are left alone."""
        ...


class CaseStore(Protocol):
    """The read model and the audit trail."""

    async def record(self, view: CaseView, events: Sequence[CaseEvent]) -> None:
        """Upserts the case and its steps and appends the events, in one transaction; ACT_* and EFFECT_* are refused."""
        ...

    async def why_not_admitted(self, view: CaseView, started: str) -> str:
        """Why a workflow is not the case that a door took in (a stable code), "" if it is. `started`: its stamp."""
        ...

    async def workflow_of(self, case_id: str) -> str:
        """The id of the case's own workflow, "" if there is no such case."""
        ...

    async def intruded(self, case_id: str, caller: str, asked: str, code: str) -> None:
        """Tells in the audit trail that another workflow asked an activity for something; a flood is told briefly."""
        ...

    async def claims(self, case_id: str) -> tuple[LeadClaim, ...]: ...

    async def admit(self, case_id: str, triage: Triage) -> tuple[LeadClaim, ...]:
        """Takes a triaged request in: its client, and each lead claimed or its problem. Safe to repeat."""
        ...

    async def leads(self, case_id: str, lead_ids: Sequence[str]) -> tuple[LeadRow, ...]: ...

    async def money_context(self, case_id: str) -> MoneyContext:
        """What the rules need to judge an amount: contact, limit, rates, grants of this month and of the invoices."""
        ...

    async def store_billing(self, case_id: str, billing: Billing) -> None: ...

    async def owners_today(self, case_id: str, steps: Sequence[StepOwner]) -> tuple[OwnerToday, ...]:
        """Whose each of these open steps is today, and who covers for them."""
        ...

    async def tracking_row(self, case_id: str, key: str, lead_id: str) -> tuple[str, ...]:
        """The lead's row for the RL tracking sheet (RL-7), `key` first; the same at every call of a settled case."""
        ...


class LinkedCases(Protocol):
    """Cases that follow from another one."""

    async def open(self, case_id: str, key: str, lead_ids: Sequence[str]) -> str:
        """Takes the leads out of a case and opens one of their own for them, of the same client and thread.

        Returns its id, the same for the same `key`. Safe to repeat. Retryable if Temporal can't be reached.
        """
        ...

    async def opened(self, case_id: str, key: str) -> str:
        """The id of the case that was opened for `key`, "" if its workflow is not there."""
        ...

    async def ask(self, case_id: str, effect: OpenRequest, words: Words) -> str:
        """Opens the department request that a case asks for, of the same client. Safe to repeat, as `open`.

        `words`: its title and details.
        """
        ...

    async def asked(self, case_id: str, key: str) -> str:
        """As `opened`, for a department request."""
        ...

    async def report(self, workflow_id: str, case_id: str, key: str) -> str:
        """Tells the opener that a linked case is over, or open again: "told", or "ended" if the opener is.

        `key` names the report: the same one counts once.
        """
        ...


class Openings(Protocol):
    """The doors that open cases, by the kind of the case."""

    async def admit(self, kind: str, workflow_id: str, opening: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """The workflow's input, as the door made it of the request. Raises Refused, with nothing changed."""
        ...


class Boards(Protocol):
    """The task board and the desk, as the door looks at them."""

    async def sweep(self) -> RequestsSwept:
        """Opens, resumes and tells what is found there; safe to repeat. Raises VendorError."""
        ...


class Letters(Protocol):
    """Makes letters out of templates and tables. Raises Permanent when there is nobody to send to."""

    async def compose(self, case_id: str, effect: Effect, billed: Sequence[LeadBilling] | None = None) -> OutgoingMail:
        """`billed`: of a letter about money, the leads that the gate lets through, as the books bill them now."""
        ...

    async def words(self, case_id: str, effect: Worded, brief: Brief | None = None) -> Words:
        """What a comment, note, message or request says. Raises Permanent if a text of it is missing."""
        ...


class Briefs(Protocol):
    """What department requests are about: read afresh at every call."""

    async def brief(self, case_id: str, role: str) -> Brief:
        """The case as it stands, `relevant` being those who are asked for `role` today. Raises Permanent."""
        ...

    async def who(self, board_ids: Sequence[str], emails: Sequence[str]) -> dict[str, str]:
        """Person ids by the user ids of the board and the addresses (lower case) that are known here."""
        ...

    async def list_on_agenda(self, case_id: str, key: str) -> str:
        """Puts the case on its CSM's agenda of today (database time, London), once a key; returns the day."""
        ...

    async def listed(self, key: str) -> str:
        """The day that `key` was listed for, "" if it was not."""
        ...

    async def ended(self, case_id: str) -> tuple[str, str]:
        """A case's status and outcome, ("", "") if it is not there; `closing` once it has reported its end."""
        ...


class Acts(Protocol):
    async def record(self, request: RecordActs) -> ActAnswer:
        """Judges the candidates in order, stores the first that ends or changes the step, writes refusals; one
        transaction.
        """
        ...


class Gate(Protocol):
    """The money worker's own judgement of gated effects, from stored acts and its own configuration."""

    async def plan(self, case_id: str, workflow_id: str, keys: Sequence[str]) -> tuple[Permit, ...]:
        """Re-verifies the stored acts of each key; refusals come back as permits with a `code`."""
        ...

    async def claim(
        self, case_id: str, permits: Sequence[Permit], billing: Billing, intents: Sequence[Intent]
    ) -> tuple[Claim, ...]:
        """Recomputes the sum under the client's lock, reserves the grants and commits `sending`, in one transaction."""
        ...

    async def settle(self, case_id: str, results: Sequence[Settled]) -> None: ...


class Movements(Protocol):
    """Who went, left or came back."""

    async def tell(self) -> int:
        """Tells every open case that is concerned since the last time; how many. Safe to repeat."""
        ...


class Promises(Protocol):
    """What the books are checked against (RL-11, RL-13)."""

    async def clients(self) -> tuple[CheckedClient, ...]:
        """Every client with a contact in the books, with the no-charge promises of the last 400 days."""
        ...

    async def confirmed(self, client_id: str) -> Confirmed:
        """What was granted to a client. Read after the books: whatever Holdfast put there is on record by then."""
        ...


class BooksCases(Protocol):
    async def open(self, client_id: str, finding: BooksFinding) -> bool:
        """Opens the case of a finding, linked to the promise's, unless it has one; True if it is new."""
        ...


class Later(Protocol):
    """Nudges that wait for the recipient's morning."""

    async def keep(self, case_id: str, nudge: Nudge) -> None:
        """Keeps a nudge for the next digest; the same one again is one."""
        ...

    async def is_kept(self, key: str) -> bool: ...

    async def waiting(self, case_id: str, nudge: Nudge) -> Nudge | None:
        """As it is to be kept instead: for a digest, or because nobody it is for is at work. None: it is sent."""
        ...


class Gathered(NamedTuple):
    """Digests to be sent. `nobody`: how much of what waits could be told to nobody."""

    unsent: tuple[SendDigest, ...]
    nobody: int = 0


class Digests(Protocol):
    """The digests of those whose morning has come."""

    async def gather(self) -> Gathered:
        """Puts what waits and is still open into today's digests, and returns those that are to be sent."""
        ...

    async def waited(self) -> tuple[tuple[str, Nudge], ...]:
        """Nudges, with their cases, that waited for somebody to be at work who is now; only what is still open."""
        ...

    async def compose(self, effect: SendDigest) -> OutgoingMail | None:
        """The mail, from what is still open; None when nothing is."""
        ...
