"""What a path costs in activities and history events: deterministic, so held by a test."""

from collections import Counter
from datetime import timedelta

from domain.messages import ActKind
from tests.agency import Agency, invoice, letter
from tests.workflows.commands import commands
from tests.workflows.test_replay import FINGERPRINTS, read

FOUR = ["L-1001", "L-1002", "L-1003", "L-1004"]
MOST_ACTIVITIES, MOST_EVENTS, MOST_A_CHASE = 9, 86, 12


async def test_four_leads_on_one_issued_invoice_stay_within_nine_activities_and_86_events(agency: Agency) -> None:
    case_id = await agency.receive(letter(", ".join(FOUR)))
    await agency.find(case_id, FOUR)
    await agency.confirm(case_id)
    await agency.authorise(case_id)
    await agency.result(case_id)
    history = (await agency.history(case_id)).to_json_dict()
    kinds = Counter(event["eventType"] for event in history["events"])
    assert kinds["EVENT_TYPE_ACTIVITY_TASK_SCHEDULED"] <= MOST_ACTIVITIES
    assert len(history["events"]) <= MOST_EVENTS
    assert commands(history) == read(FINGERPRINTS)["four-issued"]


async def test_the_path_above_the_limit_stays_within_eleven_activities_and_106_events(agency: Agency) -> None:
    agency.outside.xero.seed(invoices=[invoice("INV-9", range(1009, 1013), net="110.00")])
    leads = ["L-1009", "L-1010", "L-1011", "L-1012"]
    case_id = await agency.receive(letter(", ".join(leads)))
    await agency.find(case_id, leads)
    await agency.decide(case_id, ActKind.APPROVE)
    await agency.confirm(case_id)
    await agency.authorise(case_id)
    assert (await agency.result(case_id)).valid == 4
    events = (await agency.history(case_id)).to_json_dict()["events"]
    kinds = Counter(event["eventType"] for event in events)
    assert kinds["EVENT_TYPE_ACTIVITY_TASK_SCHEDULED"] <= 11
    assert len(events) <= 106
    (note,) = agency.outside.xero.credit_notes
    assert (note["Status"], note["Total"]) == ("AUTHORISED", 528)


async def test_a_chase_adds_at_most_twelve_events(agency: Agency) -> None:
    case_id = await agency.receive(letter("L-1005"))
    await agency.parked(case_id, "investigate")

    async def events() -> int:
        told = (await agency.history(case_id)).to_json_dict()["events"]
        return len(
            [
                event
                for event in told
                if "TIME_SKIPPING" not in event["eventType"] and "OPTIONS_UPDATED" not in event["eventType"]
            ]
        )

    await agency.pass_time(case_id, timedelta(hours=49))  # the first chase and the holding note
    await agency.chased(case_id, "investigate", 1)
    before = await events()
    await agency.pass_time(case_id, timedelta(hours=48))
    await agency.chased(case_id, "investigate", 2)
    assert await events() - before <= MOST_A_CHASE
