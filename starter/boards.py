"""Looks at tasks and tickets themselves: opens a case where none is, resumes one, tells one that something changed.

A webhook only says where to look; once a day everything is looked at. Implements `activities.ports.Boards`.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta

import structlog

from activities.ports import TaskBoard, TicketDesk
from adapters.postgres.briefs import PostgresBriefs
from adapters.postgres.crypto import Vault
from adapters.postgres.found import ClientList, PostgresFound
from adapters.postgres.hints import OfCase, PostgresHints
from adapters.postgres.intake import Arrival
from adapters.postgres.pool import Pool
from adapters.teamwork.board import TeamworkBoard
from adapters.tickets.zendesk import ZendeskDesk
from domain.board import BoardTask, Ticket, TicketAbility
from domain.department_request import Source
from domain.errors import Refused, VendorError
from domain.intake import Acceptance
from domain.messages import Auth
from domain.request_sweep import OURS, RequestsSwept, lacks_of_task, lacks_of_ticket
from runtime.settings import Settings
from starter.requests import OpenRequest, RequestDoor

SETTLING = timedelta(minutes=10)
"""So long whoever made a task has to put people and a day on it."""
LATELY = timedelta(days=3)  # tickets that changed since: a sweep that failed twice is made good by the third
SWEPT, TOLD = "the daily sweep", f"a look at what a webhook told of ({Auth.WEBHOOK})"
log = structlog.get_logger("boards")


class BoardsOutside:
    """`settling`: what is younger than that is left to whoever is making it."""

    def __init__(
        self,
        pool: Pool,
        vault: Vault,
        settings: Settings,
        board: TaskBoard,
        desk: TicketDesk,
        *,
        settling: timedelta = SETTLING,
    ) -> None:
        self._hints, self._found = PostgresHints(pool, vault), PostgresFound(pool)
        self._briefs, self._door = PostgresBriefs(pool, vault), RequestDoor(pool, vault, settings)
        self._board, self._desk, self._settling = board, desk, settling

    async def sweep(self) -> RequestsSwept:
        """All of it once. Safe to repeat: what was opened, resumed or told is not so again."""
        done: list[str] = []
        seen: set[str] = set()
        for place in await self._found.lists():
            for task in await self._board.tasks(place.list_id):
                seen.add(f"task/{task.task_id}")
                done.append(await self._task(task, place, SWEPT))
        for ticket in await self._tickets():
            seen.add(f"ticket/{ticket.ticket_id}")
            done.append(await self._ticket(ticket, SWEPT))
        done += [
            await self._gone(case, about) for case, about in await self._hints.open_requests() if about not in seen
        ]
        return RequestsSwept(opened=done.count("opened"), resumed=done.count("resumed"), told=done.count("told"))

    async def _tickets(self) -> tuple[Ticket, ...]:
        """What changed lately, as it is now, and what waits unchanged for however long."""
        waiting = {one.ticket_id: one for one in await self._desk.unsettled()}
        lately = {one.ticket_id: one for one in await self._desk.tickets(datetime.now(UTC) - LATELY)}
        return tuple((waiting | lately).values())

    async def look(self) -> int:
        """What webhooks said should be looked at; returns how many there were. A vendor that is away is asked again."""
        about = await self._hints.due()
        for one in about:
            try:
                await self._look_at(one)
            except VendorError as error:
                log.warning("could not look", about=one, code=error.code)
                continue
            await self._hints.looked_at(one)
        return len(about)

    async def _look_at(self, about: str) -> None:
        kind, _, name = about.partition("/")
        if kind == "ticket":
            ticket = await self._desk.ticket(name)
            if ticket is not None:
                await self._ticket(ticket, TOLD)
            return
        task = await self._board.task(name)
        lists = {one.list_id: one for one in await self._found.lists()}
        if task is not None and task.list_id in lists:
            await self._task(task, lists[task.list_id], TOLD)

    async def _task(self, task: BoardTask, place: ClientList, by: str) -> str:
        about = f"task/{task.task_id}"
        case = await self._hints.about(about)
        if case is not None:
            again = _is_since(case, task.updated_at) and await self._is_open(task)
            return await self._known(case, about, task.updated_at, by, again=again, due=_to_come(task.due_on))
        if task.completed or OURS in task.description or self._is_being_made(task.created_at):
            return ""
        people = set((await self._briefs.who(await self._addresses(task), ())).values())
        lacks = lacks_of_task(task, people, place.support, datetime.now(UTC))
        if not lacks:
            return ""
        department = await self._found.department_of(people - set(place.support))
        log.info("a task without a case", task_id=task.task_id, lacks=lacks)
        request = OpenRequest(
            reference=f"task-{task.task_id}",
            client_id=place.client_id,
            department=department,
            task_id=task.task_id,
            due_on=_to_come(task.due_on),
        )
        return await self._open(request, by)

    async def _ticket(self, ticket: Ticket, by: str) -> str:
        about = f"ticket/{ticket.ticket_id}"
        case = await self._hints.about(about)
        if case is not None:
            return await self._known_ticket(case, about, ticket, by)
        if ticket.status.is_settled:
            return ""
        client_id, support = await self._found.client_of(ticket.requester)
        people = await self._briefs.who((), [*ticket.followers, *([ticket.assignee] if ticket.assignee else [])])
        now = datetime.now(UTC)
        lacks = lacks_of_ticket(ticket, people.values(), support, now)
        if not lacks and TicketAbility.NOTES in self._desk.capabilities:
            lacks = lacks_of_ticket(ticket, people.values(), support, now, await self._desk.notes(ticket.ticket_id))
        if not lacks:
            return ""
        assignee = {people[ticket.assignee]} if ticket.assignee in people else set[str]()
        log.info("a ticket without a case", ticket_id=ticket.ticket_id, lacks=lacks)
        request = OpenRequest(
            reference=f"ticket-{ticket.ticket_id}",
            client_id=client_id,
            department=await self._found.department_of(assignee),
            title=ticket.subject[:300],
            ticket_id=ticket.ticket_id,
        )
        return await self._open(request, by)

    async def _known(
        self, case: OfCase, about: str, changed: datetime, by: str, *, again: bool, due: date | datetime | None
    ) -> str:
        """One with a case: an open one reads it again, one that is over resumes if it is open `again`."""
        seen = changed.isoformat()
        if case.is_open:
            return await self._tell(about, seen) if by == SWEPT else ""  # a webhook told it already
        return "resumed" if again and await self._hints.resume(about, seen, due) else ""

    async def _known_ticket(self, case: OfCase, about: str, ticket: Ticket, by: str) -> str:
        """One that was seen settled and is not any more was opened again, and so was one that nobody saw settled."""
        settled, was = ticket.status.is_settled, await self._hints.was_settled(about)
        again = not settled and (was or await self._was_opened_again(case, ticket))
        done = await self._known(case, about, ticket.updated_at, by, again=again, due=ticket.due_at)
        if settled != was:
            await self._hints.saw(about, ticket.updated_at.isoformat(), settled=settled)
        return done

    async def _was_opened_again(self, case: OfCase, ticket: Ticket) -> bool:
        """Between two looks, and no webhook told of either: its audits say so."""
        if case.done_at is None:
            return False
        return await self._desk.was_opened_again(ticket.ticket_id, case.done_at.replace(microsecond=0))

    async def _is_open(self, task: BoardTask) -> bool:
        """Now, too: a list may have been read before the task was completed."""
        now = None if task.completed else await self._board.task(task.task_id)
        return now is not None and not now.completed

    async def _gone(self, case: OfCase, about: str) -> str:
        """Completed, moved or deleted: not among the open ones any more, so the case has to look, once a day."""
        del case
        return await self._tell(about, f"not-listed-{datetime.now(UTC).date()}")

    async def _tell(self, about: str, seen: str) -> str:
        taken = await self._hints.changed(Arrival("sweep", f"{about}:{seen}", about.encode()), about)
        return "told" if taken.state == "accepted" else ""

    async def _open(self, request: OpenRequest, by: str) -> str:
        try:
            accepted: Acceptance = await self._door.open(request, Source.SWEEP, by=by)
        except Refused as error:
            log.warning("the door did not take it", reference=request.reference, code=error.code)
            return ""
        return "" if accepted.repeated else "opened"

    async def _addresses(self, task: BoardTask) -> list[str]:
        return [one for one in task.assignees if one]

    def _is_being_made(self, at: datetime) -> bool:
        return datetime.now(UTC) - at < self._settling


def _is_since(case: OfCase, changed: datetime) -> bool:
    """Whether it changed after the case was done, though it may have closed later: a board counts whole seconds."""
    return case.done_at is not None and changed >= case.done_at.replace(microsecond=0)


def _to_come(day: date | None) -> date | None:
    return day if day is not None and day > datetime.now(UTC).date() else None


@asynccontextmanager
async def boards_outside(
    settings: Settings, pool: Pool, vault: Vault, *, settling: timedelta = SETTLING
) -> AsyncGenerator[BoardsOutside]:
    """With the door's own clients of Teamwork and the desk."""
    board = TeamworkBoard(settings.teamwork_url, settings.teamwork_token.get_secret_value())
    desk = ZendeskDesk(
        settings.tickets_url,
        settings.tickets_token.get_secret_value(),
        user=settings.tickets_user,
        followers=settings.tickets_followers,
    )
    try:
        yield BoardsOutside(pool, vault, settings, board, desk, settling=settling)
    finally:
        await board.aclose()
        await desk.aclose()
