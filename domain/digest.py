"""The morning digest: what can wait is told to each person once a day, as their working day begins."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from domain.model import Model
from domain.rules.calendar import Calendar, next_working_moment

MORNING_DIGEST = "MorningDigest"
DIGESTS = "digests"
"""What the ledger's rows of digests stand under: they belong to no case."""


class DigestRequest(Model):
    """Everything that waits, for everybody whose morning has come."""


class Digested(Model):
    sent: int = 0
    left: int = 0  # not sent yet: held, or the mail server is away


class DigestLine(Model):
    """One thing in a digest, as it stands when it is sent."""

    case_id: str
    step_id: str
    step_name: str
    clause: str
    waiting_for: str
    due: datetime
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
