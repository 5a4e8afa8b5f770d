"""Somebody with access to the namespace calls our running activities: nothing of it is accepted, and it can be seen."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import cast

import pytest_asyncio
from temporalio.client import WorkflowFailureError

from domain.acts import ActAnswer, Candidate, RecordActs
from domain.case import CaseEvent, CaseStatus, CaseView, EventKind
from domain.effects import (
    AnswerClient,
    Audience,
    AuthoriseCreditNote,
    ConfirmToAccounts,
    DraftCreditNote,
    Effect,
    Grant,
    ListDoNotInvoice,
    Receipt,
    ReceiptState,
    SendLetter,
    Stage,
    StageDone,
)
from domain.ids import effect_key, money_queue
from domain.messages import ActKind
from domain.return_lead import Billing, BillingState, LeadBilling
from runtime.keys import local_signer
from runtime.temporal_server import TemporalServer
from tests.agency import ACCOUNTS, CLIENT_MAIL, Agency, letter, open_agency
from tests.conftest import Database
from tests.workflows.rogue import Call, alone, complete, complete_by_id, polled, reset, rogue, take_over
from worker import money_worker, sops_worker

LEADS = ["L-1001", "L-1005"]  # one on an issued invoice, one unbilled
NOW = datetime(2026, 11, 25, tzinfo=UTC)
ALL = ("list-do-not-invoice", "confirm-to-accounts", "draft-credit-note", "authorise-credit-note", "answer-client")


def view(case_id: str, workflow_id: str = "", **changes: object) -> CaseView:
    plain = CaseView(
        case_id=case_id, workflow_id=workflow_id or case_id, kind="ReturnLead", client_id="C-0001", opened_at=NOW
    )
    return plain.model_copy(update={"version": 10**15, **changes})


def mail(case_id: str, template: str, audience: Audience) -> SendLetter:
    return SendLetter(key=effect_key(case_id, "rogue"), clause="RL-8", template=template, audience=audience)


def gated(case_id: str, invoice: str = "i") -> dict[str, Effect]:
    """Every effect about money, as it would be prepared."""
    made: tuple[Effect, ...] = (
        ListDoNotInvoice(key=effect_key(case_id, "list-do-not-invoice"), clause="RL-11"),
        ConfirmToAccounts(key=effect_key(case_id, "confirm-to-accounts"), clause="RL-13"),
        DraftCreditNote(key=effect_key(case_id, "draft-credit-note", invoice), clause="RL-12", invoice_id=invoice),
        AuthoriseCreditNote(
            key=effect_key(case_id, "authorise-credit-note", invoice), clause="RL-12", invoice_id=invoice
        ),
        AnswerClient(key=effect_key(case_id, "answer-client"), clause="RL-5"),
    )
    return {one.kind: one for one in made}


def stage(case_id: str, *effects: Effect, workflow_id: str = "", **changes: object) -> Call:
    made = Stage(name="rogue", clause="RL-8", effects=effects, view=view(case_id, workflow_id))
    return Call("perform", made.model_copy(update=changes))


def grant(case_id: str, *kinds: str, workflow_id: str = "", **changes: object) -> Call:
    keys = tuple(gated(case_id)[kind].key for kind in kinds)
    made = Grant(
        case_id=case_id,
        workflow_id=workflow_id or case_id,
        clause="RL-12",
        keys=keys,
        view=view(case_id, workflow_id),
    )
    return Call("grant", made.model_copy(update=changes))


def forged(kind: EventKind) -> CaseEvent:
    return CaseEvent(kind=kind, clause="RL-14", at=NOW, text="Shobhit Patil approved it.")


async def investigated(agency: Agency) -> str:
    """A case that waits for its confirmation, the findings being signed."""
    case_id = await agency.receive(letter(", ".join(LEADS)))
    await agency.find(case_id, LEADS)
    await agency.parked(case_id, "confirm")
    return case_id


async def nothing_granted(agency: Agency, case_id: str) -> None:
    """No promise, no confirmation, no credit, no grant; and the audit trail is whole."""
    effects = await agency.effects(case_id)
    assert {name: state for name, state in effects.items() if name.split("/")[0] in ALL and state != "prepared"} == {}
    assert [one["To"] for one in agency.mails("not be charged") if CLIENT_MAIL in str(one["To"])] == []
    assert agency.mails("Confirmed returns") == []
    assert agency.mails("Final action") == []
    assert agency.outside.xero.credit_notes == []
    for table in ("grants", "do_not_invoice"):
        assert await agency.database.value(f"SELECT count(*) FROM {table}") == 0  # noqa: S608
    assert (await agency.audited()).whole


async def told(agency: Agency, case_id: str, kind: EventKind) -> int:
    query = "SELECT count(*) FROM case_events WHERE case_id = $1 AND kind = $2"
    return cast("int", await agency.database.value(query, case_id, kind.value))


async def goes_on(agency: Agency, case_id: str) -> None:
    """The case goes its way as if nothing had been."""
    await agency.confirm(case_id)
    await agency.authorise(case_id)
    assert (await agency.result(case_id)).valid == len(LEADS)


# From a workflow of his own -------------------------------------------------------------------------------------------


def attacks(case_id: str, other: str) -> dict[str, Call]:
    """What a rogue workflow may ask of our activities, by what it is after."""
    money = gated(case_id)
    return {
        "a confirmation to Accounts": stage(case_id, money["confirm-to-accounts"]),
        "a confirmation as a plain letter": stage(case_id, mail(case_id, "confirm-to-accounts", Audience.ACCOUNTS)),
        "a promise to the client": stage(case_id, money["answer-client"]),
        "a promise as a plain letter": stage(case_id, mail(case_id, "answer", Audience.ALL_RECIPIENTS)),
        "a final action that never was": stage(case_id, mail(case_id, "final-action", Audience.ACCOUNTS)),
        "a credit note": stage(case_id, money["draft-credit-note"]),
        "a forged act in the audit trail": stage(case_id, events=(forged(EventKind.ACT_ACCEPTED),)),
        "a forged effect in the audit trail": stage(case_id, events=(forged(EventKind.EFFECT_SENT),)),
        "a forged line in the audit trail": stage(case_id, events=(forged(EventKind.NOTED),)),
        "a view that says closed": stage(case_id, view=view(case_id, status=CaseStatus.CLOSED)),
        "closed once all is done": stage(case_id, closing=view(case_id, status=CaseStatus.CLOSED)),
        "another case's keys": stage(other, money["answer-client"]),
        "money: a confirmation": grant(case_id, "confirm-to-accounts"),
        "money: a promise": grant(case_id, "answer-client"),
        "money: all of it": grant(case_id, *ALL),
        "money: a forged act": grant(case_id, events=(forged(EventKind.ACT_ACCEPTED),)),
        "money: a view that says closed": grant(case_id, view=view(case_id, status=CaseStatus.CLOSED)),
    }


async def test_a_rogue_workflow_calling_perform_and_grant(agency: Agency) -> None:
    """Each attack under a workflow id of its own, whether it names the case's workflow or its own as the one asking."""
    case_id = await investigated(agency)
    before, mails = await shown(agency, case_id), len(agency.mails())
    effects = await agency.effects(case_id)
    for name, call in attacks(case_id, "return-lead/other").items():
        said = await rogue(agency, call)
        assert [one.partition(":")[0] for one in said] == ["Intruder"], name
    own = stage(case_id, gated(case_id)["answer-client"], workflow_id="rogue-1")
    assert (await rogue(agency, own, workflow_id="rogue-1"))[0].startswith("Intruder")
    assert await shown(agency, case_id) == before
    assert (await agency.effects(case_id), len(agency.mails())) == (effects, mails)
    assert await told(agency, case_id, EventKind.INTRUDED) >= 2
    await nothing_granted(agency, case_id)
    await goes_on(agency, case_id)


