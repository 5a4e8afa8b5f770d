"""The daily sweep on a real server, with the stand-ins of Teamwork and the desk (ID-3, ID-4, ID-7, ID-8)."""

from datetime import UTC, date, datetime, timedelta
from secrets import token_hex

import pytest

from domain.ids import REQUEST_SCHEDULE, workflow_id
from domain.messages import ActKind
from domain.request_sweep import REQUEST_SWEEP, RequestsSwept, RequestSweepRequest
from starter.boards import SWEPT
from starter.schedules import request_schedule
from tests.agency import CLIENT, CLIENT_MAIL, Agency
from tests.workflows.desk import CSM_ON_BOARD, LIST, Desk, furnish
from workflows.request_sweep import RequestSweep

GOOD = {"assignees": [304, 315, CSM_ON_BOARD], "dueAt": "2036-12-01"}


@pytest.fixture
async def desk(agency: Agency) -> Desk:
    return await furnish(agency)


async def sweep(desk: Desk, path: str = "") -> tuple[int, int, int]:
    """As the schedule starts it, in the door's own worker; then what was accepted is handed over."""
    sweep_id = f"sweep-{token_hex(4)}"
    swept: RequestsSwept = await desk.agency.client.execute_workflow(
        RequestSweep.run, RequestSweepRequest(), id=sweep_id, task_queue=desk.agency.queue
    )
    if path:
        await desk.agency.keep(sweep_id, path)
    await desk.agency.take_in()
    return swept.opened, swept.resumed, swept.told


def make(desk: Desk, **what: object) -> str:
    made = desk.agency.outside.teamwork.change({"op": "create", "tasklistId": int(LIST), "name": "Broken form", **what})
    assert isinstance(made, dict)
    return str(made["id"])


@pytest.mark.clause("ID-3", "ID-4")
async def test_a_task_that_lacks_what_it_must_have_becomes_a_case_once(desk: Desk) -> None:
    bare, for_barb = make(desk), make(desk, assignees=[304])
    good = make(desk, **GOOD)
    desk.does("comment", task=int(good), body="On it.")
    assert await sweep(desk, "request-sweep") == (2, 0, 0)
    rows = await desk.agency.database.fetch("SELECT case_id, request FROM cases ORDER BY request ->> 'department'")
    assert [(row["request"]["task_id"], row["request"]["department"]) for row in rows] == [
        (bare, ""),
        (for_barb, "ppc"),
    ]
    assert {row["request"]["source"] for row in rows} == {"sweep"}
    await desk.agency.parked(rows[0]["case_id"], "route")
    await desk.agency.parked(rows[1]["case_id"], "process")
    assert (await desk.lines(rows[1]["case_id"]))[0] == "Opened by the daily sweep."
    opened, resumed, _ = await sweep(desk)
    assert (opened, resumed) == (0, 0)
    assert len(desk.tasks()) == 3


@pytest.mark.clause("ID-7", "ID-8")
async def test_a_ticket_that_nobody_follows_becomes_a_case_once(desk: Desk) -> None:
    tickets = desk.agency.outside.tickets
    tickets.seed(users=[{"id": 77, "name": "Jane", "email": CLIENT_MAIL, "role": "end-user"}])
    ticket = int(token_hex(4), 16)
    tickets.seed(tickets=[{"id": ticket, "subject": "Ads are off", "requester_id": 77}])
    desk.ticket()  # a stranger's: nobody knows whose client that is, so somebody is asked
    assert await sweep(desk) == (2, 0, 0)
    rows = await desk.agency.database.fetch("SELECT case_id, client_id FROM cases ORDER BY client_id")
    assert [row["client_id"] for row in rows] == ["", CLIENT]
    await desk.agency.parked(rows[0]["case_id"], "route")
    row = rows[1]
    await desk.agency.act(row["case_id"], "route", ActKind.ROUTED, {"department": "ppc"}, "cleo")
    await desk.agency.parked(row["case_id"], "process")
    assert {"cleo@commversion.com", "tom@commversion.com"} <= desk.followers(ticket)
    assert (await sweep(desk))[0] == 0


