from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.tickets import zendesk as module
from adapters.tickets.zendesk import ZendeskDesk
from domain.board import TicketAbility, TicketStatus
from domain.errors import Permanent, Retryable, Unclear, VendorError
from domain.ids import marker
from simulators.base import Answer
from simulators.tickets import TicketsSimulator, tickets_simulator

QUICK = timedelta(seconds=1)
MARKER = marker("department-request/1234/note/1")
CATH, ZANE, JANE = "cath@x.example", "zane@x.example", "jane@client.example"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
DUE = datetime(2026, 12, 1, 17, 30, tzinfo=UTC)


@pytest.fixture
async def zendesk() -> AsyncIterator[TicketsSimulator]:
    async with tickets_simulator() as simulator:
        simulator.seed(
            users=[
                {"id": 21, "name": "Zane", "email": "Zane@x.example"},
                {"id": 22, "name": "Cath", "email": CATH},
                {"id": 23, "name": "Jane", "email": JANE, "role": "end-user"},
            ],
            tickets=[
                {"id": 100, "subject": "The form is broken", "requester_id": 23, "assignee_id": 21, "tags": ["web"]},
                {"id": 101, "subject": "Done", "status": "closed", "requester_id": 23},
            ],
            comments=[{"ticket_id": 100, "body": "It does not send.", "author_id": 23}],
        )
        yield simulator


@pytest.fixture
async def desk(zendesk: TicketsSimulator) -> AsyncIterator[ZendeskDesk]:
    adapter = ZendeskDesk(zendesk.url, zendesk.token, user="holdfast@x.example", timeout=QUICK)
    yield adapter
    await adapter.aclose()


async def test_a_ticket_names_its_people_by_address(zendesk: TicketsSimulator, desk: ZendeskDesk) -> None:
    zendesk.edit(op="follow", ticket=100, user=22)
    found = await desk.ticket("100")
    assert found is not None
    assert (found.assignee, found.requester, found.followers) == (ZANE, JANE, (CATH,))
    assert (found.subject, found.status, found.tags) == ("The form is broken", TicketStatus.OPEN, ("web",))
    assert (found.due_at, found.url) == (None, f"{zendesk.url}/agent/tickets/100")


async def test_people_who_are_gone_have_no_address(zendesk: TicketsSimulator, desk: ZendeskDesk) -> None:
    zendesk.seed(tickets=[{"id": 102, "subject": "S", "requester_id": 77, "follower_ids": [77, 22]}])
    found = await desk.ticket("102")
    assert found is not None
    assert (found.assignee, found.requester, found.followers) == ("", "", (CATH,))


async def test_no_ticket_and_a_deleted_one_are_none(zendesk: TicketsSimulator, desk: ZendeskDesk) -> None:
    zendesk.edit(op="delete", ticket=100)
    assert (await desk.ticket("100"), await desk.ticket("999")) == (None, None)


async def test_followers_are_added_and_those_there_stay(zendesk: TicketsSimulator, desk: ZendeskDesk) -> None:
    zendesk.edit(op="follow", ticket=100, user=21)
    for _ in range(2):
        assert (await desk.set_followers("100", ("Cath@x.example",))).followers == (ZANE, CATH)
    assert zendesk.ledger[-2]["body"] == {"ticket": {"followers": [{"user_email": CATH, "action": "put"}]}}


@pytest.mark.parametrize("nobody", [JANE, "who@x.example"])
async def test_whom_zendesk_passes_over_is_said(zendesk: TicketsSimulator, desk: ZendeskDesk, nobody: str) -> None:
    with pytest.raises(Permanent) as caught:
        await desk.set_followers("100", (CATH, nobody))
    assert caught.value.code == "not-a-user"
    assert zendesk.ticket(100)["follower_ids"] == [22]
    assert nobody not in str(caught.value)


async def test_a_desk_whose_followers_are_switched_off_says_so(zendesk: TicketsSimulator, desk: ZendeskDesk) -> None:
    zendesk.seed(followers_enabled=False)
    with pytest.raises(Permanent) as caught:
        await desk.set_followers("100", (CATH,))
    assert caught.value.code == "not-a-user"


