"""Whatever goes wrong, the page says what to do, and the way to everything else stays."""

from typing import Any

import pytest

from starter.pages.house import House
from tests.pages.town import Town

NAVIGATION = '<nav aria-label="Main">'


@pytest.mark.parametrize("path", ["/nope", "/cases/return-lead/nope", "/cases/return-lead/nope/steps/investigate"])
async def test_a_page_that_is_not_there_keeps_the_navigation(town: Town, path: str) -> None:
    visit = await town.signed_in("P-2")
    answer = await visit.get(path)
    assert answer.status_code == 404
    assert NAVIGATION in answer.text
    assert "Sign out" in answer.text
    assert 'href="/cases"' in answer.text


async def test_a_form_of_another_session_leads_back_to_its_page(town: Town) -> None:
    visit = await town.signed_in("P-2")
    answer = await visit.post("/logout", {"csrf": "forged"}, headers={"Referer": f"{town.url}/cases?status=open"})
    assert answer.status_code == 403
    assert NAVIGATION in answer.text
    assert '<a class="button" href="/cases?status=open">Back to where you were</a>' in answer.text


async def test_whoever_comes_from_elsewhere_is_not_led_back_there(town: Town) -> None:
    visit = await town.signed_in("P-2")
    answer = await visit.get("/nope", headers={"Referer": "https://evil.example/cases"})
    assert "evil" not in answer.text


async def test_after_a_session_has_ended_one_signs_in_and_comes_back(town: Town) -> None:
    case_id = await town.opened("L-1001")
    page = f"/cases/{case_id}/steps/investigate"
    answer = await town.visit().post(page, {"kind": "step.claim"}, headers={"Referer": town.url + page})
    assert answer.status_code == 401
    assert "nothing was done" in answer.text
    assert f'href="/login?next={page}"' in answer.text
    assert NAVIGATION not in answer.text


async def test_whoever_nobody_knows_may_sign_in_as_somebody_else(town: Town) -> None:
    visit = await town.signed_in("stranger")
    answer = await visit.get("/")
    assert answer.status_code == 403
    assert 'href="/login/again"' in answer.text


async def test_a_page_that_breaks_says_whom_to_tell_and_keeps_the_navigation(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: House) -> Any:
        raise ZeroDivisionError

    visit = await town.signed_in("P-2")
    monkeypatch.setattr(House, "work", property(broken))
    answer = await visit.get("/")
    assert answer.status_code == 500
    assert "tell Operations" in answer.text
    assert NAVIGATION in answer.text
