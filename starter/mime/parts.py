"""Taking a message apart: its readable text, its attachments, the messages attached to it."""

import re
from collections.abc import Iterator
from email.parser import BytesParser
from email.policy import compat32
from functools import cached_property
from typing import Any, cast

from domain.mail import Attachment
from starter.mime.headers import AnyMessage, encoded_words
from starter.mime.text import LONGEST, html_text, part_text

_MOST_PARTS = 300
_LONGEST_NAME = 120
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,60}")


def read(raw: bytes) -> AnyMessage:
    """A message with its header values left as they are: the newer policy parses them on the way, some for minutes."""
    return BytesParser(policy=compat32).parsebytes(raw)


class Parts:
    """One message, taken apart without entering the messages attached to it."""

    def __init__(self, message: AnyMessage) -> None:
        self.message = message

    @cached_property
    def text(self) -> str:
        """What a person would read: plain text where there is some, else the HTML's."""
        return "\n".join(self._texts(self.message)).strip()[:LONGEST]

    @cached_property
    def leaves(self) -> list[AnyMessage]:
        """Every part that isn't a multipart, in order."""
        return [part for _, part in zip(range(_MOST_PARTS), _walk(self.message), strict=False)]

    @cached_property
    def messages(self) -> list["Parts"]:
        """Messages attached whole, as message/rfc822 or as an .eml file."""
        return [Parts(found) for found in map(_inner, self.leaves) if found is not None]

    @cached_property
    def attachments(self) -> tuple[Attachment, ...]:
        named = [part for part in self.leaves if _is_attachment(part)]
        return tuple(_attachment(part, number) for number, part in enumerate(named, start=1))

    def _texts(self, part: AnyMessage) -> Iterator[str]:
        if part.get_content_type() == "multipart/alternative" and part.is_multipart():
            yield self._alternative(part)
        elif part.get_content_maintype() == "multipart" and part.is_multipart():
            for child in _children(part):
                yield from self._texts(child)
        elif not _is_attachment(part):
            yield _shown(part)

    def _alternative(self, part: AnyMessage) -> str:
        plain = [child for child in _walk(part) if child.get_content_type() == "text/plain"]
        text = "\n".join(_shown(child) for child in plain if not _is_attachment(child))
        if text.strip():
            return text
        return "\n".join(text for child in _children(part) for text in self._texts(child))


def _children(part: AnyMessage) -> list[AnyMessage]:
    payload: Any = part.get_payload()
    return cast("list[AnyMessage]", payload) if isinstance(payload, list) else []


def _walk(part: AnyMessage) -> Iterator[AnyMessage]:
    if part.get_content_maintype() == "multipart" and part.is_multipart():
        for child in _children(part):
            yield from _walk(child)
    else:
        yield part


def _shown(part: AnyMessage) -> str:
    kind = part.get_content_type()
    if kind == "text/html":
        return html_text(part_text(part))
    return part_text(part) if kind == "text/plain" else ""


def _name(part: AnyMessage) -> str:
    """The file's name alone: no folders, no control characters."""
    given = encoded_words(str(part.get_filename("") or "")[: _LONGEST_NAME * 8])
    last = re.split(r"[/\\]", given)[-1]
    return re.sub(r"[\x00-\x1f\x7f]+", " ", last).strip(" .")[:_LONGEST_NAME]


def _is_attachment(part: AnyMessage) -> bool:
    text = part.get_content_type() in {"text/plain", "text/html"}
    return not text or part.get_content_disposition() == "attachment" or bool(_name(part))


def _content(part: AnyMessage) -> bytes:
    if part.is_multipart():
        return b"".join(child.as_bytes() for child in _children(part))
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _attachment(part: AnyMessage, number: int) -> Attachment:
    kind = part.get_content_type().lower()
    known = kind if _TYPE.fullmatch(kind) else "application/octet-stream"
    ending = ".eml" if known == "message/rfc822" else ""
    return Attachment(name=_name(part) or f"attachment-{number}{ending}", content_type=known, content=_content(part))


def _inner(part: AnyMessage) -> AnyMessage | None:
    if part.get_content_type() == "message/rfc822":
        return next(iter(_children(part)), None)
    if _name(part).lower().endswith(".eml"):
        return read(_content(part))
    return None
