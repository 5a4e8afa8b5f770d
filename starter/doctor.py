"""What is wrong with a Holdfast, and what to do about it: nothing that fails in silence stays silent."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from temporalio.api.enums.v1 import EventType, TaskQueueType, WorkflowTaskFailedCause
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import (
    Client,
    ScheduleActionExecutionStartWorkflow,
    ScheduleDescription,
    WorkflowExecutionStatus,
)
from temporalio.service import RPCError, RPCStatusCode

from adapters.postgres import policy
from adapters.postgres.api_keys import ApiKeys
from adapters.postgres.directory_book import DirectoryBook
from adapters.postgres.operations import Operations
from adapters.postgres.pool import transaction
from domain.ids import (
    BOOKS_SCHEDULE,
    DIGEST_SCHEDULE,
    DIRECTORY_SCHEDULE,
    REQUEST_SCHEDULE,
    SOPS_QUEUE,
    door_queue,
    money_queue,
)
from domain.people import Role
from runtime import local
from runtime.connect import connect
from runtime.settings import Settings
from starter import schedules
from starter.cli.world import Office, explain, office, several

MOST_CASES = 500
AT_ONCE = 10
TOO_LONG = timedelta(minutes=2)
SEEN = timedelta(seconds=90)

Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """`what` is one sentence; `then` what to do, "" if nothing."""

    level: Level
    about: str
    what: str
    then: str = ""


async def examine(settings: Settings) -> list[Finding]:
    """Everything that can be looked at; what can't be reached is itself a finding."""
    found, running = _services(settings), list[tuple[str, str]]()
    try:
        async with office(settings) as here:
            found += await _database(here)
            running += await here.operations.running_cases(MOST_CASES)
    except Exception as error:  # noqa: BLE001  whatever it is, it is what the doctor is asked about
        found.append(Finding("problem", "database", explain(error)))
    try:
        client = await connect(settings)
        found += await _temporal(client, running)
    except (RPCError, RuntimeError) as error:
        found.append(Finding("problem", "temporal", explain(error)))
    return found


def _services(settings: Settings) -> list[Finding]:
    """The processes of `holdfast up`; elsewhere they are somebody else's."""
    if settings.mode != "local":
        return []
    alive = {record.name for record in local.running(settings)}
    wanted = [service.name for service in local.local_services(settings)]
    if not alive:
        return [Finding("note", "services", "nothing was started by `holdfast up`")]
    dead = [name for name in wanted if name not in alive]
    if dead:
        return [
            Finding("problem", "services", f"not running: {', '.join(dead)}", "`holdfast up` starts what is missing")
        ]
    return [Finding("ok", "services", f"{len(wanted)} processes are running")]


async def _database(here: Office) -> list[Finding]:
    operations = here.operations
    counts = await operations.counts()
    found = [
        Finding(
            "ok", "database", f"{several(counts.open_cases, 'open case')}, {several(counts.open_steps, 'open step')}"
        )
    ]
    found.append(await _outbound(here))
    found += await _who_may_sign(here)
    found += await _directory(here)
    found += await _api_keys(here)
    if counts.oldest_waiting and counts.now - counts.oldest_waiting > TOO_LONG:
        what = f"{counts.waiting_inbox} rows of the inbox were not handed to Temporal for over two minutes"
        found.append(Finding("problem", "inbox", what, "is the inbox process running? `holdfast up` starts it"))
    found += await _dead(operations)
    for effect in await operations.loose_effects():
        what = f"nobody knows whether {effect.kind} of {effect.case_id} was done ({effect.code or effect.state})"
        found.append(Finding("problem", "effects", what, "its step `could-not` asks a person: `holdfast step list`"))
    return found


async def _outbound(here: Office) -> Finding:
    async with transaction(here.pool, reading=True) as conn:
        switch, holds = await policy.outbound(conn), await policy.holds(conn)
    held = "; ".join(
        f"{hold.client_id} is on hold" if hold.client_id != "*" else "ALL clients are on hold" for hold in holds
    )
    allowed = f" ({len(switch.allow)} allowed)" if switch.mode == "allowlist" else ""
    what = f"outbound is {switch.mode.upper()}{allowed}" + (f"; {held}" if held else "")
    then = "" if switch.mode == "on" else "`holdfast outbound set on` lets mail and vendors be reached"
    return Finding("ok" if switch.mode == "on" and not holds else "note", "outbound", what, then)