@pytest.mark.clause("ID-3")
async def test_a_completion_and_a_reopening_whose_webhooks_were_lost_are_found(desk: Desk) -> None:
    case_id = await desk.open()
    await desk.agency.parked(case_id, "process")
    task = desk.tasks()[0]["id"]
    desk.does("complete", task=task)
    assert (await sweep(desk))[2] == 1
    assert (await desk.result(case_id)).status == "done-in-teamwork"
    assert await sweep(desk) == (0, 0, 0)
    desk.does("reopen", task=task)
    assert await sweep(desk) == (0, 1, 0)
    await desk.agency.parked_at(case_id, "process")
    assert (await sweep(desk))[1] == 0


@pytest.mark.clause("ID-3", "ID-7")
async def test_a_ticket_that_was_settled_and_is_open_again_opens_its_case_and_its_task_again(desk: Desk) -> None:
    ticket = desk.ticket()
    case_id = await desk.open(ticket_id=str(ticket))
    await desk.agency.act(case_id, "process", ActKind.PROCESSED, {"note_sha256": ""}, "barb")
    await desk.result(case_id)
    assert (await sweep(desk))[1] == 0  # it was open all the time: nobody opened it again
    desk.agency.outside.tickets.edit(op="status", ticket=ticket, status="solved")
    assert (await sweep(desk))[1] == 0
    desk.agency.outside.tickets.edit(op="status", ticket=ticket, status="open")
    assert (await sweep(desk))[1] == 1
    await desk.agency.sent(case_id, "assign-task@2/1")
    assert desk.tasks()[0]["status"] != "completed"
    assert (await sweep(desk))[1] == 0
    assert f"Opened again: ticket {ticket} is open again." in await desk.lines(case_id)


@pytest.mark.clause("ID-3", "ID-7")
async def test_a_ticket_that_was_solved_and_opened_again_between_two_sweeps_goes_on(desk: Desk) -> None:
    """Both webhooks were lost, and nobody looked in between."""
    ticket = desk.ticket()
    case_id = await desk.open(ticket_id=str(ticket))
    desk.agency.outside.tickets.edit(op="status", ticket=ticket, status="solved")
    desk.agency.outside.tickets.edit(op="status", ticket=ticket, status="open")
    await clock_moves(desk)  # a desk counts whole seconds
    await desk.agency.act(case_id, "process", ActKind.PROCESSED, {"note_sha256": ""}, "barb")
    await desk.result(case_id)
    assert (await sweep(desk))[1] == 0  # that was before the case was over
    desk.agency.outside.tickets.edit(op="status", ticket=ticket, status="solved")
    desk.agency.outside.tickets.edit(op="status", ticket=ticket, status="open")
    assert (await sweep(desk))[1] == 1
    await desk.agency.sent(case_id, "assign-task@2/1")
    assert (await sweep(desk))[1] == 0


@pytest.mark.clause("ID-3")
async def test_a_task_that_is_opened_again_while_a_person_is_asked_beside_its_case_goes_on_when_that_closes(
    desk: Desk,
) -> None:
    case_id = await desk.open()
    await desk.agency.parked(case_id, "process")
    step = await desk.asks_beside(case_id)
    task = desk.tasks()[0]["id"]
    desk.does("complete", task=task)
    await desk.hint(case_id)
    await desk.is_done(case_id)
    desk.does("reopen", task=task)
    await desk.hint(case_id, "2")
    assert (await sweep(desk))[1] == 0  # it is not over: somebody is asked something
    await desk.ends_beside(case_id, step)
    assert (await sweep(desk))[1] == 1
    await desk.agency.parked_at(case_id, "process")
    assert (await sweep(desk))[1] == 0
    assert f"Opened again: task {task} is open again." in await desk.lines(case_id)


@pytest.mark.clause("ID-3", "ID-7")
async def test_a_ticket_that_is_opened_again_while_a_person_is_asked_beside_its_case_goes_on_when_that_closes(
    desk: Desk,
) -> None:
    ticket, tickets = desk.ticket(), desk.agency.outside.tickets
    case_id = await desk.open(ticket_id=str(ticket))
    await desk.agency.parked(case_id, "process")
    step = await desk.asks_beside(case_id)
    await desk.agency.act(case_id, "process", ActKind.PROCESSED, {"note_sha256": ""}, "barb")
    await desk.is_done(case_id)
    tickets.edit(op="status", ticket=ticket, status="solved")
    tickets.edit(op="status", ticket=ticket, status="open")
    await desk.ends_beside(case_id, step)
    assert (await sweep(desk))[1] == 1
    await desk.agency.sent(case_id, "assign-task@2/1")
    assert (await sweep(desk))[1] == 0


