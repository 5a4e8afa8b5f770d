"""The Return Lead SOP on a real server, with real mail, a real database and the vendors' ledgers as witnesses."""

from decimal import Decimal
from email.message import EmailMessage

import pytest

from domain.books_check import BOOKS_CHECK, BooksChecked, BooksCheckRequest
from domain.ids import credit_note_number
from domain.messages import ActKind
from tests.agency import ACCOUNTS, CLIENT_MAIL, RETURNS, SALES, Agency, forward, invoice, letter

SENTENCE = "I have looped in the concerned team and they will review and revert back."
FOUR = ["L-1001", "L-1002", "L-1003", "L-1004"]
COLLEAGUE = "bob@acme-plumbing.example"


def words(mail: EmailMessage) -> str:
    return " ".join(mail.get_content().split())


def to_client(agency: Agency) -> list[EmailMessage]:
    return [mail for mail in agency.mails() if CLIENT_MAIL in str(mail["To"])]


@pytest.mark.clause("RL-1")
async def test_a_request_in_the_one_inbox_becomes_a_case_and_one_opened_elsewhere_files_a_copy_there(
    agency: Agency,
) -> None:
    by_mail = await agency.receive(letter("L-1005"))
    await agency.parked(by_mail, "investigate")
    assert not [mail for mail in agency.mails() if "Copy" in str(mail["Subject"])]
    by_code = await agency.open_return("L-1006")
    await agency.parked(by_code, "investigate")
    assert (await agency.effects(by_code))["file-copy/1"] == "sent"
    (copy,) = [
        mail for mail in agency.mails("L-1006") if str(mail["To"]) == RETURNS and "Investigate" not in mail["Subject"]
    ]
    assert "L-1006" in copy.get_content()


@pytest.mark.clause("RL-2")
@pytest.mark.clause("RL-3")
async def test_a_department_that_forwards_is_spoken_for_once_in_the_clients_thread(agency: Agency) -> None:
    original = letter("L-1005", to=SALES, cc=COLLEAGUE)
    case_id = await agency.receive(forward(original))
    await agency.parked(case_id, "investigate")
    (loop_in,) = to_client(agency)
    assert SENTENCE in words(loop_in)
    assert SALES in str(loop_in["From"])
    assert str(loop_in["In-Reply-To"]) == str(original["Message-ID"])
    assert COLLEAGUE in str(loop_in["Cc"])
    assert RETURNS in str(loop_in["Cc"])
    took = await agency.database.value(
        "SELECT looped_in_at - arrived_at FROM cases WHERE case_id = $1 AND looped_in_at >= arrived_at", case_id
    )
    assert took is not None


@pytest.mark.clause("RL-3")
async def test_the_sentence_is_not_said_again_where_the_forward_already_says_it(agency: Agency) -> None:
    original = letter("L-1005", to=SALES)
    case_id = await agency.receive(forward(original, text=f"Dear Jane,\n\n{SENTENCE}\n"))
    await agency.parked(case_id, "investigate")
    assert to_client(agency) == []


@pytest.mark.clause("RL-3")
async def test_a_client_who_wrote_to_the_team_himself_gets_a_plain_acknowledgement(agency: Agency) -> None:
    case_id = await agency.receive(letter("L-1005"))
    await agency.parked(case_id, "investigate")
    (mail,) = to_client(agency)
    assert SENTENCE not in words(mail)


@pytest.mark.clause("RL-4")
async def test_the_team_investigates_lead_by_lead_and_a_finding_must_cover_each(agency: Agency) -> None:
    case_id = await agency.receive(letter("L-1005 and L-1006"))
    await agency.find(case_id, ["L-1005"])
    await agency.refused(case_id, "leads-do-not-fit")
    assert [step.step_id for step in (await agency.view(case_id)).steps] == ["investigate"]
    await agency.find(case_id, ["L-1005"], ["L-1006"])
    await agency.parked(case_id, "confirm")