async def _who_may_sign(here: Office) -> list[Finding]:
    """A step for Accounts or the approver that nobody can end is a promise that breaks in silence."""
    roles = await here.operations.money_roles()
    missing = [role.value for role in (Role.ACCOUNTS, Role.APPROVER) if role.value not in roles]
    if not missing:
        return []
    what = f"nobody may sign for {' and '.join(missing)}: their steps can't be ended"
    then = "name them in a file like samples/money_people.toml; start the money worker with HOLDFAST_MONEY_PEOPLE"
    return [Finding("problem", "money people", what, then)]


async def _directory(here: Office) -> list[Finding]:
    """A directory that is not kept leads to nobody, and nobody notices."""
    book = DirectoryBook(here.pool, here.vault)
    known, worries = await book.entries(), await book.worries()
    if not known:
        return [Finding("note", "directory", "no department is in it", "`holdfast directory import` brings them in")]
    found = [Finding("problem" if one.urgent else "note", "directory", one.what, one.then) for one in worries]
    return found or [Finding("ok", "directory", f"{several(len(known), 'department')}, each leads to somebody")]


async def _api_keys(here: Office) -> list[Finding]:
    """Another system that can't come in any more says so to nobody here."""
    found = await ApiKeys(here.pool).worries()
    return [Finding("problem" if one.urgent else "note", "API keys", one.what, one.then) for one in found]


async def _dead(operations: Operations) -> list[Finding]:
    return [
        Finding(
            "problem",
            "inbox",
            f"row {row.inbox_id} ({row.provider}) could not be handed over after {row.attempts} tries: {row.code}",
            f"mend the cause, then `holdfast inbox retry {row.inbox_id}`",
        )
        for row in await operations.dead_rows()
    ]


async def _temporal(client: Client, running: Sequence[tuple[str, str]]) -> list[Finding]:
    await client.count_workflows()
    found = [Finding("ok", "temporal", f"answers, namespace {client.namespace}"), *await _pollers(client)]
    clockwork = [await _schedule(client, one) for one in _CLOCKWORK]
    return [*found, *clockwork, *await _cases(client, running)]


async def _pollers(client: Client) -> list[Finding]:
    """Task queues that nobody listens to: what is put there waits for ever."""
    workflow, activity = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
    found: list[Finding] = []
    for queue, kind, process in (
        (SOPS_QUEUE, workflow, "a worker: `python worker.py --queues sops`"),
        (SOPS_QUEUE, activity, "a worker: `python worker.py --queues sops`"),
        (money_queue(SOPS_QUEUE), activity, "a worker: `python worker.py --queues money`"),
        (door_queue(SOPS_QUEUE), activity, "the inbox process: `python -m starter.inbox`"),
    ):
        request = DescribeTaskQueueRequest(
            namespace=client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind
        )
        pollers = (await client.workflow_service.describe_task_queue(request)).pollers
        if not any(_lately(poller.last_access_time.ToDatetime(UTC)) for poller in pollers):
            name = "workflows" if kind == workflow else "activities"
            what = f"nobody listens on {queue} for {name}"
            found.append(Finding("problem", "workers", what, f"start {process}, or `holdfast up`"))
    return found or [Finding("ok", "workers", "every queue has a worker")]


def _lately(seen: datetime) -> bool:
    """A worker asks again at least every minute; the server remembers one that is gone for five."""
    return datetime.now(UTC) - seen < SEEN


@dataclass(frozen=True)
class _Clockwork:
    """A schedule in words: what is not done without it, what it does, and how to have it done now."""

    schedule_id: str
    missing: str
    what: str
    well: str
    again: str


