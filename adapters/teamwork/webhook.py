"""Teamwork's webhooks (version 2, JSON): whether one is Teamwork's, and what it says happened.

The signature is hex HMAC-SHA256 over the raw body and stamps no time: a captured webhook can be sent again for ever.
Which event it is stands in a header that is not signed. Both are harmless only because a webhook is a hint: the task
is read again, and the inbox takes an event id once.
"""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapters.signatures import doubt_of, header
from adapters.teamwork.wire import Ident, number
from domain.board import BoardEvent, BoardEventKind
from domain.webhooks import WebhookDoubt, WebhookRefusal
from runtime import exact_json

_ABOUT_A_TASK = frozenset({"", "task", "tasks", "todo", "todo_item", "todo_items"})
_DELIVERY = re.compile(r"[A-Za-z0-9_.:-]{1,100}")


class _Named(BaseModel):
    model_config = ConfigDict(extra="ignore")
    id: Ident


class _Comment(_Named):
    object_id: Ident = Field(default="", alias="objectId")
    object_type: str = Field(default="", alias="objectType")


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore")
    event_creator: _Named | None = Field(default=None, alias="eventCreator")
    task: _Named | None = None
    comment: _Comment | None = None


def read_webhook(headers: Mapping[str, str], raw: bytes, secrets: Sequence[str]) -> BoardEvent | WebhookRefusal:
    """What a webhook says, or why it is not believed; never raises. `secrets`: those that live, two in a rotation."""
    signature = header(headers, "x-projects-signature").lower()
    doubt = doubt_of(raw, signature, secrets, bytes.hex)
    if doubt is not None:
        return WebhookRefusal(code=doubt)
    try:
        return _event(headers, raw, _Body.model_validate(exact_json.loads(raw)))
    except (ValueError, ValidationError):
        return WebhookRefusal(code=WebhookDoubt.MALFORMED)


def _event(headers: Mapping[str, str], raw: bytes, body: _Body) -> BoardEvent:
    """Raises ValueError if the body does not name what the event is about."""
    kind = _kind(header(headers, "x-projects-event"))
    task_id, comment_id = _task_of(body), body.comment.id if body.comment else ""
    if kind is not BoardEventKind.OTHER:
        number(task_id if kind.startswith("task.") else comment_id)
    return BoardEvent(
        event_id=_event_id(headers, kind, raw),
        kind=kind,
        task_id=task_id,
        comment_id=comment_id,
        user_id=body.event_creator.id if body.event_creator else "",
    )


def _kind(name: str) -> BoardEventKind:
    try:
        return BoardEventKind(name.lower().replace(":", "."))
    except ValueError:
        return BoardEventKind.OTHER


def _task_of(body: _Body) -> str:
    if body.task is not None:
        return body.task.id
    about = body.comment
    return about.object_id if about is not None and about.object_type.lower() in _ABOUT_A_TASK else ""


def _event_id(headers: Mapping[str, str], kind: BoardEventKind, raw: bytes) -> str:
    """The vendor's id of the delivery, the same when it is repeated; what was said where there is none."""
    delivery = header(headers, "x-projects-delivery")
    if _DELIVERY.fullmatch(delivery):
        return delivery
    return sha256(f"{kind}\n".encode() + raw).hexdigest()
