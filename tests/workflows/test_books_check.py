"""Month end: a lead that was promised not to be charged, and is; a credit note that nobody confirmed."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from decimal import Decimal

import pytest
import pytest_asyncio
from temporalio.client import ScheduleHandle

from adapters.postgres.books_cases import TemporalBooksCases
from domain import ids
from domain.books import InvoiceStatus
from domain.books_check import BOOKS_CHECK, INVOICED, UNCONFIRMED, BooksChecked, BooksCheckRequest, Charge
from domain.messages import ActKind
from starter.schedules import apply, books_schedule
from tests.agency import ACCOUNTS, RETURNS, Agency, invoice, letter

DONE = {"note_sha256": ""}
STEP = "invoiced-all-the-same"


async def promised(agency: Agency, *leads: str) -> str:
    """The client is told that these unbilled leads are not charged."""
    case_id = await agency.receive(letter(", ".join(leads)))
    await agency.find(case_id, leads)
    await agency.confirm(case_id)
    await agency.result(case_id)
    return case_id


async def check(agency: Agency) -> BooksChecked:
    return await agency.client.execute_workflow(
        BOOKS_CHECK, BooksCheckRequest(), id=f"check-{agency.queue}", task_queue=agency.queue, result_type=BooksChecked
    )


async def case_of(agency: Agency, kind: str) -> str:
    return str(await agency.database.value("SELECT case_id FROM cases WHERE kind = $1 ORDER BY opened_at DESC", kind))


async def closed(agency: Agency, case_id: str) -> None:
    async def over() -> bool:
        return await agency.database.value("SELECT status FROM cases WHERE case_id = $1", case_id) == "closed"

    await agency.eventually(over, f"{case_id} never closed")


def credit(
    number: str, lead: int, on_invoice: str, net: str = "50.00", status: str = "AUTHORISED"
) -> dict[str, object]:
    note = invoice(number, range(lead, lead + 1), status, net)
    del note["InvoiceNumber"]
    return {**note, "Type": "ACCRECCREDIT", "CreditNoteNumber": number, "Reference": on_invoice}


@pytest.mark.clause("RL-11")
async def test_a_promised_lead_on_a_draft_is_asked_of_accounts_until_it_is_off(agency: Agency) -> None:
    promise = await promised(agency, "L-1005")
    assert await check(agency) == BooksChecked(clients=1)
    agency.outside.xero.seed(invoices=[invoice("INV-9", range(1005, 1008), "DRAFT")])
    assert await check(agency) == BooksChecked(clients=1, charged=1, opened=1)
    assert await check(agency) == BooksChecked(clients=1, charged=1, opened=0)
    case_id = await case_of(agency, INVOICED)
    await agency.parked(case_id, STEP)
    assert await agency.database.value("SELECT linked_to FROM cases WHERE case_id = $1", case_id) == promise
    (mail,) = agency.mails("A lead that is not to be charged")
    assert str(mail["To"]) == ACCOUNTS
    assert "L-1005 is not to be charged and is on INV-9 (draft): take it off" in mail.get_content()
    await agency.act(case_id, STEP, ActKind.DONE, DONE, "P-3")
    await agency.parked(case_id, f"{STEP}.2")  # the books still charge it
    (line,) = [one for one in agency.outside.xero.invoices[-1]["LineItems"] if "L-1005" in one["Description"]]
    agency.outside.xero.edit(op="remove_invoice_line", number="INV-9", line_id=line["LineItemID"])
    await agency.act(case_id, f"{STEP}.2", ActKind.DONE, DONE, "P-3")
    await closed(agency, case_id)
    assert await check(agency) == BooksChecked(clients=1)
    assert (await agency.audited()).whole
    await agency.keep(case_id, "invoiced-on-a-draft")


async def charged(agency: Agency, status: str = "AUTHORISED", net: str = "50.00") -> tuple[str, str]:
    """A promised lead, alone on an invoice all the same: the promising case, and the one that was opened."""
    promise = await promised(agency, "L-1005")
    agency.outside.xero.seed(invoices=[invoice("INV-9", range(1005, 1006), status, net)])
    await check(agency)
    return promise, await case_of(agency, INVOICED)


@pytest.mark.clause("RL-11")
@pytest.mark.clause("RL-12")
@pytest.mark.clause("RL-13")
async def test_an_issued_one_is_drafted_confirmed_to_accounts_and_credited_once_they_authorise(agency: Agency) -> None:
    promise, case_id = await charged(agency)
    await agency.parked(case_id, "authorise")
    (draft,) = agency.outside.xero.credit_notes
    assert (draft["Status"], draft["Reference"], str(draft["Total"])) == ("DRAFT", "INV-9", "60.00")
    assert [line["Description"] for line in draft["LineItems"]] == ["Returned lead L-1005"]
    (mail,) = agency.mails("invoiced all the same: L-1005")
    text = mail.get_content()
    assert str(mail["To"]) == ACCOUNTS
    assert draft["CreditNoteNumber"] in text
    assert all(words in text for words in ("INV-9", "GBP 60.00", "Tom Reed", promise, case_id))
    assert await check(agency) == BooksChecked(clients=1, charged=1)  # a draft credits nothing, and is not strange
    await agency.authorise(case_id)
    await closed(agency, case_id)
    (note,) = agency.outside.xero.credit_notes
    assert note["Status"] == "AUTHORISED"
    assert await check(agency) == BooksChecked(clients=1)
    (credit_row,) = await agency.database.fetch("SELECT promised_in, case_id, gross FROM promise_credits")
    assert tuple(credit_row) == (promise, case_id, Decimal("60.00"))
    assert await agency.database.value("SELECT treatment FROM grants WHERE lead_id = 'L-1005'") == "no-charge"
    assert (await agency.audited()).whole
    await agency.keep(case_id, "invoiced-and-credited")


@pytest.mark.clause("RL-12")
async def test_a_paid_one_is_credited_and_accounts_allocate_it(agency: Agency) -> None:
    _, case_id = await charged(agency, "PAID")
    await agency.authorise(case_id)
    await agency.parked(case_id, "allocate")
    await agency.act(case_id, "allocate", ActKind.ALLOCATED, DONE, "P-3")
    await agency.parked(case_id, "allocate.2")  # the books do not show it yet
    (note,) = agency.outside.xero.credit_notes
    agency.outside.xero.edit(op="allocate_credit_note", number=note["CreditNoteNumber"])
    await agency.act(case_id, "allocate.2", ActKind.ALLOCATED, DONE, "P-3")
    await closed(agency, case_id)


@pytest.mark.clause("RL-13")
@pytest.mark.parametrize("net", ["50.01", "500.00"])
async def test_more_than_was_promised_is_not_drafted_but_seen_to_by_hand(agency: Agency, net: str) -> None:
    _, case_id = await charged(agency, net=net)
    await agency.parked(case_id, STEP)
    (step,) = (await agency.view(case_id)).steps
    assert "(stopped: amount-above-signed)" in step.waiting_for
    assert agency.outside.xero.credit_notes == []
    assert agency.mails("Confirmed return") == []
    refused = "SELECT count(*) FROM case_events WHERE case_id = $1 AND kind = 'effect.refused'"
    assert await agency.database.value(refused, case_id) == 1
    assert await agency.database.value("SELECT count(*) FROM promise_credits") == 0


async def test_a_declined_draft_is_seen_to_by_hand(agency: Agency) -> None:
    _, case_id = await charged(agency)
    reason = await agency.text("Wrong account code.")
    await agency.act(case_id, "authorise", ActKind.DECLINE, {"reason_sha256": reason}, "P-3")
    await agency.parked(case_id, STEP)
    (note,) = agency.outside.xero.credit_notes
    assert note["Status"] == "DRAFT"


@pytest.mark.parametrize("by", ["P-1", "P-2", "P-4", "shobhit.patil"])
async def test_nobody_but_uninvolved_accounts_authorises_it(agency: Agency, by: str) -> None:
    """Not whoever investigated or confirmed the promise, be they of Accounts by now, nor the approver."""
    _, case_id = await charged(agency)
    await agency.parked(case_id, "authorise")
    insert = "INSERT INTO money_people (role, issuer, sub, name) VALUES ('team:accounts', 'local', $1, $1)"
    await agency.database.execute(insert, by) if by != "P-4" else None
    await agency.act(case_id, "authorise", ActKind.AUTHORISE, {"reason_sha256": ""}, by)
    await agency.refused(case_id, "not-asked" if by == "P-4" else "may-not-authorise")
    (note,) = agency.outside.xero.credit_notes
    assert note["Status"] == "DRAFT"


async def test_a_draft_edited_to_ten_times_the_amount_is_not_authorised(agency: Agency) -> None:
    _, case_id = await charged(agency)
    await agency.parked(case_id, "authorise")
    (note,) = agency.outside.xero.credit_notes
    line = {
        "Description": "Returned lead L-1005",
        "Quantity": 1,
        "UnitAmount": Decimal("500.00"),
        "AccountCode": "200",
        "TaxType": "OUTPUT2",
    }
    agency.outside.xero.edit(op="edit_credit_note", number=note["CreditNoteNumber"], set={"LineItems": [line]})
    await agency.authorise(case_id)
    await agency.parked_at(case_id, "could-not")
    (note,) = agency.outside.xero.credit_notes
    assert note["Status"] == "DRAFT"


@pytest.mark.clause("RL-11")
@pytest.mark.clause("RL-12")
async def test_what_holdfast_cannot_draft_is_put_right_by_a_credit_note_over_all_of_it(agency: Agency) -> None:
    """A note names the lead already: Accounts go on by hand, and the books are read back until they charge nothing."""
    await promised(agency, "L-1005")
    agency.outside.xero.seed(
        invoices=[invoice("INV-9", range(1005, 1006))],
        credit_notes=[credit("CN-1", 1005, "INV-9", "10.00"), credit("CN-2", 1005, "INV-9", status="DRAFT")],
    )
    await check(agency)
    case_id = await case_of(agency, INVOICED)
    await agency.act(case_id, STEP, ActKind.DONE, DONE, "P-3")
    await agency.parked(case_id, f"{STEP}.2")  # a part of it is credited, and a draft credits nothing
    agency.outside.xero.edit(op="set_credit_note_status", number="CN-2", status="AUTHORISED")
    await agency.act(case_id, f"{STEP}.2", ActKind.DONE, DONE, "P-3")
    await closed(agency, case_id)
    assert await check(agency) == BooksChecked(clients=1)  # and the notes are of a lead that was confirmed


@pytest.mark.parametrize("forged", ["another lead", "another case", "no acts"])
async def test_a_case_that_only_says_that_something_was_promised(agency: Agency, forged: str) -> None:
    """Written into the tables by the SOP worker's role: the gate finds no promise of that lead in that case."""
    promise = await promised(agency, "L-1005")
    agency.outside.xero.seed(invoices=[invoice("INV-9", range(1006, 1007))])
    other = await agency.receive(letter("L-1006"))
    await agency.parked(other, "investigate")
    if forged == "no acts":
        lead, linked_to = "L-1006", other
    else:
        lead, linked_to = ("L-1006", promise) if forged == "another lead" else ("L-1005", other)
    found = Charge(
        lead_id=lead, promised_in=linked_to, invoices=("INV-9",), state=InvoiceStatus.ISSUED, gross=Decimal(60),
        currency="GBP", invoice_id=str(agency.outside.xero.invoices[-1]["InvoiceID"]),
    )  # fmt: skip
    cases = TemporalBooksCases(await agency.database.pool("sops"), agency.client, agency.queue, timedelta(hours=48))
    assert await cases.open("C-0001", found)
    case_id = ids.invoiced_case(linked_to, lead)
    await agency.parked(case_id, STEP)
    assert agency.outside.xero.credit_notes == []
    assert agency.mails("Confirmed return") == []
    assert await agency.database.value("SELECT count(*) FROM promise_credits") == 0


