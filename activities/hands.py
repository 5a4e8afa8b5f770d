"""How each kind of effect is carried out, and how it is read back after a crash. A hand never retries by itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pydantic import JsonValue

from activities.ports import (
    Books,
    CaseStore,
    Later,
    Letters,
    LinkedCases,
    LiveChat,
    Mailer,
    Sheet,
    TaskBoard,
    TicketDesk,
)
from domain import ids
from domain.books import CreditNote, NoteStatus
from domain.effects import (
    AnswerClient,
    AppendRow,
    AuthoriseCreditNote,
    ConfirmToAccounts,
    DraftCreditNote,
    Effect,
    ListDoNotInvoice,
    Nudge,
    OpenLinked,
    SendLetter,
    TagChat,
)
from domain.errors import Permanent, Unclear
from domain.mail import OutgoingMail
from domain.return_lead import Billing
from domain.rules.billing import credit_note, same_note
from domain.texts import canonical, digest

RETURN_TAG = "return-lead"


@dataclass(frozen=True)
class Sent:
    """The other side's reference, and what is worth keeping of its answer."""

    reference: str
    data: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    message_id: str = ""


Seen = Sent | Literal["missing", "different", "cannot-tell"]


class Hand(Protocol):
    """One effect, ready to be carried out: everything it needs was read before the ledger's `sending`."""

    body_sha256: str
    recipients: tuple[str, ...]
    resend: bool  # whether "not found" on reading back makes it safe to do it again

    async def do(self) -> Sent: ...

    async def look(self) -> Seen:
        """Reads back by our own reference: done and equal, missing, different, or there is no way to tell."""
        ...


class LetterHand:
    """A mail: there is no reading back, so an unclear sending stays unclear until a person says what to do."""

    resend = False

    def __init__(self, mailer: Mailer, mail: OutgoingMail) -> None:
        self.mailer, self.mail = mailer, mail
        self.body_sha256 = digest(mail.model_dump_json())
        self.recipients = (*mail.to, *mail.cc)

    async def do(self) -> Sent:
        await self.mailer.send(self.mail)
        return Sent(self.mail.message_id, message_id=self.mail.message_id)

    async def look(self) -> Seen:
        return "cannot-tell"


class LaterHand:
    """A nudge that waits for the recipient's morning: a row of our own, from which the digest is made."""

    resend = True
    recipients: tuple[str, ...] = ()

    def __init__(self, later: Later, case_id: str, effect: Nudge) -> None:
        self.later, self.case_id, self.effect = later, case_id, effect
        self.body_sha256 = digest(effect.model_dump_json())

    async def do(self) -> Sent:
        await self.later.keep(self.case_id, self.effect)
        return Sent("morning-digest")

    async def look(self) -> Seen:
        return Sent("morning-digest") if await self.later.is_kept(self.effect.key) else "missing"


class DigestHand(LetterHand):
    """A digest is a mail that belongs to no case: an answer to it is not one to a client's thread."""

    async def do(self) -> Sent:
        await self.mailer.send(self.mail)
        return Sent(self.mail.message_id)


class NothingLeftHand:
    """A digest whose every line was done before it could be sent."""

    resend = True
    recipients: tuple[str, ...] = ()
    body_sha256 = ""

    async def do(self) -> Sent:
        return Sent("nothing-left")

    async def look(self) -> Seen:
        return Sent("nothing-left")


class TagHand:
    """The mark on Live Chat (RL-7); a lead without a chat is recorded as such."""

    resend = True
    recipients: tuple[str, ...] = ("vendor:livechat",)

    def __init__(self, chat: LiveChat, chat_id: str, thread_id: str) -> None:
        self.chat, self.chat_id, self.thread_id = chat, chat_id, thread_id
        self.body_sha256 = digest(canonical([chat_id, thread_id, RETURN_TAG]))

    async def do(self) -> Sent:
        if not self.chat_id:
            return Sent("no-chat")
        await self.chat.tag(self.chat_id, self.thread_id, RETURN_TAG)
        return Sent(f"{self.chat_id}/{self.thread_id}")

    async def look(self) -> Seen:
        if not self.chat_id:
            return Sent("no-chat")
        found = RETURN_TAG in await self.chat.tags(self.chat_id, self.thread_id)
        return Sent(f"{self.chat_id}/{self.thread_id}") if found else "missing"


class RowHand:
    """The row on the RL tracking sheet (RL-7), found again by its key."""

    resend = True
    recipients: tuple[str, ...] = ("vendor:sheets",)

    def __init__(self, sheet: Sheet, row: tuple[str, ...]) -> None:
        self.sheet, self.row = sheet, row
        self.body_sha256 = digest(canonical(list(row)))

    async def do(self) -> Sent:
        seen = await self.look()
        if seen == "different":
            raise Permanent("sheets", "row-differs", "a row with our key holds something else")
        return seen if isinstance(seen, Sent) else Sent(await self.sheet.append(self.row))

    async def look(self) -> Seen:
        found = await self.sheet.find(self.row[0])
        if found is None:
            return "missing"
        return Sent(self.row[0]) if tuple(found)[: len(self.row)] == self.row else "different"


