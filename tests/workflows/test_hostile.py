"""Signals from outside: forged, malformed, many. None fails or wedges a case, and each is refused visibly."""

import asyncio

import pytest
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.api.workflowservice.v1 import SignalWorkflowExecutionRequest

from domain.messages import ActKind
from tests.agency import Agency, eventually, letter

BURST = 2_000


async def raw_signal(agency: Agency, case_id: str, name: str, *payloads: Payload, identity: str = "") -> None:
    """As anybody with access to the namespace may send it: no Holdfast, no Python types, and any name they like."""
    await agency.client.workflow_service.signal_workflow_execution(
        SignalWorkflowExecutionRequest(
            namespace=agency.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=case_id),
            signal_name=name,
            input=Payloads(payloads=payloads),
            identity=identity,
        )
    )


def plain(text: bytes) -> Payload:
    return Payload(metadata={"encoding": b"json/plain"}, data=text)


async def test_no_kind_of_nonsense_fails_or_wedges_a_case(agency: Agency) -> None:
    case_id = await agency.receive(letter("L-1005"))
    await agency.parked(case_id, "investigate")
    for name in ("act", "client_replied", "event", "no-such-signal"):
        await raw_signal(agency, case_id, name)
        await raw_signal(agency, case_id, name, plain(b"null"))
        await raw_signal(agency, case_id, name, plain(b"1"), plain(b"2"))
        await raw_signal(agency, case_id, name, plain(b'"approved by Shobhit"'))
        await raw_signal(agency, case_id, name, plain(b"[" * 5_000))
        await raw_signal(agency, case_id, name, plain(b"\xff\xfe\x00"))
        await raw_signal(agency, case_id, name, Payload(metadata={"encoding": b"binary/unknown"}, data=b"?"))
        await raw_signal(agency, case_id, name, Payload(data=b"no encoding"))

    async def heard() -> bool:
        return (await agency.view(case_id)).refused >= 28

    await agency.eventually(heard, "nonsense was not counted")
    await agency.find(case_id, [], ["L-1005"])
    assert (await agency.closed(case_id)).status == "refused"
    told = await agency.database.value(
        "SELECT count(*) FROM case_events WHERE case_id = $1 AND kind = 'unreadable'", case_id
    )
    assert isinstance(told, int)
    assert 1 <= told <= 40


async def test_an_unsigned_act_by_raw_grpc_is_refused_where_it_can_be_seen(agency: Agency) -> None:
    case_id = await agency.receive(letter("L-1005"))
    await agency.parked(case_id, "investigate")
    act = await agency.crafted(case_id, "investigate", ActKind.FINDINGS, {"findings": []}, "P-1")
    await raw_signal(agency, case_id, "act", plain(act.model_copy(update={"signature": ""}).model_dump_json().encode()))
    await raw_signal(
        agency, case_id, "act", plain(act.model_copy(update={"signature": "A" * 86}).model_dump_json().encode())
    )

    async def refused() -> bool:
        return (await agency.view(case_id)).refused == 2

    await agency.eventually(refused, "the forged acts were not refused")
    told = await agency.database.value(
        "SELECT count(*) FROM case_events WHERE case_id = $1 AND kind = 'act.refused'", case_id
    )
    assert told == 2
    await agency.find(case_id, [], ["L-1005"])
    await agency.closed(case_id)
    await agency.keep(case_id, "forged-and-malformed")


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_burst_of_two_thousand_forged_acts_costs_little_and_the_good_one_is_heard(agency: Agency) -> None:
    case_id = await agency.receive(letter("L-1005"))
    await agency.parked(case_id, "investigate")
    handle = agency.handle(case_id)
    good = await agency.crafted(case_id, "investigate", ActKind.CLAIM, {}, "P-1")
    forged = [good.model_copy(update={"signature": f"{number:086d}"}) for number in range(BURST)]
    for start in range(0, BURST, 100):
        await asyncio.gather(*(handle.signal("act", act) for act in forged[start : start + 100]))
    await handle.signal("act", good)

    async def claimed() -> bool:
        (step,) = (await agency.view(case_id)).steps
        return step.owner == "P-1"

    await eventually(claimed, "the good act was not heard in the burst", seconds=150)
    history = (await agency.history(case_id)).to_json_dict()["events"]
    activities = [event for event in history if event["eventType"] == "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED"]
    assert len(activities) <= 40
    await agency.find(case_id, [], ["L-1005"])
    assert (await agency.closed(case_id)).status == "refused"


@pytest.mark.clause("RL-14")
@pytest.mark.parametrize("identity", ["shobhit.patil", "Shobhit Patil <shobhit.patil@commversion.com>"])
async def test_the_approvers_identity_on_a_plain_signal_decides_nothing(agency: Agency, identity: str) -> None:
    """Whoever a sender says he is: a bare word, an act without a signature, one of his own key, and one of himself."""
    case_id = await agency.put_to_approver()
    reason = {"reason_sha256": await agency.text("Because of the amount.")}
    good = await agency.crafted(case_id, "approval", ActKind.APPROVE, reason, "shobhit.patil")
    own = await agency.crafted(case_id, "approval", ActKind.APPROVE, reason, "P-4")
    acts = (good.model_copy(update={"signature": ""}), good.model_copy(update={"signature": "A" * 86}), own)
    for payload in (b'"approve"', b'{"kind": "return.approve"}', *(one.model_dump_json().encode() for one in acts)):
        for name in ("act", "approve"):
            await raw_signal(agency, case_id, name, plain(payload), identity=identity)
    for code in ("unsigned", "bad-signature", "not-asked"):
        await agency.refused(case_id, code)
    await agency.parked(case_id, "approval")
    assert await agency.database.value("SELECT count(*) FROM acts WHERE kind = 'return.approve'") == 0
    assert agency.mails("not be charged") == []
    shown = await agency.handle(case_id).query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    assert "Acts or signals refused so far: " in shown.current_details  # where the Temporal UI shows it
    assert await agency.database.value("SELECT count(*) FROM case_events WHERE kind = 'act.refused'") == 3
    await agency.handle(case_id).signal("act", good)
    await agency.parked(case_id, "confirm")