@pytest.mark.clause("RL-11")
async def test_a_lead_that_is_charged_again_later_is_a_case_again(agency: Agency) -> None:
    promise = await promised(agency, "L-1005")
    agency.outside.xero.seed(invoices=[invoice("INV-9", range(1005, 1006))])
    await check(agency)
    first = await case_of(agency, INVOICED)
    await agency.authorise(first)
    await closed(agency, first)
    agency.outside.xero.seed(invoices=[invoice("INV-10", range(1005, 1006), "PAID")])
    assert (await check(agency)).opened == 1
    second = await case_of(agency, INVOICED)
    assert first == ids.invoiced_case(promise, "L-1005")
    assert second == ids.invoiced_case(promise, "L-1005", 2)
    await agency.parked(second, STEP)  # one credit a lead for ever: the second charge is Accounts' own to see to
    assert len(agency.outside.xero.credit_notes) == 1


async def test_only_accounts_say_that_it_is_done(agency: Agency) -> None:
    await promised(agency, "L-1005")
    agency.outside.xero.seed(invoices=[invoice("INV-9", range(1005, 1006), "DRAFT")])
    await check(agency)
    case_id = await case_of(agency, INVOICED)
    await agency.act(case_id, STEP, ActKind.DONE, DONE, "P-1")
    await agency.refused(case_id, "not-asked")
    await agency.parked(case_id, STEP)


