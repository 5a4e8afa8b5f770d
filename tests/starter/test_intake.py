"""The door: what becomes of a mail, in a real database."""

import asyncio
from datetime import timedelta
from email.message import EmailMessage

import pytest

from domain.errors import Refused
from domain.intake import Acceptance
from domain.mail import LOOP_IN_SENTENCE
from runtime.settings import Settings
from simulators.mail_smtp import bounce
from starter.intake import Door
from tests.conftest import Database
from tests.starter.door import CLIENT, INBOX, Reception, forward, mail, reception


@pytest.fixture
async def desk(database: Database) -> Reception:
    return await reception(database)


async def accept(desk: Reception, message: EmailMessage) -> Acceptance:
    return await desk.door.accept_mail(message.as_bytes())


def to_department() -> EmailMessage:
    return mail(to="ppc@commversion.com, boss@acme.example", cc="am@commversion.com")


@pytest.mark.clause("RL-1")
async def test_the_clients_own_mail_opens_a_case_with_its_leads_and_is_acknowledged(desk: Reception) -> None:
    accepted = await accept(desk, mail())
    request = await desk.request(accepted.inbox_id)
    assert (accepted.state, request["case_id"]) == ("accepted", accepted.case_id)
    assert (request["client_id"], request["doubt"], request["loop_in"]) == ("acme", "", "acknowledge")
    assert [one["lead_id"] for one in request["claims"]] == ["L-1001", "L-1002"]
    assert not any("@" in str(value) for value in request.values()), "ids only go to Temporal"


@pytest.mark.clause("RL-2")
async def test_a_departments_forward_is_answered_in_its_name_in_the_clients_thread(desk: Reception) -> None:
    accepted = await accept(desk, forward(to_department()))
    thread = await desk.thread(accepted.case_id)
    assert (await desk.request(accepted.inbox_id))["loop_in"] == "send"
    assert (thread.department, thread.department_name) == ("ppc@commversion.com", "PPC Team")
    assert (thread.sender, thread.message_id) == (CLIENT, "<one@acme.example>")
    assert (thread.to, thread.cc) == (("ppc@commversion.com", "boss@acme.example"), ("am@commversion.com",))


@pytest.mark.clause("RL-2")
async def test_the_time_counts_from_the_clients_mail(desk: Reception) -> None:
    accepted = await accept(desk, forward(to_department()))
    value = await desk.database.value("SELECT arrived_at::text FROM cases WHERE case_id = $1", accepted.case_id)
    assert str(value).startswith("2026-11-02 09:15:00")


@pytest.mark.clause("RL-2")
async def test_a_colleagues_forward_goes_in_the_name_of_the_department_that_was_asked(desk: Reception) -> None:
    asked = await accept(desk, forward(to_department(), sender="john@commversion.com"))
    assert (await desk.thread(asked.case_id)).department == "ppc@commversion.com"
    own = forward(mail(to="john@commversion.com", message_id="<two@acme.example>"), sender="john@commversion.com")
    assert (await desk.thread((await accept(desk, own)).case_id)).department == "seo@commversion.com"


@pytest.mark.clause("RL-2")
async def test_a_mail_that_a_departments_mailbox_passes_on_untouched_is_looped_in_too(desk: Reception) -> None:
    accepted = await accept(desk, to_department())
    assert (await desk.request(accepted.inbox_id))["loop_in"] == "send"
    assert (await desk.thread(accepted.case_id)).department == "ppc@commversion.com"


@pytest.mark.clause("RL-3")
async def test_the_sentence_is_not_sent_again_when_the_mail_says_it(desk: Reception) -> None:
    accepted = await accept(desk, forward(to_department(), note=f"Hello Jane,\n{LOOP_IN_SENTENCE}\nPPC"))
    assert (await desk.request(accepted.inbox_id))["loop_in"] == "already-said"


async def test_the_same_delivery_again_changes_nothing(desk: Reception) -> None:
    first, second = await accept(desk, mail()), await accept(desk, mail())
    assert second.repeated
    assert (second.inbox_id, second.case_id) == (first.inbox_id, first.case_id)


async def test_the_same_original_passed_on_by_two_departments_is_one_case(desk: Reception) -> None:
    one = forward(to_department())
    two = forward(to_department(), sender="seo@commversion.com", message_id="<fw2@commversion.com>")
    first, second = await asyncio.gather(accept(desk, one), accept(desk, two))
    assert await desk.cases() == [first.case_id] == [second.case_id]
    joined = first if first.code == "joined" else second
    assert joined.state in {"accepted", "handed"}
    (told,) = await desk.steps(joined.inbox_id)
    assert told["fact"]["kind"] == "joined"


