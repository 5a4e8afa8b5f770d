"""What the books say against what was promised and confirmed (RL-11, RL-13). Amounts are gross, per currency."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from domain.books import BookLine, CreditNote, Invoice, InvoiceStatus, NoteStatus
from domain.books_check import Charge, Confirmed, Promise, StrangeNote
from domain.money import Currency
from domain.rules.billing import named, share

_OURS = re.compile(r"RL-[0-9A-F]{12}(-\d+)?")
_WEIGHT = (InvoiceStatus.DRAFT, InvoiceStatus.ISSUED, InvoiceStatus.PAID)


def charges(
    promises: Iterable[Promise], invoices: Sequence[Invoice], notes: Sequence[CreditNote]
) -> tuple[Charge, ...]:
    """The promised leads that are charged all the same: on invoices, drafts too, for more than authorised notes
    credit.
    """
    live = [invoice for invoice in invoices if invoice.status in _WEIGHT]
    owed: defaultdict[tuple[str, Currency], Decimal] = defaultdict(Decimal)
    for invoice in live:
        for lead_id, gross in _shares(invoice.lines):
            owed[lead_id, invoice.currency] += gross
    for note in notes:
        if note.status is NoteStatus.AUTHORISED:
            for lead_id, gross in _shares(note.lines):
                owed[lead_id, note.currency] -= gross
    charged: dict[str, tuple[Decimal, Currency]] = {
        lead_id: (gross, currency) for (lead_id, currency), gross in owed.items() if gross > 0
    }
    return tuple(
        _charge(promise, live, notes, *charged[promise.lead_id]) for promise in promises if promise.lead_id in charged
    )


def unconfirmed(notes: Iterable[CreditNote], confirmed: Confirmed) -> tuple[StrangeNote, ...]:
    """The notes that look like ours and are not, and those that name leads nobody's confirmation is on record for."""
    found = ((note, _never_granted(note, confirmed)) for note in notes if note.status is not NoteStatus.VOIDED)
    return tuple(_strange(note, leads) for note, leads in found if leads or _forged(note, confirmed))


def _shares(lines: Iterable[BookLine]) -> Iterator[tuple[str, Decimal]]:
    for line in lines:
        leads = named(line)
        for position, lead_id in enumerate(leads):
            yield lead_id, share(line.gross, position, len(leads))


def _charge(
    promise: Promise, live: Iterable[Invoice], notes: Sequence[CreditNote], gross: Decimal, currency: Currency
) -> Charge:
    on = [one for one in live if any(promise.lead_id in named(line) for line in one.lines)]
    return Charge(
        lead_id=promise.lead_id,
        promised_in=promise.case_id,
        invoices=tuple(sorted({one.number or "a draft without a number" for one in on})),
        state=max((one.status for one in on), key=_WEIGHT.index),
        gross=gross,
        currency=currency,
        invoice_id=_creditable(promise.lead_id, on, notes),
    )


def _creditable(lead_id: str, on: Sequence[Invoice], notes: Sequence[CreditNote]) -> str:
    """The invoice, if there is one alone, it is issued, and no note, be it a draft, says anything of the lead yet."""
    noted = any(lead_id in named(line) for note in notes if note.status is not NoteStatus.VOIDED for line in note.lines)
    issued = [one.invoice_id for one in on if one.status is not InvoiceStatus.DRAFT]
    return issued[0] if not noted and len(on) == 1 and issued else ""


def _never_granted(note: CreditNote, confirmed: Confirmed) -> tuple[str, ...]:
    leads = dict.fromkeys(lead_id for line in note.lines for lead_id in named(line))
    return tuple(lead_id for lead_id in leads if lead_id not in confirmed.lead_ids)


def _forged(note: CreditNote, confirmed: Confirmed) -> bool:
    return bool(_OURS.fullmatch(note.number)) and note.number not in confirmed.numbers


def _strange(note: CreditNote, lead_ids: tuple[str, ...]) -> StrangeNote:
    return StrangeNote(
        note_id=note.note_id,
        number=note.number,
        status=note.status,
        total=note.total,
        currency=note.currency,
        lead_ids=lead_ids,
    )
