"""Canonical JSON and digests: what is signed and compared is bytes, made one way only."""

import json
import unicodedata
from hashlib import sha256
from typing import Any

from domain.errors import Refused


def canonical(value: Any) -> str:
    """JSON with sorted keys, no spaces and no floats: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False, default=_reject)


def _reject(value: object) -> str:
    raise TypeError(f"{type(value).__name__} has no canonical JSON: convert it to text first")


def digest(text: str | bytes) -> str:
    """SHA-256 of a text's UTF-8 bytes, as 64 hex digits."""
    return sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def clean(text: str, what: str, limit: int = 20_000) -> str:
    """NFC text without NUL and surrogates, at most `limit` characters; raises Refused otherwise."""
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise Refused("unreadable-text", f"{what} holds a NUL or a broken character: remove it and try again.")
    if len(text) > limit:
        raise Refused("text-too-long", f"{what} has {len(text):,} characters; the most is {limit:,}.")
    return unicodedata.normalize("NFC", text)
