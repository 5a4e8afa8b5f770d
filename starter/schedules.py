"""The Temporal Schedules: what Holdfast does by the clock, in London's time.

The books are checked daily, and every hour on the days on which invoices are made; who went, left or came back is
looked up after midnight. A new schedule is a function that makes it and a line in `wanted`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Literal

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleCalendarSpec,
    ScheduleDescription,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)

from domain.books_check import BOOKS_CHECK, BooksCheckRequest
from domain.digest import MORNING_DIGEST, DigestRequest
from domain.directory_sweep import DIRECTORY_SWEEP, SweepRequest
from domain.errors import Refused
from domain.ids import BOOKS_SCHEDULE, DIGEST_SCHEDULE, DIRECTORY_SCHEDULE, REQUEST_SCHEDULE, SOPS_QUEUE
from domain.request_sweep import REQUEST_SWEEP, RequestSweepRequest

LONDON = "Europe/London"
WHAT = {
    BOOKS_SCHEDULE: "holds promises not to charge against the books (RL-11, RL-13)",
    DIRECTORY_SCHEDULE: "looks who is away or back, and moves their open steps (ID-1)",
    DIGEST_SCHEDULE: "tells people in the morning what waits for them",
    REQUEST_SCHEDULE: "looks at tasks and tickets that were made elsewhere (ID-3, ID-4, ID-7)",
}
CATCH_UP = timedelta(hours=6)
"""What was missed while Temporal was away is made good for so long; the check after that finds the same anyway."""
LONGEST_CHECK = timedelta(hours=3)
_MINUTE = (ScheduleRange(15),)
_DAILY = ScheduleCalendarSpec(hour=(ScheduleRange(6),), minute=_MINUTE, comment="every day")


def books_schedule(invoice_days: Sequence[int], queue: str = SOPS_QUEUE) -> Schedule:
    """Raises Refused `invoice-days` unless they are days of a month."""
    if not invoice_days or not all(0 < day < 32 for day in invoice_days):  # noqa: PLR2004
        raise Refused("invoice-days", "invoice days are days of the month, from 1 to 31: at least one")
    hourly = ScheduleCalendarSpec(
        day_of_month=tuple(ScheduleRange(day) for day in sorted(set(invoice_days))),
        hour=(ScheduleRange(0, 23),),
        minute=_MINUTE,
        comment="every hour on invoice days",
    )
    action = ScheduleActionStartWorkflow(
        BOOKS_CHECK,
        BooksCheckRequest(),
        id=BOOKS_SCHEDULE,
        task_queue=queue,
        execution_timeout=LONGEST_CHECK,
        static_summary="RL-11 promises against the books",
    )
    return _in_london(action, _DAILY, hourly)


def directory_schedule(queue: str = SOPS_QUEUE) -> Schedule:
    """Days begin at midnight; the second look finds what an outage kept from the first."""
    calendar = ScheduleCalendarSpec(
        hour=(ScheduleRange(0), ScheduleRange(6)), minute=(ScheduleRange(5),), comment="as the day begins"
    )
    action = ScheduleActionStartWorkflow(
        DIRECTORY_SWEEP,
        SweepRequest(),
        id=DIRECTORY_SCHEDULE,
        task_queue=queue,
        execution_timeout=LONGEST_CHECK,
        static_summary="ID-1 who is here today",
    )
    return _in_london(action, calendar)


def digest_schedule(queue: str = SOPS_QUEUE) -> Schedule:
    """Every quarter of an hour: each calendar has a morning of its own, and a digest goes out once."""
    calendar = ScheduleCalendarSpec(
        hour=(ScheduleRange(0, 23),), minute=(ScheduleRange(0, 59, 15),), comment="every quarter of an hour"
    )
    action = ScheduleActionStartWorkflow(
        MORNING_DIGEST,
        DigestRequest(),
        id=DIGEST_SCHEDULE,
        task_queue=queue,
        execution_timeout=LONGEST_CHECK,
        static_summary="ID-3 the morning's digests",
    )
    return _in_london(action, calendar)


def request_schedule(queue: str = SOPS_QUEUE) -> Schedule:
    """Before the day begins: what was made without people, day or comment is asked about that morning."""
    calendar = ScheduleCalendarSpec(hour=(ScheduleRange(7),), minute=(ScheduleRange(20),), comment="every day")
    action = ScheduleActionStartWorkflow(
        REQUEST_SWEEP,
        RequestSweepRequest(),
        id=REQUEST_SCHEDULE,
        task_queue=queue,
        execution_timeout=LONGEST_CHECK,
        static_summary="ID-4 tasks and tickets made elsewhere",
    )
    return _in_london(action, calendar)


def _in_london(action: ScheduleActionStartWorkflow, *calendars: ScheduleCalendarSpec) -> Schedule:
    return Schedule(
        action=action,
        spec=ScheduleSpec(calendars=list(calendars), time_zone_name=LONDON),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP, pause_on_failure=False),
    )


def wanted(invoice_days: Sequence[int], queue: str = SOPS_QUEUE) -> Mapping[str, Schedule]:
    """Every schedule by its id."""
    return {
        BOOKS_SCHEDULE: books_schedule(invoice_days, queue),
        DIRECTORY_SCHEDULE: directory_schedule(queue),
        DIGEST_SCHEDULE: digest_schedule(queue),
        REQUEST_SCHEDULE: request_schedule(queue),
    }


async def apply(client: Client, schedule_id: str, wanted: Schedule) -> Literal["created", "updated"]:
    """Makes the schedule what it should be. Whether it is paused is an operator's word, and stays."""
    try:
        await client.create_schedule(schedule_id, wanted)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(schedule_id).update(lambda known: _update(wanted, known))
        return "updated"
    return "created"


def _update(wanted: Schedule, known: ScheduleUpdateInput) -> ScheduleUpdate:
    return ScheduleUpdate(schedule=replace(wanted, state=known.description.schedule.state))


async def describe(client: Client, schedule_id: str) -> ScheduleDescription:
    """Raises RPCError NOT_FOUND if there is none."""
    return await client.get_schedule_handle(schedule_id).describe()


async def check_now(client: Client, schedule_id: str = BOOKS_SCHEDULE) -> None:
    """Has the books checked at once, whatever the hour, paused or not."""
    await client.get_schedule_handle(schedule_id).trigger()
