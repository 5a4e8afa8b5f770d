"""The approver's page: what it shows, what it takes, and what proves it afterwards (RL-14)."""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from domain.messages import ActKind
from starter.pages.render import case_url, step_url
from tests.agency import add_lead, invoice, letter
from tests.pages.browser import PHONE, chromium, screen
from tests.pages.town import APPROVER, Town

LEADS = ("L-2001", "L-2002", "L-2003")


@pytest_asyncio.fixture
async def browser() -> AsyncGenerator[Browser]:
    async with chromium() as made:
        yield made


async def _asked(town: Town) -> tuple[str, str]:
    """A request of three leads at GBP 200.00, found valid: its case, and the approver's page."""
    for lead in LEADS:
        await add_lead(town.agency.database, town.agency.outside, lead, "200.00")
    case_id = await town.agency.receive(letter(" and ".join(LEADS)))
    await town.agency.find(case_id, LEADS)
    await town.agency.parked(case_id, "approval")
    return case_id, step_url(case_id, "approval")


@pytest.mark.clause("RL-14")
async def test_a_sum_above_the_limit_is_approved_on_a_phone(town: Town, browser: Browser) -> None:
    case_id, page = await _asked(town)
    async with screen(browser, town.url, size=PHONE) as window:
        await window.open(page)
        await window.sign_in("Shobhit Patil")
        await expect(window.page.get_by_role("heading", name="Approve £600.00")).to_be_visible()
        for lead in LEADS:
            await expect(window.page.get_by_role("row", name=lead)).to_be_visible()
        await window.shoot("phone-approval")
        await window.click("Approve £600.00")
        await expect(window.page.get_by_text("The signature holds")).to_be_visible()
        await window.shoot("phone-approval-proof")
    await town.agency.parked(case_id, "confirm")
    async with screen(browser, town.url) as window:
        await window.open(step_url(case_id, "confirm"))
        await window.sign_in("Tom Reed")
        await window.click("Confirm as Tom Reed")
        await expect(window.page.get_by_text("The signature holds")).to_be_visible()
    assert (await town.agency.result(case_id)).valid == 3


async def test_reading_and_prefetching_decide_nothing(town: Town) -> None:
    case_id, page = await _asked(town)
    shobhit = await town.signed_in(APPROVER)
    ask = f"{page}?kind=return.approve&reason=yes"
    assert (await shobhit.get(ask)).status_code == 200
    assert (await shobhit.get(ask, headers={"Sec-Purpose": "prefetch"})).status_code == 200
    head = await shobhit.http.head(town.url + ask)
    assert (head.status_code, head.content) == (200, b"")
    assert await town.acts(case_id, "return.approve") == 0


async def test_a_rejection_needs_a_reason(town: Town) -> None:
    case_id, page = await _asked(town)
    shobhit = await town.signed_in(APPROVER)
    answer = await shobhit.act(page, "return.reject", reason=" ")
    assert answer.status_code == 409
    assert "Give a reason" in answer.text
    assert (await shobhit.act(page, "return.reject", reason="Too many at once; talk to me.")).status_code == 303
    await town.agency.parked(case_id, "rejected")


async def test_asking_back_goes_to_the_team_and_both_read_what_the_other_wrote(town: Town) -> None:
    case_id, page = await _asked(town)
    shobhit = await town.signed_in(APPROVER)
    await shobhit.act(page, "return.ask_back", reason="Which campaign was it?")
    step = step_url(case_id, await town.agency.parked_at(case_id, "answer-back"))
    priya = await town.signed_in("P-1")
    for shown in (step, f"{step}/panel"):
        assert "Shobhit Patil asked back</a>: Which campaign was it?" in (await priya.get(shown)).text
    empty = await priya.act(step, "step.done", note=" ")
    assert (empty.status_code, "Write the answer" in empty.text) == (409, True)
    answer = await priya.act(step, "step.done", note="The October one.")
    assert answer.status_code == 303, answer.text
    await town.agency.parked(case_id, "approval.2")
    shown = (await shobhit.get(step_url(case_id, "approval.2"))).text
    assert "Which campaign was it?" in shown
    assert "Priya Nair answered</a>: The October one." in shown


