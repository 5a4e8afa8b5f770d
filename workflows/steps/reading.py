"""Reading what the SOP can't go on without: blocks, tries again with growing pauses, then asks a person."""

from collections.abc import Callable

from domain.effects import Reading, Receipt, Stage
from workflows.steps.asking import perform
from workflows.steps.blocked import block, its_turn
from workflows.steps.case import Case
from workflows.steps.deadline import BESIDE, never
from workflows.steps.person import MOOT
from workflows.steps.visibility import show


async def reading(case: Case, name: str, effect: Reading) -> Receipt:
    """The receipt of a reading that worked, with what was read in `data`."""
    found = await reading_unless(case, name, effect, never)
    assert found is not None, "nothing is over that never is"
    return found


async def reading_unless(case: Case, name: str, effect: Reading, over: Callable[[], bool]) -> Receipt | None:
    """As `reading`, but None once it is `over`: what is done needs no reading any more, and nobody is asked for it."""
    key = case.key(name)
    if key in case.done:
        return None if case.done[key] == MOOT else Receipt.model_validate_json(case.done[key])
    while True:
        await its_turn(case, key, over)
        if over():
            case.blocked.pop(key, None)
            case.done[key] = MOOT
            return None
        if not BESIDE.get():
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
