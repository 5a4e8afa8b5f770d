"""What Teamwork sends and takes, field by field. Reads tolerate unknown fields and numbers written as text.

Version 1 of its API says of a task in one answer what takes several calls in version 3 (its project, its followers, how
many comments): tasks are read there, and written in version 3, where names differ (`content` and `name`, `due-date` and
`dueAt`, `responsible-party-ids` and `assignees`).
"""

import re
from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, cast

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from domain.board import BoardComment, BoardTask, BoardUser, NewTask, TaskList

_DELETED = "deleted"


class BadIdError(ValueError):
    """An id that is none of Teamwork's, which are numbers."""


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _day(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{8}", value):
        return f"{value[:4]}-{value[4:6]}-{value[6:]}"
    return value or None


def _ids(value: object) -> tuple[str, ...]:
    """User ids out of `1,2,t5,c7` or a list: teams and companies are left out."""
    parts: Sequence[object] = value.split(",") if isinstance(value, str) else _listed(value)
    words = [str(part).strip() for part in parts]
    return tuple(word for word in words if re.fullmatch(r"[0-9]{1,18}", word))


def _listed(value: object) -> Sequence[object]:
    return cast("list[object]", value) if isinstance(value, list) else [value]


Ident = Annotated[str, BeforeValidator(_as_text)]
UserIds = Annotated[tuple[str, ...], BeforeValidator(_ids)]


class Wire(BaseModel):
    model_config = ConfigDict(extra="ignore")


class WireTask(Wire):
    """A `todo-item` of version 1."""

    id: Ident
    content: str
    description: str = ""
    status: str = ""
    list_id: Ident = Field(alias="todo-list-id")
    project_id: Ident = Field(alias="project-id")
    assignees: UserIds = Field(default=(), alias="responsible-party-ids")  # left out while nobody is named
    change_followers: UserIds = Field(default=(), alias="changeFollowerIds")
    comment_followers: UserIds = Field(default=(), alias="commentFollowerIds")
    due_on: Annotated[date | None, BeforeValidator(_day)] = Field(default=None, alias="due-date")
    completed: bool = False
    completer: Ident = Field(default="", alias="completer_id")
    created_on: AwareDatetime = Field(alias="created-on")
    changed_on: AwareDatetime = Field(alias="last-changed-on")
    comments: int = Field(default=0, alias="comments-count")

    @property
    def deleted(self) -> bool:
        return self.status == _DELETED


class OneTask(Wire):
    task: WireTask = Field(alias="todo-item")


class TaskPage(Wire):
    tasks: list[WireTask] = Field(alias="todo-items")


class Named(Wire):
    id: Ident


class Created(Wire):
    """The answer to a new task, in version 3."""

    task: Named


class Commented(Wire):
    """The answer to a new comment, in version 1."""

    id: Ident = Field(min_length=1)


class WireComment(Wire):
    id: Ident
    body: str = ""
    posted_by: Ident | None = Field(default=None, alias="postedBy")
    posted_at: AwareDatetime = Field(alias="postedDateTime")
    deleted: bool = False
    notified: UserIds = Field(default=(), alias="notifiedUserIds")


class WireList(Wire):
    id: Ident
    name: str
    project: Named


class WireUser(Wire):
    id: Ident
    first_name: str = Field(default="", alias="firstName")
    last_name: str = Field(default="", alias="lastName")
    email: str = ""
    deleted: bool = False


class PageOf(Wire):
    has_more: bool = Field(alias="hasMore")


class Meta(Wire):
    page: PageOf


class Page(Wire):
    """A page of version 3. The list it is about must be there, or an odd answer would pass for an empty one."""

    meta: Meta


class CommentPage(Page):
    comments: list[WireComment]


class ListPage(Page):
    tasklists: list[WireList]


class PeoplePage(Page):
    people: list[WireUser]


def task(wire: WireTask, site: str) -> BoardTask:
    followers = dict.fromkeys((*wire.change_followers, *wire.comment_followers))
    return BoardTask(
        task_id=wire.id,
        list_id=wire.list_id,
        project_id=wire.project_id,
        title=wire.content,
        description=wire.description,
        assignees=wire.assignees,
        followers=tuple(followers),
        due_on=wire.due_on,
        completed=wire.completed,
        completed_by=wire.completer if wire.completed else "",
        url=f"{site}/app/tasks/{wire.id}",
        created_at=wire.created_on,
        updated_at=wire.changed_on,
        comments=wire.comments,
    )


def comment(wire: WireComment, task_id: str) -> BoardComment:
    return BoardComment(
        comment_id=wire.id,
        task_id=task_id,
        body=wire.body,
        author_id=wire.posted_by or "",
        at=wire.posted_at,
        notified=wire.notified,
    )


def task_list(wire: WireList) -> TaskList:
    return TaskList(list_id=wire.id, project_id=wire.project.id, name=wire.name)


def user(wire: WireUser) -> BoardUser:
    name = f"{wire.first_name} {wire.last_name}".strip()
    return BoardUser(user_id=wire.id, name=name, email=wire.email.lower())


def new_task(new: NewTask) -> dict[str, Any]:
    """The body that makes a task. Nobody is told of it: the comment that follows does that (ID-6)."""
    fields: dict[str, Any] = {"name": new.title, "description": with_marker(new.description, new.marker)}
    fields |= _people(new.assignees, new.followers) | _due(new.due_on)
    return {"task": fields, "taskOptions": {"notify": False, "checkInvalidusers": True}}


def changed_task(
    assignees: Sequence[str] | None, due_on: date | None, followers: Sequence[str] | None
) -> dict[str, Any]:
    fields = _people(assignees, followers) | _due(due_on)
    return {"task": fields, "taskOptions": {"notify": False, "checkInvalidusers": True}}


def new_comment(body: str, notify: Sequence[str], marker: str) -> dict[str, Any]:
    fields: dict[str, Any] = {"body": with_marker(body, marker), "contentType": "TEXT"}
    told = {"notify": ",".join(str(number(one)) for one in notify)} if notify else {}
    return {"comment": {**fields, **told}}


def with_marker(text: str, marker: str) -> str:
    return text if marker in text else f"{text}\n\n{marker}".lstrip()


def number(ident: str) -> int:
    """An id as Teamwork takes it in paths and bodies. Raises BadIdError."""
    if not re.fullmatch(r"[1-9][0-9]{0,17}", ident):
        raise BadIdError("an id of Teamwork is a number")
    return int(ident)


def _people(assignees: Sequence[str] | None, followers: Sequence[str] | None) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if assignees is not None:
        fields["assignees"] = _group(assignees)
    if followers is not None:
        fields |= {"changeFollowers": _group(followers), "commentFollowers": _group(followers)}
    return fields


def _group(users: Sequence[str]) -> dict[str, list[int]]:
    return {"userIds": [number(one) for one in dict.fromkeys(users)], "companyIds": [], "teamIds": []}


def _due(due_on: date | None) -> dict[str, str]:
    return {} if due_on is None else {"dueAt": due_on.isoformat()}
