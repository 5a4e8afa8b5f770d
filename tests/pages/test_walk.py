import re
from dataclasses import replace
from datetime import datetime, timedelta
from email.message import EmailMessage
from html import unescape

import pytest

from domain.messages import ActKind
from starter.pages.render import LONDON, case_url, step_url
from tests.agency import CLIENT_MAIL, Agency, letter
from tests.pages.town import Town, open_town


async def test_every_page_of_a_case_opens(town: Town) -> None:
    case_id, step = await town.investigated("L-1001", "L-1002", "L-1005")
    visit = await town.signed_in("P-2")
    for path in (
        "/",
        "/?part=yes",
        "/cases",
        f"/cases/{case_id}",
        step,
        f"/cases/{case_id}/steps/investigate",
        "/accounts",
        "/audit",
        "/audit?part=yes",
    ):
        answer = await visit.get(path)
        assert answer.status_code == 200, f"{path}: {answer.text}"


async def test_a_case_explains_its_deadlines_stretch_by_stretch(town: Town) -> None:
    case_id = await town.opened("L-1001")
    visit = await town.signed_in("P-2")
    shown = (await visit.get(f"/cases/{case_id}")).text
    assert "Deadlines, explained" in shown
    assert "48 h run</li>" in shown


async def test_a_moved_deadline_says_by_whom_to_when_and_why(town: Town) -> None:
    case_id = await town.opened("L-1001")
    step = f"/cases/{case_id}/steps/investigate"
    priya = await town.signed_in("P-1")
    await priya.act(step, "step.claim")
    due = datetime.now(LONDON) + timedelta(days=5)
    moved = await priya.act(step, "step.move", due=f"{due:%Y-%m-%dT09:00}", reason="The client is away until then.")
    assert moved.status_code == 303, moved.text
    shown = (await priya.get(f"/cases/{case_id}")).text
    then = f"{due:%a %d %b %Y}, 09:00 London time"
    assert f"moved the deadline to {then}: The client is away until then." in shown
    assert f"to {then} by P" in shown  # why it is due then


async def test_a_return_is_settled_on_the_pages(town: Town) -> None:
    case_id = await town.opened("L-1001", "L-1002")
    step = f"/cases/{case_id}/steps/investigate"
    priya = await town.signed_in("P-1")
    assert (await priya.act(step, "step.claim")).status_code == 303
    found = {}
    for lead in ("L-1001", "L-1002"):
        found |= {f"verdict:{lead}": "valid", f"reason:{lead}": "spam", f"text:{lead}": "A robot filled in the form."}
    answer = await priya.act(step, "table.hand-in", **found)
    assert answer.status_code == 303, answer.text
    await town.agency.parked(case_id, "confirm")
    tom = await town.signed_in("P-2")
    answer = await tom.act(f"/cases/{case_id}/steps/confirm", "return.confirm")
    assert answer.status_code == 303, answer.text
    assert "The signature holds" in (await tom.get(answer.headers["location"])).text
    await town.agency.parked(case_id, "authorise")
    ana = await town.signed_in("P-3")
    answer = await ana.act(f"/cases/{case_id}/steps/authorise", "return.authorise")
    assert answer.status_code == 303, answer.text
    assert (await town.agency.result(case_id)).valid == 2


@pytest.mark.clause("RL-15")
async def test_a_case_is_shown_by_clause_with_who_must_act_why_then_and_what_was_said_and_done(town: Town) -> None:
    agency = town.agency
    case_id = await agency.receive(letter("L-1001"))
    await agency.find(case_id, ["L-1001"])
    await agency.parked(case_id, "confirm")
    forged = await agency.crafted(case_id, "confirm", ActKind.CONFIRM, {"preview_sha256": "0" * 64}, "P-2")
    await agency.handle(case_id).signal("act", forged.model_copy(update={"signature": "A" * 86}))
    await agency.refused(case_id, "bad-signature")
    await agency.confirm(case_id)
    await agency.parked(case_id, "authorise")
    shown = " ".join((await (await town.signed_in("P-1")).get(case_url(case_id))).text.split())
    for words in (
        f'href="{step_url(case_id, "authorise")}">Accounts: Authorise the credit note</a>',
        "Authorise 1 credit note",
        '<p class="quiet">48 h after ',
        'abbr class="clause" title="Accounts issues credit notes ONLY if',
        "please take back L-1001.",
        "issued, invoice INV-1",
        "Refused, and nothing follows from it: its signature does not fit its content",
        "Tom Reed confirmed the settlement",
        "Within the limit: GBP 60.00 of GBP 500.00 with VAT",
        "Confirmation to Accounts: sent",
        'confirm to accounts <abbr class="clause"',
        '<th scope="row">draft credit note</th>',
        "/audit?part=yes",
    ):
        assert words.casefold() in shown.casefold(), words
    verified = (await (await town.signed_in("P-1")).get("/audit?part=yes")).text
    assert "none changed, none missing" in verified


