from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from simulators.base import BadSwitchError
from simulators.tickets import TicketsSimulator, tickets_simulator


@pytest.fixture
async def zendesk() -> AsyncIterator[TicketsSimulator]:
    async with tickets_simulator() as simulator:
        simulator.seed(
            users=[{"id": 23, "name": "Jane", "email": "jane@client.example", "role": "end-user"}],
            tickets=[{"id": one, "subject": f"S{one}", "requester_id": 23} for one in (100, 101, 102)],
        )
        yield simulator


@pytest.fixture
async def http(zendesk: TicketsSimulator) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"authorization": f"Bearer {zendesk.token}"}
    async with httpx2.AsyncClient(base_url=f"{zendesk.url}/api/v2", headers=headers, trust_env=False) as client:
        yield client


@pytest.mark.parametrize(
    ("call", "body", "status", "error"),
    [
        ("GET /nowhere.json", None, 404, "InvalidEndpoint"),
        ("GET /tickets/999.json", None, 404, "RecordNotFound"),
        ("POST /tickets/100.json", {}, 404, "InvalidEndpoint"),
        ("PUT /tickets/100.json", {"comment": {"body": "x"}}, 422, "RecordInvalid"),
        ("PUT /tickets/100.json", {"ticket": {"comment": {"body": ""}}}, 422, "RecordInvalid"),
        ("PUT /tickets/100.json", {"ticket": {"followers": ["a@x"]}}, 422, "RecordInvalid"),
        ("PUT /tickets/100.json", {"ticket": {"due_at": "tomorrow"}}, 422, "RecordInvalid"),
        ("PUT /tickets/100.json", {"ticket": {"status": "closed"}}, 422, "RecordInvalid"),
        ("PUT /tickets/100.json", {"ticket": {"assignee_email": "jane@client.example"}}, 422, "RecordInvalid"),
        ("GET /tickets.json?sort=subject", None, 400, "InvalidPaginationParameter"),
        ("GET /tickets.json?page[size]=101", None, 400, "InvalidPaginationParameter"),
        (f"GET /users/show_many.json?ids={','.join(['1'] * 101)}", None, 400, "TooManyValues"),
    ],
)
async def test_what_zendesk_would_refuse_is_refused_in_its_shape(
    zendesk: TicketsSimulator, http: httpx2.AsyncClient, call: str, body: Any, status: int, error: str
) -> None:
    method, path = call.split(" ")
    answer = await http.request(method, path, json=body)
    assert (answer.status_code, answer.json()["error"], zendesk.done()) == (status, error, [])


async def test_a_comment_is_public_unless_it_is_said_not_to_be(
    zendesk: TicketsSimulator, http: httpx2.AsyncClient
) -> None:
    for comment in ({"body": "a"}, {"body": "b", "public": False}):
        await http.put("/tickets/100.json", json={"ticket": {"comment": comment}})
    assert [one["public"] for one in zendesk.state["comments"].values()] == [True, False]


async def test_a_due_date_is_kept_on_tasks_alone(zendesk: TicketsSimulator, http: httpx2.AsyncClient) -> None:
    due = {"due_at": "2026-12-01T17:30:00Z"}
    await http.put("/tickets/100.json", json={"ticket": due})
    assert zendesk.ticket(100)["due_at"] is None
    await http.put("/tickets/100.json", json={"ticket": {**due, "type": "task"}})
    assert zendesk.ticket(100)["due_at"] == "2026-12-01T17:30:00Z"


async def test_pages_go_on_after_a_ticket_wherever_it_is_by_then(
    zendesk: TicketsSimulator, http: httpx2.AsyncClient
) -> None:
    seen: list[int] = []
    cursor = ""
    while True:
        params = {"page[size]": "1", "sort": "id", **({"page[after]": cursor} if cursor else {})}
        page = (await http.get("/tickets.json", params=params)).json()
        seen += [one["id"] for one in page["tickets"]]
        if not page["meta"]["has_more"]:
            break
        cursor = page["meta"]["after_cursor"]
    assert seen == [100, 101, 102]


async def test_a_wrong_token_is_refused(zendesk: TicketsSimulator) -> None:
    auths: list[Any] = [None, ("a@x.example", "simulator"), ("a@x.example/token", "wrong")]
    async with httpx2.AsyncClient(base_url=f"{zendesk.url}/api/v2", trust_env=False) as http:
        statuses = [(await http.get("/tickets/100.json", auth=one)).status_code for one in auths]
        right = await http.get("/tickets/100.json", auth=("a@x.example/token", "simulator"))
    assert (statuses, right.status_code) == ([401, 401, 401], 200)


async def test_a_person_does_things_in_zendesks_own_pages(zendesk: TicketsSimulator) -> None:
    zendesk.edit(op="follow", ticket=100, user=1)
    zendesk.edit(op="status", ticket=100, status="solved", by=1)
    zendesk.edit(op="due", ticket=100, due_at="2026-12-01T17:30:00Z")
    zendesk.edit(op="tag", ticket=100, tags=["web"])
    found = zendesk.ticket(100)
    assert (found["follower_ids"], found["status"], found["type"], found["tags"]) == ([1], "solved", "task", ["web"])
    zendesk.edit(op="unfollow", ticket=100, user=1)
    assert zendesk.ticket(100)["follower_ids"] == []


@pytest.mark.parametrize(
    "edit", [{"op": "explode", "ticket": 100}, {"op": "status", "ticket": 999}, {"op": "create", "colour": "red"}, {}]
)
def test_an_act_that_makes_no_sense_is_refused(edit: dict[str, Any]) -> None:
    simulator = TicketsSimulator()
    simulator.seed(tickets=[{"id": 100, "subject": "S"}])
    with pytest.raises(BadSwitchError):
        simulator.edit(**edit)
