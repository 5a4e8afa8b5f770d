"""The department request on a real server: Teamwork, tickets and chat as strict stand-ins (ID-1 to ID-12)."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from adapters.postgres.calendars import PostgresCalendars
from adapters.postgres.crypto import Vault, load_master
from domain.department_request import Source
from domain.errors import Refused
from domain.messages import ActKind, Fact, FactKind
from domain.rules.calendar import next_working_moment
from simulators.slack_rules import shown
from tests.agency import Agency
from tests.workflows.desk import LIST, PEOPLE, Desk, furnish

HOURS = timedelta(hours=1)


@pytest.fixture
async def desk(agency: Agency) -> Desk:
    return await furnish(agency)


def london(moment: datetime) -> date:
    return moment.astimezone(ZoneInfo("Europe/London")).date()


@pytest.mark.clause("ID-1")
@pytest.mark.clause("ID-3")
@pytest.mark.clause("ID-4")
@pytest.mark.clause("ID-5")
@pytest.mark.clause("ID-6")
async def test_a_request_is_a_task_with_everybody_on_it_due_in_48_hours_and_commented_on(desk: Desk) -> None:
    case_id = await desk.open(details="From Monday on.")
    await desk.agency.parked(case_id, "process")
    (task,) = desk.tasks()
    assert str(task["tasklistId"]) == LIST
    assert task["name"] == "Pause the brand campaign"
    assert set(map(int, task["assignees"])) == {304, 315, 316}  # Barb, the CSS, the CSM
    view = await desk.agency.view(case_id)
    step = next(one for one in view.steps if one.name == "process")
    assert step.deadline.after == 48 * HOURS
    assert step.role == "department:ppc/client"
    assert desk.due_day() == london(step.deadline.due)
    (comment,) = desk.comments()
    assert comment.startswith("@Barb")
    assert "From Monday on." in comment


@pytest.mark.clause("ID-9")
@pytest.mark.clause("ID-10")
async def test_slack_comes_after_the_comment_with_the_link_of_the_task(desk: Desk) -> None:
    case_id = await desk.open()
    await desk.agency.parked(case_id, "process")
    (task,), (said,) = desk.tasks(), desk.slack()
    assert f"/tasks/{task['id']}" in said["text"] or str(task["id"]) in said["text"]
    order = await desk.agency.database.fetch(
        "SELECT kind FROM effects WHERE case_id = $1 AND kind IN ('comment-task', 'tell') ORDER BY settled_at",
        case_id,
    )
    assert [row["kind"] for row in order] == ["comment-task", "tell"]


@pytest.mark.clause("ID-11")
async def test_a_channel_that_is_down_is_passed_over_and_both_are_on_record(desk: Desk) -> None:
    desk.agency.outside.slack.fault("POST /api/", "error_before", status=503, times=None)
    case_id = await desk.open(details="Pause it from Monday on, please.")
    await desk.agency.parked(case_id, "process")
    (mail,) = desk.agency.mails("Pause the brand campaign")
    assert mail["To"] == "barb@commversion.com"
    assert "Pause it from Monday on" in mail.get_content()
    told = await desk.agency.database.value("SELECT data FROM effects WHERE case_id = $1 AND kind = 'tell'", case_id)
    assert isinstance(told, dict)
    assert [(one["channel"], one["ended"]) for one in told["tried"]] == [("slack", "down"), ("email", "sent")]


@pytest.mark.clause("ID-3")
async def test_done_on_the_page_completes_the_task_and_nobody_is_asked_any_more(desk: Desk) -> None:
    case_id = await desk.open()
    await desk.agency.act(case_id, "process", ActKind.PROCESSED, {"note_sha256": ""}, "barb")
    outcome = await desk.result(case_id)
    assert (outcome.status, outcome.by) == ("done", "barb")
    assert desk.tasks()[0]["status"] == "completed"
    await desk.agency.keep(case_id, "request-done")


@pytest.mark.clause("ID-3")
async def test_completed_in_teamwork_is_done_and_reminds_nobody(desk: Desk) -> None:
    case_id = await desk.open()
    await desk.agency.parked(case_id, "process")
    desk.does("complete", task=desk.tasks()[0]["id"])
    await desk.hint(case_id)
    outcome = await desk.result(case_id)
    assert (outcome.status, outcome.by) == ("done-in-teamwork", "barb")
    assert desk.agency.mails("Reminder") == []
    await desk.agency.keep(case_id, "request-in-teamwork")


async def test_a_hint_that_says_nothing_true_changes_nothing(desk: Desk) -> None:
    case_id = await desk.open()
    await desk.agency.parked(case_id, "process")
    for name in ("1", "1", "2"):
        await desk.hint(case_id, name)
    await desk.agency.parked(case_id, "process")
    assert {one.name for one in (await desk.agency.view(case_id)).steps} == {"process"}


async def test_a_webhook_that_was_lost_is_made_good_before_anybody_is_reminded(desk: Desk) -> None:
    case_id = await desk.open()
    await desk.agency.parked(case_id, "process")
    desk.does("complete", by="pete", task=desk.tasks()[0]["id"])
    await desk.pass_time(case_id, 49 * HOURS)
    outcome = await desk.result(case_id)
    assert (outcome.status, outcome.by) == ("done-in-teamwork", "pete")
    assert desk.agency.mails("process") == []


@pytest.mark.clause("ID-3")
async def test_whoever_lets_it_pass_is_reminded_and_the_manager_is_told(desk: Desk) -> None:
    case_id = await desk.open()
    await desk.agency.parked(case_id, "process")
    await desk.pass_time(case_id, 47 * HOURS)
    assert reminders(desk, "barb") == []
    await desk.pass_time(case_id, 2 * HOURS)
    await desk.agency.chased(case_id, "process", 1)
    assert len(reminders(desk, "barb")) == 1
    assert desk.tasks()[0]["id"] in linked_tasks(desk)
    await desk.now_asked("ppc", "nicole")  # and nobody tells the case: whom a chase goes to is looked up
    await desk.pass_time(case_id, 48 * HOURS)
    await desk.agency.chased(case_id, "process", 2)
    assert [len(reminders(desk, one)) for one in ("barb", "nicole", "pete")] == [1, 1, 1]
    breaches = await desk.agency.database.value(
        "SELECT count(*) FROM case_events WHERE kind = 'breached' AND step_id = 'process'"
    )
    assert breaches == 1


@pytest.mark.clause("ID-8")
async def test_the_css_follows_up_with_a_note_every_48_hours_on_task_and_ticket(desk: Desk) -> None:
    ticket = desk.ticket()
    case_id = await desk.open(ticket_id=str(ticket), hours=24 * 10)
    await desk.agency.parked(case_id, "process")
    await desk.pass_time(case_id, 35 * HOURS)
    assert not [one for one in (await desk.agency.view(case_id)).steps if one.name == "follow-up"]
    await desk.pass_time(case_id, 2 * HOURS)
    note = await desk.agency.text("Barb says that it waits for the budget.")
    await desk.agency.act(case_id, "follow-up", ActKind.DONE, {"note_sha256": note}, "cleo")
    await desk.agency.sent(case_id, "follow-up/1")
    assert any("waits for the budget" in one and one.startswith("@Barb") for one in desk.comments())
    assert any("waits for the budget" in one for one in desk.ticket_notes(ticket))
    await desk.pass_time(case_id, 37 * HOURS)
    await desk.agency.parked(case_id, "follow-up.2")
    await desk.agency.keep(case_id, "request-followed-up")


@pytest.mark.clause("ID-8")
async def test_a_note_in_teamwork_is_a_follow_up_too(desk: Desk) -> None:
    case_id = await desk.open(hours=24 * 10)
    await desk.agency.parked(case_id, "process")
    await desk.pass_time(case_id, 30 * HOURS)
    desk.does("comment", by="cleo", task=desk.tasks()[0]["id"], body="Barb, how is it?")
    await desk.hint(case_id)

    async def read(turn: int) -> None:
        async def has() -> bool:
            return f"next-follow-up.{turn}" in await desk.handle(case_id).query("clock")

        await desk.agency.eventually(has, "the note was not seen")

    await read(2)
    await desk.agency.database.execute(
        "INSERT INTO csm_pairs (csm_id, version, css_id, since, set_by) VALUES ('P-2', 2, 'cath', '2020-01-02', 'test')"
    )
    desk.does("comment", by="cath", task=desk.tasks()[0]["id"], body="Cleo's clients are mine now. How is it?")
    await desk.hint(case_id, "2")
    await read(3)
    await desk.pass_time(case_id, 30 * HOURS)
    assert not [one for one in (await desk.agency.view(case_id)).steps if one.name == "follow-up"]


@pytest.mark.clause("ID-7")
@pytest.mark.clause("ID-8")
async def test_the_css_and_the_csm_follow_the_ticket_and_it_is_on_the_agenda(desk: Desk) -> None:
    ticket = desk.ticket()
    case_id = await desk.open(ticket_id=str(ticket))
    await desk.agency.parked(case_id, "process")
    assert {"cleo@commversion.com", "tom@commversion.com"} <= desk.followers(ticket)
    rows = await desk.agency.database.fetch("SELECT csm_id, case_id FROM agenda")
    assert [(row["csm_id"], row["case_id"]) for row in rows] == [("P-2", case_id)]
    assert len(desk.ticket_notes(ticket)) == 1


@pytest.mark.clause("ID-5")
@pytest.mark.clause("ID-7")
async def test_a_ticket_that_is_a_task_without_a_day_gets_that_of_the_request(desk: Desk) -> None:
    ticket = desk.ticket()
    desk.agency.outside.tickets.state["tickets"][str(ticket)]["type"] = "task"
    case_id = await desk.open(ticket_id=str(ticket))
    await desk.agency.sent(case_id, "follow-ticket/1")
    step = next(one for one in (await desk.agency.view(case_id)).steps if one.name == "process")
    due = desk.agency.outside.tickets.state["tickets"][str(ticket)]["due_at"]
    assert due == f"{step.deadline.due:%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.clause("ID-4")
@pytest.mark.parametrize("role", ["agent", "end-user"])
async def test_a_ticket_that_is_nobodys_is_assigned_to_the_contact_if_the_desk_knows_them(
    desk: Desk, role: str
) -> None:
    tickets, ticket = desk.agency.outside.tickets, desk.ticket()
    barb = next(one for one in tickets.state["users"].values() if one["email"] == "barb@commversion.com")
    barb["role"] = role
    case_id = await desk.open(ticket_id=str(ticket))
    await desk.agency.sent(case_id, "follow-ticket/1")
    assert tickets.state["tickets"][str(ticket)]["assignee_id"] == (barb["id"] if role == "agent" else None)
    assert {"cleo@commversion.com", "tom@commversion.com"} <= desk.followers(ticket)
    await desk.agency.parked(case_id, "process")
    assert [step.name for step in (await desk.agency.view(case_id)).steps] == ["process"]  # nobody is asked about it


@pytest.mark.clause("ID-4")
async def test_a_ticket_that_is_somebodys_stays_theirs(desk: Desk) -> None:
    tickets, ticket = desk.agency.outside.tickets, desk.ticket()
    ada = next(one["id"] for one in tickets.state["users"].values() if one["email"] == "ada@commversion.com")
    tickets.edit(op="assign", ticket=ticket, assignee_id=ada)
    case_id = await desk.open(ticket_id=str(ticket))
    await desk.agency.sent(case_id, "follow-ticket/1")
    assert tickets.state["tickets"][str(ticket)]["assignee_id"] == ada


@pytest.mark.clause("ID-4")
async def test_a_task_that_was_made_without_anybody_is_put_right_and_kept(desk: Desk) -> None:
    desk.agency.outside.teamwork.edit(op="create", tasklistId=int(LIST), name="Broken form")
    task_id = str(desk.tasks()[0]["id"])
    case_id = await desk.open(Source.SWEEP, reference=f"task-{task_id}", task_id=task_id, department="", title="")
    await desk.agency.act(case_id, "route", ActKind.ROUTED, {"department": "ppc"}, "cleo")
    await desk.agency.parked(case_id, "process")
    (task,) = desk.tasks()
    assert str(task["id"]) == task_id
    assert set(map(int, task["assignees"])) == {304, 315, 316}
    assert len(desk.comments()) == 1
    await desk.agency.keep(case_id, "request-routed")


@pytest.mark.clause("ID-4")
async def test_whom_the_board_does_not_know_is_put_on_the_task_by_a_person(desk: Desk) -> None:
    desk.agency.outside.teamwork.state["people"].pop("315")
    await desk.agency.database.execute("DELETE FROM person_channels WHERE person_id = 'cleo'")
    case_id = await desk.open()
    await desk.agency.act(case_id, "assign-by-hand", ActKind.DONE, {"note_sha256": ""}, "cleo")
    assert set(map(int, desk.tasks()[0]["assignees"])) == {304, 316}
    await desk.agency.act(case_id, "process", ActKind.PROCESSED, {"note_sha256": ""}, "barb")
    assert (await desk.result(case_id)).status == "done"


@pytest.mark.clause("ID-5")
async def test_unsure_the_manager_is_asked_in_a_comment_and_the_due_date_follows_the_answer(desk: Desk) -> None:
    case_id = await desk.open(unsure=True)
    await desk.agency.parked(case_id, "estimate")
    assert [one.startswith("@Pete") for one in desk.comments() if "how long will this take?" in one] == [True]
    await desk.agency.act(case_id, "estimate", ActKind.ESTIMATED, {"hours": 192, "on": None}, "pete")
    await desk.agency.sent(case_id, "assign-task/estimated")
    step = next(one for one in (await desk.agency.view(case_id)).steps if one.name == "process")
    assert step.deadline.due - step.asked_at >= 192 * HOURS
    assert "by pete: the estimate" in step.deadline.why()
    assert desk.due_day() == london(step.deadline.due)
    await desk.pass_time(case_id, 100 * HOURS)
    assert reminders(desk, "barb") == []
    await desk.agency.keep(case_id, "request-estimated")


@pytest.mark.clause("ID-5")
async def test_an_estimate_in_a_comment_is_read_where_it_says_one_thing(desk: Desk) -> None:
    case_id = await desk.open(unsure=True)
    await desk.agency.parked(case_id, "estimate")
    task = desk.tasks()[0]["id"]
    desk.does("comment", by="pete", task=task, body="Let me look, 2 days or 3 days?")
    await desk.hint(case_id, "1")
    desk.does("comment", by="barb", task=task, body="5 days")
    await desk.hint(case_id, "2")
    await desk.agency.parked(case_id, "estimate")
    desk.does("comment", by="pete", task=task, body="8 days, sorry.")
    await desk.hint(case_id, "3")
    await desk.agency.sent(case_id, "assign-task/estimated")
    step = next(one for one in (await desk.agency.view(case_id)).steps if one.name == "process")
    assert step.deadline.due - step.asked_at >= 192 * HOURS
    assert "a comment on the task" in step.deadline.why()
    assert desk.due_day() == london(step.deadline.due)


@pytest.mark.clause("ID-5")
async def test_content_for_new_pages_has_ten_days(desk: Desk) -> None:
    case_id = await desk.open(new_pages=True)
    await desk.agency.parked(case_id, "process")
    step = next(one for one in (await desk.agency.view(case_id)).steps if one.name == "process")
    assert step.deadline.after == timedelta(days=10)
    assert desk.due_day() == london(step.deadline.due)


@pytest.mark.clause("ID-2")
async def test_andy_is_al_for_what_is_operational_and_cath_for_clients(desk: Desk) -> None:
    one = await desk.open(reference=f"{desk.reference}-1", department="andy", operational=True)
    two = await desk.open(reference=f"{desk.reference}-2", department="andy")
    await desk.agency.parked(one, "process")
    await desk.agency.parked(two, "process")
    asked = sorted(sorted(set(map(int, task["assignees"])) & {309, 310}) for task in desk.tasks())
    assert asked == [[309], [310]]


@pytest.mark.clause("ID-3")
async def test_the_promise_stands_still_while_the_ticket_waits_for_the_client(desk: Desk) -> None:
    ticket = desk.ticket()
    case_id = await desk.open(ticket_id=str(ticket))
    await desk.agency.parked(case_id, "process")
    await desk.pass_time(case_id, 10 * HOURS)
    desk.agency.outside.tickets.edit(op="status", ticket=ticket, status="pending")
    await desk.hint(case_id, "1")
    await desk.waits(case_id, "client is waited for")
    await desk.pass_time(case_id, 60 * HOURS)
    assert reminders(desk, "barb") == []
    desk.agency.outside.tickets.edit(op="status", ticket=ticket, status="open")
    await desk.hint(case_id, "2")
    await desk.waits(case_id, "nobody is waited for")
    await desk.agency.act(case_id, "process", ActKind.PROCESSED, {"note_sha256": ""}, "barb")
    assert (await desk.result(case_id)).status == "done"
    query = "SELECT kind FROM case_events WHERE case_id = $1 AND step_id = 'process' ORDER BY seq"
    told = [row["kind"] for row in await desk.agency.database.fetch(query, case_id)]
    assert "breached" not in told
    assert told.index("promised") < told.index("paused") < told.index("met")


@pytest.mark.clause("ID-4")
async def test_who_is_away_is_covered_for_on_the_task_too(desk: Desk) -> None:
    case_id = await desk.open()
    await desk.agency.parked(case_id, "process")
    await desk.agency.database.execute(
        "INSERT INTO absences (person_id, starts, ends, stand_in_id, set_by)"
        " VALUES ('barb', holdfast_today(), holdfast_today() + 3, 'ada', 'test'),"
        " ('cleo', holdfast_today(), holdfast_today() + 3, 'cath', 'test')"
    )
    fact = Fact(event_id="moved:1", kind=FactKind.OWNERS, reference="process")
    await desk.handle(case_id).signal("event", fact)

    async def on_it(*who: int) -> None:
        async def are() -> bool:
            return set(map(int, desk.tasks()[0]["assignees"])) == set(who)

        await desk.agency.eventually(are, f"the task is not assigned to {who}")

    await on_it(311, 310, 316)
    step = next(one for one in (await desk.agency.view(case_id)).steps if one.name == "process")
    assert step.owner == "ada"
    desk.does("assign", by="pete", task=desk.tasks()[0]["id"], user=317)
    await desk.agency.database.execute("UPDATE absences SET ended_at = holdfast_now()")
    fact = Fact(event_id="moved:2", kind=FactKind.OWNERS, reference="process")
    await desk.handle(case_id).signal("event", fact)
    await on_it(304, 315, 316, 317)  # whom somebody else put on it stays on it
    step = next(one for one in (await desk.agency.view(case_id)).steps if one.name == "process")
    assert step.belongs_to == "department:ppc/client"


@pytest.mark.clause("ID-5")
async def test_a_day_is_due_when_its_working_hours_end_and_the_board_has_the_day(desk: Desk) -> None:
    calendar = await PostgresCalendars(
        desk.agency.door_pool, Vault(load_master(desk.agency.settings.keys_dir))
    ).snapshot()
    day = next_working_moment(calendar, datetime.now(UTC) + timedelta(days=9)).date()
    case_id = await desk.open(due_on=day)
    await desk.agency.sent(case_id, "assign-task/1")
    step = next(one for one in (await desk.agency.view(case_id)).steps if one.name == "process")
    ends = datetime.combine(day, time(17, 30), ZoneInfo("Europe/London"))
    assert abs(step.deadline.due - ends) < timedelta(minutes=1)
    assert desk.due_day() == day


async def test_the_same_request_again_is_the_same_case_and_another_under_its_name_is_refused(desk: Desk) -> None:
    first = await desk.open()
    assert await desk.open() == first
    with pytest.raises(Refused, match="used before"):
        await desk.open(title="Something else")
    await desk.agency.parked(first, "process")
    assert len(desk.tasks()) == 1


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"client_id": "C-9"}, "unknown-client"),
        ({"department": "nobody"}, "unknown-department"),
        ({"department": ""}, "department-missing"),
        ({"title": " "}, "title-missing"),
        ({"due_on": date(2020, 1, 1)}, "due-over"),
        ({"hours": 3, "new_pages": True}, "due-twice"),
        ({"title": "\0"}, "unreadable-text"),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused_and_changes_nothing(
    desk: Desk, given: dict[str, Any], code: str
) -> None:
    with pytest.raises(Refused) as refused:
        await desk.open(**given)
    assert refused.value.code == code
    assert await desk.agency.database.value("SELECT count(*) FROM cases") == 0
    assert await desk.agency.database.value("SELECT count(*) FROM inbox") == 0


def reminders(desk: Desk, to: str) -> list[str]:
    """By mail, and on Slack where that comes first for them."""
    mails = [mail for mail in desk.agency.mails("eminder") if f"{to}@commversion.com" in str(mail["To"])]
    user = PEOPLE[to][2]
    told = desk.agency.outside.slack.messages(user) if user else []
    subjects = [*(str(mail["Subject"]) for mail in mails), *(str(one["text"]).partition("\n")[0] for one in told)]
    return [one for one in subjects if "Process" in one and "Reminder" in one]


def linked_tasks(desk: Desk) -> set[int]:
    """The tasks that the last message on Slack links to (ID-10)."""
    links = [link for link, _ in shown(desk.slack()[-1]["text"]).links]
    return {int(link.rpartition("/")[2]) for link in links if "/tasks/" in link}
