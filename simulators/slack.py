"""A loopback stand-in of Slack: the Web API methods that Holdfast uses, and the Events API.

`python -m simulators.slack --port N --state FILE`, or `async with slack_simulator() as slack:` inside a test.
"""

import hmac
import json
import re
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from simulators.base import TOKEN, Answer, BadSwitchError, Call, main, serving
from simulators.slack_rules import (
    DIRECT,
    NotOkError,
    checked_message,
    envelope,
    flag,
    linked,
    page_of,
    permalink,
    public,
)
from simulators.webhooks import Hook, HookingSimulator

TEAM, APP, BOT, BOT_USER = "T0HOLDFAST", "A0HOLDFAST", "B0HOLDFAST", "U0HOLDFAST"

_API = "/api/"
_CHALLENGE = "3eZbrw1aBm2rZgRNFdxV"


class SlackSimulator(HookingSimulator):
    """`state` holds users and channels by id, each channel with its messages (oldest first); `fail`: refusals to come.

    A direct message is a channel whose id starts with D.
    """

    name = "Slack"

    def __init__(self, *, state_file: Path | None = None, token: str = TOKEN) -> None:
        super().__init__(state_file=state_file, token=token)
        self.hooks.set(retries=3, patience=3.0)

    def fresh(self) -> dict[str, Any]:
        return {"users": {}, "channels": {}, "last": 0, "events": 0, "fail": []}

    def messages(self, channel: str) -> list[dict[str, Any]]:
        """What stands in a channel, or in the DM with a user, oldest first."""
        return self._channel(self._direct(channel) if channel.startswith("U") else channel)["messages"]

    def respond(self, call: Call) -> Answer:
        if not call.path.startswith(_API):
            return Answer(404, b"Not found")
        method = call.path.removeprefix(_API)
        try:
            self._authorised(call)
            return self._called(method, _arguments(call))
        except NotOkError as refusal:
            return Answer(200, {"ok": False, "error": str(refusal)})

    def failure(self, status: int) -> Answer:
        if status == 429:  # noqa: PLR2004
            return Answer(429, {"ok": False, "error": "ratelimited"}, headers={"retry-after": "30"})
        return Answer(status, {"ok": False, "error": "internal_error"})

    def load(self, seed: dict[str, Any]) -> object:
        """`{"users": [{"id", "email", "name"?}], "channels": [{"id", "name"?, "members"?: [ids]}]}`.

        The bot is a member of each channel unless `"bot": false` stands with it.
        """
        for user in seed.get("users", []):
            self.state["users"][user["id"]] = {"name": user["id"].lower(), "deleted": False, **user}
        for channel in seed.get("channels", []):
            fresh: dict[str, Any] = {
                "name": channel["id"].lower(),
                "members": [],
                "bot": True,
                "archived": False,
                "messages": [],
            }
            self.state["channels"][channel["id"]] = fresh | channel
        return {}

    def change(self, edit: dict[str, Any]) -> object:
        """What a person does in Slack, and Slack's own moods, by `op`.

        `write` (channel or user's DM, user, text, thread_ts?), `flood` (count, and what `write` takes), `reword` and
        `remove` (channel, ts), `archive`, `kick` (channel), `deactivate` (user), `fail` (method, error, times, done:
        it answers ok=false), `verify` (asks the webhook's address for its challenge).
        """
        op = edit.pop("op")
        ops: Mapping[str, Callable[..., object]] = {
            "write": self._write,
            "flood": self._flood,
            "reword": self._reword,
            "remove": self._remove,
            "archive": self._archive,
            "kick": self._kick,
            "deactivate": self._deactivate,
            "fail": self._fail,
            "verify": self._verify,
        }
        if op not in ops:
            raise BadSwitchError(f"no edit {op}")
        return ops[op](**edit)

    def _authorised(self, call: Call) -> None:
        given = call.headers.get("authorization", "")
        if not given:
            raise NotOkError("not_authed")
        if given != f"Bearer {self.token}":
            raise NotOkError("invalid_auth")

    def _called(self, method: str, given: dict[str, Any]) -> Answer:
        methods: Mapping[str, Callable[[dict[str, Any]], Answer]] = {
            "users.lookupByEmail": self._lookup,
            "conversations.open": self._open,
            "conversations.history": self._history,
            "chat.postMessage": self._post,
            "chat.getPermalink": self._permalink,
        }
        if method not in methods:
            raise NotOkError("unknown_method")
        refusal = self._next_failure(method)
        if refusal is not None and not refusal["done"]:
            raise NotOkError(refusal["error"])
        answer = methods[method](given)
        if refusal is not None:
            return Answer(200, {"ok": False, "error": refusal["error"]}, answer.outcome, answer.changed)
        return answer

    def _next_failure(self, method: str) -> dict[str, Any] | None:
        found = next((one for one in self.state["fail"] if one["method"] == method and one["times"] > 0), None)
        if found is not None:
            found["times"] -= 1
        return found

    def _lookup(self, given: dict[str, Any]) -> Answer:
        email = str(given.get("email", "")).lower()
        found = next(
            (u for u in self.state["users"].values() if u["email"].lower() == email and not u["deleted"]), None
        )
        if found is None:
            raise NotOkError("users_not_found")
        profile = {"email": found["email"], "real_name": found["name"], "team": TEAM}
        user = {"id": found["id"], "team_id": TEAM, "name": found["name"], "deleted": False, "is_bot": False}
        return Answer(200, {"ok": True, "user": {**user, "profile": profile}}, "read")

    def _open(self, given: dict[str, Any]) -> Answer:
        users = [one for one in str(given.get("users", "")).split(",") if one]
        if not users:
            raise NotOkError("users_list_not_supplied")
        if len(users) > 1:
            raise NotOkError("invalid_user_combination")
        known = f"D{users[0][1:]}" in self.state["channels"]
        channel = self._direct(users[0])
        body: dict[str, Any] = {"ok": True, "channel": {"id": channel}}
        if known:
            body |= {"no_op": True, "already_open": True}
        return Answer(200, body, "opened", changed=not known)

    def _direct(self, user: str) -> str:
        who = self.state["users"].get(user)
        if who is None:
            raise NotOkError("user_not_found")
        if who["deleted"]:
            raise NotOkError("user_disabled")
        channel = f"{DIRECT}{user[1:]}"
        direct = {"id": channel, "members": [user], "bot": True, "archived": False, "messages": []}
        self.state["channels"].setdefault(channel, direct)
        return channel

    def _channel(self, channel: object) -> dict[str, Any]:
        found = self.state["channels"].get(channel)
        if found is None:
            raise NotOkError("channel_not_found")
        return found

    def _post(self, given: dict[str, Any]) -> Answer:
        channel = self._channel(given.get("channel"))
        if channel["archived"]:
            raise NotOkError("is_archived")
        if not channel["bot"]:
            raise NotOkError("not_in_channel")
        message = {"user": BOT_USER, "bot_id": BOT, "app_id": APP, **checked_message(given)}
        stored = self._store(channel, message)
        body = {"ok": True, "channel": channel["id"], "ts": stored["ts"], "message": public(stored, metadata=False)}
        return Answer(200, body, "posted", changed=True)

    def _history(self, given: dict[str, Any]) -> Answer:
        channel = self._channel(given.get("channel"))
        if not channel["bot"]:
            raise NotOkError("not_in_channel")
        page, cursor = page_of(channel["messages"], given)
        wanted = flag(given.get("include_all_metadata", "0"))
        shown = [public(message, metadata=wanted) for message in page]
        body: dict[str, Any] = {"ok": True, "messages": shown, "has_more": bool(cursor), "pin_count": 0}
        if cursor:
            body["response_metadata"] = {"next_cursor": cursor}
        return Answer(200, body, "read")

    def _permalink(self, given: dict[str, Any]) -> Answer:
        channel = self._channel(given.get("channel"))
        ts = str(given.get("message_ts"))
        if not any(message["ts"] == ts for message in channel["messages"]):
            raise NotOkError("message_not_found")
        return Answer(200, {"ok": True, "channel": channel["id"], "permalink": permalink(channel["id"], ts)}, "read")

    def _store(self, channel: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
        stored = {"type": "message", "ts": self._next_ts(), **message}
        channel["messages"].append(stored)
        self._happened(channel, public(stored, metadata=False))
        return stored

    def _next_ts(self) -> str:
        now = max(time.time_ns() // 1000, self.state["last"] + 1)
        self.state["last"] = now
        return f"{now // 1_000_000}.{now % 1_000_000:06}"

    def _happened(self, channel: dict[str, Any], event: dict[str, Any]) -> None:
        kind = "im" if channel["id"].startswith(DIRECT) else "channel"
        body = {**event, "channel": channel["id"], "event_ts": event["ts"], "channel_type": kind}
        self._emit(body)
        if kind == "channel" and f"<@{BOT_USER}>" in event.get("text", "") and "subtype" not in event:
            mention = {name: value for name, value in body.items() if name != "channel_type"}
            self._emit({**mention, "type": "app_mention"})

    def _emit(self, event: dict[str, Any]) -> None:
        self.state["events"] = max(time.time_ns() // 1000, self.state["events"] + 1)
        told = envelope(event, team=TEAM, app=APP, number=self.state["events"], bot_user=BOT_USER)
        self.hooks.tell(Hook(event["type"], told["event_id"], json.dumps(told).encode()))

    def signed(self, hook: Hook, secret: str, now: datetime) -> Mapping[str, str]:
        stamp = str(int(now.timestamp()))
        headers = {"x-slack-request-timestamp": stamp, "x-slack-signature": signature(secret, stamp, hook.body)}
        if hook.attempt:
            headers |= {"x-slack-retry-num": str(hook.attempt), "x-slack-retry-reason": hook.reason}
        return headers

    def _write(self, channel: str, user: str, text: str, thread_ts: str = "") -> dict[str, Any]:
        if user not in self.state["users"]:
            raise BadSwitchError(f"no user {user}")
        message: dict[str, Any] = {"user": user, "text": linked(text)}
        if thread_ts:
            message["thread_ts"] = thread_ts
        return {"ts": self._store(self._place(channel), message)["ts"]}

    def _flood(self, count: int, **what: Any) -> dict[str, Any]:
        return {"ts": [self._write(**what)["ts"] for _ in range(count)]}

    def _reword(self, channel: str, ts: str, text: str) -> dict[str, Any]:
        place, message = self._message(channel, ts)
        before = public(message, metadata=False)
        message |= {"text": linked(text)}
        changed = {"message": public(message, metadata=False), "previous_message": before}
        self._happened(place, {"type": "message", "subtype": "message_changed", "ts": self._next_ts(), **changed})
        return {}

    def _remove(self, channel: str, ts: str) -> dict[str, Any]:
        place, message = self._message(channel, ts)
        place["messages"].remove(message)
        self._happened(
            place, {"type": "message", "subtype": "message_deleted", "ts": self._next_ts(), "deleted_ts": ts}
        )
        return {}

    def _archive(self, channel: str) -> dict[str, Any]:
        self._place(channel)["archived"] = True
        return {}

    def _kick(self, channel: str) -> dict[str, Any]:
        self._place(channel)["bot"] = False
        return {}

    def _deactivate(self, user: str) -> dict[str, Any]:
        self.state["users"][user]["deleted"] = True
        return {}

    def _fail(self, method: str, error: str, times: int = 1, *, done: bool = False) -> dict[str, Any]:
        self.state["fail"].append({"method": method, "error": error, "times": times, "done": done})
        return {}

    def _verify(self) -> dict[str, Any]:
        self.hooks.start(self._make_sure())
        return {}

    async def _make_sure(self) -> None:
        body = json.dumps({"token": "none", "challenge": _CHALLENGE, "type": "url_verification"}).encode()
        taken = await self.hooks.ask("POST", body=body)
        good = taken.status == 200 and _CHALLENGE.encode() in taken.body  # noqa: PLR2004
        sent = {"event": "url_verification", "delivery": "", "attempt": 1, "status": taken.status, "verified": good}
        self.hooks.sent.append(sent)

    def _place(self, channel: str) -> dict[str, Any]:
        try:
            return self._channel(self._direct(channel) if channel.startswith("U") else channel)
        except NotOkError as error:
            raise BadSwitchError(str(error)) from error

    def _message(self, channel: str, ts: str) -> tuple[dict[str, Any], dict[str, Any]]:
        place = self._place(channel)
        found = next((message for message in place["messages"] if message["ts"] == ts), None)
        if found is None:
            raise BadSwitchError(f"no message {ts}")
        return place, found


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Slack's signature of a request: over the raw bytes and the time it was sent at."""
    return "v0=" + hmac.new(secret.encode(), b"v0:" + timestamp.encode() + b":" + body, "sha256").hexdigest()


def slack_simulator(
    port: int = 0, *, state_file: Path | None = None, token: str = TOKEN
) -> AbstractAsyncContextManager[SlackSimulator]:
    """Runs the stand-in in this process, an empty workspace."""
    return serving(SlackSimulator(state_file=state_file, token=token), port)


def _arguments(call: Call) -> dict[str, Any]:
    """Slack takes the query, a form or JSON."""
    kind = call.headers.get("content-type", "")
    if kind.startswith("application/json"):
        if not isinstance(call.body, dict):
            raise NotOkError("invalid_json" if call.malformed else "json_not_object")
        return {**call.query, **call.fields}
    if kind.startswith("application/x-www-form-urlencoded"):
        return {**call.query, **dict(parse_qsl(call.raw.decode(errors="replace")))}
    if call.raw and not re.fullmatch(r"\s*", call.raw.decode(errors="replace")):
        raise NotOkError("invalid_post_type")
    return dict(call.query)


if __name__ == "__main__":
    sys.exit(main(lambda state_file, token: SlackSimulator(state_file=state_file, token=token)))