# Missing, paused or failing, each breaks promises in silence.
_CLOCKWORK = (
    _Clockwork(  # RL-11
        BOOKS_SCHEDULE, "nothing checks the books", "check of the books", "the books are checked", "billing check"
    ),
    _Clockwork(  # ID-1
        DIRECTORY_SCHEDULE,
        "nothing looks who is away as a day begins",
        "look at who is away",
        "it is looked up who is away",
        "directory sweep",
    ),
    _Clockwork(  # ID-3
        DIGEST_SCHEDULE,
        "nothing tells people in the morning what waits for them",
        "morning's digests",
        "people are told in the morning what waits for them",
        "schedules run morning-digest",
    ),
    _Clockwork(  # ID-4
        REQUEST_SCHEDULE,
        "nothing finds the tasks and tickets that were made without anybody on them",
        "look at the boards",
        "tasks and tickets made elsewhere are looked at",
        "schedules run request-sweep",
    ),
)


async def _schedule(client: Client, one: _Clockwork) -> Finding:
    try:
        found = await schedules.describe(client, one.schedule_id)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return Finding("problem", "schedules", one.missing, "`holdfast schedules apply` makes it so")
    state = found.schedule.state
    if state.paused:
        what = f"the {one.what} is paused ({state.note or 'no reason given'})"
        return Finding("problem", "schedules", what, f"unpause the schedule {one.schedule_id} in the Temporal UI")
    if failed := await _failed_check(client, found):
        what = f"the last {one.what} came to no end ({failed})"
        return Finding("problem", "schedules", what, f"`holdfast {one.again}` tries again, the Temporal UI says why")
    return Finding("ok", "schedules", one.well)


async def _failed_check(client: Client, found: ScheduleDescription) -> str:
    """How the last check ended if not well, "" if it did or runs."""
    last = max(found.info.recent_actions, key=lambda one: one.started_at, default=None)
    if last is None or not isinstance(last.action, ScheduleActionExecutionStartWorkflow):
        return ""
    try:
        status = (await client.get_workflow_handle(last.action.workflow_id).describe()).status
    except RPCError:
        return ""  # it ran so long ago that Temporal forgot it
    return status.name.lower() if status and status in _FAILED else ""


_FAILED = {
    WorkflowExecutionStatus.FAILED,
    WorkflowExecutionStatus.TIMED_OUT,
    WorkflowExecutionStatus.TERMINATED,
    WorkflowExecutionStatus.CANCELED,
}


async def _cases(client: Client, cases: Sequence[tuple[str, str]]) -> list[Finding]:
    """Each open case, compared with what Temporal says of it. Its visibility store lags, so it is not asked."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def look(case_id: str, workflow_id: str) -> Finding | None:
        async with gate:
            return await _case(client, case_id, workflow_id)

    looked = await asyncio.gather(*(look(*one) for one in cases))
    wrong = [one for one in looked if one]
    return wrong or [
        Finding("ok", "cases", f"{several(len(cases), 'open case is', 'open cases are')} running and none fails")
    ]


async def _case(client: Client, case_id: str, workflow_id: str) -> Finding | None:
    handle = client.get_workflow_handle(workflow_id)
    try:
        described = await handle.describe()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return Finding("problem", "cases", f"{case_id} is open in the tables, but Temporal does not know it", _REOPEN)
    if described.status is not WorkflowExecutionStatus.RUNNING:
        state = described.status.name.lower() if described.status else "gone"
        return Finding("problem", "cases", f"{case_id} is open in the tables, but Temporal says {state}", _REOPEN)
    if described.raw_description.pending_workflow_task.attempt > 1 and (why := await _failure(client, workflow_id)):
        return Finding("problem", "workflow tasks", f"{case_id} fails again and again: {why}", _MEND)
    return None


_REOPEN = "was it terminated? Look at it by `holdfast case show`, and open the request anew"
_MEND = "mend the code or the data and restart the worker: the case goes on where it is"


async def _failure(client: Client, workflow_id: str) -> str:
    """Why its last workflow task failed, "" if only a flood of signals closed it early."""
    why = ""
    async for event in client.get_workflow_handle(workflow_id).fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
            failed = event.workflow_task_failed_event_attributes
            forced = failed.cause == WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND
            cause = WorkflowTaskFailedCause.Name(failed.cause).removeprefix("WORKFLOW_TASK_FAILED_CAUSE_")
            why = "" if forced else cause.lower().replace("_", " ")
        elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
            why = ""
    return why
