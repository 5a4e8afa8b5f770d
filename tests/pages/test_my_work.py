"""My work, and a department request from its form to its end: in a real browser, on a phone, and under attack."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from urllib.parse import quote

import httpx2
import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from starter.pages.render import case_url, step_url
from tests.agency import CLIENT, add_lead, invoice
from tests.pages.browser import PHONE, Screen, chromium, screen
from tests.pages.town import Town, Visit
from tests.standing import STRETCHES, stood_still
from tests.workflows.desk import Desk, furnish

HOURS = timedelta(hours=1)


@pytest_asyncio.fixture
async def browser() -> AsyncGenerator[Browser]:
    async with chromium() as made:
        yield made


@pytest_asyncio.fixture
async def desk(town: Town) -> Desk:
    return await furnish(town.agency)


async def _signed_in(window: Screen, name: str, path: str = "/") -> None:
    await window.open(path)
    await window.sign_in(name)


async def _ask(window: Screen, ticket: int) -> None:
    """Tom does not know who has to do it, nor how long it takes."""
    page = window.page
    await _signed_in(window, "Tom Reed")
    await expect(page.get_by_role("heading", name="My work")).to_be_visible()
    await window.click("Ask a department", "link")
    await page.get_by_label("What is asked for").fill("Pause the brand campaign")
    await window.click("Ask them")
    await expect(page.get_by_text("Choose the department that is asked.")).to_be_visible()
    await expect(page.get_by_label("What is asked for")).to_have_value("Pause the brand campaign")
    await page.get_by_label("Client no client").select_option("Acme Plumbing")
    await page.get_by_label("Details").fill("From Monday on, until the new landing page is there.")
    await page.get_by_label("Not sure").check()
    await page.get_by_label("Number of the ticket").fill(str(ticket))
    await window.shoot("request-new")
    await window.click("Ask them")
    await expect(page.get_by_role("heading", name="Acme Plumbing")).to_be_visible()


async def _route(window: Screen) -> None:
    page = window.page
    await _signed_in(window, "Cleo")
    await page.get_by_label("Which department").select_option("ppc")
    await window.click("Send it there")
    await expect(page.get_by_text("It was signed and sent")).to_be_visible()


async def _estimate(window: Screen) -> None:
    page = window.page
    await _signed_in(window, "Pete")
    await expect(page.get_by_text("How to do it")).to_be_visible()
    await page.get_by_label("In hours").fill("192")
    await window.shoot("phone-estimate")
    await window.click("That is how long it takes")
    await expect(page.get_by_text("It was signed and sent")).to_be_visible()


async def _follow_up(window: Screen) -> None:
    page = window.page
    await _signed_in(window, "Cleo")
    await page.get_by_label("Your note").fill("Barb says that it waits for the budget of December.")
    await window.shoot("my-work-follow-up")
    await window.click("Send this note")
    await expect(page.get_by_text("It was signed and sent")).to_be_visible()


async def _agenda(window: Screen) -> None:
    await _signed_in(window, "Tom Reed", "/agenda/mine")
    await expect(window.page.get_by_role("heading", name="Tom Reed's agenda")).to_be_visible()
    await expect(window.page.get_by_text("waits for the budget of December")).to_be_visible()
    await window.shoot("agenda")


async def _do(window: Screen, case_id: str) -> None:
    await _signed_in(window, "Barb")
    await window.page.get_by_role("link", name="Process a request").click()
    await expect(window.page.get_by_role("heading", name="Process a request")).to_be_visible()
    await window.shoot("request-step")
    await window.page.get_by_label("Note").fill("Paused in both accounts.")
    await window.click("It is done")
    await expect(window.page.get_by_text("It was signed, checked and stored")).to_be_visible()
    await window.open(case_url(case_id))
    await expect(window.page.get_by_text("none changed, none missing")).to_be_visible()
    await window.shoot("request-case")


async def test_a_request_is_opened_routed_estimated_followed_up_and_done_in_a_browser(
    desk: Desk, town: Town, browser: Browser
) -> None:
    ticket = desk.ticket()
    async with screen(browser, town.url) as window:
        await _ask(window, ticket)
    (case_id,) = await town.agency.take_in()
    await town.agency.parked(case_id, "route")
    async with screen(browser, town.url) as window:
        await _route(window)
    await town.agency.parked(case_id, "estimate")
    async with screen(browser, town.url, size=PHONE) as window:
        await _estimate(window)
    await town.agency.sent(case_id, "assign-task/estimated")
    await desk.pass_time(case_id, 37 * HOURS)
    await town.agency.parked(case_id, "follow-up")
    async with screen(browser, town.url) as window:
        await _follow_up(window)
    await town.agency.sent(case_id, "follow-up/1")
    async with screen(browser, town.url) as window:
        await _agenda(window)
    async with screen(browser, town.url) as window:
        await _do(window, case_id)
    assert (await desk.result(case_id)).by == "barb"
    assert any("waits for the budget" in one for one in desk.ticket_notes(ticket))


async def _late(desk: Desk) -> str:
    """A request whose promise is broken: 49 hours have passed, for everybody."""
    case_id = await desk.open(reference=f"{desk.reference}-late", title="Call tracking on the new number")
    await desk.agency.parked(case_id, "process")
    await desk.agency.database.shift(49 * HOURS)
    await desk.pass_time(case_id, 49 * HOURS)
    await desk.agency.chased(case_id, "process", 1)
    return case_id


async def _busy(desk: Desk) -> None:
    await _late(desk)
    today = await desk.open(reference=f"{desk.reference}-today", title="Swap the banner of the autumn sale", hours=51)
    later = await desk.open(reference=f"{desk.reference}-later", title="Texts of six new pages", new_pages=True)
    for case_id in (today, later):
        await desk.agency.parked(case_id, "process")


async def test_what_waits_stands_by_urgency_and_a_broken_promise_comes_first(
    desk: Desk, town: Town, browser: Browser
) -> None:
    await _busy(desk)
    async with screen(browser, town.url) as window:
        await _signed_in(window, "Barb")
        await expect(window.page.get_by_role("heading", name="Overdue")).to_be_visible()
        titles = await window.page.locator(".work-card > p:nth-of-type(2)").all_inner_texts()
        assert titles[0].endswith(": Call tracking on the new number")
        assert titles[-1].endswith(": Texts of six new pages")
        first = window.page.locator(".work-card").first
        await expect(first).to_contain_text("promise broken")
        await expect(first.get_by_text("Do it, and complete the task in Teamwork")).to_be_visible()
        await window.shoot("my-work")
        last = window.page.locator(".work-card").last
        await last.get_by_text("Do it here").click()
        await expect(last.get_by_text("Do it, and complete the task in Teamwork")).to_be_visible()
        await last.get_by_text("Why it is due then").click()
        await expect(last.get_by_text("10 d run")).to_be_visible()
        assert await window.serious() == []


async def test_my_work_is_good_on_a_phone_and_a_step_is_done_there(desk: Desk, town: Town, browser: Browser) -> None:
    await _busy(desk)
    async with screen(browser, town.url, size=PHONE) as window:
        await _signed_in(window, "Barb")
        await expect(window.page.get_by_label("Note").first).to_be_visible()
        await window.shoot("phone-my-work")
        await window.click("Take this step")
        await expect(window.page.get_by_text("yours")).to_be_visible()
        await window.page.get_by_label("Note").first.fill("It rings at the new number.")
        await window.click("It is done")
        await expect(window.page.get_by_text("It was signed and sent")).to_be_visible()
        await expect(window.page.get_by_text("Call tracking on the new number")).to_be_hidden()


async def _in_place(visit: Visit, case_id: str, step_id: str, kind: str, **given: str) -> httpx2.Response:
    """As My work's panel of a step sends it; after it one is back there."""
    assert case_id in (await visit.get("/")).text
    page = step_url(case_id, step_id)
    panel = f"{page}/panel?part=yes"
    assert "How to do it" in (await visit.get(panel)).text
    fields = await visit.fields(panel, kind)
    assert fields["back"] == "work"
    answer = await visit.post(page, fields | given)
    assert answer.status_code == 303, answer.text
    assert answer.headers["location"].startswith(f"/?case={quote(case_id, safe='')}&act=")
    return answer