async def test_our_activities_started_with_no_workflow_around_them(agency: Agency) -> None:
    """Anybody who may start activities can: naming the case's workflow, or none, of this case or of one made up."""
    case_id, nobodys = await investigated(agency), "return-lead/nobodys"
    before = await shown(agency, case_id)
    for one in (case_id, nobodys):
        unnamed = {"workflow_id": "", "view": view(one).model_copy(update={"workflow_id": ""})}
        for call in (grant(one, *ALL), stage(one, *gated(one).values())):
            for tried in (call, replace(call, argument=call.argument.model_copy(update=unnamed))):
                assert (await alone(agency, tried)).startswith("Intruder"), tried
    assert await shown(agency, case_id) == before
    assert await agency.database.value("SELECT count(*) FROM cases") == 1
    await nothing_granted(agency, case_id)


async def shown(agency: Agency, case_id: str) -> object:
    """The case as pages and commands show it."""
    query = (
        "SELECT status, outcome, owner, waiting_for, due_at, view, closed_at, workflow_id FROM cases WHERE case_id = $1"
    )
    return [tuple(row) for row in await agency.database.fetch(query, case_id)]


async def test_a_flood_of_rogue_calls_is_told_briefly(agency: Agency) -> None:
    case_id = await investigated(agency)
    call = grant(case_id, "answer-client")
    await asyncio.gather(*(rogue(agency, *[call] * 3, workflow_id=f"flood-{n}") for n in range(60)))
    assert await told(agency, case_id, EventKind.INTRUDED) == 50
    await nothing_granted(agency, case_id)


