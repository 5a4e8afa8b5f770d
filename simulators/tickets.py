"""A loopback stand-in of Zendesk's tickets: tickets, their conversations, followers and users, with webhooks.

`python -m simulators.tickets --port N --state FILE`, or `async with tickets_simulator() as desk:` inside a test.
"""

import hashlib
import hmac
import sys
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runtime import exact_json
from simulators.base import TOKEN, Answer, BadSwitchError, Call, Routes, main, routed, serving
from simulators.webhooks import Hook, HookingSimulator

_API = "/api/v2"
_MOST_PER_PAGE = 100
_ME = 1
_UNSETTLED = {"new", "open", "pending", "hold"}
_KINDS = {
    "status": "status_changed",
    "assignee_id": "agent_assignment_changed",
    "follower_ids": "followers_changed",
    "due_at": "task_due_at_changed",
    "type": "type_changed",
    "subject": "subject_changed",
    "tags": "tags_changed",
}

Thing = dict[str, Any]


class RefusedError(Exception):
    """A request that Zendesk would not carry out, with its error type."""

    def __init__(self, status: int, error: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.error = error


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class FollowerIn(_Strict):
    user_email: str = ""
    user_id: str = ""
    action: Literal["put", "delete"] = "put"


class CommentIn(_Strict):
    body: str = Field(min_length=1)
    public: bool = True
    author_id: int | None = None


class TicketIn(_Strict):
    """What an update may say, as far as it is needed here. None: not given."""

    subject: str | None = None
    status: Literal["new", "open", "pending", "hold", "solved"] | None = None
    type: Literal["problem", "incident", "question", "task"] | None = None
    assignee_email: str | None = None
    assignee_id: int | None = None
    due_at: Annotated[str | None, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")] = None
    tags: list[str] | None = None
    followers: list[FollowerIn] = []
    comment: CommentIn | None = None


class TicketRequest(_Strict):
    ticket: TicketIn


class TicketsSimulator(HookingSimulator):
    """User 1 is the agent whose token it is. `rate_limit` is calls per minute; without `followers_enabled` they are
    ignored, as Zendesk does where the feature is off.
    """

    name = "Tickets"

    def fresh(self) -> dict[str, Any]:
        me = {"id": _ME, "name": "Holdfast", "email": "holdfast@commversion.com", "role": "agent"}
        return {
            "users": {"1": me},
            "tickets": {},
            "comments": {},
            "audits": [],
            "followers_enabled": True,
            "next": 9000,
        }

    def ticket(self, ticket_id: str | int) -> Thing:
        """A ticket as the stand-in holds it; KeyError if it was never there."""
        return self.state["tickets"][str(ticket_id)]

    def respond(self, call: Call) -> Answer:
        try:
            return self._refusal(call) or self._routed(call)
        except RefusedError as error:
            return Answer(error.status, {"error": error.error, "description": str(error), "details": {}})
        except ValidationError as error:
            return Answer(
                422, {"error": "RecordInvalid", "description": f"{error.error_count()} errors", "details": {}}
            )

    def failure(self, status: int) -> Answer:
        headers = {"retry-after": "7"} if status in {429, 503} else {}
        return Answer(status, {"error": "InternalError", "description": "something went wrong"}, headers=headers)

    def signed(self, hook: Hook, secret: str, now: datetime) -> Mapping[str, str]:
        stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        signature = hmac.new(secret.encode(), stamp.encode() + hook.body, hashlib.sha256).digest()
        return {
            "x-zendesk-account-id": "123456",
            "x-zendesk-webhook-id": "01F1KRFQ6BG29CNWFR60NK5FNY",
            "x-zendesk-webhook-invocation-id": hook.delivery,
            "x-zendesk-webhook-signature-timestamp": stamp,
            "x-zendesk-webhook-signature": b64encode(signature).decode(),
        }

    def load(self, seed: dict[str, Any]) -> object:
        """`{"users": [{id, name, email, role}], "tickets": [...], "comments": [{ticket_id, body, public?, author_id?}],
        "followers_enabled"?: bool}`; a ticket needs `id` and `subject`. Roles are agent, admin and end-user.
        """
        for user in seed.get("users", []):
            self.state["users"][str(user["id"])] = {"role": "agent", **user}
        for one in seed.get("tickets", []):
            self._put_ticket(one)
        for one in seed.get("comments", []):
            self._put_comment(one["ticket_id"], one["body"], one.get("author_id", _ME), public=one.get("public", True))
        self.state["followers_enabled"] = seed.get("followers_enabled", self.state["followers_enabled"])
        return {"tickets": len(self.state["tickets"])}

    def change(self, edit: dict[str, Any]) -> object:
        """What a person (`by`, a user id) does in Zendesk's own pages, by `op`; webhooks tell of it.

        `create` {subject, requester_id, ...}, `status` {status}, `assign` {assignee_id}, `follow` and `unfollow`
        {user}, `comment` {body, public?}, `due` {due_at}, `tag` {tags}, `rename` {subject}, `delete`: all of
        a `ticket`.
        `rate_limit` {per_minute}, `age` {ticket, updated_at}: as if it had changed then.
        """
        op, by = edit.pop("op"), edit.pop("by", _ME)
        if op == "rate_limit":
            self.rate_limit = edit["per_minute"]
            return {}
        try:
            return self._done_by(op, by, edit)
        except RefusedError as error:
            raise BadSwitchError(str(error)) from error

    def _done_by(self, op: str, by: int, what: Thing) -> Thing:
        if op == "create":
            made = self._put_ticket(what)
            self._told("created", by, made)
            return made
        ticket = self._ticket(str(what.pop("ticket")))
        match op:
            case "comment":
                self._commented(ticket, by, what["body"], public=what.get("public", True))
            case "delete":
                ticket["status"] = "deleted"
                self._told("soft_deleted", by, ticket)
            case "age":
                ticket["updated_at"] = what["updated_at"]
            case _:
                self._apply(ticket, by, self._edited(op, ticket, what))
        return ticket

    def _edited(self, op: str, ticket: Thing, what: Thing) -> Thing:
        followers = [one for one in ticket["follower_ids"] if one != what.get("user")]
        match op:
            case "follow":
                return {"follower_ids": [*followers, what["user"]]}
            case "unfollow":
                return {"follower_ids": followers}
            case "due":
                return {"due_at": what["due_at"], "type": "task"}
            case "status" | "assign" | "tag" | "rename":
                name = {"status": "status", "assign": "assignee_id", "tag": "tags", "rename": "subject"}[op]
                return {name: what[name]}
            case _:
                raise BadSwitchError(f"no edit {op}")

    def _refusal(self, call: Call) -> Answer | None:
        if _token_of(call) != self.token:
            return Answer(401, {"error": "Couldn't authenticate you"})
        if self.over_limit():
            return Answer(429, b"Number of allowed API requests per minute exceeded", headers={"retry-after": "7"})
        if call.malformed:
            return Answer(400, {"error": "Unprocessable", "description": "the body is no JSON"})
        return None

    def _routed(self, call: Call) -> Answer:
        routes: Routes = [
            ("GET", rf"{_API}/tickets\.json", self._all),
            ("GET", rf"{_API}/tickets/(\d+)\.json", self._one),
            ("PUT", rf"{_API}/tickets/(\d+)\.json", self._update),
            ("GET", rf"{_API}/tickets/(\d+)/comments\.json", self._comments),
            ("GET", rf"{_API}/tickets/(\d+)/audits\.json", self._audits),
            ("GET", rf"{_API}/search/export", self._searched),
            ("GET", rf"{_API}/users/show_many\.json", self._users),
        ]
        if (answer := routed(call, routes)) is None:
            raise RefusedError(404, "InvalidEndpoint", "Not found")
        return answer

    def _one(self, _: Call, ticket_id: str) -> Answer:
        return Answer(200, {"ticket": self._shown(self._ticket(ticket_id))}, "read")

    def _all(self, call: Call) -> Answer:
        live = [one for one in self.state["tickets"].values() if one["status"] != "deleted"]
        field = call.query.get("sort", "id")
        name = field.removeprefix("-")
        if name not in {"id", "updated_at", "status"}:
            raise RefusedError(400, "InvalidPaginationParameter", "sort is not supported")
        ordered = sorted(live, key=lambda one: (one[name], one["id"]), reverse=field.startswith("-"))
        return _paged(call, "tickets", [self._shown(one) for one in ordered])

    def _update(self, call: Call, ticket_id: str) -> Answer:
        ticket = self._ticket(ticket_id)
        if ticket["status"] == "closed":
            raise RefusedError(422, "RecordInvalid", "Status: closed prevents ticket update")
        asked = TicketRequest.model_validate(call.fields).ticket
        changes = self._changes(ticket, asked)
        self._apply(ticket, _ME, changes)
        events: list[Thing] = [{"id": self._next(), "type": "Change", "field_name": name} for name in changes]
        if asked.comment is not None:
            events.insert(0, self._commented(ticket, _ME, asked.comment.body, public=asked.comment.public))
        audit = {"id": self._next(), "ticket_id": ticket["id"], "author_id": _ME, "events": events}
        return Answer(200, {"ticket": self._shown(ticket), "audit": audit}, "updated", changed=True)

    def _changes(self, ticket: Thing, asked: TicketIn) -> Thing:
        given: Thing = {
            name: value
            for name in ("subject", "status", "type", "due_at", "tags", "assignee_id")
            if (value := getattr(asked, name)) is not None
        }
        if asked.assignee_email is not None:
            given["assignee_id"] = self._agent(asked.assignee_email)
        if asked.followers and self.state["followers_enabled"]:
            given["follower_ids"] = self._followers(ticket, asked.followers)
        if "due_at" in given and given.get("type", ticket["type"]) != "task":
            del given["due_at"]
        return {name: value for name, value in given.items() if ticket[name] != value}

    def _agent(self, email: str) -> int:
        found = self._user(email)
        if found is None or found["role"] == "end-user":
            raise RefusedError(422, "RecordInvalid", "Assignee: is not an agent")
        return int(found["id"])

    def _followers(self, ticket: Thing, asked: Sequence[FollowerIn]) -> list[int]:
        kept: list[int] = list(ticket["follower_ids"])
        for one in asked:
            found = self._user(one.user_email) or self.state["users"].get(one.user_id)
            if found is None or found["role"] == "end-user":
                continue
            kept = [user for user in kept if user != found["id"]]
            kept += [found["id"]] if one.action == "put" else []
        return kept

    def _user(self, email: str) -> Thing | None:
        return next((one for one in self.state["users"].values() if one["email"].lower() == email.lower()), None)

    def _comments(self, call: Call, ticket_id: str) -> Answer:
        ticket = self._ticket(ticket_id)
        found = [one for one in self.state["comments"].values() if one["ticket_id"] == ticket["id"]]
        return _paged(call, "comments", [{k: v for k, v in one.items() if k != "ticket_id"} for one in found])

    def _audits(self, call: Call, ticket_id: str) -> Answer:
        ticket = self._ticket(ticket_id)
        return _paged(call, "audits", [one for one in self.state["audits"] if one["ticket_id"] == ticket["id"]])

    def _searched(self, call: Call) -> Answer:
        """Of the language of searches one sentence: `status<solved`."""
        if (call.query.get("query"), call.query.get("filter[type]")) != ("status<solved", "ticket"):
            raise RefusedError(422, "invalid", "this search is not understood here")
        found = [one for one in self.state["tickets"].values() if one["status"] in _UNSETTLED]
        return _paged(call, "results", [{**self._shown(one), "result_type": "ticket"} for one in found])

    def _users(self, call: Call) -> Answer:
        wanted = call.query.get("ids", "").split(",")
        if len(wanted) > _MOST_PER_PAGE:
            raise RefusedError(400, "TooManyValues", "at most 100 ids")
        found = [self.state["users"][one] for one in wanted if one in self.state["users"]]
        return Answer(200, {"users": found, "next_page": None, "count": len(found)}, "read")

    def _shown(self, ticket: Thing) -> Thing:
        api = f"{self.url}{_API}/tickets/{ticket['id']}.json"
        return {"url": api, "collaborator_ids": [], "email_cc_ids": [], "custom_fields": [], **ticket}

    def _apply(self, ticket: Thing, by: int, changes: Thing) -> None:
        if changes:
            self._audited(ticket, by, changes)
            ticket |= {**changes, "updated_at": _now()}
        for name, value in changes.items():
            self._told(_KINDS[name], by, ticket, current=value)

    def _audited(self, ticket: Thing, by: int, changes: Thing) -> None:
        events = [
            {"id": self._next(), "type": "Change", "field_name": name, "value": value, "previous_value": ticket[name]}
            for name, value in changes.items()
        ]
        made = {"id": self._next(), "ticket_id": ticket["id"], "author_id": by, "created_at": _now(), "events": events}
        self.state["audits"].append(made)

    def _commented(self, ticket: Thing, by: int, body: str, *, public: bool) -> Thing:
        made = self._put_comment(ticket["id"], body, by, public=public)
        ticket["updated_at"] = _now()
        said = {"id": made["id"], "body": body, "is_public": public, "author": {"id": by}}
        self._told("comment_added", by, ticket, comment=said)
        return {"id": made["id"], "type": "Comment", "body": body, "public": public, "author_id": by}

    def _put_ticket(self, fields: Thing) -> Thing:
        made: Thing = {
            "id": fields.get("id") or self._next(),
            "subject": "",
            "description": "",
            "status": "open",
            "type": None,
            "priority": None,
            "requester_id": _ME,
            "submitter_id": _ME,
            "assignee_id": None,
            "organization_id": None,
            "group_id": None,
            "follower_ids": [],
            "due_at": None,
            "tags": [],
            "is_public": True,
            "created_at": _now(),
            "updated_at": _now(),
        }
        unknown = set(fields) - set(made)
        if unknown:
            raise BadSwitchError(f"no such field: {sorted(unknown)}")
        self.state["tickets"][str(made["id"])] = made | fields
        return self.state["tickets"][str(made["id"])]

    def _put_comment(self, ticket_id: int, body: str, by: int, *, public: bool) -> Thing:
        ident = self._next()
        text = {"body": body, "html_body": f"<p>{body}</p>", "plain_body": body}
        said = {"id": ident, "ticket_id": int(ticket_id), "type": "Comment", "author_id": by, **text, "public": public}
        self.state["comments"][str(ident)] = {**said, "created_at": _now(), "audit_id": ident + 1, "attachments": []}
        return self.state["comments"][str(ident)]

    def _ticket(self, ticket_id: str) -> Thing:
        found = self.state["tickets"].get(ticket_id)
        if found is None or found["status"] == "deleted":
            raise RefusedError(404, "RecordNotFound", "Not found")
        return found

    def _next(self) -> int:
        self.state["next"] += 1
        return self.state["next"]

    def _told(self, what: str, by: int, ticket: Thing, **event: object) -> None:
        """Sends the webhook of a ticket event, as its schema 2022-11-06 has it."""
        shown = ("assignee_id", "created_at", "description", "requester_id", "status", "subject", "tags", "updated_at")
        detail = {"id": str(ticket["id"]), "actor_id": str(by), **{name: ticket[name] for name in shown}}
        body: Thing = {
            "account_id": 123456,
            "detail": {**detail, "via": {"channel": "web"}},
            "event": event,
            "id": str(uuid4()),
            "subject": f"zen:ticket:{ticket['id']}",
            "time": _now(),
            "type": f"zen:event-type:ticket.{what}",
            "zendesk_event_version": "2022-11-06",
        }
        self.hooks.tell(Hook(what, uuid4().hex, exact_json.dumps(body)))


def tickets_simulator(
    port: int = 0, *, state_file: Path | None = None, token: str = TOKEN, rate_limit: int | None = None
) -> AbstractAsyncContextManager[TicketsSimulator]:
    """Runs the stand-in in this process, with one agent and no ticket."""
    return serving(TicketsSimulator(state_file=state_file, token=token, rate_limit=rate_limit), port)


def _token_of(call: Call) -> str:
    """`Bearer TOKEN`, or basic authentication as `ADDRESS/token:TOKEN`."""
    scheme, _, given = call.headers.get("authorization", "").partition(" ")
    if scheme == "Bearer":
        return given
    try:
        user, _, token = b64decode(given, validate=True).decode().rpartition(":")
    except ValueError:
        return ""
    return token if user.endswith("/token") else ""


def _paged(call: Call, name: str, rows: Sequence[Thing]) -> Answer:
    """One page by cursor. The cursor names the row after which it goes on, wherever that is by then."""
    size = call.query.get("page[size]", "100")
    if not size.isdigit() or not 0 < int(size) <= _MOST_PER_PAGE:
        raise RefusedError(400, "InvalidPaginationParameter", "page[size] is out of range")
    after = call.query.get("page[after]", "")
    start = next((place + 1 for place, row in enumerate(rows) if _cursor(row) == after), 0)
    shown = rows[start : start + int(size)]
    more = start + len(shown) < len(rows)
    meta = {"has_more": more, "after_cursor": _cursor(shown[-1]) if shown else None, "before_cursor": None}
    return Answer(200, {name: list(shown), "meta": meta, "links": {"next": None, "prev": None}}, "read")


def _cursor(row: Thing) -> str:
    return b64encode(f"after-{row['id']}".encode()).decode()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


if __name__ == "__main__":
    sys.exit(main(lambda state_file, token: TicketsSimulator(state_file=state_file, token=token)))