async def test_a_return_is_investigated_approved_confirmed_and_authorised_on_my_work(
    town: Town, browser: Browser
) -> None:
    leads = ("L-2001", "L-2002", "L-2003")
    for lead in leads:
        await add_lead(town.agency.database, town.agency.outside, lead, "200.00")
    town.agency.outside.xero.seed(invoices=[invoice("INV-9", range(2001, 2004), net="166.67")])
    case_id = await town.opened(*leads)
    found = {f"{name}:{lead}": value for lead in leads for name, value in ROBOT.items()}
    await _in_place(await town.signed_in("P-1"), case_id, "investigate", "table.hand-in", **found)
    await town.agency.parked(case_id, "approval")
    async with screen(browser, town.url, size=PHONE) as window:
        await _signed_in(window, "Shobhit Patil")
        await expect(window.page.get_by_text("What is approved")).to_be_visible()
        for lead in leads:
            await expect(window.page.get_by_role("row", name=lead)).to_be_visible()
        await window.shoot("phone-my-work-approval")
        await window.page.get_by_role("button", name="Approve £600").click()
        await expect(window.page.get_by_text("It was signed and sent")).to_be_visible()
    assert await town.acts(case_id, "return.approve") == 1
    await town.agency.parked(case_id, "confirm")
    await _in_place(await town.signed_in("P-2"), case_id, "confirm", "return.confirm")
    await town.agency.parked(case_id, "authorise")
    await _in_place(await town.signed_in("P-3"), case_id, "authorise", "return.authorise")
    assert (await town.agency.result(case_id)).valid == 3


