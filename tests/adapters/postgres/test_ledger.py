import asyncio
from collections.abc import Awaitable, Sequence
from datetime import timedelta

import asyncpg
import pytest

from activities.ports import Claim, Intent, Settled
from adapters.postgres import policy
from adapters.postgres.audit import append_events
from adapters.postgres.crypto import Vault
from adapters.postgres.ledger import PostgresLedger, claim_rows, settle_rows
from adapters.postgres.pool import DatabaseError, Pool, transaction
from adapters.postgres.reader import CaseReader, EffectRow
from domain.effects import AppendRow, Audience, DraftCreditNote, Effect, Nudge, ReadBilling, SendLetter
from domain.errors import Refused
from tests.adapters.postgres.conftest import CASE, AddCase
from tests.conftest import Database

LOOP_IN = SendLetter(key=f"{CASE}/loop-in/1", clause="RL-3", template="loop-in", audience=Audience.CLIENT_THREAD)
ROW = AppendRow(key=f"{CASE}/append-row/L-1001", clause="RL-7", lead_id="L-1001")
NOTE = DraftCreditNote(key=f"{CASE}/draft/i-1", clause="RL-12", invoice_id="i-1")


@pytest.fixture
async def pool(database: Database, add_case: AddCase) -> Pool:
    await add_case()
    await database.execute("UPDATE outbound SET mode = 'on'")
    return await database.pool("sops", maximum=16)


@pytest.fixture
def ledger(pool: Pool, vault: Vault) -> PostgresLedger:
    return PostgresLedger(pool, vault)


@pytest.fixture
def reader(pool: Pool, vault: Vault) -> CaseReader:
    return CaseReader(pool, vault)


def intent(effect: Effect, *recipients: str) -> Intent:
    return Intent(effect, "b" * 64, recipients or ("client@acme.example",))


async def claim(ledger: PostgresLedger, *effects: Effect) -> list[str]:
    return [one.verdict for one in await ledger.claim(CASE, [intent(effect) for effect in effects])]


async def stored(reader: CaseReader, effect: Effect) -> EffectRow:
    return next(row for row in await reader.effects(CASE) if row.key == effect.key)


async def told(reader: CaseReader) -> list[tuple[str, object]]:
    return [(line.kind, line.data.get("code")) for line in await reader.timeline(CASE)]


async def test_a_claimed_effect_is_sending_before_the_answer(ledger: PostgresLedger, reader: CaseReader) -> None:
    (answer,) = await ledger.claim(CASE, [intent(LOOP_IN)])
    assert answer == Claim(LOOP_IN.key, "go", attempt=1)
    row = await stored(reader, LOOP_IN)
    assert (row.state, row.attempts, row.body["template"]) == ("sending", 1, "loop-in")


async def test_of_many_claims_at_once_one_may_go(ledger: PostgresLedger) -> None:
    effects = [LOOP_IN, ROW]
    answers = await asyncio.gather(*(claim(ledger, *(effects if n % 2 else effects[::-1])) for n in range(12)))
    verdicts = [verdict for answer in answers for verdict in answer]
    assert sorted(verdicts) == ["go"] * 2 + ["look"] * 22


async def test_a_found_sending_is_looked_at_and_says_how_long_it_is_out(
    ledger: PostgresLedger, database: Database
) -> None:
    await claim(ledger, LOOP_IN)
    await database.shift(timedelta(seconds=90))
    (answer,) = await ledger.claim(CASE, [intent(LOOP_IN)])
    assert (answer.verdict, answer.attempt) == ("look", 1)
    assert 90 <= answer.seconds_in_flight < 120


async def test_a_sent_effect_tells_what_came_of_it_and_never_changes(
    ledger: PostgresLedger, reader: CaseReader, database: Database
) -> None:
    await claim(ledger, ROW)
    await ledger.settle(CASE, [Settled(ROW, "sent", reference="RL!A7", data={"cells": 9})])
    await ledger.settle(CASE, [Settled(ROW, "unknown", code="late")])
    await ledger.settle(CASE, [Settled(ROW, "prepared", code="later")])
    await ledger.abandon(CASE, [ROW.key], "waived")
    (answer,) = await ledger.claim(CASE, [intent(ROW)])
    assert (answer.verdict, answer.reference, answer.data) == ("sent", "RL!A7", {"cells": 9})
    assert await told(reader) == [("effect.sent", "")]
    for role in ("sops", "money", "owner"):
        with pytest.raises(asyncpg.CheckViolationError):
            await (await database.pool(role)).execute("UPDATE effects SET state = 'prepared' WHERE key = $1", ROW.key)


async def test_what_was_certainly_not_done_goes_back_and_may_go_again(
    ledger: PostgresLedger, reader: CaseReader
) -> None:
    await claim(ledger, ROW)
    await ledger.settle(CASE, [Settled(ROW, "prepared", code="rate-limited")])
    (answer,) = await ledger.claim(CASE, [intent(ROW)])
    assert answer == Claim(ROW.key, "go", code="rate-limited", attempt=2)
    await ledger.settle(CASE, [Settled(ROW, "prepared", code="rate-limited")])
    assert await told(reader) == [("effect.failed", "rate-limited")] * 2