async def test_a_rogue_workflow_calling_record_acts_with_a_good_act(agency: Agency) -> None:
    """An act that was signed, overheard, and brought by another workflow with effects of its choice behind it."""
    case_id = await investigated(agency)
    act = await agency.crafted(case_id, "confirm", ActKind.CONFIRM, {"preview_sha256": "0" * 64}, "P-2")
    then = (mail(case_id, "refused", Audience.ALL_RECIPIENTS),)
    request = recorded(case_id, "confirm", "return.confirm", Candidate(act=act, then=then))
    assert (await rogue(agency, Call("record_acts", request)))[0].startswith("Intruder")
    query = "SELECT count(*) FROM acts WHERE case_id = $1 AND kind = 'return.confirm'"
    assert await agency.database.value(query, case_id) == 0
    await nothing_granted(agency, case_id)
    await goes_on(agency, case_id)


def recorded(case_id: str, step_id: str, kind: str, *candidates: Candidate, **changes: object) -> RecordActs:
    request = RecordActs(
        case_id=case_id,
        workflow_id=case_id,
        step_id=step_id,
        kinds=(kind,),
        role="team:return-leads",
        candidates=candidates,
        view=view(case_id),
        view_after=view(case_id),
    )
    return request.model_copy(update=changes)


# Under the case's own id ----------------------------------------------------------------------------------------------


async def test_a_rogue_workflow_under_the_cases_own_id(agency: Agency) -> None:
    """It ends the case's workflow and takes its id: it may prepare money and write notes, and nothing is granted."""
    case_id = await investigated(agency)
    money = gated(case_id)
    letters = {
        "gated": mail(case_id, "confirm-to-accounts", Audience.ACCOUNTS),
        "gated, too": mail(case_id, "answer", Audience.ALL_RECIPIENTS),
        "not-answered": mail(case_id, "final-action", Audience.ACCOUNTS),
        "unknown-template": mail(case_id, "cheque", Audience.ACCOUNTS),
    }
    said = await take_over(
        agency,
        case_id,
        stage(case_id, *money.values()),
        grant(case_id, *ALL),
        *(stage(case_id, one) for one in letters.values()),
        stage(case_id, events=(forged(EventKind.ACT_ACCEPTED),)),
        stage(case_id, events=(forged(EventKind.EFFECT_SENT),)),
        grant(case_id, events=(forged(EventKind.ACT_ACCEPTED),)),
        stage(case_id, AnswerClient(key="return-lead/other/answer-client/1", clause="RL-5")),
        stage(case_id, view=view("return-lead/other")),
    )
    prepared, granted, *rest = said
    assert prepared.count("'state': 'prepared'") == len(ALL)
    assert granted.count("'state': 'refused'") == len(ALL)
    assert "not-confirmed" in granted
    for code, one in zip(letters, rest, strict=False):
        assert f"'code': '{code.partition(',')[0]}'" in one, code
    assert ["event-kind" in one or "acts and effects are told" in one for one in rest[4:7]] == [True] * 3
    assert [one.partition(":")[0] for one in rest[7:]] == ["Intruder"] * 2
    assert await told(agency, case_id, EventKind.EFFECT_REFUSED) >= len(ALL)
    assert [await told(agency, one, EventKind.INTRUDED) for one in (case_id, "")] == [1, 1]
    await nothing_granted(agency, case_id)