@pytest.mark.clause("ID-3")
async def test_a_list_that_was_read_before_its_task_was_completed_resumes_nothing(desk: Desk) -> None:
    case_id = await desk.open()
    await desk.agency.parked(case_id, "process")
    step = await desk.asks_beside(case_id)
    await desk.agency.act(case_id, "process", ActKind.PROCESSED, {"note_sha256": ""}, "barb")
    await desk.is_done(case_id)
    desk.does("rename", task=desk.tasks()[0]["id"], name="Pause it, please")
    boards = desk.agency.boards
    (place,) = [one for one in await boards._found.lists() if one.list_id == LIST]
    (listed,) = await boards._board.tasks(LIST)
    await desk.ends_beside(case_id, step)
    assert await boards._task(listed, place, SWEPT) == ""
    assert await desk.agency.database.value("SELECT status FROM cases WHERE case_id = $1", case_id) == "closed"


async def clock_moves(desk: Desk) -> None:
    """The audits so far are as of two seconds ago."""
    for one in desk.agency.outside.tickets.state["audits"]:
        at = datetime.fromisoformat(one["created_at"]) - timedelta(seconds=2)
        one["created_at"] = at.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.clause("ID-3", "ID-8")
async def test_a_ticket_that_has_everything_but_no_note_of_two_days_and_a_late_task_become_cases(desk: Desk) -> None:
    """Neither changed lately."""
    tickets, ticket = desk.agency.outside.tickets, desk.ticket()
    staff = {user["email"]: user["id"] for user in tickets.state["users"].values()}
    for email in ("nicole@commversion.com", "cleo@commversion.com", "tom@commversion.com"):
        tickets.edit(op="follow", ticket=ticket, user=staff[email])
    tickets.edit(op="assign", ticket=ticket, assignee_id=staff["barb@commversion.com"])
    tickets.edit(op="comment", ticket=ticket, body="Barb is on it.", public=False)
    late = make(desk, **{**GOOD, "dueAt": (datetime.now(UTC) - timedelta(days=2)).date().isoformat()})
    desk.does("comment", task=int(late), body="On it.")
    assert await sweep(desk) == (1, 0, 0)
    (row,) = await desk.agency.database.fetch("SELECT request FROM cases")
    assert row["request"]["task_id"] == late
    (note,) = tickets.state["comments"].values()
    note["created_at"] = tickets.state["tickets"][str(ticket)]["updated_at"] = "2026-01-05T09:00:00Z"
    assert (await sweep(desk))[0] == 1
    row = await desk.agency.database.fetch("SELECT request FROM cases WHERE request ->> 'ticket_id' <> ''")
    assert (row[0]["request"]["ticket_id"], row[0]["request"]["department"]) == (str(ticket), "ppc")
    assert (await sweep(desk))[0] == 0


@pytest.mark.clause("ID-5")
async def test_a_task_that_is_opened_again_with_a_day_to_come_keeps_that_day(desk: Desk) -> None:
    case_id = await desk.open(hours=24 * 10)
    await desk.agency.act(case_id, "process", ActKind.PROCESSED, {"note_sha256": ""}, "barb")
    await desk.result(case_id)
    (task,) = desk.tasks()
    desk.does("reopen", task=task["id"])
    assert (await sweep(desk))[1] == 1
    await desk.agency.parked(case_id, "process@2")
    view = await desk.agency.view(workflow_id(case_id, 2))
    step = next(one for one in view.steps if one.name == "process")
    assert (step.deadline.due.date() - date.fromisoformat(task["dueAt"][:10])).days in range(3)  # never on a Sunday


async def test_what_is_being_made_is_left_alone_and_a_board_that_is_down_is_asked_again(desk: Desk) -> None:
    make(desk)
    patient = desk.agency.boards
    patient._settling = timedelta(minutes=10)
    assert (await sweep(desk))[0] == 0
    patient._settling = timedelta(0)
    desk.agency.outside.teamwork.fault("GET /tasklists/", "error_before", status=503, times=1)
    with pytest.raises(Exception, match="Teamwork"):
        await patient.sweep()
    assert (await patient.sweep()).opened == 1
    assert (await patient.sweep()).opened == 0


def test_the_schedule_starts_the_sweep_every_morning() -> None:
    made = request_schedule("q")
    assert (made.action.workflow, made.action.id, made.action.task_queue) == (REQUEST_SWEEP, REQUEST_SCHEDULE, "q")  # type: ignore[union-attr]
