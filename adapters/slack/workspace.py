"""A workspace of Slack: implements `activities.ports.Slack`."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from adapters.http import TIMEOUT
from adapters.slack.api import VENDOR, SlackApi
from domain.chat import ChatPosted
from domain.errors import Permanent, VendorError

EVENT_TYPE = "holdfast_message"

_LONGEST_TEXT = 39_000  # Slack cuts a text off at 40,000 characters
_LONGEST_MARKER = 500
_PAGE_SIZE = 200
_MOST_PAGES = 50
_CLOCKS_DIFFER = timedelta(minutes=5)
_PLACE = re.compile(r"[CGD][A-Z0-9]{2,30}")
_USER = re.compile(r"[UW][A-Z0-9]{2,30}")

Ts = Annotated[str, Field(pattern=r"^\d{1,12}\.\d{1,6}$")]


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _User(_Wire):
    id: str
    deleted: bool = False


class _Found(_Wire):
    ok: Literal[True]
    user: _User


class _Place(_Wire):
    id: Annotated[str, Field(pattern=_PLACE.pattern)]


class _Opened(_Wire):
    ok: Literal[True]
    channel: _Place


class _Posted(_Wire):
    ok: Literal[True]
    channel: str
    ts: Ts


class _Linked(_Wire):
    ok: Literal[True]
    permalink: str


class _Metadata(_Wire):
    event_type: str = ""
    event_payload: dict[str, object] = Field(default_factory=dict)

    def has(self, marker: str) -> bool:
        return self.event_type == EVENT_TYPE and self.event_payload.get("marker") == marker


class _Message(_Wire):
    ts: Ts
    bot_id: str = ""
    metadata: _Metadata = Field(default_factory=_Metadata)


class _More(_Wire):
    next_cursor: str = ""


class _History(_Wire):
    ok: Literal[True]
    messages: list[_Message]
    has_more: bool = False
    response_metadata: _More = Field(default_factory=_More)


class SlackWorkspace:
    """Writes as the app whose bot token it has. Channels and people are named by their ids."""

    def __init__(self, base_url: str, token: str, *, timeout: timedelta = TIMEOUT) -> None:
        self._api = SlackApi(base_url, token, timeout=timeout)

    async def aclose(self) -> None:
        await self._api.aclose()

    async def user_by_email(self, email: str) -> str:
        """The user id of an address, "" if the workspace has no such member, or no longer."""
        try:
            found = await self._api.call("reads", _Found, "users_lookupByEmail", email=email)
        except Permanent as error:
            if error.code == "users-not-found":
                return ""
            raise
        return "" if found.user.deleted else found.user.id

    async def post(self, to: str, text: str, marker: str, mention: str = "") -> ChatPosted:
        """Posts to a channel or a user's DM, with `marker` in the metadata. Nothing in `text` is markup.

        Raises Permanent `no-text`, `msg-too-long`, `bad-address` or `bad-marker` before anything is sent.
        """
        words = _checked(text, marker, mention)
        place = await self._place(to)
        posted = await self._api.call(
            "writes",
            _Posted,
            "chat_postMessage",
            channel=place,
            text=words,
            metadata={"event_type": EVENT_TYPE, "event_payload": {"marker": marker}},
            parse="none",
            link_names=False,
            unfurl_links=False,
            unfurl_media=False,
        )
        if posted.channel != place:
            self._api.bad_answer("writes")
        return await self._told(place, posted.ts)

    async def find(self, to: str, marker: str, since: datetime) -> ChatPosted | None:
        """Our own message with this marker, posted there at `since` or later, by either side's clock.

        Raises Permanent `too-many-messages` if there are more than can be read at once.
        """
        place = await self._place(to)
        oldest, cursor = f"{(since - _CLOCKS_DIFFER).timestamp():.6f}", ""
        for _ in range(_MOST_PAGES):
            page = await self._history(place, oldest, cursor)
            found = next((one for one in page.messages if one.bot_id and one.metadata.has(marker)), None)
            if found is not None:
                return await self._told(place, found.ts)
            cursor = page.response_metadata.next_cursor
            if not page.has_more or not cursor:
                return None
        raise Permanent(VENDOR, "too-many-messages", "the channel has more messages than can be read at once")

    async def _history(self, place: str, oldest: str, cursor: str) -> _History:
        return await self._api.call(
            "reads",
            _History,
            "conversations_history",
            channel=place,
            oldest=oldest,
            inclusive=True,
            include_all_metadata=True,
            limit=_PAGE_SIZE,
            cursor=cursor or None,
        )

    async def _place(self, to: str) -> str:
        """The channel to write in: opening a DM that is open already changes nothing, so it counts as reading."""
        if _PLACE.fullmatch(to):
            return to
        if not _USER.fullmatch(to):
            raise Permanent(VENDOR, "bad-address", "this is neither the id of a channel nor that of a user")
        opened = await self._api.call("reads", _Opened, "conversations_open", users=to)
        return opened.channel.id

    async def _told(self, place: str, ts: str) -> ChatPosted:
        """A message that stands there, with its link if Slack gives one: without, it is posted all the same."""
        try:
            asked = await self._api.call("reads", _Linked, "chat_getPermalink", channel=place, message_ts=ts)
        except VendorError:
            return ChatPosted(channel=place, ts=ts)
        return ChatPosted(channel=place, ts=ts, permalink=asked.permalink)


def escaped(text: str) -> str:
    """Slack's three control characters as entities: what is left can neither mention nor disguise a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _checked(text: str, marker: str, mention: str) -> str:
    if not text.strip():
        raise Permanent(VENDOR, "no-text", "there is nothing to post")
    if mention and not _USER.fullmatch(mention):
        raise Permanent(VENDOR, "bad-address", "this is not the id of a user")
    if not (0 < len(marker) <= _LONGEST_MARKER and marker.isascii() and marker.isprintable()):
        raise Permanent(VENDOR, "bad-marker", f"a marker is 1 to {_LONGEST_MARKER} printable characters")
    if not _is_text(text):
        raise Permanent(VENDOR, "unsendable", "the text cannot be written; see what it holds")
    words = f"<@{mention}> {escaped(text)}" if mention else escaped(text)
    if len(words) > _LONGEST_TEXT:
        raise Permanent(VENDOR, "msg-too-long", f"a message has at most {_LONGEST_TEXT} characters")
    return words


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
