"""My work, and a department request from its form to its end: in a real browser, on a phone, and under attack."""

from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest_asyncio
from playwright.async_api import Browser, expect

from starter.pages.render import case_url
from tests.pages.browser import PHONE, Screen, chromium, screen
from tests.pages.town import Town
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
