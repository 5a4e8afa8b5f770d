"""Gated effects: promises, confirmations and credit notes, which only the money worker carries out."""

from collections.abc import Sequence

from domain.effects import Effect, Grant, Receipt, ReceiptState
from workflows.steps.asking import carry_out_grant
from workflows.steps.blocked import block, its_turn
from workflows.steps.case import Case
from workflows.steps.stage import RECEIPTS
from workflows.steps.visibility import show

STOPPED = (ReceiptState.NEEDS_APPROVAL, ReceiptState.REFUSED)


async def grant(case: Case, name: str, clause: str, effects: Sequence[Effect]) -> tuple[Receipt, ...]:
    """Has prepared effects of one moment carried out, and blocks until each is: the SOP needs their answers.

    What the gate stops (an approval is needed, an act is missing or no longer fits) comes back as data, as soon as it
    is known of the others whether they were done. Nothing here can be waived: a person may only say "done by hand",
    which is read back, or "try again".
    """
    key = case.key(name)
    if key in case.done:
        return RECEIPTS.validate_json(case.done[key])
    by_key = {effect.key: effect for effect in effects}
    while True:
        await its_turn(case, key)
        case.doing = name
        show(case)
        receipts = await carry_out_grant(case, _ask(case, clause, tuple(by_key)))
        open_ones = [receipt for receipt in receipts if not receipt.done or receipt.state is ReceiptState.PREPARED]
        stopped = any(receipt.state in STOPPED for receipt in receipts)
        unsettled = [receipt for receipt in open_ones if not stopped or _in_doubt(receipt)]
        if not unsettled:
            break
        block(case, key, by_key[unsettled[0].key], unsettled[0])
    case.blocked.pop(key, None)
    case.done[key] = RECEIPTS.dump_json(receipts).decode()
    return receipts


def _in_doubt(receipt: Receipt) -> bool:
    """Whether it may have been done: nobody decides anew about what may be credited."""
    return receipt.state is ReceiptState.UNKNOWN or (receipt.state is ReceiptState.FAILED and receipt.retry)


def _ask(case: Case, clause: str, keys: tuple[str, ...]) -> Grant:
    return Grant(
        case_id=case.request.case_id,
        workflow_id=case.workflow_id,
        clause=clause,
        keys=keys,
        events=case.take_events(),
        view=case.view(),
    )
