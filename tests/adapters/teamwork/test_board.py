from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import date, timedelta
from typing import Any

import pytest

from adapters.teamwork import board as module
from adapters.teamwork.board import TeamworkBoard
from domain.board import BoardUser, NewTask, TaskList
from domain.errors import Permanent, Retryable, Unclear, VendorError
from domain.ids import marker
from simulators.base import Answer
from simulators.teamwork import TeamworkSimulator, teamwork_simulator

QUICK = timedelta(seconds=1)
MARKER = marker("department-request/1234/task/1")
ZANE, CATH = "21", "22"
NEW = NewTask(
    list_id="7",
    title="Content for two pages",
    description="See the brief.",
    assignees=(ZANE, CATH),
    followers=(CATH,),
    due_on=date(2026, 12, 1),
    marker=MARKER,
)


@pytest.fixture
async def teamwork() -> AsyncIterator[TeamworkSimulator]:
    async with teamwork_simulator() as simulator:
        simulator.seed(
            people=[
                {"id": 21, "firstName": "Zane", "lastName": "Hart", "email": "Zane@x.example"},
                {"id": 22, "firstName": "Cath", "lastName": "Low", "email": "cath@x.example"},
                {"id": 23, "firstName": "Gone", "deleted": True},
            ],
            tasklists=[
                {"id": 7, "name": "[CSM] Tasks", "projectId": 3},
                {"id": 8, "name": "Inbox", "projectId": 3},
                {"id": 9, "name": "[CSM] Tasks", "projectId": 4},
            ],
            tasks=[{"id": 100, "tasklistId": 7, "name": "Old one", "assignees": [21], "dueAt": "2026-11-30"}],
        )
        yield simulator


@pytest.fixture
async def board(teamwork: TeamworkSimulator) -> AsyncIterator[TeamworkBoard]:
    adapter = TeamworkBoard(teamwork.url, teamwork.token, timeout=QUICK)
    yield adapter
    await adapter.aclose()


async def test_a_task_says_all_that_is_asked_of_it(teamwork: TeamworkSimulator, board: TeamworkBoard) -> None:
    teamwork.seed(comments=[{"taskId": 100, "body": "Hello"}])
    found = await board.task("100")
    assert found is not None
    assert (found.task_id, found.list_id, found.project_id, found.title) == ("100", "7", "3", "Old one")
    assert (found.assignees, found.due_on, found.comments) == ((ZANE,), date(2026, 11, 30), 1)
    assert (found.completed, found.completed_by, found.url) == (False, "", f"{teamwork.url}/app/tasks/100")


async def test_a_task_nobody_is_assigned_to_has_no_assignees(teamwork: TeamworkSimulator, board: TeamworkBoard) -> None:
    teamwork.edit(op="unassign", task=100, user=21)
    teamwork.edit(op="due", task=100, dueAt="")
    found = await board.task("100")
    assert found is not None
    assert (found.assignees, found.due_on) == ((), None)


async def test_no_task_and_a_deleted_one_are_none(teamwork: TeamworkSimulator, board: TeamworkBoard) -> None:
    teamwork.edit(op="delete", task=100)
    assert (await board.task("100"), await board.task("999")) == (None, None)


async def test_a_task_is_made_as_asked_and_found_by_its_marker(
    teamwork: TeamworkSimulator, board: TeamworkBoard
) -> None:
    made = await board.create(NEW)
    assert (made.title, made.assignees, made.followers, made.due_on) == (
        NEW.title,
        NEW.assignees,
        NEW.followers,
        NEW.due_on,
    )
    assert made.description == f"See the brief.\n\n{MARKER}"
    assert await board.find("7", MARKER) == made
    assert await board.find("8", MARKER) is None
    body = teamwork.ledger[0]["body"]
    assert body["task"]["dueAt"] == "2026-12-01"
    assert body["taskOptions"] == {"notify": False, "checkInvalidusers": True}


