"""Shobhit Patil's approval above GBP 500 (RL-14): asked internally before anything is promised, never by silence."""

from datetime import date, datetime, timedelta
from typing import cast

import pytest
from temporalio.worker import Replayer

from adapters.postgres.crypto import Vault, load_master
from domain.case import EventKind
from domain.messages import ActKind
from runtime.keys import rotate
from runtime.plugin import holdfast_plugin
from starter.gateway import Gateway, LocalLogin
from tests.agency import CLIENT_MAIL, RETURNS, SHOBHIT, Agency, invoice, letter
from worker import WORKFLOWS

OMAR, PIA = "omar@commversion.com", "pia@commversion.com"
LEADS = ["L-1005", "L-1006", "L-1007", "L-1008"]


async def priced(agency: Agency, price: str) -> str:
    """A request whose four unbilled leads cost so much each, found valid."""
    await agency.database.arrived_at(price, *LEADS)
    case_id = await agency.receive(letter(", ".join(LEADS)))
    await agency.find(case_id, LEADS)
    return case_id


def promises(agency: Agency) -> list[str]:
    return [str(mail["To"]) for mail in agency.mails("not be charged") if CLIENT_MAIL in str(mail["To"])]


@pytest.mark.clause("RL-14")
async def test_exactly_the_limit_needs_no_approver(agency: Agency) -> None:
    case_id = await priced(agency, "125.00")
    await agency.confirm(case_id)
    assert (await agency.result(case_id)).valid == 4


@pytest.mark.clause("RL-14")
async def test_a_penny_more_is_put_to_shobhit_internally_before_anything_is_promised(agency: Agency) -> None:
    case_id = await priced(agency, "125.01")
    await agency.parked(case_id, "approval")
    (asked,) = [mail for mail in agency.mails("Approve") if SHOBHIT in str(mail["To"])]
    assert CLIENT_MAIL not in f"{asked['To']} {asked['Cc']}"
    assert (asked["In-Reply-To"], asked["References"]) == (None, None)  # a thread of its own, not the client's
    assert agency.settings.page_of(case_id, "approval") in asked.get_content()
    for words in (*(f"{lead}: GBP 125.01, not invoiced" for lead in LEADS), "These leads alone come to GBP 500.04"):
        assert words in asked.get_content()
    assert promises(agency) == []
    await agency.decide(case_id, ActKind.APPROVE)
    await agency.confirm(case_id)
    assert (await agency.result(case_id)).valid == 4
    assert len(promises(agency)) == 1
    await agency.keep(case_id, "approved")


@pytest.mark.clause("RL-14")
async def test_silence_never_decides_and_the_escalation_role_is_told(agency: Agency) -> None:
    await agency.database.execute(
        "INSERT INTO money_people (role, issuer, sub, name) VALUES ('role:partner', 'local', 'P-8', 'Pia Lang')"
    )
    await agency.database.execute("INSERT INTO people VALUES ('P-8', 'Pia Lang', $1, 'local', 'P-8')", PIA)
    case_id = await priced(agency, "125.01")
    await agency.parked(case_id, "approval")
    for times in range(1, 4):
        await agency.pass_time(case_id, timedelta(hours=48, minutes=1))
        await agency.chased(case_id, "approval", times)
    assert len([mail for mail in agency.mails("Reminder") if SHOBHIT in str(mail["To"])]) == 3
    told = [str(mail["Subject"]).partition("] ")[2] for mail in agency.mails() if PIA in str(mail["To"])]
    assert [words.partition(":")[0] for words in told] == [
        "Reminder 2",
        "Reminder 3",
    ]  # the partner: from the second on
    await agency.parked(case_id, "approval")
    assert (await agency.view(case_id)).status == "open"
    assert promises(agency) == []


@pytest.mark.clause("RL-14")
async def test_an_e_mail_of_the_approvers_decides_nothing(agency: Agency) -> None:
    """Authenticated, from his own address, in answer to the very mail that asked him: inbound mail never decides."""
    case_id = await priced(agency, "125.01")
    await agency.parked(case_id, "approval")
    (asked,) = [mail for mail in agency.mails("Approve") if SHOBHIT in str(mail["To"])]
    said = letter("", sender=SHOBHIT, text=f"Approved, go ahead with {', '.join(LEADS)}.\n\nShobhit\n")
    del said["Subject"]
    said["Subject"], said["In-Reply-To"] = f"Re: {asked['Subject']}", str(asked["Message-ID"])
    await agency.deliver(said)
    await agency.take_in()
    await agency.parked(case_id, "approval")
    assert await agency.database.value("SELECT count(*) FROM acts WHERE kind = 'return.approve'") == 0
    assert await agency.database.value("SELECT count(*) FROM grants") == 0
    assert promises(agency) == []


