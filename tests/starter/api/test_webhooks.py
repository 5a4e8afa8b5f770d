"""Webhooks through the real process: what the vendors' stand-ins send, and what nobody but them would."""

import asyncio
import base64
import hashlib
import hmac
import json
import random
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any

import httpx2
import pytest

from adapters.postgres.pool import transaction
from adapters.postgres.windows import PostgresWindows
from domain import ids
from domain.messages import ActKind
from domain.rules.authority import ACT_RULES
from simulators.webhooks import Hook
from starter import webhooks
from tests.starter.api.office import ApiOffice
from tests.workflows.desk import LIST, Desk, furnish

SECRET = "simulator"


@pytest.fixture
async def desk(api: ApiOffice) -> Desk:
    """Both sides know each other: the stand-ins tell of their changes at the real address."""
    desk = await furnish(api.agency)
    outside = api.agency.outside
    for vendor, one in (("teamwork", outside.teamwork), ("tickets", outside.tickets), ("slack", outside.slack)):
        one.tell(f"{api.address}/webhooks/{vendor}", SECRET)
    outside.whatsapp.tell(f"{api.address}/webhooks/whatsapp", SECRET)
    return desk


async def inbox(desk: Desk, provider: str) -> list[tuple[str, str, str]]:
    query = "SELECT state, code, case_id FROM inbox WHERE provider = $1 ORDER BY inbox_id"
    rows = await desk.agency.database.fetch(query, provider)
    return [(row["state"], row["code"], row["case_id"]) for row in rows]


async def post(api: ApiOffice, vendor: str, body: bytes, headers: dict[str, str]) -> httpx2.Response:
    async with httpx2.AsyncClient(timeout=30) as http:
        sent = {"Content-Type": "application/json", **headers}
        return await http.post(f"{api.address}/webhooks/{vendor}", content=body, headers=sent)


def teamwork(
    task: str, /, event: str = "TASK.UPDATED", delivery: str = "", **more: Any
) -> tuple[bytes, dict[str, str]]:
    """A webhook as Teamwork signs it."""
    body = json.dumps({"task": {"id": int(task)}, "eventCreator": {"id": 304}} | more).encode()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    names = {"x-projects-event": event, "x-projects-delivery": delivery or token_hex(8)}
    return body, names | {"x-projects-signature": signature}


# What follows ---------------------------------------------------------------------------------------------------------


@pytest.mark.clause("ID-3")
async def test_completed_in_teamwork_ends_the_case_and_reopened_it_resumes(desk: Desk) -> None:
    case_id = await desk.open()
    await desk.agency.parked(case_id, "process")
    task = desk.tasks()[0]["id"]
    desk.does("complete", task=task)
    await desk.agency.outside.teamwork.hooks.idle()
    await desk.agency.take_in()
    assert (await desk.result(case_id)).status == "done-in-teamwork"
    desk.does("reopen", task=task)
    await desk.agency.outside.teamwork.hooks.idle()
    assert await desk.agency.boards.look() == 1
    assert await desk.agency.boards.look() == 0
    await desk.agency.take_in()
    again = ids.workflow_id(case_id, 2)
    await desk.agency.sent(case_id, "assign-task@2/1")
    await desk.agency.parked_at(case_id, "process")
    assert await desk.agency.database.value("SELECT workflow_id FROM cases WHERE case_id = $1", case_id) == again
    assert len(desk.tasks()) == 1
    desk.does("complete", task=task)
    await desk.agency.outside.teamwork.hooks.idle()
    await desk.agency.take_in()
    assert (await desk.result(again)).status == "done-in-teamwork"


@pytest.mark.clause("ID-3")
async def test_reopened_while_a_person_is_asked_beside_the_case_it_resumes_as_soon_as_that_closes(desk: Desk) -> None:
    case_id = await desk.open()
    await desk.agency.parked(case_id, "process")
    step = await desk.asks_beside(case_id)
    task, hooks = desk.tasks()[0]["id"], desk.agency.outside.teamwork.hooks
    for change in ("complete", "reopen"):
        desk.does(change, task=task)
        await hooks.idle()
        await desk.agency.take_in()
        await desk.is_done(case_id)
    assert await desk.agency.boards.look() == 0  # while it is open, there is nothing to resume
    await desk.ends_beside(case_id, step)
    assert await desk.agency.boards.look() == 1
    assert await desk.agency.boards.look() == 0
    await desk.agency.take_in()
    await desk.agency.parked_at(case_id, "process")
    workflow_id = await desk.agency.database.value("SELECT workflow_id FROM cases WHERE case_id = $1", case_id)
    assert workflow_id == ids.workflow_id(case_id, 2)


