"""The department request as data: its steps, and the effects of each of its moments (clauses ID-1 to ID-12)."""

from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from domain.department_request import (
    ASKED_BEFORE,
    DEPARTMENT_REQUEST,
    FOLLOW_UP,
    DepartmentAsk,
    Estimate,
    RequestOutcome,
    Routed,
    Source,
    TaskSeen,
)
from domain.effects import (
    AssignTask,
    CommentTask,
    CompleteTask,
    Effect,
    FollowTicket,
    ListOnAgenda,
    NoteTicket,
    ReadTask,
    Receipt,
    ReportAgain,
    ReportEnd,
    Tell,
)
from domain.ids import effect_key
from domain.messages import ActKind, FactKind
from domain.people import Role, department_role, manager_role
from domain.rules.calendar import Calendar, Window, round_to_end_of_day
from domain.rules.clock import Target, TargetName, chosen
from domain.steps import Desk, PersonStep, StepResult

KIND = DEPARTMENT_REQUEST
DESK = Desk(team=Role.CSS, trail="ID-3", inbox="ID-3", client="ID-8", hears=frozenset({FactKind.TASK}), answers=True)
LONDON = "Europe/London"
OVER = "ended"
"""What a report to a case says where nobody hears it any more."""
NOBODY_WAITS = "The case that asked for this is over by now, and does not hear that it is open again."
OFFICE_HOURS = tuple(Window(weekday=day, opens=time(9), closes=time(17, 30)) for day in range(5))
"""Where a door gave no calendar."""


def contact(request: DepartmentAsk, department: str) -> str:
    """ID-1, ID-2: the role that asks the department's relevant contact."""
    return department_role(department, request.topic)


def day_of(request: DepartmentAsk, due: datetime) -> date:
    """The day on which a moment lies, where the department works: a board knows no times of day."""
    return due.astimezone(ZoneInfo(request.calendar.zone if request.calendar else LONDON)).date()


# The moments ----------------------------------------------------------------------------------------------------------


def opening(request: DepartmentAsk, department: str, due: datetime) -> tuple[Effect, ...]:
    """ID-4 to ID-8 and ID-9 to ID-12: the task with everybody on it, then the comment, then whoever has it is told."""
    relevant = contact(request, department)
    day = day_of(request, due)
    task = AssignTask(key=task_key(request), clause="ID-4", role=relevant, due_on=day, reopen=reopens(request))
    comment = CommentTask(key=_key(request, "comment"), clause="ID-6", template="assigned", to=relevant, after=task.key)
    told = Tell(key=_tell_key(request), clause="ID-10", template="told", to=relevant, after=comment.key)
    return (task, comment, *_ticket(request, "assigned", due=due, to=relevant), _agenda(request), told)


def due_again(request: DepartmentAsk, department: str, due: datetime) -> tuple[Effect, ...]:
    """ID-5: the due date follows the manager's answer."""
    role = contact(request, department)
    return (
        AssignTask(
            key=_key(request, "assign-task", "estimated"), clause="ID-5", role=role, due_on=day_of(request, due)
        ),
    )


def reassigned(request: DepartmentAsk, department: str, due: datetime, word: str) -> tuple[Effect, ...]:
    """ID-4: whoever has it now is on the task, and stays told of it."""
    role = contact(request, department)
    day = day_of(request, due)
    return (AssignTask(key=_key(request, "assign-task", word), clause="ID-4", role=role, due_on=day),)


def followed_up(request: DepartmentAsk, department: str, turn: int, step_id: str) -> tuple[Effect, ...]:
    """ID-8: the CSS's note, on the task and on the ticket, directed to the department's contact."""
    note = CommentTask(
        key=_key(request, "follow-up", turn),
        clause="ID-8",
        template="follow-up",
        to=contact(request, department),
        step_id=step_id,
    )
    return (note, *_ticket(request, "follow-up", turn, step_id))


def finished(request: DepartmentAsk, ended: RequestOutcome) -> tuple[Effect, ...]:
    """ID-3: the task is completed where it was not, and whoever opened the request hears of it."""
    effects: list[Effect] = []
    if ended.status == "done":
        effects.append(CompleteTask(key=_key(request, "complete-task"), clause="ID-3"))
    if request.linked_workflow_id:
        opener = request.linked_workflow_id
        key = _key(request, "report-end")
        effects.append(ReportEnd(key=key, clause="ID-3", to_workflow_id=opener, outcome=in_words(ended)))
    return tuple(effects)


