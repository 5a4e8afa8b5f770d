"""Processes that may die, the people who carry a case through all the same, and what must hold afterwards."""

import multiprocessing
import signal
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import asyncpg
from pydantic import SecretStr
from temporalio.service import RPCError

from domain.errors import HoldfastError
from domain.ids import message_id
from domain.messages import ActKind
from domain.return_lead import ReturnOutcome
from runtime.settings import Settings
from tests.agency import Agency, eventually
from tests.crash.dying_worker import Orders, Side, main

PATIENCE = 0.5
NOTE = {"note_sha256": ""}
MAILS = ("acknowledge", "final-action", "confirm-to-accounts", "answer-client")


# A process that has everything imported forks those that die: importing it all costs seconds, for each of many.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["pytest", "tests.crash.dying_worker"])


@dataclass
class Process:
    """A process of the agency's, of its own."""

    side: str
    running: BaseProcess
    log: Path

    async def started(self) -> None:
        """Until then, one that finds a server away ends at once, as those of production do."""

        async def there() -> bool:
            return self.log.with_suffix(".ready").exists()

        await eventually(there, f"{self.side} did not start", 60)

    async def died(self, seconds: float = 90) -> None:
        """Waits until it has killed itself."""
        await self._ended(seconds)
        code = self.running.exitcode
        assert code == -signal.SIGKILL, f"{self.side} ended with {code}: {self.log.read_text()[-2000:]}"

    async def kill(self) -> None:
        self.running.kill()
        await self._ended(30)

    async def end(self) -> None:
        """Asks it to end; what does not is killed."""
        self.running.terminate()
        with suppress(AssertionError):
            await self._ended(10)
        await self.kill()

    async def _ended(self, seconds: float) -> None:
        async def over() -> bool:
            return not self.running.is_alive()

        await eventually(over, f"{self.side} does not end", seconds)


@asynccontextmanager
async def process(
    agency: Agency, address: str, side: Side, *, point: str = "", name: str = ""
) -> AsyncGenerator[Process]:
    """A process of the agency's while the block runs."""
    started = start(agency, address, side, point=point, name=name)
    try:
        yield started
    finally:
        await started.end()


def start(agency: Agency, address: str, side: Side, *, point: str = "", name: str = "") -> Process:
    """Starts one side of the agency as a process of its own; with a `point`, one that dies there.

    `address` is Temporal's.
    """
    orders = Orders(
        settings=plain(agency.settings),
        address=address,
        queue=agency.queue,
        side=side,
        patience=PATIENCE,
        point=point,
        name=name,
    )
    log = agency.settings.state_dir / f"{side}.log"
    log.with_suffix(".ready").unlink(missing_ok=True)
    running = FORKS.Process(target=main, args=(orders, log), daemon=True)
    running.start()
    return Process(side, running, log)


def plain(settings: Settings) -> dict[str, Any]:
    """The settings as JSON, secrets and all."""
    fields = {name: getattr(settings, name) for name in Settings.model_fields}
    secrets = {name: value.get_secret_value() for name, value in fields.items() if isinstance(value, SecretStr)}
    return settings.model_dump(mode="json") | secrets


