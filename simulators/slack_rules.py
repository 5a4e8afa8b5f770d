"""What Slack itself insists on: arguments, pages of a history, and how a text is read by people."""

import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

DIRECT = "D"

_LONGEST_TEXT = 40_000
_LARGEST_METADATA = 8_000
_MOST_PER_PAGE = 999
_POSTED = {
    "channel",
    "text",
    "metadata",
    "mrkdwn",
    "parse",
    "link_names",
    "unfurl_links",
    "unfurl_media",
    "thread_ts",
    "reply_broadcast",
}
_TS = re.compile(r"\d{1,12}(\.\d{1,6})?")
_BARE_LINK = re.compile(r"(?<![<|\w])https?://[^\s<>|]+")
_MARKED = re.compile(r"<([^<>]*)>")


class NotOkError(Exception):
    """Slack's own refusal: HTTP 200 with `ok: false` and this error."""


@dataclass(frozen=True)
class Shown:
    """A text as people see it: what it says, who it notifies (users, `here`, `channel`), and where its links lead."""

    text: str
    mentions: tuple[str, ...]
    links: tuple[tuple[str, str], ...]


def shown(text: str) -> Shown:
    """How Slack's clients read a stored text."""
    mentions: list[str] = []
    links: list[tuple[str, str]] = []

    def read(found: re.Match[str]) -> str:
        what, _, label = found[1].partition("|")
        if what.startswith(("@", "!")):
            mentions.append(what[1:])
            return f"@{what[1:]}"
        if what.startswith("#"):
            return what
        links.append((html.unescape(what), html.unescape(label or what)))
        return label or what

    return Shown(html.unescape(_MARKED.sub(read, text)), tuple(mentions), tuple(links))


def linked(text: str) -> str:
    """Slack wraps the bare links of a text in angle brackets before it stores it."""
    return _BARE_LINK.sub(lambda found: f"<{found[0]}>", text)


def checked_message(given: dict[str, Any]) -> dict[str, Any]:
    """What is stored of a new message. Raises NotOkError."""
    if set(given) - _POSTED:
        raise NotOkError("invalid_arguments")
    text = given.get("text")
    if not isinstance(text, str) or not text.strip():
        raise NotOkError("no_text")
    if len(text) > _LONGEST_TEXT:
        raise NotOkError("msg_too_long")
    message: dict[str, Any] = {"text": linked(text), "unfurls": flag(given.get("unfurl_links", "1"))}
    if "thread_ts" in given:
        message["thread_ts"] = given["thread_ts"]
    if "metadata" in given:
        message["metadata"] = _metadata(given["metadata"])
    return message


def _metadata(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise NotOkError("invalid_metadata_format")
    fields = cast("dict[str, Any]", value)
    if set(fields) != {"event_type", "event_payload"} or not isinstance(fields["event_payload"], dict):
        raise NotOkError("invalid_metadata_format")
    if not isinstance(fields["event_type"], str) or not fields["event_type"]:
        raise NotOkError("invalid_metadata_schema")
    if len(json.dumps(fields)) > _LARGEST_METADATA:
        raise NotOkError("metadata_too_large")
    return fields


def public(message: dict[str, Any], *, metadata: bool) -> dict[str, Any]:
    """A message as the API shows it; its metadata only when it was asked for."""
    hidden = {"unfurls"} if metadata else {"unfurls", "metadata"}
    return {name: value for name, value in message.items() if name not in hidden}


def page_of(messages: Sequence[dict[str, Any]], given: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """A page of a history, newest first, and the cursor of the next one. Replies in threads are not part of it."""
    oldest, latest = _moment(given, "oldest"), _moment(given, "latest")
    inclusive = flag(given.get("inclusive", "0"))
    found = [
        message
        for message in reversed(messages)
        if message.get("thread_ts", message["ts"]) == message["ts"] and _within(message, oldest, latest, inclusive)
    ]
    limit, start = _number(given.get("limit", "100"), "invalid_limit"), 0
    if "cursor" in given:
        start = _number(given["cursor"], "invalid_cursor")
    if not 1 <= limit <= _MOST_PER_PAGE:
        raise NotOkError("invalid_limit")
    more = start + limit < len(found)
    return found[start : start + limit], str(start + limit) if more else ""


def _within(message: dict[str, Any], oldest: float | None, latest: float | None, inclusive: bool) -> bool:
    at = float(message["ts"])
    after = oldest is None or at > oldest or (inclusive and at == oldest)
    return after and (latest is None or at < latest or (inclusive and at == latest))


def _moment(given: dict[str, Any], name: str) -> float | None:
    value = given.get(name)
    if value is None:
        return None
    if not _TS.fullmatch(str(value)):
        raise NotOkError(f"invalid_ts_{name}")
    return float(str(value))


def _number(value: object, otherwise: str) -> int:
    if not re.fullmatch(r"\d{1,9}", str(value)):
        raise NotOkError(otherwise)
    return int(str(value))


def flag(value: object) -> bool:
    """Slack takes booleans as JSON, `1` and `true`."""
    return str(value).lower() in {"1", "true"}


def permalink(channel: str, ts: str) -> str:
    return f"https://holdfast.slack.com/archives/{channel}/p{ts.replace('.', '')}"


def envelope(event: dict[str, Any], *, team: str, app: str, number: int, bot_user: str) -> dict[str, Any]:
    """The Events API's wrapping of one event."""
    return {
        "token": "none",
        "team_id": team,
        "api_app_id": app,
        "event": event,
        "type": "event_callback",
        "event_id": f"Ev{number:013X}",
        "event_time": int(event["event_ts"].split(".")[0]),
        "authorizations": [
            {
                "enterprise_id": None,
                "team_id": team,
                "user_id": bot_user,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
        "is_ext_shared_channel": False,
        "event_context": f"4-{number:013X}",
    }
