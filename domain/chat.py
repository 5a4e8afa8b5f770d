"""Chat as the agency knows it: the channels a person can be reached by, what was posted, and what came in.

Text of people is kept as the bytes that the inbox stores, never in an id, a log or an error.
"""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from domain.case import Model


class ChannelKind(StrEnum):
    SLACK = "slack"
    WHATSAPP = "whatsapp"
    EMAIL = "email"


class Channel(Model):
    """One way to reach a person. `address` is a Slack channel or user id, a number (digits only) or an e-mail
    address.
    """

    kind: ChannelKind
    address: str


class Tried(StrEnum):
    """How one try ended. `down`: certainly not done, later it may work; `refused`: certainly not done, never will."""

    SENT = "sent"
    DOWN = "down"
    REFUSED = "refused"
    UNCLEAR = "unclear"  # may have arrived: read back, or a person looks


class Try(Model):
    """A channel that was tried, kept on record; `code` is the vendor's own, without personal data."""

    channel: Channel
    ended: Tried
    code: str = ""
    reference: str = ""


class ChatPosted(Model):
    """A message on Slack: `channel` and `ts` together name it for ever; `permalink` is empty where none was given."""

    channel: str
    ts: str
    permalink: str = ""


class SlackChallenge(Model):
    """Slack asks whether the address is ours: answer 200 with `challenge`."""

    challenge: str


class SlackEvent(Model):
    """One event of Slack's Events API, safe to store under (`slack`, `event_id`): a repetition has the same id."""

    kind: Literal["message", "mention", "other"]
    event_id: str
    team: str
    channel: str = ""
    user: str = ""
    ts: str = ""
    thread_ts: str = ""
    direct: bool = False  # a DM
    from_bot: bool = False  # our own posts come back as events: never act on them
    edited: bool = False  # changed, deleted or otherwise not a new message of a person
    text: bytes = Field(default=b"", repr=False)


class WhatsAppMessage(Model):
    """A message of a person to our number, safe to store under (`whatsapp`, `event_id`)."""

    kind: Literal["message"] = "message"
    event_id: str
    number: str = Field(repr=False)
    at: datetime
    type: str
    answers: str = ""  # the wamid it replies to
    text: bytes = Field(default=b"", repr=False)


class WhatsAppStatus(Model):
    """What became of a message of ours. `failed` may come long after the sending was answered with success.

    `code` is the vendor's number in words (`window-closed`), `retry` whether sending it later may work. `marker` is
    what we sent the message with: a state of a message whose sending was unclear says that it did go out.
    """

    kind: Literal["status"] = "status"
    event_id: str
    number: str = Field(repr=False)
    wamid: str
    state: Literal["sent", "delivered", "read", "failed"]
    at: datetime
    code: str = ""
    retry: bool = False
    marker: str = ""


WhatsAppEvent = WhatsAppMessage | WhatsAppStatus


class WhatsAppBatch(Model):
    """What one webhook told; `skipped` counts what could not be read or is of no use."""

    events: tuple[WhatsAppEvent, ...] = ()
    skipped: int = 0
