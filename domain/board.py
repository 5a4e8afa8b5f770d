"""Tasks on the departments' board (Teamwork Projects) and tickets on a desk, in the agency's words.

Both carry a marker of ours, by which what we made is found again: `domain.ids.marker`.
"""

from datetime import date, datetime
from enum import StrEnum

from domain.case import Model


class BoardTask(Model):
    """One task. People are the board's own user ids; a due date has no time of day: the exact one is the case's."""

    task_id: str
    list_id: str
    project_id: str
    title: str
    description: str = ""
    assignees: tuple[str, ...] = ()
    followers: tuple[str, ...] = ()
    due_on: date | None = None
    completed: bool = False
    completed_by: str = ""  # "" while it is open
    url: str = ""
    created_at: datetime
    updated_at: datetime
    comments: int = 0


class BoardComment(Model):
    comment_id: str
    task_id: str
    body: str
    author_id: str = ""
    at: datetime
    notified: tuple[str, ...] = ()  # as far as the board says whom it told

    def carries(self, marker: str) -> bool:
        return marker in self.body


class NewTask(Model):
    """A task to be made. `marker` is put below the description, unless that holds it already."""

    list_id: str
    title: str
    description: str = ""
    assignees: tuple[str, ...] = ()
    followers: tuple[str, ...] = ()
    due_on: date | None = None
    marker: str


class TaskList(Model):
    list_id: str
    project_id: str
    name: str


class BoardUser(Model):
    user_id: str
    name: str
    email: str = ""


class TicketStatus(StrEnum):
    NEW = "new"
    OPEN = "open"
    PENDING = "pending"  # waits for the requester
    HOLD = "hold"  # waits for a third party
    SOLVED = "solved"
    CLOSED = "closed"  # for good: nothing can be changed

    @property
    def is_settled(self) -> bool:
        return self in {TicketStatus.SOLVED, TicketStatus.CLOSED}


class TicketAbility(StrEnum):
    """What a desk may be able to do."""

    FOLLOWERS = "followers"
    DUE = "due"
    NOTES = "notes"


class Ticket(Model):
    """One ticket. People are e-mail addresses in lower case, "" where nobody is named."""

    ticket_id: str
    subject: str
    status: TicketStatus
    assignee: str = ""
    requester: str = ""
    is_task: bool = False  # only such a ticket has a due date
    due_at: datetime | None = None
    followers: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    url: str = ""
    updated_at: datetime


class TicketNote(Model):
    """One entry of a ticket's conversation: a note that only the team sees, or (`public`) a message."""

    note_id: str
    body: str
    public: bool
    author: str = ""
    at: datetime

    def carries(self, marker: str) -> bool:
        return marker in self.body


class BoardEventKind(StrEnum):
    TASK_CREATED = "task.created"
    TASK_UPDATED = "task.updated"
    TASK_COMPLETED = "task.completed"
    TASK_REOPENED = "task.reopened"
    TASK_DELETED = "task.deleted"
    COMMENT_CREATED = "comment.created"
    COMMENT_UPDATED = "comment.updated"
    COMMENT_DELETED = "comment.deleted"
    OTHER = "other"


class BoardEvent(Model):
    """What a webhook of the board says happened: a hint to read the task again, never more."""

    event_id: str
    kind: BoardEventKind
    task_id: str = ""  # "" for an event that is about no task
    comment_id: str = ""
    user_id: str = ""  # who did it


class TicketEventKind(StrEnum):
    CREATED = "created"
    STATUS = "status"
    ASSIGNEE = "assignee"
    FOLLOWERS = "followers"
    COMMENT = "comment"
    DELETED = "deleted"
    UPDATED = "updated"  # anything else of a ticket
    OTHER = "other"


class TicketEvent(Model):
    """What a webhook of the desk says happened: a hint to read the ticket again, never more."""

    event_id: str
    kind: TicketEventKind
    ticket_id: str = ""
    user_id: str = ""  # the desk's own id of who did it
    at: datetime | None = None
