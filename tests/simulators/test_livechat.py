from collections.abc import AsyncIterator

import httpx2
import pytest

from simulators.livechat import LiveChatSimulator, livechat_simulator

ACTION = "/v3.5/agent/action/"
CHAT = {"chat_id": "C1", "thread_id": "T1"}


@pytest.fixture
async def livechat() -> AsyncIterator[LiveChatSimulator]:
    async with livechat_simulator() as simulator:
        simulator.seed(chats=[CHAT])
        yield simulator


@pytest.fixture
async def http(livechat: LiveChatSimulator) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"authorization": f"Bearer {livechat.token}"}
    async with httpx2.AsyncClient(base_url=livechat.url, headers=headers, trust_env=False, verify=False) as client:
        yield client


async def test_tags_are_left_out_of_a_thread_that_has_none(http: httpx2.AsyncClient) -> None:
    before = (await http.post(f"{ACTION}get_chat", json=CHAT)).json()
    tagged = await http.post(f"{ACTION}tag_thread", json={**CHAT, "tag": "t"})
    after = (await http.post(f"{ACTION}get_chat", json=CHAT)).json()
    assert (before["id"], before["thread"]["id"], "tags" in before["thread"]) == ("C1", "T1", False)
    assert (tagged.status_code, tagged.content) == (200, b"")
    assert after["thread"]["tags"] == ["t"]


@pytest.mark.parametrize(
    ("call", "body", "status"),
    [
        ("POST untag_thread", CHAT, (404, "not_found")),
        ("GET get_chat", None, (404, "not_found")),
        ("POST get_chat", {"chat_id": "C1"}, (400, "validation")),
        ("POST get_chat", {**CHAT, "chat_id": 1}, (400, "validation")),
        ("POST get_chat", {**CHAT, "colour": "red"}, (400, "validation")),
        ("POST get_chat", [], (400, "validation")),
        ("POST tag_thread", CHAT, (400, "validation")),
        ("POST tag_thread", {**CHAT, "tag": ""}, (400, "validation")),
        ("POST tag_thread", {"chat_id": "C1", "thread_id": "T9", "tag": "t"}, (404, "not_found")),
    ],
)
async def test_what_livechat_would_refuse_is_refused_in_its_shape(
    livechat: LiveChatSimulator,
    http: httpx2.AsyncClient,
    call: str,
    body: object,
    status: tuple[int, str],
) -> None:
    method, action = call.split()
    answer = await http.request(method, ACTION + action, json=body)
    assert (answer.status_code, answer.json()["error"]["type"]) == status
    assert livechat.done() == []


async def test_a_wrong_token_is_refused(http: httpx2.AsyncClient) -> None:
    answer = await http.post(f"{ACTION}get_chat", json=CHAT, headers={"authorization": "Bearer wrong"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (401, "authentication")
