"""What a hand is: one effect, ready to be carried out, and how it is read back after a crash."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pydantic import JsonValue


@dataclass(frozen=True)
class Sent:
    """The other side's reference, and what is worth keeping of its answer."""

    reference: str
    data: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    message_id: str = ""


Seen = Sent | Literal["missing", "different", "cannot-tell"]


class Hand(Protocol):
    """One effect, ready to be carried out: everything it needs was read before the ledger's `sending`."""

    body_sha256: str
    recipients: tuple[str, ...]
    resend: bool  # whether "not found" on reading back makes it safe to do it again

    async def do(self) -> Sent: ...

    async def look(self) -> Seen:
        """Reads back by our own reference: done and equal, missing, different, or there is no way to tell."""
        ...
