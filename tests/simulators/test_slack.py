import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from simulators.base import BadSwitchError
from simulators.slack import BOT_USER, SlackSimulator, signature, slack_simulator
from simulators.slack_rules import linked, shown
from tests.simulators.listening import Heard, Listener, listening

BARB = {"id": "U0BARB", "email": "barb@commversion.com"}
HELLO = {"channel": "C0ACME", "text": "hello"}


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with listening() as heard:
        yield heard


@pytest.fixture
async def slack(listener: Listener) -> AsyncIterator[SlackSimulator]:
    async with slack_simulator() as simulator:
        simulator.seed(users=[BARB], channels=[{"id": "C0ACME"}, {"id": "C0OTHER", "bot": False}])
        simulator.tell(listener.url, "shhh")
        simulator.hooks.set(pause=0.01)
        yield simulator


@pytest.fixture
async def http(slack: SlackSimulator) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"authorization": f"Bearer {slack.token}"}
    async with httpx2.AsyncClient(base_url=slack.url, headers=headers, trust_env=False, verify=False) as client:
        yield client


async def call(http: httpx2.AsyncClient, method: str, body: object) -> dict[str, Any]:
    return (await http.post(f"/api/{method}", json=body)).json()


def told(listener: Listener) -> list[dict[str, Any]]:
    return [json.loads(one.body) for one in listener.heard]


@pytest.mark.parametrize(
    ("method", "body", "error"),
    [
        ("chat.delete", {}, "unknown_method"),
        ("chat.postMessage", {**HELLO, "channel": "C0NONE"}, "channel_not_found"),
        ("chat.postMessage", {**HELLO, "channel": "C0OTHER"}, "not_in_channel"),
        ("chat.postMessage", {"channel": "C0ACME"}, "no_text"),
        ("chat.postMessage", {**HELLO, "text": " "}, "no_text"),
        ("chat.postMessage", {**HELLO, "text": "x" * 40_001}, "msg_too_long"),
        ("chat.postMessage", {**HELLO, "colour": "red"}, "invalid_arguments"),
        ("chat.postMessage", {**HELLO, "metadata": "m"}, "invalid_metadata_format"),
        ("chat.postMessage", {**HELLO, "metadata": {"event_type": "x"}}, "invalid_metadata_format"),
        (
            "chat.postMessage",
            {**HELLO, "metadata": {"event_type": "", "event_payload": {}}},
            "invalid_metadata_schema",
        ),
        (
            "chat.postMessage",
            {**HELLO, "metadata": {"event_type": "x", "event_payload": {"a": "x" * 9000}}},
            "metadata_too_large",
        ),
        ("chat.postMessage", [], "json_not_object"),
        ("conversations.open", {}, "users_list_not_supplied"),
        ("conversations.open", {"users": "U0NONE"}, "user_not_found"),
        ("conversations.open", {"users": "U0BARB,U0PJ"}, "invalid_user_combination"),
        ("conversations.history", {"channel": "C0NONE"}, "channel_not_found"),
        ("conversations.history", {"channel": "C0ACME", "oldest": "then"}, "invalid_ts_oldest"),
        ("conversations.history", {"channel": "C0ACME", "limit": 1000}, "invalid_limit"),
        ("conversations.history", {"channel": "C0ACME", "cursor": "x"}, "invalid_cursor"),
        ("chat.getPermalink", {"channel": "C0ACME", "message_ts": "1.1"}, "message_not_found"),
        ("users.lookupByEmail", {"email": "nobody@x"}, "users_not_found"),
    ],
)
async def test_what_slack_would_refuse_is_refused_with_200_and_its_word(
    slack: SlackSimulator, http: httpx2.AsyncClient, method: str, body: object, error: str
) -> None:
    assert await call(http, method, body) == {"ok": False, "error": error}
    assert slack.done() == []


@pytest.mark.parametrize(("token", "error"), [("", "not_authed"), ("Bearer wrong", "invalid_auth")])
async def test_a_wrong_token_is_refused(http: httpx2.AsyncClient, token: str, error: str) -> None:
    answer = await http.post("/api/chat.postMessage", json=HELLO, headers={"authorization": token})
    assert (answer.status_code, answer.json()["error"]) == (200, error)


