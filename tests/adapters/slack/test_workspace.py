from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.slack.workspace import SlackWorkspace
from domain.errors import Permanent, Retryable, Unclear, VendorError
from simulators.slack import SlackSimulator, slack_simulator
from simulators.slack_rules import shown

QUICK = timedelta(milliseconds=600)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
TASK = "https://tasks.example/app/tasks/12?tab=a&b=c"


@pytest.fixture
async def slack() -> AsyncIterator[SlackSimulator]:
    async with slack_simulator() as simulator:
        simulator.seed(
            users=[{"id": "U0BARB", "email": "barb@commversion.com"}, {"id": "U0PJ", "email": "pj@commversion.com"}],
            channels=[{"id": "C0ACME"}, {"id": "C0OTHER", "bot": False}],
        )
        yield simulator


@pytest.fixture
async def workspace(slack: SlackSimulator) -> AsyncIterator[SlackWorkspace]:
    adapter = SlackWorkspace(slack.url, slack.token, timeout=QUICK)
    yield adapter
    await adapter.aclose()


async def test_a_member_is_found_by_address_and_a_stranger_is_nobody(
    slack: SlackSimulator, workspace: SlackWorkspace
) -> None:
    assert await workspace.user_by_email("Barb@commversion.com") == "U0BARB"
    assert await workspace.user_by_email("nobody@commversion.com") == ""
    slack.edit(op="deactivate", user="U0BARB")
    assert await workspace.user_by_email("barb@commversion.com") == ""


async def test_a_message_stands_in_the_channel_under_its_marker(
    slack: SlackSimulator, workspace: SlackWorkspace
) -> None:
    posted = await workspace.post("C0ACME", f"Please see {TASK}", "case/tell/1")
    (message,) = slack.messages("C0ACME")
    assert (posted.channel, posted.ts) == ("C0ACME", message["ts"])
    assert posted.permalink.endswith(message["ts"].replace(".", ""))
    assert message["metadata"] == {"event_type": "holdfast_message", "event_payload": {"marker": "case/tell/1"}}
    assert shown(message["text"]).links == ((TASK, TASK),)
    assert message["unfurls"] is False


async def test_a_user_is_written_to_in_a_dm_that_is_opened_once(
    slack: SlackSimulator, workspace: SlackWorkspace
) -> None:
    first = await workspace.post("U0BARB", "one", "m-1")
    second = await workspace.post("U0BARB", "two", "m-2")
    assert first.channel == second.channel == "D0BARB"
    assert [message["text"] for message in slack.messages("U0BARB")] == ["one", "two"]
    assert len(slack.done("opened")) == 2
    assert [entry["changed"] for entry in slack.done("opened")] == [True, False]


@pytest.mark.parametrize(
    "text",
    [
        "<!channel> come here",
        "<@U0PJ> and <!here> and <#C0ACME>",
        "<https://evil.example|https://commversion.com>",
        "&lt;!channel&gt;",
        "a < b && c > d",
        "<!subteam^S1> *bold* `code` > quote",
    ],
)
async def test_nothing_in_a_text_mentions_anybody_or_disguises_a_link(
    slack: SlackSimulator, workspace: SlackWorkspace, text: str
) -> None:
    await workspace.post("C0ACME", text, "m-1")
    seen = shown(slack.messages("C0ACME")[0]["text"])
    assert (seen.text, seen.mentions) == (text, ())
    assert all(leads_to == says for leads_to, says in seen.links)


