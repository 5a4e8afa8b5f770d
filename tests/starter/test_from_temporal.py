"""Cases started, signalled and asked from Temporal itself, in any language: the door's checks hold there too."""

import hashlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
import pytest_asyncio

from domain.messages import ActKind, ClientMessage, Fact, FactKind, SignedAct
from runtime.temporal_server import TemporalServer
from starter.requests import OpenRequest
from tests.agency import CLIENT, Agency
from tests.starter.grpc_temporal import Wire, wire_to
from tests.workflows.desk import Desk, furnish

ROOT = Path(__file__).parents[2]
WRITTEN = ("cases", "inbox", "case_events", "case_steps", "effects", "texts", "case_leads")


@pytest_asyncio.fixture
async def desk(agency: Agency) -> Desk:
    return await furnish(agency)


@pytest_asyncio.fixture
async def wire(agency: Agency, temporal: TemporalServer) -> AsyncIterator[Wire]:
    async with wire_to(temporal.address, agency.queue) as made:
        yield made


def named(kind: str, reference: str) -> str:
    """As docs/temporal.md says, and any language can."""
    return f"{kind}/{hashlib.sha256(f'reference|{reference}'.encode()).hexdigest()[:16]}"


def request(reference: str, /, **changes: object) -> dict[str, Any]:
    plain = {"reference": reference, "department": "ppc", "client_id": CLIENT, "title": "Pause the brand campaign"}
    return plain | changes


def returned(reference: str, /, **changes: object) -> dict[str, Any]:
    return {"reference": reference, "client_id": CLIENT, "leads": ["L-1005"]} | changes


def started(case_id: str, opening: dict[str, Any] | None, **more: object) -> dict[str, Any]:
    return {"case_id": case_id, "client_id": "", "opening": opening} | more


async def written(agency: Agency) -> dict[str, object]:
    return {table: await agency.database.value(f"SELECT count(*) FROM {table}") for table in WRITTEN}  # noqa: S608


async def test_a_department_request_is_started_signalled_and_asked_without_any_client_of_temporals(
    desk: Desk, wire: Wire
) -> None:
    reference = f"raw-{token_hex(4)}"
    case_id = named("department-request", reference)
    await wire.start("DepartmentRequest", case_id, started(case_id, request(reference)))
    await desk.agency.parked(case_id, "process")
    await wire.signal(case_id, "event", {"event_id": "raw-1", "kind": "task-changed", "reference": "task"})
    signed = await desk.agency.crafted(case_id, "process", ActKind.CLAIM, {}, "barb")
    await wire.signal(case_id, "act", {"body": signed.body, "payload": signed.payload, "signature": "forged"})
    await wire.signal(case_id, "act", signed.model_dump())
    await desk.agency.eventually(lambda: _claimed(wire, case_id, "barb"), "the signed act was not taken")
    view = await wire.query(case_id, "view")
    assert (view["status"], view["client_id"]) == ("open", CLIENT)
    assert await wire.attribute(case_id, "ClientId") == CLIENT
    assert "process" in await wire.query(case_id, "clock")
    assert len(desk.tasks()) == 1
    assert await desk.agency.database.value("SELECT count(*) FROM inbox WHERE state = 'accepted'") == 1
    await desk.agency.take_in()  # the inbox finds that it runs, and that is all
    assert await desk.agency.database.value("SELECT count(*) FROM inbox WHERE state = 'handed'") == 1
    assert await desk.agency.database.value("SELECT count(*) FROM cases") == 1


async def _claimed(wire: Wire, case_id: str, person: str) -> bool:
    return (await wire.query(case_id, "view"))["steps"][0]["claimed_by"] == person


