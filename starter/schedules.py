"""The Temporal Schedule that has the books checked: daily, and every hour on the days on which invoices are made."""

from collections.abc import Sequence
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
from domain.errors import Refused
from domain.ids import BOOKS_SCHEDULE, SOPS_QUEUE

LONDON = "Europe/London"
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
    return Schedule(
        action=ScheduleActionStartWorkflow(
            BOOKS_CHECK,
            BooksCheckRequest(),
            id=BOOKS_SCHEDULE,
            task_queue=queue,
            execution_timeout=LONGEST_CHECK,
            static_summary="RL-11 promises against the books",
        ),
        spec=ScheduleSpec(calendars=[_DAILY, hourly], time_zone_name=LONDON),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP, pause_on_failure=False),
    )


async def apply(
    client: Client, invoice_days: Sequence[int], *, queue: str = SOPS_QUEUE, schedule_id: str = BOOKS_SCHEDULE
) -> Literal["created", "updated"]:
    """Makes the schedule what it should be. Whether it is paused is an operator's word, and stays."""
    wanted = books_schedule(invoice_days, queue)
    try:
        await client.create_schedule(schedule_id, wanted)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(schedule_id).update(lambda known: _update(wanted, known))
        return "updated"
    return "created"


def _update(wanted: Schedule, known: ScheduleUpdateInput) -> ScheduleUpdate:
    return ScheduleUpdate(schedule=replace(wanted, state=known.description.schedule.state))


async def describe(client: Client, schedule_id: str = BOOKS_SCHEDULE) -> ScheduleDescription:
    """Raises RPCError NOT_FOUND if there is none."""
    return await client.get_schedule_handle(schedule_id).describe()


async def check_now(client: Client, schedule_id: str = BOOKS_SCHEDULE) -> None:
    """Has the books checked at once, whatever the hour, paused or not."""
    await client.get_schedule_handle(schedule_id).trigger()
