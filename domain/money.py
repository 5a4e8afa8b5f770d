"""Money is a Decimal with a currency, never a float."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

Currency = Literal["GBP", "EUR", "USD"]
CURRENCIES: tuple[Currency, ...] = ("GBP", "EUR", "USD")
Vat = Literal["with", "without"]
LARGEST = Decimal("9999999.99")


def _two_places(amount: Decimal) -> Decimal:
    if not amount.is_finite() or amount < 0 or amount > LARGEST:
        raise ValueError(f"an amount is between 0 and {LARGEST}")
    if amount != amount.quantize(Decimal("0.01")):
        raise ValueError("an amount has at most two decimal places")
    return amount.quantize(Decimal("0.01"))


Amount = Annotated[Decimal, AfterValidator(_two_places)]


class Money(BaseModel):
    """An exact, non-negative amount in one currency."""

    model_config = ConfigDict(frozen=True)

    amount: Amount
    currency: Currency = "GBP"

    def __str__(self) -> str:
        return f"{self.currency} {self.amount:,.2f}"


def total(items: "tuple[Money, ...]", currency: Currency = "GBP") -> Money:
    """The sum of amounts of one currency; raises ValueError on a mixture."""
    if any(item.currency != currency for item in items):
        raise ValueError("amounts of different currencies have no sum")
    return Money(amount=sum((item.amount for item in items), Decimal(0)), currency=currency)