ROBOT = {"verdict": "valid", "reason": "spam", "text": "A robot filled in the form."}


async def test_what_was_refused_in_place_is_shown_on_the_steps_own_page(town: Town) -> None:
    """An old sign-in signs nothing for money, there neither; another subject is shown anew."""
    case_id, page = await town.investigated("L-1001", "L-1002")
    tom = await town.signed_in("P-2")
    fields = await tom.fields(f"{page}/panel?part=yes", "return.confirm")
    other = await tom.post(page, fields | {"subject": "0" * 64})
    assert (other.status_code, 'name="back" value="work"' in other.text) == (409, True)
    await town.agency.database.shift(timedelta(minutes=16))
    assert (await tom.post(page, fields)).status_code == 401
    assert "/login/again?next=/" in (await tom.get(f"{page}/panel?part=yes")).text
    assert await town.acts(case_id, "return.confirm") == 0


async def test_without_javascript_every_step_is_a_link(desk: Desk, town: Town, browser: Browser) -> None:
    await desk.agency.parked(await desk.open(), "process")
    async with screen(browser, town.url, scripts=False) as window:
        await _signed_in(window, "Barb")
        await window.click("Open the step's own page", "link")
        await window.click("It is done")
        await expect(window.page.get_by_text("It was signed, checked and stored")).to_be_visible()


async def _asked(town: Town, desk: Desk) -> tuple[str, str, Visit]:
    """A ticket that Cleo is to send to a department: its case, the page of the step, and her visit."""
    case_id = await desk.open(department="", ticket_id=str(desk.ticket()))
    await town.agency.parked(case_id, "route")
    return case_id, step_url(case_id, "route"), await town.signed_in("cleo")


async def test_a_step_is_shown_to_those_alone_whom_it_reaches(town: Town, desk: Desk) -> None:
    case_id, _, cleo = await _asked(town, desk)
    assert case_id in (await cleo.get("/")).text
    for other in ("P-1", "barb", "pete", "nicole", "P-2"):
        assert case_id not in (await (await town.signed_in(other)).get("/")).text, other


async def test_whoever_stands_in_sees_it_until_the_other_is_back(town: Town, desk: Desk) -> None:
    case_id, _, cleo = await _asked(town, desk)
    ada, nicole = await town.signed_in("ada"), await town.signed_in("nicole")
    await town.agency.database.execute(
        "INSERT INTO absences (person_id, starts, ends, stand_in_id, set_by)"
        " VALUES ('cleo', holdfast_today(), holdfast_today() + 2, 'ada', 'test')"
    )
    assert case_id in (await ada.get("/")).text
    assert case_id in (await cleo.get("/")).text  # away, and she may all the same
    await town.agency.database.execute("UPDATE absences SET stand_in_id = NULL")
    assert case_id not in (await ada.get("/")).text
    assert case_id in (await nicole.get("/")).text  # nobody is left: the Agency Services Manager
    await town.agency.database.shift(timedelta(days=4))
    assert case_id not in (await (await town.signed_in("nicole")).get("/")).text


