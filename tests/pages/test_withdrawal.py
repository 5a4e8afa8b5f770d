"""An approval taken back on its page: the same protection as the approval, and the gate lets nothing more through."""

import pytest
from playwright.async_api import expect

from starter.pages.render import step_url
from tests.agency import add_lead, letter
from tests.pages.browser import PHONE, chromium, screen
from tests.pages.town import APPROVER, Town, Visit

LEADS = ("L-2001", "L-2002", "L-2003")


async def approved(town: Town) -> tuple[str, str, Visit]:
    """A request of three leads at GBP 200.00, approved: its case, the page to take it back, and the approver."""
    for lead in LEADS:
        await add_lead(town.agency.database, town.agency.outside, lead, "200.00")
    case_id = await town.agency.receive(letter(" and ".join(LEADS)))
    await town.agency.find(case_id, LEADS)
    await town.agency.parked(case_id, "approval")
    page = step_url(case_id, "approval")
    shobhit = await town.signed_in(APPROVER)
    assert (await shobhit.act(page, "return.approve")).status_code == 303
    await town.agency.parked(case_id, "confirm")
    return case_id, f"{page}/withdraw", shobhit


@pytest.mark.clause("RL-14")
async def test_an_approval_is_taken_back_on_a_phone_and_nothing_is_granted(town: Town) -> None:
    case_id, page, _ = await approved(town)
    async with chromium() as browser, screen(browser, town.url, size=PHONE) as window:
        await window.open(page.removesuffix("/withdraw"))
        await window.sign_in("Shobhit Patil")
        await window.page.get_by_role("link", name="Take the approval back").click()
        await expect(window.page.get_by_role("heading", name="back?")).to_be_visible()
        for lead in LEADS:
            await expect(window.page.get_by_role("row", name=lead)).to_be_visible()
        await window.page.get_by_label("Reason, for our own people only").fill("The campaign was ours.")
        await window.shoot("phone-withdrawal")
        await window.click("Take the approval back")
        await expect(window.page.get_by_text("The signature holds")).to_be_visible()
    assert await town.acts(case_id, "return.withdraw") == 1
    await town.agency.confirm(case_id)
    await town.agency.parked(case_id, "approval.2")
    assert await town.agency.database.value("SELECT count(*) FROM grants") == 0


async def test_reading_prefetching_and_other_methods_take_nothing_back(town: Town) -> None:
    case_id, page, shobhit = await approved(town)
    fields = await shobhit.fields(page, "return.withdraw")
    assert (await shobhit.get(f"{page}?kind=return.withdraw&reason=x")).status_code == 200
    assert (await shobhit.get(page, headers={"Sec-Purpose": "prefetch"})).status_code == 200
    for method in ("HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"):
        await shobhit.http.request(method, town.url + page, params=fields, headers={"Origin": town.url})
    assert await town.acts(case_id, "return.withdraw") == 0


async def test_forms_of_others_take_nothing_back(town: Town) -> None:
    """Without the session's token, with another one's, from another site, and by somebody who is no approver."""
    case_id, page, shobhit = await approved(town)
    fields = await shobhit.fields(page, "return.withdraw")
    bare = {name: value for name, value in fields.items() if name != "csrf"}
    assert (await shobhit.post(page, bare)).status_code == 403
    assert (await shobhit.post(page, fields | {"csrf": "0" * 64})).status_code == 403
    for origin in ("https://evil.example", "null", ""):
        assert (await shobhit.post(page, fields, origin=origin)).status_code == 403
    for sub in ("P-1", "P-2", "P-3", "P-4"):
        other = await town.signed_in(sub)
        shown = (await other.get(page)).text
        assert "Take the approval back</button>" not in shown
        csrf = (await other.fields(step_url(case_id, "confirm"), "step.claim"))["csrf"]
        assert (await other.post(page, fields | {"csrf": csrf})).status_code == 409
    assert await town.acts(case_id, "return.withdraw") == 0


async def test_an_old_sign_in_takes_nothing_back(town: Town) -> None:
    case_id, page, shobhit = await approved(town)
    fields = await shobhit.fields(page, "return.withdraw")
    await town.agency.database.execute("UPDATE web_sessions SET auth_time = auth_time - interval '16 minutes'")
    assert f"/login/again?next={page}" in (await shobhit.get(page)).text
    assert (await shobhit.post(page, fields)).status_code == 401
    assert await town.acts(case_id, "return.withdraw") == 0
    await shobhit.sign_in(APPROVER, page, again=True)
    assert (await shobhit.act(page, "return.withdraw")).status_code == 303
    assert await town.acts(case_id, "return.withdraw") == 1


async def test_only_the_approval_that_was_shown_is_taken_back_and_once(town: Town) -> None:
    case_id, page, shobhit = await approved(town)
    fields = await shobhit.fields(page, "return.withdraw")
    assert (await shobhit.post(page, fields | {"approval": "another"})).status_code == 409
    assert (await shobhit.post(page, fields)).status_code == 303
    again = await shobhit.post(page, fields)
    assert again.status_code == 409
    assert "no approval in this case that could be withdrawn" in again.text
    assert await town.acts(case_id, "return.withdraw") == 1


async def test_what_is_carried_out_is_said_to_be_too_late(town: Town) -> None:
    case_id, page, shobhit = await approved(town)
    fields = await shobhit.fields(page, "return.withdraw")
    await town.agency.confirm(case_id)
    await town.agency.result(case_id)
    shown = await shobhit.get(page)
    assert "has been carried out" in shown.text
    assert (await shobhit.post(page, fields)).status_code == 409
    assert await town.acts(case_id, "return.withdraw") == 0
