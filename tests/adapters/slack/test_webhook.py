import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.signature import Clock, SignatureVerifier

from adapters.slack.webhook import read_webhook
from domain.chat import SlackChallenge, SlackEvent
from domain.webhooks import WebhookDoubt, WebhookRefusal
from simulators.slack import signature

SECRET, OLD = "8f742231b10e8888abcd99yyyzzz85a5", "the-one-before"
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def written(event: object, **envelope: object) -> bytes:
    whole = {"type": "event_callback", "team_id": "T1", "event_id": "Ev01", "event": event, **envelope}
    return json.dumps(whole).encode()


MESSAGE: dict[str, Any] = {
    "type": "message",
    "channel": "D1",
    "channel_type": "im",
    "user": "U1",
    "text": "hi",
    "ts": "1.2",
}


def read(
    raw: bytes, *, secret: str = SECRET, at: datetime = NOW, secrets: tuple[str, ...] = (SECRET, OLD), **headers: str
) -> SlackEvent | SlackChallenge | WebhookRefusal:
    stamp = str(int(at.timestamp()))
    signed = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": signature(secret, stamp, raw)}
    return read_webhook({**signed, **headers}, raw, secrets, NOW)


def doubt(answer: object) -> WebhookDoubt:
    assert isinstance(answer, WebhookRefusal)
    return answer.code


def test_a_message_in_a_dm_is_read() -> None:
    event = read(written({**MESSAGE, "thread_ts": "1.1"}))
    assert event == SlackEvent(
        kind="message",
        event_id="Ev01",
        team="T1",
        channel="D1",
        user="U1",
        ts="1.2",
        thread_ts="1.1",
        direct=True,
        text=b"hi",
    )


@pytest.mark.parametrize("secret", [SECRET, OLD])
def test_both_live_secrets_count(secret: str) -> None:
    assert isinstance(read(written(MESSAGE), secret=secret), SlackEvent)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"secret": "wrong"}, WebhookDoubt.BAD_SIGNATURE),
        ({"secrets": ()}, WebhookDoubt.NO_SECRET),
        ({"secrets": ("",), "secret": ""}, WebhookDoubt.NO_SECRET),
        ({"X-Slack-Signature": ""}, WebhookDoubt.UNSIGNED),
        ({"X-Slack-Signature": "v0="}, WebhookDoubt.BAD_SIGNATURE),
        ({"X-Slack-Signature": "v0=\u00e9\ud800"}, WebhookDoubt.BAD_SIGNATURE),
        ({"X-Slack-Request-Timestamp": ""}, WebhookDoubt.BAD_SIGNATURE),
        ({"X-Slack-Request-Timestamp": "1e9"}, WebhookDoubt.BAD_SIGNATURE),
        ({"at": NOW - timedelta(seconds=301)}, WebhookDoubt.STALE),
        ({"at": NOW + timedelta(seconds=301)}, WebhookDoubt.STALE),
    ],
)
def test_what_is_not_slacks_is_not_believed(change: dict[str, Any], expected: WebhookDoubt) -> None:
    assert doubt(read(written(MESSAGE), **change)) is expected


@pytest.mark.parametrize("seconds", [-300, 300])
def test_five_minutes_are_the_window(seconds: int) -> None:
    assert isinstance(read(written(MESSAGE), at=NOW + timedelta(seconds=seconds)), SlackEvent)


@pytest.mark.parametrize("stamp", ["soon", "", "1_0", "-5", "\u0661", "9" * 13])
def test_a_time_stamp_that_is_none_is_not_believed_even_if_signed(stamp: str) -> None:
    raw = written(MESSAGE)
    headers = {"x-slack-request-timestamp": stamp, "x-slack-signature": signature(SECRET, stamp, raw)}
    assert doubt(read_webhook(headers, raw, (SECRET,), NOW)) is WebhookDoubt.STALE


def test_one_byte_more_breaks_the_signature() -> None:
    raw = written(MESSAGE)
    stamp = str(int(NOW.timestamp()))
    headers = {"x-slack-request-timestamp": stamp, "x-slack-signature": signature(SECRET, stamp, raw)}
    assert doubt(read_webhook(headers, raw + b" ", (SECRET,), NOW)) is WebhookDoubt.BAD_SIGNATURE


