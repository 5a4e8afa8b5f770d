from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.money import LARGEST, Money, total


@given(st.integers(0, 999_999_999))
def test_every_amount_in_pennies_is_kept_exactly(pennies: int) -> None:
    amount = Decimal(pennies) / 100
    money = Money(amount=amount)
    assert money.amount == amount
    assert Money.model_validate_json(money.model_dump_json()) == money


@pytest.mark.parametrize("amount", ["-0.01", "0.001", "10000000.00", "NaN", "Infinity", "1e400"])
def test_what_is_no_amount_is_refused(amount: str) -> None:
    with pytest.raises(ValidationError):
        Money(amount=Decimal(amount))


def test_amounts_have_two_places_however_they_were_written() -> None:
    assert (str(Money(amount=Decimal(5))), str(Money(amount=LARGEST))) == ("GBP 5.00", "GBP 9,999,999.99")
    assert Money(amount=Decimal("1.500")).model_dump_json() == '{"amount":"1.50","currency":"GBP"}'


def test_amounts_of_one_currency_have_a_sum_and_others_none() -> None:
    euros = (Money(amount=Decimal("0.10"), currency="EUR"), Money(amount=Decimal("0.20"), currency="EUR"))
    assert total(euros, "EUR") == Money(amount=Decimal("0.30"), currency="EUR")
    assert total(()) == Money(amount=Decimal(0))
    with pytest.raises(ValueError, match="different currencies"):
        total(euros)
