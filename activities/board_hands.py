"""How tasks and tickets are made, put right and written on: each found again by a marker of ours."""

from collections.abc import Sequence
from datetime import date
from typing import TypedDict

from pydantic import JsonValue

from activities.hands_made import Seen, Sent
from activities.ports import Briefs, TaskBoard, TicketDesk
from domain import ids
from domain.board import BoardTask, NewTask, Ticket, TicketAbility, TicketStatus
from domain.brief import Brief, Reached
from domain.department_request import TaskSeen
from domain.effects import AssignTask, CommentTask, FollowTicket, NoteTicket
from domain.errors import Permanent, Retryable
from domain.mail import Words
from domain.rules.clock import Cause
from domain.rules.estimates import read_estimate
from domain.texts import canonical, digest

BOARD, DESK = ("vendor:teamwork",), ("vendor:tickets",)
NO_AGENT = {"not-a-user", "record-invalid"}
"""How a desk answers that a ticket can't be assigned to somebody."""


class _Change(TypedDict, total=False):
    assignees: tuple[str, ...]
    due_on: date


class AssignHand:
    """The task with everybody on it (ID-4) and its day (ID-5): made once, put right as often as it takes."""

    resend = True
    recipients = BOARD

    def __init__(self, board: TaskBoard, brief: Brief, effect: AssignTask) -> None:
        self.board, self.brief, self.due_on, self.reopen = board, brief, effect.due_on, effect.reopen
        self.marker = ids.marker(brief.case_id)
        who = [one.person_id for one in brief.everybody]
        self.body_sha256 = digest(canonical([brief.task_id, brief.list_id, *who, effect.due_on.isoformat()]))

    async def do(self) -> Sent:
        task = await self._find()
        wanted, missing = await accounts(self.board, self.brief.everybody)
        if not wanted:
            raise Permanent("teamwork", "nobody-on-the-board", "nobody who should have the task is known on the board")
        if task is None:
            task = await self.board.create(self._new(wanted))
            return self._sent(task, wanted, missing)
        if self.reopen and task.completed:
            await self.board.reopen(task.task_id)
        if change := self._change(task, wanted):
            task = await self.board.change(task.task_id, **change)
        return self._sent(task, wanted, missing)

    async def look(self) -> Seen:
        task = await self._find()
        wanted, missing = await accounts(self.board, self.brief.everybody)
        if task is None or self._change(task, wanted) or (self.reopen and task.completed):
            return "missing"
        return self._sent(task, wanted, missing)

    async def _find(self) -> BoardTask | None:
        return await task_of(self.board, self.brief)

    def _new(self, wanted: Sequence[str]) -> NewTask:
        if not self.brief.list_id:
            raise Permanent("teamwork", "no-list", "nobody said on which list tasks of this client are made")
        return NewTask(
            list_id=self.brief.list_id,
            title=self.brief.title,
            description=f"{self.brief.details}\n\n{self.brief.page}".strip(),
            assignees=tuple(wanted),
            due_on=self.due_on,
            marker=self.marker,
        )

    def _change(self, task: BoardTask, wanted: Sequence[str]) -> _Change:
        """Whom we put on it and who is not meant today goes: away, or back. Whoever else is on it stays."""
        change: _Change = {}
        others = (one for one in task.assignees if one not in self.brief.assigned)
        everybody = tuple(dict.fromkeys((*others, *wanted)))
        if set(everybody) != set(task.assignees):
            change["assignees"] = everybody
        if task.due_on != self.due_on:
            change["due_on"] = self.due_on
        return change

    def _sent(self, task: BoardTask, wanted: Sequence[str], missing: Sequence[str]) -> Sent:
        on_it: dict[str, JsonValue] = {"assigned": list(wanted), "missing": list(missing)}
        return Sent(task.task_id, {"task_id": task.task_id, "url": task.url, **on_it})


