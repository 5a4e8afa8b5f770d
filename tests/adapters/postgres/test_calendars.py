import asyncio
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from adapters.postgres.audit import verify
from adapters.postgres.calendars import AGENCY, PostgresCalendars
from adapters.postgres.crypto import Vault
from adapters.postgres.pool import transaction
from domain.case import CaseView
from domain.errors import Refused
from domain.rules.calendar import Closure, Region
from domain.rules.clock import Cause, ClockKind, PauseRule, Target, TargetName
from domain.rules.hours import hours_in_words, parse_hours
from domain.rules.running_clock import start
from runtime.settings import Role
from tests.adapters.postgres.conftest import NOW, step, view
from tests.conftest import Database

CHRISTMAS_EVE = Closure(day=date(2026, 12, 24), name="Christmas Eve", since=time(13))


@pytest.fixture
async def calendars(database: Database, vault: Vault, clients: None) -> PostgresCalendars:
    """At the door, in March 2026."""
    real = datetime.now(ZoneInfo("UTC"))
    await database.shift(datetime(2026, 3, 10, 9, tzinfo=ZoneInfo("UTC")) - real)
    await database.execute("INSERT INTO departments VALUES ('team:content', 'Content', 'content@x.example')")
    await database.execute("INSERT INTO people VALUES ('zane', 'Zane', 'zane@x.example', 'local', 'zane')")
    return PostgresCalendars(await database.pool("door"), vault)


async def test_the_agency_has_a_calendar_from_the_start(calendars: PostgresCalendars) -> None:
    found = await calendars.snapshot()
    assert (found.calendar_id, found.version, found.closures_version, found.zone) == (AGENCY, 1, 0, "Europe/London")
    assert hours_in_words(found.windows) == "Mon-Fri 09:00-17:30"
    assert (found.holidays[0].day, found.holidays[0].name) == (date(2026, 4, 3), "Good Friday")
    assert found.known_until == date(2027, 4, 14)
    assert len(found.model_dump_json()) < 2_500, "a snapshot is carried by every case"


async def test_whoever_has_no_calendar_of_his_own_has_the_next(calendars: PostgresCalendars) -> None:
    assert (await calendars.snapshot("person:zane", "team:content")).calendar_id == AGENCY
    assert await calendars.set_calendar("team:content", windows=parse_hours("Mon-Thu 08:00-16:00"), by="otto")
    assert (await calendars.snapshot("person:zane", "team:content")).calendar_id == "team:content"
    assert await calendars.set_calendar("person:zane", zone="Asia/Kolkata", region=Region.NONE, by="otto")
    own = await calendars.snapshot("person:zane", "team:content")
    assert (own.calendar_id, own.zone, own.holidays) == ("person:zane", "Asia/Kolkata", ())
    assert hours_in_words(own.windows) == "Mon-Fri 09:00-17:30", "what was not said is the agency's"


async def test_a_change_is_a_new_version_and_the_same_again_is_none(calendars: PostgresCalendars) -> None:
    scotland = {"region": Region.SCOTLAND, "by": "otto"}
    assert await calendars.set_calendar(AGENCY, **scotland)  # pyright: ignore[reportArgumentType]
    assert not await calendars.set_calendar(AGENCY, **scotland)  # pyright: ignore[reportArgumentType]
    found = await calendars.snapshot()
    assert found.version == 2
    assert "Summer Bank Holiday" in {one.name for one in found.holidays}


async def test_a_company_closure_counts_for_every_team_and_for_no_client(calendars: PostgresCalendars) -> None:
    await calendars.set_calendar("team:content", windows=parse_hours("Mon-Thu 08:00-16:00"), by="otto")
    await calendars.set_calendar("client:acme", zone="America/New_York", region=Region.NONE, by="otto")
    own = Closure(day=date(2026, 6, 1), name="Content away")
    assert await calendars.close([(AGENCY, CHRISTMAS_EVE), ("team:content", own)], by="otto") == 2
    assert (await calendars.snapshot("team:content")).closures == (own, CHRISTMAS_EVE)
    assert (await calendars.snapshot()).closures == (CHRISTMAS_EVE,)
    assert (await calendars.snapshot("client:acme")).closures == ()


