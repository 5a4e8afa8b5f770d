"""Telling people something by their own channels, in their own order: a channel that is down is passed over, on record.

Slack is read back by a marker; what went by mail or WhatsApp can't be, and is never sent twice on a doubt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from textwrap import shorten
from typing import Protocol

from pydantic import JsonValue

from activities.hands_made import Seen, Sent
from activities.ports import ChatWindows, Mailer, Slack, WhatsApp
from domain import ids
from domain.brief import Brief, Reached
from domain.chat import Channel, ChannelKind, Tried, Try
from domain.effects import Tell
from domain.errors import Permanent, Retryable, Unclear, VendorError
from domain.mail import OutgoingMail, Words
from domain.rules.channels import next_channel, whatsapp_form
from domain.texts import canonical, digest

HOW_FAR_BACK = timedelta(days=2)
MOST_DETAILS = 600  # in a template, whose whole text has at most 1,024 characters
ENDED: dict[type[VendorError], Tried] = {Retryable: Tried.DOWN, Permanent: Tried.REFUSED, Unclear: Tried.UNCLEAR}


class Clock(Protocol):
    def __call__(self) -> datetime: ...


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Channels:
    """The ways to people. `template` is the WhatsApp template for whoever did not write lately."""

    slack: Slack
    whatsapp: WhatsApp
    windows: ChatWindows
    mailer: Mailer
    template: str = "holdfast_task"
    language: str = "en_GB"
    now: Clock = _now


@dataclass(frozen=True)
class Message:
    """What is said: `short` with a link where the conversation belongs elsewhere (ID-10), `full` with the details."""

    short: str
    full: str
    title: str
    details: str
    link: str
    mail: OutgoingMail  # to nobody yet

    @property
    def parameters(self) -> tuple[str, str, str]:
        """What a WhatsApp template is filled with (ID-12): what, in detail, and where the rest stands."""
        details = shorten(self.details, MOST_DETAILS, placeholder=" ...") or "no more was said"
        return self.title, details, self.link or "Teamwork"


class TellHand:
    """Each of the people once, by the first of their channels that takes it. Sent if at least one was reached."""

    resend = False

    def __init__(self, channels: Channels, brief: Brief, effect: Tell, message: Message) -> None:
        self.channels, self.brief, self.message = channels, brief, message
        self.marker = ids.marker(effect.key)
        self.body_sha256 = digest(canonical([message.short, message.full]))
        ways = [way for one in brief.relevant for way in self._ways(one)]
        self.recipients = tuple(dict.fromkeys(_recipient(way) for way in ways))

    async def do(self) -> Sent:
        tried = {one.person_id: await self._reach(one) for one in self.brief.relevant}
        ends = [next_channel(self._ways(one), tried[one.person_id]) for one in self.brief.relevant]
        verdicts = {one.verdict for one in ends}
        if "sent" in verdicts:
            return Sent(_first(tried), {"tried": _on_record(tried)})
        if "unclear" in verdicts:
            raise Unclear("channels", "may-have-arrived", "a message may or may not have arrived")
        if "down" in verdicts:
            raise Retryable("channels", _code(tried), "no channel takes a message now")
        raise Permanent("channels", _code(tried), "nobody can be reached by any channel on record")

    async def look(self) -> Seen:
        since = self.channels.now() - HOW_FAR_BACK
        for way in (way for one in self.brief.relevant for way in self._ways(one)):
            if way.kind is ChannelKind.SLACK and (
                found := await self.channels.slack.find(self._room(way), self.marker, since)
            ):
                return Sent(f"slack:{found.ts}", {"tried": []})
        return "cannot-tell"

    def _ways(self, person: Reached) -> tuple[Channel, ...]:
        mail = (Channel(kind=ChannelKind.EMAIL, address=person.email),) if person.email else ()
        own = person.channels
        return own if any(one.kind is ChannelKind.EMAIL for one in own) else (*own, *mail)

    def _room(self, way: Channel) -> str:
        """ID-9: in the client's channel where there is one, else a direct message."""
        return self.brief.slack_channel or way.address

    async def _reach(self, person: Reached) -> tuple[Try, ...]:
        tried: tuple[Try, ...] = ()
        while (way := next_channel(self._ways(person), tried)).channel:
            tried = (*tried, await self._try(way.channel))
        return tried

    async def _try(self, way: Channel) -> Try:
        try:
            reference = await self._send(way)
        except VendorError as error:
            return Try(channel=way, ended=ENDED[type(error)], code=error.code)
        return Try(channel=way, ended=Tried.SENT, reference=reference)

    async def _send(self, way: Channel) -> str:
        match way.kind:
            case ChannelKind.SLACK:
                mention = way.address if self.brief.slack_channel else ""
                return (await self.channels.slack.post(self._room(way), self.message.short, self.marker, mention)).ts
            case ChannelKind.WHATSAPP:
                return await self._whatsapp(way.address)
            case ChannelKind.EMAIL:
                await self.channels.mailer.send(self.message.mail.model_copy(update={"to": (way.address,)}))
                return self.message.mail.message_id

    async def _whatsapp(self, number: str) -> str:
        last = await self.channels.windows.last_inbound(number)
        if whatsapp_form(last, self.channels.now()) == "text":
            return await self.channels.whatsapp.send_text(number, self.message.full, self.marker)
        return await self.channels.whatsapp.send_template(
            number, self.channels.template, self.channels.language, self.message.parameters, self.marker
        )


def message_of(words: Words, brief: Brief, mail: OutgoingMail) -> Message:
    """ID-10: on Slack the link, so that the conversation stays on the task; ID-11, ID-12: elsewhere all of it."""
    link = brief.task_url or brief.page
    said = mail.model_copy(update={"subject": words.subject, "text": words.text})
    return Message(
        short=f"{words.subject}\n{link}".strip(),
        full=words.text,
        title=brief.title or words.subject,
        details=brief.details,
        link=link,
        mail=said,
    )


def _recipient(way: Channel) -> str:
    return way.address if way.kind is ChannelKind.EMAIL else f"vendor:{way.kind}"


def _first(tried: dict[str, tuple[Try, ...]]) -> str:
    return next(
        f"{one.channel.kind}:{one.reference}" for ways in tried.values() for one in ways if one.ended is Tried.SENT
    )


def _on_record(tried: dict[str, tuple[Try, ...]]) -> list[JsonValue]:
    """Which channel took it and which did not, without an address."""
    return [
        {"person": person, "channel": one.channel.kind.value, "ended": one.ended.value, "code": one.code}
        for person, ways in tried.items()
        for one in ways
    ]


def _code(tried: dict[str, tuple[Try, ...]]) -> str:
    found: Sequence[Try] = [one for ways in tried.values() for one in ways]
    return found[-1].code if found else "nobody-to-tell"
