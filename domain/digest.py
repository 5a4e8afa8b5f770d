"""The morning digest: what can wait is told to each person once a day, as their working day begins."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from domain.case import OpenStep
from domain.effects import Nudge
from domain.model import Model
from domain.people import Role
from domain.rules.calendar import Calendar, next_working_moment, working_time
from domain.rules.running_clock import Clock

MORNING_DIGEST = "MorningDigest"
DIGESTS = "digests"
"""What the ledger's rows of digests stand under: they belong to no case."""


ALONE_WITHIN = timedelta(hours=4)
"""What is promised comes by itself once whoever has it is left with no more time than that."""


class DigestRequest(Model):
    """Everything that waits, for everybody whose morning has come."""


class Digested(Model):
    sent: int = 0
    left: int = 0  # not sent yet: held, or the mail server is away
    nobody: int = 0  # could be told to nobody: the log says which, the step stays on the pages


class DigestLine(Model):
    """One thing in a digest, as it stands when it is sent."""

    case_id: str
    step_id: str
    step_name: str
    clause: str
    waiting_for: str
    due: datetime
    missed: datetime | None = None
    why: str = ""


def morning(calendar: Calendar, written_at: datetime, now: datetime) -> date | None:
    """The day in whose digest something belongs that is told now; None: it waits for the next working day's.

    A digest holds what was written before that day's work began, and goes out in working hours.
    """
    zone = ZoneInfo(calendar.zone)
    day = now.astimezone(zone).date()
    begins = next_working_moment(calendar, datetime.combine(day, time.min, zone))
    is_working = next_working_moment(calendar, now) - now < timedelta(microseconds=1)
    return day if is_working and written_at < begins <= now else None


def next_morning(calendar: Calendar, now: datetime) -> datetime:
    """When the next digest goes out that can hold what is written now."""
    zone = ZoneInfo(calendar.zone)
    day = now.astimezone(zone).date()
    today = next_working_moment(calendar, datetime.combine(day, time.min, zone))
    tomorrow = datetime.combine(day + timedelta(days=1), time.min, zone)
    return today if today > now else next_working_moment(calendar, tomorrow)


def is_pressing(step: OpenStep, clocks: Iterable[Clock], calendar: Calendar, now: datetime) -> bool:
    """Whether a step comes by itself when its recipient is at work: an emergency, an approval, and what is promised for
    four hours of their working time from now, or less.
    """
    if step.urgent or step.role == Role.APPROVER:
        return True
    promised = [one.due for one in clocks if one.step_id in {"", step.step_id} and one.runs and not one.breached_at]
    own = [] if step.chased else [step.deadline.due]
    return any(working_time(calendar, now, due) <= ALONE_WITHIN for due in (*promised, *own))


def can_wait(step: OpenStep, clocks: Sequence[Clock], calendar: Calendar, now: datetime) -> bool:
    """Whether the recipient's next digest tells of a step early enough."""
    return not is_pressing(step, clocks, calendar, next_morning(calendar, now))


def why_told(nudge: Nudge) -> str:
    """In a digest: what a nudge says that has a message of its own otherwise."""
    match nudge:
        case Nudge(why=why) if why:
            return why
        case Nudge(replied=True):
            return "The client wrote again."
        case Nudge(passed_on=True):
            return "It is yours from now on."
        case Nudge(role=role, chase=chase) if role:
            return f"You are told as well: whoever has it was reminded {chase} times."
        case Nudge(chase=chase) if chase:
            return f"Reminder {chase}."
        case _:
            return "New."
