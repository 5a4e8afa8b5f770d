import asyncio
import json
from datetime import timedelta
from typing import Unpack

import pytest

from adapters.postgres.cases import PostgresCases
from adapters.postgres.crypto import Vault
from adapters.postgres.pool import Pool, transaction
from adapters.postgres.reader import CaseReader, StepFilters
from domain.case import CaseEvent, CaseStatus, EventKind
from domain.errors import Permanent, Refused
from domain.return_lead import Billing, BillingState, ClaimProblem, LeadBilling, LeadClaim, Triage
from tests.adapters.postgres.conftest import CASE, NOW, AddCase, step, view
from tests.conftest import Database

OTHER = "return-lead/fedcba9876543210"


@pytest.fixture
async def pool(database: Database, clients: None) -> Pool:
    return await database.pool("sops", maximum=12)


@pytest.fixture
def cases(pool: Pool, vault: Vault) -> PostgresCases:
    return PostgresCases(pool, vault)


@pytest.fixture
def reader(pool: Pool, vault: Vault) -> CaseReader:
    return CaseReader(pool, vault)


def event(text: str, kind: EventKind = EventKind.NOTED, *, minutes: int = 0) -> CaseEvent:
    return CaseEvent(
        kind=kind, clause="RL-4", at=NOW + timedelta(minutes=minutes), step_id="investigate", text=text, data={"n": 1}
    )


async def test_a_view_becomes_the_case_and_its_steps(cases: PostgresCases, reader: CaseReader) -> None:
    await cases.record(view(step(hours=72), step("confirm", hours=24, claimed_by="p-1")), [event("asked")])
    shown = await reader.case(CASE)
    assert (shown.row.owner, shown.row.waiting_for) == ("p-1", "waiting for confirm")
    assert shown.row.due_at == NOW + timedelta(hours=24)
    assert shown.row.client_name == "Acme"
    assert [(one.step.step_id, one.state) for one in shown.steps] == [("confirm", "open"), ("investigate", "open")]
    assert shown.steps[0].why == "findings due: 24 h after Tue 10 Mar 2026, 09:00 London time (RL-4)"
    assert shown.view == view(step(hours=72), step("confirm", hours=24, claimed_by="p-1"))


async def test_a_step_that_a_view_does_not_name_is_done(cases: PostgresCases, reader: CaseReader) -> None:
    await cases.record(view(step(), version=1), [])
    await cases.record(view(version=2), [])
    shown = await reader.case(CASE)
    assert [one.state for one in shown.steps] == ["done"]
    assert (shown.row.owner, shown.row.waiting_for, shown.row.due_at) == ("holdfast", "settling", None)
    assert (await reader.list_steps()).rows == ()


async def test_an_older_view_that_comes_late_changes_nothing_but_its_events_are_told(
    cases: PostgresCases, reader: CaseReader
) -> None:
    await cases.record(view(step(), version=1), [event("one")])
    await cases.record(view(step("confirm"), version=3), [event("three", minutes=3)])
    await cases.record(view(step(), version=2), [event("two", minutes=2)])
    assert [one.step.step_id for one in (await reader.list_steps()).rows] == ["confirm"]
    assert [line.text for line in await reader.timeline(CASE)] == ["one", "three", "two"]


async def test_views_in_any_order_end_as_the_newest(cases: PostgresCases, reader: CaseReader) -> None:
    views = [view(step(f"step.{number}"), version=number) for number in range(1, 13)]
    shuffled = sorted(views, key=lambda one: one.version * 7 % 12)
    await cases.record(view(step("step.0"), version=0), [])  # whoever writes a view finds the case that a door took in
    await asyncio.gather(*(cases.record(one, [event(f"{one.version}")]) for one in shuffled))
    assert [one.step.step_id for one in (await reader.list_steps()).rows] == ["step.12"]
    assert len(await reader.timeline(CASE)) == 12


async def test_a_done_step_comes_back_only_when_it_is_asked_anew(cases: PostgresCases, reader: CaseReader) -> None:
    await cases.record(view(step(), version=1), [])
    await cases.record(view(version=2), [])
    await cases.record(view(step(), version=3), [])
    assert (await reader.list_steps()).rows == ()
    await cases.record(view(step(asked_at=NOW + timedelta(hours=1)), version=4), [])
    assert [one.step.step_id for one in (await reader.list_steps()).rows] == ["investigate"]


