"""Linked cases on a real server: opened once, in time for the opener's promise, and never closed over in silence."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from pydantic import TypeAdapter

import worker
from adapters.postgres.crypto import Vault, load_master
from adapters.postgres.intake import Arrival
from adapters.postgres.openings import Opened, PostgresOpenings
from adapters.postgres.pool import Connection
from domain.ids import asked_case, effect_key, workflow_id
from domain.messages import ActKind, Fact, FactKind
from domain.sops.texts import TEXTS as ALL_TEXTS
from runtime.temporal_server import TemporalServer
from tests.agency import CLIENT, open_agency
from tests.conftest import Database
from tests.workflows.desk import Desk, furnish
from tests.workflows.linked_case import KIND, TEXTS, Opener, OpenerOutcome, OpenerRequest

HOURS = timedelta(hours=1)


@pytest.fixture
async def desk(
    tmp_path: Path, database: Database, temporal: TemporalServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Desk]:
    monkeypatch.setattr(worker, "WORKFLOWS", [*worker.WORKFLOWS, Opener])
    monkeypatch.setitem(ALL_TEXTS, KIND, TEXTS)
    async with open_agency(tmp_path, database, temporal) as agency:
        yield await furnish(agency)


async def opened(desk: Desk, **more: Any) -> tuple[str, str]:
    """An opener, and the department request that it opens first."""
    case_id = f"opener/{token_hex(8)}"
    agency = desk.agency
    request = OpenerRequest(case_id=case_id, client_id=CLIENT, **more)

    async def make(_: Connection) -> Opened[OpenerRequest]:
        return Opened(KIND, request, "ID-3 an opener")

    openings = PostgresOpenings(agency.door_pool, Vault(load_master(agency.settings.keys_dir)))
    await openings.accept(Arrival("test", case_id, case_id.encode()), make)
    await agency.take_in()
    linked = asked_case(case_id, effect_key(case_id, "ask", "ppc"))
    await agency.parked_at(linked, "process")
    await agency.parked(linked, "process")
    return case_id, linked


async def result(desk: Desk, case_id: str) -> OpenerOutcome:
    return await desk.agency.client.get_workflow_handle_for(Opener.run, case_id).result()


async def test_a_linked_request_is_due_by_what_is_left_of_the_promise_and_reports_back(desk: Desk) -> None:
    case_id, linked = await opened(desk, promise=30 * HOURS)
    step = next(one for one in (await desk.agency.view(linked)).steps if one.name == "process")
    assert step.deadline.after == 30 * HOURS
    assert desk.tasks()[0]["name"] == "Look into Acme Plumbing"
    await desk.pass_time(linked, 4 * HOURS)
    await desk.agency.parked_at(linked, "follow-up")  # the first chase, by half of the promise
    await desk.agency.act(linked, "process", ActKind.PROCESSED, {"note_sha256": ""}, "barb")
    assert (await result(desk, case_id)).ended == ("done, says barb",)
    assert await desk.agency.database.value("SELECT linked_to FROM cases WHERE case_id = $1", linked) == case_id


async def test_one_that_is_opened_later_has_only_what_is_left_of_the_promise(desk: Desk) -> None:
    case_id, linked = await opened(desk, promise=30 * HOURS, departments=("ppc", "sales"))
    await desk.pass_time(case_id, 10 * HOURS)
    await desk.agency.act(linked, "process", ActKind.PROCESSED, {"note_sha256": ""}, "barb")
    later = asked_case(case_id, effect_key(case_id, "ask", "sales"))
    await desk.agency.parked_at(later, "process")
    step = next(one for one in (await desk.agency.view(later)).steps if one.name == "process")
    assert timedelta() <= 20 * HOURS - step.deadline.after < timedelta(minutes=2)
    request = await desk.agency.database.value("SELECT request FROM cases WHERE case_id = $1", later)
    assert isinstance(request, dict)
    first = TypeAdapter(timedelta).validate_python(request["first_chase"])
    assert first == step.deadline.after / 2


async def test_no_case_closes_over_one_that_it_opened(desk: Desk) -> None:
    case_id, linked = await opened(desk, waits=False)
    step_id = await desk.agency.parked_at(case_id, "linked-open")
    await desk.agency.act(linked, "process", ActKind.PROCESSED, {"note_sha256": ""}, "barb")
    await result(desk, case_id)
    view = await desk.agency.view(case_id)
    assert view.steps == ()
    assert await desk.agency.database.value("SELECT state FROM case_steps WHERE step_id = $1", step_id) == "done"


async def test_a_named_person_may_waive_waiting_for_it(desk: Desk) -> None:
    case_id, linked = await opened(desk, waits=False)
    step_id = await desk.agency.parked_at(case_id, "linked-open")
    note = await desk.agency.text("The client has left.")
    await desk.agency.act(case_id, step_id, ActKind.WAIVE, {"note_sha256": note}, "cleo")
    await result(desk, case_id)
    assert (await desk.agency.view(linked)).status == "open"
    await desk.agency.act(linked, "process", ActKind.PROCESSED, {"note_sha256": ""}, "barb")
    assert (await desk.result(linked)).status == "done"  # its opener is over: that holds nothing up


async def opened_again(desk: Desk, linked: str) -> None:
    """The linked request's task is opened again in Teamwork, and the door has looked."""
    desk.does("reopen", task=desk.tasks()[0]["id"])
    await desk.agency.boards.sweep()
    await desk.agency.take_in()
    await desk.agency.parked_at(linked, "process")


