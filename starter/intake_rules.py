"""What is done with an e-mail that came in (RL-1, RL-2, RL-3): pure, from the mail and what the tables know of it.

Inbound mail never decides anything: at most a case is opened, or told that something arrived.
"""

import re

from domain import ids
from domain.intake import Decision, Known, KnownCase, NewCase, Sought, Told
from domain.mail import IncomingMail, OriginalMessage
from domain.return_lead import Doubt, LoopIn
from domain.thread import CaseThread

_TOKEN = re.compile(r"RL#[0-9a-f]{10}")
_MOST_REFERENCES = 50
_MOST_TOKENS = 5


def sought(mail: IncomingMail) -> Sought:
    """What has to be looked up about a mail."""
    original = mail.original
    references = [mail.in_reply_to, *reversed(mail.references)]
    if original:
        references += [original.message_id, *reversed(original.references)]
    found = dict.fromkeys(one for one in references if one)
    tokens = dict.fromkeys(_TOKEN.findall(f"{mail.subject}\n{mail.text}"))
    return Sought(
        sender=mail.sender,
        original_sender=original.sender if original else "",
        original_id=original.message_id if original else "",
        message_id=mail.message_id,
        references=tuple(found)[:_MOST_REFERENCES],
        tokens=tuple(tokens)[:_MOST_TOKENS],
        recipients=(*original.to, *original.cc) if original else (),
        bounce_of=mail.bounce_of,
    )


def decide(mail: IncomingMail, known: Known, event_id: str, returns_inbox: str) -> Decision:
    """The one decision of the door. `event_id` names this delivery."""
    if known.ours:
        return Decision(ignored=True, code="our-own-mail")
    if mail.bounce_of or known.bounced:
        return _bounce(known, event_id)
    if mail.automatic:
        return Decision(ignored=True, code="automatic-mail")
    if known.thread is None:
        return Decision(opens=_new(mail, known, event_id, returns_inbox))
    return _in_thread(mail, known, known.thread, event_id, returns_inbox)


def _bounce(known: Known, event_id: str) -> Decision:
    bounced = known.bounced
    if bounced is None:
        return Decision(ignored=True, code="bounce-of-another-mail")
    if bounced.effect_kind == "nudge":
        return Decision(ignored=True, code="internal-mail-bounced")
    if bounced.case.is_open:
        return Decision(code="bounced", tells=Told(case=bounced.case, fact="bounced", reference=bounced.effect_key))
    linked = linked_case(bounced.case, Doubt.CLIENT_NOT_REACHED, event_id)
    return Decision(code="bounced", opens=linked.model_copy(update={"reference": bounced.effect_key}))


def linked_case(case: KnownCase, doubt: Doubt, event_id: str) -> NewCase:
    """A person's look at something for a case that has ended, or (RL-10) at the client's late reply."""
    return NewCase(
        case_id=ids.linked_case(case.case_id, "look", event_id),
        client_id=case.client_id,
        doubt=doubt,
        linked_to=case.case_id,
    )


def _in_thread(mail: IncomingMail, known: Known, case: KnownCase, event_id: str, returns_inbox: str) -> Decision:
    client, from_staff = trusted_client(mail, known), known.staff and mail.authenticated
    colleague = from_staff and (mail.original is None or mail.original.sender == mail.sender)
    if not colleague and client != case.client_id:
        opened = _new(mail, known, event_id, returns_inbox)
        return Decision(code="another-client", opens=opened.model_copy(update={"linked_to": case.case_id}))
    own = _own_ids(mail)
    if not case.is_open:
        linked = linked_case(case, Doubt.CASE_ENDED if colleague else Doubt.LATE_REPLY, event_id)
        return Decision(code="case-ended", opens=linked.model_copy(update={"message_ids": own}))
    if known.repeated or colleague or not client:
        return Decision(code="joined", tells=Told(case=case, fact="joined", message_ids=own))
    return Decision(code="client-replied", tells=Told(case=case, message_ids=own))


def _new(mail: IncomingMail, known: Known, event_id: str, returns_inbox: str) -> NewCase:
    doubt = _doubt(mail, known)
    taken = known.thread is not None and known.repeated
    key = (mail.original.message_id if mail.original else "") or mail.message_id or event_id
    loop_in = _loop_in(mail, known, returns_inbox)
    return NewCase(
        case_id=ids.return_lead_case(f"{key}|{event_id}" if taken else key),
        client_id=trusted_client(mail, known),
        doubt=doubt,
        loop_in=loop_in,
        leads=mail.lead_ids,
        problems=mail.problems,
        thread=_thread(mail, known, loop_in),
        message_ids=_own_ids(mail),
    )


def trusted_client(mail: IncomingMail, known: Known) -> str:
    """The client the mail is from, "" unless that is proven: by himself, or by staff who pass his mail on."""
    vouched = mail.authenticated and mail.original is not None and (known.staff or mail.original.sender == mail.sender)
    return known.client_id if vouched else ""


def _doubt(mail: IncomingMail, known: Known) -> Doubt:
    """The first reason why a person must look."""
    by_staff = mail.original is None or mail.original.sender == mail.sender
    if not (known.staff or known.client_id):
        return Doubt.SENDER_UNKNOWN
    if not mail.authenticated:
        return Doubt.SENDER_UNAUTHENTICATED
    if known.staff and by_staff:
        return Doubt.ORIGINAL_UNREADABLE
    if not known.client_id:
        return Doubt.SENDER_UNKNOWN
    if mail.problems:
        return Doubt.UNREADABLE_LEADS
    return Doubt.NONE if mail.lead_ids else Doubt.NO_LEADS


def _loop_in(mail: IncomingMail, known: Known, returns_inbox: str) -> LoopIn:
    """RL-2, RL-3: the sentence goes once, in the name of the department that was asked."""
    original = mail.original
    if original is None:
        return LoopIn.NONE
    if known.staff and original.sender != mail.sender:
        return LoopIn.ALREADY_SAID if mail.says_looped_in else LoopIn.SEND
    redirected = known.speaker is not None and returns_inbox not in (*mail.to, *mail.cc)
    return LoopIn.SEND if redirected and not known.staff else LoopIn.ACKNOWLEDGE


def _thread(mail: IncomingMail, known: Known, loop_in: LoopIn) -> CaseThread:
    """Whom an answer goes to. Where the client's message can't be read that stays empty: it is never guessed."""
    asked = known.speaker if loop_in in {LoopIn.SEND, LoopIn.ALREADY_SAID} else None
    original = mail.original
    if original is None or (known.staff and original.sender == mail.sender):
        original = OriginalMessage(how="quoted", sender="", subject=mail.subject, text=mail.text)
    return CaseThread(
        message_id=original.message_id,
        sender=original.sender,
        to=original.to,
        cc=original.cc,
        subject=original.subject or mail.subject,
        references=original.references,
        department=asked.address if asked else "",
        department_name=asked.name if asked else "",
        sent_at=original.sent_at,
        arrived_at=known.now,
        text=original.text or mail.text,
    )


def _own_ids(mail: IncomingMail) -> tuple[str, ...]:
    original = mail.original.message_id if mail.original else ""
    return tuple(dict.fromkeys(one for one in (mail.message_id, original) if one))
