"""After an answer with refusals (RL-10): a reply, a dispute and its final decision, or fourteen days of silence."""

from collections.abc import Sequence
from datetime import timedelta
from email.message import EmailMessage

import pytest

from adapters.postgres.crypto import Vault, load_master
from adapters.temporal.linked import TemporalLinkedCases
from domain.ids import effect_key
from domain.messages import ActKind
from tests.agency import CLIENT_MAIL, RETURNS, Agency, letter

AMY, BEN, CSM = "amy@commversion.com", "ben@commversion.com", "tom@commversion.com"
BAD = ["L-1005", "L-1006"]

pytestmark = pytest.mark.clause("RL-10")


async def refused(agency: Agency, *, cc: str = "", good: Sequence[str] = (), bad: Sequence[str] = BAD) -> str:
    """A request that is answered with refusals; its account managers are known."""
    for person_id, name, email in (("A-1", "Amy Hart", AMY), ("A-2", "Ben Cole", BEN)):
        await agency.database.execute(
            "INSERT INTO people VALUES ($1, $2, $3, 'local', $1) ON CONFLICT DO NOTHING", person_id, name, email
        )
        await agency.database.execute(
            "INSERT INTO memberships VALUES ($1, 'role:am') ON CONFLICT DO NOTHING", person_id
        )
    case_id = await agency.receive(letter(", ".join([*good, *bad]), cc=cc))
    await agency.find(case_id, good, bad)
    if good:
        await agency.confirm(case_id)
    await agency.answered(case_id)
    return case_id


async def replies(agency: Agency, words: str) -> str:
    reply = letter("", text=words)
    reply["In-Reply-To"] = str(to_client(agency)[-1]["Message-ID"])
    return await agency.receive(reply)


async def marks(
    agency: Agency, case_id: str, mark: str, leads: Sequence[str] = (), step_id: str = "mark", by: str = "P-1"
) -> None:
    result = {"mark": mark, "lead_ids": list(leads), "note_sha256": ""}
    await agency.act(case_id, step_id, ActKind.MARK, result, by)


async def disputes(agency: Agency, case_id: str, leads: Sequence[str] = BAD) -> None:
    await replies(agency, "I do not agree at all.")
    await marks(agency, case_id, "disputes", leads)
    await agency.parked(case_id, "dispute")


async def decides(
    agency: Agency, case_id: str, overturned: Sequence[str] = (), upheld: Sequence[str] = (), by: str = "A-1"
) -> None:
    told = await agency.text("We listened to the call together.")
    found = [
        {"lead_id": one, "verdict": "valid", "reason": "other", "text_sha256": told, "evidence": []}
        for one in overturned
    ]
    stays = [{"lead_id": one, "text_sha256": told} for one in upheld]
    await agency.act(case_id, "dispute", ActKind.DECIDED, {"overturned": found, "upheld": stays}, by)


async def outcome(agency: Agency, case_id: str) -> str:
    return str(await agency.database.value("SELECT outcome FROM cases WHERE case_id = $1", case_id))


def asked(agency: Agency, title: str = "disputes our answer") -> list[EmailMessage]:
    return [mail for mail in agency.mails() if title in str(mail["Subject"])]


def to_client(agency: Agency) -> list[EmailMessage]:
    return [mail for mail in agency.mails() if CLIENT_MAIL in str(mail["To"])]


async def linked_to(agency: Agency, case_id: str) -> str:
    found: list[str] = []

    async def there() -> bool:
        rows = await agency.database.fetch("SELECT case_id FROM cases WHERE linked_to = $1", case_id)
        found[:] = [str(row["case_id"]) for row in rows]
        return bool(found)

    await agency.eventually(there, "no linked case was opened")
    (linked,) = found
    return linked


async def test_no_reply_for_fourteen_days_closes_the_case_with_that_on_record(agency: Agency) -> None:
    case_id = await refused(agency)
    await agency.pass_time(case_id, timedelta(days=13))
    assert (await agency.view(case_id)).status == "open"
    await agency.pass_time(case_id, timedelta(days=2))
    assert (await agency.result(case_id)).status == "refused"
    assert "no reply from the client within 14 days" in await outcome(agency, case_id)
    assert (await agency.effects(case_id))["refused/1"] == "sent"


async def test_a_late_reply_opens_a_linked_case_whose_first_step_is_the_teams_mark(agency: Agency) -> None:
    """A dispute there goes to the account managers of the original; an overturned lead is settled in a case again."""
    case_id = await refused(agency, cc=AMY, good=["L-1007"])
    await agency.closed(case_id)
    late = await replies(agency, "Only now I see your answer, and I do not agree about L-1005.")
    assert late == await linked_to(agency, case_id)
    await agency.parked(late, "mark")
    (step,) = (await agency.view(late)).steps
    assert (step.name, step.reference.split()) == ("mark", BAD)
    (mail,) = asked(agency, "The client replied to our answer")
    assert (str(mail["To"]), f"holdfast case show {case_id}" in mail.get_content()) == (RETURNS, True)
    await marks(agency, late, "disputes", ["L-1007"])  # granted: there is nothing to dispute
    await marks(agency, late, "disputes", ["L-1005"])
    await agency.parked(late, "dispute")
    (asked_am,) = asked(agency)
    assert AMY in str(asked_am["To"])
    await decides(agency, late, overturned=["L-1005"])
    assert (await agency.result(late)).status == "looked-at"
    assert "a late dispute is finally decided" in await outcome(agency, late)
    assert "L-1005  overturned" in agency.mails("Final decision")[0].get_content()
    settled = await linked_to(agency, late)
    await agency.find(settled, ["L-1005"])
    await agency.confirm(settled)
    assert (await agency.result(settled)).valid == 1
    assert (await agency.audited()).whole
    await agency.keep(late, "late-reply")