async def test_metadata_is_shown_to_those_who_ask_for_it(http: httpx2.AsyncClient) -> None:
    metadata = {"event_type": "x", "event_payload": {"marker": "m"}}
    await call(http, "chat.postMessage", {**HELLO, "metadata": metadata})
    bare = await call(http, "conversations.history", {"channel": "C0ACME"})
    full = await call(http, "conversations.history", {"channel": "C0ACME", "include_all_metadata": True})
    assert "metadata" not in bare["messages"][0]
    assert full["messages"][0]["metadata"] == metadata


async def test_history_is_newest_first_in_pages_and_without_replies(
    slack: SlackSimulator, http: httpx2.AsyncClient
) -> None:
    stamps = slack.edit(op="flood", count=5, channel="C0ACME", user="U0BARB", text="x")["ts"]
    slack.edit(op="write", channel="C0ACME", user="U0BARB", text="reply", thread_ts=stamps[0])
    first = await call(http, "conversations.history", {"channel": "C0ACME", "limit": 3})
    cursor = first["response_metadata"]["next_cursor"]
    second = await call(http, "conversations.history", {"channel": "C0ACME", "limit": 3, "cursor": cursor})
    seen = [message["ts"] for message in (*first["messages"], *second["messages"])]
    assert (seen, first["has_more"], second["has_more"]) == (stamps[::-1], True, False)


@pytest.mark.parametrize(("inclusive", "count"), [("1", 2), ("0", 1)])
async def test_oldest_is_left_out_unless_asked_for(
    slack: SlackSimulator, http: httpx2.AsyncClient, inclusive: str, count: int
) -> None:
    stamps = slack.edit(op="flood", count=3, channel="C0ACME", user="U0BARB", text="x")["ts"]
    query = {"channel": "C0ACME", "oldest": stamps[1], "inclusive": inclusive}
    answer = (await http.get("/api/conversations.history", params=query)).json()
    assert len(answer["messages"]) == count


async def test_forms_and_queries_are_taken_too(slack: SlackSimulator, http: httpx2.AsyncClient) -> None:
    by_form = await http.post("/api/conversations.open", data={"users": "U0BARB"})
    by_query = await http.get("/api/users.lookupByEmail", params={"email": "BARB@commversion.com"})
    assert by_form.json()["channel"]["id"] == "D0BARB"
    assert by_query.json()["user"]["id"] == "U0BARB"
    assert (await http.post("/api/chat.postMessage", content=b"x")).json()["error"] == "invalid_post_type"


def test_people_see_what_slack_makes_of_a_text() -> None:
    text = linked("<@U1> <!channel> see https://a.example/?x=1&amp;y and <https://evil.example|the bank> &lt;@U2&gt;")
    seen = shown(text)
    assert seen.mentions == ("U1", "channel")
    assert seen.links == (
        ("https://a.example/?x=1&y", "https://a.example/?x=1&y"),
        ("https://evil.example", "the bank"),
    )
    assert seen.text.endswith("<@U2>")


async def test_what_people_write_is_told_signed_in_slacks_envelope(slack: SlackSimulator, listener: Listener) -> None:
    written = slack.edit(op="write", channel="U0BARB", user="U0BARB", text="done")
    await slack.hooks.idle()
    (heard,), (body,) = listener.heard, told(listener)
    assert (body["type"], body["team_id"]) == ("event_callback", "T0HOLDFAST")
    assert body["event"] == {
        "type": "message",
        "channel": "D0BARB",
        "channel_type": "im",
        "user": "U0BARB",
        "text": "done",
        "ts": written["ts"],
        "event_ts": written["ts"],
    }
    stamp = heard.headers["x-slack-request-timestamp"]
    assert heard.headers["x-slack-signature"] == signature("shhh", stamp, heard.body)


