"""Month end as data: what follows from what the books check finds (RL-11, RL-12, RL-13)."""

from collections.abc import Sequence

from domain.books import InvoiceStatus
from domain.books_check import Charge, InvoicedRequest, UnconfirmedRequest
from domain.effects import Audience, Effect, ReadCharge, Receipt, SendLetter
from domain.ids import effect_key
from domain.messages import ActKind
from domain.people import Role
from domain.steps import Desk, PersonStep, StepResult

DESK = Desk(team=Role.RETURN_LEADS, trail="RL-15", inbox="RL-1", client="RL-9")


def read_charge(request: InvoicedRequest) -> ReadCharge:
    key = effect_key(request.case_id, "read-charge")
    return ReadCharge(key=key, clause="RL-11", lead_id=request.charge.lead_id, promised_in=request.charge.promised_in)


def put_right(request: InvoicedRequest, charge: Charge) -> PersonStep[StepResult]:
    """RL-11: no invoice is issued for the lead; RL-12: for one that is issued, Accounts make the credit note."""
    on = ", ".join(charge.invoices)
    do = "take it off" if charge.state is InvoiceStatus.DRAFT else "credit it"
    return PersonStep(
        name="invoiced-all-the-same",
        clause="RL-11",
        role=Role.ACCOUNTS,
        kinds=(ActKind.DONE,),
        result=StepResult,
        waiting_for=f"{charge.lead_id} is not to be charged and is on {on} ({charge.state}): {do}",
        then=lambda _: (read_charge(request),),
    )


def charge_in(receipts: Sequence[Receipt]) -> Charge | None:
    """What the books, read back, still charge; None: nothing."""
    found = next((one.data.get("charge") for one in receipts if one.kind == "read-charge"), None)
    return Charge.model_validate(found) if found else None


def report(request: UnconfirmedRequest) -> tuple[Effect, ...]:
    """RL-13: Accounts are told, the Return Lead Team in copy, once a note."""
    key = effect_key(request.case_id, "unconfirmed-note")
    return (SendLetter(key=key, clause="RL-13", template="unconfirmed-note", audience=Audience.ACCOUNTS),)
