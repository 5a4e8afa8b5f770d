"""Absences, returns and leavers as the tables keep them, and what they never touch."""

from datetime import UTC, date, datetime, timedelta

import pytest

from adapters.postgres.attendance import Absence, Attendance, Left
from adapters.postgres.crypto import Vault
from adapters.postgres.directory import PostgresDirectory
from adapters.postgres.directory_book import DepartmentEntry, DirectoryBook
from domain.errors import Refused
from domain.people import Role
from domain.rules.routing import Contact
from tests.adapters.postgres.conftest import AddCase
from tests.conftest import Database

TODAY = date(2026, 7, 6)
BY = "otto"


@pytest.fixture
async def people(database: Database) -> None:
    for name in ("ann", "ben", "cat", "dan", "eve"):
        await database.execute(
            "INSERT INTO people VALUES ($1, $2, $3, 'local', $1)", name, name.title(), f"{name}@x.example"
        )
    await on(database, TODAY)


async def on(database: Database, day: date) -> None:
    """Noon of a day, by database time."""
    await database.shift(datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=12) - datetime.now(UTC))


@pytest.fixture
async def attendance(database: Database, people: None, vault: Vault) -> Attendance:
    return Attendance(await database.pool("door"), vault)


@pytest.fixture
async def book(database: Database, people: None, vault: Vault) -> DirectoryBook:
    return DirectoryBook(await database.pool("door"), vault)


def days(first: int, last: int, stand_in: str = "", person: str = "ann") -> Absence:
    return Absence(person, TODAY + timedelta(days=first), TODAY + timedelta(days=last), stand_in)


async def test_the_same_absence_again_changes_nothing_and_an_overlapping_one_replaces_it(
    attendance: Attendance, database: Database
) -> None:
    assert await attendance.away(days(1, 5, "ben"), BY)
    assert not await attendance.away(days(1, 5, "ben"), BY)
    assert await attendance.away(days(10, 12), BY)
    assert await attendance.away(days(2, 6, "cat"), BY)
    assert await attendance.absences() == (days(2, 6, "cat"), days(10, 12))
    assert await database.value("SELECT count(*) FROM absences") == 3
    assert await database.value("SELECT count(*) FROM case_events") == 3


async def test_back_ends_the_absence_of_today_else_calls_off_those_to_come(attendance: Attendance) -> None:
    await attendance.away(days(-1, 2), BY)
    await attendance.away(days(10, 12), BY)
    assert await attendance.back("ann", BY) == (days(-1, 2),)
    assert await attendance.absences() == (days(10, 12),)
    assert await attendance.back("ann", BY) == (days(10, 12),)
    assert await attendance.back("ann", BY) == ()


@pytest.mark.parametrize(
    ("absence", "code"),
    [
        (days(2, 1), "bad-days"),
        (days(-5, -1), "bad-days"),
        (days(0, 400), "bad-days"),
        (days(0, 1, "ann"), "bad-stand-in"),
        (days(0, 1, "nobody"), "unknown-person"),
        (days(0, 1, person="nobody"), "unknown-person"),
    ],
)
async def test_an_absence_that_can_t_be_is_refused_and_changes_nothing(
    attendance: Attendance, database: Database, absence: Absence, code: str
) -> None:
    with pytest.raises(Refused) as caught:
        await attendance.away(absence, BY)
    assert caught.value.code == code
    assert await database.value("SELECT count(*) FROM absences") == 0


async def test_a_leaver_s_clients_departments_and_pairs_pass_to_the_successor(
    attendance: Attendance, book: DirectoryBook, database: Database, add_case: AddCase
) -> None:
    await add_case()
    await database.execute("UPDATE clients SET csm_id = 'ann' WHERE client_id = 'acme'")
    await database.execute("UPDATE cases SET csm_id = 'ann'")
    await book.set(DepartmentEntry("content", "Content", (Contact("dan"), Contact("ann")), manager_id="ann"), BY)
    for csm, css in (("ann", "cat"), ("dan", "ann")):
        await database.execute("INSERT INTO csm_pairs VALUES ($1, 1, $2, '2026-01-01', 'x')", csm, css)
    with pytest.raises(Refused) as caught:
        await attendance.leave("ann", "", BY)
    assert str(caught.value) == (
        "ann has 1 clients, 1 departments that name them, 1 CSMs to support: say who takes over with --to PERSON"
    )
    left = await attendance.leave("ann", "ben", BY)
    assert left == Left(("acme",), ("content",), ("dan",), "cat")
    assert await database.value("SELECT csm_id FROM clients WHERE client_id = 'acme'") == "ben"
    assert await database.value("SELECT csm_id FROM cases") == "ben"
    (entry,) = await book.entries()
    assert (entry.contacts, entry.manager_id) == ((Contact("dan"), Contact("ben")), "ben")
    assert await book.pairs() == (("ben", "cat"), ("dan", "ben"))
    with pytest.raises(Refused):
        await attendance.leave("ann", "ben", BY)


