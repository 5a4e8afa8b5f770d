"""The books in Xero: implements `activities.ports.Books`."""

from collections.abc import AsyncIterator, Callable
from datetime import date, timedelta
from typing import Any, TypeVar

from pydantic import ValidationError

from adapters.http import TIMEOUT, Does, TokenSource, VendorClient
from adapters.xero import wire
from domain.books import CreditNote, Invoice, NoteStatus
from domain.errors import Permanent, Unclear

VENDOR = "Xero"

_PAGE_SIZE = 100
_MOST_PAGES = 500
_LONGEST_KEY = 128
_STATUSES = "DRAFT,SUBMITTED,AUTHORISED,PAID,VOIDED,DELETED"
_SALES_NOTE = "ACCRECCREDIT"
_SALES_INVOICE = "ACCREC"

T = TypeVar("T")


class XeroBooks:
    """One organisation (`tenant_id`) in Xero. `account_code` and `tax_type` stand in where a credited line has none."""

    def __init__(
        self,
        base_url: str,
        tenant_id: str,
        token: str | TokenSource,
        *,
        timeout: timedelta = TIMEOUT,
        account_code: str = "200",
        tax_type: str = "OUTPUT2",
    ) -> None:
        self._account_code = account_code
        self._tax_type = tax_type
        self._client = VendorClient(
            VENDOR,
            f"{base_url.rstrip('/')}/api.xro/2.0",
            token,
            timeout=timeout,
            headers={"xero-tenant-id": tenant_id},
            code_of=lambda body: body["Type"],
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def invoices(self, contact_id: str, since: date) -> tuple[Invoice, ...]:
        """All sales invoices of a contact dated `since` or later, with their lines, whatever their status."""
        where = f'Type=="{_SALES_INVOICE}" AND Date>=DateTime({since.year},{since.month:02},{since.day:02})'
        contact = _understood(wire.as_guid, contact_id)
        pages = self._pages("/Invoices", {"ContactIDs": contact, "where": where, "Statuses": _STATUSES})
        found = {one.invoice_id: one async for page in pages for one in page.invoices if one.type == _SALES_INVOICE}
        return tuple(_understood(wire.invoice, one) for one in found.values() if one.is_of(contact))

    async def credit_notes(self, contact_id: str) -> tuple[CreditNote, ...]:
        """All sales credit notes of a contact, with their lines."""
        contact = _understood(wire.as_guid, contact_id)
        found = await self._notes(f'Contact.ContactID==guid("{contact}")')
        return tuple(_understood(wire.credit_note, one) for one in found if one.is_of(contact))

    async def credit_note(self, number: str) -> CreditNote | None:
        """The note with this number, or None; a voided one only if there is no other.

        Raises Permanent `ambiguous-number` if several live notes have it.
        """
        if not number or '"' in number or "\\" in number:
            raise Permanent(VENDOR, "bad-number", "a credit note's number holds no quotes and no backslashes")
        listed = await self._notes(f'CreditNoteNumber=="{number}"')
        found = [_understood(wire.credit_note, one) for one in listed if one.credit_note_number == number]
        live = [note for note in found if note.status is not NoteStatus.VOIDED]
        if len(live) > 1:
            raise Permanent(VENDOR, "ambiguous-number", "several credit notes have this number; void all but one")
        return next(iter(live or found), None)

    async def draft_credit_note(self, note: CreditNote, key: str) -> CreditNote:
        """Creates a DRAFT note and returns it as the books hold it.

        Raises Unclear `answer-differs` if that is not, to the penny, what was asked for.
        """
        document = _understood(lambda asked: wire.new_note(asked, self._account_code, self._tax_type), note)
        stored = await self._write("PUT", "/CreditNotes", {"CreditNotes": [document]}, key)
        if stored.status is not NoteStatus.DRAFT or not wire.same_note(note, stored):
            raise Unclear(VENDOR, "answer-differs", "drafted something else than asked; compare the note in Xero")
        return stored

    async def authorise_credit_note(self, note: CreditNote, key: str) -> CreditNote:
        """Turns the draft of this number into an AUTHORISED note; one that is authorised already is returned as it is.

        What is authorised goes along: whatever the draft was edited to since it was compared, it is this. Raises
        Permanent `missing` or `voided`, and Unclear `answer-differs` if the answer is not, to the penny, this note.
        """
        _check_key(key)
        found = await self.credit_note(note.number)
        if found is None:
            raise Permanent(VENDOR, "missing", "the credit note is not in the books")
        if found.status is NoteStatus.VOIDED:
            raise Permanent(VENDOR, "voided", "the credit note was voided or deleted in the books")
        if found.status is NoteStatus.AUTHORISED:
            return found
        document = _understood(lambda asked: wire.new_note(asked, self._account_code, self._tax_type), note)
        body = {"CreditNotes": [{**document, "CreditNoteID": found.note_id, "Status": "AUTHORISED"}]}
        stored = await self._write("POST", f"/CreditNotes/{_understood(wire.as_guid, found.note_id)}", body, key)
        if stored.status is not NoteStatus.AUTHORISED or not wire.same_note(note, stored):
            raise Unclear(VENDOR, "answer-differs", "did not say that this note is authorised; look at it in Xero")
        return stored

    async def _notes(self, where: str) -> tuple[wire.WireCreditNote, ...]:
        pages = self._pages("/CreditNotes", {"where": f'Type=="{_SALES_NOTE}" AND {where}'})
        found = {one.credit_note_id: one async for page in pages for one in page.credit_notes}
        return tuple(one for one in found.values() if one.type == _SALES_NOTE)

    async def _pages(self, path: str, params: dict[str, str]) -> AsyncIterator[wire.WireListing]:
        for page in range(1, _MOST_PAGES + 1):
            query = {**params, "page": page, "pageSize": _PAGE_SIZE, "unitdp": 4}
            listing = self._read("reads", await self._client.json("reads", "GET", path, params=query))
            yield listing
            count = listing.pagination.page_count
            if (not listing.invoices and not listing.credit_notes) or (count is not None and page >= count):
                return
        raise Permanent(VENDOR, "too-many-pages", "has more documents than can be read at once")

    async def _write(self, method: str, path: str, body: object, key: str) -> CreditNote:
        _check_key(key)
        answer = await self._client.json(
            "writes", method, path, params={"unitdp": 4}, body=body, headers={"idempotency-key": key}
        )
        notes = self._read("writes", answer).credit_notes
        if len(notes) != 1 or not wire.sums_up(notes[0]):
            self._client.bad_answer("writes")
        try:
            return wire.credit_note(notes[0])
        except wire.UnsupportedError:
            self._client.bad_answer("writes")

    def _read(self, does: Does, answer: Any) -> wire.WireListing:
        try:
            return wire.WireListing.model_validate(answer)
        except ValidationError:
            self._client.bad_answer(does)


def _understood(translate: Callable[[Any], T], document: object) -> T:
    try:
        return translate(document)
    except wire.UnsupportedError as error:
        raise Permanent(VENDOR, "unsupported", str(error)) from error


def _check_key(key: str) -> None:
    if not (0 < len(key) <= _LONGEST_KEY and key.isascii() and key.isprintable()):
        raise Permanent(VENDOR, "bad-key", f"an idempotency key is 1 to {_LONGEST_KEY} printable characters")