async def test_forged_findings_under_the_cases_own_id(agency: Agency, tmp_path: Path) -> None:
    """Unsigned, signed by a key of his own, and a confirmation for Accounts' role: each refused, and told."""
    case_id = await agency.receive(letter(", ".join(LEADS)))
    await agency.parked(case_id, "investigate")
    text = await agency.text("A robot filled in the form, and nobody ever called.")
    one = {"lead_id": "L-1001", "verdict": "valid", "reason": "spam", "text_sha256": text, "evidence": []}
    payload = {"findings": [one, one | {"lead_id": "L-1005"}]}
    good = await agency.crafted(case_id, "investigate", ActKind.FINDINGS, payload, "P-1")
    stranger = local_signer(tmp_path / "stranger")
    unknown = good.model_copy(update={"signature": stranger.sign(b"holdfast-act-v1\n" + good.body.encode())})
    unsigned = good.model_copy(update={"signature": ""})
    by_nobody = await agency.crafted(case_id, "investigate", ActKind.FINDINGS, payload, "P-4")
    acts = [Candidate(act=act) for act in (unknown, unsigned, by_nobody)]
    request = recorded(case_id, "investigate", "return.findings", *acts, role="team:operations")
    (said,) = await take_over(agency, case_id, Call("record_acts", request))
    assert "'accepted': -1" in said
    query = "SELECT code FROM act_refusals WHERE case_id = $1 ORDER BY code"
    refused = [row["code"] for row in await agency.database.fetch(query, case_id)]
    assert refused == ["bad-signature", "not-asked", "unsigned"]
    assert await told(agency, case_id, EventKind.ACT_REFUSED) == len(acts)
    await nothing_granted(agency, case_id)


# In the tables --------------------------------------------------------------------------------------------------------

ALTERS = """
    CREATE TABLE kept AS SELECT case_id, ordinal, billing FROM case_leads;
    CREATE FUNCTION alter_rows() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        UPDATE case_leads SET billing = billing || '{"gross": "4000.00", "net": "4000.00"}';
        RETURN NULL;
    END $$;
    CREATE TRIGGER alters AFTER INSERT ON acts FOR EACH ROW
        WHEN (NEW.kind IN ('return.confirm', 'return.authorise')) EXECUTE FUNCTION alter_rows()"""
AS_THEY_WERE = """UPDATE case_leads l SET billing = k.billing FROM kept k
    WHERE (l.case_id, l.ordinal) = (k.case_id, k.ordinal)"""


async def test_amounts_altered_in_the_tables_once_they_are_signed_are_in_no_letter(agency: Agency) -> None:
    """The SOP worker's rows at the moment in which the money worker writes to Accounts, and to the client."""
    case_id = await investigated(agency)
    await agency.database.execute(ALTERS)
    await agency.confirm(case_id)
    await agency.parked(case_id, "authorise")
    (confirmation,) = [one.get_content() for one in agency.mails("Confirmed returns") if ACCOUNTS in str(one["To"])]
    assert ("GBP 60.00 in all" in confirmation, "4,000" in confirmation) == (True, False)
    await agency.database.execute(AS_THEY_WERE)
    await agency.authorise(case_id)
    assert (await agency.result(case_id)).valid == len(LEADS)
    (said,) = [one.get_content() for one in agency.mails("not be charged") if CLIENT_MAIL in str(one["To"])]
    assert ("GBP 60.00" in said, "4,000" in said, "L-1005" in said) == (True, False, True)


# A worker of his own, and raw completions -----------------------------------------------------------------------------


@pytest_asyncio.fixture
async def without_money(tmp_path: Path, database: Database, temporal: TemporalServer) -> AsyncGenerator[Agency]:
    """An agency whose money worker is away: whoever polls its queue first has the task."""
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(open_agency(tmp_path, database, temporal, workers=False))
        async with money_worker(made.settings, made.client, queue=made.queue):
            pass  # it has written down who acts for money, and is gone
        await stack.enter_async_context(sops_worker(made.settings, made.client, queue=made.queue))
        yield made