async def test_a_late_reply_is_disputed_once_too_and_then_looked_at(agency: Agency) -> None:
    case_id = await refused(agency, bad=BAD[:1])
    await agency.closed(case_id)
    first = await replies(agency, "I do not agree.")
    await marks(agency, first, "other")
    await agency.result(first)
    assert "the client replied late: other" in await outcome(agency, first)
    second = await replies(agency, "I do not agree with L-1005.")
    await marks(agency, second, "disputes", BAD[:1])
    await decides(agency, second, upheld=BAD[:1], by="P-2")
    await agency.result(second)
    third = await replies(agency, "I still do not agree.")
    assert len({case_id, first, second, third}) == 4
    await agency.parked(third, "look")


async def test_a_request_without_refusals_waits_for_nobody(agency: Agency) -> None:
    case_id = await agency.receive(letter("L-1005 and L-9999"))
    await agency.find(case_id, ["L-1005"])
    await agency.confirm(case_id)
    assert (await agency.result(case_id)).valid == 1


async def test_a_client_who_accepts_closes_the_case_at_once(agency: Agency) -> None:
    case_id = await refused(agency)
    await replies(agency, "All right, thank you.")
    await marks(agency, case_id, "accepts")
    assert (await agency.result(case_id)).status == "refused"
    assert "the client accepts" in await outcome(agency, case_id)
    assert asked(agency) == []
    assert await agency.database.value("SELECT count(*) FROM case_steps WHERE name = 'reply'") == 0
    await agency.keep(case_id, "accepted")


async def test_new_leads_and_other_replies_leave_the_case_waiting(agency: Agency) -> None:
    case_id = await refused(agency)
    await replies(agency, "What about L-1009?")
    await marks(agency, case_id, "new-leads", ["L-1009"])
    await agency.answered(case_id)
    await replies(agency, "I am away next week.")
    await marks(agency, case_id, "other", step_id="mark.2")
    await agency.answered(case_id)
    await agency.pass_time(case_id, timedelta(days=15))
    await agency.result(case_id)
    assert "no dispute within 14 days" in await outcome(agency, case_id)


async def test_the_account_managers_in_copy_take_over_and_the_team_is_told_their_decision(agency: Agency) -> None:
    case_id = await refused(agency, cc=f"{AMY}, {BEN}, someone@acme-plumbing.example")
    await disputes(agency, case_id)
    (mail,) = asked(agency)
    assert {AMY, BEN} <= set(str(mail["To"]).replace(",", " ").replace("<", " ").replace(">", " ").split())
    assert CLIENT_MAIL not in f"{mail['To']} {mail['Cc']}"
    await decides(agency, case_id, upheld=BAD, by="P-1")
    await agency.refused(case_id, "not-asked")
    await decides(agency, case_id, upheld=BAD[:1])
    await agency.parked(case_id, "dispute")
    await decides(agency, case_id, upheld=BAD, by="A-2")
    assert (await agency.result(case_id)).status == "refused"
    assert "finally decided" in await outcome(agency, case_id)
    (told,) = agency.mails("Final decision")
    assert (str(told["To"]), "L-1005  upheld" in told.get_content()) == (RETURNS, True)
    assert "We listened to the call together." in told.get_content()
    assert len(to_client(agency)) == 2  # acknowledged and answered: the account managers speak for themselves
    await agency.keep(case_id, "disputed")


async def test_without_an_account_manager_in_copy_the_clients_csm_is_asked(agency: Agency) -> None:
    case_id = await refused(agency)
    await disputes(agency, case_id)
    (mail,) = asked(agency)
    assert CSM in str(mail["To"])
    await decides(agency, case_id, upheld=BAD, by="A-1")
    await agency.refused(case_id, "not-asked")
    await decides(agency, case_id, upheld=BAD, by="P-2")
    await agency.result(case_id)


async def test_where_there_is_nobody_a_dispute_still_reaches_somebody(agency: Agency) -> None:
    case_id = await refused(agency)
    await agency.database.execute("DELETE FROM memberships WHERE role = 'role:am'")
    await agency.database.execute("UPDATE clients SET csm_id = NULL")
    await disputes(agency, case_id)
    (mail,) = asked(agency)
    assert "omar@commversion.com" in str(mail["To"])
    await decides(agency, case_id, upheld=BAD, by="P-4")
    await agency.result(case_id)


