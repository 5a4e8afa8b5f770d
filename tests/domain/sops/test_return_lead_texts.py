import pytest

from domain.mail import LOOP_IN_SENTENCE
from domain.return_lead import ClaimProblem, Doubt
from domain.sops.return_lead_texts import DOUBT_TEXTS, INSTRUCTIONS, PROBLEM_TEXTS, TEMPLATES


@pytest.mark.clause("RL-3")
def test_the_sentence_is_that_of_the_sop() -> None:
    assert LOOP_IN_SENTENCE == "I have looped in the concerned team and they will review and revert back."
    assert TEMPLATES["loop-in"].text.count(LOOP_IN_SENTENCE) == 1


def test_every_reason_for_not_looking_into_a_lead_has_words_for_the_client() -> None:
    assert set(PROBLEM_TEXTS) == set(ClaimProblem) - {ClaimProblem.NONE}


def test_every_doubt_has_words_for_whoever_looks() -> None:
    assert set(DOUBT_TEXTS) == set(Doubt) - {Doubt.NONE}


def test_every_text_names_its_clause() -> None:
    clauses = [one.clause for one in (*TEMPLATES.values(), *INSTRUCTIONS.values())]
    assert all(clause.startswith("RL-") for clause in clauses)


@pytest.mark.clause("RL-13")
def test_what_accounts_are_told_never_goes_to_the_client() -> None:
    internal = {name for name, one in TEMPLATES.items() if one.internal}
    assert internal == {"confirm-to-accounts", "final-action", "file-copy", "decision"}
