"""The department request's words (ID-1 to ID-12): what is asked of a department, and what comes of it."""

from datetime import date, timedelta
from enum import StrEnum

from pydantic import Field

from domain.case import Request
from domain.model import Model
from domain.people import Topic
from domain.rules.clock import Cause

DEPARTMENT_REQUEST = "DepartmentRequest"
DUE = timedelta(hours=48)
NEW_PAGES = timedelta(days=10)  # ID-5: content for new pages takes 7 to 10 days
FOLLOW_UP = timedelta(hours=48)  # ID-8: a note at least this often
ASKED_BEFORE = timedelta(hours=12)  # so long before it is due, the CSS is asked for the next note


class Source(StrEnum):
    """Where a request came from."""

    PERSON = "person"  # the page, the command line, the API
    TASK = "task"  # a task on a client's [CSM] list
    TICKET = "ticket"
    CASE = "case"  # another case opened it
    WEBHOOK = "webhook"  # what a vendor told, where no case was open that could hear it
    SWEEP = "sweep"  # found on a list, made outside of Holdfast


class DepartmentAsk(Request):
    """Input of `DepartmentRequest`: ids and hashes only. `department` "": nobody has said yet which one.

    `due_after` runs from the start: what is left of a promise, not a moment, for each case has its own clock.
    """

    department: str = ""
    topic: Topic = Topic.ANY
    source: Source = Source.PERSON
    title_sha256: str = ""
    details_sha256: str = ""
    task_id: str = ""
    ticket_id: str = ""
    due_after: timedelta = DUE
    unsure: bool = False  # ID-5: the department's manager is asked for an estimate
    first_chase: timedelta | None = None  # from the promise of the case that opened it
    linked_to: str = ""
    linked_workflow_id: str = ""
    resumed: Source | None = None  # opened again there: where it is a ticket, its task is opened again from here


class Routed(Model):
    """The CSS's word on whom a task or ticket is for."""

    department: str = Field(min_length=1, max_length=41)


class Estimate(Model):
    """The department manager's answer: so many hours from now, or a day, which ends with its working hours (ID-5)."""

    hours: int = Field(default=0, ge=0, le=24 * 90)
    on: date | None = None


class TaskSeen(Model):
    """A task and its ticket, as they were last read. People are person ids, "" for somebody not known here."""

    completed: bool = False
    completed_by: str = ""
    deleted: bool = False
    waits_for: Cause | None = None  # as the ticket says: the client, or a third party
    noted: int = 0  # the place among its comments of the last note of the CSS or the CSM: more than before is a new one
    estimate: Estimate | None = None  # the manager's answer in a comment, where it can be read


class RequestOutcome(Model):
    status: str
    by: str = ""  # person id