async def test_a_marker_shows_nothing_of_the_key_and_is_put_once(board: TeamworkBoard) -> None:
    assert "1234" not in MARKER
    made = await board.create(NEW.model_copy(update={"description": f"{MARKER} is here"}))
    assert made.description == f"{MARKER} is here"


async def test_a_completed_task_is_found_too(teamwork: TeamworkSimulator, board: TeamworkBoard) -> None:
    made = await board.create(NEW)
    teamwork.edit(op="complete", task=made.task_id, by=21)
    found = await board.find("7", MARKER)
    assert found is not None
    assert (found.completed, found.completed_by) == (True, ZANE)


async def test_two_tasks_with_one_marker_are_for_a_person_to_look_at(board: TeamworkBoard) -> None:
    await board.create(NEW)
    await board.create(NEW)
    with pytest.raises(Permanent) as caught:
        await board.find("7", MARKER)
    assert caught.value.code == "ambiguous-marker"


async def test_a_change_leaves_alone_what_is_not_given(board: TeamworkBoard) -> None:
    made = await board.create(NEW)
    assert (await board.change(made.task_id, assignees=[CATH])).due_on == NEW.due_on
    later = await board.change(made.task_id, due_on=date(2026, 12, 9))
    assert (later.assignees, later.followers, later.due_on) == ((CATH,), (CATH,), date(2026, 12, 9))
    assert (await board.change(made.task_id, followers=[])).followers == ()


async def test_a_comment_tells_whom_it_should_and_is_found_by_its_marker(
    teamwork: TeamworkSimulator, board: TeamworkBoard
) -> None:
    await board.comment("100", "Anybody?", (), MARKER)
    ident = await board.comment("100", "Zane, please <look>.", (ZANE, CATH), marker("k2"))
    teamwork.edit(op="comment", task=100, body="On it", by=21)
    first, second, third = await board.comments("100")
    assert (first.notified, first.carries(MARKER)) == ((), True)
    assert (second.comment_id, second.notified, second.carries(marker("k2"))) == (ident, (ZANE, CATH), True)
    assert second.body == f"Zane, please <look>.\n\n{marker('k2')}"
    assert (third.author_id, third.body, third.carries(MARKER)) == (ZANE, "On it", False)


async def test_a_deleted_comment_is_left_out(teamwork: TeamworkSimulator, board: TeamworkBoard) -> None:
    ident = await board.comment("100", "Oh", (), MARKER)
    teamwork.edit(op="delete_comment", task=100, comment=ident)
    assert await board.comments("100") == ()


@pytest.mark.parametrize("refuses", [False, True])
async def test_completing_and_reopening_twice_is_a_success_whatever_teamwork_says(
    teamwork: TeamworkSimulator, board: TeamworkBoard, refuses: bool
) -> None:
    teamwork.seed(refuse_repeated_completion=refuses)
    for turn, done in ((board.complete, True), (board.reopen, False)):
        await turn("100")
        await turn("100")
        found = await board.task("100")
        assert found is not None
        assert found.completed is done
    assert [entry["outcome"] for entry in teamwork.done()] == ["completed", "reopened"]