def all_sent(keys: tuple[str, ...]) -> StageDone:
    """What an honest money worker answers when everything went well."""
    kinds = {key: next(kind for kind in ALL if f"/{kind}" in key) for key in keys}
    return StageDone(
        receipts=tuple(
            Receipt(key=key, kind=kind, clause="RL-12", state=ReceiptState.SENT, reference="r")
            for key, kind in kinds.items()
        )
    )


async def test_a_rogue_completion_of_the_money_activity_by_its_task_token(without_money: Agency) -> None:
    """The workflow believes that all was granted. Nothing was, and the case can't close: Accounts can't be told so."""
    agency = without_money
    case_id = await agency.receive(letter("L-1005"))
    await agency.find(case_id, ["L-1005"])
    await agency.confirm(case_id)
    task = await polled(agency.client, money_queue(agency.queue))
    (asked,) = await agency.client.data_converter.decode(task.input.payloads, [Grant])
    await complete(agency.client, task.task_token, all_sent(asked.keys))
    step_id = await agency.parked_at(case_id, "could-not")
    (step,) = [one for one in (await agency.view(case_id)).steps if one.step_id == step_id]
    assert "not-answered" in step.waiting_for
    assert (await agency.view(case_id)).status is CaseStatus.OPEN
    await nothing_granted(agency, case_id)


async def test_a_rogue_worker_on_the_money_queue(without_money: Agency) -> None:
    agency = without_money

    async def invent(task_queue: str) -> None:
        while True:
            task = await polled(agency.client, task_queue)
            if task.task_token:
                (asked,) = await agency.client.data_converter.decode(task.input.payloads, [Grant])
                await complete(agency.client, task.task_token, all_sent(asked.keys))

    rogue_worker = asyncio.create_task(invent(money_queue(agency.queue)))
    try:
        case_id = await investigated(agency)
        await agency.confirm(case_id)
        await agency.parked(case_id, "authorise")  # the workflow believes that there is a draft
        await agency.authorise(case_id)
        await agency.parked_at(case_id, "could-not")
    finally:
        rogue_worker.cancel()
    await nothing_granted(agency, case_id)


async def test_a_rogue_completion_that_says_the_leads_cost_next_to_nothing(agency: Agency) -> None:
    """Completed by somebody else while our worker reads the books: the approver is asked all the same."""
    leads = ["L-1005", "L-1006"]
    await agency.database.arrived_at("300.00", *leads)
    case_id = await agency.receive(letter(", ".join(leads)))
    await agency.parked(case_id, "investigate")
    agency.outside.xero.fault("GET /Invoices", "slow", times=1, seconds=3)
    await agency.find(case_id, leads)
    activity_id = await in_flight(agency, case_id, "record_acts")
    cheap = Billing(
        leads=tuple(LeadBilling(lead_id=one, state=BillingState.UNBILLED, gross=Decimal(1)) for one in leads)
    )
    read = Receipt(
        key="k", kind="read-billing", clause="RL-5", state=ReceiptState.SENT, data=cheap.model_dump(mode="json")
    )
    answer = ActAnswer(accepted=0, kind="return.findings", by="P-1", receipts=(read,))
    await complete_by_id(agency.client, case_id, activity_id, answer)
    await agency.confirm(case_id)  # the workflow believes that no approver is needed
    await agency.parked(case_id, "approval")  # the gate did not
    assert await told(agency, case_id, EventKind.EFFECT_REFUSED) >= 1
    await nothing_granted(agency, case_id)


async def test_a_rogue_completion_that_says_an_unsigned_confirmation_was_accepted(agency: Agency) -> None:
    case_id = await investigated(agency)
    act = await agency.crafted(case_id, "confirm", ActKind.CONFIRM, {"preview_sha256": "0" * 64}, "P-2")
    blocked = await agency.database.pool("owner")
    async with blocked.acquire() as conn, conn.transaction():
        await conn.execute("LOCK TABLE case_events IN ACCESS EXCLUSIVE MODE")  # keeps our worker at it
        await agency.handle(case_id).signal("act", act.model_copy(update={"signature": ""}))
        activity_id = await in_flight(agency, case_id, "record_acts")
        answer = ActAnswer(accepted=0, kind="return.confirm", by="P-2")
        await complete_by_id(agency.client, case_id, activity_id, answer)
        await in_flight(agency, case_id, "grant")
    await agency.parked(case_id, "confirm.2")  # the gate knows of no confirmation
    assert await told(agency, case_id, EventKind.EFFECT_REFUSED) >= 1
    await nothing_granted(agency, case_id)
    await agency.confirm(case_id, step_id="confirm.2")
    await agency.authorise(case_id)
    assert (await agency.result(case_id)).valid == len(LEADS)