async def test_the_reason_of_a_rejection_is_read_by_the_team_on_its_step_and_with_the_proof(town: Town) -> None:
    case_id, page = await _asked(town)
    shobhit, priya = await town.signed_in(APPROVER), await town.signed_in("P-1")
    done = await shobhit.act(page, "return.reject", reason="Too many at once; talk to me.")
    assert "Too many at once; talk to me." in (await shobhit.get(done.headers["location"])).text
    await town.agency.parked(case_id, "rejected")
    shown = (await priya.get(step_url(case_id, "rejected"))).text
    assert "Shobhit Patil rejected</a>: Too many at once; talk to me." in shown


async def test_the_page_shows_what_is_approved_why_who_asked_and_what_was_granted_before(town: Town) -> None:
    agency = town.agency
    earlier = await agency.receive(letter("L-1005"))
    await agency.find(earlier, ["L-1005"])
    await agency.confirm(earlier)
    await agency.result(earlier)
    agency.outside.xero.seed(invoices=[invoice("INV-7", range(1007, 1008), net="400.00")])
    case_id = await agency.receive(letter("L-1006 and L-1007"))
    await agency.parked(case_id, "investigate")
    priya, page = await town.signed_in("P-1"), step_url(case_id, "investigate")
    fields = await priya.fields(page, "table.hand-in")
    for lead in ("L-1006", "L-1007"):
        fields |= {f"verdict:{lead}": "valid", f"reason:{lead}": "duplicate", f"text:{lead}": f"{lead} came before."}
    proof = {"file:L-1007": ("call.txt", b"The same caller as on Monday.", "text/plain")}
    assert (await priya.post(page, fields, files=proof)).status_code == 303
    await agency.parked(case_id, "approval")
    shobhit = await town.signed_in(APPROVER)
    shown = " ".join((await shobhit.get(step_url(case_id, "approval"))).text.split())
    for words in (
        "Approve £540.00 for Acme Plumbing?",
        "with the £60.00 that this client was granted before, it comes to £600.00",
        "more than the limit of £500.00. The client knows nothing of this yet.",
        "The client is told that L-1006 will not be charged.",
        "Accounts issue a credit note for L-1007 on invoice INV-7",
        f'<th scope="row">L-1005</th><td><a href="{case_url(earlier)}">its case</a></td><td class="num">£60.00</td>',
        "Priya Nair investigated. Asked for by jane@acme-plumbing.example",
        "The client had it before",
        "L-1007 came before.",
        "call.txt</a>",
    ):
        assert words in shown, words
    receipt = await shobhit.act(step_url(case_id, "approval"), "return.approve")
    proven = (await shobhit.get(receipt.headers["location"])).text
    assert "The signature holds" in proven
    assert "call.txt</a>" in proven
    assert f'<a href="{case_url(earlier)}">L-1005</a> £60.00' in proven


async def test_a_form_without_the_token_or_of_another_site_approves_nothing(town: Town) -> None:
    case_id, page = await _asked(town)
    shobhit = await town.signed_in(APPROVER)
    fields = await shobhit.fields(page, "return.approve")
    for csrf in ({}, {"csrf": ""}, {"csrf": "0" * 64}):
        bare = {name: value for name, value in fields.items() if name != "csrf"} | csrf
        assert (await shobhit.post(page, bare)).status_code == 403
    for origin in ("https://evil.example", "null", ""):
        assert (await shobhit.post(page, fields, origin=origin)).status_code == 403
    assert await town.acts(case_id, "return.approve") == 0


@pytest.mark.parametrize("sub", ["P-1", "P-2", "P-3", "P-4"])
async def test_nobody_else_is_offered_the_decision_or_can_make_it(town: Town, sub: str) -> None:
    case_id, page = await _asked(town)
    right = await town.signed_in(APPROVER)
    fields = await right.fields(page, "return.approve")
    other = await town.signed_in(sub)
    shown = (await other.get(page)).text
    assert "return.approve" not in shown
    own = await other.fields(page, "step.claim")
    answer = await other.post(page, fields | {"csrf": own["csrf"]})
    assert answer.status_code == 409
    assert await town.acts(case_id, "return.approve") == 0