async def test_all_pages_of_a_list_are_read(
    teamwork: TeamworkSimulator, board: TeamworkBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGE_SIZE", 2)
    teamwork.seed(tasks=[{"id": 200 + one, "tasklistId": 8, "name": f"T{one}"} for one in range(5)])
    teamwork.edit(op="complete", task=204)
    opened, everything = await board.tasks("8"), await board.tasks("8", open_only=False)
    assert [one.title for one in opened] == ["T0", "T1", "T2", "T3"]
    assert [one.title for one in everything] == ["T0", "T1", "T2", "T3", "T4"]
    assert [entry["query"]["page"] for entry in teamwork.ledger] == ["1", "2", "1", "2", "3"]


async def test_all_pages_of_lists_comments_and_people_are_read(
    teamwork: TeamworkSimulator, board: TeamworkBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGE_SIZE", 1)
    teamwork.seed(comments=[{"taskId": 100, "body": f"C{one}"} for one in range(3)])
    assert [one.body for one in await board.comments("100")] == ["C0", "C1", "C2"]
    assert await board.task_lists("3") == (
        TaskList(list_id="7", project_id="3", name="[CSM] Tasks"),
        TaskList(list_id="8", project_id="3", name="Inbox"),
    )
    assert [one.project_id for one in await board.task_lists("") if one.name == "[CSM] Tasks"] == ["3", "4"]
    users = await board.users()
    assert users[1] == BoardUser(user_id="21", name="Zane Hart", email="zane@x.example")
    assert [one.user_id for one in users] == ["1", "21", "22"]


async def test_an_empty_list_is_empty_and_a_list_without_end_is_refused(
    teamwork: TeamworkSimulator, board: TeamworkBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await board.tasks("9") == ()
    monkeypatch.setattr(module, "_PAGE_SIZE", 1)
    monkeypatch.setattr(module, "_MOST_PAGES", 2)
    teamwork.seed(tasks=[{"id": 300 + one, "tasklistId": 9, "name": "T"} for one in range(3)])
    with pytest.raises(Permanent) as caught:
        await board.tasks("9")
    assert caught.value.code == "too-many-pages"


Call = Callable[[TeamworkBoard], Awaitable[object]]


@pytest.mark.parametrize(
    "call",
    [
        lambda board: board.create(NEW.model_copy(update={"list_id": "70"})),
        lambda board: board.change("999", assignees=["21"]),
        lambda board: board.comment("999", "x", (), MARKER),
        lambda board: board.comments("999"),
        lambda board: board.complete("999"),
        lambda board: board.reopen("999"),
        lambda board: board.tasks("70"),
        lambda board: board.find("70", MARKER),
        lambda board: board.task_lists("70"),
    ],
)
async def test_what_is_not_there_has_one_code_in_both_versions_of_the_api(board: TeamworkBoard, call: Call) -> None:
    with pytest.raises(Permanent) as caught:
        await call(board)
    assert caught.value.code == "not-found"


@pytest.mark.parametrize(
    "call",
    [
        lambda board: board.task("../people"),
        lambda board: board.task(""),
        lambda board: board.task("0"),
        lambda board: board.tasks("7.json?x="),
        lambda board: board.change("100", assignees=["jane@x.example"]),
        lambda board: board.comment("100", "x", ("t5",), MARKER),
        lambda board: board.create(NEW.model_copy(update={"assignees": ("9" * 30,)})),
    ],
)
async def test_an_id_that_is_none_is_refused_before_anything_is_sent(
    teamwork: TeamworkSimulator, board: TeamworkBoard, call: Call
) -> None:
    with pytest.raises(Permanent) as caught:
        await call(board)
    assert (caught.value.code, teamwork.ledger) == ("bad-id", [])


async def test_a_user_nobody_knows_is_refused_not_passed_over(
    teamwork: TeamworkSimulator, board: TeamworkBoard
) -> None:
    for call in (board.create(NEW.model_copy(update={"assignees": ("23",)})), board.change("100", assignees=["77"])):
        with pytest.raises(Permanent) as caught:
            await call
        assert caught.value.code == "bad-request"
    assert teamwork.done() == []


WRITES: list[tuple[str, Call]] = [
    ("POST /tasklists/7/tasks.json", lambda board: board.create(NEW)),
    ("PATCH /tasks/100.json", lambda board: board.change("100", due_on=date(2026, 12, 24))),
    ("POST /tasks/100/comments.json", lambda board: board.comment("100", "x", (), MARKER)),
    ("PUT /tasks/100/complete.json", lambda board: board.complete("100")),
]


@pytest.mark.parametrize(("match", "call"), WRITES)
@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ({"mode": "error_before"}, (Unclear, 0)),
        ({"mode": "error_before", "status": 502}, (Unclear, 0)),
        ({"mode": "error_before", "status": 401}, (Retryable, 0)),
        ({"mode": "error_after"}, (Unclear, 1)),
        ({"mode": "slow", "seconds": 30}, (Unclear, 1)),
        ({"mode": "429"}, (Retryable, 0)),
        ({"mode": "reset"}, (Unclear, 0)),
        ({"mode": "reset_after"}, (Unclear, 1)),
        ({"mode": "redirect"}, (Permanent, 0)),
    ],
)
async def test_each_failure_of_a_write_has_its_error_and_its_truth(
    teamwork: TeamworkSimulator,
    board: TeamworkBoard,
    match: str,
    call: Call,
    fault: dict[str, Any],
    outcome: tuple[type[VendorError], int],
) -> None:
    error, made = outcome
    teamwork.fault(match, **fault)
    with pytest.raises(VendorError) as caught:
        await call(board)
    assert (type(caught.value), len(teamwork.done())) == (error, made)


async def test_after_unclear_a_task_and_a_comment_are_read_back(
    teamwork: TeamworkSimulator, board: TeamworkBoard
) -> None:
    teamwork.fault("POST /tasks.json", "reset_after")
    with pytest.raises(Unclear):
        await board.create(NEW)
    made = await board.find("7", MARKER)
    assert made is not None
    teamwork.fault("POST /comments.json", "slow", seconds=30)
    with pytest.raises(Unclear):
        await board.comment(made.task_id, "Please look", (ZANE,), MARKER)
    assert [one.carries(MARKER) for one in await board.comments(made.task_id)] == [True]


@pytest.mark.parametrize("mode", ["error_before", "429", "reset", "garbage", "redirect"])
async def test_a_write_that_is_done_is_never_called_certainly_not_done(
    teamwork: TeamworkSimulator, board: TeamworkBoard, mode: str
) -> None:
    for call in (board.create(NEW), board.change("100", assignees=[CATH])):
        teamwork.fault("GET /tasks/", mode)
        with pytest.raises(Unclear) as caught:
            await call
        assert caught.value.code == "unseen"
    assert len(teamwork.done()) == 2


async def test_a_task_somebody_deletes_at_once_is_unclear(teamwork: TeamworkSimulator, board: TeamworkBoard) -> None:
    teamwork.fault("GET /tasks/", "error_before", status=404)
    with pytest.raises(Unclear):
        await board.create(NEW)


@pytest.mark.parametrize(
    ("match", "call"),
    [
        ("GET /tasks/100.json", lambda board: board.task("100")),
        ("GET /tasks.json", lambda board: board.tasks("7")),
        ("GET /tasks.json", lambda board: board.find("7", MARKER)),
        ("GET /comments.json", lambda board: board.comments("100")),
        ("GET /tasklists.json", lambda board: board.task_lists("3")),
        ("GET /people.json", lambda board: board.users()),
    ],
)
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"mode": "error_before"}, Retryable),
        ({"mode": "slow", "seconds": 30}, Retryable),
        ({"mode": "429"}, Retryable),
        ({"mode": "reset"}, Retryable),
        ({"mode": "garbage"}, Retryable),
        ({"mode": "redirect"}, Permanent),
    ],
)
async def test_a_read_that_fails_is_never_unclear(
    teamwork: TeamworkSimulator,
    board: TeamworkBoard,
    match: str,
    call: Call,
    fault: dict[str, Any],
    error: type[VendorError],
) -> None:
    teamwork.fault(match, **fault)
    with pytest.raises(VendorError) as caught:
        await call(board)
    assert type(caught.value) is error


