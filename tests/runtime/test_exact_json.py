from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import exact_json

_AMOUNTS = st.decimals(min_value=-(10**12), max_value=10**12, allow_nan=False, allow_infinity=False, places=4)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | _AMOUNTS | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=10,
)


@given(_VALUES)
def test_what_is_written_is_read_back_equal(value: object) -> None:
    assert exact_json.loads(exact_json.dumps(value)) == value


def test_digits_are_written_and_read_as_they_are() -> None:
    assert exact_json.dumps({"a": Decimal("1234567.10"), "b": Decimal("1E+3")}) == b'{"a": 1234567.10, "b": 1000}'
    assert str(exact_json.loads(b"0.1000000000000000055511151231257827")) == "0.1000000000000000055511151231257827"


@pytest.mark.parametrize("value", [0.1, Decimal("NaN"), Decimal("Infinity"), Decimal("1e99"), "\ud800", {1, 2}])
def test_what_has_no_exact_form_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        exact_json.dumps([value])


@pytest.mark.parametrize("text", [b"NaN", b"[Infinity]", b"{", b"", b"\xff", b"[" * 100_000])
def test_what_is_not_json_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        exact_json.loads(text)
