import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from runtime import exact_json
from simulators.livechat import LiveChatSimulator, livechat_simulator

CHAT = {"chat_id": "C1", "thread_id": "T1"}
TAG = "/v3.5/agent/action/tag_thread"
AUTH = {"authorization": "Bearer simulator"}


@pytest.fixture
async def vendor() -> AsyncIterator[LiveChatSimulator]:
    async with livechat_simulator() as simulator:
        simulator.seed(chats=[CHAT])
        yield simulator


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(headers=AUTH, timeout=5, trust_env=False, verify=False) as client:
        yield client


async def test_ledger_state_seed_and_faults_are_there_over_http(
    vendor: LiveChatSimulator, http: httpx2.AsyncClient
) -> None:
    await http.post(f"{vendor.url}/_sim/seed", json={"chats": [{"chat_id": "C2", "thread_id": "T2"}]})
    await http.post(f"{vendor.url}/_sim/faults", json={"match": f"POST {TAG}", "mode": "error_before", "status": 502})
    body = {"chat_id": "C2", "thread_id": "T2", "tag": "bad"}
    statuses = [(await http.post(vendor.url + TAG, json=body)).status_code for _ in range(2)]
    entries = (await http.get(f"{vendor.url}/_sim/ledger")).json()["entries"]
    state = (await http.get(f"{vendor.url}/_sim/state")).json()
    assert statuses == [502, 200]
    assert [(entry["outcome"], entry["fault"]) for entry in entries] == [("not done", "error_before"), ("tagged", None)]
    assert entries[1]["body"] == body
    assert state["chats"]["C2"]["T2"] == ["bad"]


async def test_faults_last_as_often_as_asked_and_can_be_switched_off(
    vendor: LiveChatSimulator, http: httpx2.AsyncClient
) -> None:
    switch = {"match": f"POST {TAG}", "mode": "error_before"}
    await http.post(f"{vendor.url}/_sim/faults", json={**switch, "times": 2})
    statuses = [(await http.post(vendor.url + TAG, json={**CHAT, "tag": "t"})).status_code for _ in range(3)]
    await http.post(f"{vendor.url}/_sim/faults", json={**switch, "times": None})
    statuses += [(await http.post(vendor.url + TAG, json={**CHAT, "tag": "t"})).status_code for _ in range(3)]
    await http.delete(f"{vendor.url}/_sim/faults")
    statuses.append((await http.post(vendor.url + TAG, json={**CHAT, "tag": "t"})).status_code)
    assert statuses == [500, 500, 200, 500, 500, 500, 200]


@pytest.mark.parametrize(("mode", "done"), [("reset", False), ("reset_after", True)])
async def test_a_reset_cuts_the_connection(
    vendor: LiveChatSimulator, http: httpx2.AsyncClient, mode: str, done: bool
) -> None:
    vendor.fault("POST /tag_thread", mode)
    with pytest.raises(httpx2.ReadError):
        await http.post(vendor.url + TAG, json={**CHAT, "tag": "t"})
    assert (vendor.tags("C1", "T1") == ["t"]) is done
    assert (vendor.ledger[0]["status"], vendor.ledger[0]["changed"]) == (None, done)


async def test_slow_does_it_at_once_and_answers_late(vendor: LiveChatSimulator, http: httpx2.AsyncClient) -> None:
    vendor.fault("POST /tag_thread", "slow", seconds=20)
    with pytest.raises(httpx2.ReadTimeout):
        await http.post(vendor.url + TAG, json={**CHAT, "tag": "t"}, timeout=0.2)
    assert vendor.tags("C1", "T1") == ["t"]


@pytest.mark.parametrize(
    "switch", [b"", b"[]", b"{", b'"x"', b'{"match": "POST /x", "mode": "explode"}', b'{"match": "POST /x"}']
)
async def test_switches_that_make_no_sense_are_refused(
    vendor: LiveChatSimulator, http: httpx2.AsyncClient, switch: bytes
) -> None:
    answer = await http.post(f"{vendor.url}/_sim/faults", content=switch)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert vendor.faults == []


async def test_a_body_that_is_no_text_does_not_break_the_ledger(
    vendor: LiveChatSimulator, http: httpx2.AsyncClient
) -> None:
    for raw in (b'{"chat_id": "\\ud800"}', b"\xff\xfe", b"[" * 50_000):
        assert (await http.post(vendor.url + TAG, content=raw)).status_code == 400
    assert len((await http.get(f"{vendor.url}/_sim/ledger")).json()["entries"]) == 3


async def test_state_and_ledger_outlive_a_kill(tmp_path: Path, http: httpx2.AsyncClient) -> None:
    state = tmp_path / "state" / "livechat.json"
    with _running("--state", str(state)) as (process, url):
        await http.post(f"{url}/_sim/seed", json={"chats": [CHAT]})
        await http.post(url + TAG, json={**CHAT, "tag": "one"})
        process.kill()
    with _running("--state", str(state)) as (_, url):
        await http.post(url + TAG, json={**CHAT, "tag": "two"})
        ledger: list[dict[str, Any]] = (await http.get(f"{url}/_sim/ledger")).json()["entries"]
    assert [(entry["n"], entry["body"]["tag"]) for entry in ledger] == [(1, "one"), (2, "two")]
    assert exact_json.loads(state.read_bytes())["chats"] == {"C1": {"T1": ["one", "two"]}}
    assert [path.name for path in state.parent.iterdir() if path.suffix == ".new"] == []


async def test_it_ends_when_asked_to() -> None:
    with _running() as (process, _):
        process.terminate()
        assert process.wait(timeout=10) in {0, -15}


async def test_a_taken_port_is_named(vendor: LiveChatSimulator) -> None:
    port = vendor.url.rpartition(":")[2]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulators.xero", "--port", port, stderr=asyncio.subprocess.PIPE
    )
    _, complaint = await process.communicate()
    assert (process.returncode, f"port {port} cannot be taken" in complaint.decode()) == (1, True)


@contextmanager
def _running(*options: str) -> Generator[tuple[subprocess.Popen[bytes], str]]:
    with subprocess.Popen([sys.executable, "-m", "simulators.livechat", *options], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().decode().split()[-1]
        finally:
            process.terminate()
            process.wait(timeout=10)
