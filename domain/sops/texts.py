"""The texts of every SOP, by the kind of its cases: a new SOP adds its line here.

What no SOP foresees (an effect that could not be carried out, a mail that came back, a reply) reads the same in all
that have no words of their own for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from domain.books_check import INVOICED, UNCONFIRMED
from domain.department_request import DEPARTMENT_REQUEST
from domain.intake import RETURN_LEAD
from domain.money_people import MONEY_PEOPLE
from domain.sops import books_check_texts, department_request_texts, money_people_texts, return_lead_texts
from domain.sops.shared_texts import SHARED, Instruction, Template

CREDITING = {name: return_lead_texts.INSTRUCTIONS[name] for name in ("authorise", "allocate")}


@dataclass(frozen=True)
class Texts:
    """One SOP's letters by template, and what is asked of people by the name of the step."""

    templates: Mapping[str, Template] = field(default_factory=dict[str, Template])
    instructions: Mapping[str, Instruction] = field(default_factory=dict[str, Instruction])
    inbox: Literal["returns", "requests"] = "returns"  # in whose name it is written to people
    prefix: str = "RL"  # what the case's token in a subject begins with


TEXTS: dict[str, Texts] = {
    RETURN_LEAD: Texts(return_lead_texts.TEMPLATES, return_lead_texts.INSTRUCTIONS),
    INVOICED: Texts(books_check_texts.TEMPLATES, SHARED | CREDITING | books_check_texts.INSTRUCTIONS),
    UNCONFIRMED: Texts(books_check_texts.TEMPLATES, SHARED),
    DEPARTMENT_REQUEST: Texts(
        department_request_texts.TEMPLATES,
        SHARED | department_request_texts.INSTRUCTIONS,
        inbox="requests",
        prefix="DR",
    ),
    MONEY_PEOPLE: Texts(money_people_texts.TEMPLATES, SHARED),
}
INSTRUCTIONS: dict[str, Instruction] = {name: one for sop in TEXTS.values() for name, one in sop.instructions.items()}
"""Every step's, whatever the SOP: names of steps are not used twice with different meanings."""


def texts_of(kind: str) -> Texts:
    """The texts of a kind of case. Raises KeyError if no SOP has such cases."""
    return TEXTS[kind]