@pytest.mark.parametrize("role", [Role.APPROVER, Role.PARTNER, Role.ACCOUNTS])
async def test_whoever_acts_for_money_leaves_by_the_money_worker_s_configuration(
    attendance: Attendance, database: Database, role: Role
) -> None:
    insert = (
        "INSERT INTO money_people (role, issuer, sub, name, since) VALUES ($1, 'local', 'ann', 'Ann', '2026-01-01')"
    )
    await database.execute(insert, role.value)
    before = await database.fetch("SELECT * FROM money_people")
    with pytest.raises(Refused) as caught:
        await attendance.leave("ann", "ben", BY)
    assert caught.value.code == "acts-for-money"
    await attendance.away(days(0, 1, "ben"), BY)
    asked = await PostgresDirectory(await database.pool("sops")).asked(role)
    assert [one.person_id for one in asked.people] == ["ann"]
    assert await database.fetch("SELECT * FROM money_people") == before


# The directory as a book ----------------------------------------------------------------------------------------------
async def test_a_department_is_shown_as_it_was_and_as_it_will_be(book: DirectoryBook, database: Database) -> None:
    assert await book.set(DepartmentEntry("content", "Content", (Contact("ann"),)), "rita")
    later = TODAY + timedelta(days=10)
    assert await book.set(DepartmentEntry("content", "Content", (Contact("ben"),), since=later), "otto")
    assert not await book.set(DepartmentEntry("content", "Content", (Contact("ann"),)), "rita")
    (today,) = await book.entries()
    (then,) = await book.entries(later)
    assert ((today.contacts, today.set_by), (then.contacts, then.set_by)) == (
        ((Contact("ann"),), "rita"),
        ((Contact("ben"),), "otto"),
    )
    assert await book.entries(TODAY - timedelta(days=1)) == ()
    await on(database, later)
    assert await book.set(DepartmentEntry("content", "Content", ()), "otto", closed=True)
    assert await book.entries() == ()
    assert [one.contacts for one in await book.entries(TODAY)] == [(Contact("ann"),)]


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (DepartmentEntry("content", "Content", ()), "bad-department"),
        (DepartmentEntry("content", "Content", (Contact("nobody"),)), "bad-department"),
        (DepartmentEntry("content", "Content", (Contact("ann"),), manager_id="nobody"), "bad-department"),
        (DepartmentEntry("content", "Content", (Contact("ann"),), since=TODAY - timedelta(days=1)), "backdated"),
    ],
)
async def test_a_department_that_can_t_be_is_refused(book: DirectoryBook, entry: DepartmentEntry, code: str) -> None:
    with pytest.raises(Refused) as caught:
        await book.set(entry, BY)
    assert caught.value.code == code
    assert await book.entries() == ()


async def told(book: DirectoryBook) -> list[tuple[str, bool]]:
    return [(one.what, one.urgent) for one in await book.worries()]


async def test_the_directory_says_at_once_when_it_can_t_be_relied_on(
    book: DirectoryBook, attendance: Attendance, database: Database
) -> None:
    await book.set(DepartmentEntry("content", "Content", (Contact("ann"),), manager_id="cat"), BY)
    assert await told(book) == []
    await attendance.away(days(0, 1), BY)
    assert await told(book) == [("none of the contacts of content is here today: cat is asked", False)]
    await attendance.away(days(0, 1, person="cat"), BY)
    assert await told(book) == [("none of the contacts of content is here today, nor in their place", True)]
    await attendance.away(days(0, 1, "ben"), BY)
    assert await told(book) == []
    await database.execute("UPDATE people SET email = '' WHERE person_id = 'cat'")
    await database.execute("UPDATE people SET active = false WHERE person_id = 'ann'")
    names = [("content names ann, who left", True), ("content names cat, who has no address", True)]
    assert (await told(book))[:2] == names


async def test_what_nobody_confirmed_for_ninety_days_is_stale_until_somebody_does(
    book: DirectoryBook, database: Database
) -> None:
    await book.set(DepartmentEntry("content", "Content", (Contact("ann"),)), BY)
    await on(database, TODAY + timedelta(days=91))
    assert await told(book) == [("content was not confirmed for 90 days", False)]
    assert await book.confirm([], "nicole") == ("content",)
    assert await told(book) == []
    (entry,) = await book.entries()
    assert entry.confirmed_by == "nicole"
    with pytest.raises(Refused):
        await book.confirm(["unheard-of"], "nicole")