@pytest.mark.clause("RL-5")
@pytest.mark.clause("RL-11")
async def test_an_unbilled_lead_goes_on_the_list_before_the_client_is_told(agency: Agency) -> None:
    case_id = await agency.receive(letter("L-1005"))
    await agency.find(case_id, ["L-1005"])
    await agency.confirm(case_id)
    await agency.result(case_id)
    assert [row["lead_id"] for row in await agency.database.fetch("SELECT lead_id FROM do_not_invoice")] == ["L-1005"]
    assert "will not be charged" in words(to_client(agency)[-1])
    assert agency.outside.xero.credit_notes == []
    await agency.keep(case_id, "unbilled")


@pytest.mark.clause("RL-6")
@pytest.mark.clause("RL-12")
async def test_four_leads_on_one_issued_invoice_become_one_credit_note(agency: Agency) -> None:
    case_id = await agency.receive(letter(", ".join(FOUR)))
    await agency.find(case_id, FOUR)
    await agency.confirm(case_id)
    await agency.parked(case_id, "authorise")
    (draft,) = agency.outside.xero.credit_notes
    assert draft["Status"] == "DRAFT"
    assert not [mail for mail in to_client(agency) if draft["CreditNoteNumber"] in mail.get_content()]
    await agency.authorise(case_id)
    assert (await agency.result(case_id)).valid == 4
    (note,) = agency.outside.xero.credit_notes
    assert (note["Status"], note["Total"], note["Reference"]) == ("AUTHORISED", 240, "INV-1")
    assert [line["Description"] for line in note["LineItems"]] == [f"Returned lead {lead}" for lead in FOUR]
    answer = to_client(agency)[-1]
    assert note["CreditNoteNumber"] in answer.get_content()
    await agency.keep(case_id, "four-issued")


@pytest.mark.clause("RL-7")
async def test_each_valid_lead_is_marked_on_live_chat_and_on_the_sheet(agency: Agency) -> None:
    case_id = await agency.receive(letter("L-1005 and L-1006"))
    await agency.find(case_id, ["L-1005"], ["L-1006"])
    await agency.confirm(case_id)
    await agency.closed(case_id)
    assert agency.outside.livechat.tags("chat-L-1005", "thread-L-1005") == ["return-lead"]
    assert agency.outside.livechat.tags("chat-L-1006", "thread-L-1006") == []
    (row,) = agency.outside.sheets.rows()
    assert "L-1005" in row


@pytest.mark.clause("RL-7")
async def test_a_lead_without_a_chat_is_recorded_as_such(agency: Agency) -> None:
    await agency.database.execute("UPDATE leads SET chat_id = '', thread_id = '' WHERE lead_id = 'L-1005'")
    case_id = await agency.receive(letter("L-1005"))
    await agency.find(case_id, ["L-1005"])
    await agency.confirm(case_id)
    await agency.result(case_id)
    reference = await agency.database.value("SELECT reference FROM effects WHERE kind = 'tag-chat'")
    assert reference == "no-chat"


@pytest.mark.clause("RL-8")
async def test_accounts_are_told_of_the_final_action(agency: Agency) -> None:
    case_id = await agency.receive(letter("L-1005"))
    await agency.find(case_id, ["L-1005"])
    await agency.confirm(case_id)
    await agency.result(case_id)
    (mail,) = [mail for mail in agency.mails("Final action") if ACCOUNTS in str(mail["To"])]
    assert "L-1005" in mail.get_content()


@pytest.mark.clause("RL-9")
async def test_a_refusal_goes_to_all_recipients_with_the_reason_of_each_lead(agency: Agency) -> None:
    case_id = await agency.receive(letter("L-1005 and L-1006", cc=COLLEAGUE))
    await agency.find(case_id, [], ["L-1005", "L-1006"])
    assert (await agency.closed(case_id)).status == "refused"
    refusal = to_client(agency)[-1]
    assert COLLEAGUE in str(refusal["To"]) + str(refusal["Cc"])
    assert words(refusal).count("The caller asked for a quote and got one.") == 2
    assert agency.outside.sheets.rows() == []
    await agency.keep(case_id, "refused")


