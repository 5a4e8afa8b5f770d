"""What the SOP can't go on without, and does not get: tried again with growing pauses, then a person is asked."""

from collections.abc import Callable
from datetime import timedelta

from pydantic import TypeAdapter

from domain.case import Broken
from domain.effects import Effect, Reading, Receipt, ReceiptState
from domain.ids import part_of
from workflows.steps.case import Case
from workflows.steps.could_not import HELD_PAUSE, PAUSES, could_not
from workflows.steps.deadline import never, wait
from workflows.steps.person import person_unless

EFFECT: TypeAdapter[Effect] = TypeAdapter(Effect)


def block(case: Case, key: str, effect: Effect, receipt: Receipt) -> None:
    """Remembers that the step `key` was stopped by this effect, and how often: also over continue-as-new."""
    before = case.blocked.get(key)
    case.blocked[key] = Broken(
        effect=effect.model_dump(mode="json"),
        receipt=receipt.model_dump(mode="json"),
        attempt=before.attempt + 1 if before else 0,
    )


async def its_turn(case: Case, key: str, over: Callable[[], bool] = never) -> None:
    """Until the step `key` may be tried: at once if nothing stopped it so far, or once it is `over`."""
    if (broken := case.blocked.get(key)) is None:
        return
    effect, last = EFFECT.validate_python(broken.effect), Receipt.model_validate(broken.receipt)
    if (pause := _pause(effect, last, broken.attempt)) is None:
        step = could_not(case, effect, last, waivable=False)
        await person_unless(case, step, over, key=f"could-not:{part_of(effect.key)}.{broken.attempt}")
        return
    seen, label = case.resumed, f"{key} again"
    due = case.mint(label, "trying again", effect.clause, pause).due
    await wait(case, f"{effect.clause} {effect.kind} again", due, lambda: case.resumed != seen or over())
    case.deadlines.pop(label, None)


def _pause(effect: Effect, last: Receipt, attempt: int) -> timedelta | None:
    """How long to wait before the next try; None: a person must look."""
    if last.state is ReceiptState.HELD:
        return HELD_PAUSE
    turn = attempt % (len(PAUSES) + 1)
    return PAUSES[turn] if (last.retry or isinstance(effect, Reading)) and turn < len(PAUSES) else None
