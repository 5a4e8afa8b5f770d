import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from adapters.http import VendorClient, retry_after
from domain.errors import Permanent, Retryable, Unclear
from simulators.livechat import LiveChatSimulator, livechat_simulator

QUICK = timedelta(seconds=1)


@pytest.fixture
async def vendor() -> AsyncIterator[LiveChatSimulator]:
    async with livechat_simulator() as simulator:
        yield simulator


@pytest.mark.parametrize(
    "address", ["http://api.example.com", "ftp://127.0.0.1", "127.0.0.1:80", "http://", "https://"]
)
def test_an_address_that_would_leak_the_credential_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="https"):
        VendorClient("Vendor", address, "secret")


@pytest.mark.parametrize(
    "address", ["https://api.example.com", "http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"]
)
async def test_https_and_this_machine_are_accepted(address: str) -> None:
    await VendorClient("Vendor", address, "secret").aclose()


async def test_the_environment_cannot_put_a_proxy_between(
    vendor: LiveChatSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    client = VendorClient("Vendor", vendor.url, vendor.token)
    with pytest.raises(Permanent):
        await client.call("reads", "POST", "/nowhere")
    await client.aclose()
    assert len(vendor.ledger) == 1


async def test_a_redirect_is_not_followed_and_the_credential_stays(vendor: LiveChatSimulator) -> None:
    async with livechat_simulator() as elsewhere:
        vendor.fault("POST /x", "redirect")
        client = VendorClient("Vendor", vendor.url, vendor.token)
        with pytest.raises(Permanent) as caught:
            await client.call("writes", "POST", "/x")
        await client.aclose()
        assert (caught.value.code, elsewhere.ledger) == ("redirected", [])


async def test_every_call_asks_the_source_for_a_token_that_is_valid_now(vendor: LiveChatSimulator) -> None:
    tokens = iter(["expired", vendor.token])

    async def source() -> str:
        return next(tokens)

    client = VendorClient("Vendor", vendor.url, source)
    with pytest.raises(Retryable) as caught:
        await client.call("writes", "POST", "/x")
    assert caught.value.code == "unauthorised"
    with pytest.raises(Permanent):
        await client.call("writes", "POST", "/x")
    await client.aclose()


async def test_nothing_listening_is_certainly_not_done() -> None:
    async with livechat_simulator() as gone:
        address = gone.url
    client = VendorClient("Vendor", address, "token")
    with pytest.raises(Retryable) as caught:
        await client.call("writes", "POST", "/x")
    await client.aclose()
    assert caught.value.code == "unreachable"


async def test_an_answer_that_drips_in_is_bounded_by_the_timeout() -> None:
    left = asyncio.Event()

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        with suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.close()
        left.set()

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        client = VendorClient("Vendor", f"http://127.0.0.1:{port}", "token", timeout=QUICK)
        with pytest.raises(Unclear) as caught:
            await asyncio.wait_for(client.call("writes", "POST", "/x"), 10)
        await client.aclose()
        await left.wait()
    assert caught.value.code == "timeout"


@pytest.mark.parametrize("body", [{"text": "\ud800"}, {"amount": 0.1}])
async def test_what_cannot_be_written_is_refused_before_it_is_sent(vendor: LiveChatSimulator, body: object) -> None:
    client = VendorClient("Vendor", vendor.url, vendor.token)
    with pytest.raises(Permanent) as caught:
        await client.call("writes", "POST", "/x", body=body)
    await client.aclose()
    assert (caught.value.code, vendor.ledger) == ("unsendable", [])


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("7", timedelta(seconds=7)),
        ("999999999", timedelta(days=1)),
        (format_datetime(datetime(2001, 1, 1, tzinfo=UTC), usegmt=True), timedelta(0)),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("\u0665", None),
        ("9" * 5000, None),
    ],
)
def test_the_wait_is_read_from_the_vendor(text: str, wait: timedelta | None) -> None:
    assert retry_after({"retry-after": text}) == wait
