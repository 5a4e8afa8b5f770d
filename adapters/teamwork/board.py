"""Teamwork Projects: implements `activities.ports.TaskBoard`."""

import re
from base64 import b64encode
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from adapters.http import TIMEOUT, Does, VendorClient, retry_after
from adapters.teamwork import wire
from domain.board import BoardComment, BoardTask, BoardUser, NewTask, TaskList
from domain.errors import Permanent, Unclear, VendorError
from runtime import exact_json

VENDOR = "Teamwork"

_V3 = "/projects/api/v3"
_PAGE_SIZE = 250
_MOST_PAGES = 200
_AN_EPOCH = 1_000_000_000
_WHOLE = re.compile("[0-9]{1,12}")
_GONE = frozenset({"not-found", "http-404"})

M = TypeVar("M", bound=BaseModel)
P = TypeVar("P", bound=wire.Page)


class TeamworkBoard:
    """One site of Teamwork (`https://<name>.teamwork.com`), with the API key of a user of its own."""

    def __init__(self, site: str, api_key: str, *, timeout: timedelta = TIMEOUT) -> None:
        self._site = site.rstrip("/")
        self._client = VendorClient(
            VENDOR,
            self._site,
            b64encode(f"{api_key}:x".encode()).decode(),
            timeout=timeout,
            scheme="Basic",
            code_of=lambda body: body["errors"][0]["code"],
            wait_of=_wait,
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def task(self, task_id: str) -> BoardTask | None:
        """The task as it is now; None if there is none, or it was deleted."""
        path = f"/tasks/{_number(task_id)}.json"
        try:
            found = _read(self._client, "reads", wire.OneTask, await self._client.json("reads", "GET", path)).task
        except Permanent as error:
            if error.code in _GONE:
                return None
            raise
        if found.id != task_id:
            self._client.bad_answer("reads")
        return None if found.deleted else wire.task(found, self._site)

    async def find(self, list_id: str, marker: str) -> BoardTask | None:
        """The task of a list, open or completed, whose description holds `marker`, or None.

        Reads the whole list, for the search index of a vendor lags. Permanent `ambiguous-marker` if there are several.
        """
        found = [one for one in await self.tasks(list_id, open_only=False) if marker in one.description]
        if len(found) > 1:
            raise Permanent(VENDOR, "ambiguous-marker", "several tasks carry the same marker; delete all but one")
        return found[0] if found else None

    async def create(self, new: NewTask) -> BoardTask:
        """Makes a task and returns it as the board holds it. Unclear `unseen` if it was made and can't be read."""
        with _known():
            body = wire.new_task(new)
        path = f"{_V3}/tasklists/{_number(new.list_id)}/tasks.json"
        with _missing():
            answer = await self._client.json("writes", "POST", path, body=body)
        made = await self._seen(_read(self._client, "writes", wire.Created, answer).task.id)
        if made.list_id != new.list_id or new.marker not in made.description:
            raise Unclear(VENDOR, "answer-differs", "made something else than asked; look at the task list")
        return made

    async def change(
        self,
        task_id: str,
        *,
        assignees: Sequence[str] | None = None,
        due_on: date | None = None,
        followers: Sequence[str] | None = None,
    ) -> BoardTask:
        """Replaces what is given (assignees that are teams or companies too) and leaves what is None alone."""
        with _known():
            body = wire.changed_task(assignees, due_on, followers)
        path = f"{_V3}/tasks/{_number(task_id)}.json"
        with _missing():
            await self._client.call("writes", "PATCH", path, body=body)
        return await self._seen(task_id)

    async def comment(self, task_id: str, body: str, notify: Sequence[str], marker: str) -> str:
        """Comments on a task, tells the users of `notify` (nobody if it is empty), and returns the comment's id."""
        with _known():
            fields = wire.new_comment(body, notify, marker)
        with _missing():
            answer = await self._client.json("writes", "POST", f"/tasks/{_number(task_id)}/comments.json", body=fields)
        return _read(self._client, "writes", wire.Commented, answer).id

    async def comments(self, task_id: str) -> tuple[BoardComment, ...]:
        """All comments of a task, oldest first; deleted ones are left out."""
        path = f"{_V3}/tasks/{_number(task_id)}/comments.json"
        pages = self._pages(wire.CommentPage, path, {"orderBy": "date", "orderMode": "asc"})
        found = {one.id: one async for page in pages for one in page.comments}
        return tuple(wire.comment(one, task_id) for one in found.values() if not one.deleted)

    async def complete(self, task_id: str) -> None:
        """Completes a task; one that is completed already is a success."""
        await self._turn(task_id, "complete", completed=True)

    async def reopen(self, task_id: str) -> None:
        """Opens a completed task again; one that is open is a success."""
        await self._turn(task_id, "uncomplete", completed=False)

    async def tasks(self, list_id: str, *, open_only: bool = True) -> tuple[BoardTask, ...]:
        """All tasks of a list, subtasks too."""
        path = f"/tasklists/{_number(list_id)}/tasks.json"
        params = {"includeCompletedTasks": "false" if open_only else "true"}
        found: dict[str, wire.WireTask] = {}
        with _missing():
            async for page in self._old_pages(path, params):
                found |= {one.id: one for one in page.tasks}
        live = (one for one in found.values() if not one.deleted and not (open_only and one.completed))
        return tuple(wire.task(one, self._site) for one in live)

    async def task_lists(self, project_id: str) -> tuple[TaskList, ...]:
        """All task lists of a project, or of every project we see ("")."""
        where = f"/projects/{_number(project_id)}" if project_id else ""
        pages = self._pages(wire.ListPage, f"{_V3}{where}/tasklists.json")
        found = {one.id: one async for page in pages for one in page.tasklists}
        return tuple(wire.task_list(one) for one in found.values())

    async def users(self) -> tuple[BoardUser, ...]:
        """Everybody a task can be assigned to."""
        pages = self._pages(wire.PeoplePage, f"{_V3}/people.json")
        found = {one.id: one async for page in pages for one in page.people}
        return tuple(wire.user(one) for one in found.values() if not one.deleted)

    async def _turn(self, task_id: str, verb: str, *, completed: bool) -> None:
        path = f"/tasks/{_number(task_id)}/{verb}.json"
        try:
            with _missing():
                await self._client.call("writes", "PUT", path)
        except Permanent:
            # What Teamwork says to a second completion is not described; whether the task is completed, is.
            found = await self.task(task_id)
            if found is None or found.completed is not completed:
                raise

    async def _seen(self, task_id: str) -> BoardTask:
        """The task after a write. The write is done: not seeing it is never `certainly not done`."""
        try:
            found = await self.task(task_id)
        except VendorError as error:
            raise Unclear(VENDOR, "unseen", "took it, but the task can't be read; it is looked for") from error
        if found is None:
            raise Unclear(VENDOR, "unseen", "took it, but the task is not there; it is looked for")
        return found

    async def _pages(
        self, model: type[P], path: str, params: Mapping[str, str | int] | None = None
    ) -> AsyncIterator[P]:
        """Pages of version 3, which say whether there are more."""
        for page in range(1, _MOST_PAGES + 1):
            query = {**(params or {}), "page": page, "pageSize": _PAGE_SIZE}
            with _missing():
                answer = await self._client.json("reads", "GET", path, params=query)
            found = _read(self._client, "reads", model, answer)
            yield found
            if not found.meta.page.has_more:
                return
        _too_many()

    async def _old_pages(self, path: str, params: Mapping[str, str | int]) -> AsyncIterator[wire.TaskPage]:
        """Pages of version 1, whose number is in a header."""
        for page in range(1, _MOST_PAGES + 1):
            query = {**params, "page": page, "pageSize": _PAGE_SIZE}
            answer = await self._client.call("reads", "GET", path, params=query)
            found = _read(self._client, "reads", wire.TaskPage, _json(self._client, answer.content))
            yield found
            if page >= _count(answer.headers, len(found.tasks), page):
                return
        _too_many()


def _json(client: VendorClient, content: bytes) -> Any:
    try:
        return exact_json.loads(content)
    except ValueError:
        client.bad_answer("reads")


def _read(client: VendorClient, does: Does, model: type[M], answer: Any) -> M:
    try:
        return model.model_validate(answer)
    except ValidationError:
        client.bad_answer(does)


def _count(headers: Mapping[str, str], rows: int, page: int) -> int:
    """How many pages there are; where Teamwork does not say, one more for every full one."""
    said = headers.get("x-pages", "")
    if _WHOLE.fullmatch(said):
        return int(said)
    return page + 1 if rows >= _PAGE_SIZE else page


def _number(ident: str) -> int:
    with _known():
        return wire.number(ident)


@contextmanager
def _known() -> Generator[None]:
    try:
        yield
    except wire.BadIdError as error:
        raise Permanent(VENDOR, "bad-id", str(error)) from error


@contextmanager
def _missing() -> Generator[None]:
    """One code for what is not there, whichever version of the API says it."""
    try:
        yield
    except Permanent as error:
        if error.code not in _GONE:
            raise
        raise Permanent(VENDOR, "not-found", "there is no such task, list or project") from error


def _too_many() -> NoReturn:
    raise Permanent(VENDOR, "too-many-pages", "has more than can be read at once; archive finished lists")


def _wait(headers: Mapping[str, str]) -> timedelta | None:
    """`Retry-After`, or the end of Teamwork's minute: described as an epoch, seen as the seconds that are left."""
    said = headers.get("x-rate-limit-reset", headers.get("x-ratelimit-reset", ""))
    asked = retry_after(headers)
    if asked is not None or not _WHOLE.fullmatch(said):
        return asked
    left = int(said) - datetime.now(UTC).timestamp() if int(said) > _AN_EPOCH else int(said)
    return timedelta(seconds=min(max(left, 0), 3600))
