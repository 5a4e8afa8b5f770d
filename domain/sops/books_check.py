"""Month end as data: what follows from what the books check finds (RL-11, RL-12, RL-13)."""

from collections.abc import Sequence

from domain.books import InvoiceStatus
from domain.books_check import Charge, InvoicedRequest, UnconfirmedRequest
from domain.effects import (
    Audience,
    AuthoriseCreditNote,
    ConfirmToAccounts,
    DraftCreditNote,
    Effect,
    ReadBilling,
    ReadCharge,
    ReadNotes,
    Receipt,
    SendLetter,
)
from domain.ids import effect_key
from domain.messages import ActKind
from domain.people import Role
from domain.return_lead import Authorisation
from domain.steps import Desk, PersonStep, StepResult

DESK = Desk(team=Role.RETURN_LEADS, trail="RL-15", inbox="RL-1", client="RL-9")


def read_charge(request: InvoicedRequest) -> ReadCharge:
    key = effect_key(request.case_id, "read-charge")
    return ReadCharge(key=key, clause="RL-11", lead_id=request.charge.lead_id, promised_in=request.charge.promised_in)


def put_right(request: InvoicedRequest, charge: Charge, stopped: str = "") -> PersonStep[StepResult]:
    """RL-11: no invoice is issued for the lead. What Holdfast can't draft a note for, Accounts see to in the books."""
    on = ", ".join(charge.invoices)
    do = "take it off" if charge.state is InvoiceStatus.DRAFT else "credit it"
    return PersonStep(
        name="invoiced-all-the-same",
        clause="RL-11",
        role=Role.ACCOUNTS,
        kinds=(ActKind.DONE,),
        result=StepResult,
        waiting_for=f"{charge.lead_id} is not to be charged and is on {on} ({charge.state}): {do}"
        + (f" (stopped: {stopped})" if stopped else ""),
        then=lambda _: (read_charge(request),),
    )


def billed(request: InvoicedRequest) -> ReadBilling:
    key = effect_key(request.case_id, "read-billing")
    return ReadBilling(key=key, clause="RL-11", lead_ids=(request.charge.lead_id,))


def drafted(request: InvoicedRequest, charge: Charge) -> tuple[Effect, ...]:
    """RL-13 and RL-12 (gated): Accounts are sent the confirmation of exactly this lead, and its note is drafted."""
    told = ConfirmToAccounts(key=effect_key(request.case_id, "confirm-to-accounts"), clause="RL-13")
    key = effect_key(request.case_id, "draft-credit-note", charge.invoice_id)
    return (told, DraftCreditNote(key=key, clause="RL-12", invoice_id=charge.invoice_id, after=told.key))


def authorised(request: InvoicedRequest, charge: Charge) -> tuple[Effect, ...]:
    key = effect_key(request.case_id, "authorise-credit-note", charge.invoice_id)
    return (AuthoriseCreditNote(key=key, clause="RL-12", invoice_id=charge.invoice_id),)


def as_authorised(charge: Charge, receipts: Sequence[Receipt]) -> Charge:
    """The charge as its credit note found it: the invoice may have been paid since."""
    return charge.model_copy(update={"state": InvoiceStatus.PAID}) if any(one.of_paid for one in receipts) else charge


def authorise(request: InvoicedRequest, charge: Charge) -> PersonStep[Authorisation]:
    """RL-12: Accounts compare the draft with what they were sent, and authorise it by their own signed act."""
    return PersonStep(
        name="authorise",
        clause="RL-12",
        role=Role.ACCOUNTS,
        kinds=(ActKind.AUTHORISE, ActKind.DECLINE),
        result=Authorisation,
        waiting_for=f"{charge.lead_id} is invoiced all the same: authorise its credit note",
        subject="issued",
        then=lambda _: authorised(request, charge),
    )


def allocate(request: InvoicedRequest, charge: Charge) -> PersonStep[StepResult]:
    """A paid invoice: allocating or refunding the note is Accounts' own step in the books, read back."""
    key = effect_key(request.case_id, "read-notes")
    return PersonStep(
        name="allocate",
        clause="RL-12",
        role=Role.ACCOUNTS,
        kinds=(ActKind.ALLOCATED,),
        result=StepResult,
        waiting_for="allocate or refund the credit note of a paid invoice in the books",
        subject="issued",
        then=lambda _: (ReadNotes(key=key, clause="RL-12", invoice_numbers=charge.invoices),),
    )


def charge_in(receipts: Sequence[Receipt]) -> Charge | None:
    """What the books, read back, still charge; None: nothing."""
    found = next((one.data.get("charge") for one in receipts if one.kind == "read-charge"), None)
    return Charge.model_validate(found) if found else None


def report(request: UnconfirmedRequest) -> tuple[Effect, ...]:
    """RL-13: Accounts are told, the Return Lead Team in copy, once a note."""
    key = effect_key(request.case_id, "unconfirmed-note")
    return (SendLetter(key=key, clause="RL-13", template="unconfirmed-note", audience=Audience.ACCOUNTS),)
