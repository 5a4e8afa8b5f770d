"""What Teamwork takes and gives, field by field: strict about what comes in, and complete about what goes out."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

Task = dict[str, Any]


def _plain_date(value: object) -> object:
    parts = value.split("-") if isinstance(value, str) else []
    if [len(part) for part in parts] != [4, 2, 2] or not all(part.isdigit() for part in parts):
        raise ValueError("a date is YYYY-MM-DD")
    return value


Day = Annotated[str, BeforeValidator(_plain_date)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class Group(_Strict):
    """Teamwork's own client sends null for what is empty."""

    user_ids: list[int] | None = None
    company_ids: list[int] | None = None
    team_ids: list[int] | None = None
    job_role_ids: list[int] | None = None


class TaskIn(_Strict):
    """`task` of version 3, as far as it is needed here. None: not given."""

    name: str | None = Field(default=None, min_length=1, max_length=250)
    description: str | None = None
    assignees: Group | None = None
    change_followers: Group | None = None
    comment_followers: Group | None = None
    due_at: Day | None = None
    start_at: Day | None = None
    priority: Literal["none", "low", "medium", "high"] | None = None

    def users(self) -> set[int]:
        groups = (self.assignees, self.change_followers, self.comment_followers)
        return {user for group in groups if group is not None for user in group.user_ids or ()}


class TaskOptions(_Strict):
    notify: bool = False
    check_invalid_users: bool = Field(default=False, alias="checkInvalidusers")


class TaskRequest(_Strict):
    task: TaskIn
    task_options: TaskOptions = TaskOptions()


class CommentIn(_Strict):
    body: str = Field(min_length=1)
    content_type: Literal["TEXT", "HTML"] = "TEXT"
    notify: str | bool = ""
    notify_current_user: bool = False


class CommentRequest(_Strict):
    comment: CommentIn


def old_task(task: Task, tasklist: dict[str, Any], comments: int) -> dict[str, Any]:
    """A `todo-item` of version 1; `responsible-party-ids` is left out while nobody is named."""
    item: dict[str, Any] = {
        "id": task["id"],
        "content": task["name"],
        "description": task["description"],
        "descriptionContentType": "TEXT",
        "status": task["status"],
        "completed": task["status"] == "completed",
        "todo-list-id": tasklist["id"],
        "todo-list-name": tasklist["name"],
        "project-id": tasklist["projectId"],
        "creator-id": task["createdBy"],
        "updater-id": task["updatedBy"],
        "due-date": task["dueAt"].replace("-", ""),
        "due-date-base": task["dueAt"].replace("-", ""),
        "start-date": "",
        "created-on": task["createdAt"],
        "last-changed-on": task["updatedAt"],
        "priority": task["priority"],
        "progress": 0,
        "private": 0,
        "comments-count": comments,
        "commentFollowerIds": _joined(task["commentFollowers"]),
        "changeFollowerIds": _joined(task["changeFollowers"]),
        "canComplete": True,
        "canEdit": True,
        "DLM": 0,
    }
    if task["assignees"]:
        item["responsible-party-ids"] = _joined(task["assignees"])
        item["responsible-party-id"] = str(task["assignees"][0])
        item["responsible-party-type"] = "Person"
    if task["status"] == "completed":
        item |= {"completed_on": task["completedAt"], "completer_id": str(task["completedBy"])}
    return item


def new_task(task: Task) -> dict[str, Any]:
    """A `task` of version 3."""
    done = task["status"] == "completed"
    return {
        "id": task["id"],
        "name": task["name"],
        "description": task["description"],
        "status": task["status"],
        "priority": task["priority"],
        "progress": 0,
        "tasklist": _relation(task["tasklistId"], "tasklists"),
        "assignees": [_relation(user, "users") for user in task["assignees"]],
        "dueDate": f"{task['dueAt']}T00:00:00Z" if task["dueAt"] else None,
        "startDate": None,
        "estimateMinutes": 0,
        "createdAt": task["createdAt"],
        "createdBy": task["createdBy"],
        "updatedAt": task["updatedAt"],
        "updatedBy": task["updatedBy"],
        "completedAt": task["completedAt"] if done else None,
        "completedBy": task["completedBy"] if done else None,
    }


def comment(one: dict[str, Any], project_id: int) -> dict[str, Any]:
    """A comment of version 3."""
    return {
        "id": one["id"],
        "body": one["body"],
        "htmlBody": f"<p>{one['body']}</p>",
        "contentType": "TEXT",
        "object": _relation(one["taskId"], "tasks"),
        "project": _relation(project_id, "projects"),
        "postedBy": one["postedBy"],
        "postedDateTime": one["postedAt"],
        "notifiedUserIds": one["notified"],
        "deleted": one["deleted"],
    }


def person(user: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": user["id"],
        "firstName": user["firstName"],
        "lastName": user["lastName"],
        "email": user["email"],
        "type": "account",
        "isAdmin": False,
        "deleted": user["deleted"],
    }


def task_list(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": one["id"],
        "name": one["name"],
        "description": "",
        "project": _relation(one["projectId"], "projects"),
        "status": "new",
    }


def _relation(ident: int, kind: str) -> dict[str, Any]:
    return {"id": ident, "type": kind}


def _joined(users: list[int]) -> str:
    return ",".join(str(user) for user in users)