async def test_a_department_with_two_contacts_asks_each_about_their_own(town: Town, desk: Desk) -> None:
    for name in ("one", "two"):
        case_id = await desk.open(
            reference=f"{desk.reference}-{name}", department="andy", title=name, operational=name == "one"
        )
        await desk.agency.parked(case_id, "process")
    al, cath = await town.signed_in("al"), await town.signed_in("cath")
    for visit, theirs, others in ((al, "one", "two"), (cath, "two", "one")):
        shown = (await visit.get("/")).text
        assert f": {theirs}</p>" in shown
        assert f": {others}</p>" not in shown


async def test_what_does_not_fit_is_on_the_next_page(town: Town, desk: Desk) -> None:
    case_id, _, cleo = await _asked(town, desk)
    assert "Less urgent" not in (await cleo.get("/")).text
    await town.agency.database.execute(COPIES, case_id)
    first, second = (await cleo.get("/")).text, (await cleo.get("/?number=2")).text
    assert "251 steps wait, the most urgent on the first page: this is page 1 of 2." in first
    assert (first.count("work-card"), second.count("work-card")) == (200, 51)
    assert ('href="/?number=2"' in first, 'href="/?number=1"' in second) == (True, True)
    assert "More urgent" not in first
    assert "Less urgent" not in second
    assert "Nothing is on this page." in (await cleo.get("/?number=9")).text
    for odd in ("0", "-1", "x", "1e9", "99999999999"):
        assert (await cleo.get(f"/?number={odd}")).text.count("work-card") == 200
    assert "Something changed" not in (await cleo.get(_news(second))).text


COPIES = """WITH more AS (INSERT INTO cases (case_id, workflow_id, kind, client_id, status, owner)
        SELECT case_id || n, workflow_id || n, kind, client_id, status, owner FROM cases, generate_series(1, 250) n
        WHERE case_id = $1 RETURNING case_id)
    INSERT INTO case_steps (case_id, step_id, name, clause, kinds, role, owner, subject, waiting_for, asked_at, due_at,
        state, view)
    SELECT m.case_id, s.step_id, s.name, s.clause, s.kinds, s.role, s.owner, s.subject, s.waiting_for, s.asked_at,
        s.due_at, s.state, s.view FROM case_steps s, more m WHERE s.case_id = $1"""


def _news(page: str) -> str:
    """What a page asks now and then, to find out that something changed."""
    return page.partition('id="news" role="status" hx-get="')[2].partition('"')[0].replace("&amp;", "&")


async def test_the_page_says_that_something_changed_and_changes_nothing_under_the_hand(town: Town, desk: Desk) -> None:
    _, page, cleo = await _asked(town, desk)
    news = _news((await cleo.get("/")).text)
    assert "Something changed" not in (await cleo.get(news)).text
    await cleo.act(page, "step.claim")
    assert "Something changed" in (await cleo.get(news)).text


# Attacks --------------------------------------------------------------------------------------------------------------

ASKED = {"department": "ppc", "client_id": CLIENT, "title": "Pause it", "reference": "r-1", "due": ""}


async def _requests(town: Town) -> object:
    return await town.agency.database.value("SELECT count(*) FROM inbox WHERE provider LIKE 'request-%'")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
async def test_another_site_opens_no_request(town: Town, desk: Desk, origin: str) -> None:
    tom = await town.signed_in("P-2")
    csrf = (await tom.fields("/requests/new", ""))["csrf"]
    assert (await tom.post("/requests", ASKED | {"csrf": csrf}, origin=origin)).status_code == 403
    assert await _requests(town) == 0


@pytest.mark.parametrize("csrf", [{}, {"csrf": ""}, {"csrf": "0" * 64}])
async def test_a_request_without_the_sessions_token_is_none(town: Town, desk: Desk, csrf: dict[str, str]) -> None:
    tom = await town.signed_in("P-2")
    assert (await tom.post("/requests", ASKED | csrf)).status_code == 403
    assert (await town.visit().post("/requests", ASKED | csrf)).status_code == 401
    assert await _requests(town) == 0


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_reading_opens_no_request_and_decides_no_step(town: Town, desk: Desk, method: str) -> None:
    case_id, page, cleo = await _asked(town, desk)
    fields = await cleo.fields(page, "request.route") | {"department": "ppc"}
    before = await _requests(town)
    for where, given in ((page, fields), (f"{page}/panel", fields), ("/requests", ASKED), ("/requests/new", ASKED)):
        await cleo.http.request(method, town.url + where, params=given, headers={"Origin": town.url})
    assert await town.acts(case_id, "request.route") == 0
    assert await _requests(town) == before


