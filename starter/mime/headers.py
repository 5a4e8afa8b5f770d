"""Reading a message's headers: who, to whom, in which thread, and what our own server says about the sender."""

import re
from datetime import UTC, datetime
from email.headerregistry import Address, AddressHeader
from email.message import Message
from email.policy import default as default_policy
from email.utils import parsedate_to_datetime
from typing import cast

from domain.errors import Refused
from domain.mail import readable

_ADDRESS = re.compile(r"[^\s@<>()\[\],;:\\\"\x00-\x20\x7f]{1,64}@[^\s@<>()\[\],;:\\\"\x00-\x20\x7f]{1,253}")
_MESSAGE_ID = re.compile(r"<([^<>\s]{1,900})>")
_DMARC = re.compile(r"dmarc\s*(?:/\s*1\s*)?=\s*(\S+)", re.IGNORECASE)
_HEADER_FROM = re.compile(r"\bheader\.from\s*=\s*(\S+)", re.IGNORECASE)
_PART_FIELD = re.compile(
    rb"(?:^|[\r\n])content-[a-z-]{1,30}[ \t]*:[^\r\n]*(?:(?:\r\n|\r|\n)[ \t][^\r\n]*)*", re.IGNORECASE
)
_DISCARDED = {"bulk", "junk", "list", "auto_reply"}
_LONGEST_FIELD = 32 * 1024
_LONGEST_BLOCK = 256 * 1024
_LONGEST_FROM = 2048
_MOST_BOUNDARIES = 5_000
_MOST_REFERENCES = 100

AnyMessage = Message


def check_sizes(raw: bytes) -> None:
    """Refuses headers and part headers that would take the standard library's parser minutes."""
    ends = [at for at in (raw.find(b"\r\n\r\n"), raw.find(b"\n\n")) if at >= 0]
    if min(ends, default=len(raw)) > _LONGEST_BLOCK:
        raise Refused("headers-too-large", "the e-mail's headers are larger than any real one's")
    if raw.count(b"\n--") > _MOST_BOUNDARIES:
        raise Refused("too-many-parts", "the e-mail has more parts than any real one")
    if any(len(field[0]) > _LONGEST_FIELD for field in _PART_FIELD.finditer(raw)):
        raise Refused("headers-too-large", "the headers of one of the e-mail's parts are larger than any real one's")


def values(message: AnyMessage, name: str) -> list[str]:
    """The unfolded values of a header, top first, 8-bit bytes read as UTF-8 or else as Windows-1252."""
    found: list[str] = []
    for key, value in cast("list[tuple[str, str]]", message.raw_items()):
        if key.lower() != name.lower():
            continue
        if len(value) > _LONGEST_FIELD:
            raise Refused("headers-too-large", f"the e-mail's header {name} is larger than any real one")
        found.append(readable(_decoded(str(value))).replace("\n", ""))
    return found


def _decoded(value: str) -> str:
    content = value.encode("utf-8", "surrogateescape")
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def first(message: AnyMessage, name: str) -> str:
    return next(iter(values(message, name)), "")


def text(message: AnyMessage, name: str) -> str:
    """A header's text with its encoded words read, as one line."""
    return encoded_words(first(message, name))


def encoded_words(value: str) -> str:
    """A value with its encoded words (RFC 2047) read, as one line."""
    return " ".join(readable(str(default_policy.header_factory("Subject", value))).split())[:998] if value else ""


def _parsed(name: str, value: str) -> AddressHeader:
    return cast("AddressHeader", default_policy.header_factory(name, value))


def _spec(address: Address) -> str:
    spec = readable(address.addr_spec).lower().rstrip(".")
    return spec if _ADDRESS.fullmatch(spec) else ""


def sender(message: AnyMessage) -> str:
    """The one From address, lower case. Raises Refused for none, several or a malformed one."""
    found = values(message, "From")
    if not found:
        raise Refused("no-sender", "the e-mail says nowhere who sent it: it has no From header")
    header = _parsed("From", found[0]) if len(found[0]) <= _LONGEST_FROM else None
    addresses = header.addresses if header else ()
    if len(found) > 1 or len(addresses) > 1 or (header and any(group.display_name for group in header.groups)):
        raise Refused("several-senders", "the e-mail names more than one sender")
    spec = _spec(addresses[0]) if addresses else ""
    seen = {each.lower() for each in _ADDRESS.findall(_bare(found[0]) or "")}
    if not spec or not seen <= {spec}:
        raise Refused("bad-sender", "the e-mail's sender is not one plain e-mail address")
    return spec


def people(message: AnyMessage, name: str) -> tuple[tuple[str, ...], bool]:
    """The addresses of To or Cc, each once, and whether every one of them could be read."""
    listed = [address for value in values(message, name) for address in _parsed(name, value).addresses]
    specs = [_spec(address) for address in listed]
    return tuple(dict.fromkeys(spec for spec in specs if spec)), all(specs)


def message_ids(message: AnyMessage, name: str) -> tuple[str, ...]:
    """The ids in angle brackets of Message-ID, In-Reply-To or References."""
    joined = " ".join(values(message, name))
    return tuple(f"<{found}>" for found in _MESSAGE_ID.findall(joined))[-_MOST_REFERENCES:]


def date(value: str) -> datetime | None:
    """An aware moment, or None. A date without a zone is UTC (RFC 5322: `-0000`)."""
    try:
        moment = parsedate_to_datetime(value)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        aware.astimezone(UTC)  # overflows here rather than in the database
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return aware


def _bare(value: str) -> str | None:
    """A value without comments and quoted strings, whose insides a sender may have chosen; None if one is unclosed."""
    kept: list[str] = []
    depth = 0
    quoted = escaped = False
    for character in value:
        if escaped:
            escaped = False
        elif character == "\\" and (quoted or depth):
            escaped = True
        elif quoted:
            quoted = character != '"'
        elif character == '"' and not depth:
            quoted = True
        elif character in "()":
            depth += 1 if character == "(" else -1
        elif not depth:
            kept.append(character)
        if depth < 0:
            return None
    return None if depth or quoted or escaped else "".join(kept)


def authenticated(message: AnyMessage, authserv_id: str, sender_domain: str) -> bool:
    """Whether our own server found DMARC passed for the From domain (RFC 8601).

    Only the topmost Authentication-Results counts, and only if our server wrote it, which adds its own above the rest.
    """
    bare = _bare(first(message, "Authentication-Results"))
    if not bare:
        return False
    identity, *results = bare.split(";")
    words = identity.split()
    if not words or words[0].lower() != authserv_id.lower():
        return False
    verdicts = [result for result in results if result.strip().lower().startswith("dmarc")]
    if len(verdicts) != 1:
        return False
    verdict, domains = _DMARC.match(verdicts[0].strip()), _HEADER_FROM.findall(verdicts[0])
    passed = verdict is not None and verdict[1].lower() == "pass"
    return passed and [domain.lower().rstrip(".") for domain in domains] == [sender_domain]


def automatic(message: AnyMessage) -> bool:
    """Whether a machine sent it, so that it is never answered (RFC 3834, RFC 2076, RFC 2919)."""
    submitted = (_bare(first(message, "Auto-Submitted")) or "").split(";")[0].strip().lower()
    precedence = first(message, "Precedence").strip().lower()
    returned = first(message, "Return-Path").replace(" ", "")
    marks = ("List-Id", "X-Autoreply", "X-Autorespond")
    return (
        submitted not in {"", "no"}
        or precedence in _DISCARDED
        or returned == "<>"
        or any(values(message, name) for name in marks)
    )
