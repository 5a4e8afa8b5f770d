"""What the money gate knows: leads as they stand in the tables, what was granted already, and a permit per gated
effect.
"""

from datetime import date, datetime
from decimal import Decimal

from pydantic import Field

from domain.case import Model
from domain.effects import Effect
from domain.money import Currency, Money, Vat


class LeadRow(Model):
    lead_id: str
    client_id: str
    price: Money | None  # as recorded when it arrived, or by the latest signed order
    price_changed: bool = False  # since then, and by no order
    chat_id: str = ""
    thread_id: str = ""
    received_at: datetime


class Rate(Model):
    """How many GBP one unit is, on a day; `before` is the rate of the version before it, if any."""

    currency: Currency
    gbp: Decimal
    on: date
    before: Decimal | None = None


class MoneyContext(Model):
    """All that the rules need to judge an amount, read in one transaction. `today` is the database's, in London."""

    client_id: str
    contact_id: str
    today: date
    limit_gbp: Decimal
    vat: Vat = "with"  # whether amounts are compared with VAT or without
    rates: tuple[Rate, ...] = ()
    # This contact, other cases, without an approver: this calendar month, or in this request whenever.
    granted_month_gbp: Decimal = Decimal(0)
    granted_invoice_gbp: dict[str, Decimal] = Field(
        default_factory=dict
    )  # by invoice id, without an approver, other cases, what is not in `granted_month_gbp`
    credited_leads: tuple[str, ...] = ()  # granted already, for ever
    put_leads: tuple[str, ...] = ()  # once put to an approver, in whatever case: never without him again


class SignedLead(Model):
    """A lead with the amount that was signed for it."""

    lead_id: str
    gross: Decimal
    currency: Currency


class Permit(Model):
    """The gate's answer for one stored effect: `code` is "" or why it may not be carried out."""

    key: str
    effect: Effect
    code: str = ""
    leads: tuple[SignedLead, ...] = ()
    jtis: tuple[str, ...] = ()  # the acts it rests on
    confirmed_by: str = ""  # person id
    approved_jti: str = ""
