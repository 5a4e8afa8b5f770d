"""What activities ask of the world: one Protocol per outside system. Adapters implement them; `worker.py` brings both together.

Every method may raise the typed errors of `domain.errors`: Retryable, Permanent or Unclear, and nothing else of the vendor's.
No method retries by itself.
"""

from collections.abc import Sequence
from datetime import date
from typing import Protocol

from domain.books import CreditNote, Invoice
from domain.mail import OutgoingMail


class Mailer(Protocol):
    async def send(self, mail: OutgoingMail) -> None:
        """Hands one message to the mail server. There is no read-back: a timeout after DATA is Unclear."""
        ...


class Books(Protocol):
    """The accounts (Xero). Amounts come back as the books hold them, read afresh at every call."""

    async def invoices(self, contact_id: str, since: date) -> tuple[Invoice, ...]:
        """All invoices of a contact dated `since` or later, with their lines, whatever their status."""
        ...

    async def credit_notes(self, contact_id: str) -> tuple[CreditNote, ...]:
        """All credit notes of a contact, with their lines."""
        ...

    async def credit_note(self, number: str) -> CreditNote | None:
        """The note with this number, or None."""
        ...

    async def draft_credit_note(self, note: CreditNote, key: str) -> CreditNote:
        """Creates a DRAFT note; `key` (at most 128 characters) makes a repeat within the vendor's window harmless."""
        ...

    async def authorise_credit_note(self, number: str, key: str) -> CreditNote:
        """Turns a draft into an AUTHORISED note. Permanent if it is missing or voided."""
        ...


class Sheet(Protocol):
    """The RL tracking sheet. Column A holds our key."""

    async def find(self, key: str) -> tuple[str, ...] | None:
        """The row whose first cell is `key`, or None."""
        ...

    async def append(self, row: Sequence[str]) -> str:
        """Appends one row, taken as text (nothing is evaluated); returns the range it went to."""
        ...


class LiveChat(Protocol):
    async def tags(self, chat_id: str, thread_id: str) -> tuple[str, ...]:
        """The tags on a thread. Permanent with code `not-found` if there is no such chat or thread."""
        ...

    async def tag(self, chat_id: str, thread_id: str, tag: str) -> None:
        """Puts a tag on a thread; a tag already there is a success."""
        ...