async def test_a_return_request_is_started_signalled_and_asked_the_same_way(agency: Agency, wire: Wire) -> None:
    reference = f"raw-{token_hex(4)}"
    case_id = named("return-lead", reference)
    await wire.start("ReturnLead", case_id, started(case_id, returned(reference)))
    await agency.parked(case_id, "investigate")
    assert [mail["Subject"] for mail in agency.mails("L-1005")] != []
    await wire.signal(case_id, "event", {"event_id": "raw-1", "kind": "resumed", "reference": ""})
    signed = await agency.crafted(case_id, "investigate", ActKind.CLAIM, {}, "P-1")
    await wire.signal(case_id, "act", {"body": signed.body, "payload": signed.payload, "signature": "forged"})
    await wire.signal(case_id, "act", signed.model_dump())
    await agency.eventually(lambda: _claimed(wire, case_id, "P-1"), "the signed act was not taken")
    view = await wire.query(case_id, "view")
    assert (view["kind"], view["status"], view["refused"]) == ("ReturnLead", "open", 1)
    assert (await wire.query(case_id, "clock"))["investigate"]
    assert await wire.attribute(case_id, "ClientId") == CLIENT


SHOWN = (ROOT / "docs" / "temporal.md").read_text()


@pytest.mark.parametrize(("kind", "waits_for"), [("DepartmentRequest", "process"), ("ReturnLead", "investigate")])
async def test_the_start_that_the_documentation_shows_is_one(desk: Desk, wire: Wire, kind: str, waits_for: str) -> None:
    """To the letter, but for the two names that its shell puts in."""
    given = SHOWN.partition(f"start --type {kind} ")[2].partition("--input '")[2].partition("}}'")[0] + "}}"
    reference = f"raw-{token_hex(4)}"
    case_id = named("return-lead" if kind == "ReturnLead" else "department-request", reference)
    for word, value in (("CASE", case_id), ("REFERENCE", reference)):
        given = given.replace(f"""'"${word}"'""", value)
    given = given.replace('"brightsmile"', json.dumps(CLIENT))  # a client of the demo's
    await wire.start(kind, case_id, json.loads(given))
    await desk.agency.parked(case_id, waits_for)
    assert (await wire.query(case_id, "view"))["client_id"] == CLIENT


ARGUMENTS = {"act": SignedAct, "client_replied": ClientMessage, "event": Fact}


def shown_argument(signal: str) -> dict[str, Any]:
    """What the table of signals gives as the argument of one."""
    (given,) = re.findall(rf"^\| `{signal}` \| `(\{{[^`]*\}})`", SHOWN, re.MULTILINE)
    return json.loads(given)


def test_the_arguments_of_signals_are_documented_exactly() -> None:
    for signal, model in ARGUMENTS.items():
        assert set(shown_argument(signal)) == set(model.model_fields), signal
    for signal in ("client_replied", "event"):
        ARGUMENTS[signal].model_validate(shown_argument(signal))


async def test_what_the_documentation_shows_of_queries_and_signals_is_so(agency: Agency, wire: Wire) -> None:
    """Each of the three signals as it is shown, and every name that is shown of the answer to a query."""
    reference = f"raw-{token_hex(4)}"
    case_id = named("return-lead", reference)
    await wire.start("ReturnLead", case_id, started(case_id, returned(reference)))
    await agency.parked(case_id, "investigate")
    for signal in ARGUMENTS:
        await wire.signal(case_id, signal, shown_argument(signal))

    async def refused() -> bool:
        return (await wire.query(case_id, "view"))["refused"] == 1  # the act "..." alone

    await agency.eventually(refused, "the unsigned act was not refused")
    view, shown = await wire.query(case_id, "view"), SHOWN.partition("`view` answers, shortened:")[2]
    example = json.loads(shown.partition("## ")[0])
    assert set(example) <= set(view)
    assert set(example["steps"][0]) <= set(view["steps"][0])
    assert set(example["steps"][0]["deadline"]) <= set(view["steps"][0]["deadline"])
    assert view["status"] == "open"


def test_every_workflow_activity_query_and_fact_stands_in_the_documentation() -> None:
    workflows = "".join(one.read_text() for one in sorted((ROOT / "workflows").glob("*.py")))
    activities = "".join(one.read_text() for one in sorted((ROOT / "activities").glob("*.py")))
    names = re.findall(r"@workflow\.defn[^\n]*\nclass (\w+)", workflows)
    names += re.findall(r"@workflow\.query[^\n]*\n    def (\w+)", workflows)
    names += re.findall(r"@activity\.defn[^\n]*\n    async def (\w+)", activities)
    assert {"ReturnLead", "MorningDigest", "view", "clock", "grant", "admit"} <= set(names)
    missing = [one for one in (*names, *FactKind) if f"`{one}`" not in SHOWN]
    assert missing == []