async def test_books_that_cannot_be_read_back_are_read_again_later(agency: Agency) -> None:
    await promised(agency, "L-1005")
    agency.outside.xero.seed(invoices=[invoice("INV-9", range(1005, 1006), "DRAFT")])
    await check(agency)
    case_id = await case_of(agency, INVOICED)
    agency.outside.xero.edit(op="set_invoice_status", number="INV-9", status="DELETED")
    await agency.parked(case_id, STEP)
    agency.outside.xero.fault("GET /Invoices", "error_before", times=1)
    await agency.act(case_id, STEP, ActKind.DONE, DONE, "P-3")
    await closed(agency, case_id)


@pytest.mark.clause("RL-13")
async def test_a_credit_note_without_a_confirmation_is_reported_once(agency: Agency) -> None:
    agency.outside.xero.seed(
        credit_notes=[credit("CN-7", 1001, "INV-1"), credit("CN-8", 1002, "INV-1", status="VOIDED")]
    )
    assert await check(agency) == BooksChecked(clients=1, unconfirmed=1, opened=1)
    case_id = await case_of(agency, UNCONFIRMED)
    await closed(agency, case_id)
    assert (await check(agency)).opened == 0
    (mail,) = agency.mails("no confirmation on record")
    assert (str(mail["To"]), str(mail["Cc"])) == (ACCOUNTS, RETURNS)
    assert "CN-7" in mail.get_content()
    assert "L-1001" in mail.get_content()
    await agency.keep(case_id, "unconfirmed-note")


