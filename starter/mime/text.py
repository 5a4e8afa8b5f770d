"""Reading a message's text: the right part, decoded, HTML turned into lines, and what of it is new."""

import codecs
import re
from html.parser import HTMLParser

import nh3
from mailparser_reply.constants import MAIL_LANGUAGES

from domain.mail import readable
from starter.mime.headers import AnyMessage

LONGEST = 200_000  # characters of text that are read
_LONGEST_ATTRIBUTION = 300
_ODD_CODECS = {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "utf-7", "mbcs", "oem"}
_BLOCKS = {"p", "div", "br", "tr", "li", "ul", "ol", "table", "blockquote", "h1", "h2", "h3", "h4", "hr", "pre"}
_SPACES = re.compile(r"\s+")
_QUOTE = re.compile(r"^(?:> ?)+")
_ATTRIBUTIONS = [
    re.compile(words["wrote_header"], re.IGNORECASE)
    for words in MAIL_LANGUAGES.values()
    if isinstance(words.get("wrote_header"), str)
]
_MARKER = re.compile(
    r"-{2,}\s*(?:Forwarded message|Original Message|Weitergeleitete Nachricht|Ursprüngliche Nachricht|"
    r"Message transféré|Message d'origine)\s*-{2,}|Begin forwarded message:|Anfang der weitergeleiteten Nachricht:",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"\*?(From|Sent|Date|To|Cc|Subject|Reply-To|Importance|Von|Gesendet|Datum|An|Betreff)\s*:\*?\s*(.*)"
)
_LABELS_OF_A_BLOCK = 3
_LOOK_AHEAD = 12


def decode(content: bytes, charset: str) -> str:
    """Bytes as text: in the named charset, else UTF-8, else Windows-1252; what can't be read is marked."""
    known = _codec(charset)
    for name in (known, "utf-8"):
        try:
            return readable(content.decode(name))
        except ValueError:
            continue
    return readable(content.decode(known if known.startswith("utf") else "cp1252", "replace"))


def _codec(charset: str) -> str:
    """A codec of Python's that turns bytes into text and was meant for mail."""
    try:
        known = codecs.lookup(charset)
    except (LookupError, ValueError):
        return "utf-8"
    return "utf-8" if known.name in _ODD_CODECS or not getattr(known, "_is_text_encoding", True) else known.name


def part_text(part: AnyMessage) -> str:
    payload = part.get_payload(decode=True)
    content = payload if isinstance(payload, bytes) else b""
    return decode(content[: LONGEST * 4], part.get_content_charset() or "utf-8")[:LONGEST]


class _Lines(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []
        self._quotes = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self._quotes += tag == "blockquote"
        if tag in _BLOCKS:
            self._break()
        elif tag in {"td", "th"}:
            self.written.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._quotes -= tag == "blockquote" and self._quotes > 0
        if tag in _BLOCKS - {"br", "hr"}:
            self._break()

    def handle_data(self, data: str) -> None:
        self.written.append(_SPACES.sub(" ", data))

    def _break(self) -> None:
        self.written.append("\n" + "> " * min(self._quotes, 5))


def html_text(html: str) -> str:
    """What a person would read of an HTML mail, block by block on lines of its own, quotes marked `>`."""
    dropped = {"script", "style", "head", "title", "template"}
    clean = nh3.clean(html, tags=_BLOCKS | {"td", "th", "b", "strong", "i", "a", "span"}, clean_content_tags=dropped)
    reader = _Lines()
    reader.feed(clean)
    reader.close()
    return _without_gaps("".join(reader.written).split("\n"))[:LONGEST]


def _without_gaps(lines: list[str]) -> str:
    """Lines with single spaces, and at most one empty one in a row."""
    bare = [" ".join(line.split()) for line in lines]
    return "\n".join(line for at, line in enumerate(bare) if line.strip("> ") or (at and bare[at - 1].strip("> ")))


def unquoted(line: str) -> str:
    """A line without its leading `>` marks."""
    return _QUOTE.sub("", line).strip()


def is_marker(line: str) -> bool:
    return _MARKER.fullmatch(unquoted(line)) is not None


def label(line: str) -> tuple[str, str] | None:
    """`("to", "a@b; c@d")` if the line is one of a quoted header block, in English or German."""
    found = _LABEL.fullmatch(unquoted(line))
    if not found:
        return None
    german = {"von": "from", "gesendet": "date", "datum": "date", "an": "to", "betreff": "subject", "sent": "date"}
    name = found[1].lower()
    return german.get(name, name), found[2].strip()


def starts_block(lines: list[str], at: int) -> bool:
    """Whether a quoted header block begins here: From, and at least two more of its lines close by."""
    found = label(lines[at])
    if not found or found[0] != "from":
        return False
    names: set[str] = set()
    for line in lines[at : at + _LOOK_AHEAD]:
        if not unquoted(line) and names:
            break
        if known := label(line):
            names.add(known[0])
    return len(names) >= _LABELS_OF_A_BLOCK


def attribution(lines: list[str], at: int) -> int:
    """How many lines from here on say `On ..., somebody wrote:` (up to three); 0 if they don't."""
    for count in (1, 2, 3):
        joined = " ".join(unquoted(line) for line in lines[at : at + count])
        if len(joined) > _LONGEST_ATTRIBUTION or not joined:
            return 0
        if joined.endswith(":") and any(pattern.match(joined) for pattern in _ATTRIBUTIONS):
            return count
    return 0


def _history_starts(lines: list[str], at: int) -> bool:
    if is_marker(lines[at]) or starts_block(lines, at):
        return True
    count = attribution(lines, at)
    following = next((line for line in lines[at + count : at + count + 3] if line.strip()), "")
    return count > 0 and not following.startswith(">")


def new_part(text: str) -> str:
    """The text without quoted history, attribution lines and what follows a signature's `-- `."""
    lines = text.split("\n")
    kept: list[str] = []
    at = 0
    while at < len(lines):
        if _history_starts(lines, at) or lines[at].rstrip() == "--":
            break
        count = attribution(lines, at)
        if not count and not lines[at].startswith(">"):
            kept.append(lines[at])
        at += max(count, 1)
    return "\n".join(kept).strip()


def quotes_something(text: str) -> bool:
    """Whether any of the text is somebody else's."""
    lines = text.split("\n")
    return any(
        line.startswith(">") or _history_starts(lines, at) or attribution(lines, at) for at, line in enumerate(lines)
    )