async def test_one_that_is_opened_again_is_waited_for_again(desk: Desk) -> None:
    case_id, linked = await opened(desk, waits=False, departments=("ppc", "sales"))
    await desk.agency.act(linked, "process", ActKind.PROCESSED, {"note_sha256": ""}, "barb")
    await desk.result(linked)
    second = asked_case(case_id, effect_key(case_id, "ask", "sales"))
    await opened_again(desk, linked)

    async def told() -> bool:
        return any(f"{linked} is open again" in line for line in await desk.lines(case_id))

    await desk.agency.act(second, "process", ActKind.PROCESSED, {"note_sha256": ""}, "ada")
    await desk.agency.parked_at(case_id, "linked-open")
    await desk.agency.eventually(told, "the opener does not say that it is open again")
    cycle = workflow_id(linked, 2)
    done = {"note_sha256": ""}
    again = await desk.agency.crafted(linked, "process@2", ActKind.PROCESSED, done, "barb", workflow_id=cycle)
    await desk.handle(cycle).signal("act", again)
    await result(desk, case_id)
    assert (await desk.handle(cycle).describe()).close_time is not None


async def test_one_that_is_opened_again_after_its_opener_ended_says_so(desk: Desk) -> None:
    case_id, linked = await opened(desk)
    await desk.agency.act(linked, "process", ActKind.PROCESSED, {"note_sha256": ""}, "barb")
    await result(desk, case_id)
    await opened_again(desk, linked)
    assert any("does not hear that it is open again" in line for line in await desk.lines(linked))


async def test_a_forged_report_is_read_again_and_believed_by_nobody(desk: Desk) -> None:
    case_id, linked = await opened(desk)
    handle = desk.agency.client.get_workflow_handle(case_id)
    for number in range(3):
        fact = Fact(event_id=f"forged:{number}", kind=FactKind.LINKED, reference=linked)
        await handle.signal("event", fact)
    await desk.agency.parked(linked, "process")
    assert (await desk.agency.view(case_id)).status == "open"
    await desk.agency.act(linked, "process", ActKind.PROCESSED, {"note_sha256": ""}, "barb")
    assert (await result(desk, case_id)).ended == ("done, says barb",)


async def test_opened_again_it_is_the_same_request(desk: Desk) -> None:
    case_id, linked = await opened(desk, departments=("ppc", "sales"))
    await desk.agency.act(linked, "process", ActKind.PROCESSED, {"note_sha256": ""}, "barb")
    second = asked_case(case_id, effect_key(case_id, "ask", "sales"))
    await desk.agency.parked_at(second, "process")
    await desk.agency.act(second, "process", ActKind.PROCESSED, {"note_sha256": ""}, "ada")
    assert len((await result(desk, case_id)).ended) == 2
    assert len(desk.tasks()) == 2
