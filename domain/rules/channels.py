"""Which channel reaches a person next, and in which form WhatsApp lets us write (ID-9, ID-11, ID-12)."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from domain.case import Model
from domain.chat import Channel, ChannelKind, Tried, Try

WHATSAPP_WINDOW = timedelta(hours=24)
WINDOW_MARGIN = timedelta(minutes=5)  # a message that leaves in time must arrive in time, by clocks that differ

Form = Literal["text", "template"]


class NextChannel(Model):
    """What to do after the tries so far. `channel` is None unless there is one to try.

    `sent`: one of them took it. `unclear`: one may have it; read back or let a person look, for a second message
    cannot be taken back. `down`: nobody took it and some may later. `refused`: nobody ever will.
    """

    verdict: Literal["try", "sent", "unclear", "down", "refused"]
    channel: Channel | None = None


def next_channel(channels: Sequence[Channel], tried: Sequence[Try]) -> NextChannel:
    """The first channel in the person's order that was not tried, as long as nobody has the message or may have it."""
    ended = {one.ended for one in tried}
    if Tried.SENT in ended:
        return NextChannel(verdict="sent")
    if Tried.UNCLEAR in ended:
        return NextChannel(verdict="unclear")
    used = [one.channel for one in tried]
    left = next((channel for channel in channels if channel not in used), None)
    if left is not None:
        return NextChannel(verdict="try", channel=left)
    return NextChannel(verdict="down" if Tried.DOWN in ended else "refused")


def whatsapp_form(last_inbound_at: datetime | None, now: datetime) -> Form:
    """Free text only within 24 hours of the person's last message, else a template. Times are aware."""
    if last_inbound_at is None or last_inbound_at > now + WINDOW_MARGIN:
        return "template"
    return "text" if now - last_inbound_at < WHATSAPP_WINDOW - WINDOW_MARGIN else "template"


def slack_before_mail(channels: Sequence[Channel]) -> str:
    """The Slack user id of somebody who would rather be asked there than by e-mail, "" for everybody else."""
    asked = next((one for one in channels if one.kind in {ChannelKind.SLACK, ChannelKind.EMAIL}), None)
    return asked.address if asked is not None and asked.kind is ChannelKind.SLACK else ""
