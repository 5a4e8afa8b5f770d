"""How each kind of effect is carried out, and how it is read back after a crash. A hand never retries by itself."""

from dataclasses import dataclass, replace

from activities.board_hands import AgendaHand, AssignHand, CommentHand, CompleteHand, FollowHand, NoteHand
from activities.hands_made import Hand, Seen, Sent
from activities.nudge import NudgeHand
from activities.ports import (
    Books,
    Briefs,
    CaseStore,
    Later,
    Letters,
    LinkedCases,
    LiveChat,
    Mailer,
    PeoplesChannels,
    Sheet,
    TaskBoard,
    TicketDesk,
)
from activities.tell import Channels, TellHand, message_of
from domain import ids
from domain.books import CreditNote, NoteStatus
from domain.effects import (
    INVOICE_PAID,
    AnswerClient,
    AppendRow,
    AssignTask,
    AuthoriseCreditNote,
    CommentTask,
    CompleteTask,
    ConfirmToAccounts,
    DraftCreditNote,
    Effect,
    FollowTicket,
    Linking,
    ListDoNotInvoice,
    ListOnAgenda,
    NoteTicket,
    Nudge,
    OpenLinked,
    OpenRequest,
    ReportAgain,
    ReportEnd,
    SendLetter,
    TagChat,
    Tell,
)
from domain.errors import Permanent, Unclear
from domain.mail import OutgoingMail, Words
from domain.return_lead import Billing, BillingState
from domain.rules.billing import credit_note, same_note
from domain.texts import canonical, digest

RETURN_TAG = "return-lead"


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
    """A nudge that waits, for the recipient's morning or until they are at work: a row of our own."""

    resend = True
    recipients: tuple[str, ...] = ()

    def __init__(self, later: Later, case_id: str, effect: Nudge) -> None:
        self.later, self.case_id, self.effect = later, case_id, effect
        self.body_sha256 = digest(effect.model_dump_json())

    async def do(self) -> Sent:
        await self.later.keep(self.case_id, self.effect)
        return Sent("waits")

    async def look(self) -> Seen:
        return Sent("waits") if await self.later.is_kept(self.effect.key) else "missing"


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


class AskHand:
    """The department request that a case opens, found again by the id that follows from the effect."""

    resend = True
    recipients: tuple[str, ...] = ()

    def __init__(self, linked: LinkedCases, case_id: str, effect: OpenRequest, words: Words) -> None:
        self.linked, self.case_id, self.effect, self.words = linked, case_id, effect, words
        self.body_sha256 = digest(canonical([effect.department, words.subject, words.text]))

    async def do(self) -> Sent:
        return Sent(await self.linked.ask(self.case_id, self.effect, self.words))

    async def look(self) -> Seen:
        found = await self.linked.asked(self.case_id, self.effect.key)
        return Sent(found) if found else "missing"


class ReportHand:
    """Telling the opener costs nothing to repeat: a fact counts once."""

    resend = True
    recipients: tuple[str, ...] = ()

    def __init__(self, linked: LinkedCases, case_id: str, effect: ReportEnd | ReportAgain) -> None:
        self.linked, self.case_id, self.effect = linked, case_id, effect
        self.body_sha256 = digest(effect.to_workflow_id)

    async def do(self) -> Sent:
        return Sent(await self.linked.report(self.effect.to_workflow_id, self.case_id, self.effect.key))

    async def look(self) -> Seen:
        return "missing"


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

    def __init__(self, books: Books, note: CreditNote, key: str, *, paid: bool) -> None:
        self.books, self.note, self.key, self.paid = books, note, key, paid
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
            return self._sent(found)
        await self.books.authorise_credit_note(self.note, self.key)
        seen = await self.look()
        if not isinstance(seen, Sent):
            raise Unclear("xero", "not-read-back", "the authorised credit note could not be read back as confirmed")
        return seen

    async def look(self) -> Seen:
        found = await self.books.credit_note(self.note.number)
        if found is None or not same_note(self.note, found):
            return "different"
        return self._sent(found) if found.status is NoteStatus.AUTHORISED else "missing"

    def _sent(self, found: CreditNote) -> Sent:
        """With whether the invoice is paid by now: then somebody has to allocate or refund the note."""
        sent = _of_note(found)
        return replace(sent, data={**sent.data, INVOICE_PAID: True}) if self.paid else sent


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
    briefs: Briefs
    channels: Channels
    reached: PeoplesChannels
    later: Later | None = None


