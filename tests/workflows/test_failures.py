"""What fails outside never fails a case: retried, then a person's step, and nothing else is held back."""

from datetime import timedelta

import pytest

from domain.ids import credit_note_number
from domain.messages import ActKind, Fact, FactKind
from tests.agency import CLIENT_MAIL, Agency, invoice, letter

NOTE = {"note_sha256": ""}


async def settled_but_for(agency: Agency, case_id: str) -> None:
    await agency.find(case_id, ["L-1005"])
    await agency.confirm(case_id)


async def test_a_sheet_that_is_down_holds_nothing_else_back_and_is_mended(agency: Agency) -> None:
    case_id = await agency.receive(letter("L-1005"))
    await agency.parked(case_id, "investigate")
    agency.outside.sheets.fault("* /", "error_before", times=None)
    await settled_but_for(agency, case_id)
    await agency.sent(case_id, "final-action/1")
    await agency.sent(case_id, "tag-chat/L-1005")
    assert (await agency.effects(case_id))["append-row/L-1005"] != "sent"
    agency.outside.sheets.faults.clear()
    await agency.pass_time(case_id, timedelta(minutes=2))
    assert (await agency.result(case_id)).valid == 1
    assert len(agency.outside.sheets.rows()) == 1


async def test_after_growing_pauses_a_person_is_asked_and_may_waive_by_name(agency: Agency) -> None:
    case_id = await agency.receive(letter("L-1005"))
    await agency.parked(case_id, "investigate")
    agency.outside.sheets.fault("* /", "error_before", times=None)
    await settled_but_for(agency, case_id)
    await agency.sent(case_id, "final-action/1")
    await agency.pass_time(case_id, timedelta(hours=2))
    step = await agency.parked_at(case_id, "could-not")
    closed = "SELECT count(*) FROM case_events WHERE case_id = $1 AND kind = 'closed'"
    assert await agency.database.value(closed, case_id) == 0  # it is still open, and nothing says otherwise
    await agency.act(case_id, step, ActKind.WAIVE, NOTE, "P-2")
    assert (await agency.result(case_id)).valid == 1
    assert await agency.database.value(closed, case_id) == 1
    assert (await agency.effects(case_id))["append-row/L-1005"] == "abandoned"
    assert agency.outside.sheets.rows() == []
    await agency.keep(case_id, "failed-effects")


async def test_books_that_are_down_when_findings_come_in_are_read_again(agency: Agency) -> None:
    case_id = await agency.receive(letter("L-1001"))
    await agency.parked(case_id, "investigate")
    agency.outside.xero.fault("GET /Invoices", "error_before", times=2)
    await agency.find(case_id, ["L-1001"])
    await agency.sent(case_id, "nudge-investigate/0")
    await agency.pass_time(case_id, timedelta(minutes=10))
    await agency.parked(case_id, "confirm")


async def test_a_client_who_is_not_reached_becomes_a_persons_step(agency: Agency) -> None:
    agency.outside.mail.faults.set_unknown(CLIENT_MAIL)
    case_id = await agency.receive(letter("L-1005"))
    await agency.parked(case_id, "investigate")
    await agency.sent(case_id, "acknowledge/1")

    async def came_back() -> bool:
        await agency.take_in()
        return len((await agency.view(case_id)).steps) == 2

    await agency.eventually(came_back, "the bounce was not taken in")
    step = await agency.parked_at(case_id, "not-reached")
    await agency.act(case_id, step, ActKind.DONE, NOTE, "P-1")
    agency.outside.mail.faults.clear()
    await agency.find(case_id, [], ["L-1005"])
    assert (await agency.closed(case_id)).status == "refused"
    await agency.keep(case_id, "bounced")


async def test_while_outbound_is_off_nothing_leaves_and_switching_it_on_sends_what_was_held(agency: Agency) -> None:
    await agency.database.execute("UPDATE outbound SET mode = 'off'")
    case_id = await agency.receive(letter("L-1001"))
    await agency.parked(case_id, "investigate")
    await agency.find(case_id, ["L-1001"])
    await agency.confirm(case_id)
    await agency.sent(case_id, "confirm-to-accounts/1", "prepared")
    assert agency.mails() == []
    assert agency.outside.xero.credit_notes == []
    await agency.database.execute("UPDATE outbound SET mode = 'on'")
    await agency.handle(case_id).signal("event", Fact(event_id="resumed-1", kind=FactKind.RESUMED))
    await agency.authorise(case_id)
    assert (await agency.result(case_id)).valid == 1
    subjects = [str(mail["Subject"]) for mail in agency.mails()]
    assert not [one for one in subjects if "Investigate" in one or "Confirm the valid" in one], "nobody is nudged late"
    await agency.keep(case_id, "held")


