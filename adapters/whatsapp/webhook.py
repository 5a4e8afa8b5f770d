"""WhatsApp's webhooks: whether one is Meta's, and what it says happened.

The signature is HMAC-SHA256 over the raw body and stamps no time: a captured webhook can be sent again for ever. That
is harmless only because the inbox takes an event id once. One webhook may hold many events, and the same again.
"""

import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from adapters.signatures import doubt_of, header
from adapters.whatsapp.codes import code, worth_another_time
from domain.chat import WhatsAppBatch, WhatsAppEvent, WhatsAppMessage, WhatsAppStatus
from domain.mail import readable
from domain.webhooks import WebhookDoubt, WebhookRefusal
from runtime import exact_json

_MOST_EVENTS = 5_000


def _moment(value: object) -> datetime:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,11}", value):
        raise ValueError("not a time of Meta's")
    return datetime.fromtimestamp(int(value), UTC)


Moment = Annotated[datetime, BeforeValidator(_moment)]
Wamid = Annotated[str, Field(pattern=r"^[!-~]{1,256}$")]
Number = Annotated[str, Field(pattern=r"^[0-9]{0,15}$")]


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _Context(_Wire):
    id: str = ""


class _Message(_Wire):
    """`from` is left out for people who hide their number behind a name."""

    id: Wamid
    sender: Number = Field(alias="from", default="")
    timestamp: Moment
    type: str
    context: _Context = Field(default_factory=_Context)


class _Error(_Wire):
    code: int = 0


class _Status(_Wire):
    id: Wamid
    status: Literal["sent", "delivered", "read", "failed"]
    timestamp: Moment
    recipient_id: Number = ""
    errors: list[_Error] = Field(default_factory=list[_Error])
    biz_opaque_callback_data: str = ""


class _Metadata(_Wire):
    phone_number_id: str


class _Value(_Wire):
    messaging_product: Literal["whatsapp"]
    metadata: _Metadata
    messages: list[Any] = Field(default_factory=list[Any])
    statuses: list[Any] = Field(default_factory=list[Any])


class _Change(_Wire):
    field: str
    value: dict[str, Any]


class _Entry(_Wire):
    changes: list[_Change]


class _Body(_Wire):
    object: Literal["whatsapp_business_account"]
    entry: list[_Entry]


def read_challenge(query: Mapping[str, str], verify_token: str) -> str:
    """What to answer, as plain text, when Meta makes sure of our address; "" if it is not Meta that asks."""
    given = query.get("hub.verify_token", "").encode(errors="replace")
    ours = bool(verify_token) and hmac.compare_digest(given, verify_token.encode())
    challenge = query.get("hub.challenge", "")
    plain = re.fullmatch(r"[A-Za-z0-9_.-]{1,200}", challenge)
    return challenge if ours and plain and query.get("hub.mode") == "subscribe" else ""


def read_webhook(
    headers: Mapping[str, str], raw: bytes, secrets: Sequence[str], phone_id: str
) -> WhatsAppBatch | WebhookRefusal:
    """What a webhook says, or why it is not believed; never raises. `secrets`: those that live, two in a rotation.

    What is about other numbers than `phone_id`, or of no use here, is left out. An event that cannot be read is
    counted and left out too: refusing it would have Meta repeat the good ones beside it for a week.
    """
    doubt = doubt_of(raw, header(headers, "x-hub-signature-256"), secrets, lambda mac: f"sha256={mac.hex()}")
    if doubt is not None:
        return WebhookRefusal(code=doubt)
    try:
        body = _Body.model_validate(exact_json.loads(raw))
        values = [_Value.model_validate(value) for value in _of_messages(body)]
    except ValueError:
        return WebhookRefusal(code=WebhookDoubt.MALFORMED)
    return _batch([value for value in values if value.metadata.phone_number_id == phone_id])


def _of_messages(body: _Body) -> Iterator[dict[str, Any]]:
    return (change.value for entry in body.entry for change in entry.changes if change.field == "messages")


def _batch(values: Sequence[_Value]) -> WhatsAppBatch | WebhookRefusal:
    messages = [one for value in values for one in value.messages]
    statuses = [one for value in values for one in value.statuses]
    if len(messages) + len(statuses) > _MOST_EVENTS:
        return WebhookRefusal(code=WebhookDoubt.MALFORMED)
    told = [*map(_message, messages), *map(_status, statuses)]
    return WhatsAppBatch(
        events=tuple(one for one in told if one is not None), skipped=sum(1 for one in told if one is None)
    )


def _message(item: object) -> WhatsAppEvent | None:
    try:
        told = _Message.model_validate(item)
    except ValidationError:
        return None
    said = _said(cast("dict[str, Any]", item), told.type)
    return WhatsAppMessage(
        event_id=told.id,
        number=told.sender,
        at=told.timestamp,
        type=told.type,
        answers=told.context.id,
        text=readable(said).encode(),
    )


def _said(item: dict[str, Any], kind: str) -> str:
    """The words of a message: its text, a button's, a choice's title, or what stands below a picture."""
    part = item.get(kind)
    fields = cast("dict[str, Any]", part) if isinstance(part, dict) else {}
    if kind == "interactive":
        chosen = fields.get(str(fields.get("type")))
        fields = cast("dict[str, Any]", chosen) if isinstance(chosen, dict) else {}
    found = (fields.get(name) for name in ("body", "text", "title", "caption"))
    return next((one for one in found if isinstance(one, str)), "")


def _status(item: object) -> WhatsAppEvent | None:
    try:
        told = _Status.model_validate(item)
    except ValidationError:
        return None
    number = told.errors[0].code if told.errors else None
    return WhatsAppStatus(
        event_id=f"{told.id}/{told.status}",
        number=told.recipient_id,
        wamid=told.id,
        state=told.status,
        at=told.timestamp,
        code=code(number),
        retry=worth_another_time(number),
        marker=told.biz_opaque_callback_data,
    )
