"""Reading the books: how each lead of a case is billed at this moment, and what it comes to."""

from collections.abc import Sequence
from datetime import timedelta

from activities.hands import World
from domain import ids
from domain.gate import MoneyContext
from domain.return_lead import Billing
from domain.rules.authority import judge
from domain.rules.billing import bill

HOW_FAR_BACK = timedelta(days=400)


async def read_billing(world: World, case_id: str, lead_ids: Sequence[str], context: MoneyContext) -> Billing:
    """How each lead is billed now; the case's own credit notes are left out, since they are what is being made."""
    rows = await world.cases.leads(case_id, lead_ids)
    if not context.contact_id:
        return judge(bill(rows, (), ()), rows, context)
    invoices = await world.books.invoices(context.contact_id, context.today - HOW_FAR_BACK)
    own = {ids.credit_note_number(case_id, invoice.number) for invoice in invoices}
    notes = [note for note in await world.books.credit_notes(context.contact_id) if note.number not in own]
    return judge(bill(rows, invoices, notes), rows, context)
