import hashlib
import hmac
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.tickets.webhook import read_webhook
from domain.board import TicketEvent, TicketEventKind
from domain.webhooks import WebhookDoubt, WebhookRefusal
from simulators.tickets import tickets_simulator
from tests.simulators.listening import Listener, listening

SECRETS = ("new-secret", "old-secret")
NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)


def body(kind: str = "zen:event-type:ticket.status_changed", **more: Any) -> bytes:
    told = {"id": "e-1", "type": kind, "subject": "zen:ticket:100", "time": "2026-11-25T11:59:58.5Z"}
    return json.dumps({**told, "detail": {"id": "100", "actor_id": "21"}, **more}).encode()


def signed(raw: bytes, secret: str = "new-secret", at: datetime | str = NOW) -> dict[str, str]:
    stamp = at if isinstance(at, str) else at.strftime("%Y-%m-%dT%H:%M:%SZ")
    mac = hmac.new(secret.encode(), stamp.encode() + raw, hashlib.sha256).digest()
    name = "X-Zendesk-Webhook-Signature"
    return {name: b64encode(mac).decode(), f"{name}-Timestamp": stamp}


def doubt(headers: dict[str, str], raw: bytes, secrets: tuple[str, ...] = SECRETS) -> WebhookDoubt | None:
    read = read_webhook(headers, raw, secrets, NOW)
    return read.code if isinstance(read, WebhookRefusal) else None


def test_what_a_webhook_says_of_a_ticket() -> None:
    assert read_webhook(signed(body()), body(), SECRETS, NOW) == TicketEvent(
        event_id="e-1",
        kind=TicketEventKind.STATUS,
        ticket_id="100",
        user_id="21",
        at=datetime(2026, 11, 25, 11, 59, 58, 500_000, tzinfo=UTC),
    )


def test_the_time_comes_first_in_what_is_signed() -> None:
    stamp, raw = NOW.strftime("%Y-%m-%dT%H:%M:%SZ"), body()
    turned = hmac.new(b"new-secret", raw + stamp.encode(), hashlib.sha256).digest()
    headers = {**signed(raw), "X-Zendesk-Webhook-Signature": b64encode(turned).decode()}
    assert doubt(headers, raw) is WebhookDoubt.BAD_SIGNATURE


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("created", TicketEventKind.CREATED),
        ("custom_status_changed", TicketEventKind.STATUS),
        ("agent_assignment_changed", TicketEventKind.ASSIGNEE),
        ("followers_changed", TicketEventKind.FOLLOWERS),
        ("comment_added", TicketEventKind.COMMENT),
        ("soft_deleted", TicketEventKind.DELETED),
        ("priority_changed", TicketEventKind.UPDATED),
        ("something_new", TicketEventKind.UPDATED),
    ],
)
def test_each_kind_of_ticket_event(kind: str, expected: TicketEventKind) -> None:
    raw = body(f"zen:event-type:ticket.{kind}")
    said = read_webhook(signed(raw), raw, SECRETS, NOW)
    assert isinstance(said, TicketEvent)
    assert (said.kind, said.ticket_id) == (expected, "100")


def test_an_event_about_no_ticket_is_of_no_interest() -> None:
    raw = body("zen:event-type:user.created", subject="zen:user:5")
    said = read_webhook(signed(raw), raw, SECRETS, NOW)
    assert isinstance(said, TicketEvent)
    assert (said.kind, said.ticket_id) == (TicketEventKind.OTHER, "")


def test_either_live_secret_counts_and_a_retired_one_does_not() -> None:
    assert doubt(signed(body(), "old-secret"), body()) is None
    assert doubt(signed(body(), "old-secret"), body(), ("new-secret",)) is WebhookDoubt.BAD_SIGNATURE
    assert doubt(signed(body(), ""), body(), ()) is WebhookDoubt.NO_SECRET


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (timedelta(minutes=5), None),
        (timedelta(minutes=-5), None),
        (timedelta(minutes=5, seconds=1), WebhookDoubt.STALE),
        (timedelta(minutes=-5, seconds=-1), WebhookDoubt.STALE),
        (timedelta(days=400), WebhookDoubt.STALE),
    ],
)
def test_a_signature_is_worth_five_minutes(age: timedelta, expected: WebhookDoubt | None) -> None:
    assert doubt(signed(body(), at=NOW - age), body()) is expected


