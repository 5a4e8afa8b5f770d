"""Slack's Events API: whether a request is Slack's, and what it says happened.

The signature is HMAC-SHA256 over the time stamp and the raw body, so that a captured one is worth five minutes.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field

from adapters.signatures import WINDOW, doubt_of, header
from domain.chat import SlackChallenge, SlackEvent
from domain.mail import readable
from domain.webhooks import WebhookDoubt, WebhookRefusal
from runtime import exact_json

_VERSION = "v0"


_KINDS: dict[str, Literal["message", "mention"]] = {"message": "message", "app_mention": "mention"}
_NEW = {"", "bot_message", "file_share", "thread_broadcast", "me_message"}  # subtypes of a message that is a new one


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _Message(_Wire):
    channel: str
    subtype: str = ""
    channel_type: str = ""
    user: str = ""
    bot_id: str = ""
    text: str = ""
    ts: str = ""
    thread_ts: str = ""


class _Envelope(_Wire):
    type: Literal["event_callback"]
    team_id: str
    event_id: str = Field(pattern=r"^[A-Za-z0-9]{1,64}$")
    event: dict[str, Any]


class _SlowedDown(_Wire):
    team_id: str
    minute_rate_limited: int


def read_webhook(
    headers: Mapping[str, str], raw: bytes, secrets: Sequence[str], now: datetime
) -> SlackEvent | SlackChallenge | WebhookRefusal:
    """What a request of Slack's says, or why it is not believed; never raises. `secrets`: those that live, two in a
    rotation.

    What Holdfast has no use for is an event of kind `other`, so that it is answered and not sent again.
    """
    stamp = header(headers, "x-slack-request-timestamp")
    signed = f"{_VERSION}:{stamp}:".encode(errors="replace") + raw
    doubt = doubt_of(signed, header(headers, "x-slack-signature"), secrets, lambda mac: f"{_VERSION}={mac.hex()}")
    if doubt is None and not _is_fresh(stamp, now):
        doubt = WebhookDoubt.STALE
    if doubt is not None:
        return WebhookRefusal(code=doubt)
    try:
        return _said(exact_json.loads(raw))
    except ValueError:
        return WebhookRefusal(code=WebhookDoubt.MALFORMED)


def _is_fresh(stamp: str, now: datetime) -> bool:
    return bool(re.fullmatch(r"[0-9]{1,12}", stamp)) and abs(now.timestamp() - int(stamp)) <= WINDOW.total_seconds()


def _said(body: object) -> SlackEvent | SlackChallenge:
    """Raises ValueError if it is not what Slack describes."""
    fields = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    if fields.get("type") == "url_verification":
        return _challenge(fields)
    return _slowed_down(fields) if fields.get("type") == "app_rate_limited" else _event(fields)


def _challenge(fields: dict[str, Any]) -> SlackChallenge:
    challenge = fields.get("challenge")
    if not isinstance(challenge, str) or not re.fullmatch(r"[A-Za-z0-9_.-]{1,200}", challenge):
        raise ValueError("the challenge is missing or no plain word")
    return SlackChallenge(challenge=challenge)


def _slowed_down(fields: dict[str, Any]) -> SlackEvent:
    """Slack drops events of a minute in which there were too many, and says so without an id."""
    told = _SlowedDown.model_validate(fields)
    return SlackEvent(
        kind="other", event_id=f"app-rate-limited/{told.team_id}/{told.minute_rate_limited}", team=told.team_id
    )


def _event(fields: dict[str, Any]) -> SlackEvent:
    envelope = _Envelope.model_validate(fields)
    kind = _KINDS.get(str(envelope.event.get("type")))
    if kind is None:
        return SlackEvent(kind="other", event_id=envelope.event_id, team=envelope.team_id)
    message = _Message.model_validate({name: value for name, value in envelope.event.items() if value is not None})
    return SlackEvent(
        kind=kind,
        event_id=envelope.event_id,
        team=envelope.team_id,
        channel=message.channel,
        user=message.user,
        ts=message.ts,
        thread_ts=message.thread_ts,
        direct=message.channel_type == "im",
        from_bot=bool(message.bot_id) or message.subtype == "bot_message",
        edited=message.subtype not in _NEW,
        text=readable(message.text).encode(),
    )