async def test_a_mention_is_made_by_user_id_alone(slack: SlackSimulator, workspace: SlackWorkspace) -> None:
    await workspace.post("C0ACME", "please look <@U0PJ>", "m-1", mention="U0BARB")
    seen = shown(slack.messages("C0ACME")[0]["text"])
    assert (seen.mentions, seen.text) == (("U0BARB",), "@U0BARB please look <@U0PJ>")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"text": "  "}, "no-text"),
        ({"text": "x" * 39_001}, "msg-too-long"),
        ({"text": "&" * 8_000}, "msg-too-long"),
        ({"text": "a \ud800 b"}, "unsendable"),
        ({"to": "#general"}, "bad-address"),
        ({"to": "barb@commversion.com"}, "bad-address"),
        ({"to": ""}, "bad-address"),
        ({"mention": "!channel"}, "bad-address"),
        ({"mention": "U0BARB> <!here"}, "bad-address"),
        ({"marker": ""}, "bad-marker"),
        ({"marker": "m" * 501}, "bad-marker"),
    ],
)
async def test_what_cannot_be_a_message_is_refused_before_anything_is_sent(
    slack: SlackSimulator, workspace: SlackWorkspace, change: dict[str, str], code: str
) -> None:
    with pytest.raises(Permanent) as caught:
        await workspace.post(**{"to": "C0ACME", "text": "hello", "marker": "m-1", **change})
    assert (caught.value.code, slack.ledger) == (code, [])


async def test_our_message_is_found_again_among_many_and_over_pages(
    slack: SlackSimulator, workspace: SlackWorkspace
) -> None:
    slack.edit(op="flood", count=250, channel="C0ACME", user="U0PJ", text="chatter")
    posted = await workspace.post("C0ACME", "ours", "m-1")
    slack.edit(op="flood", count=250, channel="C0ACME", user="U0PJ", text="m-1")
    assert await workspace.find("C0ACME", "m-1", LONG_AGO) == posted
    assert await workspace.find("C0ACME", "m-2", LONG_AGO) is None
    assert await workspace.find("U0BARB", "m-1", LONG_AGO) is None


async def test_only_a_message_since_the_sending_counts(slack: SlackSimulator, workspace: SlackWorkspace) -> None:
    posted = await workspace.post("U0BARB", "ours", "m-1")
    now = datetime.now(UTC)
    assert await workspace.find("U0BARB", "m-1", now) == posted
    assert await workspace.find("U0BARB", "m-1", now + timedelta(minutes=6)) is None


async def test_a_person_cannot_pass_for_us(slack: SlackSimulator, workspace: SlackWorkspace) -> None:
    slack.edit(op="write", channel="C0ACME", user="U0PJ", text="m-1")
    forged = {"event_type": "holdfast_message", "event_payload": {"marker": "m-1"}}
    slack.messages("C0ACME")[0]["metadata"] = forged
    assert await workspace.find("C0ACME", "m-1", LONG_AGO) is None


