"""Who acts for money has changed (approver, partner, Accounts, stand-ins): the approver is told, once a change."""

from domain.case import Model, Request

MONEY_PEOPLE = "MoneyPeopleChanged"


class MoneyPeopleRequest(Request):
    """Input of `MoneyPeopleChanged`. What changed is in the tables, under the case."""


class MoneyPeopleOutcome(Model):
    status: str
