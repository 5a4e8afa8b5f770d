import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.whatsapp.webhook import read_challenge, read_webhook
from domain.chat import WhatsAppBatch, WhatsAppMessage, WhatsAppStatus
from domain.webhooks import WebhookDoubt, WebhookRefusal
from simulators.whatsapp import PHONE_ID, signature
from simulators.whatsapp_rules import meta_json, notified

SECRET, OLD = "app-secret", "the-one-before"
MESSAGE: dict[str, Any] = {
    "from": "447700900001",
    "id": "wamid.IN1",
    "timestamp": "1764072000",
    "type": "text",
    "text": {"body": "done"},
}
STATUS: dict[str, Any] = {
    "id": "wamid.OUT1",
    "status": "delivered",
    "timestamp": "1764072000",
    "recipient_id": "447700900001",
}
AT = datetime(2025, 11, 25, 12, tzinfo=UTC)


def of(messages: object = (), statuses: object = (), phone_id: str = PHONE_ID) -> bytes:
    return meta_json(notified(phone_id, {"messages": messages, "statuses": statuses}))


def read(
    raw: bytes, *, secret: str = SECRET, secrets: tuple[str, ...] = (SECRET, OLD), **headers: str
) -> WhatsAppBatch | WebhookRefusal:
    return read_webhook({"X-Hub-Signature-256": signature(secret, raw), **headers}, raw, secrets, PHONE_ID)


def events(raw: bytes) -> tuple[Any, ...]:
    batch = read(raw)
    assert isinstance(batch, WhatsAppBatch)
    return batch.events


def doubt(answer: object) -> WebhookDoubt:
    assert isinstance(answer, WebhookRefusal)
    return answer.code


def test_a_message_is_read() -> None:
    raw = of([{**MESSAGE, "context": {"from": "1", "id": "wamid.OUT0"}}])
    assert events(raw) == (
        WhatsAppMessage(
            event_id="wamid.IN1", number="447700900001", at=AT, type="text", answers="wamid.OUT0", text=b"done"
        ),
    )


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({"type": "text", "text": {"body": "caf\u0065\u0301 \ud83d\ude00"}}, "caf\u00e9 \U0001f600"),
        ({"type": "text", "text": {"body": "a\0b"}}, "ab"),
        ({"type": "button", "button": {"text": "Yes", "payload": "P"}}, "Yes"),
        ({"type": "interactive", "interactive": {"type": "list_reply", "list_reply": {"title": "Later"}}}, "Later"),
        ({"type": "image", "image": {"id": "1", "caption": "see"}}, "see"),
        ({"type": "image", "image": {"id": "1"}}, ""),
        ({"type": "unsupported", "errors": [{"code": 131051}]}, ""),
        ({"type": "text", "text": "done"}, ""),
    ],
)
def test_the_words_of_a_message_are_kept_whatever_its_kind(item: dict[str, Any], text: str) -> None:
    bare = {name: value for name, value in MESSAGE.items() if name not in {"type", "text"}}
    (event,) = events(of([{**bare, **item}]))
    assert (event.type, event.text.decode()) == (item["type"], text)


def test_somebody_who_hides_his_number_is_heard_all_the_same() -> None:
    hidden = {name: value for name, value in MESSAGE.items() if name != "from"}
    assert events(of([hidden]))[0].number == ""


@pytest.mark.parametrize("state", ["sent", "delivered", "read"])
def test_what_becomes_of_a_message_is_one_event_a_state(state: str) -> None:
    (event,) = events(of(statuses=[{**STATUS, "status": state, "biz_opaque_callback_data": "case/tell/1"}]))
    assert event == WhatsAppStatus(
        event_id=f"wamid.OUT1/{state}",
        number="447700900001",
        wamid="wamid.OUT1",
        state=event.state,
        at=AT,
        marker="case/tell/1",
    )
    assert event.state == state


@pytest.mark.parametrize(
    ("errors", "code", "retry"),
    [
        ([{"code": 131047, "title": "Re-engagement"}], "window-closed", False),
        ([{"code": 131026}], "undeliverable", False),
        ([{"code": 131056}], "pair-rate-limit", True),
        ([{"code": 131000}], "something-wrong", True),
        ([{"code": 4242424}], "error-4242424", False),
        ([], "", False),
    ],
)
def test_a_late_failure_says_why_and_whether_later_may_help(errors: object, code: str, retry: bool) -> None:
    (event,) = events(of(statuses=[{**STATUS, "status": "failed", "errors": errors}]))
    assert (event.state, event.code, event.retry) == ("failed", code, retry)


