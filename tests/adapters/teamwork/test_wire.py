"""The shapes against what Teamwork describes: names as its documentation and its own client libraries write them."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from adapters.teamwork import wire
from domain.board import NewTask
from simulators import teamwork_rules
from simulators.teamwork import TeamworkSimulator

TODO_ITEM = {
    "id", "content", "description", "descriptionContentType", "status", "completed", "completed_on", "completer_id",
    "todo-list-id", "todo-list-name", "project-id", "creator-id", "updater-id", "due-date", "due-date-base",
    "start-date", "created-on", "last-changed-on", "priority", "progress", "private", "comments-count",
    "commentFollowerIds", "changeFollowerIds", "canComplete", "canEdit", "DLM", "responsible-party-ids",
    "responsible-party-id", "responsible-party-type",
}  # fmt: skip
TASK_READ = {
    "id", "name", "description", "priority", "progress", "startDate", "dueDate", "estimateMinutes", "tasklist",
    "assignees", "createdBy", "createdAt", "updatedBy", "updatedAt", "completedBy", "completedAt", "status",
}  # fmt: skip
TASK_WRITTEN = {"name", "description", "dueAt", "assignees", "changeFollowers", "commentFollowers"}
GROUP = {"userIds", "companyIds", "teamIds", "jobRoleIds"}
COMMENT = {
    "id", "body", "htmlBody", "contentType", "object", "project", "postedBy", "postedDateTime", "deleted",
    "notifiedUserIds",
}  # fmt: skip
PERSON = {"id", "firstName", "lastName", "email", "type", "isAdmin", "deleted"}
TASKLIST = {"id", "name", "description", "project", "status"}


def aliases_of(model: type[wire.Wire]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (wire.WireTask, TODO_ITEM),
        (wire.WireComment, COMMENT),
        (wire.WireUser, PERSON),
        (wire.WireList, TASKLIST),
    ],
)
def test_every_field_read_is_one_of_teamworks(model: type[wire.Wire], names: set[str]) -> None:
    assert aliases_of(model) <= names


def test_every_field_written_is_one_of_teamworks() -> None:
    new = NewTask(list_id="1", title="T", assignees=("2",), followers=("3",), due_on=date(2026, 1, 5), marker="[m]")
    made = wire.new_task(new)["task"]
    assert set(made) == TASK_WRITTEN
    assert set(made["assignees"]) <= GROUP
    assert made["dueAt"] == "2026-01-05"
    assert wire.new_comment("B", ("1", "2"), "[m]")["comment"]["notify"] == "1,2"
    assert "notify" not in wire.new_comment("B", (), "[m]")["comment"]


def test_every_field_the_stand_in_answers_with_is_one_of_teamworks() -> None:
    simulator = TeamworkSimulator()
    simulator.seed(
        tasklists=[{"id": 7, "name": "L"}],
        tasks=[{"id": 1, "tasklistId": 7, "name": "T", "assignees": [1]}],
        comments=[{"taskId": 1, "body": "x"}],
    )
    simulator.edit(op="complete", task=1)
    task, (comment,) = simulator.task(1), simulator.state["comments"].values()
    assert set(teamwork_rules.old_task(task, simulator.state["tasklists"]["7"], 1)) == TODO_ITEM
    assert set(teamwork_rules.new_task(task)) == TASK_READ
    assert set(teamwork_rules.comment(comment, 1)) == COMMENT
    assert set(teamwork_rules.person(simulator.state["people"]["1"])) == PERSON
    assert set(teamwork_rules.task_list(simulator.state["tasklists"]["7"])) == TASKLIST


def item(**more: Any) -> dict[str, Any]:
    told = {"id": 43119773, "content": "T", "todo-list-id": 7, "project-id": 3, "status": "new", "completed": False}
    return {**told, "created-on": "2026-11-02T16:54:36Z", "last-changed-on": "2026-11-03T16:54:36Z", **more}


def test_numbers_may_come_as_text_and_text_may_be_empty() -> None:
    text = item(**{"id": "43119773", "todo-list-id": "7", "project-id": "3", "comments-count": "4", "due-date": ""})
    read = wire.task(wire.WireTask.model_validate(text), "https://x.teamwork.example")
    assert (read.task_id, read.list_id, read.project_id, read.comments, read.due_on) == ("43119773", "7", "3", 4, None)
    assert read.created_at == datetime(2026, 11, 2, 16, 54, 36, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("391604", ("391604",)),
        ("391604,5,t7,c9, 8", ("391604", "5", "8")),
        ("", ()),
        ([""], ()),
        (["391604", 5], ("391604", "5")),
        (391604, ("391604",)),
        (None, ()),
    ],
)
def test_users_are_told_from_teams_and_companies(said: object, read: tuple[str, ...]) -> None:
    assert wire.WireTask.model_validate(item(**{"responsible-party-ids": said})).assignees == read


def test_followers_of_changes_and_of_comments_are_followers_once() -> None:
    task = wire.WireTask.model_validate(item(changeFollowerIds="5,6", commentFollowerIds="6,7"))
    assert wire.task(task, "").followers == ("5", "6", "7")


def test_a_completers_name_counts_only_while_it_is_completed() -> None:
    reopened = wire.WireTask.model_validate(item(status="reopened", completer_id="5"))
    assert wire.task(reopened, "").completed_by == ""


@pytest.mark.parametrize(
    "broken",
    [
        {"created-on": "2026-11-02T16:54:36"},
        {"created-on": None},
        {"due-date": "soon"},
        {"id": None},
        {"id": True},
        {"content": None},
        {"completed": "perhaps"},
    ],
)
def test_an_odd_task_is_not_guessed_at(broken: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        wire.WireTask.model_validate(item(**broken))