async def test_anothers_step_is_read_and_not_done(town: Town, desk: Desk) -> None:
    case_id, page, cleo = await _asked(town, desk)
    fields = await cleo.fields(page, "request.route")
    priya = await town.signed_in("P-1")
    assert "You can read this, but not do it" in (await priya.get(page)).text
    theirs = fields | {"csrf": (await priya.fields(page, "request.route"))["csrf"], "department": "ppc"}
    assert (await priya.post(page, theirs)).status_code == 409
    assert (await priya.post(page, fields | {"department": "ppc"})).status_code == 403
    assert await town.acts(case_id, "request.route") == 0


async def test_the_same_form_twice_is_one_request_and_anothers_reference_is_not_mine(town: Town, desk: Desk) -> None:
    tom, priya = await town.signed_in("P-2"), await town.signed_in("P-1")
    for visit in (tom, tom, priya):
        fields = await visit.fields("/requests/new", "")
        assert (await visit.post("/requests", fields | ASKED)).status_code == 303
    assert await _requests(town) == 2
    opened = await desk.agency.database.fetch("SELECT request ->> 'opened_by' AS by FROM cases ORDER BY 1")
    assert [row["by"] for row in opened] == ["P-1 (oidc)", "P-2 (oidc)"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"department": "nobody"}, "There is no department nobody"),
        ({"client_id": "C-9"}, "There is no client C-9"),
        ({"title": " "}, "Say in a few words what is asked for."),
        ({"title": "x" * 301}, "at most 300 characters"),
        ({"due": "day", "due_on": "2020-01-01"}, "This day is over"),
        ({"due": "day", "due_on": "soon"}, "Give the day"),
        ({"due": "hours", "hours": "many"}, "Give whole hours"),
        ({"ticket_id": "1; DROP"}, "letters, digits and dashes"),
    ],
)
async def test_what_is_wrong_stands_beside_its_field_and_what_was_typed_is_kept(
    town: Town, desk: Desk, given: dict[str, str], says: str
) -> None:
    tom = await town.signed_in("P-2")
    typed = {"details": "<script>alert(1)</script>", **ASKED, **given}
    answer = await tom.post("/requests", await tom.fields("/requests/new", "") | typed)
    assert answer.status_code == 422
    assert says in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in answer.text
    assert await _requests(town) == 0


async def test_an_estimate_is_hours_or_a_day(town: Town, desk: Desk) -> None:
    case_id = await desk.open(unsure=True)
    await town.agency.parked(case_id, "estimate")
    pete = await town.signed_in("pete")
    for hours, day in (("", ""), ("8", "2026-12-24"), ("-1", ""), ("0", ""), ("x", ""), ("", "soon")):
        answer = await pete.act(step_url(case_id, "estimate"), "request.estimate", hours=hours, on=day)
        assert answer.status_code == 409, (hours, day)
    assert await town.acts(case_id, "request.estimate") == 0


async def test_an_agenda_of_nobody_is_none_and_yesterdays_does_not_know_of_today(town: Town, desk: Desk) -> None:
    await desk.agency.parked(await desk.open(), "process")
    cleo = await town.signed_in("cleo")
    mine = await cleo.get("/agenda/mine", follow_redirects=True)
    assert "Tom Reed's agenda" in mine.text.replace("&#39;", "'")  # she is his CSS
    assert "Pause the brand campaign" in mine.text
    before = mine.text.partition('<p class="actions"><a href="')[2].partition('"')[0]
    assert "Pause the brand campaign" not in (await cleo.get(before)).text
    assert (await cleo.get("/agenda/nobody/2026-11-25")).status_code == 404
    assert (await cleo.get("/agenda/P-2/yesterday")).status_code == 422


async def test_the_case_page_shows_every_stretch_of_a_deadline_and_they_add_up(town: Town, desk: Desk) -> None:
    case_id = await desk.open()
    await desk.agency.parked(case_id, "process")
    await stood_still(desk.agency, case_id, "cleo")
    shown = (await (await town.signed_in("barb")).get(case_url(case_id))).text
    for stretch in STRETCHES:
        assert f"<li>{stretch.format(who='Cleo')}</li>" in shown
