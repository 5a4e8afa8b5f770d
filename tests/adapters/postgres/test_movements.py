"""Which open cases are told when somebody goes, leaves or comes back, and which are left in peace."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from adapters.postgres.attendance import Absence, Attendance
from adapters.postgres.cases import write_view
from adapters.postgres.crypto import Vault
from adapters.postgres.directory_book import DepartmentEntry, DirectoryBook, pair
from adapters.postgres.imports import PersonIn, PostgresImports
from adapters.postgres.movements import Movements, Told
from adapters.postgres.pool import transaction
from domain.case import OpenStep
from domain.rules.routing import Contact
from tests.adapters.postgres.conftest import AddCase, step, view
from tests.conftest import Database

TODAY = date(2026, 7, 6)


@pytest.fixture
async def movements(database: Database, add_case: AddCase) -> Movements:
    for name in ("ann", "ben", "cat", "dan", "eve"):
        await database.execute(
            "INSERT INTO people VALUES ($1, $2, $3, 'local', $1)", name, name.title(), f"{name}@x.example"
        )
    await database.execute("INSERT INTO memberships VALUES ('ann', 'team:return-leads'), ('ben', 'team:return-leads')")
    await on(database, TODAY)
    await database.execute("UPDATE directory_sweeps SET swept_at = holdfast_now()")
    return Movements(await database.pool("sops"))


async def on(database: Database, day: date, hour: int = 12) -> None:
    moment = datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=hour)
    await database.shift(moment - datetime.now(UTC))


async def opened(database: Database, add_case: AddCase, case_id: str, **changes: str) -> None:
    """A case with one open step that was changed so."""
    await add_case(case_id)
    async with transaction(await database.pool("owner")) as conn:
        open_step: OpenStep = step().model_copy(update=changes)
        await write_view(conn, view(open_step, case_id=case_id))


async def told(movements: Movements) -> list[tuple[str, str]]:
    """Which cases, and which of their steps asks others; then it is done with."""
    sweep = await movements.since_last()
    await movements.swept(sweep.until)
    return [(one.case_id, one.step_id) for one in sweep.told]


async def forget_the_overlap(database: Database) -> None:
    await database.execute("UPDATE directory_sweeps SET swept_at = holdfast_now() + interval '11 minutes'")


@pytest.fixture
async def attendance(database: Database, vault: Vault) -> Attendance:
    return Attendance(await database.pool("door"), vault)


@pytest.fixture
async def book(database: Database, vault: Vault) -> DirectoryBook:
    return DirectoryBook(await database.pool("door"), vault)


async def test_an_absence_concerns_what_the_absent_one_has_and_nothing_else(
    movements: Movements, attendance: Attendance, database: Database, add_case: AddCase
) -> None:
    await opened(database, add_case, "claimed", claimed_by="ann")
    await opened(database, add_case, "given", reassigned_to="ann")
    await opened(database, add_case, "another-s", claimed_by="ben")
    await opened(database, add_case, "the-team-s")
    assert await told(movements) == []
    await attendance.away(Absence("ann", TODAY, TODAY + timedelta(days=1), "ben"), "otto")
    assert await told(movements) == [("claimed", ""), ("given", "")]


async def test_whoever_is_covered_for_by_somebody_who_goes_is_concerned_too(
    movements: Movements, attendance: Attendance, database: Database, add_case: AddCase
) -> None:
    await opened(database, add_case, "claimed", claimed_by="ann", covered_by="ben")
    await attendance.away(Absence("ann", TODAY, TODAY + timedelta(days=9), "ben"), "otto")
    assert await told(movements) == []
    await forget_the_overlap(database)
    await attendance.away(Absence("ben", TODAY + timedelta(days=1), TODAY + timedelta(days=1), "eve"), "otto")
    await on(database, TODAY + timedelta(days=1))
    assert await told(movements) == [("claimed", "")]


async def test_a_sweep_that_comes_late_finds_each_day_that_began(
    movements: Movements, attendance: Attendance, database: Database, add_case: AddCase
) -> None:
    await opened(database, add_case, "claimed", claimed_by="ann")
    await attendance.away(Absence("ann", TODAY + timedelta(days=1), TODAY + timedelta(days=30), "ben"), "otto")
    assert await told(movements) == []
    await on(database, TODAY, 22)
    assert await told(movements) == []
    await on(database, TODAY, 24)  # summer: London's midnight was an hour ago
    sweep = await movements.since_last()
    assert sweep.told == (Told("claimed", "claimed", "owners:absence-1-begins"),)
    await on(database, TODAY + timedelta(days=20))
    assert (await movements.since_last()).told == sweep.told


async def test_a_new_contact_hears_of_what_the_department_is_asked_and_claimed_steps_stay(
    movements: Movements, book: DirectoryBook, database: Database, add_case: AddCase
) -> None:
    await book.set(DepartmentEntry("content", "Content", (Contact("cat"),)), "otto")
    await forget_the_overlap(database)
    await opened(database, add_case, "asked", role="department:content")
    await opened(database, add_case, "about-andy", role="department:content/client")
    await opened(database, add_case, "taken", role="department:content", claimed_by="cat")
    await opened(database, add_case, "another", role="department:dlf")
    await on(database, TODAY + timedelta(days=1))
    await book.set(DepartmentEntry("content", "Content", (Contact("dan"),)), "otto")
    assert await told(movements) == [("about-andy", "investigate"), ("asked", "investigate"), ("taken", "")]


async def test_a_client_s_case_follows_its_csm_and_their_css(
    movements: Movements, attendance: Attendance, database: Database, add_case: AddCase
) -> None:
    for case_id, role in (("csm", "role:csm"), ("css", "role:css"), ("other", "team:return-leads")):
        await opened(database, add_case, case_id, role=role)
    await database.execute("UPDATE clients SET csm_id = 'cat' WHERE client_id = 'acme'")
    async with transaction(await database.pool("door")) as conn:
        await pair(conn, "cat", "dan", "otto")
    assert await told(movements) == [("csm", "investigate"), ("css", "investigate")]
    await forget_the_overlap(database)
    await on(database, TODAY + timedelta(days=1))
    await attendance.leave("cat", "eve", "otto")
    assert ("csm", "investigate") in await told(movements)


async def test_cases_that_are_over_and_steps_that_are_done_are_left_in_peace(
    movements: Movements, attendance: Attendance, database: Database, add_case: AddCase
) -> None:
    await opened(database, add_case, "over", claimed_by="ann")
    await opened(database, add_case, "done", claimed_by="ann")
    await database.execute("UPDATE cases SET status = 'closed' WHERE case_id = 'over'")
    await database.execute("UPDATE case_steps SET state = 'done' WHERE case_id = 'done'")
    await attendance.away(Absence("ann", TODAY, TODAY, "ben"), "otto")
    assert await told(movements) == []


async def test_whoever_an_import_makes_inactive_has_left_and_may_come_back(
    movements: Movements, database: Database, add_case: AddCase, vault: Vault
) -> None:
    await opened(database, add_case, "claimed", claimed_by="ann")
    imports = PostgresImports(await database.pool("door"), vault)
    ann = PersonIn("ann", "Ann", "ann@x.example", "local", "ann", active=False)
    for _ in "12":
        await imports.people("people.csv", [(2, ann)], "otto", "")
    assert await told(movements) == [("claimed", "")]
    await imports.people("people.csv", [(2, replace(ann, active=True))], "otto", "")
    assert await database.value("SELECT left_at FROM people WHERE person_id = 'ann'") is None
