"""What waits for the morning: told once a person and day, from what is still open, whatever breaks on the way."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from temporalio.testing import ActivityEnvironment

from activities.digest import DigestActivities
from activities.hands import LaterHand, World, hand_for
from activities.ports import Claim, Intent
from adapters.letters.letters import PostgresLetters
from adapters.postgres.cases import write_view
from adapters.postgres.crypto import Vault
from adapters.postgres.digests import PostgresDigests, PostgresLater
from adapters.postgres.directory import Addressee, PostgresDirectory
from adapters.postgres.ledger import PostgresLedger
from adapters.postgres.pool import Pool, transaction
from domain.case import OpenStep
from domain.digest import DIGESTS, Digested, DigestRequest
from domain.effects import Nudge
from domain.errors import Retryable
from domain.mail import OutgoingMail
from domain.people import Role
from domain.rules.clock import Target
from domain.rules.running_clock import Clock
from runtime.settings import Settings
from tests.adapters.postgres.conftest import CASE, AddCase, step, view
from tests.conftest import Database
from tests.domain.rules.calendars import at

EVENING, MORNING = at("2026-03-09 18:00"), at("2026-03-10 09:00")


@dataclass
class Post:
    """The mailer: what went out, or that it is away."""

    sent: list[OutgoingMail] = field(default_factory=list[OutgoingMail])
    away: bool = False

    async def send(self, mail: OutgoingMail) -> None:
        if self.away:
            raise Retryable("mail", "refused", "the mail server is away")
        self.sent.append(mail)


@dataclass
class Office:
    database: Database
    pool: Pool
    later: PostgresLater
    activities: DigestActivities
    post: Post
    versions: int = 0

    async def at(self, moment: datetime) -> None:
        await self.database.shift(moment - datetime.now(UTC))

    async def shown(self, *steps: OpenStep, clocks: tuple[Clock, ...] = ()) -> None:
        """The case as it is: these steps, and what is promised beside them."""
        self.versions += 1
        shown = view(*steps, version=self.versions)
        async with transaction(self.pool) as conn:
            await write_view(conn, shown.model_copy(update={"kind": "ReturnLead", "clocks": clocks}))

    async def opened(self, *steps: str, claimed_by: str = "") -> None:
        """Those steps of the case are open, and no others."""
        self.versions += 1
        shown = view(*(step(one, claimed_by=claimed_by) for one in steps), version=self.versions)
        async with transaction(self.pool) as conn:
            await write_view(conn, shown.model_copy(update={"kind": "ReturnLead"}))

    async def waits(self, step_id: str, ordinal: int = 1, why: str = "50 % of the time is used.") -> Nudge:
        """As the hand does it."""
        key = f"{CASE}/warn-{step_id}/{ordinal}"
        nudge = Nudge(key=key, clause="CR-5.8", step_id=step_id, why=why, digest=True)
        await self.later.keep(CASE, nudge)
        return nudge

    async def digests(self) -> Digested:
        return await ActivityEnvironment().run(self.activities.send_digests, DigestRequest())


def asked(step_id: str, due: datetime, **more: object) -> OpenStep:
    made = step(step_id)
    return made.model_copy(update={"deadline": made.deadline.model_copy(update={"due": due}), **more})


def promised(due: datetime, breached_at: datetime | None = None) -> Clock:
    """A promise of the whole case, due at this moment."""
    target = Target(name="resolved", clause="RL-9", after=timedelta(hours=48))
    since = due - target.after
    return Clock(clock_id="resolved", target=target, since=since, promised=due, breached_at=breached_at)


@pytest.fixture
async def office(database: Database, vault: Vault, add_case: AddCase, tmp_path: Path) -> Office:
    """The return lead team has a shared address; P-1 is one of them. Mail may go out. It is evening."""
    await add_case()
    await database.execute("INSERT INTO departments VALUES ('team:return-leads', 'Return Leads', 'team@x.example')")
    await database.execute("INSERT INTO people VALUES ('P-1', 'Priya', 'priya@x.example', 'local', 'P-1')")
    await database.execute("UPDATE outbound SET mode = 'on'")
    pool, post = await database.pool("sops"), Post()
    directory = PostgresDirectory(pool, Addressee("Operations", "ops@x.example"))
    settings = Settings(state_dir=tmp_path)
    digests = PostgresDigests(pool, directory, settings)
    letters = PostgresLetters(pool, vault, settings, directory)
    activities = DigestActivities(digests, PostgresLedger(pool, vault), post, letters)
    made = Office(database, pool, PostgresLater(pool, directory, quiet=True), activities, post)
    await made.at(EVENING)
    return made


async def test_everything_of_a_night_is_one_mail_in_the_morning(office: Office) -> None:
    await office.opened("investigate", "confirm")
    await office.waits("investigate")
    await office.waits("confirm", why="Ask the client again.")
    assert await office.digests() == Digested()
    assert office.post.sent == []
    await office.at(MORNING)
    assert await office.digests() == Digested(sent=1)
    (mail,) = office.post.sent
    assert (mail.to, mail.subject) == (("team@x.example",), "Today: 2 open steps to look at")
    assert "50 % of the time is used." in mail.text
    assert "Ask the client again." in mail.text
    assert await office.digests() == Digested()
    assert len(office.post.sent) == 1


async def test_what_is_done_meanwhile_is_not_told(office: Office) -> None:
    await office.opened("investigate", "confirm")
    await office.waits("investigate")
    await office.waits("confirm")
    await office.opened("confirm")
    await office.at(MORNING)
    await office.digests()
    assert office.post.sent[0].subject == "Today: 1 open step to look at"


async def test_what_is_done_after_it_was_put_together_is_not_told_either(office: Office) -> None:
    await office.opened("investigate")
    await office.waits("investigate")
    await office.at(MORNING)
    office.post.away = True
    assert await office.digests() == Digested(left=1)
    await office.opened()
    office.post.away = False
    assert await office.digests() == Digested(sent=1)
    assert office.post.sent == []


async def test_a_mail_server_that_is_away_delays_a_digest_and_doubles_none(office: Office) -> None:
    await office.opened("investigate")
    await office.waits("investigate")
    await office.at(MORNING)
    office.post.away = True
    assert await office.digests() == Digested(left=1)
    office.post.away = False
    assert [await office.digests() for _ in "123"] == [Digested(sent=1), Digested(), Digested()]
    assert len(office.post.sent) == 1


async def test_held_mail_waits_for_the_switch(office: Office) -> None:
    await office.database.execute("UPDATE outbound SET mode = 'off'")
    await office.opened("investigate")
    await office.waits("investigate")
    await office.at(MORNING)
    assert await office.digests() == Digested(left=1)
    await office.database.execute("UPDATE outbound SET mode = 'on'")
    assert await office.digests() == Digested(sent=1)


async def test_what_comes_during_the_day_is_tomorrows(office: Office) -> None:
    await office.opened("investigate", "confirm")
    await office.waits("investigate")
    await office.at(MORNING)
    await office.digests()
    await office.waits("confirm")
    assert await office.digests() == Digested()
    await office.at(at("2026-03-11 09:05"))
    assert await office.digests() == Digested(sent=1)
    assert [mail.subject for mail in office.post.sent] == ["Today: 1 open step to look at"] * 2


async def test_whoever_has_the_step_by_then_is_told_in_their_own_morning(office: Office) -> None:
    await office.opened("investigate")
    await office.waits("investigate")
    await office.opened("investigate", claimed_by="P-1")
    await office.database.execute(
        """INSERT INTO calendars (calendar_id, version, zone, windows, region)
           SELECT 'person:P-1', 1, 'America/New_York', windows, 'none' FROM calendars WHERE calendar_id = 'agency'"""
    )
    await office.at(MORNING)
    assert await office.digests() == Digested()
    await office.at(at("2026-03-10 13:01"))  # nine o'clock in New York
    assert await office.digests() == Digested(sent=1)
    assert office.post.sent[0].to == ("priya@x.example",)


async def test_two_runs_at_once_send_one(office: Office) -> None:
    await office.opened("investigate")
    await office.waits("investigate")
    await office.at(MORNING)
    await asyncio.gather(*(office.digests() for _ in range(3)), return_exceptions=True)
    assert len(office.post.sent) == 1


async def test_a_crash_in_the_middle_of_sending_is_never_a_second_mail(office: Office) -> None:
    await office.opened("investigate")
    await office.waits("investigate")
    await office.at(MORNING)
    (effect,) = (await office.activities.digests.gather()).unsent
    ledger = office.activities.ledger
    claims: tuple[Claim, ...] = await ledger.claim(DIGESTS, [Intent(effect, "sha", ("team@x.example",))])
    assert claims[0].verdict == "go"
    assert await office.digests() == Digested(left=1)
    assert office.post.sent == []
    assert await office.database.value("SELECT state FROM effects WHERE key = $1", effect.key) == "unknown"


async def test_only_a_nudge_that_can_wait_waits(office: Office) -> None:
    await office.opened("investigate")
    nudge = await office.waits("investigate")
    world = cast("World", type("Some", (), {"later": office.later}))
    hand = await hand_for(world, CASE, nudge)
    assert isinstance(hand, LaterHand)
    assert hand.recipients == (), "nothing leaves yet, so that no switch holds it"
    assert [(await hand.do()).reference, await office.later.is_kept(nudge.key)] == ["waits", True]
    assert await office.database.value("SELECT count(*) FROM later_nudges") == 1


async def _asked(office: Office, *, chase: int = 0) -> Nudge:
    """A request that came in the evening, due too soon for the next digest: it waits by itself, and is kept."""
    nudge = Nudge(key=f"{CASE}/nudge-investigate/{chase}", clause="RL-4", step_id="investigate", chase=chase)
    assert await office.later.waiting(CASE, nudge) == nudge
    urgent = nudge.model_copy(update={"urgent": True})
    assert await office.later.waiting(CASE, urgent) is None, "an emergency never waits"
    await office.later.keep(CASE, nudge)
    return nudge


async def test_a_request_outside_working_hours_comes_by_itself_when_they_begin(office: Office) -> None:
    await office.shown(asked("investigate", SOON))
    nudge = await _asked(office)
    assert await office.digests() == Digested()
    await office.at(MORNING)
    assert await office.later.waiting(CASE, nudge) is None, "in working hours nothing waits"
    assert await office.digests() == Digested(sent=1)
    (mail,) = office.post.sent
    assert (mail.to, "Acme" in mail.text) == (("team@x.example",), True)
    assert await office.digests() == Digested()


async def test_a_request_of_a_step_that_is_done_by_morning_is_dropped(office: Office) -> None:
    await office.shown(asked("investigate", SOON))
    await _asked(office)
    await office.opened()
    await office.at(MORNING)
    assert await office.digests() == Digested()
    assert office.post.sent == []


async def test_on_one_machine_nothing_waits_for_the_hour(office: Office) -> None:
    await office.opened("investigate")
    later = PostgresLater(office.pool, PostgresDirectory(office.pool))
    assert await later.waiting(CASE, Nudge(key="k", clause="RL-4", step_id="investigate")) is None


NUDGE = Nudge(key=f"{CASE}/nudge-investigate/0", clause="RL-4", step_id="investigate")
NOON = at("2026-03-09 12:00")  # a Monday; the next digest goes out on Tuesday at nine
FAR, SOON, NEAR = at("2026-03-11 12:00"), at("2026-03-10 12:00"), at("2026-03-09 16:00")


async def test_what_is_asked_and_reminded_of_in_working_hours_is_told_in_the_morning_in_one_mail(
    office: Office,
) -> None:
    await office.at(NOON)
    await office.shown(asked("investigate", FAR), asked("confirm", FAR, chased=2, missed=at("2026-03-08 10:00")))
    reminder = Nudge(key=f"{CASE}/nudge-confirm/2", clause="RL-13", step_id="confirm", chase=2)
    for nudge in (NUDGE, reminder):
        kept = await office.later.waiting(CASE, nudge)
        assert kept is not None
        assert kept.digest
        await office.later.keep(CASE, kept)
    await office.at(MORNING)
    assert await office.digests() == Digested(sent=1)
    (mail,) = office.post.sent
    assert mail.subject == "Today: 2 open steps to look at"
    assert "New." in mail.text
    assert "Reminder 2." in mail.text
    assert "due Wed 11 Mar 2026, 12:00 London time" in mail.text
    assert "was due Sun 08 Mar 2026, 10:00 London time" in mail.text


@pytest.mark.parametrize(
    ("step", "clocks"),
    [
        (asked("investigate", NEAR), ()),
        (asked("investigate", FAR, role=Role.APPROVER), ()),
        (asked("investigate", FAR, urgent=True), ()),
        (asked("investigate", FAR), (promised(NEAR),)),
        (asked("investigate", FAR, chased=1), (promised(NEAR),)),
    ],
    ids=["due-soon", "approval", "emergency", "promised", "promised-and-late"],
)
async def test_what_can_not_wait_comes_at_once(office: Office, step: OpenStep, clocks: tuple[Clock, ...]) -> None:
    await office.database.execute("INSERT INTO departments VALUES ('role:approver', 'Approver', 'shobhit@x.example')")
    await office.at(NOON)
    await office.shown(step, clocks=clocks)
    assert await office.later.waiting(CASE, NUDGE) is None


@pytest.mark.parametrize(
    ("due", "asked_at", "told_at"),
    [
        (
            "2026-03-10 10:00",
            "2026-03-09 10:00",
            "2026-03-09 14:30",
        ),  # a day's step: an hour of tomorrow, three of today
        ("2026-03-09 15:00", "2026-03-09 10:00", "2026-03-09 11:00"),
        ("2026-03-15 12:00", "2026-03-13 10:00", "2026-03-13 13:30"),  # a Sunday: told on Friday
        ("2026-03-16 11:30", "2026-03-13 10:00", "2026-03-13 16:00"),  # a Monday: its digest would leave too little
    ],
    ids=["a-day", "today", "sunday", "monday"],
)
async def test_a_promise_comes_by_itself_once_four_working_hours_are_left(
    office: Office, due: str, asked_at: str, told_at: str
) -> None:
    await office.at(at(asked_at))
    await office.shown(asked("investigate", at(due)))
    nudge = NUDGE.model_copy(update={"digest": due.endswith("10:00")})  # a warning that the case thinks can wait, too
    assert await office.later.waiting(CASE, nudge) == NUDGE
    await office.later.keep(CASE, NUDGE)
    for moment, sent in ((timedelta(minutes=-15), 0), (timedelta(), 1), (timedelta(minutes=15), 0)):
        await office.at(at(told_at) + moment)
        assert await office.digests() == Digested(sent=sent)
    assert len(office.post.sent) == 1


async def test_a_promise_that_is_kept_or_broken_already_keeps_nobody_from_waiting(office: Office) -> None:
    await office.at(NOON)
    kept, broken = promised(SOON).model_copy(update={"met_at": NOON}), promised(SOON, breached_at=NOON)
    await office.shown(asked("investigate", FAR), clocks=(kept, broken))
    assert (await office.later.waiting(CASE, NUDGE) or NUDGE).digest


async def test_several_nudges_of_one_step_are_one_line_with_what_was_said_last(office: Office) -> None:
    await office.opened("investigate")
    await office.waits("investigate", 1, why="50 % of the time is used.")
    await office.waits("investigate", 2, why="75 % of the time is used.")
    await office.at(MORNING)
    await office.digests()
    (mail,) = office.post.sent
    assert ("75 %" in mail.text, "50 %" in mail.text, "1 open step" in mail.subject) == (True, False, True)


async def test_a_digest_is_in_the_readers_own_zone_and_says_which(office: Office) -> None:
    await office.database.execute(
        """INSERT INTO calendars (calendar_id, version, zone, windows, region)
           SELECT 'person:P-1', 1, 'America/New_York', windows, 'none' FROM calendars WHERE calendar_id = 'agency'"""
    )
    await office.shown(asked("investigate", FAR, claimed_by="P-1"))
    await office.waits("investigate")
    await office.at(at("2026-03-10 13:01"))
    await office.digests()
    assert "due Wed 11 Mar 2026, 08:00 New York time" in office.post.sent[0].text


async def test_whoever_is_in_nobodys_hands_goes_to_the_next_in_line_and_is_said_to(office: Office) -> None:
    await office.database.execute("INSERT INTO departments VALUES ('team:operations', 'Ops', 'ops@x.example')")
    await office.shown(asked("investigate", FAR, role="department:nowhere"))
    await office.waits("investigate")
    await office.at(MORNING)
    assert await office.digests() == Digested(sent=1)
    (mail,) = office.post.sent
    assert mail.to == ("ops@x.example",)
    assert "Why you: nobody is in department:nowhere today" in mail.text


async def test_a_nudge_for_nobody_at_all_stops_nobody_elses_digest(office: Office) -> None:
    nowhere = PostgresDigests(office.pool, PostgresDirectory(office.pool), Settings())
    office.activities.digests = nowhere
    await office.shown(asked("confirm", FAR, role="team:nobody"), asked("investigate", FAR))
    await office.waits("confirm")
    await office.waits("investigate")
    await office.at(MORNING)
    assert await office.digests() == Digested(sent=1, nobody=1)
    assert [mail.to for mail in office.post.sent] == [("team@x.example",)]


async def test_a_calendar_that_never_opens_keeps_nothing_for_ever(office: Office) -> None:
    await office.database.execute(
        """INSERT INTO calendars (calendar_id, version, zone, windows, region)
           VALUES ('team:return-leads', 1, 'Europe/London', '[]', 'none')"""
    )
    await office.opened("investigate")
    await office.waits("investigate")
    await office.at(MORNING)
    assert await office.digests() == Digested(sent=1)