async def in_flight(agency: Agency, case_id: str, activity: str) -> str:
    """Waits until a worker is at this activity of a case; its id."""
    found: list[str] = []

    async def there() -> bool:
        described = await agency.handle(case_id).describe()
        found[:] = [
            one.activity_id
            for one in described.raw_description.pending_activities
            if one.activity_type.name == activity and one.state == 2
        ]
        return bool(found)

    await agency.eventually(there, f"{activity} of {case_id} was never started")
    return found[0]


# Replayed -------------------------------------------------------------------------------------------------------------


async def test_replay_after_a_reset_of_the_workflow(agency: Agency) -> None:
    """From its very beginning: people are asked anew, and nothing is done, mailed, granted or credited twice."""
    case_id = await investigated(agency)
    await agency.confirm(case_id)
    await agency.parked(case_id, "authorise")
    before = await everything(agency, case_id)
    await reset(agency.client, agency.handle(case_id), 4)
    await agency.confirm(case_id)
    await agency.parked(case_id, "authorise")
    assert await everything(agency, case_id) == before
    await agency.authorise(case_id)
    assert (await agency.result(case_id)).valid == len(LEADS)
    assert len(agency.outside.xero.credit_notes) == 1
    assert len([one for one in agency.mails("Confirmed returns") if ACCOUNTS in str(one["To"])]) == 1
    assert (await agency.audited()).whole


async def test_a_reset_of_a_case_that_has_ended(agency: Agency) -> None:
    """It begins nothing anew: what is over stays over."""
    case_id = await investigated(agency)
    await goes_on(agency, case_id)
    before = await everything(agency, case_id)
    await reset(agency.client, agency.handle(case_id), 4)
    with suppress(WorkflowFailureError):
        await agency.result(case_id)
    assert await everything(agency, case_id) == before
    assert await agency.database.value("SELECT status FROM cases WHERE case_id = $1", case_id) == "closed"
    assert (await agency.audited()).whole


async def everything(agency: Agency, case_id: str) -> object:
    """What the world and the tables hold of a case."""
    grants = await agency.database.fetch("SELECT * FROM grants ORDER BY lead_id")
    listed = await agency.database.fetch("SELECT * FROM do_not_invoice ORDER BY lead_id")
    mails = sorted(str(one["Message-ID"]) for one in agency.mails())
    notes = [(one["CreditNoteNumber"], one["Status"], one["Total"]) for one in agency.outside.xero.credit_notes]
    rows = [[tuple(row) for row in table] for table in (grants, listed)]
    return await agency.effects(case_id), rows, mails, notes


async def test_an_approval_withdrawn_and_brought_up_again_after_a_reset(agency: Agency) -> None:
    """The approver is asked anew: an act that was heard before decides nothing a second time."""
    case_id = await agency.put_to_approver()
    reason = {"reason_sha256": await agency.text("Because of the amount.")}
    approval = await agency.crafted(case_id, "approval", ActKind.APPROVE, reason, "shobhit.patil")
    await agency.handle(case_id).signal("act", approval)
    await agency.parked(case_id, "confirm")
    withdrawal = await agency.crafted(case_id, "approval", ActKind.WITHDRAW, reason, "shobhit.patil")
    await agency.handle(case_id).signal("act", withdrawal)

    async def withdrawn() -> bool:
        query = "SELECT true FROM acts WHERE case_id = $1 AND kind = 'return.withdraw'"
        return bool(await agency.database.value(query, case_id))

    await agency.eventually(withdrawn, "the withdrawal was never recorded")
    await reset(agency.client, agency.handle(case_id), 4)
    await agency.parked(case_id, "approval")
    for act in (approval, approval.model_copy(update={"signature": ""})):
        await agency.handle(case_id).signal("act", act)
    await agency.refused(case_id, "unsigned")
    await agency.parked(case_id, "approval")
    await nothing_granted(agency, case_id)
