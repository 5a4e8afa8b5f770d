"""An e-mail's bytes, read at the door. Total: an `IncomingMail` or `Refused` with a reason, whatever the bytes are."""

from dataclasses import dataclass
from email.parser import HeaderParser
from typing import Any, cast

from domain.errors import Refused
from domain.mail import IncomingMail, OriginalMessage, lead_ids_in, readable, says_looped_in
from starter.mime import headers
from starter.mime.forward import attached, only_one, quoted
from starter.mime.headers import AnyMessage
from starter.mime.leads import MOST_PROBLEMS, leads_of
from starter.mime.parts import Parts, read
from starter.mime.text import is_marker, new_part, quotes_something

LARGEST = 10 * 1024 * 1024

_FORWARD_SUBJECT = ("fw:", "fwd:", "wg:", "tr:")
_REPORTED = {"multipart/report", "message/delivery-status"}


@dataclass(frozen=True)
class _Passed:
    """What a message passes on of somebody else's."""

    is_forward: bool
    original: OriginalMessage | None


def parse(raw: bytes, *, authserv_id: str, staff_domains: frozenset[str]) -> IncomingMail:
    """Reads a message as our own server delivered it. `authserv_id` is the name it signs Authentication-Results with.

    An inner message counts only in mail from an authenticated sender of `staff_domains` (lower case): it is then the
    `original`. Everybody else's mail is its own original. Raises Refused, and nothing else.
    """
    if len(raw) > LARGEST:
        raise Refused(
            "too-large", f"the e-mail is larger than {LARGEST // 1024 // 1024} MB: send it without attachments"
        )
    if b"\0" in raw:
        raise Refused("nul-bytes", "the e-mail holds NUL bytes, which no e-mail may")
    headers.check_sizes(raw)
    try:
        return _incoming(Parts(_message(raw)), authserv_id, staff_domains)
    except Refused:
        raise
    except Exception as error:  # the standard library's parser raises whatever a broken message trips over
        raise Refused(
            "unreadable", "the e-mail is broken and can't be read: ask the sender to send it again"
        ) from error


def _message(raw: bytes) -> AnyMessage:
    message = read(raw)
    if not message.keys():
        raise Refused("not-an-email", "this is not an e-mail: it has no headers")
    return message


def _incoming(parts: Parts, authserv_id: str, staff_domains: frozenset[str]) -> IncomingMail:
    message = parts.message
    sender = headers.sender(message)
    domain = sender.rpartition("@")[2]
    (to, all_to), (cc, all_cc) = headers.people(message, "To"), headers.people(message, "Cc")
    authenticated = headers.authenticated(message, authserv_id, domain)
    new_text = new_part(parts.text)
    reported = _is_report(parts)
    mail = IncomingMail(
        message_id=next(iter(headers.message_ids(message, "Message-ID")), ""),
        sender=sender,
        to=to,
        cc=cc,
        subject=headers.text(message, "Subject"),
        sent_at=headers.date(headers.first(message, "Date")),
        in_reply_to=next(iter(headers.message_ids(message, "In-Reply-To")), ""),
        references=headers.message_ids(message, "References"),
        text=parts.text,
        new_text=new_text,
        authenticated=authenticated,
        automatic=reported or headers.automatic(message),
        bounce_of=_bounce_of(parts) if reported else "",
        attachments=parts.attachments,
        says_looped_in=says_looped_in(parts.text),
    )
    passed = _passed(parts, mail, staff_domains) if not reported else _Passed(is_forward=False, original=None)
    problems = () if all_to and all_cc else ("a recipient's address could not be read",)
    return _with_leads(
        mail.model_copy(update={"is_forward": passed.is_forward, "original": passed.original}), parts, problems
    )


def _passed(parts: Parts, mail: IncomingMail, staff_domains: frozenset[str]) -> _Passed:
    own = OriginalMessage(
        how="direct",
        message_id=mail.message_id,
        sender=mail.sender,
        to=mail.to,
        cc=mail.cc,
        subject=mail.subject,
        sent_at=mail.sent_at,
        text=mail.text,
        references=mail.references,
    )
    forwarded = bool(parts.messages) or _looks_forwarded(mail)
    if mail.sender.rpartition("@")[2] not in staff_domains:
        return _Passed(forwarded, own)
    if not forwarded and not quotes_something(mail.text):
        return _Passed(is_forward=False, original=own)
    if not mail.authenticated:
        return _Passed(is_forward=True, original=None)
    return _Passed(is_forward=True, original=_inner(parts, mail, staff_domains))


def _inner(parts: Parts, mail: IncomingMail, staff_domains: frozenset[str]) -> OriginalMessage | None:
    found = attached(parts, staff_domains)
    if found:
        return only_one(found)
    return quoted(mail.text, staff_domains, mail.sent_at.tzinfo if mail.sent_at else None)


def _looks_forwarded(mail: IncomingMail) -> bool:
    subject = mail.subject.lower().startswith(_FORWARD_SUBJECT)
    return subject or any(is_marker(line) for line in mail.text.split("\n"))


def _with_leads(mail: IncomingMail, parts: Parts, problems: tuple[str, ...]) -> IncomingMail:
    """Ids of the tables first, then those that only the text names. A forward's are the client's, if he names any."""
    original = mail.original if mail.is_forward and mail.original and mail.original.how != "direct" else None
    inner = tuple(each for part in parts.messages for each in part.attachments) if original else ()
    listed, unread = leads_of(mail.attachments + inner)
    written = lead_ids_in(new_part(original.text)) if original else ()
    named = written or (() if original and listed else lead_ids_in(mail.new_text))
    ids = listed + tuple(each for each in named if each not in set(listed))
    told = (*problems, *unread)
    if len(told) > MOST_PROBLEMS:
        told = (*told[:MOST_PROBLEMS], f"and {len(told) - MOST_PROBLEMS} more")
    return mail.model_copy(update={"lead_ids": ids, "problems": told})


def _is_report(parts: Parts) -> bool:
    kinds = {parts.message.get_content_type(), *(leaf.get_content_type() for leaf in parts.leaves)}
    return "message/delivery-status" in kinds and bool(kinds & _REPORTED)


def _bounce_of(parts: Parts) -> str:
    """The Message-ID that a report of a *failed* delivery names (RFC 3464); "" for one that is only late."""
    actions: list[str] = []
    for leaf in parts.leaves:
        if leaf.get_content_type() == "message/delivery-status":
            actions += [headers.first(block, "Action").strip().lower() for block in _blocks(leaf)]
    returned = next((found for leaf in parts.leaves if (found := _returned_id(leaf))), "")
    return returned if "failed" in actions else ""


def _blocks(part: AnyMessage) -> list[AnyMessage]:
    payload: Any = part.get_payload()
    return cast("list[AnyMessage]", payload) if isinstance(payload, list) else []


def _returned_id(part: AnyMessage) -> str:
    kind = part.get_content_type()
    if kind == "message/rfc822":
        block = next(iter(_blocks(part)), None)
    elif kind in {"text/rfc822-headers", "message/rfc822-headers"}:
        payload = part.get_payload(decode=True)
        text = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
        block = HeaderParser().parsestr(readable(text))
    else:
        return ""
    return next(iter(headers.message_ids(block, "Message-ID")), "") if block is not None else ""
