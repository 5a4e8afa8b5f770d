"""Gated effects: promises, confirmations and credit notes, which only the money worker carries out."""

from collections.abc import Sequence
from datetime import timedelta

from domain.effects import Effect, Grant, Receipt, ReceiptState
from domain.ids import part_of
from workflows.steps.case import Case
from workflows.steps.deadline import wait
from workflows.steps.mend import PAUSES, could_not
from workflows.steps.person import person
from workflows.steps.running import carry_out_grant
from workflows.steps.stage import RECEIPTS
from workflows.steps.visibility import show

STOPPED = (ReceiptState.NEEDS_APPROVAL, ReceiptState.REFUSED)


async def grant(case: Case, name: str, clause: str, effects: Sequence[Effect]) -> tuple[Receipt, ...]:
    """Has prepared effects of one moment carried out, and blocks until each is: the SOP needs their answers.

    What the gate stops (an approval is needed, an act is missing or no longer fits) comes back as data at once. Nothing
    here can be waived: a person may only say "done by hand", which is read back, or "try again".
    """
    key = case.key(name)
    if key in case.done:
        return RECEIPTS.validate_json(case.done[key])
    case.doing = name
    show(case)
    keys, attempt = tuple(effect.key for effect in effects), 0
    while True:
        receipts = await carry_out_grant(case, _ask(case, clause, keys))
        open_ones = [receipt for receipt in receipts if not receipt.done or receipt.state is ReceiptState.PREPARED]
        if not open_ones or any(receipt.state in STOPPED for receipt in receipts):
            break
        await _repair(case, key, attempt, {effect.key: effect for effect in effects}, open_ones[0])
        attempt += 1
    case.done[key] = RECEIPTS.dump_json(receipts).decode()
    return receipts


def _ask(case: Case, clause: str, keys: tuple[str, ...]) -> Grant:
    return Grant(
        case_id=case.request.case_id,
        workflow_id=case.workflow_id,
        clause=clause,
        keys=keys,
        events=case.take_events(),
        view=case.view(),
    )


async def _repair(case: Case, key: str, attempt: int, effects: dict[str, Effect], broken: Receipt) -> None:
    """Waits before the next try, or asks a person when waiting does not help."""
    turn, seen = attempt % (len(PAUSES) + 1), case.resumed
    patient = broken.state is ReceiptState.HELD or broken.retry
    if patient and (broken.state is ReceiptState.HELD or turn < len(PAUSES)):
        pause = timedelta(hours=6) if broken.state is ReceiptState.HELD else PAUSES[turn]
        due = case.mint(f"{key} again {attempt}", "trying again", broken.clause, pause).due
        await wait(case, f"{broken.clause} {broken.kind} again", due, lambda: case.resumed != seen)
        return
    await person(
        case, could_not(effects[broken.key], broken, waivable=False), key=f"could-not:{part_of(broken.key)}.{attempt}"
    )
