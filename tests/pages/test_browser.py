"""A return from the client's e-mail to the authorised credit note, entirely in a browser."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.agency import invoice, letter
from tests.pages.browser import PHONE, Screen, chromium, screen
from tests.pages.town import Town


@pytest_asyncio.fixture
async def browser() -> AsyncGenerator[Browser]:
    async with chromium() as made:
        yield made


async def _fill_in(window: Screen, lead: str, verdict: str, reason: str, text: str) -> None:
    row = window.page.get_by_role("group", name=lead)
    await row.get_by_label(verdict, exact=True).check()
    await row.get_by_label("Reason").select_option(reason)
    await row.get_by_label("For the client").fill(text)


async def _investigate(town: Town, window: Screen, case_id: str, folder: Path) -> None:
    page = window.page
    await window.open("/")
    await window.shoot("login")
    await window.sign_in("Priya Nair")
    await expect(page.get_by_role("heading", name="My work")).to_be_visible()
    await window.shoot("my-work-returns")
    await window.click("Investigate the returned leads", "link")
    await window.click("Take this step")
    chat = folder / "chat-L-1001.txt"
    chat.write_text("10:02 visitor: asdf\n10:03 visitor: buy followers now\n")
    await _fill_in(
        window, "L-1001", "Valid return", "spam", "The chat holds nothing but an advertisement for followers."
    )
    await page.get_by_role("group", name="L-1001").get_by_label("Evidence").set_input_files(chat)
    await _fill_in(window, "L-1002", "Valid return", "duplicate", "The same caller had been sent as L-0977 in October.")
    await _fill_in(window, "L-1005", "Not valid", "genuine-enquiry", "no")
    await window.click("Save for later")
    await expect(page.get_by_text("give the client a detailed reason")).to_be_visible()
    await _fill_in(
        window, "L-1005", "Not valid", "genuine-enquiry",
        "The caller asked for an emergency plumber in your area, gave a number that works, and was quoted a price.",
    )  # fmt: skip
    await window.click("Preview the reply")
    await expect(page.get_by_role("heading", name="What the client will read")).to_be_visible()
    await window.shoot("findings")
    await window.click("Hand in all findings")
    await expect(page.get_by_text("It was signed, checked and stored")).to_be_visible()
    await town.agency.parked_at(case_id, "approval")


async def _approve(town: Town, window: Screen, case_id: str) -> None:
    await window.open(f"/cases/{case_id}/steps/approval")
    await window.sign_in("Shobhit Patil")
    await expect(window.page.get_by_role("heading", name="Approve £600.00")).to_be_visible()
    await window.click("Approve £600.00")
    await expect(window.page.get_by_text("The signature holds")).to_be_visible()
    await town.agency.parked(case_id, "confirm")


async def _confirm(town: Town, window: Screen, case_id: str) -> None:
    await window.open(f"/cases/{case_id}/steps/confirm")
    await window.sign_in("Tom Reed")
    await expect(window.page.get_by_role("heading", name="The answer to the client, as")).to_be_visible()
    await window.shoot("confirm")
    await window.click("Confirm as Tom Reed")
    await expect(window.page.get_by_text("The signature holds")).to_be_visible()
    await town.agency.parked(case_id, "authorise")


async def _authorise(window: Screen) -> None:
    await window.open("/accounts")
    await window.sign_in("Ana Costa")
    await expect(window.page.get_by_role("heading", name="Do not invoice")).to_be_visible()
    await window.shoot("accounts")
    await window.click("Authorise the credit note", "link")
    await window.shoot("authorise")
    await window.click("Authorise as Ana Costa")
    await expect(window.page.get_by_text("The signature holds")).to_be_visible()
    await window.shoot("proof")


@pytest.mark.clause("RL-14")
async def test_a_return_above_the_limit_goes_from_email_to_credit_note_in_a_browser(
    town: Town, browser: Browser, tmp_path: Path
) -> None:
    """Entirely in browsers, each person's own; the approval on a phone."""
    dear = invoice("INV-1", range(1001, 1005), net="250.00")["LineItems"]
    town.agency.outside.xero.edit(op="edit_invoice", number="INV-1", set={"LineItems": dear})
    case_id = await town.agency.receive(letter("L-1001, L-1002 and L-1005"))
    await town.agency.parked(case_id, "investigate")
    async with screen(browser, town.url) as window:
        await _investigate(town, window, case_id, tmp_path)
    async with screen(browser, town.url, size=PHONE) as window:
        await _approve(town, window, case_id)
    async with screen(browser, town.url) as window:
        await _confirm(town, window, case_id)
    async with screen(browser, town.url) as window:
        await _authorise(window)
        await town.agency.sent(case_id, "answer-client/1")
        (note,) = town.agency.outside.xero.credit_notes
        assert (note["Status"], note["Total"]) == ("AUTHORISED", 600)
        await window.open(f"/cases/{case_id}")
        await expect(window.page.get_by_text("none changed, none missing")).to_be_visible()
        await window.shoot("case")


