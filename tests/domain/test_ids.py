import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import ids

CASE = "return-lead/0123456789abcdef"
SECRET = "jane@acme.example"


def every_id(key: str) -> list[str]:
    return [
        ids.return_lead_case(key),
        ids.linked_case(CASE, "reply", key),
        ids.case_token(key),
        ids.message_id(key, "commversion.com"),
        ids.credit_note_number(CASE, key),
        ids.part_of(key),
    ]


def test_an_id_tells_nothing_of_what_it_was_made_of() -> None:
    assert not any("jane" in one or "acme" in one for one in every_id(SECRET))


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_ids_are_the_same_for_the_same_and_different_for_others(one: str, other: str) -> None:
    assert every_id(one) == every_id(one)
    if one != other:
        assert not set(every_id(one)) & set(every_id(other))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_ids_are_of_characters_every_system_takes(key: str) -> None:
    assert re.fullmatch(r"return-lead/[0-9a-f]{16}", ids.return_lead_case(key))
    assert re.fullmatch(r"RL-[0-9A-F]{12}", ids.credit_note_number(CASE, key))
    assert re.fullmatch(r"RL#[0-9a-f]{10}", ids.case_token(key))
    assert re.fullmatch(r"<[0-9a-f]{32}@c\.example>", ids.message_id(key, "c.example"))


def test_a_credit_note_of_a_later_confirmation_has_a_number_of_its_own_that_is_known_for_the_cases() -> None:
    first, second, tenth = (ids.credit_note_number(CASE, "INV-1", turn) for turn in (1, 2, 10))
    assert (second, tenth) == (f"{first}-2", f"{first}-10")
    assert all(ids.is_credit_note_of(one, CASE, "INV-1") for one in (first, second, tenth))
    strange = (f"{first}2", first[:-1], second.lower(), "", ids.credit_note_number(CASE, "INV-2", 2))
    assert not any(ids.is_credit_note_of(one, CASE, "INV-1") for one in strange)


def test_the_first_cycle_of_a_case_is_the_case() -> None:
    assert [ids.workflow_id(CASE), ids.workflow_id(CASE, 2)] == [CASE, f"{CASE}/cycle-2"]


@pytest.mark.parametrize(("ordinal", "end"), [(1, "1"), (2, "2"), ("L-1001", "L-1001")])
def test_the_key_of_an_effect_names_its_case_itself_and_its_number(ordinal: int | str, end: str) -> None:
    assert ids.effect_key(CASE, "tag-chat", ordinal) == f"{CASE}/tag-chat/{end}"


def test_moneys_queue_belongs_to_the_queue_of_the_workflows() -> None:
    assert (ids.money_queue(), ids.money_queue("q")) == ("holdfast-money", "q-money")