async def test_closing_twice_is_once_and_a_closure_can_be_withdrawn(calendars: PostgresCalendars) -> None:
    assert await calendars.close([(AGENCY, CHRISTMAS_EVE)], by="otto") == 1
    assert await calendars.close([(AGENCY, CHRISTMAS_EVE)], by="otto") == 0
    longer = CHRISTMAS_EVE.model_copy(update={"name": "Christmas Eve and a half"})
    assert await calendars.close([(AGENCY, longer)], by="otto") == 1
    closed = await calendars.snapshot()
    assert closed.closures == (longer,)
    assert await calendars.reopen(AGENCY, CHRISTMAS_EVE, by="otto")
    assert not await calendars.reopen(AGENCY, CHRISTMAS_EVE, by="otto")
    opened = await calendars.snapshot()
    assert opened.closures == ()
    assert opened.closures_version > closed.closures_version > 0


async def test_what_can_not_be_is_refused_and_nothing_is_changed(
    calendars: PostgresCalendars, database: Database
) -> None:
    before = await calendars.snapshot()
    with pytest.raises(Refused, match="not a time zone"):
        await calendars.set_calendar(AGENCY, zone="Mars/Base", by="otto")
    with pytest.raises(Refused, match="nobody's calendar"):
        await calendars.set_calendar("team:nobody", by="otto")
    with pytest.raises(Refused, match="nobody's calendar"):
        await calendars.close([(AGENCY, CHRISTMAS_EVE), ("client:nobody", CHRISTMAS_EVE)], by="otto")
    with pytest.raises(Refused, match="needs a name"):
        await calendars.close([(AGENCY, CHRISTMAS_EVE.model_copy(update={"name": " "}))], by="otto")
    assert await calendars.snapshot() == before
    assert await database.value("SELECT count(*) FROM closures") == 0


async def test_the_four_targets_are_there_from_the_start(calendars: PostgresCalendars) -> None:
    found = await calendars.targets(*(name.value for name in TargetName))
    acknowledge, next_reply, proposed, resolved = found
    assert (acknowledge.after, acknowledge.clock, acknowledge.pauses) == (timedelta(hours=4), ClockKind.ELAPSED, ())
    assert (next_reply.after, proposed.after, resolved.after) == tuple(timedelta(hours=one) for one in (48, 24, 48))
    assert [one.cause for one in resolved.pauses] == [Cause.CLIENT, Cause.THIRD_PARTY]
    assert {one.warn for one in found} == {(50, 75, 90)}
    assert {one.version for one in found} == {1}


async def test_a_target_is_set_from_now_on_and_keeps_its_versions(
    calendars: PostgresCalendars, database: Database
) -> None:
    target = Target(
        name="content.draft",
        clause="ID-5",
        after=timedelta(hours=12),
        clock=ClockKind.BUSINESS,
        pauses=(PauseRule(cause=Cause.CLIENT, longest=timedelta(days=2)),),
    )
    assert await calendars.set_target(target, by="otto")
    assert not await calendars.set_target(target, by="otto")
    assert await calendars.set_target(target.model_copy(update={"after": timedelta(hours=9)}), by="otto")
    (found,) = await calendars.targets("content.draft")
    assert found == target.model_copy(update={"after": timedelta(hours=9), "version": 2})
    assert await database.value("SELECT count(*) FROM targets WHERE name = 'content.draft'") == 2
    assert "content.draft" in {one.target.name for one in await calendars.all_targets()}


async def test_a_target_that_can_not_be_is_refused(calendars: PostgresCalendars) -> None:
    (acknowledge,) = await calendars.targets("acknowledge")
    paused = acknowledge.model_copy(update={"pauses": (PauseRule(cause=Cause.CLIENT, longest=timedelta(days=1)),)})
    with pytest.raises(Refused, match="never waits for anybody"):
        await calendars.set_target(paused, by="otto")
    with pytest.raises(Refused, match="percentage"):
        await calendars.set_target(acknowledge.model_copy(update={"warn": (50, 100)}), by="otto")
    with pytest.raises(Refused, match="no target called nothing"):
        await calendars.targets("acknowledge", "nothing")