@pytest.mark.clause("RL-14")
async def test_a_rejection_keeps_its_reason_internal_and_the_team_writes_the_text(agency: Agency) -> None:
    case_id = await priced(agency, "125.01")
    await agency.decide(case_id, ActKind.REJECT)
    await agency.parked(case_id, "rejected")
    (asked,) = agency.mails("The approver rejected the returns")
    assert (str(asked["To"]), "Shobhit Patil: Because of the amount." in asked.get_content()) == (RETURNS, True)
    told = await agency.text("We looked again and can't take this lead back.")
    leads = [{"lead_id": lead, "text_sha256": told} for lead in LEADS]
    await agency.act(case_id, "rejected", ActKind.REDUCE, {"leads": leads}, "P-1")
    outcome = await agency.closed(case_id)
    assert (outcome.valid, outcome.refused) == (0, 4)
    to_client = [mail.get_content() for mail in agency.mails() if CLIENT_MAIL in str(mail["To"])]
    assert "can't take this lead back" in to_client[-1]
    assert not [text for text in to_client if "Because of the amount" in text]
    await agency.keep(case_id, "rejected")


@pytest.mark.clause("RL-14")
async def test_a_question_goes_to_the_team_and_the_approver_is_asked_again(agency: Agency) -> None:
    case_id = await priced(agency, "125.01")
    await agency.decide(case_id, ActKind.ASK_BACK)
    await agency.parked(case_id, "answer-back")
    (question,) = agency.mails("The approver asks something")
    assert (str(question["To"]), "Shobhit Patil: Because of the amount." in question.get_content()) == (RETURNS, True)
    await agency.act(case_id, "answer-back", ActKind.DONE, {"note_sha256": ""}, "P-1")
    await agency.parked(case_id, "answer-back")  # a question is not answered without a word
    note = {"note_sha256": await agency.text("All four are of the October campaign.")}
    await agency.act(case_id, "answer-back", ActKind.DONE, note, "P-1")
    await agency.parked(case_id, "approval.2")
    again = [mail for mail in agency.mails("Approve") if SHOBHIT in str(mail["To"])][-1].get_content()
    assert "Shobhit Patil asked: Because of the amount." in again
    assert "Priya Nair answered: All four are of the October campaign." in again
    await agency.decide(case_id, ActKind.APPROVE, "approval.2")
    await agency.confirm(case_id)
    assert (await agency.result(case_id)).valid == 4
    await agency.keep(case_id, "asked-back")


@pytest.mark.clause("RL-14")
async def test_somebody_else_can_not_approve(agency: Agency) -> None:
    case_id = await priced(agency, "125.01")
    for somebody in ("P-1", "P-2", "P-3", "P-4"):
        await agency.decide(case_id, ActKind.APPROVE, by=somebody)
    await agency.refused(case_id, "not-asked")
    await agency.parked(case_id, "approval")
    assert promises(agency) == []


@pytest.mark.clause("RL-14")
async def test_a_withdrawn_approval_lets_nothing_through(agency: Agency) -> None:
    case_id = await priced(agency, "125.01")
    await agency.decide(case_id, ActKind.APPROVE)
    await agency.parked(case_id, "confirm")
    reason = {"reason_sha256": await agency.text("I did not see the last one.")}
    withdrawal = await agency.crafted(case_id, "approval", ActKind.WITHDRAW, reason, "shobhit.patil")
    await agency.handle(case_id).signal("act", withdrawal)

    async def stored() -> bool:
        return bool(await agency.database.value("SELECT true FROM acts WHERE kind = 'return.withdraw'"))

    await agency.eventually(stored, "the withdrawal was not stored")
    await agency.confirm(case_id)
    await agency.parked(case_id, "approval.2")
    assert promises(agency) == []
    assert await stopped_by(agency, case_id) == {"approval-withdrawn"}


async def stopped_by(agency: Agency, case_id: str) -> set[str]:
    """Why the gate stopped the promises of a case, as the audit trail tells it."""
    query = "SELECT dedupe FROM case_events WHERE case_id = $1 AND kind = $2"
    rows = await agency.database.fetch(query, case_id, EventKind.EFFECT_REFUSED.value)
    return {str(row["dedupe"]).partition(":gate:")[2] for row in rows}


