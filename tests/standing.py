"""A case whose promise ran, stood still and has a holiday before it: for tests of whatever shows a deadline."""

from datetime import UTC, datetime, timedelta

from adapters.postgres.cases import write_view
from adapters.postgres.pool import transaction
from domain.rules.clock import Cause, ClockKind, PauseRule, Target
from domain.rules.running_clock import pause, resume, start
from tests.agency import Agency
from tests.domain.rules.calendars import AGENCY

SINCE = datetime(2026, 12, 24, 16, tzinfo=UTC)
STRETCHES = (
    "Thu 24 Dec 2026 16:00 to Thu 24 Dec 2026 16:30: 30 min run",
    "Thu 24 Dec 2026 16:30 to Thu 24 Dec 2026 16:45: stands still 15 min: the client is waited for, says {who}",
    "Thu 24 Dec 2026 16:45 to Thu 24 Dec 2026 17:30: 45 min run",
    "Thu 24 Dec 2026 17:30 to Fri 25 Dec 2026 00:00: stands still 6 h 30 min: out of hours",
    "Fri 25 Dec 2026 00:00 to Sat 26 Dec 2026 00:00: stands still 24 h: Christmas Day (public holiday)",
    "30 min + 45 min + 2 h 45 min = 4 h: due Tue 29 Dec 2026 11:45 (RL-9)",
)
"""As people read it, but for the weekend and what follows it. `who`: who said that the client is waited for."""


async def stood_still(agency: Agency, case_id: str, by: str) -> None:
    """The tables show such a promise of an open case."""
    rule = PauseRule(cause=Cause.CLIENT, longest=timedelta(days=5))
    business = Target(
        name="resolved", clause="RL-9", after=timedelta(hours=4), clock=ClockKind.BUSINESS, pauses=(rule,)
    )
    clock = pause(start("resolved", business, SINCE, AGENCY), Cause.CLIENT, SINCE + timedelta(minutes=30), by)
    clock = resume(clock, SINCE + timedelta(minutes=45))
    shown = (await agency.view(case_id)).model_copy(update={"clocks": (clock,), "version": 10**15})
    async with transaction(await agency.database.pool("sops")) as conn:
        await write_view(conn, shown)
