"""What an outside system did not do: how long it is left before it is tried again, and what a person is asked then."""

from datetime import timedelta

from domain.effects import Effect, Receipt, in_words
from domain.messages import ActKind
from domain.steps import PersonStep, StepResult
from workflows.steps.case import Case

PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60))
HELD_PAUSE = timedelta(hours=6)


def could_not(case: Case, effect: Effect, receipt: Receipt, *, waivable: bool = True) -> PersonStep[StepResult]:
    """The step "could not do X": done by hand, tried again, or (never for money) waived by name."""
    kinds = (ActKind.DONE, ActKind.RESEND, ActKind.WAIVE) if waivable else (ActKind.DONE, ActKind.RESEND)
    return PersonStep(
        name="could-not",
        clause=effect.clause,
        role=case.desk.team,
        kinds=kinds,
        result=StepResult,
        waiting_for=f"could not be done: {in_words(effect)} ({receipt.code or receipt.state})",
        reference=effect.key,
    )
