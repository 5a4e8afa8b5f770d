"""Reading the books: how each lead of a case is billed at this moment, and what it comes to."""

from collections.abc import Collection, Sequence
from datetime import timedelta

from activities.hands import World
from domain import ids
from domain.books import CreditNote, NoteStatus
from domain.gate import MoneyContext
from domain.return_lead import Billing
from domain.rules.authority import judge
from domain.rules.billing import bill

HOW_FAR_BACK = timedelta(days=400)


async def read_billing(
    world: World, case_id: str, lead_ids: Sequence[str], context: MoneyContext, turns: Collection[int] = ()
) -> Billing:
    """How each lead is billed now; the case's own drafts are left out, and its notes of `turns` (confirmations), since
    they are what is being made. Another of its notes that is authorised is a credit like any.
    """
    rows = await world.cases.leads(case_id, lead_ids)
    if not context.contact_id:
        return judge(bill(rows, (), ()), rows, context)
    invoices = await world.books.invoices(context.contact_id, context.today - HOW_FAR_BACK)
    numbers = [invoice.number for invoice in invoices]
    making = {ids.credit_note_number(case_id, number, turn) for number in numbers for turn in turns}

    def is_made(note: CreditNote) -> bool:
        ours = any(ids.is_credit_note_of(note.number, case_id, number) for number in numbers)
        return note.number not in making and not (ours and note.status is NoteStatus.DRAFT)

    notes = [note for note in await world.books.credit_notes(context.contact_id) if is_made(note)]
    return judge(bill(rows, invoices, notes), rows, context)
