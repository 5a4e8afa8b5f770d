"""A reply to a refusal, marked and decided on the pages (RL-10)."""

import pytest

from starter.pages.render import step_url
from tests.agency import CLIENT_MAIL, letter
from tests.pages.town import Town

WORDS = "We listened to the call again: the caller asked for a price and was given one."

pytestmark = pytest.mark.clause("RL-10")


async def _replied(town: Town) -> str:
    """A request of two leads that was refused, and the client's reply to that."""
    agency = town.agency
    await agency.database.execute(
        "INSERT INTO people VALUES ('A-1', 'Amy Hart', 'amy@commversion.com', 'local', 'A-1')"
    )
    await agency.database.execute("INSERT INTO memberships VALUES ('A-1', 'role:am')")
    case_id = await agency.receive(letter("L-1005, L-1006", cc="amy@commversion.com"))
    await agency.find(case_id, [], ["L-1005", "L-1006"])
    await agency.answered(case_id)
    reply = letter("", text="I do not agree at all.")
    reply["In-Reply-To"] = str([mail for mail in agency.mails() if CLIENT_MAIL in str(mail["To"])][-1]["Message-ID"])
    await agency.receive(reply)
    await agency.parked(case_id, "mark")
    return case_id


async def test_a_dispute_is_marked_and_decided_on_the_pages(town: Town) -> None:
    case_id = await _replied(town)
    priya, amy = await town.signed_in("P-1"), await town.signed_in("A-1")
    shown = (await priya.get(step_url(case_id, "mark"))).text
    assert "I do not agree at all." in shown
    answer = await priya.act(step_url(case_id, "mark"), "return.mark", mark="disputes", lead="L-1006")
    assert answer.status_code == 303, answer.text
    await town.agency.parked(case_id, "dispute")
    assert "disputes 1 lead" in (await amy.get("/")).text
    page = step_url(case_id, "dispute")
    asked = (await amy.get(page)).text
    assert "<legend>L-1006</legend>" in asked
    assert "<legend>L-1005</legend>" not in asked
    chosen = {"final:L-1006": "upheld", "text:L-1006": WORDS}
    answer = await amy.act(page, "return.decided", **chosen)
    assert answer.status_code == 303, answer.text
    assert await town.acts(case_id, "return.decided") == 1


async def test_a_final_decision_needs_words_for_the_client(town: Town) -> None:
    case_id = await _replied(town)
    priya, amy = await town.signed_in("P-1"), await town.signed_in("A-1")
    await priya.act(step_url(case_id, "mark"), "return.mark", mark="disputes", lead="L-1005")
    await town.agency.parked(case_id, "dispute")
    page = step_url(case_id, "dispute")
    answer = await amy.act(page, "return.decided", **{"final:L-1005": "upheld", "text:L-1005": "no"})
    assert answer.status_code == 409
    assert "detailed reason" in answer.text
    assert await town.acts(case_id, "return.decided") == 0
