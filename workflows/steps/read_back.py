"""What people do in a system outside: done once that system, read back, shows it."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from domain.case import Model
from domain.effects import Receipt
from domain.steps import PersonStep
from workflows.steps.case import Case
from workflows.steps.person import person

R = TypeVar("R", bound=Model)


async def read_back(case: Case, step: PersonStep[R], shown: Callable[[Sequence[Receipt]], bool]) -> None:
    """Asks, and asks anew, until what the step's own effects read shows that it is done."""
    while not shown((await person(case, step)).receipts):
        pass