async def test_settling_again_tells_it_once(ledger: PostgresLedger, reader: CaseReader) -> None:
    await claim(ledger, ROW)
    for _ in range(3):
        await ledger.settle(CASE, [Settled(ROW, "unknown", code="timeout")])
    assert await told(reader) == [("effect.unknown", "timeout")]


async def test_an_older_attempt_can_t_give_back_what_a_newer_one_is_doing(
    ledger: PostgresLedger, reader: CaseReader
) -> None:
    await claim(ledger, ROW)
    await ledger.settle(CASE, [Settled(ROW, "prepared", code="first", attempt=1)])
    await claim(ledger, ROW)
    await ledger.settle(CASE, [Settled(ROW, "prepared", code="zombie", attempt=1)])
    assert (await stored(reader, ROW)).state == "sending"
    await ledger.settle(CASE, [Settled(ROW, "sent", reference="r", attempt=1)])
    assert (await stored(reader, ROW)).state == "sent"


async def test_unknown_stays_until_a_person_reopens_it(ledger: PostgresLedger) -> None:
    await claim(ledger, LOOP_IN)
    await ledger.settle(CASE, [Settled(LOOP_IN, "unknown", code="timeout")])
    await ledger.settle(CASE, [Settled(LOOP_IN, "prepared", code="zombie")])
    assert await claim(ledger, LOOP_IN) == ["unknown"]
    await ledger.reopen(CASE, [LOOP_IN.key])
    assert await claim(ledger, LOOP_IN) == ["go"]


async def test_a_waived_effect_is_never_claimed_but_may_turn_out_to_have_been_sent(ledger: PostgresLedger) -> None:
    await claim(ledger, ROW)
    await ledger.abandon(CASE, [ROW.key, "no-such-row"], "waived")
    await ledger.reopen(CASE, [ROW.key])
    await ledger.settle(CASE, [Settled(ROW, "prepared", code="zombie")])
    (answer,) = await ledger.claim(CASE, [intent(ROW)])
    assert (answer.verdict, answer.code) == ("abandoned", "waived")
    await ledger.settle(CASE, [Settled(ROW, "sent", reference="RL!A7")])
    assert await claim(ledger, ROW) == ["sent"]


async def test_the_loop_in_s_time_and_message_id_are_kept(ledger: PostgresLedger, database: Database) -> None:
    await claim(ledger, LOOP_IN)
    sent = Settled(LOOP_IN, "sent", reference="<m@x>", message_id="<m@x>")
    await ledger.settle(CASE, [sent])
    first = await database.value("SELECT looped_in_at FROM cases")
    assert first is not None
    await database.shift(timedelta(hours=1))
    await ledger.settle(CASE, [sent])
    assert await database.value("SELECT looped_in_at FROM cases") == first
    assert await database.value("SELECT case_id FROM mail_threads WHERE message_id = '<m@x>'") == CASE


async def test_a_letter_that_is_no_loop_in_leaves_its_time_open(ledger: PostgresLedger, database: Database) -> None:
    letter = LOOP_IN.model_copy(update={"key": f"{CASE}/ack/1", "template": "acknowledge"})
    await claim(ledger, letter)
    await ledger.settle(CASE, [Settled(letter, "sent", message_id="<n@x>")])
    assert await database.value("SELECT looped_in_at FROM cases") is None


@pytest.mark.parametrize(
    ("mode", "allow", "recipients", "answer"),
    [
        ("off", [], ["a@x.example"], ("held", "outbound-off")),
        ("off", [], [], ("go", "")),
        ("allowlist", ["a@x.example"], ["A@x.example"], ("go", "")),
        ("allowlist", ["a@x.example"], ["a@x.example", "b@x.example"], ("held", "not-on-allowlist")),
        ("allowlist", ["vendor:xero"], ["vendor:xero"], ("go", "")),
        ("allowlist", ["a@x.example"], ["vendor:xero"], ("held", "not-on-allowlist")),
        ("on", [], ["a@x.example"], ("go", "")),
    ],
)
@pytest.mark.usefixtures("pool")
async def test_outbound_decides_what_may_leave(
    database: Database, mode: str, allow: list[str], recipients: list[str], answer: tuple[str, str]
) -> None:
    await database.execute("UPDATE outbound SET mode = $1, allow = $2", mode, allow)
    nudge = Nudge(key=f"{CASE}/nudge/1", clause="RL-4", step_id="investigate")
    async with transaction(await database.pool("sops")) as conn:
        (claimed,) = await claim_rows(conn, CASE, [Intent(nudge, "b", tuple(recipients))], gated=False)
    assert (claimed.verdict, claimed.code) == answer