@pytest.mark.clause("RL-9")
@pytest.mark.clause("RL-12")
async def test_a_mixed_request_is_settled_whole_and_answered_once(agency: Agency) -> None:
    case_id = await agency.receive(letter("L-1001, L-1005, L-1006, L-9999"))
    await agency.find(case_id, ["L-1001", "L-1005"], ["L-1006"])
    await agency.confirm(case_id)
    await agency.parked(case_id, "authorise")
    assert len(to_client(agency)) == 1
    await agency.authorise(case_id)
    outcome = await agency.closed(case_id)
    assert (outcome.valid, outcome.refused) == (2, 2)
    acknowledgement, answer = to_client(agency)
    text = words(answer)
    for part in ("L-1001", "L-1005", "L-1006", "L-9999", "will not be charged", "credit note", "got one"):
        assert part in text
    assert str(answer["To"]) == str(acknowledgement["To"])
    await agency.keep(case_id, "mixed")


@pytest.mark.clause("RL-13")
async def test_without_a_confirmation_nothing_reaches_accounts_or_the_books(agency: Agency) -> None:
    case_id = await agency.receive(letter(", ".join(FOUR)))
    await agency.find(case_id, FOUR)
    await agency.parked(case_id, "confirm")
    assert agency.outside.xero.credit_notes == []
    assert not list(agency.mails("Confirmed returns"))
    await agency.confirm(case_id)
    await agency.parked(case_id, "authorise")
    (mail,) = agency.mails("Confirmed returns")
    assert "Tom Reed" in mail.get_content()


@pytest.mark.clause("RL-13")
async def test_a_confirmation_that_could_not_be_sent_holds_the_credit_note_back(agency: Agency) -> None:
    case_id = await agency.receive(letter(", ".join(FOUR)))
    await agency.find(case_id, FOUR)
    await agency.parked(case_id, "confirm")
    agency.outside.mail.faults.add("refuse-recipient-5xx", times=1, recipient=ACCOUNTS)
    await agency.confirm(case_id)
    await agency.parked_at(case_id, "could-not")
    assert agency.outside.xero.credit_notes == []


@pytest.mark.clause("RL-15")
async def test_every_step_of_a_case_can_be_shown_afterwards(agency: Agency) -> None:
    case_id = await agency.receive(letter("L-1001"))
    await agency.find(case_id, ["L-1001"])
    await agency.confirm(case_id)
    await agency.authorise(case_id)
    await agency.result(case_id)
    report = await agency.audited()
    assert report.whole
    rows = await agency.database.fetch("SELECT kind, clause FROM case_events WHERE case_id = $1 ORDER BY seq", case_id)
    clauses = {str(row["clause"]) for row in rows}
    assert {"RL-4", "RL-6", "RL-7", "RL-8", "RL-12", "RL-13"} <= clauses
    assert [row["kind"] for row in rows].count("act.accepted") == 3


async def test_accounts_take_a_draft_line_off_before_the_promise(agency: Agency) -> None:
    agency.outside.xero.seed(invoices=[invoice("INV-2", range(1007, 1009), status="DRAFT")])
    case_id = await agency.receive(letter("L-1007"))
    await agency.find(case_id, ["L-1007"])
    await agency.act(case_id, "take-off", ActKind.TAKEN_OFF, {"note_sha256": ""}, "P-3")
    await agency.parked(case_id, "take-off.2")  # the books still show it: asked again
    line = next(
        one["LineItemID"] for one in agency.outside.xero.invoices[-1]["LineItems"] if "L-1007" in one["Description"]
    )
    agency.outside.xero.edit(op="remove_invoice_line", number="INV-2", line_id=line)
    await agency.act(case_id, "take-off.2", ActKind.TAKEN_OFF, {"note_sha256": ""}, "P-3")
    await agency.confirm(case_id)
    assert (await agency.result(case_id)).valid == 1
    assert "will not be charged" in words(to_client(agency)[-1])
    await agency.keep(case_id, "take-off")