async def test_a_forged_reopening_resumes_nothing(desk: Desk, api: ApiOffice) -> None:
    case_id = await desk.open()
    await desk.agency.act(case_id, "process", ActKind.PROCESSED, {"note_sha256": ""}, "barb")
    await desk.result(case_id)
    body, headers = teamwork(str(desk.tasks()[0]["id"]), "TASK.REOPENED")
    assert (await post(api, "teamwork", body, headers)).status_code == 200
    assert await desk.agency.boards.look() == 1
    await desk.agency.take_in()
    assert await desk.agency.database.value("SELECT status FROM cases WHERE case_id = $1", case_id) == "closed"


@pytest.mark.clause("ID-4")
async def test_a_task_made_on_a_clients_list_is_looked_at_a_while_later(desk: Desk) -> None:
    desk.agency.outside.teamwork.edit(op="create", tasklistId=int(LIST), name="Broken form", assignees=[304])
    await desk.agency.outside.teamwork.hooks.idle()
    assert await desk.agency.boards.look() == 0
    await desk.agency.database.execute("UPDATE looks SET next_at = now()")
    assert await desk.agency.boards.look() == 1
    (case_id,) = await desk.agency.take_in()
    await desk.agency.parked(case_id, "process")  # Barb is a contact of one department: nobody has to be asked
    assert set(map(int, desk.tasks()[0]["assignees"])) == {304, 315, 316}


def _vault(desk: Desk) -> Any:
    return desk.door._openings._vault


async def test_a_ticket_that_changed_has_its_case_look(desk: Desk) -> None:
    ticket = desk.ticket()
    case_id = await desk.open(ticket_id=str(ticket))
    await desk.agency.parked(case_id, "process")
    desk.agency.outside.tickets.edit(op="comment", ticket=ticket, body="Any news?")
    await desk.agency.outside.tickets.hooks.idle()
    told = [row for row in await inbox(desk, "tickets") if row[1] == "task-changed"]
    assert told
    assert told[-1][2] == case_id


async def test_whoever_wrote_on_whatsapp_may_be_written_to_and_a_late_failure_is_a_persons_step(
    desk: Desk, api: ApiOffice
) -> None:
    case_id = await desk.open()
    await desk.agency.parked(case_id, "process")
    wrote = {"id": "wamid.IN1", "from": "447700900199", "timestamp": str(int(time.time())), "type": "text"}
    failed = {
        "id": "wamid.OUT1", "status": "failed", "timestamp": str(int(time.time())), "recipient_id": "447700900104",
        "errors": [{"code": 131026}], "biz_opaque_callback_data": ids.marker(f"{case_id}/tell/1"),
    }  # fmt: skip
    body = _meta(api, messages=[{**wrote, "text": {"body": "Hello"}}], statuses=[failed, failed])
    for _ in "12":
        assert (await post(api, "whatsapp", body, _meta_signed(body))).status_code == 200
    windows = PostgresWindows(desk.agency.door_pool, _vault(desk))
    assert await windows.last_inbound("447700900199") is not None
    assert [row[:2] for row in await inbox(desk, "whatsapp")] == [("ignored", "recorded"), ("accepted", "undelivered")]
    await desk.agency.take_in()
    step = await desk.agency.parked_at(case_id, "not-delivered")
    await desk.agency.act(case_id, step, ActKind.DONE, {"note_sha256": ""}, "cleo")

    async def over() -> bool:
        query = "SELECT state FROM case_steps WHERE case_id = $1 AND step_id = $2"
        return await desk.agency.database.value(query, case_id, step) == "done"

    await desk.agency.eventually(over, "the step did not end")
    await desk.agency.parked(case_id, "process")