@pytest.mark.parametrize(
    ("message", "doubt"),
    [
        (mail(sender="who@else.example"), "sender-unknown"),
        (mail(passed=False), "sender-unauthenticated"),
        (mail("Nothing to see."), "no-leads"),
        (forward(to_department(), passed=False), "sender-unauthenticated"),
        (forward(mail(sender="who@else.example")), "sender-unknown"),
        (mail("Please see to L-1001.", sender="ppc@commversion.com"), "original-unreadable"),
        (mail("---------- Forwarded message ---------\nL-1001", sender="ppc@commversion.com"), "original-unreadable"),
    ],
)
async def test_what_cant_be_trusted_waits_for_a_person_and_claims_no_leads(
    desk: Reception, message: EmailMessage, doubt: str
) -> None:
    accepted = await accept(desk, message)
    request = await desk.request(accepted.inbox_id)
    assert (request["doubt"], request["claims"]) == (doubt, [])
    known = doubt == "no-leads"
    assert request["client_id"] == ("acme" if known else "")


async def test_whom_to_answer_is_left_open_where_the_original_cant_be_read(desk: Reception) -> None:
    accepted = await accept(desk, mail("Please see to L-1001.", sender="ppc@commversion.com"))
    thread = await desk.thread(accepted.case_id)
    assert (thread.sender, thread.to, thread.cc) == ("", (), ())
    assert "L-1001" in thread.text


@pytest.mark.parametrize("raw", [b"", b"no headers here", b"From: a@b.example\r\n\r\nnul \0", b"x" * 100])
async def test_what_is_no_email_becomes_a_persons_step_with_its_reason(desk: Reception, raw: bytes) -> None:
    accepted = await desk.door.accept_mail(raw)
    assert accepted.code
    assert (await desk.request(accepted.inbox_id))["doubt"] == "unreadable-mail"


async def test_of_a_mail_that_is_too_large_only_the_headers_count(desk: Reception) -> None:
    accepted = await desk.door.accept_mail(mail().as_bytes(), oversize=True)
    request = await desk.request(accepted.inbox_id)
    assert (accepted.code, request["doubt"], request["claims"]) == ("too-large", "unreadable-mail", [])
    assert request["client_id"] == "acme"


async def test_each_lead_has_its_own_reason_and_the_rest_goes_on(desk: Reception) -> None:
    accepted = await accept(desk, mail("L-1001, L-9999, L-2001, L-1001, L-1002"))
    claims = (await desk.request(accepted.inbox_id))["claims"]
    assert [one["problem"] for one in claims] == ["", "unknown-lead", "other-client", "twice-in-request", ""]


async def test_a_lead_under_review_elsewhere_joins_that_case_and_the_rest_opens_its_own(desk: Reception) -> None:
    first = await accept(desk, mail("L-1001"))
    second = await accept(desk, mail("L-1001 and L-1002", message_id="<two@acme.example>"))
    claims = (await desk.request(second.inbox_id))["claims"]
    assert [one["problem"] for one in claims] == ["under-review", ""]
    _, told = await desk.steps(second.inbox_id)
    assert (told["case_id"], told["fact"]["kind"]) == (first.case_id, "joined")


def reply(text: str = "Any news?", *, number: int = 1, sender: str = CLIENT, passed: bool = True) -> EmailMessage:
    headers = {"In_Reply_To": "<one@acme.example>"}
    return mail(text, sender=sender, message_id=f"<r{number}@x.example>", passed=passed, **headers)


async def test_a_reply_in_the_thread_is_told_to_the_case(desk: Reception) -> None:
    first = await accept(desk, mail())
    accepted = await accept(desk, reply())
    (told,) = await desk.steps(accepted.inbox_id)
    assert (accepted.case_id, told["message"]["inbox_id"]) == (first.case_id, accepted.inbox_id)
    assert await desk.cases() == [first.case_id]


async def test_a_reply_without_references_finds_its_case_by_our_reference(desk: Reception) -> None:
    first = await accept(desk, mail())
    token = await desk.database.value("SELECT message_id FROM mail_threads WHERE message_id LIKE 'RL#%'")
    accepted = await accept(desk, mail(f"Any news?\n\n> Our reference: {token}", message_id="<r@acme.example>"))
    assert (accepted.code, accepted.case_id) == ("client-replied", first.case_id)