async def test_a_paid_invoice_is_credited_and_accounts_allocate_it_in_the_books(agency: Agency) -> None:
    agency.outside.xero.edit(op="set_invoice_status", number="INV-1", status="PAID")
    case_id = await agency.receive(letter("L-1001"))
    await agency.find(case_id, ["L-1001"])
    await agency.confirm(case_id)
    await agency.authorise(case_id)
    await agency.act(case_id, "allocate", ActKind.ALLOCATED, {"note_sha256": ""}, "P-3")
    await agency.parked(case_id, "allocate.2")  # not so in the books: asked again
    number = agency.outside.xero.credit_notes[0]["CreditNoteNumber"]
    agency.outside.xero.edit(op="allocate_credit_note", number=number)
    await agency.act(case_id, "allocate.2", ActKind.ALLOCATED, {"note_sha256": ""}, "P-3")
    assert (await agency.result(case_id)).valid == 1
    await agency.keep(case_id, "paid")


async def test_an_invoice_that_is_paid_before_accounts_authorise_is_allocated_too(agency: Agency) -> None:
    case_id = await agency.receive(letter("L-1001"))
    await agency.find(case_id, ["L-1001"])
    await agency.confirm(case_id)
    await agency.parked(case_id, "authorise")
    agency.outside.xero.edit(op="set_invoice_status", number="INV-1", status="PAID")
    await agency.authorise(case_id)
    await agency.parked(case_id, "allocate")
    number = agency.outside.xero.credit_notes[0]["CreditNoteNumber"]
    assert f"{number} for invoice INV-1: GBP 60.00" in agency.mails("Allocate or refund")[-1].get_content()
    agency.outside.xero.edit(op="allocate_credit_note", number=number)
    await agency.act(case_id, "allocate", ActKind.ALLOCATED, {"note_sha256": ""}, "P-3")
    assert (await agency.result(case_id)).valid == 1


async def test_an_authorisation_by_the_confirmer_or_the_investigator_is_refused_visibly(agency: Agency) -> None:
    await agency.database.execute("INSERT INTO money_people VALUES ('team:accounts', 'local', 'P-2', 'Tom Reed')")
    case_id = await agency.receive(letter("L-1001"))
    await agency.find(case_id, ["L-1001"])
    await agency.confirm(case_id, by="P-2")
    await agency.authorise(case_id, by="P-2")
    await agency.parked(case_id, "authorise")
    assert (await agency.view(case_id)).refused == 1
    assert agency.outside.xero.credit_notes[0]["Status"] == "DRAFT"


async def test_a_declined_credit_note_comes_back_to_the_team(agency: Agency) -> None:
    case_id = await agency.receive(letter("L-1001"))
    await agency.find(case_id, ["L-1001"])
    await agency.confirm(case_id)
    reason = {"reason_sha256": await agency.text("The draft names another client.")}
    await agency.act(case_id, "authorise", ActKind.DECLINE, reason, "P-3")
    await agency.parked(case_id, "declined")
    (told,) = agency.mails("Accounts declined the credit note")
    assert (str(told["To"]), "Ana Costa: The draft names another client." in words(told)) == (RETURNS, True)
    await agency.act(case_id, "declined", ActKind.DONE, {"note_sha256": ""}, "P-1")
    await agency.authorise(case_id, step_id="authorise.2")
    assert (await agency.result(case_id)).valid == 1
    await agency.keep(case_id, "declined")


