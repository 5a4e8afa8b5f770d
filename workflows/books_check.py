"""Month end: no-charge promises against the books, and credit notes against confirmations (RL-11, RL-12, RL-13)."""

from collections.abc import Sequence

from temporalio import workflow

from activities.books_check import BooksCheckActivities
from domain.books import InvoiceStatus
from domain.books_check import (
    BOOKS_CHECK,
    INVOICED,
    UNCONFIRMED,
    BooksChecked,
    BooksCheckRequest,
    BooksOutcome,
    Charge,
    InvoicedRequest,
    UnconfirmedRequest,
)
from domain.case import EventKind
from domain.effects import Receipt
from domain.messages import ActKind
from domain.sops import books_check as sop
from domain.sops.return_lead import allocated
from workflows.base import CaseWorkflow
from workflows.steps.case import Case
from workflows.steps.close import close
from workflows.steps.grant import grant
from workflows.steps.mend import mends
from workflows.steps.person import person
from workflows.steps.polling import poll
from workflows.steps.read_back import read_back
from workflows.steps.reading import reading
from workflows.steps.running import running
from workflows.steps.stage import stage


@workflow.defn(name=BOOKS_CHECK)
class BooksCheck:
    """Started by a schedule; opens a case for whatever it finds."""

    @workflow.run
    async def run(self, request: BooksCheckRequest) -> BooksChecked:
        return await poll(BooksCheckActivities.check_books, request, "RL-11 promises against the books")


@workflow.defn(name=INVOICED)
class InvoicedAllTheSame(CaseWorkflow):
    """A lead that was promised not to be charged, and is: Accounts are asked until the books show otherwise."""

    @workflow.init
    def __init__(self, request: InvoicedRequest) -> None:
        self.case = Case(request, INVOICED, sop.DESK)
        self.stopped = ""

    @workflow.run
    async def run(self, request: InvoicedRequest) -> BooksOutcome:
        async with running(self.case, mends) as case:
            charge = await self.credited(request, request.charge)
            while charge:
                charge = await self.put_right(request, charge)
            return await close(case, BooksOutcome(status="put-right"), "charged no more", "RL-11")

    async def credited(self, request: InvoicedRequest, charge: Charge) -> Charge | None:
        """What the books still charge once the credit note that was drafted is authorised, or why there is none."""
        if not charge.invoice_id or not await self.drafted(request, charge):  # RL-12, RL-13
            return charge
        if (await person(self.case, sop.authorise(request, charge))).kind is ActKind.DECLINE:  # RL-12
            self.stopped = "declined"
        elif self.through(receipts := await grant(self.case, "credit", "RL-12", sop.authorised(request, charge))):
            await self.allocated(request, sop.as_authorised(charge, receipts))
            return sop.charge_in([await reading(self.case, "read-charge", sop.read_charge(request))])
        return charge

    async def drafted(self, request: InvoicedRequest, charge: Charge) -> bool:
        """The confirmation to Accounts and the draft, by the promise's own signed acts; False: the gate stopped it."""
        gated = sop.drafted(request, charge)
        receipts = await stage(self.case, "draft", "RL-12", (sop.billed(request), *gated))
        if not all(one.done for one in receipts):
            await reading(self.case, "read-billing", sop.billed(request))
        return self.through(await grant(self.case, "settle", "RL-13", gated))

    def through(self, receipts: Sequence[Receipt]) -> bool:
        stopped = next((one for one in receipts if not one.done), None)
        self.stopped = (stopped.code or stopped.state.value) if stopped else ""
        return not stopped

    async def allocated(self, request: InvoicedRequest, charge: Charge) -> None:
        """A paid invoice: Accounts allocate or refund the note (RL-12)."""
        if charge.state is InvoiceStatus.PAID:
            await read_back(self.case, sop.allocate(request, charge), allocated)

    async def put_right(self, request: InvoicedRequest, charge: Charge) -> Charge | None:
        """What the books still charge once Accounts say that it is done."""
        done = await person(self.case, sop.put_right(request, charge, self.stopped))  # RL-11, RL-12
        if all(one.done for one in done.receipts):
            return sop.charge_in(done.receipts)
        return sop.charge_in([await reading(self.case, "read-charge", sop.read_charge(request))])


@workflow.defn(name=UNCONFIRMED)
class UnconfirmedCreditNote(CaseWorkflow):
    """A credit note without a confirmation on record: told once, to Accounts and the Return Lead Team."""

    @workflow.init
    def __init__(self, request: UnconfirmedRequest) -> None:
        self.case = Case(request, UNCONFIRMED, sop.DESK)

    @workflow.run
    async def run(self, request: UnconfirmedRequest) -> BooksOutcome:
        async with running(self.case, mends) as case:
            case.note(EventKind.NOTED, "RL-13", f"Credit note {request.note.number} has no confirmation on record.")
            return await close(case, BooksOutcome(status="reported"), "reported", "RL-13", sop.report(request))