def test_a_batch_is_read_whole_and_a_bad_item_costs_only_itself() -> None:
    odd: list[Any] = [None, 7, {}, {**MESSAGE, "timestamp": "soon"}, {**MESSAGE, "id": "a b"}, {**MESSAGE, "from": "x"}]
    batch = read(of([MESSAGE, *odd, {**MESSAGE, "id": "wamid.IN2"}], [{**STATUS, "status": "played"}, STATUS]))
    assert isinstance(batch, WhatsAppBatch)
    assert [event.event_id for event in batch.events] == ["wamid.IN1", "wamid.IN2", "wamid.OUT1/delivered"]
    assert batch.skipped == len(odd) + 1


def test_the_same_again_has_the_same_ids() -> None:
    assert events(of([MESSAGE], [STATUS])) == events(of([MESSAGE], [STATUS]))


def test_what_is_about_another_number_or_another_matter_is_left_out() -> None:
    other = json.loads(of([MESSAGE], phone_id="999"))
    other["entry"][0]["changes"].append({"field": "account_update", "value": {"event": "DISABLED_UPDATE"}})
    assert read(meta_json(other)) == WhatsAppBatch()


@pytest.mark.parametrize("secret", [SECRET, OLD])
def test_both_live_secrets_count(secret: str) -> None:
    assert isinstance(read(of([MESSAGE]), secret=secret), WhatsAppBatch)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"secret": "wrong"}, WebhookDoubt.BAD_SIGNATURE),
        ({"secrets": ()}, WebhookDoubt.NO_SECRET),
        ({"secrets": ("",), "secret": ""}, WebhookDoubt.NO_SECRET),
        ({"X-Hub-Signature-256": ""}, WebhookDoubt.UNSIGNED),
        ({"X-Hub-Signature-256": "sha256="}, WebhookDoubt.BAD_SIGNATURE),
        ({"X-Hub-Signature-256": "sha256=\ud800"}, WebhookDoubt.BAD_SIGNATURE),
    ],
)
def test_what_is_not_metas_is_not_believed(change: dict[str, Any], expected: WebhookDoubt) -> None:
    assert doubt(read(of([MESSAGE]), **change)) is expected


def test_the_signature_is_over_the_bytes_as_they_came_not_over_what_they_mean() -> None:
    raw = of([{**MESSAGE, "text": {"body": "caf\u00e9 / bar"}}])
    rewritten = json.dumps(json.loads(raw), ensure_ascii=False).encode()
    headers = {"x-hub-signature-256": signature(SECRET, raw)}
    assert isinstance(read_webhook(headers, raw, (SECRET,), PHONE_ID), WhatsAppBatch)
    assert doubt(read_webhook(headers, rewritten, (SECRET,), PHONE_ID)) is WebhookDoubt.BAD_SIGNATURE


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"{",
        b"\xff",
        b"[" * 50_000,
        b'{"object": "page", "entry": []}',
        b'{"object": "whatsapp_business_account"}',
        b'{"object": "whatsapp_business_account", "entry": [{}]}',
        b'{"object": "whatsapp_business_account", "entry": [{"changes": [{"field": "messages", "value": {}}]}]}',
        of("messages"),
        of([MESSAGE] * 5_001),
    ],
)
def test_what_is_signed_and_not_metas_shape_is_malformed(raw: bytes) -> None:
    assert doubt(read(raw)) is WebhookDoubt.MALFORMED


@given(st.binary(max_size=200), st.text(max_size=80))
def test_no_bytes_at_all_make_it_raise(raw: bytes, given_signature: str) -> None:
    assert isinstance(read_webhook({"x-hub-signature-256": given_signature}, raw, (SECRET,), PHONE_ID), WebhookRefusal)
    read(raw)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(MESSAGE)), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=3), st.lists(JSON, max_size=3))
def test_no_item_at_all_makes_it_raise(messages: list[Any], statuses: list[Any]) -> None:
    batch = read(of(messages, statuses))
    assert isinstance(batch, WhatsAppBatch)
    assert len(batch.events) + batch.skipped == len(messages) + len(statuses)


def test_a_persons_words_and_number_are_not_printed() -> None:
    told = repr(read(of([{**MESSAGE, "text": {"body": "hi there"}}], [STATUS])))
    assert not [word for word in ("hi there", "447700900001") if word in told]


ASKED = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": "meat"}


def test_the_address_is_verified_with_the_challenge() -> None:
    assert read_challenge(ASKED, "meat") == "1158201444"


@pytest.mark.parametrize(
    ("change", "token"),
    [
        ({}, ""),
        ({}, "other"),
        ({"hub.verify_token": ""}, ""),
        ({"hub.verify_token": "\ud800"}, "meat"),
        ({"hub.mode": "unsubscribe"}, "meat"),
        ({"hub.challenge": "<script>alert(1)</script>"}, "meat"),
        ({"hub.challenge": ""}, "meat"),
    ],
)
def test_a_stranger_is_given_nothing_back(change: dict[str, str], token: str) -> None:
    assert read_challenge({**ASKED, **change}, token) == ""
    assert read_challenge({}, "meat") == ""