@pytest.mark.clause("RL-12")
async def test_a_draft_edited_in_the_books_to_ten_times_the_amount_is_not_authorised(agency: Agency) -> None:
    """Accounts say yes to what was confirmed; what the books hold by then is something else."""
    case_id = await agency.receive(letter("L-1001"))
    await agency.find(case_id, ["L-1001"])
    await agency.confirm(case_id)
    await agency.parked(case_id, "authorise")
    (note,) = agency.outside.xero.credit_notes
    line = {"Description": "Returned lead L-1001", "Quantity": 1, "UnitAmount": Decimal("500.00")}
    tenfold = [line | {"AccountCode": "200", "TaxType": "OUTPUT2"}]
    agency.outside.xero.edit(op="edit_credit_note", number=note["CreditNoteNumber"], set={"LineItems": tenfold})
    await agency.authorise(case_id)
    await agency.parked_at(case_id, "could-not")
    (note,) = agency.outside.xero.credit_notes
    assert (note["Status"], note["Total"]) == ("DRAFT", 600)
    assert not any("credit note has been issued" in words(mail) for mail in to_client(agency))


async def half_credited(agency: Agency) -> str:
    """One note of two is authorised; the other invoice grew above the limit meanwhile, so that the gate stops it."""
    agency.outside.xero.seed(invoices=[invoice("INV-2", range(1007, 1008))])
    case_id = await agency.receive(letter("L-1001, L-1007"))
    await agency.find(case_id, ["L-1001", "L-1007"])
    await agency.confirm(case_id)
    await agency.parked(case_id, "authorise")
    dearer = invoice("INV-2", range(1007, 1008), net="600.00")["LineItems"]
    agency.outside.xero.edit(op="edit_invoice", number="INV-2", set={"LineItems": dearer})
    await agency.authorise(case_id)
    await agency.parked(case_id, "approval")
    return case_id


async def void(agency: Agency, case_id: str) -> None:
    """Accounts void the draft that the gate stopped; while the books hold it they are asked again."""
    await agency.parked(case_id, "void-draft")
    (mail,) = agency.mails("Void a draft credit note")
    (stale,) = [one["CreditNoteNumber"] for one in agency.outside.xero.credit_notes if one["Status"] == "DRAFT"]
    assert (str(mail["To"]), stale in mail.get_content()) == (ACCOUNTS, True)
    await agency.act(case_id, "void-draft", ActKind.DONE, {"note_sha256": ""}, "P-3")
    await agency.parked(case_id, "void-draft.2")
    agency.outside.xero.edit(op="set_credit_note_status", number=stale, status="DELETED")
    await agency.act(case_id, "void-draft.2", ActKind.DONE, {"note_sha256": ""}, "P-3")


def notes(agency: Agency, status: str) -> list[str]:
    return [str(one["Reference"]) for one in agency.outside.xero.credit_notes if one["Status"] == status]


@pytest.mark.clause("RL-6")
@pytest.mark.clause("RL-14")
async def test_what_is_credited_stays_so_in_the_answer_when_the_rest_is_rejected(agency: Agency) -> None:
    case_id = await half_credited(agency)
    assert notes(agency, "AUTHORISED") == ["INV-1"]
    about = "SELECT subject FROM acts WHERE case_id = $1 AND kind = 'return.reject'"
    await agency.decide(case_id, ActKind.REJECT)
    told = await agency.text("We looked again and can't take this lead back.")
    both = {"leads": [{"lead_id": one, "text_sha256": told} for one in ("L-1001", "L-1007")]}
    await agency.act(case_id, "rejected", ActKind.REDUCE, both, "P-1")
    await agency.refused(case_id, "leads-do-not-fit")  # nobody takes back what is credited
    await agency.act(case_id, "rejected", ActKind.REDUCE, {"leads": both["leads"][1:]}, "P-1")
    assert "L-1001" not in str(await agency.database.value(about, case_id))
    await void(agency, case_id)
    await agency.confirm(case_id, step_id="confirm.2")
    outcome = await agency.closed(case_id)
    assert (outcome.valid, outcome.refused) == (1, 1)
    credited, refused = words(to_client(agency)[-1]).split("can't take this lead back")[0].split("L-1007")[:2]
    assert "L-1001" in credited
    assert "L-1001" not in refused
    assert notes(agency, "AUTHORISED") == ["INV-1"]
    assert [row[1] for row in agency.outside.sheets.rows()] == ["L-1001"]
    assert agency.outside.livechat.tags("chat-L-1001", "thread-L-1001") == ["return-lead"]
    assert agency.outside.livechat.tags("chat-L-1007", "thread-L-1007") == []