@pytest.mark.parametrize(("held", "verdict"), [("acme", "held"), ("*", "held"), ("globex", "go")])
async def test_a_hold_keeps_a_client_s_effects_back(
    ledger: PostgresLedger, database: Database, vault: Vault, held: str, verdict: str
) -> None:
    async with transaction(await database.pool("door")) as conn:
        await policy.hold(conn, vault, held, "p-1")
    assert await claim(ledger, LOOP_IN) == [verdict]


async def test_a_held_effect_is_told_once_and_goes_when_outbound_is_on(
    ledger: PostgresLedger, database: Database, reader: CaseReader
) -> None:
    await database.execute("UPDATE outbound SET mode = 'off'")
    assert [await claim(ledger, LOOP_IN) for _ in range(3)] == [["held"]] * 3
    row = await stored(reader, LOOP_IN)
    assert (row.state, row.code, row.attempts) == ("prepared", "outbound-off", 0)
    await database.execute("UPDATE outbound SET mode = 'on'")
    assert await claim(ledger, LOOP_IN) == ["go"]
    assert await told(reader) == [("effect.held", "outbound-off")]


async def refused(work: Awaitable[object]) -> str:
    with pytest.raises(Refused) as caught:
        await work
    return caught.value.code


async def test_gated_effects_are_prepared_here_and_carried_out_elsewhere(
    ledger: PostgresLedger, reader: CaseReader, pool: Pool
) -> None:
    assert await refused(ledger.claim(CASE, [intent(NOTE)])) == "gated"
    await ledger.prepare(CASE, [NOTE, ROW])
    await ledger.prepare(CASE, [NOTE, ROW])
    assert await refused(ledger.settle(CASE, [Settled(NOTE, "sent")])) == "gated"
    await ledger.abandon(CASE, [NOTE.key], "waived")
    assert [(row.kind, row.gated, row.state) for row in await reader.effects(CASE)] == [
        ("append-row", False, "prepared"),
        ("draft-credit-note", True, "prepared"),
    ]
    async with pool.acquire() as conn:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="money worker"):
            await conn.execute("UPDATE effects SET state = 'sending' WHERE gated")


async def test_the_money_role_claims_and_settles_gated_rows_in_its_own_transaction(
    ledger: PostgresLedger, database: Database, vault: Vault, reader: CaseReader
) -> None:
    await ledger.prepare(CASE, [NOTE])
    money = await database.pool("money")
    async with transaction(money) as conn:
        (answer,) = await claim_rows(conn, CASE, [intent(NOTE, "vendor:xero")], gated=True)
        assert answer.verdict == "go"
    async with transaction(money) as conn:
        entries = await settle_rows(conn, CASE, [Settled(NOTE, "sent", reference="RL-1")], gated=True)
        await append_events(conn, vault, CASE, entries)
    assert (await stored(reader, NOTE)).state == "sent"
    async with transaction(money) as conn:
        assert await refused(claim_rows(conn, CASE, [intent(ROW)], gated=True)) == "not-gated"


async def test_a_key_belongs_to_one_case_and_one_kind(ledger: PostgresLedger, add_case: AddCase) -> None:
    other = await add_case("return-lead/fedcba9876543210")
    await ledger.prepare(CASE, [ROW])
    assert await refused(ledger.claim(other, [intent(ROW)])) == "another-effect"
    posing = ReadBilling(key=ROW.key, clause="RL-5", lead_ids=("L-1001",))
    assert await refused(ledger.claim(CASE, [intent(posing)])) == "another-effect"
    assert await refused(ledger.claim(CASE, [intent(ROW), intent(ROW)])) == "twice"
    assert await refused(ledger.settle(other, [Settled(ROW, "sent")])) == "no-such-effect"


async def test_read_gives_effects_in_the_order_asked_for(ledger: PostgresLedger) -> None:
    await ledger.prepare(CASE, [NOTE, ROW])
    await claim(ledger, ROW)
    found = await ledger.read(CASE, [ROW.key, "missing", NOTE.key])
    assert found == ((ROW, "sending"), (NOTE, "prepared"))
    assert await ledger.read("another case", [ROW.key]) == ()


async def test_nothing_is_claimed_when_one_of_the_stage_is_refused(ledger: PostgresLedger, reader: CaseReader) -> None:
    assert await refused(ledger.claim(CASE, [intent(ROW), intent(NOTE)])) == "gated"
    assert await reader.effects(CASE) == ()


async def test_the_database_says_no_without_telling_what_is_in_it(pool: Pool) -> None:
    async def insert(values: Sequence[str]) -> None:
        async with transaction(pool) as conn:
            await conn.execute("INSERT INTO mail_threads VALUES ($1, $2)", *values)

    await insert(["<secret@jane.example>", CASE])
    with pytest.raises(DatabaseError) as caught:
        await insert(["<secret@jane.example>", CASE])
    assert caught.value.sqlstate == "23505"
    assert "mail_threads_pkey" in str(caught.value)
    assert "jane" not in str(caught.value)
    assert caught.value.__cause__ is None