def opened_again(request: DepartmentAsk) -> tuple[Effect, ...]:
    """ID-3: whoever opened the request hears that it is open again."""
    if request.cycle == 1 or not request.linked_workflow_id:
        return ()
    return (ReportAgain(key=_key(request, "report-again"), clause="ID-3", to_workflow_id=request.linked_workflow_id),)


def reopens(request: DepartmentAsk) -> bool:
    """Whether the task, completed when the case closed, has to be opened again: its ticket was."""
    return request.resumed is Source.TICKET


def overtaken(request: DepartmentAsk) -> tuple[str, ...]:
    """Keys of what is not sent any more once it is done: nobody is told of, or asked about, what is over."""
    return (_tell_key(request), _estimate_key(request))


def task_key(request: DepartmentAsk) -> str:
    return _key(request, "assign-task")


def told_keys(request: DepartmentAsk) -> tuple[str, ...]:
    """Keys of what puts the request before somebody relevant: the task, and the comment on it."""
    return (task_key(request), _key(request, "comment"))


def look(request: DepartmentAsk, department: str) -> ReadTask:
    return ReadTask(key=_key(request, "read-task"), clause="ID-3", manager=manager_role(department))


def seen_in(receipt: Receipt) -> TaskSeen:
    return TaskSeen.model_validate(receipt.data)


# The steps ------------------------------------------------------------------------------------------------------------


def route() -> PersonStep[Routed]:
    """ID-1, ID-4: a task made outside of Holdfast that nobody relevant is on: the CSS says which department it is."""
    return PersonStep(
        name="route",
        clause="ID-4",
        role=Role.CSS,
        kinds=(ActKind.ROUTED,),
        result=Routed,
        waiting_for="say which department this task is for",
        due=timedelta(hours=24),
    )


def acknowledged(request: DepartmentAsk) -> Target:
    """ID-6: the promise that somebody relevant has it, and is told."""
    return chosen(request.targets, TargetName.ACKNOWLEDGE, "ID-6")


def next_reply(request: DepartmentAsk, turn: int) -> Target:
    """ID-8: the promise of the next note. It is owed whoever is waited for: the document knows no exception."""
    return chosen(request.targets, TargetName.NEXT_REPLY, "ID-8", _between_notes(request, turn), pauses=False)


def proposed(request: DepartmentAsk) -> Target:
    """ID-5: the promise of an estimate, where nobody knows yet how long it takes."""
    return chosen(request.targets, TargetName.SOLUTION_PROPOSED, "ID-5")


def resolved(request: DepartmentAsk, after: timedelta) -> Target:
    """ID-5: the promise to have it done by then. It stands still while the client or a third party is waited for."""
    return chosen(request.targets, TargetName.RESOLVED, "ID-5", after)


def process(
    request: DepartmentAsk, department: str, due: datetime, opened: Callable[[Sequence[Receipt]], None] | None = None
) -> PersonStep[StepResult]:
    """ID-3: the department's contact processes it, in 48 hours unless it warrants more (ID-5)."""
    return PersonStep(
        name="process",
        clause="ID-3",
        role=contact(request, department),
        kinds=(ActKind.PROCESSED,),
        result=StepResult,
        waiting_for="process this request",
        due=request.due_after,
        opening=opening(request, department, due),
        opened=opened,
        told=False,
        passed_on=lambda step, word: reassigned(request, department, step.deadline.due, word),
        escalate=manager_role(department),
    )


def assign_by_hand(missing: Sequence[str]) -> PersonStep[StepResult]:
    """ID-4: no task is unassigned. Who has no account on the board is put on it by a person."""
    return PersonStep(
        name="assign-by-hand",
        clause="ID-4",
        role=Role.CSS,
        kinds=(ActKind.DONE, ActKind.WAIVE),
        result=StepResult,
        waiting_for=f"assign {', '.join(missing)} to the task: the board does not know them",
        reference=" ".join(missing),
        due=timedelta(hours=24),
    )