@pytest.mark.clause("RL-13")
async def test_a_note_that_only_looks_like_ours_is_reported_and_ours_are_not(agency: Agency) -> None:
    case_id = await agency.receive(letter("L-1001"))
    await agency.find(case_id, ["L-1001"])
    await agency.confirm(case_id)
    await agency.authorise(case_id)
    await agency.result(case_id)
    assert (await check(agency)).unconfirmed == 0
    line = {"Description": "Goodwill", "Quantity": 1, "UnitAmount": Decimal(9), "AccountCode": "200"}
    plain = {**credit("RL-0123456789AB", 1001, "INV-1"), "LineItems": [line]}
    agency.outside.xero.seed(credit_notes=[plain])
    assert (await check(agency)).unconfirmed == 1
    await closed(agency, await case_of(agency, UNCONFIRMED))
    (mail,) = agency.mails("no confirmation on record")
    assert "looks like one of Holdfast's" in " ".join(mail.get_content().split())


async def test_a_client_whose_books_cannot_be_read_keeps_no_other_from_being_checked(agency: Agency) -> None:
    await agency.database.execute("INSERT INTO clients VALUES ('C-0000', 'First', 'no-guid', 'GBP', NULL)")
    await promised(agency, "L-1005")
    agency.outside.xero.seed(invoices=[invoice("INV-9", range(1005, 1006))])
    handle = await agency.client.start_workflow(
        BOOKS_CHECK, BooksCheckRequest(), id=f"check-{agency.queue}", task_queue=agency.queue
    )
    await agency.parked_at(await opened(agency), "authorise")
    await handle.terminate()


async def opened(agency: Agency) -> str:
    async def there() -> bool:
        return bool(await agency.database.value("SELECT true FROM cases WHERE kind = $1", INVOICED))

    await agency.eventually(there, "no case was opened")
    return await case_of(agency, INVOICED)


@pytest_asyncio.fixture
async def schedule(agency: Agency) -> AsyncGenerator[ScheduleHandle]:
    name = f"books-{agency.queue}"
    assert await apply(agency.client, name, books_schedule((1, 31), agency.queue)) == "created"
    handle = agency.client.get_schedule_handle(name)
    yield handle
    await handle.delete()


@pytest.mark.clause("RL-11")
async def test_a_run_of_the_schedule_opens_the_step(agency: Agency, schedule: ScheduleHandle) -> None:
    await promised(agency, "L-1005")
    agency.outside.xero.seed(invoices=[invoice("INV-9", range(1005, 1006))])
    await schedule.trigger()
    case_id = await opened(agency)
    await agency.parked(case_id, "authorise")
    (run, *_) = (await schedule.describe()).info.recent_actions
    await agency.keep(run.action.workflow_id, "books-check")  # type: ignore[union-attr]


async def test_the_schedule_is_london_s_and_misses_no_promise(schedule: ScheduleHandle) -> None:
    made = (await schedule.describe()).schedule
    assert made.spec.time_zone_name == "Europe/London"
    assert made.policy.overlap.name == "SKIP"
    assert made.policy.catchup_window == timedelta(hours=6)
    assert not made.policy.pause_on_failure
    hourly = [one for one in made.spec.calendars if [day.start for day in one.day_of_month] == [1, 31]]
    assert [(hour.start, hour.end) for one in hourly for hour in one.hour] == [(0, 23)]
    (daily,) = [one for one in made.spec.calendars if one not in hourly]
    assert [(day.start, day.end) for day in daily.day_of_month] == [(1, 31)]
    assert [hour.start for hour in daily.hour] == [6]


async def test_applying_it_again_changes_its_days_and_keeps_a_pause(agency: Agency, schedule: ScheduleHandle) -> None:
    await schedule.pause(note="stocktaking")
    assert await apply(agency.client, schedule.id, books_schedule((2,), agency.queue)) == "updated"
    found = (await schedule.describe()).schedule
    assert (found.state.paused, found.state.note) == (True, "stocktaking")
    assert any([day.start for day in one.day_of_month] == [2] for one in found.spec.calendars)
