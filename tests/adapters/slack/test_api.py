"""What Slack's own client would do by itself, and does not do here."""

import asyncio
import inspect
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from adapters.slack.api import SlackApi
from adapters.slack.workspace import SlackWorkspace
from domain.errors import Permanent, Retryable, Unclear
from simulators.slack import SlackSimulator, slack_simulator

QUICK = timedelta(milliseconds=600)


@asynccontextmanager
async def answering(raw: bytes, kind: str = "application/json", status: str = "200 OK") -> AsyncGenerator[str]:
    """A server on loopback that answers everything with the same bytes."""
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(raw)}\r\nconnection: close\r\n\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head.encode() + raw)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def seeded() -> AsyncGenerator[SlackSimulator]:
    async with slack_simulator() as slack:
        slack.seed(channels=[{"id": "C0ACME"}])
        yield slack


async def posting(url: str, token: str = "simulator", text: str = "hello") -> None:
    workspace = SlackWorkspace(url, token, timeout=QUICK)
    try:
        await workspace.post("C0ACME", text, "m-1")
    finally:
        await workspace.aclose()


@pytest.mark.parametrize("address", ["http://slack.com", "ftp://127.0.0.1", "127.0.0.1:80", ""])
def test_an_address_that_would_leak_the_token_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="https"):
        SlackApi(address, "secret")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"7",
        b"{}",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"ok": true}',
        b'{"ok": "yes", "channel": "C0ACME", "ts": "1.1"}',
        b'{"ok": true, "channel": "C0OTHER", "ts": "1.1"}',
        b'{"ok": true, "channel": "C0ACME", "ts": "soon"}',
        b'{"ok": true, "channel": "C0ACME", "ts": 1.1}',
    ],
)
@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "text/plain", "text/html", "application/gzip"])
async def test_an_odd_answer_is_no_success_and_no_failure(raw: bytes, kind: str) -> None:
    async with answering(raw, kind) as url:
        with pytest.raises(Unclear) as caught:
            await posting(url)
    assert caught.value.code == "bad-answer"


@pytest.mark.parametrize("status", ["500 Oops", "502 Bad Gateway", "503 Busy", "408 Late"])
async def test_a_server_in_trouble_may_have_posted(status: str) -> None:
    async with answering(b"<html>", "text/html", status) as url:
        with pytest.raises(Unclear) as caught:
            await posting(url)
    assert caught.value.code == f"http-{status[:3]}"


@pytest.mark.parametrize("status", ["400 Bad", "403 No", "404 Where"])
async def test_a_refusal_without_words_is_permanent(status: str) -> None:
    async with answering(b"<html>", "text/html", status) as url:
        with pytest.raises(Permanent) as caught:
            await posting(url)
    assert caught.value.code == f"http-{status[:3]}"


async def test_nothing_listening_is_certainly_not_done() -> None:
    async with seeded() as gone:
        url = gone.url
    with pytest.raises(Retryable) as caught:
        await posting(url)
    assert caught.value.code == "unreachable"


@pytest.mark.parametrize("mode", ["reset", "reset_after", "slow", "429", "error_before"])
async def test_nothing_is_tried_twice(mode: str) -> None:
    async with seeded() as slack:
        slack.fault("POST /api/chat.postMessage", mode, times=None, seconds=30)
        with pytest.raises((Retryable, Unclear)):
            await posting(slack.url)
        assert len(slack.ledger) == 1


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Same", "308 For ever"])
async def test_a_redirect_is_not_followed_and_text_and_token_stay(status: str) -> None:
    async with seeded() as elsewhere:
        moved = f"{status}\r\nlocation: {elsewhere.url}/api/chat.postMessage"
        async with answering(b"", status=moved) as url:
            with pytest.raises(Permanent) as caught:
                await posting(url)
        assert (caught.value.code, elsewhere.ledger) == ("redirected", [])


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_the_environment_cannot_put_a_proxy_between(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    async with seeded() as slack:
        await posting(slack.url)
        assert len(slack.messages("C0ACME")) == 1


async def test_no_text_and_no_token_get_into_logs_or_errors(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with seeded() as slack:
        await posting(slack.url, text="Jane owes 7 pounds")
        slack.edit(op="fail", method="chat.postMessage", error="channel_not_found")
        with pytest.raises(Permanent) as caught:
            await posting(slack.url, text="Jane owes 7 pounds")
    told = caplog.text + "".join(str(error) for error in (caught.value, caught.value.__cause__))
    assert not [word for word in ("Jane", "simulator", "C0ACME") if word in told]


async def test_a_wrong_token_is_renewed_by_somebody_not_given_up() -> None:
    async with seeded() as slack:
        with pytest.raises(Retryable) as caught:
            await posting(slack.url, token="wrong")
    assert caught.value.code == "unauthorised"


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("users_lookupByEmail", {"email"}),
        ("conversations_open", {"users"}),
        ("conversations_history", {"channel", "oldest", "inclusive", "include_all_metadata", "limit", "cursor"}),
        ("chat_postMessage", {"channel", "text", "metadata", "parse", "link_names", "unfurl_links", "unfurl_media"}),
        ("chat_getPermalink", {"channel", "message_ts"}),
    ],
)
def test_every_argument_is_one_that_slack_names(method: str, arguments: set[str]) -> None:
    known = set(inspect.signature(getattr(AsyncWebClient, method)).parameters)
    assert arguments <= known
