"""Finding the client's own message in what a department passed on.

What can't be read for certain is left out, never guessed.
"""

import re
from datetime import datetime, timedelta, timezone, tzinfo

from domain.errors import Refused
from domain.mail import OriginalMessage
from starter.mime.headers import date, message_ids, people, sender
from starter.mime.headers import text as header_text
from starter.mime.parts import Parts
from starter.mime.text import label, starts_block, unquoted

_DEEPEST = 4
_MAILTO = re.compile(r"[<\[]mailto:[^>\]\s]*[>\]]", re.IGNORECASE)
_ADDRESS = re.compile(r"[^\s@<>()\[\],;:\\\"']{1,64}@[^\s@<>()\[\],;:\\\"']{1,253}")
_SPLIT = re.compile(r"[;,](?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)")
_GREENWICH = re.compile(r"\s(?:GMT|UTC)([+-]\d{1,2})?$")
_OFFSET = re.compile(r"\s[+-]\d{4}\b")
_LONGEST_LIST = 4_000
_LONGEST_BLOCK = 40
_NAIVE_FORMATS = (
    "%A, %B %d, %Y %I:%M %p",
    "%A, %B %d, %Y %I:%M:%S %p",
    "%A, %d %B %Y %H:%M",
    "%A, %d %B %Y %H:%M:%S",
    "%d %B %Y %H:%M",
    "%d %B %Y %H:%M:%S",
    "%a, %b %d, %Y at %I:%M %p",
    "%a, %d %b %Y at %H:%M",
    "%d %B %Y at %H:%M:%S",
    "%B %d, %Y at %I:%M:%S %p",
)


def attached(parts: Parts, staff_domains: frozenset[str], depth: int = 0) -> list[OriginalMessage]:
    """Messages from outside among the attached ones, looking into those that staff attached."""
    found: list[OriginalMessage] = []
    for inner in parts.messages if depth < _DEEPEST else ():
        try:
            author = sender(inner.message)
        except Refused:
            continue
        if author.rpartition("@")[2] not in staff_domains:
            found.append(_from_attached(inner, author))
        else:
            deeper = attached(inner, staff_domains, depth + 1)
            found += deeper or _as_list(quoted(inner.text, staff_domains, _zone(inner)))
    return found


def _as_list(message: OriginalMessage | None) -> list[OriginalMessage]:
    return [] if message is None else [message]


def _zone(parts: Parts) -> tzinfo | None:
    sent = date(header_text(parts.message, "Date"))
    return sent.tzinfo if sent else None


def _from_attached(parts: Parts, author: str) -> OriginalMessage:
    message = parts.message
    return OriginalMessage(
        how="attached",
        message_id=next(iter(message_ids(message, "Message-ID")), ""),
        sender=author,
        to=people(message, "To")[0],
        cc=people(message, "Cc")[0],
        subject=header_text(message, "Subject"),
        sent_at=date(header_text(message, "Date")),
        text=parts.text,
        references=message_ids(message, "References"),
    )


def only_one(found: list[OriginalMessage]) -> OriginalMessage | None:
    """The message if there is one, however often it is attached; which of two it is, a person decides."""
    distinct = {(each.message_id, each.sender, each.subject, each.text): each for each in found}
    return next(iter(distinct.values())) if len(distinct) == 1 else None


def quoted(text: str, staff_domains: frozenset[str], zone: tzinfo | None) -> OriginalMessage | None:
    """The first quoted header block whose sender is from outside; None if there is none or it can't be read whole.

    A date without a zone is in `zone`, the one of the mail program that quoted it.
    """
    lines = text.split("\n")
    for at in range(len(lines)):
        if starts_block(lines, at):
            fields, end = _fields(lines, at)
            author = _one_address(fields.get("from", ""))
            if not author:
                return None
            if author.rpartition("@")[2] not in staff_domains:
                return _from_quoted(fields, author, lines[end:], zone)
    return None


def _fields(lines: list[str], at: int) -> tuple[dict[str, str], int]:
    """The block's values by label, wrapped lines joined, and where the block ends."""
    fields: dict[str, str] = {}
    last = ""
    end = at
    for line in lines[at : at + _LONGEST_BLOCK]:
        known = label(line)
        if known and known[0] not in fields:
            last = known[0]
            fields[last] = known[1]
        elif known or not unquoted(line) or not _goes_on(fields[last], unquoted(line)):
            break
        else:
            fields[last] = f"{fields[last]} {unquoted(line)}"
        end += 1
    return fields, end


def _goes_on(value: str, line: str) -> bool:
    """Whether a line without a label continues the one before: a list that ended open, or a label alone."""
    return not value or value.rstrip().endswith((",", ";")) or line.startswith("<")


def _from_quoted(fields: dict[str, str], author: str, rest: list[str], zone: tzinfo | None) -> OriginalMessage | None:
    to, cc = _addresses(fields.get("to", "")), _addresses(fields.get("cc", ""))
    if not to or cc is None:
        return None
    return OriginalMessage(
        how="quoted",
        sender=author,
        to=to,
        cc=cc,
        subject=fields.get("subject", "")[:998],
        sent_at=_moment(fields.get("date", ""), zone),
        text="\n".join(unquoted(line) for line in rest).strip(),
    )


def _found(text: str) -> tuple[str, ...]:
    """The addresses in a text, each once. `a@b<mailto:a@b>` is one; `[mailto:a@b]` alone counts as well."""
    plain = _MAILTO.sub(" ", text)
    kept = plain if _ADDRESS.search(plain) else text.replace("mailto:", " ")
    return tuple(dict.fromkeys(each.lower().rstrip(".") for each in _ADDRESS.findall(kept)))


def _one_address(text: str) -> str:
    found = _found(text[:_LONGEST_LIST])
    return found[0] if len(found) == 1 else ""


def _addresses(text: str) -> tuple[str, ...] | None:
    """The addresses of a quoted list; None if one entry holds a bare name: whoever that is would be left out."""
    if len(text) > _LONGEST_LIST:
        return None
    separator = ";" if ";" in text else ","
    entries = [entry.strip() for entry in (text.split(";") if separator == ";" else _SPLIT.split(text))]
    found = [_one_address(entry) for entry in entries if entry]
    return tuple(dict.fromkeys(found)) if all(found) else None


def _moment(value: str, zone: tzinfo | None) -> datetime | None:
    if named := _GREENWICH.search(value):
        return _moment(value[: named.start()], timezone(timedelta(hours=int(named[1] or 0))))
    for form in _NAIVE_FORMATS:
        try:
            naive = datetime.strptime(" ".join(value.split()), form)  # noqa: DTZ007 - the zone is the forwarder's
        except ValueError:
            continue
        return naive.replace(tzinfo=zone) if zone else None
    return date(value) if _OFFSET.search(value) else None
