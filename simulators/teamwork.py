"""A loopback stand-in of Teamwork Projects: tasks, comments, task lists and people, with webhooks.

`python -m simulators.teamwork --port N --state FILE`, or `async with teamwork_simulator() as teamwork:` inside a test.
"""

import hashlib
import hmac
import sys
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from pydantic import BaseModel, ValidationError

from runtime import exact_json
from simulators import teamwork_rules as rules
from simulators.base import TOKEN, Answer, BadSwitchError, Call, Routes, main, routed, serving
from simulators.webhooks import Hook, HookingSimulator

_V3 = "/projects/api/v3"
_MOST_PER_PAGE = 500
_ME = 1
_WORDS = {"name": "name", "description": "description", "dueAt": "due_at", "priority": "priority"}
_PEOPLE = {"assignees": "assignees", "changeFollowers": "change_followers", "commentFollowers": "comment_followers"}
_EDITS = {"due": "dueAt", "move": "tasklistId", "describe": "description", "rename": "name"}

M = TypeVar("M", bound=BaseModel)


class RefusedError(Exception):
    """A request that Teamwork would not carry out."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class TeamworkSimulator(HookingSimulator):
    """User 1 is the one whose API key it is (`token`). `rate_limit` is calls per minute (Teamwork's own is 150).

    `refuse_repeated_completion`: to complete a completed task, or to open an open one, is an error.
    """

    name = "Teamwork"

    def fresh(self) -> dict[str, Any]:
        me = {"id": _ME, "firstName": "Holdfast", "lastName": "", "email": "holdfast@commversion.com", "deleted": False}
        empty: dict[str, Any] = {"tasklists": {}, "tasks": {}, "comments": {}, "next": 5000}
        return {**empty, "people": {str(_ME): me}, "refuse_repeated_completion": False}

    def task(self, task_id: str | int) -> dict[str, Any]:
        """A task as the stand-in holds it; KeyError if it was never there."""
        return self.state["tasks"][str(task_id)]

    def respond(self, call: Call) -> Answer:
        try:
            return self._refusal(call) or self._routed(call)
        except RefusedError as error:
            return _error(call, error.status, str(error))
        except ValidationError as error:
            return _error(call, 400, f"{error.error_count()} fields are not as described")

    def failure(self, status: int) -> Answer:
        body = {
            "errors": [{"id": str(uuid4()), "code": "INTERNAL_ERROR", "title": "Something went wrong", "detail": ""}]
        }
        if status == 429:  # noqa: PLR2004
            return Answer(429, body, headers={"x-rate-limit-limit": "150", "x-rate-limit-reset": "7"})
        return Answer(status, body)

    def signed(self, hook: Hook, secret: str, now: datetime) -> Mapping[str, str]:
        """Teamwork stamps no time."""
        del now
        signature = hmac.new(secret.encode(), hook.body, hashlib.sha256).hexdigest()
        return {
            "x-projects-event": hook.event,
            "x-projects-delivery": hook.delivery,
            "x-projects-signature": signature,
        }

    def load(self, seed: dict[str, Any]) -> object:
        """`{"people": [{id, firstName, lastName, email}], "tasklists": [{id, name, projectId}], "tasks": [...],
        "comments": [{taskId, body, postedBy}]}`; a task needs `id`, `tasklistId` and `name`.
        """
        for user in seed.get("people", []):
            self.state["people"][str(user["id"])] = {"deleted": False, "lastName": "", "email": "", **user}
        for one in seed.get("tasklists", []):
            self.state["tasklists"][str(one["id"])] = {"projectId": 1, **one}
        for one in seed.get("tasks", []):
            self._put_task({**one, "tasklistId": int(one["tasklistId"])})
        for one in seed.get("comments", []):
            self._put_comment(one["taskId"], one["body"], one.get("postedBy", _ME), one.get("notified", []))
        name = "refuse_repeated_completion"
        self.state[name] = seed.get(name, self.state[name])
        return {"tasks": len(self.state["tasks"])}

    def change(self, edit: dict[str, Any]) -> object:
        """What a person (`by`, a user id) does in Teamwork's own pages, by `op`; webhooks tell of it.

        `create` {tasklistId, name, ...}, `complete`, `reopen`, `delete`, `comment` {body}, `edit_comment` {comment,
        body}, `delete_comment` {comment}, `assign` and `unassign` {user}, `due` {dueAt}, `move` {tasklistId},
        `describe` {description}, `rename` {name}: all of a `task`. `rate_limit` {per_minute}.
        """
        op, by = edit.pop("op"), edit.pop("by", _ME)
        if op == "rate_limit":
            self.rate_limit = edit["per_minute"]
            return {}
        try:
            return self._done_by(op, by, edit)
        except RefusedError as error:
            raise BadSwitchError(str(error)) from error

    def _done_by(self, op: str, by: int, what: dict[str, Any]) -> dict[str, Any]:
        if op == "create":
            made = self._put_task({**what, "createdBy": by})
            self._told("TASK.CREATED", by, task=made)
            return made
        task = self._task(str(what.pop("task")))
        if op in {"complete", "reopen"}:
            self._turn(task, by, completed=op == "complete")
        elif "comment" in op:
            return self._commented(op, task, by, what)
        else:
            self._edited(op, task, by, what)
        return task

    def _commented(self, op: str, task: rules.Task, by: int, what: dict[str, Any]) -> dict[str, Any]:
        if op == "comment":
            made = self._put_comment(task["id"], what["body"], by, what.get("notified", []))
            self._told("COMMENT.CREATED", by, comment=made)
            return made
        comment = self.state["comments"][str(what["comment"])]
        comment |= {"deleted": True} if op == "delete_comment" else {"body": what["body"]}
        self._told("COMMENT.DELETED" if op == "delete_comment" else "COMMENT.UPDATED", by, comment=comment)
        return comment

    def _edited(self, op: str, task: rules.Task, by: int, what: dict[str, Any]) -> None:
        match op:
            case "assign":
                task["assignees"] = [*(one for one in task["assignees"] if one != what["user"]), what["user"]]
            case "unassign":
                task["assignees"] = [one for one in task["assignees"] if one != what["user"]]
            case "due" | "move" | "describe" | "rename":
                task[_EDITS[op]] = what[_EDITS[op]]
            case "delete":
                task["status"] = "deleted"
            case _:
                raise BadSwitchError(f"no edit {op}")
        self._touched(task, by)
        event = {"delete": "TASK.DELETED", "move": "TASK.MOVED"}.get(op, "TASK.UPDATED")
        self._told(event, by, task=task)

    def _refusal(self, call: Call) -> Answer | None:
        if _key_of(call) != self.token:
            return _error(call, 401, "Unauthorized")
        if self.over_limit():
            return self.failure(429)
        return _error(call, 400, "the body is no JSON") if call.malformed else None

    def _routed(self, call: Call) -> Answer:
        routes: Routes = [
            ("POST", rf"{_V3}/tasklists/(\d+)/tasks\.json", self._create),
            ("PATCH", rf"{_V3}/tasks/(\d+)\.json", self._update),
            ("PUT", rf"{_V3}/tasks/(\d+)\.json", self._update),
            ("GET", rf"{_V3}/tasks/(\d+)/comments\.json", self._comments),
            ("GET", rf"{_V3}/(?:projects/(\d+)/)?tasklists\.json", self._lists),
            ("GET", rf"{_V3}/people\.json", self._people),
            ("GET", r"/tasks/(\d+)\.json", self._one),
            ("GET", r"/tasklists/(\d+)/tasks\.json", self._all),
            ("POST", r"/tasks/(\d+)/comments\.json", self._comment),
            ("PUT", r"/tasks/(\d+)/complete\.json", self._complete),
            ("PUT", r"/tasks/(\d+)/uncomplete\.json", self._uncomplete),
        ]
        if (answer := routed(call, routes)) is None:
            raise RefusedError(404, "no such endpoint")
        return answer

    def _create(self, call: Call, list_id: str) -> Answer:
        if list_id not in self.state["tasklists"]:
            raise RefusedError(404, "no such task list")
        request = _body(rules.TaskRequest, call)
        if request.task.name is None:
            raise RefusedError(400, "a task has a name")
        made = self._put_task({**self._fields(request), "tasklistId": int(list_id)})
        self._told("TASK.CREATED", _ME, task=made)
        return Answer(201, {"task": rules.new_task(made), "included": {}}, "created", changed=True)

    def _update(self, call: Call, task_id: str) -> Answer:
        task = self._task(task_id)
        fields = self._fields(_body(rules.TaskRequest, call))
        if any(task[name] != value for name, value in fields.items()):
            task |= fields
            self._touched(task, _ME)
            self._told("TASK.UPDATED", _ME, task=task)
        return Answer(200, {"task": rules.new_task(task), "included": {}}, "updated", changed=True)

    def _fields(self, request: rules.TaskRequest) -> dict[str, Any]:
        """What a request says, users whom nobody knows left out or refused."""
        task, known = request.task, {int(user) for user, one in self.state["people"].items() if not one["deleted"]}
        if request.task_options.check_invalid_users and not task.users() <= known:
            raise RefusedError(400, "invalid users")
        given: dict[str, Any] = {name: getattr(task, field) for name, field in _WORDS.items()}
        for name, field in _PEOPLE.items():
            group: rules.Group | None = getattr(task, field)
            given[name] = group if group is None else [user for user in group.user_ids or () if user in known]
        return {name: value for name, value in given.items() if value is not None}

    def _one(self, _: Call, task_id: str) -> Answer:
        return Answer(200, {"STATUS": "OK", "todo-item": self._old(self._task(task_id))}, "read")

    def _all(self, call: Call, list_id: str) -> Answer:
        if list_id not in self.state["tasklists"]:
            raise RefusedError(404, "no such task list")
        done = call.query.get("includeCompletedTasks") == "true"
        found = [
            task
            for task in self.state["tasks"].values()
            if str(task["tasklistId"]) == list_id
            and task["status"] != "deleted"
            and (done or task["status"] != "completed")
        ]
        rows, page, pages = _page(call, found)
        headers = {"x-page": str(page), "x-pages": str(pages), "x-records": str(len(found))}
        return Answer(200, {"STATUS": "OK", "todo-items": [self._old(one) for one in rows]}, "read", headers=headers)

    def _comment(self, call: Call, task_id: str) -> Answer:
        task = self._task(task_id)
        asked = _body(rules.CommentRequest, call).comment
        notified = [int(user) for user in str(asked.notify).split(",") if user.isdigit()]
        if not {str(user) for user in notified} <= set(self.state["people"]):
            raise RefusedError(400, "invalid users")
        made = self._put_comment(task["id"], asked.body, _ME, notified)
        self._told("COMMENT.CREATED", _ME, comment=made)
        return Answer(201, {"STATUS": "OK", "id": str(made["id"])}, "commented", changed=True)

    def _comments(self, call: Call, task_id: str) -> Answer:
        task = self._task(task_id)
        project = self._list_of(task)["projectId"]
        found = [one for one in self.state["comments"].values() if one["taskId"] == task["id"] and not one["deleted"]]
        return _listed(call, "comments", [rules.comment(one, project) for one in found])

    def _lists(self, call: Call, project_id: str | None) -> Answer:
        lists = self.state["tasklists"].values()
        found = [one for one in lists if project_id is None or str(one["projectId"]) == project_id]
        if project_id is not None and not found:
            raise RefusedError(404, "no such project")
        return _listed(call, "tasklists", [rules.task_list(one) for one in found])

    def _people(self, call: Call) -> Answer:
        return _listed(call, "people", [rules.person(one) for one in self.state["people"].values()])

    def _complete(self, _: Call, task_id: str) -> Answer:
        return self._turned(task_id, completed=True)

    def _uncomplete(self, _: Call, task_id: str) -> Answer:
        return self._turned(task_id, completed=False)

    def _turned(self, task_id: str, *, completed: bool) -> Answer:
        task = self._task(task_id)
        if (task["status"] == "completed") is completed:
            if self.state["refuse_repeated_completion"]:
                raise RefusedError(400, "it is so already")
            return Answer(200, {"STATUS": "OK"}, "unchanged")
        self._turn(task, _ME, completed=completed)
        return Answer(200, {"STATUS": "OK"}, "completed" if completed else "reopened", changed=True)

    def _turn(self, task: rules.Task, by: int, *, completed: bool) -> None:
        task["status"] = "completed" if completed else "reopened"
        task |= {"completedBy": by, "completedAt": _now()} if completed else {"completedBy": None, "completedAt": None}
        self._touched(task, by)
        self._told("TASK.COMPLETED" if completed else "TASK.REOPENED", by, task=task)

    def _put_task(self, fields: dict[str, Any]) -> rules.Task:
        made: rules.Task = {
            "id": fields.get("id") or self._next(),
            "name": "",
            "description": "",
            "dueAt": "",
            "priority": "",
            "assignees": [],
            "changeFollowers": [],
            "commentFollowers": [],
            "status": "new",
            "createdAt": _now(),
            "updatedAt": _now(),
            "createdBy": _ME,
            "updatedBy": _ME,
            "completedAt": None,
            "completedBy": None,
        }
        unknown = set(fields) - set(made) - {"tasklistId"}
        if unknown or str(fields["tasklistId"]) not in self.state["tasklists"]:
            raise BadSwitchError(f"no such field or task list: {sorted(unknown)}")
        self.state["tasks"][str(made["id"])] = made | fields
        return self.state["tasks"][str(made["id"])]

    def _put_comment(self, task_id: int, body: str, by: int, notified: Sequence[int]) -> dict[str, Any]:
        ident = self._next()
        said = {"id": ident, "taskId": int(task_id), "body": body, "postedBy": by, "notified": list(notified)}
        self.state["comments"][str(ident)] = {**said, "postedAt": _now(), "deleted": False}
        return self.state["comments"][str(ident)]

    def _task(self, task_id: str) -> rules.Task:
        found = self.state["tasks"].get(task_id)
        if found is None or found["status"] == "deleted":
            raise RefusedError(404, "no such task")
        return found

    def _list_of(self, task: rules.Task) -> dict[str, Any]:
        return self.state["tasklists"][str(task["tasklistId"])]

    def _old(self, task: rules.Task) -> dict[str, Any]:
        live = [one for one in self.state["comments"].values() if one["taskId"] == task["id"] and not one["deleted"]]
        return rules.old_task(task, self._list_of(task), len(live))

    def _next(self) -> int:
        self.state["next"] += 1
        return self.state["next"]

    def _touched(self, task: rules.Task, by: int) -> None:
        task |= {"updatedAt": _now(), "updatedBy": by}

    def _told(self, event: str, by: int, **about: dict[str, Any]) -> None:
        """Sends the webhook of a change, as version 2 writes it."""
        who = self.state["people"].get(str(by), {"firstName": "", "lastName": ""})
        creator = {"id": by, "firstName": who["firstName"], "lastName": who["lastName"], "avatar": ""}
        body: dict[str, Any] = {"eventCreator": creator}
        if "task" in about:
            body |= self._about_task(about["task"])
        if "comment" in about:
            body |= self._about_comment(about["comment"])
        self.hooks.tell(Hook(event, str(uuid4()), exact_json.dumps(body)))

    def _about_task(self, task: rules.Task) -> dict[str, Any]:
        tasklist = self._list_of(task)
        said = {"id": task["id"], "name": task["name"], "description": task["description"], "status": task["status"]}
        dates = {"dateCreated": task["createdAt"], "dateUpdated": task["updatedAt"]}
        people = {"assignedUserIds": list(task["assignees"]), "creatorId": task["createdBy"]}
        where = {"taskListId": tasklist["id"], "projectId": tasklist["projectId"]}
        of_list = {"id": tasklist["id"], "name": tasklist["name"], "projectId": tasklist["projectId"]}
        return {"task": {**said, **dates, **people, **where}, "taskList": of_list}

    def _about_comment(self, comment: dict[str, Any]) -> dict[str, Any]:
        about = {"objectId": comment["taskId"], "objectType": "task", "userId": comment["postedBy"]}
        dates = {"dateCreated": comment["postedAt"]}
        return {"comment": {"id": comment["id"], "body": comment["body"], **about, **dates}}


def teamwork_simulator(
    port: int = 0, *, state_file: Path | None = None, token: str = TOKEN, rate_limit: int | None = None
) -> AbstractAsyncContextManager[TeamworkSimulator]:
    """Runs the stand-in in this process, with one user and no task list."""
    return serving(TeamworkSimulator(state_file=state_file, token=token, rate_limit=rate_limit), port)


def _key_of(call: Call) -> str:
    """The API key is the user name of basic authentication; the password may be anything."""
    scheme, _, given = call.headers.get("authorization", "").partition(" ")
    try:
        return b64decode(given, validate=True).decode().partition(":")[0] if scheme == "Basic" else ""
    except ValueError:
        return ""


def _body(model: type[M], call: Call) -> M:
    return model.model_validate(call.fields)


def _listed(call: Call, name: str, found: Sequence[dict[str, Any]]) -> Answer:
    rows, page, pages = _page(call, found)
    size = _size(call)
    meta = {"page": {"pageOffset": page - 1, "pageSize": size, "count": len(found), "hasMore": page < pages}}
    return Answer(200, {name: list(rows), "meta": meta, "included": {}}, "read")


def _page(call: Call, found: Iterable[dict[str, Any]]) -> tuple[Sequence[dict[str, Any]], int, int]:
    rows, size = list(found), _size(call)
    page = int(call.query.get("page", "1"))
    return rows[(page - 1) * size : page * size], page, max(1, -(-len(rows) // size))


def _size(call: Call) -> int:
    size = call.query.get("pageSize", "50")
    if not size.isdigit() or not 0 < int(size) <= _MOST_PER_PAGE:
        raise RefusedError(400, "pageSize is out of range")
    return int(size)


def _error(call: Call, status: int, detail: str) -> Answer:
    """An error as the version of the API writes it that was asked."""
    if not call.path.startswith(_V3):
        return Answer(status, {"STATUS": "Error", "MESSAGE": detail})
    code = {401: "UNAUTHORIZED", 404: "NOT_FOUND"}.get(status, "BAD_REQUEST")
    return Answer(status, {"errors": [{"id": str(uuid4()), "code": code, "title": code, "detail": detail}]})


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


if __name__ == "__main__":
    sys.exit(main(lambda state_file, token: TeamworkSimulator(state_file=state_file, token=token)))