async def test_changes_at_the_same_moment_are_one_version_each(calendars: PostgresCalendars) -> None:
    regions = (Region.SCOTLAND, Region.WALES, Region.NORTHERN_IRELAND)
    done = await asyncio.gather(*(calendars.set_calendar(AGENCY, region=one, by="otto") for one in regions))
    assert done == [True, True, True]
    assert (await calendars.snapshot()).version == 4


async def test_every_change_is_in_the_audit_trail(calendars: PostgresCalendars, database: Database) -> None:
    await calendars.set_calendar(AGENCY, region=Region.WALES, by="otto")
    await calendars.close([(AGENCY, CHRISTMAS_EVE)], by="otto")
    await calendars.reopen(AGENCY, CHRISTMAS_EVE, by="otto")
    (target,) = await calendars.targets("resolved")
    await calendars.set_target(target.model_copy(update={"after": timedelta(hours=72)}), by="otto")
    assert await database.value("SELECT count(*) FROM case_events WHERE actor = 'otto'") == 4
    async with transaction(await database.pool("owner")) as conn:
        assert (await verify(conn)).whole


EVERYBODY: tuple[Role, ...] = ("sops", "money", "door", "owner")
CHANGES = (
    "UPDATE calendars SET set_by = 'me'",
    "DELETE FROM calendars",
    "TRUNCATE calendars",
    "UPDATE targets SET set_by = 'me'",
    "DELETE FROM targets",
    "TRUNCATE targets",
    "TRUNCATE closures",
)


@pytest.mark.parametrize("role", EVERYBODY)
async def test_a_version_is_never_changed_by_anybody(database: Database, role: Role) -> None:
    pool = await database.pool(role, maximum=1)
    for statement in CHANGES:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(statement)


@pytest.mark.parametrize("role", EVERYBODY[:2])
async def test_workers_only_read_them(database: Database, role: Role) -> None:
    pool = await database.pool(role, maximum=1)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await pool.execute("INSERT INTO closures (calendar_id, day, name) VALUES ('agency', '2026-12-24', 'x')")
    assert await pool.fetchval("SELECT count(*) FROM targets") == 4


async def test_a_case_is_explained_beside_the_rules_of_today(calendars: PostgresCalendars) -> None:
    (before,) = await calendars.targets("resolved")
    clock = start("resolved", before.model_copy(update={"clock": ClockKind.BUSINESS}), NOW, await calendars.snapshot())
    shown = view(step()).model_copy(update={"clocks": (clock,)})
    await calendars.set_target(before.model_copy(update={"after": timedelta(hours=72)}), by="otto")
    plain, promise = await calendars.explain(CaseView.model_validate_json(shown.model_dump_json()))
    assert (plain.name, plain.due) == ("investigate", NOW + timedelta(hours=48))
    assert (promise.due, promise.of_today) == (clock.due, NOW + timedelta(hours=72))
    assert await calendars.explain(None) == ()


async def test_a_promise_that_messages_keep_is_met_once_all_of_them_are_sent(
    calendars: PostgresCalendars, database: Database
) -> None:
    (target,) = await calendars.targets("acknowledge")
    promised = start("acknowledge", target, NOW, None).model_copy(update={"met_by": ("a/1", "b/1")})
    shown = view(step()).model_copy(update={"clocks": (promised,)})
    sent = """INSERT INTO effects (key, case_id, kind, clause, gated, body, state, settled_at)
        VALUES ($1, 'any', 'send-letter', 'RL-3', false, '{}', 'sent', $2)"""
    await database.execute(sent, "a/1", NOW)
    assert (await calendars.explain(shown))[1].met_at is None
    await database.execute(sent, "b/1", NOW + timedelta(minutes=5))
    assert (await calendars.explain(shown))[1].met_at == NOW + timedelta(minutes=5)