@pytest.mark.clause("RL-14")
async def test_where_the_approver_is_the_clients_csm_the_pages_put_it_to_the_partner(town: Town) -> None:
    case_id, page = await _asked(town)
    execute = town.agency.database.execute
    shobhit = await town.signed_in(APPROVER)
    assert page in (await shobhit.get("/")).text
    assert "Shobhit Patil: Approve" in (await shobhit.get(case_url(case_id))).text
    await execute("INSERT INTO people VALUES ('P-8', 'Pia Lang', 'pia@commversion.com', 'local', 'P-8')")
    await execute(
        "INSERT INTO money_people (role, issuer, sub, name) VALUES ('role:partner', 'local', 'P-8', 'Pia Lang')"
    )
    await execute("UPDATE clients SET csm_id = (SELECT person_id FROM people WHERE name = 'Shobhit Patil')")
    pia = await town.signed_in("P-8")
    assert page in (await pia.get("/")).text
    assert page not in (await shobhit.get("/")).text
    shown = (await shobhit.get(case_url(case_id))).text
    assert "Pia Lang: Approve" in shown
    assert "The approver has a hand in this case: this goes to whoever decides instead." in shown
    assert "return.approve" not in (await shobhit.get(page)).text
    assert "It waits for Pia Lang: the approver has a hand" in (await pia.get(page)).text
    assert (await pia.act(page, "return.approve")).status_code == 303
    await town.agency.parked(case_id, "confirm")


async def test_what_changed_since_it_was_shown_is_shown_again_instead_of_signed(town: Town) -> None:
    """Another case is granted something while the approver looks at this one."""
    case_id, page = await _asked(town)
    shobhit = await town.signed_in(APPROVER)
    fields = await shobhit.fields(page, "return.approve")
    await town.agency.database.execute(
        "INSERT INTO grants (lead_id, case_id, client_id, contact_id, treatment, gross, currency, gbp, effect_key) "
        "SELECT 'L-1001', 'return-lead/other', client_id, contact_id, 'no-charge', 60, 'GBP', 60, 'x' FROM clients"
    )
    answer = await shobhit.post(page, fields)
    assert answer.status_code == 409
    assert "was changed since it was shown" in answer.text
    assert "£60.00" in answer.text
    assert await town.acts(case_id, "return.approve") == 0


async def test_an_old_sign_in_does_not_approve(town: Town) -> None:
    case_id, page = await _asked(town)
    shobhit = await town.signed_in(APPROVER)
    fields = await shobhit.fields(page, "return.approve")
    await town.agency.database.execute("UPDATE web_sessions SET auth_time = auth_time - interval '16 minutes'")
    shown = (await shobhit.get(page)).text
    assert f"/login/again?next={page}" in shown
    assert (await shobhit.post(page, fields)).status_code == 401
    assert await town.acts(case_id, "return.approve") == 0
    await shobhit.sign_in(APPROVER, page, again=True)
    assert (await shobhit.act(page, "return.approve")).status_code == 303
    assert await town.acts(case_id, "return.approve") == 1


async def test_an_act_that_proves_nothing_is_shown_as_such(town: Town) -> None:
    case_id, page = await _asked(town)
    shobhit = await town.signed_in(APPROVER)
    where = (await shobhit.act(page, "return.approve")).headers["location"]
    assert "The signature holds" in (await shobhit.get(where)).text
    await town.agency.database.execute("ALTER TABLE acts DISABLE TRIGGER append_only")
    query = 'UPDATE acts SET payload = \'{"reason_sha256":"x"}\' WHERE case_id = $1 AND kind = $2'
    await town.agency.database.execute(query, case_id, ActKind.APPROVE)
    assert "This proves nothing" in (await shobhit.get(where)).text