async def test_recording_the_same_again_tells_it_once(cases: PostgresCases, reader: CaseReader) -> None:
    for _ in range(3):
        await cases.record(view(step()), [event("asked"), event("asked", minutes=1)])
    assert [line.at for line in await reader.timeline(CASE)] == [NOW, NOW + timedelta(minutes=1)]


@pytest.mark.parametrize("kind", [kind for kind in EventKind if kind.value.startswith(("act.", "effect."))])
async def test_acts_and_effects_are_not_told_by_a_workflow(
    cases: PostgresCases, reader: CaseReader, kind: EventKind
) -> None:
    with pytest.raises(Refused) as caught:
        await cases.record(view(step()), [event("forged", kind)])
    assert caught.value.code == "event-kind"
    assert (await reader.list_cases()).rows == ()


async def test_the_timeline_opens_what_was_told(cases: PostgresCases, reader: CaseReader, database: Database) -> None:
    await cases.record(view(step()), [event("Jane Doe wrote")])
    (line,) = await reader.timeline(CASE)
    assert (line.text, line.clause, line.step_id, line.data, line.actor) == (
        "Jane Doe wrote", "RL-4", "investigate", {"n": 1}, "",
    )  # fmt: skip
    await database.execute("DELETE FROM client_keys WHERE client_id = 'acme'")
    (line,) = await reader.timeline(CASE)
    assert (line.text, line.at, line.clause) == ("(erased)", None, "RL-4")


async def test_the_door_s_client_and_request_survive_a_view(
    cases: PostgresCases, database: Database, add_case: AddCase
) -> None:
    await add_case(client_id="globex")
    await database.execute("""UPDATE cases SET request = '{"loop_in": "send"}'""")
    await cases.record(view(step()), [])
    (row,) = await database.fetch("SELECT client_id, request FROM cases")
    assert (row["client_id"], row["request"]) == ("globex", {"loop_in": "send"})


async def test_leads_are_claimed_one_by_one_each_with_its_reason(
    cases: PostgresCases, database: Database, add_case: AddCase
) -> None:
    await add_case()
    await add_case(OTHER)
    await cases.admit(OTHER, Triage(accept=True, client_id="acme", lead_ids=("L-1002",)))
    await database.execute(
        """INSERT INTO grants (lead_id, case_id, client_id, contact_id, treatment, gross, currency, gbp, effect_key)
           VALUES ('L-1003', 'old', 'acme', 'c-1', 'no-charge', 40, 'GBP', 40, 'k')"""
    )
    asked = ("L-1001", "L-1002", "L-1003", "L-2001", "L-9999", "L-1001", "L-1004")
    triage = Triage(accept=True, client_id="acme", lead_ids=asked)
    found = await cases.admit(CASE, triage)
    assert [(one.lead_id, one.problem.value) for one in found] == [
        ("L-1001", ""),
        ("L-1002", "under-review"),
        ("L-1003", "already-returned"),
        ("L-2001", "other-client"),
        ("L-9999", "unknown-lead"),
        ("L-1001", "twice-in-request"),
        ("L-1004", ""),
    ]
    assert await database.value("SELECT elsewhere FROM case_leads WHERE problem = 'under-review'") == OTHER
    assert await cases.admit(CASE, triage) == found == await cases.claims(CASE)


async def test_a_second_triage_names_other_leads(cases: PostgresCases, add_case: AddCase) -> None:
    await add_case()
    await cases.admit(CASE, Triage(accept=True, client_id="acme", lead_ids=("L-1001", "L-1002")))
    await cases.admit(CASE, Triage(accept=True, client_id="acme", lead_ids=("L-1002", "L-1003")))
    assert await cases.claims(CASE) == (LeadClaim(lead_id="L-1002"), LeadClaim(lead_id="L-1003"))


