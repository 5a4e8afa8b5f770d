"""Reading what the SOP can't go on without: blocks, tries again with growing pauses, then asks a person."""

from domain.effects import Reading, Receipt, Stage
from workflows.steps.asking import perform
from workflows.steps.blocked import block, its_turn
from workflows.steps.case import Case
from workflows.steps.visibility import show


async def reading(case: Case, name: str, effect: Reading) -> Receipt:
    """The receipt of a reading that worked, with what was read in `data`."""
    key = case.key(name)
    if key in case.done:
        return Receipt.model_validate_json(case.done[key])
    while True:
        await its_turn(case, key)
        case.doing = name
        show(case)
        stage = Stage(name=key, clause=effect.clause, effects=(effect,), events=case.take_events(), view=case.view())
        (receipt,) = await perform(case, stage)
        if receipt.done:
            break
        block(case, key, effect, receipt)
    case.blocked.pop(key, None)
    case.done[key] = receipt.model_dump_json()
    return receipt