REFUSED: tuple[tuple[str, dict[str, object], str], ...] = (
    ("DepartmentRequest", {"client_id": "C-9999"}, "unknown-client"),
    ("DepartmentRequest", {"department": "nobody"}, "unknown-department"),
    ("DepartmentRequest", {"surprise": 1}, "bad-request"),
    ("DepartmentRequest", {"title": "a\u0000b"}, "unreadable-text"),
    ("DepartmentRequest", {"reference": "another"}, "wrong-id"),
    ("ReturnLead", {"client_id": "C-9999"}, "unknown-client"),
    ("ReturnLead", {"leads": []}, "bad-request"),
    ("ReturnLead", {"leads": ["1001"]}, "bad-lead-id"),
    ("ReturnLead", {"title": "Pause the brand campaign"}, "bad-request"),
    ("ReturnLead", {"reference": "another"}, "wrong-id"),
)


async def test_what_the_door_refuses_ends_there_and_writes_nothing(desk: Desk, wire: Wire) -> None:
    before = await written(desk.agency)
    for kind, changes, code in REFUSED:
        reference = f"raw-{token_hex(4)}"
        opening = (returned if kind == "ReturnLead" else request)(reference, **changes)
        case_id = named("return-lead" if kind == "ReturnLead" else "department-request", reference)
        run = await wire.start(kind, case_id, started(case_id, opening))
        assert (await wire.failure(case_id, run))[0] == code, (kind, changes)
        assert await wire.attribute(case_id, "CaseStatus") == "refused"
    await desk.agency.take_in()
    assert await written(desk.agency) == before
    assert desk.tasks() == []


async def test_a_start_that_no_door_took_in_is_none(desk: Desk, wire: Wire) -> None:
    case_id = named("department-request", token_hex(4))
    before = await written(desk.agency)
    given = started(case_id, None, department="ppc", client_id=CLIENT)
    run = await wire.start("DepartmentRequest", case_id, given)
    assert (await wire.failure(case_id, run))[0] == "unknown-case"
    assert await wire.attribute(case_id, "CaseStatus") == "refused"
    assert await written(desk.agency) == before
    assert desk.tasks() == []


@pytest.mark.parametrize("with_opening", [True, False])
async def test_a_start_with_another_request_than_the_door_took_is_refused_and_the_case_goes_its_way(
    desk: Desk, wire: Wire, with_opening: bool
) -> None:
    reference = f"raw-{token_hex(4)}"
    accepted = await desk.door.open(OpenRequest.model_validate(request(reference)))
    case_id = accepted.case_id
    before = await written(desk.agency)
    other = request(reference, title="Double the budget") if with_opening else None
    run = await wire.start("DepartmentRequest", case_id, started(case_id, other, department="andy", client_id=CLIENT))
    code = "another-content" if with_opening else "another-request"
    assert (await wire.failure(case_id, run))[0] == code
    after = await written(desk.agency)
    assert {name: after[name] for name in WRITTEN if name != "case_events"} == {
        name: before[name] for name in WRITTEN if name != "case_events"
    }
    assert desk.tasks() == []


async def test_a_case_that_is_over_is_not_run_again(desk: Desk, wire: Wire) -> None:
    reference = f"raw-{token_hex(4)}"
    case_id = named("department-request", reference)
    await wire.start("DepartmentRequest", case_id, started(case_id, request(reference)))
    await desk.agency.act(case_id, "process", ActKind.PROCESSED, {"note_sha256": ""}, "barb")
    assert (await desk.result(case_id)).status == "done"
    await wire.start("DepartmentRequest", case_id, started(case_id, request(reference)))

    async def over() -> bool:
        return await wire.attribute(case_id, "CaseStatus") == "refused"

    await desk.agency.eventually(over, "the second start was not refused")
    assert (await wire.failure(case_id, ""))[0] == "case-ended"
    assert len(desk.tasks()) == 1
