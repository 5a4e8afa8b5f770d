"""The approver is told who acts for money from now on (RL-14): as data."""

from domain.effects import Audience, Effect, SendLetter
from domain.ids import effect_key
from domain.money_people import MoneyPeopleRequest
from domain.people import Role
from domain.steps import Desk

DESK = Desk(team=Role.RETURN_LEADS, trail="RL-14", inbox="RL-14", client="RL-14")


def told(request: MoneyPeopleRequest) -> tuple[Effect, ...]:
    key = effect_key(request.case_id, "money-people")
    return (SendLetter(key=key, clause="RL-14", template="money-people", audience=Audience.APPROVER),)
