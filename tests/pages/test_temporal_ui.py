"""A case in the Temporal UI, as an engineer opens it from the case's page: readable without our pages."""

from urllib.parse import quote

from playwright.async_api import ViewportSize, expect

from runtime.temporal_server import TemporalServer
from tests.pages.browser import DESK, chromium, screen
from tests.pages.town import Town

PATIENCE = 20_000  # milliseconds: it is a large program that loads itself first


async def test_the_temporal_ui_says_by_clause_what_happened_and_who_must_act(
    town: Town, temporal: TemporalServer
) -> None:
    case_id, _ = await town.investigated("L-1001", "L-1002")
    await town.agency.confirm(case_id)
    await town.agency.parked(case_id, "authorise")
    run = await town.agency.handle(case_id).describe()
    where = f"/namespaces/{temporal.namespace}/workflows/{quote(run.id, safe='')}/{run.run_id}"
    async with chromium() as browser, screen(browser, temporal.ui_url, size=DESK) as window:
        page = window.page
        await page.set_viewport_size(ViewportSize(width=1400, height=1250))  # it scrolls within itself
        await window.open(f"{where}/timeline")
        for label in ("RL-12 authorise is due", "perform • RL-13 confirm", "grant • RL-11 money"):
            await expect(page.get_by_text(label).first).to_be_visible(timeout=PATIENCE)
        await window.photograph("temporal-case")
        await page.set_viewport_size(ViewportSize(width=1400, height=640))
        await window.open(f"{where}/user-metadata")
        await expect(page.frame_locator("iframe").last.get_by_text("must act: authorise 1 credit note")).to_be_visible(
            timeout=PATIENCE
        )
        await window.photograph("temporal-details")
        await window.open(f"{where}/search-attributes")
        await expect(page.get_by_text("WaitingFor")).to_be_visible(timeout=PATIENCE)