def _meta(api: ApiOffice, **value: object) -> bytes:
    told = {"messaging_product": "whatsapp", "metadata": {"phone_number_id": api.agency.settings.whatsapp_phone_id}}
    change = {"field": "messages", "value": told | value}
    return json.dumps({"object": "whatsapp_business_account", "entry": [{"changes": [change]}]}).encode()


def _meta_signed(body: bytes) -> dict[str, str]:
    return {"x-hub-signature-256": "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}


async def test_a_failure_that_comes_when_the_case_is_over_is_a_request_to_look_at_the_number(
    desk: Desk, api: ApiOffice
) -> None:
    case_id = await desk.open()
    await desk.agency.act(case_id, "process", ActKind.PROCESSED, {"note_sha256": ""}, "barb")
    await desk.result(case_id)
    key = await desk.agency.database.value("SELECT key FROM effects WHERE case_id = $1 AND kind = 'tell'", case_id)
    said = {
        "recipient_id": "447700900104",
        "timestamp": str(int(time.time())),
        "biz_opaque_callback_data": ids.marker(str(key)),
    }
    for ident, status in (("1", "read"), ("1", "failed"), ("2", "sent"), ("2", "failed"), ("2", "failed")):
        body = _meta(api, statuses=[{"id": f"wamid.{ident}", "status": status, **said}])
        assert (await post(api, "whatsapp", body, _meta_signed(body))).status_code == 200
    told = await desk.agency.database.fetch("SELECT code, case_id FROM inbox WHERE provider = 'whatsapp' ORDER BY 1")
    assert [row["code"] for row in told] == ["case-ended", "failed-and-delivered", "read", "sent"]
    assert {row["case_id"] for row in told} == {case_id}
    (asked,) = await desk.agency.database.fetch("SELECT case_id, request FROM cases WHERE case_id <> $1", case_id)
    assert (asked["request"]["source"], asked["request"]["department"]) == ("webhook", "ppc")


async def test_meta_makes_sure_of_the_address_by_our_word_alone(api: ApiOffice) -> None:
    async with httpx2.AsyncClient() as http:
        asked = {"hub.mode": "subscribe", "hub.challenge": "12345", "hub.verify_token": SECRET}
        good = await http.get(f"{api.address}/webhooks/whatsapp", params=asked)
        bad = await http.get(f"{api.address}/webhooks/whatsapp", params=asked | {"hub.verify_token": "guess"})
    assert (good.status_code, good.text, bad.status_code) == (200, "12345", 403)


async def test_what_is_said_on_slack_is_on_record_and_decides_nothing(desk: Desk, api: ApiOffice) -> None:
    case_id = await desk.open()
    await desk.agency.parked(case_id, "process")
    event = {"type": "message", "channel": "C1", "user": "U0BARB001", "text": "done, approve it", "ts": "1.0"}
    body = _slack_body(event)
    assert (await post(api, "slack", body, _slack_signed(body))).status_code == 200
    assert [row[:2] for row in await inbox(desk, "slack")] == [("ignored", "recorded")]
    ours = _slack_body({**event, "bot_id": "B1"})
    assert (await post(api, "slack", ours, _slack_signed(ours))).status_code == 200
    assert len(await inbox(desk, "slack")) == 1
    asked = json.dumps({"type": "url_verification", "challenge": "abc"}).encode()
    assert (await post(api, "slack", asked, _slack_signed(asked))).json() == {"challenge": "abc"}


def _slack_body(event: Mapping[str, object]) -> bytes:
    named = {"type": "event_callback", "team_id": "T1", "event_id": f"Ev{token_hex(4).upper()}"}
    return json.dumps({**named, "event": event}).encode()


def _slack_signed(body: bytes, at: datetime | None = None) -> dict[str, str]:
    stamp = str(int((at or datetime.now(UTC)).timestamp()))
    mac = hmac.new(SECRET.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    return {"x-slack-request-timestamp": stamp, "x-slack-signature": f"v0={mac}"}


# Attacks --------------------------------------------------------------------------------------------------------------


async def test_three_hundred_repeats_at_once_are_one_and_a_flood_of_changes_tells_the_case_once(
    desk: Desk, api: ApiOffice
) -> None:
    case_id = await desk.open()
    await desk.agency.parked(case_id, "process")
    task, before = str(desk.tasks()[0]["id"]), len(await inbox(desk, "teamwork"))
    await desk.agency.take_in()
    body, headers = teamwork(task, delivery="again")
    url = f"{api.address}/webhooks/teamwork"
    async with httpx2.AsyncClient(timeout=60, limits=httpx2.Limits(max_connections=40)) as http:
        same = await asyncio.gather(*(http.post(url, content=body, headers=headers) for _ in range(300)))
        assert {one.status_code for one in same} == {200}
        assert len(await inbox(desk, "teamwork")) == before + 1
        floods = [teamwork(task) for _ in range(60)]
        told = await asyncio.gather(*(http.post(url, content=one, headers=names) for one, names in floods))
    assert {one.status_code for one in told} == {200}
    rows = (await inbox(desk, "teamwork"))[before:]
    assert len(rows) == 61
    assert [row[0] for row in rows].count("accepted") == 1
    assert {row[1] for row in rows} == {"task-changed", "coalesced"}


VENDORS = ("teamwork", "tickets", "slack", "whatsapp")
Sent = tuple[str, bytes, dict[str, str]]


async def test_what_every_vendor_repeats_and_reorders_is_kept_once_each(desk: Desk, api: ApiOffice) -> None:
    """Six events of each, each five times, all at once and in no order."""
    events = [one for number in range(6) for one in _from_everyone(desk, api, {"number": number})]
    sent = events * 5
    random.Random(7).shuffle(sent)  # noqa: S311 - the same order every time
    answers = await asyncio.gather(*(post(api, *one) for one in sent))
    assert {one.status_code for one in answers} == {200}
    for vendor in VENDORS:
        assert len(await inbox(desk, vendor)) == 6, vendor
    assert await desk.agency.database.value("SELECT count(*) FROM cases") == 0


@pytest.mark.clause("ID-3")
async def test_webhooks_that_come_late_repeated_and_in_the_wrong_order_tell_no_lie(desk: Desk) -> None:
    """Completed and opened again, told the other way round: what counts is how the task is found."""
    case_id = await desk.open()
    await desk.agency.parked(case_id, "process")
    task, hooks = desk.tasks()[0]["id"], desk.agency.outside.teamwork.hooks
    hooks.set(hold=True, order="reversed", repeat=3)
    desk.does("complete", task=task)
    desk.does("reopen", task=task)
    hooks.set(hold=False)
    await hooks.idle()
    await desk.agency.take_in()
    await desk.agency.parked(case_id, "process")
    assert (await desk.agency.view(case_id)).status == "open"
    desk.does("complete", task=task)
    await hooks.idle()
    await desk.agency.take_in()
    assert (await desk.result(case_id)).status == "done-in-teamwork"


async def test_every_vendor_is_answered_in_its_time_however_slow_the_database_is(
    desk: Desk, api: ApiOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = {"teamwork": 5, "tickets": 10, "slack": 3, "whatsapp": 5}
    assert all(webhooks.WITHIN[vendor] < seconds for vendor, seconds in patient.items())
    assert set(webhooks.WITHIN) == set(VENDORS)
    sent = _from_everyone(desk, api, {})
    with monkeypatch.context() as hurried:
        hurried.setattr(webhooks, "WITHIN", dict.fromkeys(VENDORS, 0.3))
        async with transaction(await desk.agency.database.pool("owner")) as conn:
            await conn.execute("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE")
            answers = await asyncio.wait_for(asyncio.gather(*(post(api, *one) for one in sent)), 10)
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (503, "too-slow")
        assert answer.headers["retry-after"]
    assert [(await post(api, *one)).status_code for one in sent] == [200] * 4
    assert [len(await inbox(desk, vendor)) for vendor in VENDORS] == [1] * 4


async def test_a_body_that_drips_is_not_waited_for(desk: Desk, api: ApiOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "WITHIN", dict.fromkeys(VENDORS, 0.2))
    host, _, port = api.address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /webhooks/slack HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    assert b" 503 " in await asyncio.wait_for(reader.readline(), 10)
    writer.close()


async def test_a_change_after_the_case_was_told_is_told_again(desk: Desk, api: ApiOffice) -> None:
    case_id = await desk.open()
    await desk.agency.parked(case_id, "process")
    await desk.agency.take_in()
    task = str(desk.tasks()[0]["id"])
    codes: list[str] = []
    for _ in "12":
        body, headers = teamwork(task)
        await post(api, "teamwork", body, headers)
        codes.append((await inbox(desk, "teamwork"))[-1][1])
        await desk.agency.take_in()
    assert codes == ["task-changed", "task-changed"]


SIGNATURE = {
    "teamwork": ("x-projects-signature", "0" * 64),
    "tickets": ("x-zendesk-webhook-signature", base64.b64encode(bytes(32)).decode()),
    "slack": ("x-slack-signature", "v0=" + "0" * 64),
    "whatsapp": ("x-hub-signature-256", "sha256=" + "0" * 64),
}


async def test_what_is_not_the_vendors_is_refused_and_not_kept(desk: Desk, api: ApiOffice) -> None:
    """Without a signature, with a bad one, with a byte more than was signed, with another vendor's, and too large."""
    for vendor, body, headers in _from_everyone(desk, api, {}):
        name, wrong = SIGNATURE[vendor]
        sent = {key.lower(): value for key, value in headers.items()}
        without = {key: value for key, value in sent.items() if key != name}
        large = b"x" * ((3_500_000 if vendor == "whatsapp" else 1_000_000) + 1)
        for given, named, status, code in (
            (body, without, 401, "unsigned"),
            (body, sent | {name: wrong}, 401, "bad-signature"),
            (body + b" ", sent, 401, "bad-signature"),
            (body.replace(b'"', b' "', 1), sent, 401, "bad-signature"),
            (large, sent, 413, "too-large"),
        ):
            answer = await post(api, vendor, given, named)
            assert (answer.status_code, answer.json()["code"]) == (status, code), vendor
        for other in set(VENDORS) - {vendor}:
            assert (await post(api, other, body, sent)).status_code == 401, (vendor, other)
    assert await desk.agency.database.value("SELECT count(*) FROM inbox") == 0


async def test_signed_nonsense_is_refused(desk: Desk, api: ApiOffice) -> None:
    for body in (b"", b"null", b"[]", b'{"task": {"id": "7/../8"}}', b'{"task": [', b"\xff", b"1e999"):
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"x-projects-event": "TASK.UPDATED", "x-projects-delivery": "d", "x-projects-signature": signature}
        answer = await post(api, "teamwork", body, headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed"), body
    assert await inbox(desk, "teamwork") == []


async def test_an_old_time_stamp_is_refused(desk: Desk, api: ApiOffice) -> None:
    body = _slack_body({"type": "message", "channel": "C1", "user": "U1", "text": "x", "ts": "1.0"})
    for shift in (-6, 6):
        at = datetime.now(UTC) + timedelta(minutes=shift)
        answer = await post(api, "slack", body, _slack_signed(body, at))
        assert (answer.status_code, answer.json()["code"]) == (401, "stale")
    ticket = desk.agency.outside.tickets
    hook = Hook("zen:event-type:ticket.created", "d", b"{}")
    old = dict(ticket.signed(hook, SECRET, datetime.now(UTC) - timedelta(minutes=6)))
    assert (await post(api, "tickets", b"{}", old)).json()["code"] == "stale"
    assert await inbox(desk, "slack") == []


async def test_a_replay_under_another_delivery_is_a_hint_and_nothing_more(desk: Desk, api: ApiOffice) -> None:
    """Teamwork signs neither time nor delivery: what is captured can be sent again for ever."""
    case_id = await desk.open()
    await desk.agency.parked(case_id, "process")
    task = str(desk.tasks()[0]["id"])
    for event in ("TASK.COMPLETED", "TASK.DELETED", "TASK.REOPENED"):
        body, headers = teamwork(task, event)
        assert (await post(api, "teamwork", body, headers)).status_code == 200
        await desk.agency.take_in()
    await desk.agency.parked(case_id, "process")
    assert (await desk.agency.view(case_id)).status == "open"


async def test_no_address_that_a_webhook_names_is_opened(desk: Desk, api: ApiOffice) -> None:
    async with _listening() as (address, calls):
        body, headers = teamwork("7", callbackUrl=address, task={"id": 7, "link": address, "url": address})
        assert (await post(api, "teamwork", body, headers)).status_code == 200
        event = {"type": "message", "channel": "C1", "user": "U1", "text": f"<{address}>", "ts": "1.0"}
        slack = _slack_body({**event, "response_url": address, "files": [{"url_private": address}]})
        assert (await post(api, "slack", slack, _slack_signed(slack))).status_code == 200
        image = {"id": "wamid.I", "from": "1", "timestamp": "1", "type": "image", "image": {"link": address, "id": "1"}}
        meta = _meta(api, messages=[image])
        assert (await post(api, "whatsapp", meta, _meta_signed(meta))).status_code == 200
        ticket = {"detail": {"id": "8", "url": address, "description": address}, "callback_url": address}
        assert (await post(api, *_ticket(desk, "created", **ticket))).status_code == 200
        await desk.agency.take_in()
        await desk.agency.database.execute("UPDATE looks SET next_at = now()")
        assert await desk.agency.boards.look() == 2  # the task and the ticket, by their numbers at the vendors' address
        assert calls == []


def _ticket(desk: Desk, what: str, **more: object) -> Sent:
    body = json.dumps({"id": token_hex(4), "type": f"zen:event-type:ticket.{what}", "detail": {"id": "8"}} | more)
    hook = Hook(f"zen:event-type:ticket.{what}", token_hex(4), body.encode())
    return "tickets", hook.body, dict(desk.agency.outside.tickets.signed(hook, SECRET, datetime.now(UTC)))


@asynccontextmanager
async def _listening() -> AsyncGenerator[tuple[str, list[str]]]:
    calls: list[str] = []

    async def heard(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append("called")
        writer.close()

    server = await asyncio.start_server(heard, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", calls
    finally:
        server.close()


async def test_no_webhook_makes_an_act(desk: Desk, api: ApiOffice) -> None:
    """What would approve, confirm or authorise, signed as each vendor signs: it is no act, whatever its words."""
    case_id = await desk.agency.open_return("L-1001", reference=f"R-{token_hex(4)}")
    await desk.agency.parked(case_id, "investigate")
    for kind in (one.value for one, rule in ACT_RULES.items() if rule.money):
        act = {"kind": kind, "case_id": case_id, "step_id": "investigate", "payload": {}, "auth": "webhook"}
        for vendor, body, headers in _from_everyone(desk, api, act):
            assert (await post(api, vendor, body, headers)).status_code == 200, (vendor, kind)
    await desk.agency.take_in()
    assert await desk.agency.database.value("SELECT count(*) FROM acts") == 0
    assert await desk.agency.database.value("SELECT count(*) FROM act_refusals") == 0
    assert (await desk.agency.view(case_id)).steps[0].claimed_by == ""
    for vendor in ("teamwork", "tickets", "slack", "whatsapp", "xero", ""):
        assert (await post(api, vendor, b"{}", {})).status_code in {401, 404}


def _from_everyone(desk: Desk, api: ApiOffice, act: dict[str, Any]) -> list[Sent]:
    body, headers = teamwork("7", act=act, signal="act")
    text = json.dumps(act)
    slack = _slack_body({"type": "message", "channel": "C1", "user": "U1", "text": text, "act": act, "ts": "1.0"})
    message = {"id": f"wamid.{token_hex(4)}", "from": "1", "timestamp": "1", "type": "text", "text": {"body": text}}
    meta = _meta(api, messages=[message | {"act": act}])
    return [
        ("teamwork", body, headers),
        ("slack", slack, _slack_signed(slack)),
        ("whatsapp", meta, _meta_signed(meta)),
        _ticket(desk, "comment_added", act=act),
    ]


async def test_the_database_is_away_and_the_vendor_is_told_to_come_again(desk: Desk, api: ApiOffice) -> None:
    await desk.agency.database.execute("ALTER TABLE inbox RENAME TO elsewhere")
    body, headers = teamwork("7")
    answer = await post(api, "teamwork", body, headers)
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
    await desk.agency.database.execute("ALTER TABLE elsewhere RENAME TO inbox")
    assert (await post(api, "teamwork", body, headers)).status_code == 200
