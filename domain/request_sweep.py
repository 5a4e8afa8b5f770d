"""The daily look at the boards: tasks and tickets that were made outside of Holdfast (ID-3, ID-4, ID-7, ID-8)."""

from collections.abc import Collection, Sequence
from datetime import datetime

from domain.board import BoardTask, Ticket, TicketNote
from domain.department_request import FOLLOW_UP
from domain.model import Model

REQUEST_SWEEP = "RequestSweep"
OURS = "[holdfast:"  # what we made carries a marker, and has its case


class RequestSweepRequest(Model):
    """Every client's list, the tickets that changed lately, and all that are not settled."""


class RequestsSwept(Model):
    opened: int = 0  # cases of tasks and tickets that had none
    resumed: int = 0  # cases whose task was opened again
    told: int = 0  # open cases that have to look at a change


def lacks_of_task(task: BoardTask, on_it: Collection[str], support: Sequence[str], now: datetime) -> tuple[str, ...]:
    """What a task lacks of ID-3 to ID-6; people are person ids, `support` the CSS and the CSM."""
    lacks = {
        "assignee": not task.assignees,
        "css-and-csm": not set(support) <= set(on_it),
        "due-date": task.due_on is None,
        "comment": task.comments == 0,
        "in-time": task.due_on is not None and task.due_on < now.date(),
    }
    return tuple(name for name, is_lacking in lacks.items() if is_lacking)


def lacks_of_ticket(
    ticket: Ticket,
    following: Collection[str],
    support: Sequence[str],
    now: datetime,
    notes: Sequence[TicketNote] | None = None,
) -> tuple[str, ...]:
    """What a ticket lacks of ID-3 to ID-5, ID-7 and ID-8: of the last, a note of the last 48 hours. `notes` None: they
    were not read, and nothing is said of them.

    Only a ticket that is a task has a due date on a desk.
    """
    lacks = {
        "assignee": not ticket.assignee,
        "due-date": ticket.is_task and ticket.due_at is None,
        "followers": not set(support) <= set(following),
        "note": notes is not None and all(one.public or one.at < now - FOLLOW_UP for one in notes),
        "in-time": ticket.due_at is not None and ticket.due_at < now,
    }
    return tuple(name for name, is_lacking in lacks.items() if is_lacking)
