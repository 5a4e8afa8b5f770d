"""What evidence may be: known by its own bytes, and never anything a browser would run."""

from pathlib import PurePath

from domain.errors import Refused

_BY_FIRST_BYTES = (
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
)
_RIFF = {b"WAVE": "audio/wav", b"WEBP": "image/webp"}
_TEXTS = {".txt": "text/plain", ".csv": "text/csv", ".log": "text/plain", ".eml": "message/rfc822"}
KNOWN_TYPES = frozenset({*(kind for _, kind in _BY_FIRST_BYTES), *_RIFF.values(), *_TEXTS.values(), "audio/mp4"})
ACCEPTED = ".txt,.csv,.log,.eml,.pdf,.png,.jpg,.jpeg,.gif,.webp,.mp3,.m4a,.wav,.ogg"
_MARKUP = (b"<!doctype", b"<html", b"<svg", b"<?xml", b"<script")


def type_of(content: bytes, name: str) -> str:
    """What a file is by its bytes; what it says it is does not count. Raises Refused `evidence-type`."""
    found = next((kind for first, kind in _BY_FIRST_BYTES if content.startswith(first)), "")
    if not found and content.startswith(b"RIFF"):
        found = _RIFF.get(content[8:12], "")
    if not found and content[4:8] == b"ftyp" and content[8:11] in {b"M4A", b"mp4", b"iso"}:
        found = "audio/mp4"
    return found or _text_type(content, name)


def _text_type(content: bytes, name: str) -> str:
    kind = _TEXTS.get(PurePath(name).suffix.lower(), "")
    head = content[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    try:
        content.decode()
    except UnicodeDecodeError:
        kind = ""
    if not kind or b"\0" in content or head.startswith(_MARKUP):
        raise Refused(
            "evidence-type",
            f"{name}: evidence is a text, a PDF, a picture, a recording or an e-mail. Save it as one of them; "
            "a web page is best saved as a PDF or a screenshot.",
        )
    return kind
