import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from simulators.base import BadSwitchError
from simulators.whatsapp import PHONE_ID, WhatsAppSimulator, signature, whatsapp_simulator
from tests.simulators.listening import Heard, Listener, listening

BARB, PJ = "447700900001", "447700900002"
PATH = f"/v23.0/{PHONE_ID}/messages"
TEXT: dict[str, Any] = {"messaging_product": "whatsapp", "to": BARB, "type": "text", "text": {"body": "hello"}}


def template(*texts: object, name: str = "task", language: str = "en_GB") -> dict[str, Any]:
    parameters = [{"type": "text", "text": text} for text in texts]
    chosen = {"name": name, "language": {"code": language}, "components": [{"type": "body", "parameters": parameters}]}
    return {"messaging_product": "whatsapp", "to": PJ, "type": "template", "template": chosen}


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with listening() as heard:
        yield heard


@pytest.fixture
async def whatsapp(listener: Listener) -> AsyncIterator[WhatsAppSimulator]:
    async with whatsapp_simulator() as simulator:
        simulator.seed(
            templates=[{"name": "task", "language": "en_GB", "body": "{{1}} waits: {{2}}."}],
            numbers=[{"number": BARB, "wrote": 60}],
        )
        simulator.tell(listener.url, "app-secret")
        simulator.hooks.set(pause=0.01)
        yield simulator


@pytest.fixture
async def http(whatsapp: WhatsAppSimulator) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"authorization": f"Bearer {whatsapp.token}"}
    async with httpx2.AsyncClient(base_url=whatsapp.url, headers=headers, trust_env=False, verify=False) as client:
        yield client


def values(listener: Listener) -> list[dict[str, Any]]:
    return [json.loads(heard.body)["entry"][0]["changes"][0]["value"] for heard in listener.heard]