@pytest.mark.parametrize(("sender", "passed"), [("zoe@zen.example", True), (CLIENT, False), ("who@else.example", True)])
async def test_nobody_else_joins_a_clients_case_by_naming_its_thread(
    desk: Reception, sender: str, passed: bool
) -> None:
    first = await accept(desk, mail())
    accepted = await accept(desk, reply("L-2001", sender=sender, passed=passed))
    assert accepted.case_id != first.case_id
    assert (await desk.request(accepted.inbox_id))["linked_to"] == first.case_id


async def test_a_forged_copy_that_came_first_does_not_take_the_clients_case(desk: Reception) -> None:
    forged = await accept(desk, mail(passed=False))
    true = await accept(desk, mail())
    assert true.case_id != forged.case_id
    request = await desk.request(true.inbox_id)
    assert (request["client_id"], request["doubt"]) == ("acme", "")


async def test_a_reply_to_a_closed_case_opens_a_look_linked_to_it(desk: Reception) -> None:
    first = await accept(desk, mail())
    await desk.close(first.case_id)
    accepted = await accept(desk, reply())
    request = await desk.request(accepted.inbox_id)
    assert (request["doubt"], request["linked_to"], request["client_id"]) == ("case-ended", first.case_id, "acme")
    assert await desk.thread(accepted.case_id) == await desk.thread(first.case_id)


@pytest.mark.clause("RL-10")
async def test_the_clients_late_reply_to_a_refusal_is_marked_and_anybody_elses_is_looked_at(desk: Reception) -> None:
    """One case at a time holds the refused leads; a colleague's mail is no dispute, whatever it says."""
    first = await accept(desk, mail())
    await desk.database.execute(
        "INSERT INTO effects (key, case_id, kind, clause, gated, body, state)"
        " VALUES ('k', $1, 'send-letter', 'RL-9', false, '{\"template\": \"refused\"}', 'sent')",
        first.case_id,
    )
    await desk.close(first.case_id)
    await desk.database.execute("UPDATE case_leads SET active = false")
    of_staff = await desk.request((await accept(desk, reply(sender="john@commversion.com"))).inbox_id)
    assert (of_staff["doubt"], of_staff["claims"]) == ("case-ended", [])
    late = await desk.request((await accept(desk, reply(number=2))).inbox_id)
    assert (late["doubt"], late["linked_to"]) == ("late-reply", first.case_id)
    assert [(one["lead_id"], one["problem"]) for one in late["claims"]] == [("L-1001", ""), ("L-1002", "")]
    again = await desk.request((await accept(desk, reply(number=3))).inbox_id)
    assert {one["problem"] for one in again["claims"]} == {"under-review"}


async def test_a_flood_of_replies_is_coalesced(desk: Reception) -> None:
    await accept(desk, mail())
    states = [(await accept(desk, reply(number=number))).state for number in range(5)]
    assert states == ["accepted", "handed", "handed", "handed", "handed"]
    codes = await desk.database.fetch("SELECT code, count(*) FROM inbox GROUP BY 1 ORDER BY 1")
    assert [tuple(row) for row in codes] == [("", 1), ("client-replied", 1), ("coalesced", 4)]


async def test_automatic_mail_and_copies_of_our_own_are_ignored(desk: Reception) -> None:
    first = await accept(desk, mail())
    away = mail("I am away", message_id="<away@acme.example>", Auto_Submitted="auto-replied")
    assert (await accept(desk, away)).state == "ignored"
    for joined in (True, False):
        state = "sent" if joined else "sending"
        own = await desk.sent(first.case_id, f"holding-{joined}", "send-letter", state, joined=joined)
        accepted = await accept(desk, mail("We are still looking", sender=INBOX, message_id=own))
        assert (accepted.state, accepted.code) == ("ignored", "our-own-mail")


def bounced(message_id: str) -> bytes:
    content = mail("hello", message_id=message_id).as_bytes()
    return bounce(content, authserv_id="mail.holdfast.local", mail_from=INBOX, unknown=CLIENT)


async def test_a_bounce_of_our_mail_is_told_to_the_case_by_its_effect(desk: Reception) -> None:
    first = await accept(desk, mail())
    own = await desk.sent(first.case_id, "answer-client", "answer-client")
    accepted = await desk.door.accept_mail(bounced(own))
    (told,) = await desk.steps(accepted.inbox_id)
    assert (told["fact"]["kind"], told["fact"]["reference"]) == ("bounced", f"{first.case_id}/answer-client/1")