def test_an_old_request_cannot_be_given_a_new_time() -> None:
    raw, stamp = written(MESSAGE), str(int((NOW - timedelta(days=1)).timestamp()))
    headers = {
        "x-slack-request-timestamp": str(int(NOW.timestamp())),
        "x-slack-signature": signature(SECRET, stamp, raw),
    }
    assert doubt(read_webhook(headers, raw, (SECRET,), NOW)) is WebhookDoubt.BAD_SIGNATURE


class _Noon(Clock):
    def now(self) -> float:
        return NOW.timestamp()


@given(st.binary(max_size=300).filter(lambda raw: raw.isascii()))
def test_slacks_own_verifier_takes_what_is_signed_here(raw: bytes) -> None:
    stamp = str(int(NOW.timestamp()))
    assert SignatureVerifier(SECRET, _Noon()).is_valid(raw, stamp, signature(SECRET, stamp, raw))


def test_the_address_is_verified_with_the_challenge() -> None:
    raw = json.dumps({"token": "t", "challenge": "3eZbrw1aBm2r", "type": "url_verification"}).encode()
    assert read(raw) == SlackChallenge(challenge="3eZbrw1aBm2r")


@pytest.mark.parametrize("challenge", [None, "", "<script>", "a" * 201, ["x"]])
def test_a_challenge_that_is_no_plain_word_is_not_given_back(challenge: object) -> None:
    raw = json.dumps({"challenge": challenge, "type": "url_verification"}).encode()
    assert doubt(read(raw)) is WebhookDoubt.MALFORMED


@pytest.mark.parametrize(
    ("event", "seen"),
    [
        ({**MESSAGE, "bot_id": "B1"}, {"from_bot": True, "edited": False}),
        ({**MESSAGE, "subtype": "bot_message", "user": None}, {"from_bot": True, "user": ""}),
        ({**MESSAGE, "subtype": "message_changed", "text": None}, {"edited": True, "text": b""}),
        ({**MESSAGE, "subtype": "message_deleted"}, {"edited": True}),
        ({**MESSAGE, "subtype": "channel_join"}, {"edited": True}),
        ({**MESSAGE, "subtype": "file_share"}, {"edited": False}),
        ({**MESSAGE, "channel_type": "channel"}, {"direct": False}),
        ({**MESSAGE, "type": "app_mention"}, {"kind": "mention"}),
        ({"type": "channel_created", "channel": {"id": "C1"}, "user": {"id": "U1"}}, {"kind": "other", "channel": ""}),
        ({"type": "reaction_added"}, {"kind": "other"}),
        ({}, {"kind": "other"}),
        ({**MESSAGE, "text": "caf\u0065\u0301 \0 \ud800"}, {"text": "caf\u00e9  \ufffd".encode()}),
    ],
)
def test_what_an_event_is_stays_with_it(event: dict[str, Any], seen: dict[str, object]) -> None:
    read_event = read(written(event))
    assert isinstance(read_event, SlackEvent)
    assert {name: getattr(read_event, name) for name in seen} == seen


def test_events_that_slack_dropped_are_told_once_a_minute() -> None:
    notice = {"type": "app_rate_limited", "team_id": "T1", "minute_rate_limited": 1518467820, "api_app_id": "A1"}
    event = read(json.dumps(notice).encode())
    assert isinstance(event, SlackEvent)
    assert (event.kind, event.event_id) == ("other", "app-rate-limited/T1/1518467820")


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
        b'{"type": "event_callback"}',
        written(None),
        written("message"),
        written({"type": "message"}),
        written({**MESSAGE, "text": 7}),
        written({**MESSAGE, "channel": {"id": "C1"}}),
        written(MESSAGE, event_id=""),
        written(MESSAGE, event_id="Ev/../1"),
        written(MESSAGE, event_id=7),
        written(MESSAGE, team_id=None),
        written(MESSAGE, type="other"),
        json.dumps({"type": "app_rate_limited"}).encode(),
    ],
)
def test_what_is_signed_and_not_slacks_shape_is_malformed(raw: bytes) -> None:
    assert doubt(read(raw)) is WebhookDoubt.MALFORMED


@given(st.binary(max_size=200), st.text(max_size=40), st.text(max_size=20))
def test_no_bytes_at_all_make_it_raise(raw: bytes, given_signature: str, stamp: str) -> None:
    headers = {"x-slack-request-timestamp": stamp, "x-slack-signature": given_signature}
    assert isinstance(read_webhook(headers, raw, (SECRET,), NOW), WebhookRefusal)
    read(raw)


def test_a_persons_text_is_not_printed() -> None:
    assert "hi there" not in repr(read(written({**MESSAGE, "text": "hi there"})))