async def test_a_desk_without_followers_is_not_asked_for_any(zendesk: TicketsSimulator, desk: ZendeskDesk) -> None:
    without = ZendeskDesk(zendesk.url, zendesk.token, followers=False)
    with pytest.raises(Permanent) as caught:
        await without.set_followers("100", (CATH,))
    await without.aclose()
    assert (caught.value.code, zendesk.ledger) == ("not-able", [])
    assert desk.capabilities - without.capabilities == {TicketAbility.FOLLOWERS}


async def test_a_note_is_internal_and_found_by_its_marker(zendesk: TicketsSimulator, desk: ZendeskDesk) -> None:
    ident = await desk.note("100", "Chased John.", MARKER)
    zendesk.edit(op="comment", ticket=100, body="Thanks", by=23)
    first, ours, last = await desk.notes("100")
    assert (first.public, first.author, first.carries(MARKER)) == (True, JANE, False)
    assert (ours.note_id, ours.public, ours.body) == (ident, False, f"Chased John.\n\n{MARKER}")
    assert (last.public, last.body) == (True, "Thanks")
    assert zendesk.ledger[0]["body"]["ticket"]["comment"]["public"] is False


async def test_assignee_and_due_date_are_changed_apart(zendesk: TicketsSimulator, desk: ZendeskDesk) -> None:
    assert (await desk.change("100", assignee="Cath@x.example")).assignee == CATH
    changed = await desk.change("100", due_at=DUE.astimezone())
    assert (changed.assignee, changed.due_at) == (CATH, DUE)
    assert zendesk.ticket(100)["type"] == "task"


async def test_an_assignee_who_is_no_agent_is_refused(zendesk: TicketsSimulator, desk: ZendeskDesk) -> None:
    with pytest.raises(Permanent) as caught:
        await desk.change("100", assignee=JANE)
    assert (caught.value.code, zendesk.ticket(100)["assignee_id"]) == ("record-invalid", 21)


