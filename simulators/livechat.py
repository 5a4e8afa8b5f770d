"""A loopback stand-in of LiveChat's Agent Chat API v3.5: `get_chat` and `tag_thread`.

`python -m simulators.livechat --port N --state FILE`, or `async with livechat_simulator() as livechat:` inside a test.
"""

import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from simulators.base import TOKEN, Answer, Call, Simulator, main, serving

_ACTION = "/v3.5/agent/action/"
_ERRORS = {
    "validation": (400, "Wrong format of request"),
    "authentication": (401, "Authentication error"),
    "not_found": (404, "Not found"),
    "too_many_requests": (429, "Too many requests"),
    "internal": (500, "Internal server error"),
    "service_unavailable": (503, "Service unavailable"),
    "request_timeout": (504, "Request timed out"),
}
_BY_STATUS = {status: kind for kind, (status, _) in _ERRORS.items()}


class LiveChatSimulator(Simulator):
    """`state["chats"][chat_id][thread_id]` holds a thread's tags; `refuse_repeated_tags`: a second one is an error."""

    name = "LiveChat"

    def fresh(self) -> dict[str, Any]:
        return {"chats": {}, "refuse_repeated_tags": False}

    def tags(self, chat_id: str, thread_id: str) -> list[str]:
        return self.state["chats"][chat_id][thread_id]

    def respond(self, call: Call) -> Answer:
        if call.headers.get("authorization") not in {f"Bearer {self.token}", f"Basic {self.token}"}:
            return _error("authentication")
        action = call.path.removeprefix(_ACTION)
        wanted = {"get_chat": {"chat_id", "thread_id"}, "tag_thread": {"chat_id", "thread_id", "tag"}}.get(action)
        if wanted is None or not call.path.startswith(_ACTION) or call.method != "POST":
            return _error("not_found")
        fields = call.fields
        if set(fields) != wanted or not all(isinstance(value, str) and value for value in fields.values()):
            return _error("validation")
        tags = self.state["chats"].get(fields["chat_id"], {}).get(fields["thread_id"])
        if tags is None:
            return _error("not_found")
        return self._tag(tags, fields["tag"]) if action == "tag_thread" else _chat(fields, tags)

    def failure(self, status: int) -> Answer:
        return _error(_BY_STATUS.get(status, "internal"), status)

    def load(self, seed: dict[str, Any]) -> object:
        """`{"chats": [{"chat_id", "thread_id", "tags"?}], "refuse_repeated_tags"?: bool}`."""
        for chat in seed.get("chats", []):
            self.state["chats"].setdefault(chat["chat_id"], {})[chat["thread_id"]] = list(chat.get("tags", []))
        self.state["refuse_repeated_tags"] = seed.get("refuse_repeated_tags", self.state["refuse_repeated_tags"])
        return {}

    def _tag(self, tags: list[str], tag: str) -> Answer:
        if tag in tags:
            return _error("validation") if self.state["refuse_repeated_tags"] else Answer(200, outcome="unchanged")
        tags.append(tag)
        return Answer(200, outcome="tagged", changed=True)


def livechat_simulator(
    port: int = 0, *, state_file: Path | None = None, token: str = TOKEN
) -> AbstractAsyncContextManager[LiveChatSimulator]:
    """Runs the stand-in in this process, without chats."""
    return serving(LiveChatSimulator(state_file=state_file, token=token), port)


def _chat(fields: dict[str, str], tags: list[str]) -> Answer:
    thread: dict[str, Any] = {
        "id": fields["thread_id"],
        "created_at": "2026-01-05T07:11:28.288340Z",
        "active": False,
        "user_ids": [],
        "events": [],
        "properties": {},
        "access": {"group_ids": [0]},
    }
    if tags:
        thread["tags"] = list(tags)
    chat: dict[str, Any] = {"id": fields["chat_id"], "thread": thread, "users": [], "properties": {}}
    return Answer(200, {**chat, "access": {"group_ids": [0]}, "is_followed": False}, "read")


def _error(kind: str, status: int | None = None) -> Answer:
    usual, message = _ERRORS[kind]
    return Answer(status or usual, {"error": {"type": kind, "message": message}})


if __name__ == "__main__":
    sys.exit(main(lambda state_file, token: LiveChatSimulator(state_file=state_file, token=token)))
