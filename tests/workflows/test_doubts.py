"""Requests that can't be taken as they came: a person looks, and each lead gets its own clear reason."""

from domain.messages import ActKind
from tests.agency import CLIENT, CLIENT_MAIL, Agency, letter

STRANGER = "someone@elsewhere.example"


async def test_a_stranger_gets_no_answer_before_a_person_looked(agency: Agency) -> None:
    case_id = await agency.receive(letter("L-1005", sender=STRANGER))
    await agency.parked(case_id, "triage")
    assert [mail for mail in agency.mails() if STRANGER in str(mail["To"]) + str(mail["Cc"])] == []
    await agency.act(case_id, "triage", ActKind.TRIAGE, {"accept": False, "client_id": "", "lead_ids": []}, "P-1")
    assert (await agency.result(case_id)).status == "not-a-request"
    assert [mail for mail in agency.mails() if STRANGER in str(mail["To"]) + str(mail["Cc"])] == []
    await agency.keep(case_id, "turned-away")


async def test_a_spoofed_client_is_a_persons_step_and_goes_on_when_accepted(agency: Agency) -> None:
    await agency.deliver(letter("L-1005"), as_user=STRANGER)
    (case_id,) = await agency.take_in()
    await agency.parked(case_id, "triage")
    assert [mail for mail in agency.mails() if CLIENT_MAIL in str(mail["To"])] == []
    accepted = {"accept": True, "client_id": CLIENT, "lead_ids": ["L-1005"]}
    await agency.act(case_id, "triage", ActKind.TRIAGE, accepted, "P-1")
    await agency.find(case_id, ["L-1005"])
    await agency.confirm(case_id)
    assert (await agency.result(case_id)).valid == 1
    await agency.keep(case_id, "triage")


async def test_the_same_message_again_joins_its_case(agency: Agency) -> None:
    mail = letter("L-1005", message_id="<one@acme-plumbing.example>")
    case_id = await agency.receive(mail)
    again = letter("L-1005", message_id="<one@acme-plumbing.example>", text="Please take back L-1005, I ask again.")
    assert await agency.receive(again) == case_id
    assert len(await agency.take_in()) == 1


async def test_each_lead_that_cannot_be_returned_has_its_own_reason_and_the_rest_goes_on(agency: Agency) -> None:
    first = await agency.receive(letter("L-1005"))
    await agency.find(first, ["L-1005"])
    await agency.confirm(first)
    await agency.result(first)
    elsewhere = await agency.receive(letter("L-1006"))
    await agency.parked(elsewhere, "investigate")
    case_id = await agency.receive(letter("L-1005, L-1006, L-1007, L-1007, L-9999"))
    rows = await agency.database.fetch(
        "SELECT lead_id, problem FROM case_leads WHERE case_id = $1 ORDER BY ordinal", case_id
    )
    problems = {(str(row["lead_id"]), str(row["problem"])) for row in rows}
    assert ("L-1005", "already-returned") in problems
    assert ("L-1006", "under-review") in problems
    assert ("L-9999", "unknown-lead") in problems
    assert ("L-1007", "") in problems
    await agency.find(case_id, [], ["L-1007"])
    assert (await agency.closed(case_id)).refused == len(rows)


async def test_a_request_in_which_no_lead_can_be_investigated_is_answered_at_once(agency: Agency) -> None:
    case_id = await agency.receive(letter("L-9998 and L-9999"))
    assert (await agency.result(case_id)).status == "refused"
    (_, refused) = [mail for mail in agency.mails() if CLIENT_MAIL in str(mail["To"])]
    assert "L-9998" in refused.get_content()
    await agency.keep(case_id, "all-problems")


async def test_something_that_arrives_for_an_ended_case_is_looked_at_by_a_person(agency: Agency) -> None:
    mail = letter("L-1005")
    case_id = await agency.receive(mail)
    await agency.find(case_id, ["L-1005"])
    await agency.confirm(case_id)
    await agency.result(case_id)
    reply = letter("", text="Thank you, but one more thing.")
    reply["In-Reply-To"] = str(mail["Message-ID"])
    linked = await agency.receive(reply)
    assert linked != case_id
    await agency.act(linked, "look", ActKind.DONE, {"note_sha256": ""}, "P-1")
    assert (await agency.result(linked)).status == "looked-at"
    await agency.keep(linked, "looked-at")