def states(listener: Listener) -> list[str]:
    return [status["status"] for value in values(listener) for status in value.get("statuses", [])]


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({}, (400, 100)),
        ([], (400, 100)),
        ({**TEXT, "messaging_product": "signal"}, (400, 100)),
        ({**TEXT, "colour": "red"}, (400, 100)),
        ({**TEXT, "recipient_type": "group"}, (400, 100)),
        ({**TEXT, "biz_opaque_callback_data": "x" * 513}, (400, 100)),
        ({**TEXT, "to": "barb"}, (400, 131009)),
        ({**TEXT, "type": "image"}, (400, 131008)),
        ({**TEXT, "text": {"body": ""}}, (400, 131008)),
        ({**TEXT, "text": {"body": "x" * 4097}}, (400, 100)),
        ({**TEXT, "to": PJ}, (400, 131047)),
        (template("a"), (400, 132000)),
        (template("a", "b", "c"), (400, 132000)),
        (template("a", "b", name="other"), (404, 132001)),
        (template("a", "b", language="fr"), (404, 132001)),
        (template("a", ""), (400, 131008)),
        (template("a", "b\nc"), (400, 132018)),
        (template("a", "b     c"), (400, 132018)),
    ],
)
async def test_what_meta_would_refuse_is_refused_by_its_number(
    whatsapp: WhatsAppSimulator, http: httpx2.AsyncClient, body: object, refusal: tuple[int, int]
) -> None:
    answer = await http.post(PATH, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == refusal
    assert whatsapp.messages == []


@pytest.mark.parametrize(
    ("method", "path", "token", "refusal"),
    [
        ("POST", PATH, "wrong", (401, 190)),
        ("GET", PATH, "simulator", (400, 100)),
        ("POST", "/v23.0/999/messages", "simulator", (400, 100)),
        ("POST", f"/v23.0/{PHONE_ID}/media", "simulator", (400, 100)),
    ],
)
async def test_another_place_or_a_wrong_token_is_refused(
    http: httpx2.AsyncClient, method: str, path: str, token: str, refusal: tuple[int, int]
) -> None:
    answer = await http.request(method, path, json=TEXT, headers={"authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == refusal


async def test_the_window_opens_by_a_persons_message_and_closes_after_a_day(
    whatsapp: WhatsAppSimulator, http: httpx2.AsyncClient
) -> None:
    statuses: list[int] = []
    for seconds in (24 * 3600 - 62, 10):
        whatsapp.edit(op="pass_time", seconds=seconds)
        statuses.append((await http.post(PATH, json=TEXT)).status_code)
    whatsapp.edit(op="write", number=BARB, text="hi")
    statuses.append((await http.post(PATH, json=TEXT)).status_code)
    assert statuses == [200, 400, 200]


async def test_what_becomes_of_a_message_is_told_with_its_marker(
    whatsapp: WhatsAppSimulator, http: httpx2.AsyncClient, listener: Listener
) -> None:
    answer = await http.post(PATH, json={**TEXT, "biz_opaque_callback_data": "m-1"})
    wamid = answer.json()["messages"][0]["id"]
    whatsapp.edit(op="read", wamid=wamid)
    await whatsapp.hooks.idle()
    assert states(listener) == ["sent", "delivered", "read"]
    told = values(listener)[0]["statuses"][0]
    assert (told["id"], told["recipient_id"], told["biz_opaque_callback_data"]) == (wamid, BARB, "m-1")
    assert whatsapp.messages[0]["states"] == ["sent", "delivered", "read"]


async def test_a_delivery_fails_later(
    whatsapp: WhatsAppSimulator, http: httpx2.AsyncClient, listener: Listener
) -> None:
    whatsapp.seed(numbers=[{"number": PJ, "gone": True}])
    assert (await http.post(PATH, json=template("a", "b"))).status_code == 200
    sent = (await http.post(PATH, json=TEXT)).json()["messages"][0]["id"]
    whatsapp.edit(op="fail", wamid=sent, code=131026)
    await whatsapp.hooks.idle()
    assert states(listener) == ["failed", "sent", "delivered", "failed"]
    assert values(listener)[0]["statuses"][0]["errors"][0]["code"] == 131026


async def test_a_closed_window_may_be_told_later_too(
    whatsapp: WhatsAppSimulator, http: httpx2.AsyncClient, listener: Listener
) -> None:
    whatsapp.seed(late_window=True)
    assert (await http.post(PATH, json={**TEXT, "to": PJ})).status_code == 200
    await whatsapp.hooks.idle()
    assert values(listener)[0]["statuses"][0]["errors"][0]["code"] == 131047


async def test_what_people_write_is_told_signed_over_escaped_bytes(
    whatsapp: WhatsAppSimulator, listener: Listener
) -> None:
    whatsapp.edit(op="write", number=BARB, text="caf\u00e9 a/b", answers="wamid.X")
    await whatsapp.hooks.idle()
    (heard,), (value,) = listener.heard, values(listener)
    assert b"caf\\u00e9 a\\/b" in heard.body
    assert heard.headers["x-hub-signature-256"] == signature("app-secret", heard.body)
    assert (value["messages"][0]["text"]["body"], value["messages"][0]["context"]["id"]) == ("caf\u00e9 a/b", "wamid.X")
    assert value["metadata"]["phone_number_id"] == PHONE_ID


async def test_several_messages_in_one_webhook_repeated_and_reordered(
    whatsapp: WhatsAppSimulator, listener: Listener
) -> None:
    whatsapp.hooks.set(hold=True, order="reversed", repeat=2)
    whatsapp.edit(op="batch", writes=[{"number": BARB, "text": "1"}, {"number": PJ, "text": "2"}])
    whatsapp.edit(op="write", number=PJ, text="3")
    whatsapp.hooks.set(hold=False)
    await whatsapp.hooks.idle()
    texts = [[one["text"]["body"] for one in value["messages"]] for value in values(listener)]
    assert texts == [["3"], ["3"], ["1", "2"], ["1", "2"]]


async def test_what_is_not_taken_comes_again(whatsapp: WhatsAppSimulator, listener: Listener) -> None:
    listener.answers = [500, 503]
    whatsapp.edit(op="flood", count=3, number=BARB, text="hi")
    await whatsapp.hooks.idle()
    assert len({heard.body for heard in listener.heard}) == 3
    assert len(listener.heard) == 5


@pytest.mark.parametrize(("token", "right"), [("simulator", True), ("other", False)])
async def test_an_address_is_verified_by_its_challenge(
    whatsapp: WhatsAppSimulator, listener: Listener, token: str, right: bool
) -> None:
    def says(heard: Heard) -> bytes:
        query = httpx2.URL(heard.target).params
        return query["hub.challenge"].encode() if query["hub.verify_token"] == "simulator" else b""

    listener.says = says
    whatsapp.edit(op="verify", token=token)
    await whatsapp.hooks.idle()
    assert whatsapp.hooks.sent[-1]["verified"] is right


@pytest.mark.parametrize(
    "edit",
    [{"op": "explode"}, {"op": "read", "wamid": "wamid.NONE"}, {"op": "write", "number": BARB}, {"op": "fail"}],
)
async def test_edits_that_make_no_sense_are_refused(whatsapp: WhatsAppSimulator, edit: dict[str, Any]) -> None:
    with pytest.raises(BadSwitchError):
        whatsapp.edit(**edit)
