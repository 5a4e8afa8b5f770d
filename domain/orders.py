"""Orders: signed acts about the deployment itself, not about a case. Limits, exchange rates, who stands in for whom."""

from datetime import date
from decimal import Decimal

from pydantic import Field, JsonValue

from domain.case import Model
from domain.money import Currency, Money
from domain.people import Identity
from domain.texts import canonical, digest

APPROVAL_LIMIT = "approval-limit"


class PolicyOrder(Model):
    """A setting of the rules from now on. There is one that can be set: `approval-limit`, in GBP."""

    name: str
    value: Money


class RateIn(Model):
    """How many GBP one unit of `currency` is, on a day."""

    currency: Currency
    on: date
    gbp: Decimal = Field(gt=0, lt=1000, max_digits=14, decimal_places=8)


class RatesOrder(Model):
    rates: tuple[RateIn, ...]


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