@pytest.mark.clause("RL-15")
async def test_what_the_client_was_told_is_read_word_for_word_or_not_at_all(town: Town) -> None:
    agency = town.agency
    case_id = await agency.receive(letter("L-1005 and L-1006"))
    await agency.find(case_id, ["L-1005"], ["L-1006"])
    await agency.confirm(case_id)
    await agency.answered(case_id)
    priya, page = await town.signed_in("P-1"), f"{case_url(case_id)}/letters"
    assert page in (await priya.get(case_url(case_id))).text
    shown = unescape((await priya.get(page)).text)
    told = [mail for mail in agency.mails() if CLIENT_MAIL in str(mail["To"])]
    assert len(told) == 2
    for mail in told:
        assert text_of(mail) in shown
        assert str(mail["Subject"]) in shown
    assert shown.count("word for word</span>") == 3  # and the final action to Accounts
    await agency.database.execute("UPDATE texts SET content_ct = (SELECT content_ct FROM texts LIMIT 1)")
    changed = unescape((await priya.get(page)).text)
    assert text_of(told[-1]) not in changed
    assert "would read otherwise today" in changed


@pytest.mark.clause("RL-11")
@pytest.mark.clause("RL-12")
@pytest.mark.clause("RL-13")
async def test_accounts_see_drafts_with_their_amounts_what_still_waits_and_what_is_not_to_be_invoiced(
    town: Town,
) -> None:
    agency = town.agency
    await agency.database.arrived_at("600.00", "L-1008")
    to_authorise, _ = await town.investigated("L-1001", "L-1002")
    await agency.confirm(to_authorise)
    listed, _ = await town.investigated("L-1005")
    await agency.confirm(listed)
    await agency.result(listed)
    _, page = await town.investigated("L-1006")
    to_approve = await town.opened("L-1008")
    await agency.find(to_approve, ["L-1008"])
    for case_id, step_id in ((to_authorise, "authorise"), (to_approve, "approval")):
        await agency.parked(case_id, step_id)
    ana = await town.signed_in("P-3")
    shown = " ".join((await ana.get("/accounts")).text.split())
    to_do, waiting, not_invoiced = (shown.partition(f'id="{name}"')[2] for name in ("todo", "coming", "dni"))
    to_do, waiting = to_do.removesuffix(waiting), waiting.removesuffix(not_invoiced)
    (note,) = agency.outside.xero.credit_notes
    assert f"{note['CreditNoteNumber']} for invoice INV-1: <strong>£120.00</strong>" in to_do
    assert [step_url(to_authorise, "authorise") in part for part in (to_do, waiting)] == [True, False]
    assert [page in part for part in (to_do, waiting)] == [False, True]
    assert step_url(to_approve, "approval") in waiting
    assert '<th scope="row">L-1005</th><td data-label="Client">Acme Plumbing</td>' in not_invoiced
    assert case_url(listed) in not_invoiced
    month = re.search(r"do-not-invoice\.csv\?month=(\d{4}-\d\d)", shown)
    assert month
    table = (await ana.get(f"/accounts/do-not-invoice.csv?month={month[1]}")).text
    assert [line.split(",")[:3] for line in table.splitlines()[1:]] == [["C-0001", "Acme Plumbing", "L-1005"]]


async def test_the_preview_of_the_findings_is_the_letter_that_is_confirmed_later(town: Town) -> None:
    case_id = await town.opened("L-1005", "L-1006", "L-1007")
    step, priya = f"/cases/{case_id}/steps/investigate", await town.signed_in("P-1")
    reason = "The caller asked for a price, gave a number that works, and was called back."
    assert "Nothing yet" in (await priya.act(step, "table.preview")).text
    first = {"verdict:L-1006": "not-valid", "reason:L-1006": "genuine-enquiry", "text:L-1006": reason}
    shown = (await priya.act(step, "table.preview", **first)).text
    assert "we are not able" in shown
    assert "still without a verdict: L-1005, L-1007" in shown
    found = dict(first)
    for lead in ("L-1005", "L-1007"):
        found |= {f"verdict:{lead}": "valid", f"reason:{lead}": "spam", f"text:{lead}": "A robot filled in the form."}
    previewed = letter_on((await priya.act(step, "table.preview", **found)).text)
    assert (reason in previewed, "A robot" in previewed) == (True, False)
    assert await town.acts(case_id, "return.findings") == 0
    assert (await priya.act(step, "table.hand-in", **found)).status_code == 303
    await town.agency.parked(case_id, "confirm")
    tom = await town.signed_in("P-2")
    assert letter_on((await tom.get(f"/cases/{case_id}/steps/confirm")).text) == previewed


def text_of(mail: EmailMessage) -> str:
    return str(mail.get_content()).replace("\r\n", "\n").strip()


def letter_on(page: str) -> str:
    """The letter that a page shows."""
    found = re.search(r'<pre class="text paper"[^>]*>(.*?)</pre>', page, re.DOTALL)
    assert found
    return unescape(found.group(1))


async def test_the_findings_table_leads_to_the_transcript_of_a_leads_chat(agency: Agency) -> None:
    await agency.database.execute("UPDATE leads SET chat_id = '', thread_id = '' WHERE lead_id = 'L-1002'")
    address = "https://chats.example/archives/{chat_id}?thread={thread_id}"
    settings = agency.settings.model_copy(update={"chat_transcript_address": address})
    async with open_town(replace(agency, settings=settings)) as town:
        case_id = await town.opened("L-1001", "L-1002")
        shown = (await (await town.signed_in("P-1")).get(f"/cases/{case_id}/steps/investigate")).text
    assert 'href="https://chats.example/archives/chat-L-1001?thread=thread-L-1001"' in shown
    assert "L-1002, opens" not in shown
    assert "no chat" in shown
