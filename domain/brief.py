"""What a department request is about and whom it concerns, resolved at the moment that something is done about it."""

from datetime import date, datetime

from pydantic import Field

from domain.chat import Channel
from domain.model import Model


class Reached(Model):
    """A person and how they are reached. `board_id` is their user id on the task board, "" if nobody said."""

    person_id: str
    name: str = Field(repr=False)
    email: str = Field(default="", repr=False)
    board_id: str = Field(default="", repr=False)
    channels: tuple[Channel, ...] = Field(default=(), repr=False)  # in the person's own order


class Brief(Model):
    """`relevant`: those of the role that was asked for. `task_id` "": there is no task yet, as far as is known."""

    case_id: str
    title: str = Field(repr=False)
    details: str = Field(default="", repr=False)
    relevant: tuple[Reached, ...] = ()
    css: tuple[Reached, ...] = ()
    csm: tuple[Reached, ...] = ()
    fell_back: str = ""  # why it goes to others than those who were meant
    task_id: str = ""
    task_url: str = ""
    assigned: tuple[str, ...] = Field(default=(), repr=False)  # board ids of those whom we put on it last
    ticket_id: str = ""
    list_id: str = ""  # where a task is made
    slack_channel: str = ""  # the client's own
    page: str = ""

    @property
    def everybody(self) -> tuple[Reached, ...]:
        """Those who are to be on the task (ID-4), each once."""
        return tuple({one.person_id: one for one in (*self.relevant, *self.css, *self.csm)}.values())


class FollowUp(Model):
    """A note that somebody wrote with a follow-up of a request (ID-8)."""

    at: datetime
    by: str  # person id
    text: str = Field(repr=False)


class AgendaLine(Model):
    """A request on a CSM's agenda of a day (ID-8): listed on it, or still open from a day before."""

    case_id: str
    client_name: str = Field(repr=False)
    title: str = Field(repr=False)
    listed_on: date
    status: str
    outcome: str
    owner: str  # person id or role; "" once it is over
    waiting_for: str
    due_at: datetime | None
    notes: tuple[FollowUp, ...] = ()

    @property
    def done(self) -> bool:
        return self.status != "open"