class LinkedHand:
    """The case that overturned leads are settled in (RL-10), found again by the id that follows from the effect."""

    resend = True
    recipients: tuple[str, ...] = ()

    def __init__(self, linked: LinkedCases, case_id: str, effect: OpenLinked) -> None:
        self.linked, self.case_id, self.effect = linked, case_id, effect
        self.body_sha256 = digest(canonical(list(effect.lead_ids)))

    async def do(self) -> Sent:
        return Sent(await self.linked.open(self.case_id, self.effect.key, self.effect.lead_ids))

    async def look(self) -> Seen:
        found = await self.linked.opened(self.case_id, self.effect.key)
        return Sent(found) if found else "missing"


class DraftHand:
    """A draft credit note, found again by the number that is ours (RL-12)."""

    resend = True
    recipients: tuple[str, ...] = ("vendor:xero",)

    def __init__(self, books: Books, note: CreditNote, key: str) -> None:
        self.books, self.note, self.key = books, note, key
        self.body_sha256 = digest(note.model_dump_json())

    async def do(self) -> Sent:
        seen = await self.look()
        if seen == "different":
            raise Permanent("xero", "number-taken", "a credit note with our number holds something else")
        if isinstance(seen, Sent):
            return seen
        return _of_note(await self.books.draft_credit_note(self.note, self.key))

    async def look(self) -> Seen:
        found = await self.books.credit_note(self.note.number)
        if found is None:
            return "missing"
        return _of_note(found) if same_note(self.note, found) else "different"


class AuthoriseHand:
    """Authorises a draft that is exactly what was signed for, and reads it back (RL-12)."""

    resend = True
    recipients: tuple[str, ...] = ("vendor:xero",)

    def __init__(self, books: Books, note: CreditNote, key: str) -> None:
        self.books, self.note, self.key = books, note, key
        self.body_sha256 = digest(note.model_dump_json() + ":authorise")

    async def do(self) -> Sent:
        found = await self.books.credit_note(self.note.number)
        if found is None or not same_note(self.note, found):
            raise Permanent(
                "xero",
                "draft-differs",
                "the draft is not what was confirmed: put it right in the books, then try again",
            )
        if found.status is NoteStatus.AUTHORISED:
            return _of_note(found)
        await self.books.authorise_credit_note(self.note.number, self.key)
        seen = await self.look()
        if not isinstance(seen, Sent):
            raise Unclear("xero", "not-read-back", "the authorised credit note could not be read back as confirmed")
        return seen

    async def look(self) -> Seen:
        found = await self.books.credit_note(self.note.number)
        if found is None or not same_note(self.note, found):
            return "different"
        return _of_note(found) if found.status is NoteStatus.AUTHORISED else "missing"


class ListHand:
    """The do-not-invoice list is a table of our own: the ledger's own commit puts the leads on it (RL-11)."""

    resend = True
    recipients: tuple[str, ...] = ()

    def __init__(self, lead_ids: tuple[str, ...]) -> None:
        self.body_sha256 = digest(canonical(list(lead_ids)))
        self.reference = f"{len(lead_ids)} leads"

    async def do(self) -> Sent:
        return Sent(self.reference)

    async def look(self) -> Seen:
        return Sent(self.reference)


def _of_note(note: CreditNote) -> Sent:
    return Sent(note.number, {"total": str(note.total), "currency": note.currency, "status": note.status.value})


@dataclass(frozen=True)
class World:
    """The ports that effects are carried out through."""

    cases: CaseStore
    letters: Letters
    mailer: Mailer
    books: Books
    sheet: Sheet
    chat: LiveChat
    board: TaskBoard
    tickets: TicketDesk
    linked: LinkedCases
    later: Later | None = None


async def hand_for(
    world: World, case_id: str, effect: Effect, billing: Billing | None = None, contact_id: str = ""
) -> Hand:
    """The hand of an effect. Raises Permanent when its rows do not allow it to be carried out at all."""
    match effect:
        case Nudge(digest=True) if world.later:
            return LaterHand(world.later, case_id, effect)
        case SendLetter() | Nudge() | ConfirmToAccounts() | AnswerClient():
            return LetterHand(world.mailer, await world.letters.compose(case_id, effect))
        case TagChat():
            (lead,) = await world.cases.leads(case_id, (effect.lead_id,))
            return TagHand(world.chat, lead.chat_id, lead.thread_id)
        case AppendRow():
            return RowHand(world.sheet, await world.cases.tracking_row(case_id, effect.key, effect.lead_id))
        case OpenLinked():
            return LinkedHand(world.linked, case_id, effect)
        case DraftCreditNote():
            return DraftHand(world.books, _note(case_id, effect.invoice_id, billing, contact_id), effect.key[:128])
        case AuthoriseCreditNote():
            return AuthoriseHand(world.books, _note(case_id, effect.invoice_id, billing, contact_id), effect.key[:128])
        case ListDoNotInvoice():
            return ListHand(tuple(lead.lead_id for lead in billing.leads) if billing else ())
        case _:
            raise Permanent("holdfast", "no-hand", f"{effect.kind} is not carried out in the world")


def _note(case_id: str, invoice_id: str, billing: Billing | None, contact_id: str) -> CreditNote:
    leads = [lead for lead in (billing.leads if billing else ()) if lead.invoice_id == invoice_id]
    if not leads:
        raise Permanent("xero", "no-leads", "no confirmed lead stands on this invoice any more")
    return credit_note(ids.credit_note_number(case_id, leads[0].invoice_number), contact_id, leads)
