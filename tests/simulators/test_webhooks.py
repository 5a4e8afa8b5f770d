import asyncio
import hashlib
import hmac
import sys
from collections.abc import AsyncIterator

import httpx2
import pytest

from simulators.base import BadSwitchError
from simulators.livechat import LiveChatSimulator
from simulators.teamwork import TeamworkSimulator, teamwork_simulator
from tests.simulators.listening import Listener, listening


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with listening() as heard:
        yield heard


@pytest.fixture
async def teamwork(listener: Listener) -> AsyncIterator[TeamworkSimulator]:
    async with teamwork_simulator() as simulator:
        simulator.seed(tasklists=[{"id": 7, "name": "L"}], tasks=[{"id": 1, "tasklistId": 7, "name": "T"}])
        simulator.hooks.set(url=listener.url)
        yield simulator


def events(listener: Listener) -> list[str]:
    return [one.headers["x-projects-event"].removeprefix("TASK.") for one in listener.heard]


def act(teamwork: TeamworkSimulator) -> None:
    for op in ("complete", "reopen"):
        teamwork.edit(op=op, task=1)
    teamwork.edit(op="rename", task=1, name="New")


async def test_changes_are_told_in_their_order(teamwork: TeamworkSimulator, listener: Listener) -> None:
    act(teamwork)
    await teamwork.hooks.idle()
    assert events(listener) == ["COMPLETED", "REOPENED", "UPDATED"]
    assert [one["status"] for one in teamwork.hooks.sent] == [200, 200, 200]


async def test_nobody_is_told_of_what_nothing_changed(teamwork: TeamworkSimulator, listener: Listener) -> None:
    async with httpx2.AsyncClient(auth=("simulator", "x"), trust_env=False) as http:
        await http.put(f"{teamwork.url}/tasks/1/uncomplete.json")
        teamwork.fault("PUT /complete.json", "error_before")
        await http.put(f"{teamwork.url}/tasks/1/complete.json")
        await http.put(f"{teamwork.url}/tasks/1/complete.json")
    await teamwork.hooks.idle()
    assert events(listener) == ["COMPLETED"]


async def test_repeated_under_the_same_delivery(teamwork: TeamworkSimulator, listener: Listener) -> None:
    teamwork.hooks.set(repeat=3)
    teamwork.edit(op="complete", task=1)
    await teamwork.hooks.idle()
    assert len({one.headers["x-projects-delivery"] for one in listener.heard}) == 1
    assert events(listener) == ["COMPLETED"] * 3


@pytest.mark.parametrize(
    ("order", "expected"),
    [("as-made", ["COMPLETED", "REOPENED", "UPDATED"]), ("reversed", ["UPDATED", "REOPENED", "COMPLETED"])],
)
async def test_held_back_and_let_go_in_another_order(
    teamwork: TeamworkSimulator, listener: Listener, order: str, expected: list[str]
) -> None:
    teamwork.hooks.set(hold=True, order=order)
    act(teamwork)
    await teamwork.hooks.idle()
    assert listener.heard == []
    teamwork.hooks.set(hold=False)
    await teamwork.hooks.idle()
    assert events(listener) == expected


async def test_shuffled_loses_none(teamwork: TeamworkSimulator, listener: Listener) -> None:
    teamwork.hooks.set(hold=True, order="shuffled")
    act(teamwork)
    teamwork.hooks.set(hold=False)
    await teamwork.hooks.idle()
    assert sorted(events(listener)) == ["COMPLETED", "REOPENED", "UPDATED"]


async def test_dropped_delayed_and_flooded(teamwork: TeamworkSimulator, listener: Listener) -> None:
    teamwork.hooks.set(drop=2, delay=0.05)
    act(teamwork)
    assert listener.heard == []
    await teamwork.hooks.idle()
    assert events(listener) == ["UPDATED"]
    teamwork.hooks.again(30)
    await teamwork.hooks.idle()
    assert events(listener) == ["UPDATED"] * 31


async def test_a_refused_one_is_tried_again(teamwork: TeamworkSimulator, listener: Listener) -> None:
    teamwork.hooks.set(retries=3, pause=0)
    listener.answers = [503, 302]
    teamwork.edit(op="complete", task=1)
    await teamwork.hooks.idle()
    assert [(one["attempt"], one["status"]) for one in teamwork.hooks.sent] == [(1, 503), (2, 302), (3, 200)]


async def test_nobody_listening_is_put_on_record(teamwork: TeamworkSimulator) -> None:
    teamwork.hooks.set(url="http://127.0.0.1:9/webhooks/x")
    teamwork.edit(op="complete", task=1)
    await teamwork.hooks.idle()
    assert [one["status"] for one in teamwork.hooks.sent] == [None]


async def test_what_is_still_to_be_sent_does_not_hold_the_end_up(listener: Listener) -> None:
    async with teamwork_simulator() as simulator:
        simulator.seed(tasklists=[{"id": 7, "name": "L"}], tasks=[{"id": 1, "tasklistId": 7, "name": "T"}])
        simulator.hooks.set(url=listener.url, delay=60)
        simulator.edit(op="complete", task=1)
    assert listener.heard == []


async def test_switches_are_turned_over_http(teamwork: TeamworkSimulator, listener: Listener) -> None:
    async with httpx2.AsyncClient(base_url=f"{teamwork.url}/_sim", trust_env=False) as http:
        assert (await http.post("/hooks", json={"repeat": 2, "delay": 0.01})).status_code == 200
        await http.post("/edit", json={"op": "complete", "task": 1, "by": 1})
        await teamwork.hooks.idle()
        assert (await http.post("/hooks/again", json={"times": 2})).status_code == 200
        await teamwork.hooks.idle()
        told = (await http.get("/hooks")).json()
    assert events(listener) == ["COMPLETED"] * 4
    assert (told["switches"]["repeat"], told["switches"]["delay"], len(told["sent"])) == (2, 0.01, 4)


@pytest.mark.parametrize(
    "bad",
    [
        {"url": "https://example.com/hook"},
        {"url": "http://10.0.0.1/"},
        {"url": "file:///etc/passwd"},
        {"repeat": 0},
        {"colour": "red"},
        {"order": "odd"},
    ],
)
async def test_a_switch_that_makes_no_sense_turns_none(
    teamwork: TeamworkSimulator, listener: Listener, bad: dict[str, object]
) -> None:
    async with httpx2.AsyncClient(base_url=f"{teamwork.url}/_sim", trust_env=False) as http:
        assert (await http.post("/hooks", json={"drop": 5, **bad})).status_code == 400
    assert (teamwork.hooks.switches.url, teamwork.hooks.switches.drop) == (listener.url, 0)


def test_a_vendor_that_sends_none_says_so() -> None:
    with pytest.raises(BadSwitchError, match="no webhooks"):
        LiveChatSimulator().tell("http://127.0.0.1:1/", "s")


async def test_a_process_of_its_own_tells_whom_it_is_started_for(listener: Listener) -> None:
    words = ("-m", "simulators.teamwork", "--webhook", listener.url, "--webhook-secret", "s")
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().split()[-1]
    async with httpx2.AsyncClient(base_url=f"{url}/_sim", trust_env=False) as http:
        await http.post("/seed", json={"tasklists": [{"id": 7, "name": "L"}]})
        await http.post("/edit", json={"op": "create", "tasklistId": 7, "name": "T"})
        await asyncio.wait_for(listener.arrived.wait(), 10)
    process.terminate()
    await process.wait()
    signature = hmac.new(b"s", listener.heard[0].body, hashlib.sha256).hexdigest()
    assert listener.heard[0].headers["x-projects-signature"] == signature
