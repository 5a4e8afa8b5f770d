"""The shapes against what Meta describes: names as its own client library for the Cloud API writes them."""

import json
from typing import Any

import pytest
from pydantic import BaseModel

from adapters.whatsapp import cloud, webhook
from simulators import whatsapp_rules
from simulators.whatsapp import PHONE_ID, whatsapp_simulator

SENT = {"messaging_product", "recipient_type", "to", "context", "type", "text", "template"}
SENT_SINCE = {"biz_opaque_callback_data"}  # newer than that library: from Meta's reference of messages and statuses
TEXT, TEMPLATE, LANGUAGE = {"body", "preview_url"}, {"name", "language", "components"}, {"policy", "code"}
COMPONENT, PARAMETER = {"type", "parameters"}, {"type", "text"}
ANSWER = {"messaging_product", "contacts", "messages"}
BODY, ENTRY, CHANGE = {"object", "entry"}, {"id", "changes"}, {"field", "value"}
VALUE = {"messaging_product", "contacts", "errors", "messages", "metadata", "statuses"}
METADATA = {"display_phone_number", "phone_number_id"}
MESSAGE = {
    "audio", "button", "context", "document", "errors", "from", "id", "identity", "image", "interactive", "order",
    "referral", "sticker", "system", "text", "timestamp", "type", "video",
}  # fmt: skip
CONTEXT = {"forwarded", "frequently_forwarded", "from", "id", "referred_product"}
STATUS = {"conversation", "errors", "id", "pricing", "recipient_id", "status", "timestamp"} | SENT_SINCE
ERROR = {"code", "title", "message", "error_data"}


def aliases_of(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (webhook._Body, BODY),
        (webhook._Entry, ENTRY),
        (webhook._Change, CHANGE),
        (webhook._Value, VALUE),
        (webhook._Metadata, METADATA),
        (webhook._Message, MESSAGE),
        (webhook._Context, CONTEXT),
        (webhook._Status, STATUS),
        (webhook._Error, ERROR),
        (cloud._Answer, ANSWER),
    ],
)
def test_every_field_read_is_one_of_metas(model: type[BaseModel], names: set[str]) -> None:
    assert aliases_of(model) <= names


async def test_every_field_written_is_one_of_metas_and_so_is_every_one_of_the_stand_ins_answer() -> None:
    async with whatsapp_simulator() as meta:
        meta.seed(
            templates=[{"name": "task", "language": "en_GB", "body": "{{1}}"}],
            numbers=[{"number": "447700900001", "wrote": 60}],
        )
        ours = cloud.WhatsAppCloud(meta.url, PHONE_ID, meta.token)
        await ours.send_text("447700900001", "Hello", "case/tell/1")
        await ours.send_template("447700900002", "task", "en_GB", ["Hello"])
        await ours.aclose()
        text, template = (one["body"] for one in meta.ledger)
    assert set(text) | set(template) <= SENT | SENT_SINCE
    assert set(text["text"]) <= TEXT
    chosen: dict[str, Any] = template["template"]
    assert set(chosen) <= TEMPLATE
    assert set(chosen["language"]) <= LANGUAGE
    assert set(chosen["components"][0]) == COMPONENT
    assert set(chosen["components"][0]["parameters"][0]) == PARAMETER


def test_every_field_the_stand_in_tells_is_one_of_metas() -> None:
    message = {"wamid": "wamid.X", "to": "447700900001", "marker": "case/tell/1"}
    told = {
        "messages": [whatsapp_rules.inbound("wamid.Y", "447700900001", 1, "Hello", "wamid.X")],
        "statuses": [whatsapp_rules.status_of(message, "failed", 1, whatsapp_rules.UNDELIVERABLE)],
    }
    body = json.loads(whatsapp_rules.meta_json(whatsapp_rules.notified(PHONE_ID, told)))
    value = body["entry"][0]["changes"][0]["value"]
    shapes = (
        (body, BODY), (body["entry"][0], ENTRY), (body["entry"][0]["changes"][0], CHANGE), (value, VALUE),
        (value["metadata"], METADATA), (value["messages"][0], MESSAGE), (value["messages"][0]["context"], CONTEXT),
        (value["statuses"][0], STATUS), (value["statuses"][0]["errors"][0], ERROR),
    )  # fmt: skip
    for shape, names in shapes:
        assert set(shape) <= names