async def test_a_success_that_cannot_be_read_is_unclear_for_a_write(
    teamwork: TeamworkSimulator, board: TeamworkBoard
) -> None:
    for match, call in WRITES[:1] + WRITES[2:3]:
        teamwork.fault(match, "garbage")
        with pytest.raises(Unclear) as caught:
            await call(board)
        assert caught.value.code == "bad-answer"


async def test_teamworks_rate_limit_says_how_long_to_wait(teamwork: TeamworkSimulator, board: TeamworkBoard) -> None:
    teamwork.edit(op="rate_limit", per_minute=1)
    await board.task("100")
    with pytest.raises(Retryable) as caught:
        await board.task("100")
    assert caught.value.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"x-rate-limit-reset": "12"}, timedelta(seconds=12)),
        ({"x-rate-limit-reset": "1000000001"}, timedelta(0)),
        ({"x-rate-limit-reset": "99999999999"}, timedelta(hours=1)),
        ({"x-rate-limit-reset": "soon"}, None),
        ({"x-rate-limit-reset": "9" * 5000}, None),
        ({"x-ratelimit-reset": "3"}, timedelta(seconds=3)),
        ({"retry-after": "2", "x-rate-limit-reset": "12"}, timedelta(seconds=2)),
        ({}, None),
    ],
)
def test_the_end_of_the_minute_is_read_as_an_epoch_or_as_seconds(
    headers: dict[str, str], wait: timedelta | None
) -> None:
    assert module._wait(headers) == wait


