"""Orders: signed acts about the deployment itself, not about a case. Limits, VAT, prices, exchange rates, who stands in
for whom.
"""

from datetime import date
from decimal import Decimal

from pydantic import Field, JsonValue

from domain.case import Model
from domain.money import Currency, Money, Vat
from domain.people import Identity
from domain.texts import canonical, digest

APPROVAL_LIMIT = "approval-limit"
VAT_BASIS = "vat-basis"


class VatBasis(Model):
    """Whether an amount is compared with the limit with VAT or without."""

    vat: Vat


class PolicyOrder(Model):
    """A setting of the rules from now on. These can be set: `approval-limit`, in GBP, and `vat-basis`."""

    name: str
    value: Money | VatBasis

    @property
    def fits(self) -> bool:
        """Whether there is such a setting, and the value is one for it."""
        match self.value:
            case Money(currency=currency):
                return self.name == APPROVAL_LIMIT and currency == "GBP"
            case VatBasis():
                return self.name == VAT_BASIS


class RateIn(Model):
    """How many GBP one unit of `currency` is, on a day."""

    currency: Currency
    on: date
    gbp: Decimal = Field(gt=0, lt=1000, max_digits=14, decimal_places=8)


class RatesOrder(Model):
    rates: tuple[RateIn, ...]


class PriceIn(Model):
    """The price of a lead from now on, with VAT."""

    lead_id: str
    price: Money


class PricesOrder(Model):
    prices: tuple[PriceIn, ...]

    def of(self, lead_id: str) -> Money | None:
        return next((one.price for one in self.prices if one.lead_id == lead_id), None)


class StandInOrder(Model):
    """Who decides for an approver, both days included (London), up to a ceiling; a later order replaces it."""

    approver: Identity
    stand_in: Identity
    starts: date
    ends: date
    ceiling_gbp: Decimal = Field(ge=0)


class Present(Model):
    """What an order is about, as it stood when it was signed."""

    of: str
    facts: dict[str, JsonValue] = Field(default_factory=dict)

    @property
    def json_text(self) -> str:
        return canonical(self.model_dump(mode="json"))

    @property
    def sha256(self) -> str:
        return digest(self.json_text)