@pytest.mark.parametrize("stamp", ["", "soon", "2026-11-25T12:00:00", "99999-01-01T00:00:00Z", "é"])
def test_a_time_that_is_none_is_stale(stamp: str) -> None:
    assert doubt(signed(body(), at=stamp), body()) is WebhookDoubt.STALE


def test_a_new_time_on_an_old_signature_is_a_wrong_signature() -> None:
    headers = signed(body(), at=NOW - timedelta(hours=1))
    headers["X-Zendesk-Webhook-Signature-Timestamp"] = NOW.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert doubt(headers, body()) is WebhookDoubt.BAD_SIGNATURE


def test_unsigned_and_wrongly_signed() -> None:
    assert doubt({}, body()) is WebhookDoubt.UNSIGNED
    for wrong in ("x", "é", "0" * 44):
        assert doubt({**signed(body()), "X-Zendesk-Webhook-Signature": wrong}, body()) is WebhookDoubt.BAD_SIGNATURE
    assert doubt(signed(body()), body() + b" ") is WebhookDoubt.BAD_SIGNATURE


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 50_000,
        b"{}",
        b'{"say": "hello"}',
        body(id=""),
        body(id="x" * 101),
        body(type=7),
        body(detail={}, subject=""),
        body(detail={}, subject="zen:ticket:../users"),
        body(detail={"id": "²"}),
        body(time="yesterday"),
    ],
)
def test_well_signed_and_malformed_is_a_word_never_an_exception(raw: bytes) -> None:
    assert doubt(signed(raw), raw) is WebhookDoubt.MALFORMED


@given(st.binary(max_size=300), st.text(max_size=40), st.text(max_size=80))
def test_whatever_comes_there_is_an_answer(raw: bytes, stamp: str, signature: str) -> None:
    name = "x-zendesk-webhook-signature"
    assert doubt({name: signature, f"{name}-timestamp": stamp}, raw) is not None
    assert isinstance(read_webhook(signed(raw), raw, SECRETS, NOW), TicketEvent | WebhookRefusal)


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with listening() as heard:
        yield heard


@pytest.mark.parametrize(
    ("edit", "kind"),
    [
        ({"op": "status", "ticket": 100, "status": "solved"}, TicketEventKind.STATUS),
        ({"op": "assign", "ticket": 100, "assignee_id": 1}, TicketEventKind.ASSIGNEE),
        ({"op": "unfollow", "ticket": 100, "user": 21}, TicketEventKind.FOLLOWERS),
        ({"op": "comment", "ticket": 100, "body": "Hi"}, TicketEventKind.COMMENT),
        ({"op": "create", "subject": "New"}, TicketEventKind.CREATED),
        ({"op": "rename", "ticket": 100, "subject": "New"}, TicketEventKind.UPDATED),
        ({"op": "delete", "ticket": 100}, TicketEventKind.DELETED),
    ],
)
async def test_what_the_stand_in_sends_of_a_persons_act_is_understood(
    listener: Listener, edit: dict[str, Any], kind: TicketEventKind
) -> None:
    async with tickets_simulator() as zendesk:
        zendesk.seed(
            users=[{"id": 21, "name": "Zane", "email": "zane@x.example"}],
            tickets=[{"id": 100, "subject": "S", "follower_ids": [21]}],
        )
        zendesk.hooks.set(url=listener.url, secret="old-secret")
        zendesk.edit(**edit, by=21)
        await zendesk.hooks.idle()
        zendesk.hooks.set(skew=-301)
        zendesk.hooks.again(1)
        await zendesk.hooks.idle()
    fresh, stale = (read_webhook(one.headers, one.body, SECRETS, datetime.now(UTC)) for one in listener.heard)
    assert isinstance(fresh, TicketEvent)
    assert (fresh.kind, fresh.user_id) == (kind, "21")
    assert stale == WebhookRefusal(code=WebhookDoubt.STALE)
