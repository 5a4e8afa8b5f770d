"""Evidence that would post, in a real browser: it is a download, and nothing of it runs or is sent."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser
from playwright.async_api import Error as BrowserError

from starter.pages.render import case_url
from tests.pages.browser import chromium, screen
from tests.pages.town import Town

POSTS = """<body onload="document.forms[0].submit()"><form action="/logout" method="post"></form>
<script>fetch('/logout', {method: 'POST'})</script></body>"""
DRAWING = f'<svg xmlns="http://www.w3.org/2000/svg"><foreignObject>{POSTS}</foreignObject></svg>'


@pytest_asyncio.fixture
async def browser() -> AsyncGenerator[Browser]:
    async with chromium() as made:
        yield made


async def test_html_and_svg_evidence_posts_nothing_however_it_is_opened(
    town: Town, browser: Browser, tmp_path: Path
) -> None:
    """As if it had come past every check: under the type of a page, and under one that a browser might guess at."""
    case_id = await town.opened("L-1001")
    async with screen(browser, town.url) as window:
        await window.open(case_url(case_id))
        await window.sign_in("Priya Nair")
        posted: list[str] = []
        window.page.on("request", lambda one: posted.append(one.url) if one.method == "POST" else None)
        for content in (POSTS, DRAWING, f"GIF89a{POSTS}"):
            for kind in ("text/html", "image/svg+xml", "text/plain", "image/gif"):
                sha = await town.agency.text(content)
                await town.agency.database.execute(
                    "UPDATE texts SET content_type = $1, name = 'proof.html' WHERE sha256 = $2", kind, sha
                )
                async with window.page.expect_download() as started:
                    with pytest.raises(BrowserError, match="Download is starting"):
                        await window.open(f"{case_url(case_id)}/evidence/{sha}")
                kept = tmp_path / "proof"
                await (await started.value).save_as(kept)
                assert kept.read_text() == content
        assert posted == []
        await window.open("/")
        assert await window.page.get_by_role("link", name="Sign in").count() == 0
