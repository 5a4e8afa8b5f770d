"""Zendesk's webhooks for ticket events: whether one is Zendesk's, and what it says happened.

The signature is base64 HMAC-SHA256 over the time stamp's text followed by the raw body, so that a captured one is worth
five minutes. What a trigger or an automation sends has a body of somebody's own making, and is not read here.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from adapters.signatures import WINDOW, doubt_of, header
from adapters.tickets.wire import Ident, number
from domain.board import TicketEvent, TicketEventKind
from domain.webhooks import WebhookDoubt, WebhookRefusal
from runtime import exact_json

_TICKET = "zen:event-type:ticket."
_SUBJECT = "zen:ticket:"
_KINDS = {
    "created": TicketEventKind.CREATED,
    "status_changed": TicketEventKind.STATUS,
    "custom_status_changed": TicketEventKind.STATUS,
    "agent_assignment_changed": TicketEventKind.ASSIGNEE,
    "followers_changed": TicketEventKind.FOLLOWERS,
    "comment_added": TicketEventKind.COMMENT,
    "soft_deleted": TicketEventKind.DELETED,
    "permanently_deleted": TicketEventKind.DELETED,
}
_STAMP: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)


class _Detail(BaseModel):
    model_config = ConfigDict(extra="ignore")
    id: Ident = ""
    actor_id: Ident | None = None


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore")
    id: str = Field(min_length=1, max_length=100)
    type: str
    subject: str = ""
    time: AwareDatetime | Literal[""] = ""
    detail: _Detail = _Detail()


def read_webhook(
    headers: Mapping[str, str], raw: bytes, secrets: Sequence[str], now: datetime
) -> TicketEvent | WebhookRefusal:
    """What a webhook says, or why it is not believed; never raises. `secrets`: those that live, two in a rotation."""
    stamp = header(headers, "x-zendesk-webhook-signature-timestamp")
    signature = header(headers, "x-zendesk-webhook-signature")
    doubt = doubt_of(stamp.encode(errors="replace") + raw, signature, secrets, lambda mac: b64encode(mac).decode())
    if doubt is None and not _is_fresh(stamp, now):
        doubt = WebhookDoubt.STALE
    if doubt is not None:
        return WebhookRefusal(code=doubt)
    try:
        return _event(_Body.model_validate(exact_json.loads(raw)))
    except (ValueError, ValidationError):
        return WebhookRefusal(code=WebhookDoubt.MALFORMED)


def _is_fresh(stamp: str, now: datetime) -> bool:
    try:
        return abs(_STAMP.validate_python(stamp) - now) <= WINDOW
    except (ValidationError, OverflowError):
        return False


def _event(body: _Body) -> TicketEvent:
    about = body.type.removeprefix(_TICKET) if body.type.startswith(_TICKET) else ""
    kind = _KINDS.get(about, TicketEventKind.UPDATED) if about else TicketEventKind.OTHER
    ticket_id = body.detail.id or body.subject.removeprefix(_SUBJECT)
    return TicketEvent(
        event_id=body.id,
        kind=kind,
        ticket_id=number(ticket_id) if about else "",
        user_id=body.detail.actor_id or "",
        at=body.time or None,
    )
