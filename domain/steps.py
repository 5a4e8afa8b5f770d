"""The steps an SOP is written with, as data: pure, so that an SOP's choices can be read and tested without a
workflow.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar

from domain.case import Model, OpenStep
from domain.effects import Effect, Reading, Receipt
from domain.messages import ActKind, FactKind
from domain.people import Role

R = TypeVar("R", bound=Model)


def nothing(_: object) -> tuple[Effect, ...]:
    return ()


def no_more(_: object, __: str) -> tuple[Effect, ...]:
    return ()


def fine(_: object) -> str:
    return ""


class StepResult(Model):
    """A step that is simply done, with a note."""

    note_sha256: str = ""


@dataclass(frozen=True)
class Desk:
    """Who looks after what an SOP's document does not foresee, and the clauses it is told under.

    `trail` is the clause of the audit trail itself, `inbox` of what else arrives, `client` of reaching the client.
    """

    team: Role
    trail: str
    inbox: str
    client: str
    hears: frozenset[FactKind] = frozenset()  # facts that the SOP itself waits for
    answers: bool = False  # whoever writes is promised the next reply: the SOP runs clocks


@dataclass(frozen=True)
class PersonStep(Generic[R]):
    """A person's step: asked, chased until done, ended by a signed act whose payload is an `R`.

    `opening` is carried out in the activity that asks, `then` in the one that records the act, if the act is of the
    first
    of `kinds`. `check` is the SOP's own
    objection to a result ("" if none), shown to whoever signed it. `kinds` are the acts that end the step.
    """

    name: str
    clause: str
    role: str  # Role, department_role or manager_role
    kinds: tuple[ActKind, ...]
    result: type[R]
    waiting_for: str
    subject: str = "step"
    due: timedelta = timedelta(hours=48)
    opening: tuple[Effect, ...] = ()
    then: Callable[[R], Sequence[Effect]] = field(default=nothing)
    check: Callable[[R], str] = field(default=fine)
    reference: str = ""  # what the step is about, when it is one effect
    opened: Callable[[tuple[Receipt, ...]], None] | None = None  # is given what became of `opening`, in every run
    told: bool = True  # asked by a letter of its own; False: what is in `opening` tells them
    hears_client: bool = False  # what the client writes meanwhile is told to whoever has it
    passed_on: Callable[[OpenStep, str], Sequence[Effect]] = field(default=no_more)
    """What follows when people went, left or came back while the step was open, whoever has it now: assignees put
    right, for instance. The word is one of this moment's own, for the keys of the effects.
    """
    urgent: bool = False  # an emergency: whoever has it is nudged whatever the hour
    escalate: str | None = None  # told as well from the second reminder on; it never decides by that


@dataclass(frozen=True)
class Look:
    """Read before anybody is reminded of a step, and given to the SOP: what is done already is not asked for again."""

    effect: Reading
    seen: Callable[[Receipt], None]
    before_asking: bool = False  # read before they are asked at all


@dataclass(frozen=True)
class Done(Generic[R]):
    """A finished step: what was signed, by whom (person id), and what became of the effects that followed at once."""

    result: R
    by: str
    kind: ActKind
    receipts: tuple[Receipt, ...] = ()
