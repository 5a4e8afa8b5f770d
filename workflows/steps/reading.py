"""Reading what the SOP can't go on without: blocks, tries again with growing pauses, then asks a person."""

from domain.effects import Reading, Receipt, Stage
from domain.ids import part_of
from workflows.steps.case import Case
from workflows.steps.deadline import wait
from workflows.steps.mend import PAUSES, could_not
from workflows.steps.person import person
from workflows.steps.running import perform
from workflows.steps.visibility import show


async def reading(case: Case, name: str, effect: Reading) -> Receipt:
    """The receipt of a reading that worked, with what was read in `data`."""
    key = case.key(name)
    if key in case.done:
        return Receipt.model_validate_json(case.done[key])
    case.doing, attempt = name, 0
    show(case)
    while True:
        stage = Stage(name=key, clause=effect.clause, effects=(effect,), events=case.take_events(), view=case.view())
        (receipt,) = await perform(case, stage)
        if receipt.done:
            break
        await _patience(case, key, effect, receipt, attempt)
        attempt += 1
    case.done[key] = receipt.model_dump_json()
    return receipt


async def _patience(case: Case, key: str, effect: Reading, receipt: Receipt, attempt: int) -> None:
    turn = attempt % (len(PAUSES) + 1)
    if turn == len(PAUSES):
        await person(case, could_not(effect, receipt, waivable=False), key=f"could-not:{part_of(effect.key)}.{attempt}")
        return
    seen = case.resumed
    due = case.mint(f"{key} again {attempt}", "trying again", effect.clause, PAUSES[turn]).due
    await wait(case, f"{effect.clause} {effect.kind} again", due, lambda: case.resumed != seen)