async def test_replies_during_a_dispute_go_to_the_account_managers(agency: Agency) -> None:
    case_id = await refused(agency, cc=AMY)
    await disputes(agency, case_id)
    await replies(agency, "Listen to the recording, please.")

    async def told() -> bool:
        return len(asked(agency, "The client wrote again")) == 1

    await agency.eventually(told, "the account manager was not told")
    assert AMY in str(asked(agency, "The client wrote again")[0]["To"])
    await decides(agency, case_id, upheld=BAD)
    await agency.result(case_id)
    steps = await agency.database.value("SELECT count(*) FROM case_steps WHERE name IN ('mark', 'reply')")
    assert steps == 1


async def test_a_refusal_is_disputed_once(agency: Agency) -> None:
    case_id = await refused(agency, cc=AMY)
    await disputes(agency, case_id, BAD[:1])
    await decides(agency, case_id, upheld=BAD[:1])
    await agency.answered(case_id)
    await replies(agency, "I still do not agree about L-1005.")
    await marks(agency, case_id, "disputes", BAD[:1], step_id="mark.2")

    async def objected() -> bool:
        return (await agency.view(case_id)).refused == 1

    await agency.eventually(objected, "the second dispute was not refused")
    await marks(agency, case_id, "other", step_id="mark.2")
    await agency.closed(case_id)
    assert len(asked(agency)) == 1


async def test_an_overturned_lead_is_settled_in_a_linked_case(agency: Agency) -> None:
    case_id = await refused(agency, cc=AMY, good=["L-1007"])
    await disputes(agency, case_id)
    await decides(agency, case_id, overturned=["L-1005"], upheld=["L-1006"])
    assert (await agency.result(case_id)).valid == 1
    linked = await linked_to(agency, case_id)
    await agency.find(linked, ["L-1005"])
    await agency.confirm(linked)
    assert (await agency.result(linked)).valid == 1
    listed = await agency.database.fetch("SELECT lead_id, case_id FROM do_not_invoice ORDER BY 1")
    assert [(row["lead_id"], row["case_id"]) for row in listed] == [("L-1005", linked), ("L-1007", case_id)]
    answer = to_client(agency)[-1]
    told = " ".join(answer.get_content().split())
    assert "will not be charged for them: L-1005 If you" in told or "will not be charged for them: L-1005 Our" in told
    assert not any(other in told for other in ("L-1006", "L-1007", "not able to accept"))
    assert len([one for one in to_client(agency) if "looped in the concerned team" in one.get_content()]) <= 1
    final = agency.mails("Final action")[-1].get_content()
    assert "L-1005 valid, not to be invoiced (do-not-invoice list)" in " ".join(final.split())
    assert not any(other in final for other in ("L-1006", "L-1007"))
    rows = {row[1]: row for row in agency.outside.sheets.rows()}
    assert (rows["L-1005"][4], rows["L-1005"][6], rows["L-1005"][8]) == ("valid", "no-charge", linked)
    assert str(answer["In-Reply-To"]) == str(to_client(agency)[0]["In-Reply-To"])
    assert (await agency.audited()).whole
    await agency.keep(case_id, "overturned")
    await agency.keep(linked, "linked")


async def test_an_overturned_lead_needs_the_approver_like_any_other(agency: Agency) -> None:
    await agency.database.arrived_at("501.00", "L-1005")
    case_id = await refused(agency, cc=AMY)
    await disputes(agency, case_id)
    await decides(agency, case_id, overturned=["L-1005"], upheld=["L-1006"])
    linked = await linked_to(agency, case_id)
    await agency.find(linked, ["L-1005"])
    await agency.decide(linked, ActKind.APPROVE)
    await agency.confirm(linked)
    assert (await agency.result(linked)).valid == 1


async def test_leads_in_a_linked_case_are_under_review_there_alone(agency: Agency) -> None:
    case_id = await refused(agency, cc=AMY)
    await disputes(agency, case_id)
    await decides(agency, case_id, overturned=BAD)
    linked = await linked_to(agency, case_id)
    await agency.parked(linked, "investigate")
    assert (await agency.effects(case_id))["open-linked/1"] == "sent"
    active = await agency.database.fetch("SELECT case_id FROM case_leads WHERE active AND lead_id = ANY($1)", BAD)
    assert {row["case_id"] for row in active} == {linked}


async def test_opening_a_linked_case_again_finds_the_same_one(agency: Agency) -> None:
    case_id = await refused(agency, cc=AMY)
    pool = await agency.database.pool("sops")
    vault = Vault(load_master(agency.settings.keys_dir))
    cases = TemporalLinkedCases(pool, vault, agency.client, agency.settings, agency.queue)
    key = effect_key(case_id, "open-linked")
    assert await cases.opened(case_id, key) == ""
    linked = await cases.open(case_id, key, BAD)
    assert await cases.opened(case_id, key) == linked
    assert await cases.open(case_id, key, BAD) == linked
    await agency.parked(linked, "investigate")
    rows = await agency.database.fetch("SELECT problem FROM case_leads WHERE case_id = $1", linked)
    assert [row["problem"] for row in rows] == ["", ""]