async def test_a_mention_of_the_bot_is_two_events_and_its_own_post_is_one(
    slack: SlackSimulator, http: httpx2.AsyncClient, listener: Listener
) -> None:
    slack.edit(op="write", channel="C0ACME", user="U0BARB", text=f"<@{BOT_USER}> hi")
    await call(http, "chat.postMessage", HELLO)
    await slack.hooks.idle()
    events = told(listener)
    assert [one["event"]["type"] for one in events] == ["message", "app_mention", "message"]
    assert len({one["event_id"] for one in events}) == 3
    assert "bot_id" in events[2]["event"]
    assert "metadata" not in events[2]["event"]


async def test_editing_and_deleting_are_told_as_such(slack: SlackSimulator, listener: Listener) -> None:
    ts = slack.edit(op="write", channel="C0ACME", user="U0BARB", text="one")["ts"]
    slack.edit(op="reword", channel="C0ACME", ts=ts, text="two")
    slack.edit(op="remove", channel="C0ACME", ts=ts)
    await slack.hooks.idle()
    assert [one["event"].get("subtype") for one in told(listener)] == [None, "message_changed", "message_deleted"]
    assert slack.messages("C0ACME") == []


async def test_what_is_not_taken_comes_again_under_the_same_id_with_its_number(
    slack: SlackSimulator, listener: Listener
) -> None:
    listener.answers = [500, 404]
    slack.edit(op="write", channel="C0ACME", user="U0BARB", text="one")
    await slack.hooks.idle()
    retries = [
        (one.headers.get("x-slack-retry-num"), one.headers.get("x-slack-retry-reason")) for one in listener.heard
    ]
    assert retries == [(None, None), ("1", "http_error"), ("2", "http_error")]
    assert len({one["event_id"] for one in told(listener)}) == 1


async def test_slack_gives_up_after_three_repetitions_or_when_it_is_asked_to(
    slack: SlackSimulator, listener: Listener
) -> None:
    listener.answers = [500] * 9
    slack.edit(op="write", channel="C0ACME", user="U0BARB", text="one")
    await slack.hooks.idle()
    assert len(listener.heard) == 4
    listener.more = "x-slack-no-retry: 1\r\n"
    slack.edit(op="write", channel="C0ACME", user="U0BARB", text="two")
    await slack.hooks.idle()
    assert len(listener.heard) == 5


async def test_an_answer_that_comes_too_late_is_none(slack: SlackSimulator, listener: Listener) -> None:
    slack.hooks.set(patience=0.1)
    listener.late = [0.3]
    slack.edit(op="write", channel="C0ACME", user="U0BARB", text="one")
    await slack.hooks.idle()
    assert [one.headers.get("x-slack-retry-reason") for one in listener.heard] == [None, "http_timeout"]


@pytest.mark.parametrize("right", [True, False])
async def test_an_address_is_verified_by_its_challenge(slack: SlackSimulator, listener: Listener, right: bool) -> None:
    def says(heard: Heard) -> bytes:
        return json.loads(heard.body)["challenge"].encode() if right else b"ok"

    listener.says = says
    slack.edit(op="verify")
    await slack.hooks.idle()
    assert slack.hooks.sent[-1]["verified"] is right


async def test_a_flood_and_its_reordering(slack: SlackSimulator, listener: Listener) -> None:
    slack.hooks.set(hold=True, order="reversed")
    stamps = slack.edit(op="flood", count=20, channel="C0ACME", user="U0BARB", text="x")["ts"]
    slack.hooks.set(hold=False)
    await slack.hooks.idle()
    assert [one["event"]["ts"] for one in told(listener)] == stamps[::-1]


@pytest.mark.parametrize(
    "edit",
    [
        {"op": "explode"},
        {"op": "write", "channel": "C0ACME", "user": "U0NONE", "text": "x"},
        {"op": "write", "channel": "C0NONE", "user": "U0BARB", "text": "x"},
        {"op": "reword", "channel": "C0ACME", "ts": "1.1", "text": "x"},
        {"op": "write", "channel": "C0ACME"},
    ],
)
async def test_edits_that_make_no_sense_are_refused(slack: SlackSimulator, edit: dict[str, Any]) -> None:
    with pytest.raises(BadSwitchError):
        slack.edit(**edit)
