from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from adapters.livechat.desk import LiveChatDesk
from domain.errors import Permanent, Retryable, Unclear, VendorError
from simulators.livechat import LiveChatSimulator, livechat_simulator

QUICK = timedelta(seconds=1)


@pytest.fixture
async def livechat() -> AsyncIterator[LiveChatSimulator]:
    async with livechat_simulator() as simulator:
        simulator.seed(
            chats=[{"chat_id": "C1", "thread_id": "T1"}, {"chat_id": "C2", "thread_id": "T2", "tags": ["a"]}]
        )
        yield simulator


@pytest.fixture
async def desk(livechat: LiveChatSimulator) -> AsyncIterator[LiveChatDesk]:
    adapter = LiveChatDesk(livechat.url, livechat.token, timeout=QUICK)
    yield adapter
    await adapter.aclose()


async def test_a_thread_without_tags_and_one_with(desk: LiveChatDesk) -> None:
    assert await desk.tags("C1", "T1") == ()
    assert await desk.tags("C2", "T2") == ("a",)


async def test_a_tag_is_put_on_the_thread(livechat: LiveChatSimulator, desk: LiveChatDesk) -> None:
    await desk.tag("C2", "T2", "returned lead")
    assert await desk.tags("C2", "T2") == ("a", "returned lead")
    assert livechat.tags("C1", "T1") == []


@pytest.mark.parametrize("refuses", [False, True])
async def test_a_tag_already_there_is_a_success_whatever_livechat_says(
    livechat: LiveChatSimulator, desk: LiveChatDesk, refuses: bool
) -> None:
    livechat.seed(refuse_repeated_tags=refuses)
    await desk.tag("C2", "T2", "a")
    assert (livechat.tags("C2", "T2"), livechat.done()) == (["a"], [])


@pytest.mark.parametrize(("chat_id", "thread_id"), [("C9", "T1"), ("C1", "T9"), ("C1", "T2")])
async def test_a_chat_or_thread_that_is_not_there_is_permanent(
    desk: LiveChatDesk, chat_id: str, thread_id: str
) -> None:
    for call in (desk.tags(chat_id, thread_id), desk.tag(chat_id, thread_id, "t")):
        with pytest.raises(Permanent) as caught:
            await call
        assert caught.value.code == "not-found"


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ({"mode": "error_before"}, (Unclear, "internal", 0)),
        ({"mode": "error_before", "status": 504}, (Unclear, "request-timeout", 0)),
        ({"mode": "error_before", "status": 503}, (Retryable, "service-unavailable", 0)),
        ({"mode": "error_before", "status": 400}, (Permanent, "validation", 0)),
        ({"mode": "error_before", "status": 401}, (Retryable, "unauthorised", 0)),
        ({"mode": "error_after"}, (Unclear, "internal", 1)),
        ({"mode": "slow", "seconds": 30}, (Unclear, "timeout", 1)),
        ({"mode": "429"}, (Retryable, "too-many-requests", 0)),
        ({"mode": "reset"}, (Unclear, "cut-off", 0)),
        ({"mode": "reset_after"}, (Unclear, "cut-off", 1)),
        ({"mode": "redirect"}, (Permanent, "redirected", 0)),
    ],
)
async def test_each_failure_of_tagging_has_its_error_and_its_truth(
    livechat: LiveChatSimulator, desk: LiveChatDesk, fault: dict[str, Any], outcome: tuple[type[VendorError], str, int]
) -> None:
    error, code, made = outcome
    livechat.fault("POST /tag_thread", **fault)
    with pytest.raises(VendorError) as caught:
        await desk.tag("C1", "T1", "t")
    assert (type(caught.value), caught.value.code) == (error, code)
    assert len(livechat.done()) == made
    assert ("t" in await desk.tags("C1", "T1")) == bool(made)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"mode": "error_before"}, Retryable),
        ({"mode": "slow", "seconds": 30}, Retryable),
        ({"mode": "429"}, Retryable),
        ({"mode": "reset"}, Retryable),
        ({"mode": "garbage"}, Retryable),
        ({"mode": "redirect"}, Permanent),
    ],
)
async def test_a_read_that_fails_is_never_unclear(
    livechat: LiveChatSimulator, desk: LiveChatDesk, fault: dict[str, Any], error: type[VendorError]
) -> None:
    livechat.fault("POST /get_chat", **fault)
    with pytest.raises(VendorError) as caught:
        await desk.tags("C1", "T1")
    assert type(caught.value) is error


async def test_a_personal_access_token_and_a_region_go_as_livechat_asks(livechat: LiveChatSimulator) -> None:
    desk = LiveChatDesk(livechat.url, livechat.token, scheme="Basic", region="fra")
    await desk.tags("C1", "T1")
    await desk.aclose()
    assert livechat.ledger[0]["headers"]["x-region"] == "fra"


async def test_the_text_of_an_error_holds_no_ids(desk: LiveChatDesk) -> None:
    with pytest.raises(Permanent) as caught:
        await desk.tags("PJ0MRSHTDG", "K600PKZON8")
    assert "PJ0MRSHTDG" not in str(caught.value)
    assert "K600PKZON8" not in str(caught.value)