@pytest.mark.parametrize("path", ["/", "/cases", "/accounts", "case", "confirm"])
async def test_every_page_is_good_on_a_phone(town: Town, browser: Browser, path: str) -> None:
    case_id, step = await town.investigated("L-1001", "L-1005")
    where = {"case": f"/cases/{case_id}", "confirm": step}.get(path, path)
    async with screen(browser, town.url, size=PHONE) as window:
        await window.open(where)
        await window.sign_in("Tom Reed")
        await expect(window.page.get_by_role("button", name="Sign out")).to_be_visible()
        await window.shoot(f"phone-{path.strip('/') or 'work'}")


async def test_findings_are_handed_in_without_javascript(town: Town, browser: Browser) -> None:
    case_id = await town.opened("L-1001")
    async with screen(browser, town.url, scripts=False) as window:
        await window.open(f"/cases/{case_id}/steps/investigate")
        await window.sign_in("Priya Nair")
        await _fill_in(window, "L-1001", "Valid return", "spam", "The chat holds nothing but an advertisement.")
        await window.click("Hand in all findings")
        await expect(window.page.get_by_text("It was signed, checked and stored")).to_be_visible()


async def test_what_is_typed_is_kept_by_itself(town: Town, browser: Browser) -> None:
    case_id = await town.opened("L-1001")
    words = "The chat holds nothing but an advertisement."
    async with screen(browser, town.url) as window:
        await window.open(f"/cases/{case_id}/steps/investigate")
        await window.sign_in("Priya Nair")
        await _fill_in(window, "L-1001", "Valid return", "spam", words)
        await window.page.keyboard.press("Tab")
        await expect(window.page.get_by_text("All kept.")).to_be_visible()
        await window.open(f"/cases/{case_id}/steps/investigate")
        await expect(window.page.get_by_label("For the client")).to_have_value(words)
        assert window.complaints == []


async def test_no_page_shuts_anybody_out_and_each_can_be_walked_by_keyboard(town: Town, browser: Browser) -> None:
    """Those that no other test photographs, errors and empty ones among them."""
    case_id = await town.opened("L-1001")
    async with screen(browser, town.url) as window:
        await window.open("/cases")
        await window.sign_in("Tom Reed")
        for path in (
            "/cases",
            "/cases?status=closed",
            "/agenda",
            "/requests/new",
            "/audit",
            "/accounts",
            f"/cases/{case_id}",
            f"/cases/{case_id}/letters",
            f"/cases/{case_id}/steps/investigate",
            f"/cases/{case_id}/steps/nothing",
            "/cases/return-lead/nothing",
            "/nowhere",
        ):
            await window.open(path)
            await expect(window.page.get_by_role("heading", level=1)).to_be_visible()
            assert await window.serious() == [], path
            assert await window.fits(), path
            await window.page.keyboard.press("Tab")
            await expect(window.page.locator(":focus")).to_be_visible()
        assert window.complaints == []
