"""E-mail as Holdfast sees it: what it sends, and what a received message turned out to be."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict


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