class CommentHand:
    """A comment directed to somebody (ID-6), or the CSS's note (ID-8)."""

    resend = True
    recipients = BOARD

    def __init__(self, board: TaskBoard, brief: Brief, effect: CommentTask, words: Words) -> None:
        self.board, self.brief, self.text = board, brief, words.text
        self.marker = ids.marker(effect.key)
        self.body_sha256 = digest(canonical([effect.to, words.text]))

    async def do(self) -> Sent:
        task = await self._task()
        to, _ = await accounts(self.board, self.brief.relevant)
        return Sent(await self.board.comment(task.task_id, self.text, to, self.marker), {"task_id": task.task_id})

    async def look(self) -> Seen:
        task = await self._task()
        found = next((one for one in await self.board.comments(task.task_id) if one.carries(self.marker)), None)
        return Sent(found.comment_id, {"task_id": task.task_id}) if found else "missing"

    async def _task(self) -> BoardTask:
        return await _there(self.board, self.brief)


class CompleteHand:
    resend = True
    recipients = BOARD

    def __init__(self, board: TaskBoard, brief: Brief) -> None:
        self.board, self.brief = board, brief
        self.body_sha256 = digest(canonical(["complete", brief.task_id]))

    async def do(self) -> Sent:
        task = await task_of(self.board, self.brief)
        if task and not task.completed:
            await self.board.complete(task.task_id)
        return Sent(task.task_id if task else "no-task")

    async def look(self) -> Seen:
        task = await task_of(self.board, self.brief)
        return Sent(task.task_id if task else "no-task") if task is None or task.completed else "missing"


class FollowHand:
    """The CSS on every ticket of their CSM, and the CSM too (ID-7); a day on a task that has none (ID-5); and whoever
    is relevant as the assignee of one that is nobody's (ID-4), as far as the desk knows them.
    """

    resend = True
    recipients = DESK

    def __init__(self, desk: TicketDesk, brief: Brief, effect: FollowTicket) -> None:
        self.desk, self.brief, self.due = desk, brief, effect.due
        self.wanted = tuple(dict.fromkeys(one.email.lower() for one in (*brief.css, *brief.csm) if one.email))
        self.assignee = next((one.email.lower() for one in brief.relevant if one.email), "")
        self.body_sha256 = digest(canonical([brief.ticket_id, *self.wanted, *filter(None, [self.assignee])]))

    async def do(self) -> Sent:
        ticket = await self._ticket()
        if self._lacks_followers(ticket):
            await self.desk.set_followers(self.brief.ticket_id, self.wanted)
        if self._lacks_due(ticket):
            await self.desk.change(self.brief.ticket_id, due_at=self.due)
        return self._sent(await self._assigned(ticket))

    async def look(self) -> Seen:
        ticket = await self._ticket()
        lacks = self._lacks_followers(ticket) or self._lacks_due(ticket) or self._lacks_assignee(ticket)
        return "missing" if lacks else self._sent("")

    async def _ticket(self) -> Ticket:
        ticket = await self.desk.ticket(self.brief.ticket_id)
        if ticket is None:
            raise Permanent("tickets", "not-found", "there is no such ticket")
        return ticket

    def _lacks_followers(self, ticket: Ticket) -> bool:
        return TicketAbility.FOLLOWERS in self.desk.capabilities and not set(self.wanted) <= set(ticket.followers)

    def _lacks_due(self, ticket: Ticket) -> bool:
        able = TicketAbility.DUE in self.desk.capabilities
        return able and self.due is not None and ticket.is_task and ticket.due_at is None

    def _lacks_assignee(self, ticket: Ticket) -> bool:
        return bool(self.assignee) and not ticket.assignee and not ticket.status.is_settled

    async def _assigned(self, ticket: Ticket) -> str:
        """Whoever is no agent of the desk is asked all the same, by the task: the ticket then stays nobody's."""
        if not self._lacks_assignee(ticket):
            return ""
        try:
            await self.desk.change(self.brief.ticket_id, assignee=self.assignee)
        except Permanent as error:
            if error.code not in NO_AGENT:
                raise
            return error.code
        return "assigned"

    def _sent(self, assigned: str) -> Sent:
        able = TicketAbility.FOLLOWERS in self.desk.capabilities
        found: dict[str, JsonValue] = {"assignee": assigned} if assigned else {}
        return Sent(self.brief.ticket_id if able else "desk-without-followers", found)