async def test_a_message_whose_link_cannot_be_had_is_posted_all_the_same(
    slack: SlackSimulator, workspace: SlackWorkspace
) -> None:
    slack.fault("GET /api/chat.getPermalink", "error_before", times=None)
    posted = await workspace.post("C0ACME", "hello", "m-1")
    assert (posted.permalink, posted.ts) == ("", slack.messages("C0ACME")[0]["ts"])


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ({"mode": "error_before"}, (Unclear, "internal-error", 0)),
        ({"mode": "error_before", "status": 503}, (Unclear, "internal-error", 0)),
        ({"mode": "error_before", "status": 400}, (Unclear, "internal-error", 0)),
        ({"mode": "error_after"}, (Unclear, "internal-error", 1)),
        ({"mode": "slow", "seconds": 30}, (Unclear, "timeout", 1)),
        ({"mode": "429"}, (Retryable, "ratelimited", 0)),
        ({"mode": "reset"}, (Unclear, "cut-off", 0)),
        ({"mode": "reset_after"}, (Unclear, "cut-off", 1)),
        ({"mode": "garbage"}, (Unclear, "bad-answer", 1)),
        ({"mode": "redirect"}, (Permanent, "redirected", 0)),
    ],
)
async def test_each_failure_of_posting_has_its_error_and_its_truth(
    slack: SlackSimulator,
    workspace: SlackWorkspace,
    fault: dict[str, Any],
    outcome: tuple[type[VendorError], str, int],
) -> None:
    error, code, made = outcome
    slack.fault("POST /api/chat.postMessage", **fault)
    with pytest.raises(VendorError) as caught:
        await workspace.post("C0ACME", "hello", "m-1")
    assert (type(caught.value), caught.value.code) == (error, code)
    assert len(slack.messages("C0ACME")) == made
    found = await workspace.find("C0ACME", "m-1", LONG_AGO)
    assert (found is not None) == bool(made)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ("ratelimited", (Retryable, "ratelimited")),
        ("service_unavailable", (Retryable, "service-unavailable")),
        ("request_timeout", (Retryable, "request-timeout")),
        ("team_added_to_org", (Retryable, "team-added-to-org")),
        ("invalid_auth", (Retryable, "unauthorised")),
        ("token_revoked", (Retryable, "unauthorised")),
        ("internal_error", (Unclear, "internal-error")),
        ("fatal_error", (Unclear, "fatal-error")),
        ("channel_not_found", (Permanent, "channel-not-found")),
        ("missing_scope", (Permanent, "missing-scope")),
        ("restricted_action", (Permanent, "restricted-action")),
        ("an error with words in it", (Permanent, "http-200")),
    ],
)
async def test_a_success_that_is_none_is_told_apart_by_its_error(
    slack: SlackSimulator, workspace: SlackWorkspace, error: str, outcome: tuple[type[VendorError], str]
) -> None:
    slack.edit(op="fail", method="chat.postMessage", error=error)
    with pytest.raises(VendorError) as caught:
        await workspace.post("C0ACME", "hello", "m-1")
    assert (type(caught.value), caught.value.code) == outcome


async def test_an_internal_error_after_posting_is_settled_by_reading_back(
    slack: SlackSimulator, workspace: SlackWorkspace
) -> None:
    slack.edit(op="fail", method="chat.postMessage", error="internal_error", done=True)
    with pytest.raises(Unclear):
        await workspace.post("C0ACME", "hello", "m-1")
    found = await workspace.find("C0ACME", "m-1", LONG_AGO)
    assert found is not None
    assert found.ts == slack.messages("C0ACME")[0]["ts"]


@pytest.mark.parametrize(
    ("to", "code"),
    [
        ("C0NONE", "channel-not-found"),
        ("C0OTHER", "not-in-channel"),
        ("U0NONE", "user-not-found"),
    ],
)
async def test_a_place_that_cannot_be_written_in_is_permanent(workspace: SlackWorkspace, to: str, code: str) -> None:
    with pytest.raises(Permanent) as caught:
        await workspace.post(to, "hello", "m-1")
    assert caught.value.code == code


async def test_somebody_who_left_is_permanent(slack: SlackSimulator, workspace: SlackWorkspace) -> None:
    slack.edit(op="deactivate", user="U0BARB")
    with pytest.raises(Permanent) as caught:
        await workspace.post("U0BARB", "hello", "m-1")
    assert caught.value.code == "user-disabled"


@pytest.mark.parametrize("mode", ["error_before", "slow", "reset", "reset_after", "garbage", "429"])
@pytest.mark.parametrize("match", ["GET /api/conversations.history", "POST /api/conversations.open"])
async def test_what_only_reads_or_opens_a_dm_is_never_unclear(
    slack: SlackSimulator, workspace: SlackWorkspace, match: str, mode: str
) -> None:
    slack.fault(match, mode, seconds=30)
    with pytest.raises(Retryable):
        await workspace.find("U0BARB", "m-1", LONG_AGO)


async def test_slack_says_how_long_to_wait(slack: SlackSimulator, workspace: SlackWorkspace) -> None:
    slack.fault("POST /api/chat.postMessage", "429")
    with pytest.raises(Retryable) as caught:
        await workspace.post("C0ACME", "hello", "m-1")
    assert caught.value.retry_after == timedelta(seconds=30)