def estimate(request: DepartmentAsk, department: str) -> PersonStep[Estimate]:
    """ID-5: unsure of the time, the department's manager is asked for an estimate in a comment on the task."""
    asked = CommentTask(key=_estimate_key(request), clause="ID-5", template="ask-estimate", to=manager_role(department))
    return PersonStep(
        name="estimate",
        clause="ID-5",
        role=manager_role(department),
        kinds=(ActKind.ESTIMATED,),
        result=Estimate,
        waiting_for="say how long this takes: in hours, or the day it will be done",
        due=timedelta(hours=24),
        opening=(asked,),
        check=lambda found: "" if bool(found.hours) != bool(found.on) else "Give hours, or a day, one of the two.",
    )


def from_now(request: DepartmentAsk, answer: Estimate, now: datetime) -> timedelta:
    """How long an estimate gives. A day ends with its working hours; the exact time is the case's to keep."""
    if answer.on is None:
        return timedelta(hours=answer.hours)
    calendar = request.calendar or Calendar(calendar_id="office-hours", windows=OFFICE_HOURS)
    return max(timedelta(), round_to_end_of_day(answer.on, calendar) - now)


def follow_up(request: DepartmentAsk, department: str, turn: int) -> PersonStep[StepResult]:
    """ID-8: the CSS follows up with a note at least every 48 hours, until it is done."""
    return PersonStep(
        name="follow-up",
        clause="ID-8",
        role=Role.CSS,
        kinds=(ActKind.DONE,),
        result=StepResult,
        waiting_for="follow up with the department, with a note",
        due=ASKED_BEFORE,
        then=lambda _: followed_up(request, department, turn, step_of(request, turn)),
        check=lambda found: "" if found.note_sha256 else "A follow-up is a note: write what you asked or heard.",
    )


def next_note(request: DepartmentAsk, turn: int) -> timedelta:
    """How long after the last note the CSS is asked for the next one: the first follows from an opener's promise."""
    return max(timedelta(minutes=1), _between_notes(request, turn) - ASKED_BEFORE)


def _between_notes(request: DepartmentAsk, turn: int) -> timedelta:
    """An opener's promise may want the first note sooner; nothing lets one come later than the document says."""
    first = request.first_chase if turn == 1 and request.first_chase is not None else FOLLOW_UP
    return min(first, FOLLOW_UP)


def step_of(request: DepartmentAsk, turn: int) -> str:
    """The id of the CSS's step of a turn, as the case numbers them."""
    name = "follow-up" if request.cycle == 1 else f"follow-up@{request.cycle}"
    return name if turn == 1 else f"{name}.{turn}"


def outcome(seen: TaskSeen, by: str) -> RequestOutcome:
    if by:
        return RequestOutcome(status="done", by=by)
    if seen.deleted:
        return RequestOutcome(status="task-deleted")
    return RequestOutcome(status="done-in-teamwork", by=seen.completed_by)


def in_words(ended: RequestOutcome) -> str:
    match ended.status:
        case "done":
            return f"done, says {ended.by}"
        case "task-deleted":
            return "the task was deleted in Teamwork"
        case _:
            return f"completed in Teamwork by {ended.by or 'somebody who is not known here'}"


def _ticket(
    request: DepartmentAsk,
    template: str,
    turn: int = 1,
    step_id: str = "",
    due: datetime | None = None,
    to: str = "",
) -> tuple[Effect, ...]:
    if not request.ticket_id:
        return ()
    note = NoteTicket(
        key=_key(request, f"ticket-{template}", turn), clause="ID-8", template=f"ticket-{template}", step_id=step_id
    )
    time = turn if template == "assigned" else turn + 1  # at the opening, and again with each note
    follow = FollowTicket(key=_key(request, "follow-ticket", time), clause="ID-7", due=due, to=to)
    return (follow, note)


def _agenda(request: DepartmentAsk) -> Effect:
    return ListOnAgenda(key=_key(request, "list-on-agenda"), clause="ID-8")


def _tell_key(request: DepartmentAsk) -> str:
    return _key(request, "tell")


def _estimate_key(request: DepartmentAsk) -> str:
    return _key(request, "ask-estimate")


def _key(request: DepartmentAsk, name: str, ordinal: int | str = 1) -> str:
    """A case that was opened again does all of it again, under keys of its own."""
    return effect_key(request.case_id, name if request.cycle == 1 else f"{name}@{request.cycle}", ordinal)