@dataclass
class People:
    """Everybody who has a step in a case: each does it when asked, and looks first where something is broken."""

    agency: Agency
    case_id: str
    leads: Sequence[str]
    credited: bool = False  # whether the leads stand on an issued invoice
    asked: set[str] = field(default_factory=set[str])  # the broken effects they were asked about, by name
    acted: set[tuple[str, object]] = field(default_factory=set[tuple[str, object]])

    async def finish(self, seconds: float = 120) -> ReturnOutcome:
        """Does every step until the case is closed; while a server is away, waits."""
        try:
            await eventually(self._finished, f"{self.case_id} was never closed", seconds)
        except AssertionError as stuck:
            raise AssertionError(f"{stuck}: {await self._standing()}") from None
        return await self.agency.result(self.case_id)

    async def _finished(self) -> bool:
        with suppress(*AWAY):
            await self._work()
            query = "SELECT status <> 'open' FROM cases WHERE case_id = $1"
            return bool(await self.agency.database.value(query, self.case_id))
        return False

    async def _standing(self) -> str:
        steps = [f"{row['step_id']} is open" for row in await self.agency.database.fetch(_OPEN, self.case_id)]
        described = (await self.agency.handle(self.case_id).describe()).raw_description
        activities = [f"{one.activity_type.name} attempt {one.attempt}" for one in described.pending_activities]
        return str([*steps, *activities, await self.agency.effects(self.case_id)])

    async def _work(self) -> None:
        """Does each step that is open and was not done before."""
        for row in await self.agency.database.fetch(_OPEN, self.case_id):
            step = (str(row["step_id"]), row["asked_at"])
            if step not in self.acted:
                await self._do(step[0], str(row["name"]), str(row["reference"]))
                self.acted.add(step)

    async def _do(self, step_id: str, name: str, reference: str) -> None:
        agency, case_id = self.agency, self.case_id
        match name:
            case "investigate":
                await agency.find(case_id, self.leads)
            case "confirm":
                await agency.confirm(case_id, step_id=step_id)
            case "authorise":
                await agency.authorise(case_id, step_id=step_id)
            case "could-not":
                self.asked.add(reference.removeprefix(f"{case_id}/").partition("/")[0])
                await agency.act(case_id, step_id, self._look(reference), NOTE, "P-1")
            case _:
                raise AssertionError(f"nobody expected a step {name}")

    def _look(self, reference: str) -> ActKind:
        """Whether the mail arrived is seen by whoever should have it."""
        return ActKind.DONE if arrived(self.agency, reference) else ActKind.RESEND

    @property
    def expected(self) -> set[str]:
        """What such a case has to have done."""
        marks = {f"{name}/{lead}" for name in ("tag-chat", "append-row") for lead in self.leads}
        mails = {"acknowledge/1", "answer-client/1", "final-action/1", "nudge-investigate/0", "nudge-confirm/0"}
        return mails | marks | ({"confirm-to-accounts/1"} if self.credited else {"list-do-not-invoice/1"})


AWAY = (OSError, HoldfastError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, RPCError)
_OPEN = """SELECT step_id, name, asked_at, coalesce(view ->> 'reference', '') AS reference FROM case_steps
    WHERE case_id = $1 AND state = 'open' ORDER BY asked_at"""


def arrived(agency: Agency, key: str) -> int:
    """How often the mail of an effect arrived."""
    ours = message_id(key, agency.settings.mail_domain)
    return sum(one.message_id == ours for one in agency.outside.mail.ledger())


async def nothing_twice_nothing_missing(agency: Agency, cases: Sequence[People]) -> None:
    """The vendors' own ledgers against what the agency's cases had to do, all of them closed."""
    for case in cases:
        await each_effect_once(agency, case)
    outside = agency.outside
    assert max(Counter(one.message_id for one in outside.mail.ledger()).values()) == 1
    rows = [f"{case.case_id}/append-row/{lead}" for case in cases for lead in case.leads]
    assert sorted(row[0] for row in outside.sheets.rows()) == sorted(rows)
    assert [entry["outcome"] for entry in outside.livechat.done()] == ["tagged"] * len(rows)
    notes = sum(case.credited for case in cases)
    assert Counter(entry["outcome"] for entry in outside.xero.done()) == Counter(created=notes, updated=notes)
    assert [note["Status"] for note in outside.xero.credit_notes] == ["AUTHORISED"] * notes
    await granted_once(agency, cases)


async def each_effect_once(agency: Agency, case: People) -> None:
    states = await agency.effects(case.case_id)
    assert set(states) >= case.expected
    for name, state in states.items():
        count = arrived(agency, f"{case.case_id}/{name}")
        if name.startswith("nudge-"):  # the step it is about is done: one that is in doubt is not sent again
            assert state in {"sent", "unknown"}, f"{name} is {state}"
            assert count <= 1, f"{name} arrived {count} times"
        else:
            assert state in {"sent", "abandoned"}, f"{name} is {state}"
            assert count == (name.partition("/")[0] in MAILS), f"{name} arrived {count} times"


async def granted_once(agency: Agency, cases: Sequence[People]) -> None:
    granted = await agency.database.fetch("SELECT lead_id FROM grants ORDER BY lead_id")
    listed = await agency.database.fetch("SELECT lead_id FROM do_not_invoice ORDER BY lead_id")
    assert [row["lead_id"] for row in granted] == sorted(lead for case in cases for lead in case.leads)
    assert [row["lead_id"] for row in listed] == sorted(
        lead for case in cases if not case.credited for lead in case.leads
    )
    report = await agency.audited()
    assert report.whole, report
