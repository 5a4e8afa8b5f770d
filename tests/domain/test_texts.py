import json
import unicodedata
from decimal import Decimal
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Refused
from domain.texts import canonical, clean, digest

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcß", max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_canonical_json_is_ascii_and_comes_back(value: Any) -> None:
    text = canonical(value)
    assert text.isascii()
    assert json.loads(text) == value


@given(st.dictionaries(st.text("abc", max_size=3), st.integers(), max_size=5))
def test_equal_values_give_equal_bytes_whatever_their_order(value: dict[str, int]) -> None:
    assert canonical(dict(reversed(value.items()))) == canonical(value)


@pytest.mark.parametrize("value", [Decimal(1), {"a": {1}}, b"bytes"])
def test_what_has_no_one_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="no canonical JSON"):
        canonical(value)


def test_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical(float("nan"))


def test_a_digest_is_of_the_bytes() -> None:
    assert digest("Zoë") == digest("Zoë".encode()) == sha256("Zoë".encode()).hexdigest()


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50))
def test_clean_text_is_the_same_text_composed(text: str) -> None:
    assert clean(text, "it") == unicodedata.normalize("NFC", text)
    assert clean(clean(text, "it"), "it") == clean(text, "it")


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b", "\udfff"])
def test_broken_text_is_refused(text: str) -> None:
    with pytest.raises(Refused) as caught:
        clean(text, "The note")
    assert (caught.value.code, "The note" in str(caught.value)) == ("unreadable-text", True)


def test_a_text_may_be_as_long_as_its_limit_and_no_longer() -> None:
    assert clean("abcde", "it", 5) == "abcde"
    with pytest.raises(Refused) as caught:
        clean("abcdef", "it", 5)
    assert caught.value.code == "text-too-long"
