from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from simulators.base import BadSwitchError
from simulators.teamwork import TeamworkSimulator, teamwork_simulator

V3 = "/projects/api/v3"
TASK = {"task": {"name": "T"}}


@pytest.fixture
async def teamwork() -> AsyncIterator[TeamworkSimulator]:
    async with teamwork_simulator() as simulator:
        simulator.seed(
            people=[{"id": 21, "firstName": "Zane"}],
            tasklists=[{"id": 7, "name": "[CSM] Tasks", "projectId": 3}, {"id": 8, "name": "Inbox"}],
            tasks=[{"id": 100, "tasklistId": 7, "name": "T", "assignees": [21]}],
        )
        yield simulator


@pytest.fixture
async def http(teamwork: TeamworkSimulator) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=teamwork.url, auth=("simulator", "x"), trust_env=False) as client:
        yield client


@pytest.mark.parametrize(
    ("call", "body", "status"),
    [
        ("GET /nowhere.json", None, 404),
        ("POST /tasks/100.json", TASK, 404),
        (f"POST {V3}/tasklists/70/tasks.json", TASK, 404),
        (f"POST {V3}/tasklists/7/tasks.json", {"task": {}}, 400),
        (f"POST {V3}/tasklists/7/tasks.json", {"task": {"name": "T", "due-date": "20260105"}}, 400),
        (f"POST {V3}/tasklists/7/tasks.json", {"task": {"name": "T", "dueAt": "20260105"}}, 400),
        (f"POST {V3}/tasklists/7/tasks.json", {"task": {"name": "T", "dueAt": "2026-01-05T00:00:00Z"}}, 400),
        (f"POST {V3}/tasklists/7/tasks.json", {"task": {"name": "T", "assignees": [21]}}, 400),
        (f"POST {V3}/tasklists/7/tasks.json", {"task": {"name": "T", "assignees": {"userIds": ["21"]}}}, 400),
        (f"POST {V3}/tasklists/7/tasks.json", {"todo-item": {"content": "T"}}, 400),
        (f"PATCH {V3}/tasks/999.json", TASK, 404),
        ("POST /tasks/100/comments.json", {"comment": {"body": ""}}, 400),
        ("POST /tasks/100/comments.json", {"comment": {"body": "x", "notify": "77"}}, 400),
        ("POST /tasks/100/comments.json", {"body": "x"}, 400),
        (f"GET {V3}/people.json?pageSize=1000", None, 400),
    ],
)
async def test_what_teamwork_would_refuse_is_refused(
    teamwork: TeamworkSimulator, http: httpx2.AsyncClient, call: str, body: Any, status: int
) -> None:
    method, path = call.split(" ")
    answer = await http.request(method, path, json=body)
    assert (answer.status_code, teamwork.done()) == (status, [])
    said = answer.json()
    assert said["errors"][0]["code"] if path.startswith(V3) else said["STATUS"] == "Error"


async def test_unknown_users_are_passed_over_unless_a_check_is_asked_for(
    teamwork: TeamworkSimulator, http: httpx2.AsyncClient
) -> None:
    asked = {"task": {"name": "T", "assignees": {"userIds": [21, 77]}}}
    made = (await http.post(f"{V3}/tasklists/7/tasks.json", json=asked)).json()["task"]
    assert [one["id"] for one in made["assignees"]] == [21]
    checked = {**asked, "taskOptions": {"checkInvalidusers": True}}
    assert (await http.post(f"{V3}/tasklists/7/tasks.json", json=checked)).status_code == 400


async def test_a_wrong_key_is_refused(teamwork: TeamworkSimulator) -> None:
    headers: list[dict[str, str]] = [{}, {"authorization": "Basic !"}, {"authorization": f"Bearer {teamwork.token}"}]
    async with httpx2.AsyncClient(base_url=teamwork.url, trust_env=False) as http:
        statuses = [(await http.get("/tasks/100.json", headers=one)).status_code for one in headers]
    assert statuses == [401, 401, 401]


async def test_the_minutes_limit_ends_in_429(teamwork: TeamworkSimulator, http: httpx2.AsyncClient) -> None:
    teamwork.rate_limit = 2
    answers = [await http.get("/tasks/100.json") for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 429]
    assert answers[2].headers["x-rate-limit-limit"] == "150"


async def test_a_person_does_things_in_teamworks_own_pages(teamwork: TeamworkSimulator) -> None:
    teamwork.edit(op="assign", task=100, user=1, by=21)
    teamwork.edit(op="complete", task=100, by=21)
    assert (teamwork.task(100)["assignees"], teamwork.task(100)["completedBy"]) == ([21, 1], 21)
    teamwork.edit(op="reopen", task=100, by=21)
    teamwork.edit(op="move", task=100, tasklistId=8)
    assert (teamwork.task(100)["status"], teamwork.task(100)["tasklistId"]) == ("reopened", 8)
    comment = teamwork.edit(op="comment", task=100, body="Hi", by=21)
    teamwork.edit(op="edit_comment", task=100, comment=comment["id"], body="Hello")
    assert teamwork.state["comments"][str(comment["id"])]["body"] == "Hello"


@pytest.mark.parametrize(
    "edit",
    [
        {"op": "explode", "task": 100},
        {"op": "complete", "task": 999},
        {"op": "complete"},
        {"op": "assign", "task": 100},
        {"op": "create", "tasklistId": 70, "name": "T"},
        {"op": "create", "tasklistId": 7, "colour": "red"},
        {},
    ],
)
def test_an_act_that_makes_no_sense_is_refused(edit: dict[str, Any]) -> None:
    simulator = TeamworkSimulator()
    simulator.seed(tasklists=[{"id": 7, "name": "L"}], tasks=[{"id": 100, "tasklistId": 7, "name": "T"}])
    with pytest.raises(BadSwitchError):
        simulator.edit(**edit)


def test_state_is_kept_over_a_restart(tmp_path: Path) -> None:
    first = TeamworkSimulator(state_file=tmp_path / "t.json")
    first.seed(tasklists=[{"id": 7, "name": "L"}], tasks=[{"id": 100, "tasklistId": 7, "name": "T"}])
    first.edit(op="complete", task=100)
    assert TeamworkSimulator(state_file=tmp_path / "t.json").task(100)["status"] == "completed"
