"""A process is SIGKILLed at every step of the ledger; another takes over, and the vendors' ledgers tell the rest.

All crashes of this file run beside each other, since most of each is waiting for Temporal to miss a heartbeat.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
import pytest_asyncio

from activities.carry import PATIENCE as CARRY_PATIENCE
from runtime.postgres_server import PostgresServer
from runtime.temporal_server import TemporalServer
from tests.agency import Agency, letter, open_agency
from tests.conftest import fresh_database
from tests.crash.dying_worker import Side
from tests.crash.people import MAILS, PATIENCE, People, Process, nothing_twice_nothing_missing, process
from worker import money_worker, sops_worker

AT_ONCE = 14
POINTS = [f"{moment}-{when}" for moment in ("claim", "call", "record") for when in ("before", "after")]
UNCLEAR = ("claim-after", "call-before", "call-after", "record-before")
"""Between the two commits of the ledger: whether a mail went out can't be told."""


@dataclass(frozen=True)
class Crash:
    """Which process dies, where, and of which effect or step; whether the case ends in a credit note."""

    side: Side
    point: str
    name: str = ""
    credited: bool = False

    def __str__(self) -> str:
        return "-".join(part for part in (self.side, self.name, self.point) if part)

    @property
    def leads(self) -> list[str]:
        return ["L-1001"] if self.credited else ["L-1005"]

    @property
    def asks(self) -> bool:
        return self.name in MAILS and self.point in UNCLEAR


BOTH = ("before", "after")
CREDIT = ("confirm-to-accounts", "draft-credit-note", "authorise-credit-note")
SOPS = [
    *(Crash("sops", point, "acknowledge") for point in POINTS),
    *(Crash("sops", point, "nudge-investigate") for point in UNCLEAR),
    *(Crash("sops", point, "append-row") for point in POINTS),
    *(Crash("sops", point, "tag-chat") for point in UNCLEAR),
    *(Crash("sops", f"act-{when}", "confirm") for when in BOTH),
    *(Crash("sops", f"close-{when}") for when in BOTH),
]
MONEY = [
    *(Crash("money", point, "list-do-not-invoice") for point in ("claim-after", "record-before", "record-after")),
    *(Crash("money", point, "answer-client") for point in POINTS),
    *(Crash("money", point, name, credited=True) for name in CREDIT for point in POINTS),
]
INBOX = [Crash("inbox", f"{point}-{when}") for point in ("accept", "mark", "handed") for when in BOTH]

Outcome = Callable[[Crash], "asyncio.Task[People]"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def outcome(
    request: pytest.FixtureRequest,
    postgres: PostgresServer,
    temporal: TemporalServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[Outcome]:
    """Starts all the crashes that were asked for, some at once, and gives what became of each."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(crash: Crash) -> People:
        async with room:
            return await survive(crash, postgres, temporal, tmp_path_factory.mktemp(str(crash)))

    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    wanted = [cast("Crash", item.callspec.params["crash"]) for item in items if item.module is request.module]
    tasks = {crash: asyncio.create_task(one(crash)) for crash in wanted}
    yield tasks.__getitem__
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)


async def survive(crash: Crash, postgres: PostgresServer, temporal: TemporalServer, folder: Path) -> People:
    """A case during which a process dies, carried to its end by those who live."""
    CARRY_PATIENCE.set(PATIENCE)
    async with (
        fresh_database(postgres) as database,
        open_agency(folder, database, temporal, workers=False) as agency,
        AsyncExitStack() as living,
        process(agency, temporal.address, crash.side, point=crash.point, name=crash.name) as dying,
    ):
        if crash.side != "sops":
            await living.enter_async_context(sops_worker(agency.settings, agency.client, queue=agency.queue))
        if crash.side != "money":
            await living.enter_async_context(money_worker(agency.settings, agency.client, queue=agency.queue))
        await agency.deliver(letter(crash.leads[0]))
        people = People(agency, await taken_in(agency, crash, dying), crash.leads, crash.credited)
        successor = asyncio.create_task(take_over(agency, crash, dying, living))
        outcome = await people.finish()
        await successor
        assert outcome.valid == 1
        await nothing_twice_nothing_missing(agency, [people])
        return people


async def taken_in(agency: Agency, crash: Crash, dying: Process) -> str:
    """The case that the mail became; where the inbox's process dies over it, another takes it in."""
    if crash.side == "inbox":
        await dying.died()
        await agency.database.execute("UPDATE inbox SET next_at = now()")  # the dead one's lease is over
    (case_id,) = await agency.take_in()
    return case_id


async def take_over(agency: Agency, crash: Crash, dying: Process, living: AsyncExitStack) -> None:
    if crash.side == "inbox":
        return
    await dying.died()
    worker = sops_worker if crash.side == "sops" else money_worker
    await living.enter_async_context(worker(agency.settings, agency.client, queue=agency.queue))


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("crash", SOPS, ids=str)
async def test_the_worker_dies_and_nothing_is_done_twice_or_lost(crash: Crash, outcome: Outcome) -> None:
    people = await outcome(crash)
    assert (crash.name in people.asked) == crash.asks


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("crash", MONEY, ids=str)
async def test_the_money_worker_dies_and_nothing_is_granted_twice_or_lost(crash: Crash, outcome: Outcome) -> None:
    people = await outcome(crash)
    assert people.asked == ({crash.name} if crash.asks else set())


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("crash", INBOX, ids=str)
async def test_the_inbox_dies_and_a_mail_becomes_one_case(crash: Crash, outcome: Outcome) -> None:
    assert not (await outcome(crash)).asked