async def test_all_pages_back_to_a_time_are_read_and_no_further(
    zendesk: TicketsSimulator, desk: ZendeskDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGE_SIZE", 2)
    zendesk.seed(tickets=[{"id": 200 + one, "subject": "S", "requester_id": 23} for one in range(6)])
    for one in range(6):
        zendesk.edit(op="age", ticket=200 + one, updated_at=f"2026-01-0{one + 1}T00:00:00Z")
    since = datetime(2026, 1, 3, tzinfo=UTC)
    found = await desk.tickets(since)
    assert [one.ticket_id for one in found] == ["101", "100", "205", "204", "203", "202"]
    pages = [entry for entry in zendesk.ledger if entry["path"].endswith("/tickets.json")]
    assert len(pages) == 4
    assert {entry["query"]["sort"] for entry in pages} == {"-updated_at"}


async def test_what_is_not_settled_is_found_however_long_it_did_not_change(
    zendesk: TicketsSimulator, desk: ZendeskDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGE_SIZE", 2)
    for number, status in enumerate(("new", "pending", "hold", "solved", "closed")):
        zendesk.seed(tickets=[{"id": 300 + number, "subject": "S", "requester_id": 23, "status": status}])
        zendesk.edit(op="age", ticket=300 + number, updated_at="2021-01-01T00:00:00Z")
    found = await desk.unsettled()
    assert [(one.ticket_id, one.requester) for one in found] == [(one, JANE) for one in ("100", "300", "301", "302")]


async def test_a_ticket_that_was_settled_and_opened_again_says_since_when(
    zendesk: TicketsSimulator, desk: ZendeskDesk
) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    assert not await desk.was_opened_again("100", before)
    zendesk.edit(op="status", ticket=100, status="pending")
    zendesk.edit(op="status", ticket=100, status="open")
    assert not await desk.was_opened_again("100", before)  # it was settled at no time
    zendesk.edit(op="status", ticket=100, status="solved")
    assert not await desk.was_opened_again("100", before)
    zendesk.edit(op="status", ticket=100, status="open")
    assert await desk.was_opened_again("100", before)
    assert not await desk.was_opened_again("100", before + timedelta(days=1))
    with pytest.raises(Permanent) as caught:
        await desk.was_opened_again("999", before)
    assert caught.value.code == "not-found"


async def test_a_ticket_that_changes_between_two_pages_is_told_once(
    zendesk: TicketsSimulator, desk: ZendeskDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGE_SIZE", 1)
    found = await desk.tickets(LONG_AGO)
    assert sorted(one.ticket_id for one in found) == ["100", "101"]
    assert await desk.tickets(datetime.now(UTC) + timedelta(days=1)) == ()


async def test_many_people_are_asked_for_a_hundred_at_a_time(
    zendesk: TicketsSimulator, desk: ZendeskDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGE_SIZE", 2)
    zendesk.seed(
        users=[{"id": 300 + one, "name": "A", "email": f"a{one}@x.example"} for one in range(3)],
        tickets=[{"id": 102, "subject": "S", "follower_ids": [300, 301, 302]}],
    )
    found = await desk.ticket("102")
    assert found is not None
    assert found.followers == ("a0@x.example", "a1@x.example", "a2@x.example")
    assert [entry["query"]["ids"] for entry in zendesk.ledger[1:]] == ["1,300", "301,302"]


async def test_a_list_without_end_is_refused(
    zendesk: TicketsSimulator, desk: ZendeskDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGE_SIZE", 1)
    monkeypatch.setattr(module, "_MOST_PAGES", 1)
    with pytest.raises(Permanent) as caught:
        await desk.tickets(LONG_AGO)
    assert caught.value.code == "too-many-pages"


Call = Callable[[ZendeskDesk], Awaitable[object]]
WRITES: list[Call] = [
    lambda desk: desk.note("100", "x", MARKER),
    lambda desk: desk.set_followers("100", (CATH,)),
    lambda desk: desk.change("100", assignee=CATH),
]


@pytest.mark.parametrize(
    "call",
    [
        lambda desk: desk.note("999", "x", MARKER),
        lambda desk: desk.notes("999"),
        lambda desk: desk.set_followers("999", (CATH,)),
        lambda desk: desk.change("999", due_at=DUE),
    ],
)
async def test_a_ticket_that_is_not_there_is_permanent(desk: ZendeskDesk, call: Call) -> None:
    with pytest.raises(Permanent) as caught:
        await call(desk)
    assert caught.value.code == "not-found"
    assert "999" not in str(caught.value)


@pytest.mark.parametrize("ident", ["", "0", "../users", "100.json?x=", "9" * 30])
async def test_an_id_that_is_none_is_refused_before_anything_is_sent(
    zendesk: TicketsSimulator, desk: ZendeskDesk, ident: str
) -> None:
    for call in (desk.ticket(ident), desk.notes(ident), desk.note(ident, "x", MARKER)):
        with pytest.raises(Permanent) as caught:
            await call
        assert caught.value.code == "bad-id"
    assert zendesk.ledger == []


async def test_a_closed_ticket_takes_nothing(desk: ZendeskDesk) -> None:
    with pytest.raises(Permanent) as caught:
        await desk.note("101", "x", MARKER)
    assert caught.value.code == "record-invalid"
    assert TicketStatus.CLOSED.is_settled


@pytest.mark.parametrize("call", WRITES)
@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ({"mode": "error_before"}, (Unclear, 0)),
        ({"mode": "error_before", "status": 503}, (Unclear, 0)),
        ({"mode": "error_before", "status": 401}, (Retryable, 0)),
        ({"mode": "error_before", "status": 403}, (Permanent, 0)),
        ({"mode": "error_after"}, (Unclear, 1)),
        ({"mode": "slow", "seconds": 30}, (Unclear, 1)),
        ({"mode": "429"}, (Retryable, 0)),
        ({"mode": "reset"}, (Unclear, 0)),
        ({"mode": "reset_after"}, (Unclear, 1)),
        ({"mode": "garbage"}, (Unclear, 1)),
        ({"mode": "redirect"}, (Permanent, 0)),
    ],
)
async def test_each_failure_of_a_write_has_its_error_and_its_truth(
    zendesk: TicketsSimulator,
    desk: ZendeskDesk,
    call: Call,
    fault: dict[str, Any],
    outcome: tuple[type[VendorError], int],
) -> None:
    error, made = outcome
    zendesk.fault("PUT /tickets/100.json", **fault)
    with pytest.raises(VendorError) as caught:
        await call(desk)
    assert (type(caught.value), len(zendesk.done())) == (error, made)


async def test_after_unclear_a_note_is_read_back(zendesk: TicketsSimulator, desk: ZendeskDesk) -> None:
    zendesk.fault("PUT /tickets/100.json", "reset_after")
    with pytest.raises(Unclear):
        await desk.note("100", "Chased John.", MARKER)
    assert [one.carries(MARKER) for one in await desk.notes("100")] == [False, True]


@pytest.mark.parametrize("mode", ["error_before", "429", "reset", "garbage", "redirect"])
async def test_a_write_that_is_done_is_never_called_certainly_not_done(
    zendesk: TicketsSimulator, desk: ZendeskDesk, mode: str
) -> None:
    for call in (desk.set_followers("100", (CATH,)), desk.change("100", assignee=CATH)):
        zendesk.fault("GET /users/", mode)
        with pytest.raises(Unclear) as caught:
            await call
        assert caught.value.code == "unseen"
    assert len(zendesk.done()) == 2


@pytest.mark.parametrize("match", ["GET /tickets", "GET /users/"])
@pytest.mark.parametrize(
    "call", [lambda desk: desk.ticket("100"), lambda desk: desk.tickets(LONG_AGO), lambda desk: desk.notes("100")]
)
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"mode": "error_before"}, Retryable),
        ({"mode": "slow", "seconds": 30}, Retryable),
        ({"mode": "429"}, Retryable),
        ({"mode": "reset"}, Retryable),
        ({"mode": "garbage"}, Retryable),
        ({"mode": "redirect"}, Permanent),
    ],
)
async def test_a_read_that_fails_is_never_unclear(
    zendesk: TicketsSimulator,
    desk: ZendeskDesk,
    match: str,
    call: Call,
    fault: dict[str, Any],
    error: type[VendorError],
) -> None:
    zendesk.fault(match, **fault)
    with pytest.raises(VendorError) as caught:
        await call(desk)
    assert type(caught.value) is error


