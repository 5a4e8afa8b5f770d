from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from adapters.whatsapp.cloud import WhatsAppCloud
from domain.errors import Permanent, Retryable, Unclear, VendorError
from simulators.base import Answer
from simulators.whatsapp import PHONE_ID, WhatsAppSimulator, whatsapp_simulator

QUICK = timedelta(seconds=1)
BARB, PJ = "447700900001", "447700900002"
SEND = "POST /messages"


@pytest.fixture
async def whatsapp() -> AsyncIterator[WhatsAppSimulator]:
    async with whatsapp_simulator() as simulator:
        simulator.seed(
            templates=[
                {"name": "holdfast_task", "language": "en_GB", "body": "{{1}} waits for you: {{2}}. Thank you."}
            ],
            numbers=[{"number": BARB, "wrote": 60}],
        )
        yield simulator


@pytest.fixture
async def cloud(whatsapp: WhatsAppSimulator) -> AsyncIterator[WhatsAppCloud]:
    adapter = WhatsAppCloud(whatsapp.url, PHONE_ID, whatsapp.token, timeout=QUICK)
    yield adapter
    await adapter.aclose()


async def test_free_text_goes_as_it_is_to_somebody_who_wrote(whatsapp: WhatsAppSimulator, cloud: WhatsAppCloud) -> None:
    text = "Caf\u00e9 <b> & *bold*\nhttps://tasks.example/1"
    wamid = await cloud.send_text(BARB, text, "case/tell/1")
    (message,) = whatsapp.messages
    assert (message["wamid"], message["text"], message["marker"]) == (wamid, text, "case/tell/1")
    assert whatsapp.ledger[0]["body"]["text"]["preview_url"] is False


async def test_a_template_is_filled_in_on_one_line(whatsapp: WhatsAppSimulator, cloud: WhatsAppCloud) -> None:
    await cloud.send_template(PJ, "holdfast_task", "en_GB", ["New\n page\t for   Acme", "https://tasks.example/1"])
    assert whatsapp.messages[0]["text"] == "New page for Acme waits for you: https://tasks.example/1. Thank you."


async def test_free_text_to_somebody_who_did_not_write_today_is_refused(
    whatsapp: WhatsAppSimulator, cloud: WhatsAppCloud
) -> None:
    for number, passed in ((PJ, 0), (BARB, 24 * 3600)):
        whatsapp.edit(op="pass_time", seconds=passed)
        with pytest.raises(Permanent) as caught:
            await cloud.send_text(number, "hello")
        assert (caught.value.code, whatsapp.messages) == ("window-closed", [])


@pytest.mark.parametrize(
    ("template", "parameters", "code"),
    [
        (("nothing", "en_GB"), ["a", "b"], "no-template"),
        (("holdfast_task", "fr"), ["a", "b"], "no-template"),
        (("holdfast_task", "en_GB"), ["a"], "template-parameters"),
        (("holdfast_task", "en_GB"), [], "template-parameters"),
        (("holdfast_task", "en_GB"), ["a", "b", "c"], "template-parameters"),
    ],
)
async def test_a_template_that_meta_does_not_know_so_is_permanent(
    cloud: WhatsAppCloud, template: tuple[str, str], parameters: list[str], code: str
) -> None:
    with pytest.raises(Permanent) as caught:
        await cloud.send_template(PJ, *template, parameters)
    assert caught.value.code == code


async def test_a_paused_template_is_permanent(whatsapp: WhatsAppSimulator, cloud: WhatsAppCloud) -> None:
    whatsapp.edit(op="pause_template", name="holdfast_task", language="en_GB")
    with pytest.raises(Permanent) as caught:
        await cloud.send_template(PJ, "holdfast_task", "en_GB", ["a", "b"])
    assert caught.value.code == "template-paused"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"to": "+447700900001"}, "bad-number"),
        ({"to": "07700900001"}, "bad-number"),
        ({"to": "44 7700 900001"}, "bad-number"),
        ({"to": "\u0664\u0664\u0667\u0667\u0660\u0660"}, "bad-number"),
        ({"to": ""}, "bad-number"),
        ({"text": " \n"}, "no-text"),
        ({"text": "x" * 4097}, "text-too-long"),
        ({"text": "a \ud800 b"}, "unsendable"),
        ({"marker": "m" * 513}, "bad-marker"),
        ({"marker": "caf\u00e9"}, "bad-marker"),
    ],
)
async def test_what_cannot_be_a_message_is_refused_before_anything_is_sent(
    whatsapp: WhatsAppSimulator, cloud: WhatsAppCloud, change: dict[str, str], code: str
) -> None:
    with pytest.raises(Permanent) as caught:
        await cloud.send_text(**{"to": BARB, "text": "hello", **change})
    assert (caught.value.code, whatsapp.ledger) == (code, [])