async def test_of_cases_claiming_a_lead_at_once_one_gets_it(cases: PostgresCases, add_case: AddCase) -> None:
    names = [await add_case(f"return-lead/{number:016}") for number in range(8)]
    leads = ("L-1001", "L-1002", "L-1003")

    async def admit(number: int, name: str) -> tuple[LeadClaim, ...]:
        wanted = leads if number % 2 else leads[::-1]
        return await cases.admit(name, Triage(accept=True, client_id="acme", lead_ids=wanted))

    claims = [one for found in await asyncio.gather(*map(admit, range(8), names)) for one in found]
    assert sorted(one.lead_id for one in claims if not one.problem) == sorted(leads)
    assert sum(one.problem is ClaimProblem.ELSEWHERE for one in claims) == 21


async def test_a_closed_case_gives_its_leads_back(cases: PostgresCases, add_case: AddCase, database: Database) -> None:
    await add_case()
    await add_case(OTHER)
    await cases.admit(CASE, Triage(accept=True, client_id="acme", lead_ids=("L-1001",)))
    await cases.record(view(status=CaseStatus.CLOSED), [])
    closed_at = await database.value("SELECT closed_at FROM cases WHERE case_id = $1", CASE)
    assert closed_at is not None
    await cases.record(view(status=CaseStatus.CLOSED, version=2), [])
    assert await database.value("SELECT closed_at FROM cases WHERE case_id = $1", CASE) == closed_at
    (found,) = await cases.admit(OTHER, Triage(accept=True, client_id="acme", lead_ids=("L-1001",)))
    assert not found.problem


async def test_admitting_gives_the_case_its_client_and_his_key(
    cases: PostgresCases, database: Database, vault: Vault, pool: Pool, add_case: AddCase
) -> None:
    await add_case(client_id="")
    async with transaction(pool) as conn:
        sealed = await vault.seal(conn, "", b'{"sender": "jane@acme.example"}')
        await conn.execute("UPDATE cases SET thread_ct = $1", sealed)
    await cases.admit(CASE, Triage(accept=True, client_id="acme", lead_ids=("L-1001",)))
    (row,) = await database.fetch("SELECT client_id, thread_ct FROM cases")
    assert row["client_id"] == "acme"
    async with transaction(pool) as conn:
        assert json.loads(await vault.open(conn, "acme", row["thread_ct"]))["sender"] == "jane@acme.example"


@pytest.mark.parametrize(
    ("case_id", "triage", "code"),
    [
        ("no-such-case", Triage(accept=True, client_id="acme"), "unknown-case"),
        (CASE, Triage(accept=True, client_id="nobody"), "unknown-client"),
        (CASE, Triage(accept=True, client_id="globex"), "other-client"),
        (CASE, Triage(accept=False), "not-accepted"),
    ],
)
async def test_a_triage_that_can_t_be_is_refused(
    cases: PostgresCases, add_case: AddCase, case_id: str, triage: Triage, code: str
) -> None:
    await add_case()
    with pytest.raises(Refused) as caught:
        await cases.admit(case_id, triage)
    assert caught.value.code == code
    assert await cases.claims(CASE) == ()


async def test_only_the_case_s_own_leads_are_read(cases: PostgresCases, add_case: AddCase) -> None:
    await add_case()
    await cases.admit(CASE, Triage(accept=True, client_id="acme", lead_ids=("L-1001", "L-1002", "L-2001")))
    rows = await cases.leads(CASE, ("L-1002", "L-1001"))
    assert [(row.lead_id, str(row.price), row.chat_id) for row in rows] == [
        ("L-1002", "GBP 40.00", "chat-L-1002"),
        ("L-1001", "GBP 40.00", "chat-L-1001"),
    ]
    for lead_id in ("L-1003", "L-2001"):
        with pytest.raises(Permanent, match=lead_id):
            await cases.leads(CASE, ("L-1001", lead_id))


async def test_billing_is_stored_with_each_lead(cases: PostgresCases, reader: CaseReader, add_case: AddCase) -> None:
    await add_case()
    await cases.admit(CASE, Triage(accept=True, client_id="acme", lead_ids=("L-1001", "L-1001")))
    billed = LeadBilling(lead_id="L-1001", state=BillingState.ISSUED, invoice_id="i-1", invoice_number="INV-1")
    await cases.store_billing(CASE, Billing(leads=(billed,)))
    assert [lead.billing for lead in (await reader.case(CASE)).leads] == [billed, None]


