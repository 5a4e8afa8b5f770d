"""The texts of all SOPs side by side."""

import re

from domain.department_request import DEPARTMENT_REQUEST
from domain.intake import RETURN_LEAD
from domain.sops.shared_texts import SHARED
from domain.sops.texts import INSTRUCTIONS, TEXTS

OF_RETURNS = re.compile(
    r"returns inbox|leads inbox|returns?\b.*\btracked|credit|charged|\bleads?\b|invoice|RL-\d", re.IGNORECASE
)
OF_A_RETURN = ("reply", "not-reached")


def test_no_instruction_of_a_department_request_speaks_of_returns() -> None:
    found = TEXTS[DEPARTMENT_REQUEST].instructions
    assert set(SHARED) < set(found)
    assert {name: OF_RETURNS.findall(f"{one.title}\n{one.text}") for name, one in found.items()} == {
        name: [] for name in found
    }
    own = TEXTS[RETURN_LEAD].instructions
    assert all(OF_RETURNS.search(own[name].text) for name in OF_A_RETURN)  # where it is right, it is said


def test_no_sop_but_the_return_of_leads_sends_anybody_to_the_returns_inbox() -> None:
    speaking = {
        (kind, name)
        for kind, texts in TEXTS.items()
        for name, one in texts.instructions.items()
        if re.search(r"(returns|leads) inbox", one.text, re.IGNORECASE)
    }
    assert {kind for kind, _ in speaking} == {RETURN_LEAD}


def test_what_no_sop_foresees_has_words_in_every_sop() -> None:
    assert {kind for kind, texts in TEXTS.items() if not set(SHARED) <= set(texts.instructions)} == set()


def test_a_step_is_called_the_same_whatever_the_sop() -> None:
    """Lists of steps show what they are called without asking of which SOP they are."""
    titles = {(name, one.title) for texts in TEXTS.values() for name, one in texts.instructions.items()}
    assert titles == {(name, one.title) for name, one in INSTRUCTIONS.items()}