@pytest.mark.clause("RL-12")
@pytest.mark.clause("RL-14")
async def test_only_the_rest_is_decided_anew_and_no_lead_is_credited_twice(agency: Agency) -> None:
    case_id = await half_credited(agency)
    await agency.decide(case_id, ActKind.APPROVE)
    await void(agency, case_id)
    await agency.confirm(case_id, step_id="confirm.2")
    await agency.authorise(case_id, step_id="authorise.2")
    outcome = await agency.result(case_id)
    assert (outcome.valid, outcome.refused) == (2, 0)
    assert sorted(notes(agency, "AUTHORISED")) == ["INV-1", "INV-2"]
    lines = [
        line["Description"]
        for one in agency.outside.xero.credit_notes
        if one["Status"] == "AUTHORISED"
        for line in one["LineItems"]
    ]
    assert sorted(lines) == ["Returned lead L-1001", "Returned lead L-1007"]
    answer = words(to_client(agency)[-1])
    assert all(
        one["CreditNoteNumber"] in answer for one in agency.outside.xero.credit_notes if one["Status"] != "DRAFT"
    )
    assert (await agency.audited()).whole


@pytest.mark.clause("RL-12")
@pytest.mark.clause("RL-6")
async def test_a_lead_billed_meanwhile_on_a_credited_invoice_has_a_note_of_its_own_to_the_end(agency: Agency) -> None:
    """In Accounts' e-mail, in the answer, in the step to allocate it, and in the check of the books."""
    case_id = await agency.receive(letter("L-1001, L-1005"))
    await agency.find(case_id, ["L-1001", "L-1005"])
    await agency.confirm(case_id)
    await agency.parked(case_id, "authorise")
    (line,) = invoice("INV-1", range(1005, 1006))["LineItems"]  # type: ignore[misc]
    agency.outside.xero.edit(op="add_invoice_line", number="INV-1", line=line)
    agency.outside.xero.edit(op="set_invoice_status", number="INV-1", status="PAID")
    await agency.authorise(case_id)
    await agency.confirm(case_id, step_id="confirm.2")
    await agency.parked(case_id, "authorise.2")
    first, second = (credit_note_number(case_id, "INV-1", turn) for turn in (1, 2))
    told = words(agency.mails("please issue a credit note")[-1])
    assert f"credit note {second}, GBP 60.00 in all" in told
    assert ("L-1001" in told, f"{first}," in told) == (False, False)
    await agency.authorise(case_id, step_id="authorise.2")
    await agency.act(case_id, "allocate", ActKind.ALLOCATED, {"note_sha256": ""}, "P-3")
    await agency.parked(case_id, "allocate.2")
    asked = agency.mails("Allocate or refund")[-1].get_content()
    for number in (first, second):  # the invoice was paid before either was authorised
        assert f"{number} for invoice INV-1: GBP 60.00" in asked
        agency.outside.xero.edit(op="allocate_credit_note", number=number)
    await agency.act(case_id, "allocate.2", ActKind.ALLOCATED, {"note_sha256": ""}, "P-3")
    assert (await agency.result(case_id)).valid == 2
    answer = words(to_client(agency)[-1])
    for number, lead in ((first, "L-1001"), (second, "L-1005")):
        assert f"Credit note {number} for invoice INV-1: GBP 60.00 {lead} GBP 60.00" in answer
    checked = await agency.client.execute_workflow(
        BOOKS_CHECK, BooksCheckRequest(), id=f"check-{agency.queue}", task_queue=agency.queue, result_type=BooksChecked
    )
    assert (checked.charged, checked.unconfirmed) == (0, 0)
    assert (await agency.audited()).whole