@pytest.mark.clause("RL-12")
@pytest.mark.clause("RL-14")
async def test_an_approval_withdrawn_before_accounts_authorise_stops_the_credit_note_at_the_gate(
    agency: Agency,
) -> None:
    """The draft is there and Accounts say yes; nothing is credited, the approver is asked anew, the draft goes."""
    agency.outside.xero.seed(invoices=[invoice("INV-2", range(1007, 1008), net="500.00")])
    case_id = await agency.receive(letter("L-1007"))
    await agency.find(case_id, ["L-1007"])
    await agency.decide(case_id, ActKind.APPROVE)
    await agency.confirm(case_id)
    await agency.parked(case_id, "authorise")
    reason = {"reason_sha256": await agency.text("I took it for another client.")}
    withdrawal = await agency.crafted(case_id, "approval", ActKind.WITHDRAW, reason, "shobhit.patil")
    await agency.handle(case_id).signal("act", withdrawal)
    await agency.authorise(case_id)
    await agency.parked(case_id, "approval.2")
    (note,) = agency.outside.xero.credit_notes
    assert (note["Status"], await stopped_by(agency, case_id)) == ("DRAFT", {"approval-withdrawn"})
    assert [mail for mail in agency.mails("a credit note has been issued") if CLIENT_MAIL in str(mail["To"])] == []
    await agency.decide(case_id, ActKind.REJECT, "approval.2")
    told = await agency.text("We looked again and can't take this lead back.")
    left_out = {"leads": [{"lead_id": "L-1007", "text_sha256": told}]}
    await agency.act(case_id, "rejected", ActKind.REDUCE, left_out, "P-1")
    agency.outside.xero.edit(op="set_credit_note_status", number=note["CreditNoteNumber"], status="DELETED")
    await agency.act(case_id, "void-draft", ActKind.DONE, {"note_sha256": ""}, "P-3")
    assert (await agency.closed(case_id)).valid == 0
    assert (await agency.audited()).whole


@pytest.mark.clause("RL-14")
async def test_a_reminder_goes_to_whoever_stands_in_by_then(agency: Agency) -> None:
    """The approver is resolved anew at each reminder; who stands in from today decides, up to his ceiling."""
    case_id = await priced(agency, "125.01")
    await agency.parked(case_id, "approval")
    assert len([mail for mail in agency.mails("Approve") if OMAR in str(mail["To"])]) == 0
    day = cast("date", await agency.database.value("SELECT (holdfast_now() AT TIME ZONE 'Europe/London')::date"))
    order = {
        "approver": {"issuer": "local", "sub": "shobhit.patil"},
        "stand_in": {"issuer": "local", "sub": "P-4"},
        "starts": day.isoformat(),
        "ends": (day + timedelta(days=3)).isoformat(),
        "ceiling_gbp": "2000.00",
    }
    vault = Vault(load_master(agency.settings.keys_dir))
    gateway = Gateway(agency.door_pool, vault, agency.client, agency.settings)
    await gateway.order(ActKind.SET_STAND_IN, order, LocalLogin("P-9"))
    await agency.pass_time(case_id, timedelta(hours=48, minutes=1))
    await agency.chased(case_id, "approval", 1)
    (reminder,) = [mail for mail in agency.mails("Reminder 1") if OMAR in str(mail["To"])]
    assert CLIENT_MAIL not in f"{reminder['To']} {reminder['Cc']}"
    await agency.decide(case_id, ActKind.APPROVE, by="P-4")
    await agency.confirm(case_id)
    assert (await agency.result(case_id)).valid == 4


@pytest.mark.clause("RL-14")
async def test_an_approval_stays_good_while_the_books_are_down_for_a_weekend_and_the_key_is_rotated(
    agency: Agency,
) -> None:
    """Asked for on Friday, carried out on Monday, the history replayed with the new key; nobody is asked anew."""
    case_id = await priced(agency, "125.01")
    await agency.decide(case_id, ActKind.APPROVE)
    await agency.parked(case_id, "confirm")
    agency.outside.xero.fault("* /", "error_before", times=None)
    await agency.confirm(case_id)

    async def waits() -> bool:
        return (await agency.view(case_id)).doing == "settle"

    await agency.eventually(waits, "the promise did not wait for the books")
    monday = timedelta(days=3)
    await agency.database.shift(monday)
    rotate(agency.settings.keys_dir, cast("datetime", await agency.database.value("SELECT holdfast_now()")))
    await agency.pass_time(case_id, monday)
    step_id = await agency.parked_at(case_id, "could-not")
    assert promises(agency) == []
    agency.outside.xero.faults.clear()
    await agency.act(case_id, step_id, ActKind.RESEND, {"note_sha256": ""}, "P-1")
    assert (await agency.result(case_id)).valid == 4
    assert len(promises(agency)) == 1
    assert await agency.database.value("SELECT count(*) FROM case_steps WHERE name = 'approval'") == 1
    history = await agency.history(case_id)
    await Replayer(workflows=WORKFLOWS, plugins=[holdfast_plugin()]).replay_workflow(history)
