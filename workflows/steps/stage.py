"""A stage: all effects of one moment of the SOP in one activity; what could not be done is mended beside the case."""

from collections.abc import Sequence

from pydantic import TypeAdapter

from domain.case import Broken
from domain.effects import Effect, Reading, Receipt, Stage
from workflows.steps.asking import perform
from workflows.steps.case import Case
from workflows.steps.visibility import show

RECEIPTS = TypeAdapter(tuple[Receipt, ...])


async def stage(
    case: Case, name: str, clause: str, effects: Sequence[Effect], *, doing: str = ""
) -> tuple[Receipt, ...]:
    """Carries out the effects and returns a receipt for each. A failed one never fails the case: it is mended.

    `doing`: what the case is shown to do from here on, if not what the stage is called.
    """
    key = case.key(name)
    if key in case.done:
        return RECEIPTS.validate_json(case.done[key])
    case.doing = doing or name
    show(case)
    receipts = await perform(
        case, Stage(name=key, clause=clause, effects=tuple(effects), events=case.take_events(), view=case.view())
    )
    break_down(case, effects, receipts)
    case.done[key] = RECEIPTS.dump_json(receipts).decode()
    return receipts


def break_down(case: Case, effects: Sequence[Effect], receipts: Sequence[Receipt]) -> None:
    """Remembers what was not done: `mends` takes it up. What only reads is the SOP's own to ask again."""
    by_key = {effect.key: effect for effect in effects}
    for receipt in receipts:
        if not receipt.done and not isinstance(by_key.get(receipt.key), Reading | None):
            effect = by_key[receipt.key].model_dump(mode="json")
            case.broken[receipt.key] = Broken(effect=effect, receipt=receipt.model_dump(mode="json"))
