"""A real browser over the pages: Chromium of this machine, and axe-core to look for what shuts people out."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Page, ViewportSize, async_playwright

CHROMIUM = "/usr/bin/chromium"
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
SCREENSHOTS = Path(__file__).resolve().parents[2] / "docs" / "screenshots"
DESK, PHONE = ViewportSize(width=1280, height=860), ViewportSize(width=390, height=844)


@dataclass
class Screen:
    """One person's browser window, watched: whatever it complains about is kept."""

    page: Page
    url: str
    complaints: list[str]

    async def open(self, path: str) -> None:
        await self.page.goto(self.url + path)

    async def sign_in(self, name: str) -> None:
        """On the page that asks for it, and at the provider."""
        await self.page.get_by_role("link", name="Sign in").first.click()
        await self.page.get_by_role("button", name=name).click()

    async def click(self, name: str, role: Any = "button") -> None:
        await self.page.get_by_role(role, name=name).first.click()

    async def serious(self) -> list[str]:
        """What axe-core finds that is serious or worse."""
        await self.page.evaluate(AXE.read_text())
        found = await self.page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{one['id']}: {one['help']} {[node['target'] for node in one['nodes']]}"
            for one in found["violations"]
            if one["impact"] in {"serious", "critical"}
        ]

    async def fits(self) -> bool:
        """Whether nothing has to be scrolled sideways. A phone's window grows with what is too wide for it: its page's
        own width does not.
        """
        wide = "() => document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        return await self.page.evaluate(wide)

    async def shoot(self, name: str) -> None:
        """Checks the page as it is; a picture of it goes to the documentation on purpose (`make screenshots`)."""
        assert await self.serious() == []
        assert await self.fits(), f"{name} is wider than its screen"
        assert self.complaints == []
        await self.photograph(name)

    async def photograph(self, name: str) -> None:
        """All of it on a screen that is high enough, so that nothing floats over anything."""
        if not os.environ.get("HOLDFAST_SCREENSHOTS"):
            return
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        before = self.page.viewport_size or DESK
        height: int = await self.page.evaluate("() => document.documentElement.scrollHeight")
        await self.page.set_viewport_size(ViewportSize(width=before["width"], height=max(height, 500)))
        await self.page.screenshot(path=SCREENSHOTS / f"{name}.png")
        await self.page.set_viewport_size(before)


@asynccontextmanager
async def chromium() -> AsyncGenerator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def screen(
    browser: Browser, url: str, *, size: ViewportSize = DESK, scripts: bool = True
) -> AsyncGenerator[Screen]:
    """A window with cookies of its own."""
    phone = size is PHONE
    context = await browser.new_context(
        viewport=size,
        locale="en-GB",
        java_script_enabled=scripts,
        has_touch=phone,
        is_mobile=phone,
        device_scale_factor=2 if phone else 1,
    )
    context.set_default_timeout(20_000)
    page, complaints = await context.new_page(), list[str]()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if _ours(line, url) else None)
    try:
        yield Screen(page, url, complaints)
    finally:
        await context.close()


def _ours(line: ConsoleMessage, url: str) -> bool:
    refused = "status of 4" in line.text  # a form that was sent back with what is wrong
    return line.type == "error" and line.location["url"].startswith(url) and not refused
