from dataclasses import replace

from tests.agency import Agency
from tests.pages.town import Town, open_town


async def test_every_page_of_a_case_opens(town: Town) -> None:
    case_id, step = await town.investigated("L-1001", "L-1002", "L-1005")
    visit = await town.signed_in("P-2")
    for path in (
        "/",
        "/?part=yes",
        "/cases",
        f"/cases/{case_id}",
        step,
        f"/cases/{case_id}/steps/investigate",
        "/accounts",
        "/audit",
        "/audit?part=yes",
    ):
        answer = await visit.get(path)
        assert answer.status_code == 200, f"{path}: {answer.text}"


async def test_a_case_explains_its_deadlines_stretch_by_stretch(town: Town) -> None:
    case_id = await town.opened("L-1001")
    visit = await town.signed_in("P-2")
    shown = (await visit.get(f"/cases/{case_id}")).text
    assert "Deadlines, explained" in shown
    assert "48 h run</li>" in shown


async def test_a_return_is_settled_on_the_pages(town: Town) -> None:
    case_id = await town.opened("L-1001", "L-1002")
    step = f"/cases/{case_id}/steps/investigate"
    priya = await town.signed_in("P-1")
    assert (await priya.act(step, "step.claim")).status_code == 303
    found = {}
    for lead in ("L-1001", "L-1002"):
        found |= {f"verdict:{lead}": "valid", f"reason:{lead}": "spam", f"text:{lead}": "A robot filled in the form."}
    answer = await priya.act(step, "table.hand-in", **found)
    assert answer.status_code == 303, answer.text
    await town.agency.parked(case_id, "confirm")
    tom = await town.signed_in("P-2")
    answer = await tom.act(f"/cases/{case_id}/steps/confirm", "return.confirm")
    assert answer.status_code == 303, answer.text
    assert "The signature holds" in (await tom.get(answer.headers["location"])).text
    await town.agency.parked(case_id, "authorise")
    ana = await town.signed_in("P-3")
    answer = await ana.act(f"/cases/{case_id}/steps/authorise", "return.authorise")
    assert answer.status_code == 303, answer.text
    assert (await town.agency.result(case_id)).valid == 2


async def test_the_findings_table_leads_to_the_transcript_of_a_leads_chat(agency: Agency) -> None:
    await agency.database.execute("UPDATE leads SET chat_id = '', thread_id = '' WHERE lead_id = 'L-1002'")
    address = "https://chats.example/archives/{chat_id}?thread={thread_id}"
    settings = agency.settings.model_copy(update={"chat_transcript_address": address})
    async with open_town(replace(agency, settings=settings)) as town:
        case_id = await town.opened("L-1001", "L-1002")
        shown = (await (await town.signed_in("P-1")).get(f"/cases/{case_id}/steps/investigate")).text
    assert 'href="https://chats.example/archives/chat-L-1001?thread=thread-L-1001"' in shown
    assert "L-1002, opens" not in shown
    assert "no chat" in shown