@pytest.mark.parametrize(
    ("template", "language", "parameter", "code"),
    [
        ("Holdfast Task", "en_GB", "a", "no-template"),
        ("holdfast_task", "English", "a", "no-template"),
        ("holdfast_task", "en_GB", "  ", "template-parameters"),
        ("holdfast_task", "en_GB", "x" * 1025, "template-parameters"),
    ],
)
async def test_what_cannot_be_a_template_is_refused_before_anything_is_sent(
    whatsapp: WhatsAppSimulator, cloud: WhatsAppCloud, template: str, language: str, parameter: str, code: str
) -> None:
    with pytest.raises(Permanent) as caught:
        await cloud.send_template(BARB, template, language, [parameter])
    assert (caught.value.code, whatsapp.ledger) == (code, [])


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ({"mode": "error_before"}, (Unclear, "something-wrong", 0)),
        ({"mode": "error_before", "status": 503}, (Retryable, "service-unavailable", 0)),
        ({"mode": "error_before", "status": 504}, (Unclear, "something-wrong", 0)),
        ({"mode": "error_before", "status": 400}, (Permanent, "invalid-parameter", 0)),
        ({"mode": "error_before", "status": 401}, (Retryable, "unauthorised", 0)),
        ({"mode": "error_before", "status": 403}, (Permanent, "not-permitted", 0)),
        ({"mode": "error_after"}, (Unclear, "something-wrong", 1)),
        ({"mode": "slow", "seconds": 30}, (Unclear, "timeout", 1)),
        ({"mode": "429"}, (Retryable, "rate-limit", 0)),
        ({"mode": "reset"}, (Unclear, "cut-off", 0)),
        ({"mode": "reset_after"}, (Unclear, "cut-off", 1)),
        ({"mode": "garbage"}, (Unclear, "bad-answer", 1)),
        ({"mode": "redirect"}, (Permanent, "redirected", 0)),
    ],
)
async def test_each_failure_of_sending_has_its_error_and_its_truth(
    whatsapp: WhatsAppSimulator,
    cloud: WhatsAppCloud,
    fault: dict[str, Any],
    outcome: tuple[type[VendorError], str, int],
) -> None:
    error, code, made = outcome
    whatsapp.fault(SEND, **fault)
    with pytest.raises(VendorError) as caught:
        await cloud.send_text(BARB, "hello")
    assert (type(caught.value), caught.value.code) == (error, code)
    assert (len(whatsapp.messages), len(whatsapp.ledger)) == (made, 1)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ((500, 3), (Permanent, "not-permitted")),
        ((500, 131000), (Unclear, "something-wrong")),
        ((400, 190), (Retryable, "unauthorised")),
        ((400, 131056), (Retryable, "pair-rate-limit")),
        ((503, 2), (Retryable, "service-down")),
        ((403, 200), (Permanent, "not-permitted")),
        ((403, 299), (Permanent, "not-permitted")),
        ((400, 131026), (Permanent, "undeliverable")),
        ((403, 131031), (Permanent, "account-locked")),
        ((400, 999999), (Permanent, "error-999999")),
        ((500, 999999), (Unclear, "error-999999")),
        ((400, -1), (Permanent, "http-400")),
        ((400, True), (Permanent, "http-400")),
        ((400, "100"), (Permanent, "http-400")),
    ],
)
async def test_meta_is_understood_by_its_numbers(
    whatsapp: WhatsAppSimulator,
    cloud: WhatsAppCloud,
    monkeypatch: pytest.MonkeyPatch,
    answer: tuple[int, object],
    outcome: tuple[type[VendorError], str],
) -> None:
    status, number = answer
    refusal = Answer(status, {"error": {"code": number, "message": "Jane", "type": "OAuthException"}})
    monkeypatch.setattr(whatsapp, "respond", lambda _: refusal)
    with pytest.raises(VendorError) as caught:
        await cloud.send_text(BARB, "hello")
    assert (type(caught.value), caught.value.code) == outcome
    assert "Jane" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"messages": []},
        {"messages": [{}]},
        {"messages": [{"id": ""}]},
        {"messages": [{"id": "a b"}]},
        {"messages": [{"id": 7}]},
        {"messages": [{"id": "wamid.A"}, {"id": "wamid.B"}]},
    ],
)
async def test_an_odd_answer_is_no_success_and_no_failure(
    whatsapp: WhatsAppSimulator, cloud: WhatsAppCloud, monkeypatch: pytest.MonkeyPatch, body: object
) -> None:
    monkeypatch.setattr(whatsapp, "respond", lambda _: Answer(200, body))
    with pytest.raises(Unclear) as caught:
        await cloud.send_text(BARB, "hello")
    assert caught.value.code == "bad-answer"


async def test_the_text_of_an_error_holds_no_number_and_no_words(cloud: WhatsAppCloud) -> None:
    with pytest.raises(Permanent) as caught:
        await cloud.send_text(PJ, "Jane owes 7 pounds")
    assert not [word for word in (PJ, "Jane") if word in str(caught.value)]


@pytest.mark.parametrize("phone_id", ["", "me", "1/../2", "12a"])
def test_the_id_of_our_number_is_digits(phone_id: str) -> None:
    with pytest.raises(ValueError, match="digits"):
        WhatsAppCloud("http://127.0.0.1:1", phone_id, "token")
