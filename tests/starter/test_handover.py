"""What was accepted reaches a real Temporal server, once, whatever happens in between."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError

from domain.return_lead import ReturnRequest
from domain.texts import digest
from runtime.connect import connect
from runtime.processes import free_port
from runtime.settings import Settings
from runtime.temporal_server import TemporalServer, temporal_server
from starter.handover import MOST_ATTEMPTS, Handover
from tests.conftest import Database
from tests.starter.door import Reception, mail, reception


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def temporal() -> AsyncIterator[TemporalServer]:
    async with temporal_server() as server:
        yield server


@pytest.fixture
async def client(temporal: TemporalServer) -> Client:
    return await connect(Settings(), address=temporal.address)


@pytest.fixture
async def desk(database: Database) -> Reception:
    return await reception(database)


def handover(desk: Reception, client: Client) -> Handover:
    """No worker listens on this queue: cases stay as they were started."""
    return Handover(desk.door.intake, client, queue="nobody")


async def accept(desk: Reception, **options: Any) -> str:
    """Every test has a message of its own: the server outlives them."""
    return (await desk.door.accept_mail(mail(**options).as_bytes())).case_id


def own(request: pytest.FixtureRequest, name: str = "one") -> str:
    return f"<{name}-{digest(request.node.name)[:8]}@acme.example>"


async def signals(handle: WorkflowHandle[Any, Any]) -> list[str]:
    events = (await handle.fetch_history()).events
    return [one.workflow_execution_signaled_event_attributes.signal_name for one in events if one.event_type == 26]


async def test_an_accepted_mail_starts_its_case_with_ids_only(
    desk: Reception, client: Client, request: pytest.FixtureRequest
) -> None:
    case_id = await accept(desk, message_id=own(request))
    assert await handover(desk, client).run_once() == 1
    described = await client.get_workflow_handle(case_id).describe()
    assert described.workflow_type == "ReturnLead"
    assert {pair.key.name: pair.value for pair in described.typed_search_attributes} == {
        "CaseKind": "ReturnLead",
        "CaseStatus": "open",
        "ClientId": "acme",
    }
    assert await described.static_summary() == "RL-1 return of acme: 2 leads"
    (started, *_) = (await client.get_workflow_handle(case_id).fetch_history()).events
    payload = started.workflow_execution_started_event_attributes.input.payloads[0].data
    assert ReturnRequest.model_validate_json(payload).case_id == case_id
    assert b"@" not in payload
    assert await desk.database.value("SELECT state FROM inbox") == "handed"


async def test_handing_over_again_after_a_crash_starts_nothing_twice(
    desk: Reception, client: Client, request: pytest.FixtureRequest
) -> None:
    case_id = await accept(desk, message_id=own(request))
    await handover(desk, client).run_once()
    first = (await client.get_workflow_handle(case_id).describe()).run_id
    await _forget_that_it_was_handed(desk)
    await handover(desk, client).run_once()
    assert (await client.get_workflow_handle(case_id).describe()).run_id == first
    await client.get_workflow_handle(case_id).terminate()
    await _forget_that_it_was_handed(desk)
    await handover(desk, client).run_once()
    assert (await client.get_workflow_handle(case_id).describe()).run_id == first
    assert await desk.database.value("SELECT state FROM inbox") == "handed"


async def _forget_that_it_was_handed(desk: Reception) -> None:
    await desk.database.execute("UPDATE inbox SET state = 'accepted', next_at = holdfast_now()")


async def test_a_reply_is_signalled_once_to_the_running_case(
    desk: Reception, client: Client, request: pytest.FixtureRequest
) -> None:
    case_id = await accept(desk, message_id=own(request))
    await accept(desk, message_id=own(request, "two"), In_Reply_To=own(request))
    await handover(desk, client).run_once()
    assert await signals(client.get_workflow_handle(case_id)) == ["client_replied"]


async def test_a_reply_to_a_case_that_ended_meanwhile_opens_a_linked_one(
    desk: Reception, client: Client, request: pytest.FixtureRequest
) -> None:
    case_id = await accept(desk, message_id=own(request))
    await handover(desk, client).run_once()
    await accept(desk, message_id=own(request, "two"), In_Reply_To=own(request))
    await client.get_workflow_handle(case_id).terminate()
    assert await handover(desk, client).run_once() == 1
    assert await handover(desk, client).run_once() == 1
    (linked,) = await desk.database.fetch("SELECT case_id FROM cases WHERE linked_to = $1", case_id)
    described = await client.get_workflow_handle(linked["case_id"]).describe()
    assert await described.static_summary() == "RL-1 return of acme: a person looks (case-ended)"
    assert await desk.database.value("SELECT count(*) FROM inbox WHERE state <> 'handed'") == 0


async def test_a_reply_waits_for_the_case_that_is_not_started_yet(
    desk: Reception, client: Client, request: pytest.FixtureRequest
) -> None:
    case_id = await accept(desk, message_id=own(request))
    await accept(desk, message_id=own(request, "two"), In_Reply_To=own(request))
    await desk.database.execute("UPDATE inbox SET next_at = holdfast_now() + interval '1 hour' WHERE code = ''")
    await handover(desk, client).run_once()
    assert await desk.database.value("SELECT count(*) FROM cases") == 1
    await _forget_that_it_was_handed(desk)
    await handover(desk, client).run_once()
    assert await signals(client.get_workflow_handle(case_id)) == ["client_replied"]


async def test_while_temporal_is_away_nothing_is_lost_and_nothing_dies(
    desk: Reception, client: Client, request: pytest.FixtureRequest
) -> None:
    case_id = await accept(desk, message_id=own(request))
    away = await connect(Settings(), address=f"127.0.0.1:{free_port()}", lazy=True)
    for _ in range(3):
        await handover(desk, away).run_once()
        await _forget_that_it_was_handed(desk)
    (row,) = await desk.database.fetch("SELECT state, attempts FROM inbox")
    assert tuple(row) == ("accepted", 0)
    await handover(desk, client).run_once()
    assert (await client.get_workflow_handle(case_id).describe()).workflow_type == "ReturnLead"


async def test_an_id_that_belongs_to_another_workflow_ends_dead_and_visible(
    desk: Reception, client: Client, request: pytest.FixtureRequest
) -> None:
    case_id = await accept(desk, message_id=own(request))
    await client.start_workflow("SomethingElse", id=case_id, task_queue="nobody")
    for _ in range(MOST_ATTEMPTS):
        await handover(desk, client).run_once()
        await desk.database.execute("UPDATE inbox SET next_at = holdfast_now()")
    (row,) = await desk.database.fetch("SELECT state, code, inbox_id FROM inbox")
    assert (row["state"], row["code"]) == ("dead", "another-workflow")
    assert await handover(desk, client).run_once() == 0
    assert await desk.door.intake.revive(row["inbox_id"])
    assert await handover(desk, client).run_once() == 1


async def test_two_pollers_share_the_rows(desk: Reception, client: Client, request: pytest.FixtureRequest) -> None:
    for number in range(6):
        await accept(desk, text="L-9999", message_id=own(request, str(number)))
    one, two = handover(desk, client), handover(desk, client)
    assert sum(await asyncio.gather(one.run_once(4), two.run_once(4))) == 6


async def test_a_lease_ends_by_itself(desk: Reception, client: Client, request: pytest.FixtureRequest) -> None:
    await accept(desk, message_id=own(request))
    assert len(await desk.door.intake.waiting()) == 1
    assert not await desk.door.intake.waiting()
    await desk.database.shift(timedelta(seconds=61))
    assert len(await desk.door.intake.waiting()) == 1


async def test_cases_with_held_effects_hear_that_sending_is_possible_again(
    desk: Reception, client: Client, request: pytest.FixtureRequest
) -> None:
    case_id = await accept(desk, message_id=own(request))
    await accept(desk, text="L-1003", message_id=own(request, "two"))
    await desk.sent(case_id, "loop-in", "send-letter", "prepared", joined=False)
    await desk.database.execute("UPDATE effects SET code = 'outbound-off'")
    await handover(desk, client).run_once()
    assert await desk.door.intake.tell_resumed("*", "outbound-1") == 1
    assert await desk.door.intake.tell_resumed("zen", "outbound-1") == 0
    await handover(desk, client).run_once()
    assert await signals(client.get_workflow_handle(case_id)) == ["event"]


async def test_an_unknown_signal_target_is_an_rpc_error(client: Client) -> None:
    with pytest.raises(RPCError):
        await client.get_workflow_handle("nobody").signal("event")