async def hand_for(  # noqa: PLR0911 - a line a kind
    world: World, case_id: str, effect: Effect, billing: Billing | None = None, contact_id: str = ""
) -> Hand:
    """The hand of an effect. Raises Permanent when its rows do not allow it to be carried out at all."""
    match effect:
        case Nudge() if world.later and (kept := await world.later.waiting(case_id, effect)):
            return LaterHand(world.later, case_id, kept)
        case SendLetter() | Nudge() | ConfirmToAccounts() | AnswerClient():
            return await _writing(world, case_id, effect, billing)
        case TagChat():
            (lead,) = await world.cases.leads(case_id, (effect.lead_id,))
            return TagHand(world.chat, lead.chat_id, lead.thread_id)
        case AppendRow():
            return RowHand(world.sheet, await world.cases.tracking_row(case_id, effect.key, effect.lead_id))
        case OpenLinked() | OpenRequest() | ReportEnd() | ReportAgain():
            return await _linking(world, case_id, effect)
        case AssignTask() | CompleteTask() | FollowTicket() | ListOnAgenda() | CommentTask() | NoteTicket() | Tell():
            return await _for_request(world, case_id, effect)
        case DraftCreditNote():
            return DraftHand(world.books, _note(case_id, effect, billing, contact_id), effect.key[:128])
        case AuthoriseCreditNote():
            note = _note(case_id, effect, billing, contact_id)
            return AuthoriseHand(world.books, note, effect.key[:128], paid=_is_paid(effect.invoice_id, billing))
        case ListDoNotInvoice():
            return ListHand(tuple(lead.lead_id for lead in billing.leads) if billing else ())
        case _:
            raise Permanent("holdfast", "no-hand", f"{effect.kind} is not carried out in the world")


Written = SendLetter | Nudge | ConfirmToAccounts | AnswerClient


async def _writing(world: World, case_id: str, effect: Written, billing: Billing | None) -> Hand:
    about_money = isinstance(effect, ConfirmToAccounts | AnswerClient)
    billed = billing.leads if billing and about_money else None
    mail = await world.letters.compose(case_id, effect, billed)
    if not isinstance(effect, Nudge):
        return LetterHand(world.mailer, mail)
    ways = await world.reached.of(mail.to, case_id)
    return NudgeHand(world.mailer, world.channels.slack, mail, ways, ids.marker(effect.key))


async def _linking(world: World, case_id: str, effect: Linking) -> Hand:
    match effect:
        case OpenLinked():
            return LinkedHand(world.linked, case_id, effect)
        case OpenRequest():
            return AskHand(world.linked, case_id, effect, await world.letters.words(case_id, effect))
        case ReportEnd() | ReportAgain():
            return ReportHand(world.linked, case_id, effect)


OnTask = AssignTask | CompleteTask | FollowTicket | ListOnAgenda
InWords = CommentTask | NoteTicket | Tell


async def _for_request(world: World, case_id: str, effect: OnTask | InWords) -> Hand:
    if isinstance(effect, CommentTask | NoteTicket | Tell):
        return await _in_words(world, case_id, effect)
    return await _on_task(world, case_id, effect)


async def _on_task(world: World, case_id: str, effect: OnTask) -> Hand:
    if isinstance(effect, ListOnAgenda):
        return AgendaHand(world.briefs, case_id, effect.key)
    brief = await world.briefs.brief(case_id, _whose(effect))
    match effect:
        case AssignTask():
            return AssignHand(world.board, brief, effect)
        case CompleteTask():
            return CompleteHand(world.board, brief)
        case FollowTicket():
            return FollowHand(world.tickets, brief, effect)


def _whose(effect: AssignTask | CompleteTask | FollowTicket) -> str:
    match effect:
        case AssignTask():
            return effect.role
        case CompleteTask():
            return ""
        case FollowTicket():
            return effect.to


async def _in_words(world: World, case_id: str, effect: InWords) -> Hand:
    brief = await world.briefs.brief(case_id, "" if isinstance(effect, NoteTicket) else effect.to)
    words = await world.letters.words(case_id, effect, brief)
    match effect:
        case CommentTask():
            return CommentHand(world.board, brief, effect, words)
        case NoteTicket():
            return NoteHand(world.tickets, brief, effect, words)
        case Tell():
            mail = await world.letters.compose(case_id, effect)
            return TellHand(world.channels, brief, effect, message_of(words, brief, mail))


def _note(
    case_id: str, effect: DraftCreditNote | AuthoriseCreditNote, billing: Billing | None, contact_id: str
) -> CreditNote:
    leads = [lead for lead in (billing.leads if billing else ()) if lead.invoice_id == effect.invoice_id]
    if not leads:
        raise Permanent("xero", "no-leads", "no confirmed lead stands on this invoice any more")
    number = ids.credit_note_number(case_id, leads[0].invoice_number, effect.turn)
    return credit_note(number, contact_id, leads)


def _is_paid(invoice_id: str, billing: Billing | None) -> bool:
    leads = billing.leads if billing else ()
    return any(lead.invoice_id == invoice_id and lead.state is BillingState.PAID for lead in leads)