async def test_the_key_is_the_user_name_of_basic_authentication(teamwork: TeamworkSimulator) -> None:
    wrong = TeamworkBoard(teamwork.url, "another-key", timeout=QUICK)
    with pytest.raises(Retryable) as caught:
        await wrong.task("100")
    await wrong.aclose()
    assert caught.value.code == "unauthorised"


async def test_the_text_of_an_error_holds_neither_ids_nor_teamworks_words(
    teamwork: TeamworkSimulator, board: TeamworkBoard
) -> None:
    for call in (board.comments("987654"), board.change("987654", assignees=["21"])):
        with pytest.raises(Permanent) as caught:
            await call
        assert "987654" not in str(caught.value)
        assert "no such task " not in str(caught.value)


@pytest.mark.parametrize("odd", [{}, [], None, {"STATUS": "OK"}, {"meta": {}}, {"todo-item": {}, "todo-items": None}])
@pytest.mark.parametrize(
    "call",
    [
        lambda board: board.task("100"),
        lambda board: board.tasks("7"),
        lambda board: board.find("7", MARKER),
        lambda board: board.comments("100"),
        lambda board: board.task_lists(""),
        lambda board: board.users(),
    ],
)
async def test_an_odd_answer_never_passes_for_nothing_there(
    teamwork: TeamworkSimulator, board: TeamworkBoard, monkeypatch: pytest.MonkeyPatch, odd: object, call: Call
) -> None:
    monkeypatch.setattr(teamwork, "respond", lambda _call: Answer(200, odd))
    with pytest.raises(Retryable) as caught:
        await call(board)
    assert caught.value.code == "bad-answer"


@pytest.mark.parametrize("odd", [{}, [], {"STATUS": "OK"}, {"task": {}}, {"task": {"id": None}}, {"id": ""}])
@pytest.mark.parametrize("call", [WRITES[0][1], WRITES[2][1]])
async def test_an_odd_answer_to_a_write_is_unclear(
    teamwork: TeamworkSimulator, board: TeamworkBoard, monkeypatch: pytest.MonkeyPatch, odd: object, call: Call
) -> None:
    monkeypatch.setattr(teamwork, "respond", lambda _call: Answer(201, odd))
    with pytest.raises(Unclear):
        await call(board)


async def test_a_task_that_is_made_elsewhere_or_loses_its_marker_is_unclear(
    teamwork: TeamworkSimulator, board: TeamworkBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.wire, "with_marker", lambda text, _marker: text)
    with pytest.raises(Unclear) as caught:
        await board.create(NEW)
    assert (caught.value.code, len(teamwork.done())) == ("answer-differs", 1)