async def test_the_rate_limit_says_how_long_to_wait(zendesk: TicketsSimulator, desk: ZendeskDesk) -> None:
    zendesk.edit(op="rate_limit", per_minute=0)
    with pytest.raises(Retryable) as caught:
        await desk.ticket("100")
    assert caught.value.retry_after == timedelta(seconds=7)


async def test_an_oauth_token_goes_as_bearer_and_a_wrong_one_is_not_let_in(zendesk: TicketsSimulator) -> None:
    oauth, wrong = ZendeskDesk(zendesk.url, zendesk.token), ZendeskDesk(zendesk.url, "other", user="a@x.example")
    assert await oauth.ticket("100") is not None
    with pytest.raises(Retryable) as caught:
        await wrong.ticket("100")
    await oauth.aclose()
    await wrong.aclose()
    assert caught.value.code == "unauthorised"


@pytest.mark.parametrize("odd", [{}, [], None, {"error": None}, {"tickets": None, "comments": None}, {"ticket": {}}])
@pytest.mark.parametrize(
    "call", [lambda desk: desk.ticket("100"), lambda desk: desk.tickets(LONG_AGO), lambda desk: desk.notes("100")]
)
async def test_an_odd_answer_never_passes_for_nothing_there(
    zendesk: TicketsSimulator, desk: ZendeskDesk, monkeypatch: pytest.MonkeyPatch, odd: object, call: Call
) -> None:
    monkeypatch.setattr(zendesk, "respond", lambda _call: Answer(200, odd))
    with pytest.raises(Retryable) as caught:
        await call(desk)
    assert caught.value.code == "bad-answer"


async def test_the_answer_about_another_ticket_is_odd(
    zendesk: TicketsSimulator, desk: ZendeskDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {"ticket": zendesk.ticket(101)}
    monkeypatch.setattr(zendesk, "respond", lambda _call: Answer(200, other))
    for error, call in ((Retryable, desk.ticket("100")), (Unclear, desk.change("100", assignee=CATH))):
        with pytest.raises(error):
            await call
