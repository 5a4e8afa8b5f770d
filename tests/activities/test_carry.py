"""Effects through the real ledger and the real adapters, stopped at every point where a worker can die."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.carry import AT_ONCE, PATIENCE, carry_out, waves
from activities.hands import Hand, LetterHand, RowHand, Seen, Sent, TagHand
from activities.ports import Claim, Intent
from adapters.livechat.desk import LiveChatDesk
from adapters.mail.smtp import SmtpMailer
from adapters.postgres.crypto import Vault
from adapters.postgres.ledger import PostgresLedger
from adapters.sheets.sheet import GoogleSheet
from domain.effects import AppendRow, Audience, Effect, Receipt, ReceiptState, SendLetter, TagChat
from domain.errors import Permanent
from domain.mail import OutgoingMail
from simulators.livechat import LiveChatSimulator, livechat_simulator
from simulators.mail import MailServer, mail_server
from simulators.sheets import SheetsSimulator, sheets_simulator
from tests.conftest import Database

CASE = "return-lead/0123456789abcdef"
ROW = AppendRow(key=f"{CASE}/append-row/L-1", clause="RL-7", lead_id="L-1")
TAG = TagChat(key=f"{CASE}/tag-chat/L-1", clause="RL-7", lead_id="L-1")
LETTER = SendLetter(key=f"{CASE}/refused/1", clause="RL-9", template="refused", audience=Audience.CLIENT_THREAD)
CELLS = (ROW.key, "2026-03-10", "L-1", "acme")
MAIL = OutgoingMail(
    message_id="<m-1@commversion.com>",
    sender="returnleads@commversion.com",
    to=("jane@acme.example",),
    subject="Your leads",
    text="No.",
)


@dataclass
class Bench:
    """A case with a ledger, and hands that reach the stand-ins."""

    ledger: PostgresLedger
    database: Database
    hands: Mapping[str, Hand] = field(default_factory=dict[str, Hand])

    async def carry_out(self, *effects: Effect, hands: Mapping[str, Hand] | None = None) -> tuple[Receipt, ...]:
        known = {**self.hands, **(hands or {})}

        async def make(effect: Effect) -> Hand:
            return known[effect.key]

        return await carry_out(effects, make, partial(self.ledger.claim, CASE), partial(self.ledger.settle, CASE))

    async def claimed(self, effect: Effect) -> Claim:
        """What a worker that died has left behind: `sending`, committed."""
        hand = self.hands[effect.key]
        (claim,) = await self.ledger.claim(CASE, [Intent(effect, hand.body_sha256, hand.recipients)])
        return claim

    async def row(self, effect: Effect) -> tuple[str, int]:
        (row,) = await self.database.fetch("SELECT state, attempts FROM effects WHERE key = $1", effect.key)
        return row["state"], row["attempts"]


async def until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not met():  # noqa: ASYNC110  another process's business, so there is no event
            await asyncio.sleep(0.02)


@pytest.fixture
async def google() -> AsyncIterator[SheetsSimulator]:
    async with sheets_simulator() as simulator:
        yield simulator


@pytest.fixture
async def livechat() -> AsyncIterator[LiveChatSimulator]:
    async with livechat_simulator() as simulator:
        simulator.seed(chats=[{"chat_id": "C1", "thread_id": "T1"}])
        yield simulator


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[MailServer]:
    async with mail_server(tmp_path) as running:
        yield running


@pytest.fixture
async def bench(
    database: Database, google: SheetsSimulator, livechat: LiveChatSimulator, server: MailServer
) -> AsyncIterator[Bench]:
    PATIENCE.set(0.2)
    await database.execute("INSERT INTO clients (client_id, name) VALUES ('acme', 'Acme')")
    await database.execute(
        "INSERT INTO cases (case_id, workflow_id, kind, client_id, status) VALUES ($1, $1, 'x', 'acme', 'open')", CASE
    )
    await database.execute("UPDATE outbound SET mode = 'on'")
    ledger = PostgresLedger(await database.pool("sops"), Vault(secrets.token_bytes(32)))
    sheet = GoogleSheet(google.url, "simulator", google.token, timeout=timedelta(seconds=5))
    desk = LiveChatDesk(livechat.url, livechat.token, timeout=timedelta(seconds=5))
    mailer = SmtpMailer(server.host, server.smtp_port, MAIL.sender, server.password)
    hands: dict[str, Hand] = {
        ROW.key: RowHand(sheet, CELLS),
        TAG.key: TagHand(desk, "C1", "T1"),
        LETTER.key: LetterHand(mailer, MAIL),
    }
    yield Bench(ledger, database, hands)
    await sheet.aclose()
    await desk.aclose()


async def test_what_was_carried_out_is_told_again_and_not_done_again(
    bench: Bench, google: SheetsSimulator, livechat: LiveChatSimulator, server: MailServer
) -> None:
    first = await bench.carry_out(ROW, TAG, LETTER)
    again = await bench.carry_out(ROW, TAG, LETTER)
    assert [one.state for one in first] == [ReceiptState.SENT] * 3
    assert [(one.state, one.reference) for one in again] == [(one.state, one.reference) for one in first]
    assert (len(google.rows()), livechat.tags("C1", "T1"), len(server.ledger())) == (1, ["return-lead"], 1)
    assert await bench.row(ROW) == ("sent", 1)


@pytest.mark.parametrize("effect", [ROW, TAG])
async def test_dead_before_the_call_it_is_done_after_a_second_look(bench: Bench, effect: Effect) -> None:
    await bench.claimed(effect)
    (receipt,) = await bench.carry_out(effect)
    assert receipt.state is ReceiptState.SENT
    assert await bench.row(effect) == ("sent", 2)


@pytest.mark.parametrize("effect", [ROW, TAG])
async def test_dead_after_the_call_it_is_found_and_adopted(
    bench: Bench, google: SheetsSimulator, livechat: LiveChatSimulator, effect: Effect
) -> None:
    await bench.claimed(effect)
    await bench.hands[effect.key].do()
    (receipt,) = await bench.carry_out(effect)
    assert (receipt.state, await bench.row(effect)) == (ReceiptState.SENT, ("sent", 1))
    assert len(google.rows()) + len(livechat.tags("C1", "T1")) == 1


async def test_a_call_that_lands_while_we_look_is_waited_for(bench: Bench, google: SheetsSimulator) -> None:
    PATIENCE.set(2.0)
    await bench.claimed(ROW)
    carrying = asyncio.create_task(bench.carry_out(ROW))
    await until(lambda: bool(google.ledger))  # the first look found nothing
    await bench.hands[ROW.key].do()
    (receipt,) = await carrying
    assert (receipt.state, len(google.rows())) == (ReceiptState.SENT, 1)
    assert await bench.row(ROW) == ("sent", 1)


async def test_a_call_that_is_made_again_is_out_since_then_and_not_since_the_first(
    bench: Bench, google: SheetsSimulator
) -> None:
    await bench.claimed(ROW)
    await bench.database.shift(timedelta(hours=1))
    google.fault("POST", "slow", seconds=30)
    carrying = asyncio.create_task(bench.carry_out(ROW))
    await until(lambda: any(one["method"] == "POST" for one in google.ledger))
    carrying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await carrying
    claim = await bench.claimed(ROW)
    assert (claim.verdict, claim.attempt) == ("look", 2)
    assert claim.seconds_in_flight < 60


async def test_a_row_that_is_not_ours_is_a_persons_business(bench: Bench, google: SheetsSimulator) -> None:
    google.seed(spreadsheets={"simulator": {"RL": [[ROW.key, "something", "else"]]}})
    await bench.claimed(ROW)
    (receipt,) = await bench.carry_out(ROW)
    assert (receipt.state, receipt.code) == (ReceiptState.UNKNOWN, "found-different")
    assert await bench.row(ROW) == ("unknown", 1)
    assert len(google.rows()) == 1


async def test_a_row_that_is_not_ours_stops_a_first_attempt_before_the_call(
    bench: Bench, google: SheetsSimulator
) -> None:
    google.seed(spreadsheets={"simulator": {"RL": [[ROW.key, "something", "else"]]}})
    (receipt,) = await bench.carry_out(ROW)
    assert (receipt.state, receipt.code, receipt.retry) == (ReceiptState.FAILED, "row-differs", False)
    assert await bench.row(ROW) == ("prepared", 1)


async def test_a_mail_of_which_nothing_is_known_is_never_sent_again(bench: Bench, server: MailServer) -> None:
    await bench.claimed(LETTER)
    for _ in range(2):
        (receipt,) = await bench.carry_out(LETTER)
        assert (receipt.state, receipt.code) == (ReceiptState.UNKNOWN, "may-have-been-sent")
    assert await bench.row(LETTER) == ("unknown", 1)
    assert server.ledger() == []


async def test_a_mail_a_person_wants_sent_again_is_sent(bench: Bench, server: MailServer) -> None:
    await bench.claimed(LETTER)
    await bench.carry_out(LETTER)
    await bench.ledger.reopen(CASE, [LETTER.key])
    (receipt,) = await bench.carry_out(LETTER)
    assert (receipt.state, len(server.ledger())) == (ReceiptState.SENT, 1)


async def test_what_a_person_waived_is_done_no_more(bench: Bench, server: MailServer) -> None:
    await bench.ledger.prepare(CASE, [LETTER])
    await bench.ledger.abandon(CASE, [LETTER.key], "waived")
    (receipt,) = await bench.carry_out(LETTER)
    assert (receipt.state, receipt.done, server.ledger()) == (ReceiptState.ABANDONED, True, [])


async def test_while_sending_is_off_everything_stays_prepared(
    bench: Bench, google: SheetsSimulator, server: MailServer
) -> None:
    await bench.database.execute("UPDATE outbound SET mode = 'off'")
    receipts = await bench.carry_out(ROW, LETTER)
    assert [(one.state, one.done) for one in receipts] == [(ReceiptState.HELD, False)] * 2
    assert (await bench.row(ROW), await bench.row(LETTER)) == (("prepared", 0), ("prepared", 0))
    assert (google.rows(), server.ledger()) == ([], [])
    await bench.database.execute("UPDATE outbound SET mode = 'on'")
    assert [one.state for one in await bench.carry_out(ROW, LETTER)] == [ReceiptState.SENT] * 2


async def test_done_although_the_vendor_said_no_is_read_back_at_once(bench: Bench, google: SheetsSimulator) -> None:
    google.fault("POST", "error_after", status=500)
    (receipt,) = await bench.carry_out(ROW)
    assert (receipt.state, len(google.rows())) == (ReceiptState.SENT, 1)


async def test_unclear_and_not_there_is_tried_again_after_another_look(bench: Bench, google: SheetsSimulator) -> None:
    google.fault("POST", "error_before", status=500)
    (receipt,) = await bench.carry_out(ROW)
    assert (receipt.state, receipt.retry) == (ReceiptState.FAILED, True)
    assert await bench.row(ROW) == ("sending", 1)
    (receipt,) = await bench.carry_out(ROW)
    assert (receipt.state, len(google.rows()), await bench.row(ROW)) == (ReceiptState.SENT, 1, ("sent", 2))


async def test_what_can_not_be_read_back_stays_in_doubt(bench: Bench, google: SheetsSimulator) -> None:
    google.fault("GET", "429", times=1)
    await bench.claimed(ROW)
    (receipt,) = await bench.carry_out(ROW)
    assert (receipt.state, receipt.code, receipt.retry) == (ReceiptState.FAILED, "cannot-read-back", True)
    assert await bench.row(ROW) == ("sending", 1)


async def test_turned_away_it_is_given_back_and_can_be_tried_again(bench: Bench, google: SheetsSimulator) -> None:
    google.fault("POST", "429")
    (receipt,) = await bench.carry_out(ROW)
    assert (receipt.state, receipt.retry, await bench.row(ROW)) == (ReceiptState.FAILED, True, ("prepared", 1))
    assert [one.state for one in await bench.carry_out(ROW)] == [ReceiptState.SENT]


async def test_an_address_that_is_none_fails_for_good(bench: Bench, server: MailServer) -> None:
    broken = LetterHand(
        SmtpMailer(server.host, server.smtp_port, MAIL.sender, server.password),
        MAIL.model_copy(update={"cc": ("nobody at all",)}),
    )
    (receipt,) = await bench.carry_out(LETTER, hands={LETTER.key: broken})
    assert (receipt.state, receipt.code, receipt.retry) == (ReceiptState.FAILED, "bad-address", False)
    assert await bench.row(LETTER) == ("prepared", 1)


@dataclass
class Scripted:
    """A hand that counts how many are at work at once, and ends as told."""

    error: Exception | None = None
    at_work: list[int] = field(default_factory=list[int])
    now: set[int] = field(default_factory=set[int])
    body_sha256: str = "0" * 64
    recipients: tuple[str, ...] = ()
    resend: bool = True

    async def do(self) -> Sent:
        self.now.add(id(asyncio.current_task()))
        self.at_work.append(len(self.now))
        await asyncio.sleep(0.01)
        self.now.discard(id(asyncio.current_task()))
        if self.error:
            raise self.error
        return Sent("done")

    async def look(self) -> Seen:
        return "missing"


async def test_what_was_done_is_kept_when_a_neighbour_breaks(bench: Bench, google: SheetsSimulator) -> None:
    with pytest.raises(KeyError):
        await bench.carry_out(ROW, TAG, hands={TAG.key: Scripted(KeyError("a fault of ours"))})
    assert (await bench.row(ROW), await bench.row(TAG)) == (("sent", 1), ("sending", 1))
    assert len(google.rows()) == 1


def tags(count: int) -> list[TagChat]:
    return [TagChat(key=f"{CASE}/tag-chat/L-{n}", clause="RL-7", lead_id=f"L-{n}") for n in range(count)]


async def test_no_more_than_twenty_are_in_doubt_at_a_time(bench: Bench) -> None:
    hand, many = Scripted(), tags(AT_ONCE * 2 + 5)
    receipts = await bench.carry_out(*many, hands={one.key: hand for one in many})
    assert [one.key for one in receipts] == [one.key for one in many]
    assert max(hand.at_work) == AT_ONCE


async def test_what_comes_after_another_waits_for_it_and_is_left_if_it_fails(bench: Bench) -> None:
    first, second = tags(2)
    second = second.model_copy(update={"after": first.key})
    broken = Scripted(Permanent("livechat", "no", "no"))
    receipts = await bench.carry_out(second, first, hands={first.key: broken, second.key: Scripted()})
    assert [(one.state, one.code) for one in receipts] == [
        (ReceiptState.SKIPPED, "waits-for-another"),
        (ReceiptState.FAILED, "no"),
    ]
    working = {first.key: Scripted(), second.key: Scripted()}
    assert [one.state for one in await bench.carry_out(second, first, hands=working)] == [ReceiptState.SENT] * 2


async def test_a_letter_nobody_can_make_fails_alone(bench: Bench, google: SheetsSimulator) -> None:
    async def make(effect: Effect) -> Hand:
        if effect is LETTER:
            raise Permanent("letters", "nobody", "there is nobody to send it to")
        return bench.hands[effect.key]

    claim, settle = partial(bench.ledger.claim, CASE), partial(bench.ledger.settle, CASE)
    receipts = await carry_out([LETTER, ROW], make, claim, settle)
    assert [(one.state, one.code) for one in receipts] == [(ReceiptState.FAILED, "nobody"), (ReceiptState.SENT, "")]
    assert len(google.rows()) == 1


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 12)), max_size=10, unique_by=lambda one: one[0]))
def test_waves_hold_each_effect_once_and_whatever_it_needs_before(pairs: Sequence[tuple[int, int]]) -> None:
    effects = [TagChat(key=str(key), clause="RL-7", lead_id="L", after=str(after)) for key, after in pairs]
    rounds = waves(effects, lambda effect: frozenset({effect.after}))
    assert sorted(one.key for each in rounds for one in each) == sorted(one.key for one in effects)
    place = {one.key: number for number, each in enumerate(rounds) for one in each}
    for effect in effects:
        if effect.after in place and int(effect.after) < int(effect.key) and _ordered(effects):
            assert place[effect.after] < place[effect.key]


def _ordered(effects: Sequence[TagChat]) -> bool:
    """Whether no chain of needs leads back to where it began: each comes after a smaller one."""
    return all(int(one.after) < int(one.key) or one.after not in {each.key for each in effects} for one in effects)


def test_needs_that_go_in_a_circle_do_not_wait_for_ever() -> None:
    one, other = tags(2)
    circle = [one.model_copy(update={"after": other.key}), other.model_copy(update={"after": one.key})]
    assert waves(circle, lambda effect: frozenset({effect.after})) == [circle]