class NoteHand:
    """An internal note on the ticket (ID-8)."""

    resend = True
    recipients = DESK

    def __init__(self, desk: TicketDesk, brief: Brief, effect: NoteTicket, words: Words) -> None:
        self.desk, self.brief, self.text = desk, brief, words.text
        self.marker = ids.marker(effect.key)
        self.body_sha256 = digest(words.text)

    async def do(self) -> Sent:
        return Sent(await self.desk.note(self.brief.ticket_id, self.text, self.marker))

    async def look(self) -> Seen:
        found = next((one for one in await self.desk.notes(self.brief.ticket_id) if one.carries(self.marker)), None)
        return Sent(found.note_id) if found else "missing"


class AgendaHand:
    """The agenda is a table of our own (ID-8)."""

    resend = True
    recipients: tuple[str, ...] = ()

    def __init__(self, briefs: Briefs, case_id: str, key: str) -> None:
        self.briefs, self.case_id, self.key = briefs, case_id, key
        self.body_sha256 = digest(key)

    async def do(self) -> Sent:
        return Sent(await self.briefs.list_on_agenda(self.case_id, self.key))

    async def look(self) -> Seen:
        day = await self.briefs.listed(self.key)
        return Sent(day) if day else "missing"


async def task_of(board: TaskBoard, brief: Brief) -> BoardTask | None:
    """The case's task: the one it was opened about, or the one that was made for it."""
    if brief.task_id:
        return await board.task(brief.task_id)
    return await board.find(brief.list_id, ids.marker(brief.case_id)) if brief.list_id else None


async def accounts(board: TaskBoard, people: Sequence[Reached]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The board's user ids of these people, and the person ids of those it does not know."""
    known = {one.person_id: one.board_id for one in people if one.board_id}
    if len(known) < len(people):
        users = {user.email.lower(): user.user_id for user in await board.users() if user.email}
        known |= {
            one.person_id: users[one.email.lower()]
            for one in people
            if one.person_id not in known and one.email.lower() in users
        }
    missing = tuple(one.person_id for one in people if one.person_id not in known)
    return tuple(dict.fromkeys(known.values())), missing


WAITS: dict[TicketStatus, Cause] = {TicketStatus.PENDING: Cause.CLIENT, TicketStatus.HOLD: Cause.THIRD_PARTY}


async def read_task(board: TaskBoard, desk: TicketDesk, briefs: Briefs, brief: Brief) -> TaskSeen:
    """The task and its ticket as they are now. `noted` grows with each note of whoever is CSS or CSM by then; ours are
    not theirs.
    """
    ticket = await desk.ticket(brief.ticket_id) if brief.ticket_id else None
    waits = WAITS.get(ticket.status) if ticket else None
    task = await task_of(board, brief)
    if task is None:
        return TaskSeen(deleted=bool(brief.task_id), waits_for=waits)
    comments = [one for one in await board.comments(task.task_id) if "[holdfast:" not in one.body]
    people = await briefs.who([task.completed_by, *(one.author_id for one in comments)], ())
    support = {one.person_id for one in (*brief.css, *brief.csm)}
    managers = {one.person_id for one in brief.relevant}
    said = (read_estimate(one.body) for one in reversed(comments) if people.get(one.author_id) in managers)
    return TaskSeen(
        completed=task.completed,
        waits_for=waits,
        completed_by=people.get(task.completed_by, ""),
        noted=max((place for place, one in enumerate(comments, 1) if people.get(one.author_id) in support), default=0),
        estimate=next((one for one in said if one), None),
    )


async def _there(board: TaskBoard, brief: Brief) -> BoardTask:
    task = await task_of(board, brief)
    if task is None:
        raise Retryable("teamwork", "no-task-yet", "there is no task to comment on yet")
    return task
