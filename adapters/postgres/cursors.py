"""Where a list goes on: opaque to whoever carries it, good for that list with those filters only.

A cursor opens nothing: one that was made up is either refused or only another place to begin.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.errors import Refused
from domain.texts import canonical, digest

LONGEST = 700


@dataclass(frozen=True)
class Place:
    """The last row that was shown: its moment, and the names that tell it from others of that moment."""

    at: datetime
    names: tuple[str, ...]


def written(listed: Sequence[object], place: Place) -> str:
    """`listed` is what the list is of: its kind and its filters."""
    said = canonical([_mark(listed), place.at.isoformat(), *place.names])
    return urlsafe_b64encode(said.encode()).decode().rstrip("=")


def read(listed: Sequence[object], cursor: str, names: int) -> Place | None:
    """None for the beginning. Raises Refused `bad-cursor`."""
    if not cursor:
        return None
    try:
        mark, at, *rest = _parts(cursor)
        place = Place(datetime.fromisoformat(at), tuple(rest))
    except (ValueError, TypeError, RecursionError):
        raise _refused() from None
    sound = place.at.tzinfo is not None and len(rest) == names and all(isinstance(one, str) for one in rest)
    if mark != _mark(listed) or not sound or any("\0" in one for one in rest):
        raise _refused()
    return place


def _parts(cursor: str) -> list[Any]:
    if len(cursor) > LONGEST or not cursor.isascii():
        raise ValueError
    said = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode())
    if not isinstance(said, list):
        raise TypeError
    return said  # pyright: ignore[reportUnknownVariableType]


def _mark(listed: Sequence[object]) -> str:
    return digest(canonical([str(one) for one in listed]))[:12]


def _refused() -> Refused:
    return Refused("bad-cursor", "This cursor is not one that was given out for this list: begin without it.")
