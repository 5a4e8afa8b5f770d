"""E-mail as Holdfast sees it: what it sends, and what a received message turned out to be."""

import re
import unicodedata
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

LOOP_IN_SENTENCE = "I have looped in the concerned team and they will review and revert back."  # RL-3, word for word

# Mail programs turn a typed hyphen into any of these.
_HYPHENS = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d", "-"))
LEAD_ID = re.compile(r"(?<![A-Za-z0-9_@/.#-])([A-Za-z]{1,4}-[0-9]{3,10})(?![A-Za-z0-9_@-])")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUNE", "JUL", "JULY", "AUG", "SEP", "SEPT", "OCT", "NOV", "DEC")
NOT_A_LEAD = frozenset({*_MONTHS, "INV", "CN", "PO", "ISO", "RFC", "CVE", "TEL", "FAX", "EXT"})
_SENTENCE_NOISE = re.compile(r"[\s>\"'*_\u2018\u2019\u201c\u201d\u200b\u00a0]+")


def readable(text: str) -> str:
    """Any text made safe to keep and show: NFC, without NUL and lone surrogates, lines ended by LF.

    For text from outside that must not be lost; what a person types is refused instead (`domain.texts.clean`).
    """
    unbroken = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    whole = unbroken.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return unicodedata.normalize("NFC", whole)


def lead_id(text: str) -> str:
    """The lead id that the text is, upper case, or "" if it is none."""
    match = LEAD_ID.fullmatch(text.translate(_HYPHENS).strip())
    found = match.group(1).upper() if match else ""
    return "" if found.partition("-")[0] in NOT_A_LEAD else found


def lead_ids_in(text: str) -> tuple[str, ...]:
    """Every lead id in a text (`L-1001`), upper case, in order, duplicates kept. Invoice numbers and dates are none."""
    found = (match.upper() for match in LEAD_ID.findall(text.translate(_HYPHENS)))
    return tuple(each for each in found if each.partition("-")[0] not in NOT_A_LEAD)


def says_looped_in(text: str) -> bool:
    """Whether a mail already says RL-3's sentence, however it is wrapped, quoted or marked up."""
    said = _SENTENCE_NOISE.sub(" ", text.translate(_HYPHENS)).casefold()
    return _SENTENCE_NOISE.sub(" ", LOOP_IN_SENTENCE).casefold() in said


class OutgoingMail(BaseModel):
    """One message to send. `message_id` is made before sending and is the same on every retry."""

    model_config = ConfigDict(frozen=True)
    message_id: str  # with angle brackets
    sender: str
    sender_name: str = ""
    to: tuple[str, ...]
    cc: tuple[str, ...] = ()
    subject: str
    text: str
    in_reply_to: str = ""
    references: tuple[str, ...] = ()
    automatic: bool = True  # Auto-Submitted: auto-generated


class Words(BaseModel):
    """What is said, wherever it is said: `subject` is for the channels that have one."""

    model_config = ConfigDict(frozen=True)
    subject: str
    text: str


class Attachment(BaseModel):
    model_config = ConfigDict(frozen=True)
    name: str
    content_type: str
    content: bytes


class OriginalMessage(BaseModel):
    """The client's own message: the mail itself, or what a department's forward holds of it.

    `how` says where it was read: `direct`, `attached` (message/rfc822), `quoted` (a quoted header block).
    """

    model_config = ConfigDict(frozen=True)
    how: Literal["direct", "attached", "quoted"]
    message_id: str = ""  # empty when a quoted header does not hold one
    sender: str
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    subject: str = ""
    sent_at: datetime | None = None
    text: str = ""
    references: tuple[str, ...] = ()


class IncomingMail(BaseModel):
    """A received message after parsing. Addresses are lower case. Nothing here is trusted but `authenticated`."""

    model_config = ConfigDict(frozen=True)
    message_id: str
    sender: str
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    subject: str = ""
    sent_at: datetime | None = None
    in_reply_to: str = ""
    references: tuple[str, ...] = ()
    text: str = ""  # the whole readable text, normalised NFC
    new_text: str = ""  # without quoted parts and signatures
    authenticated: bool = False  # our own server's Authentication-Results says dmarc=pass for the From domain
    automatic: bool = False  # Auto-Submitted, Precedence, List-*: never answered
    bounce_of: str = ""  # the Message-ID that a delivery status report names, if it is one
    is_forward: bool = False
    original: OriginalMessage | None = None  # None: it is a forward and the client's message could not be read
    attachments: tuple[Attachment, ...] = ()
    lead_ids: tuple[str, ...] = ()  # from new_text, CSV attachments and the original, in order, duplicates kept
    problems: tuple[str, ...] = ()  # what could not be read, one sentence each: cells, rows, attachments
    says_looped_in: bool = False  # RL-3's sentence is already in it


class RawMail(BaseModel):
    """A message as it lies in the inbox. `uid` means something only together with `uidvalidity`.

    An oversize one was not downloaded: `content` holds its headers alone, `size` is the whole message's.
    """

    model_config = ConfigDict(frozen=True)
    uid: int
    uidvalidity: int
    content: bytes
    size: int  # bytes, as the server says
    oversize: bool = False