async def test_a_bounce_that_is_faster_than_our_own_bookkeeping_is_not_lost(desk: Reception) -> None:
    first = await accept(desk, mail())
    own = await desk.sent(first.case_id, "loop-in", "send-letter", "sending", joined=False)
    assert (await desk.door.accept_mail(bounced(own))).case_id == first.case_id


async def test_a_bounce_for_a_closed_case_opens_client_not_reached(desk: Reception) -> None:
    first = await accept(desk, mail())
    own = await desk.sent(first.case_id, "answer-client", "answer-client")
    await desk.close(first.case_id)
    accepted = await desk.door.accept_mail(bounced(own))
    request = await desk.request(accepted.inbox_id)
    assert (request["doubt"], request["linked_to"]) == ("client-not-reached", first.case_id)


async def test_a_bounce_of_a_nudge_or_of_somebody_elses_mail_is_only_kept(desk: Reception) -> None:
    first = await accept(desk, mail())
    nudge = await desk.sent(first.case_id, "nudge", "nudge")
    assert (await desk.door.accept_mail(bounced(nudge))).code == "internal-mail-bounced"
    assert (await desk.door.accept_mail(bounced("<other@commversion.com>"))).code == "bounce-of-another-mail"


async def test_what_came_in_is_kept_sealed(desk: Reception) -> None:
    accepted = await accept(desk, mail())
    row = await desk.row(accepted.inbox_id)
    assert b"jane" not in row["content_ct"]
    pool = await desk.database.pool()
    async with pool.acquire() as conn:
        assert await desk.vault.open(conn, "", row["content_ct"]) == mail().as_bytes()


async def test_nothing_is_accepted_when_the_case_cant_be_written(desk: Reception) -> None:
    await desk.database.execute("REVOKE INSERT ON cases FROM holdfast_door")
    with pytest.raises(Exception, match="permission denied"):
        await accept(desk, mail())
    assert await desk.database.value("SELECT count(*) FROM inbox") == 0


def opened(**changes: object) -> dict[str, object]:
    return {"client_id": "acme", "leads": ["l-1001", "L-1002"], "reference": "call of Monday", **changes}


@pytest.mark.clause("RL-1")
async def test_a_request_opened_by_hand_files_a_copy_and_answers_the_clients_address(desk: Reception) -> None:
    accepted = await desk.door.open_return(opened(recipients=["boss@acme.example"]), by="otto (local)")
    request = await desk.request(accepted.inbox_id)
    assert (request["file_copy"], request["loop_in"], request["doubt"]) == (True, "none", "")
    assert request["opened_by"] == "otto (local)"
    assert [one["lead_id"] for one in request["claims"]] == ["L-1001", "L-1002"]
    thread = await desk.thread(accepted.case_id)
    assert (thread.sender, thread.cc, thread.message_id) == (CLIENT, ("boss@acme.example",), "")


async def test_the_same_reference_is_the_same_request_and_never_another_one(desk: Reception) -> None:
    first, again = await desk.door.open_return(opened()), await desk.door.open_return(opened())
    assert again.repeated
    assert again.case_id == first.case_id
    with pytest.raises(Refused) as caught:
        await desk.door.open_return(opened(leads=["L-1003"]))
    assert caught.value.code == "another-content"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"leads": []}, "bad-request"),
        ({"leads": ["=HYPERLINK()"]}, "bad-lead-id"),
        ({"leads": "L-1001"}, "bad-request"),
        ({"client_id": "nobody"}, "unknown-client"),
        ({"client_id": 7}, "bad-request"),
        ({"reply_to": "zoe@zen.example"}, "unknown-address"),
        ({"recipients": ["not an address"]}, "bad-address"),
        ({"note": "nul \0"}, "unreadable-text"),
        ({"note": "\ud800"}, "bad-request"),
        ({"approved": True}, "bad-request"),
        ({"reference": ""}, "bad-request"),
    ],
)
async def test_a_bad_request_is_refused_with_its_reason_and_nothing_is_kept(
    desk: Reception, changes: dict[str, object], code: str
) -> None:
    with pytest.raises(Refused) as caught:
        await desk.door.open_return(opened(**changes))
    assert caught.value.code == code
    assert await desk.database.value("SELECT count(*) FROM inbox") == 0


async def test_the_windows_of_a_case_are_the_settings_of_the_day_it_came(desk: Reception) -> None:
    settings = Settings(dispute_window=timedelta(days=7), holding_after=timedelta(hours=24))
    door = Door(await desk.database.pool("door"), desk.vault, settings)
    request = await desk.request((await door.accept_mail(mail().as_bytes())).inbox_id)
    assert (request["dispute_window"], request["holding_after"]) == ("P7D", "P1D")
