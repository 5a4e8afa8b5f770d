"""A loopback stand-in of Meta's WhatsApp Cloud API: sending text and templates, and the webhooks about them.

`python -m simulators.whatsapp --port N --state FILE`, or `async with whatsapp_simulator() as whatsapp:` inside a test.
"""

import hmac
import re
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from simulators.base import TOKEN, Answer, BadSwitchError, Call, main, serving
from simulators.webhooks import Hook, HookingSimulator
from simulators.whatsapp_rules import (
    UNDELIVERABLE,
    WINDOW_CLOSED,
    MetaError,
    checked,
    filled,
    inbound,
    meta_json,
    notified,
    status_of,
    template_of,
)

PHONE_ID = "100000000000001"
VERIFY_TOKEN = "simulator"  # noqa: S105 - the stand-in's token is no secret

_TEMPLATES = {
    "holdfast_task/en_GB": "There is a task for you: {{1}}. In detail: {{2}} - all of it stands at {{3}}, please answer"
    " there."
}
_DAY = 24 * 60 * 60
_SEND = re.compile(r"/v\d{2}\.0/(\d+)/messages")
_CHALLENGE = "1158201444"


class WhatsAppSimulator(HookingSimulator):
    """`state`: templates by name and language, numbers with the time of their last message, and all messages sent.

    `late_window`: a closed window is told by a status later instead of at once, as Meta does now and then. `statuses`:
    what is told by itself of each message (`sent`, `delivered`). `ahead`: seconds that its clock is ahead.
    """

    name = "WhatsApp"

    def __init__(self, *, state_file: Path | None = None, token: str = TOKEN, phone_id: str = PHONE_ID) -> None:
        super().__init__(state_file=state_file, token=token)
        self.phone_id = phone_id
        self.hooks.set(retries=3)

    def fresh(self) -> dict[str, Any]:
        return {
            "templates": dict(_TEMPLATES),
            "numbers": {},
            "messages": [],
            "late_window": False,
            "statuses": ["sent", "delivered"],
            "ahead": 0,
        }

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What was sent, oldest first: `{wamid, to, kind, text, states, marker}`, `text` as the person reads it."""
        return self.state["messages"]

    def respond(self, call: Call) -> Answer:
        try:
            return self._sent(call)
        except MetaError as error:
            return error.answer()

    def failure(self, status: int) -> Answer:
        if status == 429:  # noqa: PLR2004
            return MetaError(130429).answer()
        number = {401: 190, 503: 131016, 400: 100, 403: 10}.get(status, 131000)
        return MetaError(number, status=status).answer()

    def load(self, seed: dict[str, Any]) -> object:
        """`{"templates": [{"name", "language", "body"}], "numbers": [{"number", "wrote"?: seconds ago, "gone"?}]}`,
        and any of `late_window`, `statuses`. A template's body has its parameters as {{1}}, {{2}}.
        """
        for template in seed.get("templates", []):
            self.state["templates"][f"{template['name']}/{template['language']}"] = template["body"]
        for number in seed.get("numbers", []):
            wrote = None if number.get("wrote") is None else self._now() - int(number["wrote"])
            self.state["numbers"][number["number"]] = {"wrote": wrote, "gone": number.get("gone", False)}
        for name in ("late_window", "statuses"):
            self.state[name] = seed.get(name, self.state[name])
        return {}

    def change(self, edit: dict[str, Any]) -> object:
        """What people and Meta do, by `op`.

        `write` (number, text, answers?), `batch` (writes: several in one webhook), `flood` (count, number, text),
        `read` and `fail` (wamid; code), `pass_time` (seconds), `verify` (token?: asks the webhook's address),
        `pause_template` (name, language).
        """
        op = edit.pop("op")
        ops: Mapping[str, Callable[..., object]] = {
            "write": self._write,
            "batch": self._batch,
            "flood": self._flood,
            "read": self._read,
            "fail": self._fail,
            "pass_time": self._pass_time,
            "verify": self._verify,
            "pause_template": self._pause_template,
        }
        if op not in ops:
            raise BadSwitchError(f"no edit {op}")
        return ops[op](**edit)

    def signed(self, hook: Hook, secret: str, now: datetime) -> Mapping[str, str]:
        del now
        return {"x-hub-signature-256": signature(secret, hook.body)}

    def _sent(self, call: Call) -> Answer:
        if call.headers.get("authorization") != f"Bearer {self.token}":
            raise MetaError(190)
        found = _SEND.fullmatch(call.path)
        if found is None or call.method != "POST" or found[1] != self.phone_id:
            raise MetaError(100, "Unsupported request: no such object or method", subcode=33)
        return self._taken(checked(call))

    def _taken(self, message: dict[str, Any]) -> Answer:
        to, kind = message["to"], message["type"]
        text = message["text"]["body"] if kind == "text" else filled(self.state["templates"], message["template"])
        closed = kind == "text" and not self._window_open(to)
        if closed and not self.state["late_window"]:
            raise MetaError(WINDOW_CLOSED)
        kept: dict[str, Any] = {
            "wamid": f"wamid.{uuid4().hex.upper()}",
            "to": to,
            "kind": kind if kind == "text" else template_of(message["template"]),
            "text": text,
            "states": [],
            "marker": message.get("biz_opaque_callback_data", ""),
        }
        self.messages.append(kept)
        self._go_on(kept, WINDOW_CLOSED if closed else UNDELIVERABLE if self._number(to)["gone"] else 0)
        taken: dict[str, str] = {"id": kept["wamid"], **({} if kind == "text" else {"message_status": "accepted"})}
        contacts = [{"input": to, "wa_id": to}]
        body = {"messaging_product": "whatsapp", "contacts": contacts, "messages": [taken]}
        return Answer(200, body, "taken", changed=True)

    def _go_on(self, message: dict[str, Any], failure: int) -> None:
        if failure:
            self._tell_state(message, "failed", failure)
            return
        for state in self.state["statuses"]:
            self._tell_state(message, state)

    def _window_open(self, number: str) -> bool:
        wrote = self._number(number)["wrote"]
        return wrote is not None and self._now() - wrote < _DAY

    def _number(self, number: str) -> dict[str, Any]:
        return self.state["numbers"].setdefault(number, {"wrote": None, "gone": False})

    def _now(self) -> int:
        return int(time.time()) + self.state["ahead"]

    def _tell_state(self, message: dict[str, Any], state: str, code: int = 0) -> None:
        message["states"].append(state)
        self._tell({"statuses": [status_of(message, state, self._now(), code)]}, state)

    def _tell(self, value: dict[str, Any], event: str) -> None:
        self.hooks.tell(Hook(event, "", meta_json(notified(self.phone_id, value))))

    def _arrived(self, number: str, text: str, answers: str = "") -> dict[str, Any]:
        self._number(number)["wrote"] = self._now()
        return inbound(f"wamid.{uuid4().hex.upper()}", number, self._now(), text, answers)

    def _write(self, number: str, text: str, answers: str = "") -> dict[str, Any]:
        message = self._arrived(number, text, answers)
        self._tell({"messages": [message]}, "message")
        return {"wamid": message["id"]}

    def _batch(self, writes: list[dict[str, str]]) -> dict[str, Any]:
        messages = [self._arrived(**write) for write in writes]
        self._tell({"messages": messages}, "message")
        return {"wamids": [message["id"] for message in messages]}

    def _flood(self, count: int, number: str, text: str) -> dict[str, Any]:
        return {"wamids": [self._write(number, text)["wamid"] for _ in range(count)]}

    def _read(self, wamid: str) -> dict[str, Any]:
        self._tell_state(self._message(wamid), "read")
        return {}

    def _fail(self, wamid: str, code: int = UNDELIVERABLE) -> dict[str, Any]:
        self._tell_state(self._message(wamid), "failed", code)
        return {}

    def _message(self, wamid: str) -> dict[str, Any]:
        found = next((message for message in self.messages if message["wamid"] == wamid), None)
        if found is None:
            raise BadSwitchError(f"no message {wamid}")
        return found

    def _pass_time(self, seconds: int) -> dict[str, Any]:
        self.state["ahead"] += int(seconds)
        return {}

    def _pause_template(self, name: str, language: str) -> dict[str, Any]:
        self.state["templates"][f"{name}/{language}"] = None
        return {}

    def _verify(self, token: str = VERIFY_TOKEN) -> dict[str, Any]:
        self.hooks.start(self._make_sure(token))
        return {}

    async def _make_sure(self, token: str) -> None:
        query = {"hub.mode": "subscribe", "hub.challenge": _CHALLENGE, "hub.verify_token": token}
        taken = await self.hooks.ask("GET", query)
        good = taken.status == 200 and taken.body == _CHALLENGE.encode()  # noqa: PLR2004
        sent = {"event": "verify", "delivery": "", "attempt": 1, "status": taken.status, "verified": good}
        self.hooks.sent.append(sent)


def signature(secret: str, body: bytes) -> str:
    """Meta's signature of a webhook, over the raw bytes."""
    return "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest()


def whatsapp_simulator(
    port: int = 0, *, state_file: Path | None = None, token: str = TOKEN
) -> AbstractAsyncContextManager[WhatsAppSimulator]:
    """Runs the stand-in in this process, with the template that Holdfast asks Meta for."""
    return serving(WhatsAppSimulator(state_file=state_file, token=token), port)


if __name__ == "__main__":
    sys.exit(main(lambda state_file, token: WhatsAppSimulator(state_file=state_file, token=token)))