async def test_the_tracking_row_tells_what_became_of_a_lead(
    cases: PostgresCases, database: Database, add_case: AddCase
) -> None:
    await add_case()
    await database.execute("UPDATE cases SET arrived_at = '2026-03-28T23:30:00Z'")
    await cases.admit(CASE, Triage(accept=True, client_id="acme", lead_ids=("L-1001", "L-1002")))
    await add_act(database, "return.findings", {"findings": [finding("L-1001", "valid"), finding("L-1002", "valid")]})
    await database.execute(
        """INSERT INTO grants (lead_id, case_id, client_id, contact_id, treatment, gross, currency, gbp, invoice_id,
               invoice_number, effect_key)
           VALUES ('L-1001', $1, 'acme', 'c-1', 'credit-note', 40, 'GBP', 40, 'i', 'INV-1', 'k')""",
        CASE,
    )
    assert await cases.tracking_row(CASE, "key", "L-1001") == (
        "key", "L-1001", "Acme", "2026-03-28", "valid", "spam", "credit-note", "INV-1", CASE,
    )  # fmt: skip
    await add_act(database, "return.reduce", {"leads": [{"lead_id": "L-1002", "text_sha256": "0" * 64}]})
    assert (await cases.tracking_row(CASE, "key", "L-1002"))[4:8] == ("withdrawn", "spam", "withdrawn", "")
    with pytest.raises(Permanent):
        await cases.tracking_row(CASE, "key", "L-1003")


def finding(lead_id: str, verdict: str) -> dict[str, str]:
    return {"lead_id": lead_id, "verdict": verdict, "reason": "spam", "text_sha256": "0" * 64}


async def add_act(database: Database, kind: str, payload: object) -> None:
    await database.execute(
        """INSERT INTO acts (jti, case_id, workflow_id, step_id, kind, subject_sha256, issuer, sub, auth, body, payload,
               signature, subject) VALUES ($1, $2, $2, 's', $1, '', 'local', 'p', 'local', '{}', $3, '', '{}')""",
        kind, CASE, json.dumps(payload),
    )  # fmt: skip


async def test_lists_filter_and_page(cases: PostgresCases, reader: CaseReader) -> None:
    for number in range(5):
        status = CaseStatus.CLOSED if number == 4 else CaseStatus.OPEN
        steps = (step(),) if number < 4 else ()
        await cases.record(view(*steps, case_id=f"return-lead/{number}", status=status), [])
    first = await reader.list_cases(limit=2)
    assert [row.case_id for row in first.rows] == ["return-lead/4", "return-lead/3"]
    second = await reader.list_cases(limit=2, cursor=first.cursor)
    third = await reader.list_cases(limit=2, cursor=second.cursor)
    assert [row.case_id for row in (*second.rows, *third.rows)] == [f"return-lead/{n}" for n in (2, 1, 0)]
    assert third.cursor == ""
    assert [row.case_id for row in (await reader.list_cases(status="closed")).rows] == ["return-lead/4"]
    assert len((await reader.list_cases(owner="team:return-leads", client_id="acme")).rows) == 4
    assert (await reader.list_cases(client_id="globex")).rows == ()
    with pytest.raises(Refused):
        await reader.list_cases(cursor="yesterday")


async def test_open_steps_of_a_queue_or_a_person(cases: PostgresCases, reader: CaseReader) -> None:
    await cases.record(view(step(hours=72), step("mine", hours=24, claimed_by="p-1")), [])

    async def ids(**wanted: Unpack[StepFilters]) -> list[str]:
        return [one.step.step_id for one in (await reader.list_steps(**wanted)).rows]

    assert await ids() == ["mine", "investigate"]
    assert await ids(owner="p-1") == ["mine"]
    assert await ids(role="team:return-leads") == ["mine", "investigate"]
    assert await ids(role="team:accounts") == []
    assert await ids(case_id="another") == []


async def test_a_case_that_is_not_there(reader: CaseReader) -> None:
    with pytest.raises(Refused) as caught:
        await reader.case("return-lead/none")
    assert caught.value.code == "unknown-case"
    assert await reader.timeline("return-lead/none") == ()