async def test_a_client_on_hold_gets_nothing_while_the_team_is_still_asked_nothing_is_lost(agency: Agency) -> None:
    await agency.database.execute("INSERT INTO holds VALUES ('C-0001', now(), 'P-1')")
    case_id = await agency.receive(letter("L-1005"))
    await agency.parked(case_id, "investigate")
    assert [mail for mail in agency.mails() if CLIENT_MAIL in str(mail["To"])] == []
    await agency.database.execute("DELETE FROM holds")
    await agency.pass_time(case_id, timedelta(hours=7))
    await agency.sent(case_id, "acknowledge/1")


async def test_a_cancelled_case_closes_its_steps_and_says_so(agency: Agency) -> None:
    case_id = await agency.receive(letter("L-1005"))
    await agency.parked(case_id, "investigate")
    await agency.handle(case_id).cancel()

    async def over() -> bool:
        return await agency.database.value("SELECT status FROM cases WHERE case_id = $1", case_id) == "cancelled"

    await agency.eventually(over, "the cancelled case still looks open")
    assert (
        await agency.database.value("SELECT count(*) FROM case_steps WHERE case_id = $1 AND state = 'open'", case_id)
        == 0
    )
    await agency.keep(case_id, "cancelled")
    again = await agency.receive(letter("L-1005"))
    await agency.parked(again, "investigate")


async def test_what_a_client_writes_during_his_case_is_read_by_a_person_before_it_closes(agency: Agency) -> None:
    mail = letter("L-1005")
    case_id = await agency.receive(mail)
    await agency.parked(case_id, "investigate")
    for words in ("One more thing about it.", "And another."):
        reply = letter("", text=words)
        reply["In-Reply-To"] = str(mail["Message-ID"])
        assert await agency.receive(reply) == case_id
    step = await agency.parked_at(case_id, "reply")
    await agency.find(case_id, [], ["L-1005"])
    await agency.act(case_id, step, ActKind.DONE, NOTE, "P-1")
    assert (await agency.closed(case_id)).status == "refused"
    assert await agency.database.value("SELECT count(*) FROM case_steps WHERE name = 'reply'") == 1
    await agency.keep(case_id, "client-wrote")


@pytest.mark.clause("RL-12")
async def test_a_number_that_a_stranger_took_in_the_books_is_a_persons_step_and_nothing_of_his_is_adopted(
    agency: Agency,
) -> None:
    """Whoever knows how numbers are made creates one beforehand, authorised and ten times as high."""
    case_id = await agency.receive(letter("L-1001"))
    await agency.find(case_id, ["L-1001"])
    await agency.parked(case_id, "confirm")
    taken = credit_note_number(case_id, "INV-1")
    note = invoice("x", range(1001, 1002), net="500.00")
    del note["InvoiceNumber"]
    stranger = {**note, "Type": "ACCRECCREDIT", "CreditNoteNumber": taken, "Reference": "Goodwill"}
    agency.outside.xero.seed(credit_notes=[stranger])
    await agency.confirm(case_id)
    step_id = await agency.parked_at(case_id, "could-not")
    (step,) = (await agency.view(case_id)).steps
    assert ("number-taken" in step.waiting_for, step.kinds) == (True, ("step.done", "step.resend"))
    await agency.act(case_id, step_id, ActKind.DONE, NOTE, "P-1")  # a word is not enough: the books are read
    again = step_id.removesuffix(".0") + ".1"
    await agency.parked(case_id, again)
    assert [one["CreditNoteNumber"] for one in agency.outside.xero.credit_notes] == [taken]
    assert (await agency.effects(case_id)).keys().isdisjoint({"authorise-credit-note/INV-1", "answer-client/1"})
    assert [mail for mail in agency.mails("a credit note has been issued") if CLIENT_MAIL in str(mail["To"])] == []
    agency.outside.xero.edit(op="edit_credit_note", number=taken, set={"CreditNoteNumber": "CN-77"})
    agency.outside.xero.edit(op="set_credit_note_status", number="CN-77", status="VOIDED")
    await agency.act(case_id, again, ActKind.RESEND, NOTE, "P-1")
    await agency.authorise(case_id)
    assert (await agency.result(case_id)).valid == 1
    assert [one["Total"] for one in agency.outside.xero.credit_notes if one["Status"] == "AUTHORISED"] == [60]
