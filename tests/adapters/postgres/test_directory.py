from datetime import UTC, date, datetime, timedelta

import pytest

from adapters.postgres.directory import Addressee, PostgresDirectory, departments_asking
from domain.errors import Permanent
from domain.people import Identity, Role
from tests.adapters.postgres.conftest import CASE, AddCase
from tests.conftest import Database

TEAM = Role.RETURN_LEADS


@pytest.fixture
async def directory(database: Database) -> PostgresDirectory:
    for name in ("ann", "ben", "cat", "dan", "eve"):
        await database.execute(
            "INSERT INTO people VALUES ($1, $2, $3, 'local', $1)", name, name.title(), f"{name}@x.example"
        )
    for person, role, manager in (("ann", TEAM, False), ("cat", TEAM, True), ("dan", Role.OPERATIONS, False)):
        await database.execute("INSERT INTO memberships VALUES ($1, $2, $3)", person, role.value, manager)
    return PostgresDirectory(await database.pool("sops"))


async def asked(directory: PostgresDirectory, role: str = TEAM, case_id: str = "") -> list[str]:
    return [person.person_id for person in (await directory.asked(role, case_id)).people]


async def leave(database: Database, *people: str) -> None:
    await database.execute("UPDATE people SET active = false WHERE person_id = ANY($1)", list(people))


async def test_a_person_is_known_by_identity_not_by_name(directory: PostgresDirectory, database: Database) -> None:
    found = await directory.person(Identity(issuer="local", sub="cat"))
    assert found is not None
    assert (found.person_id, found.roles, found.managers_of) == ("cat", (TEAM,), (TEAM,))
    assert await directory.person(Identity(issuer="elsewhere", sub="cat")) is None
    assert await directory.person_by_id("cat") == found
    await leave(database, "cat")
    assert await directory.person(Identity(issuer="local", sub="cat")) is None
    assert await directory.person_by_id("cat") is None


async def test_members_are_asked_then_managers_then_operations(
    directory: PostgresDirectory, database: Database
) -> None:
    assert await asked(directory) == ["ann"]
    assert (await directory.asked(TEAM)).fell_back == ""
    await leave(database, "ann")
    assert await asked(directory) == ["cat"]
    assert "managers" in (await directory.asked(TEAM)).fell_back
    await leave(database, "cat")
    assert await asked(directory) == ["dan"]
    assert "operations" in (await directory.asked(TEAM)).fell_back
    await leave(database, "dan")
    assert await asked(directory) == []


async def test_stand_ins_are_asked_on_their_days_by_london_s_database_time(
    directory: PostgresDirectory, database: Database
) -> None:
    await database.execute(
        "INSERT INTO stand_ins (person_id, stand_in_id, starts, ends) VALUES ('ann', 'ben', $1, $2)",
        date(2026, 7, 1), date(2026, 7, 2),
    )  # fmt: skip
    for moment, people in (
        ("2026-06-30T22:59:00Z", ["ann"]),
        ("2026-06-30T23:01:00Z", ["ann", "ben"]),
        ("2026-07-02T22:59:00Z", ["ann", "ben"]),
        ("2026-07-02T23:01:00Z", ["ann"]),
    ):
        await database.shift(datetime.fromisoformat(moment) - datetime.now(UTC))
        assert await asked(directory) == people, moment
    await database.shift(datetime.fromisoformat("2026-07-01T12:00:00Z") - datetime.now(UTC))
    await leave(database, "ann")
    assert await asked(directory) == ["ben"]


async def test_the_csm_is_the_client_s(directory: PostgresDirectory, database: Database, add_case: AddCase) -> None:
    await add_case()
    await database.execute("UPDATE clients SET csm_id = 'eve' WHERE client_id = 'acme'")
    assert await asked(directory, Role.CSM, CASE) == ["eve"]
    assert await asked(directory, Role.CSM, "another") == ["dan"]


async def test_account_managers_are_those_in_copy_else_the_csm(
    directory: PostgresDirectory, database: Database, add_case: AddCase
) -> None:
    await add_case()
    assert await asked(directory, Role.ACCOUNT_MANAGER, CASE) == ["dan"]
    await database.execute("UPDATE clients SET csm_id = 'eve' WHERE client_id = 'acme'")
    assert await asked(directory, Role.ACCOUNT_MANAGER, CASE) == ["eve"]
    await database.execute("UPDATE cases SET account_managers = '{ann,ben}' WHERE case_id = $1", CASE)
    assert await asked(directory, Role.ACCOUNT_MANAGER, CASE) == ["ann", "ben"]
    await leave(database, "ann")
    assert await asked(directory, Role.ACCOUNT_MANAGER, CASE) == ["ben"]
    await leave(database, "ben")
    assert await asked(directory, Role.ACCOUNT_MANAGER, CASE) == ["eve"]


async def test_for_money_only_money_people_may_sign(directory: PostgresDirectory, database: Database) -> None:
    await database.execute("INSERT INTO memberships VALUES ('ben', $1, false)", Role.ACCOUNTS.value)
    assert await asked(directory, Role.ACCOUNTS) == []
    await database.execute(
        """INSERT INTO money_people (role, issuer, sub, name, since, until) VALUES
           ($1, 'local', 'eve', 'Eve', '2026-01-01', NULL), ($1, 'local', 'cat', 'Cat', '2026-01-01', '2026-02-01'),
           ($1, 'local', 'dan', 'Dan', '2126-01-01', NULL), ($1, 'idp', 'fay', 'Fay', '2026-01-01', NULL)""",
        Role.ACCOUNTS.value,
    )
    assert await asked(directory, Role.ACCOUNTS) == ["idp|fay", "eve"]
    assert await asked(directory, Role.APPROVER) == []


async def addressed(directory: PostgresDirectory, role: str = TEAM, claimed_by: str = "") -> list[str]:
    return [one.email for one in await directory.addressees(role, "", claimed_by)]


async def test_a_nudge_goes_to_whoever_claimed_the_step_then_to_the_queue(
    directory: PostgresDirectory, database: Database
) -> None:
    assert await addressed(directory) == ["ann@x.example"]
    await database.execute("INSERT INTO departments VALUES ($1, 'Returns', 'returns@x.example')", TEAM.value)
    assert await addressed(directory) == ["returns@x.example"]
    assert await addressed(directory, claimed_by="ben") == ["ben@x.example"]
    await leave(database, "ben")
    answer = await directory.addressed(TEAM, "", "ben")
    assert (answer.to, answer.fell_back) == ((Addressee("Returns", "returns@x.example"),), "ben is no longer here")


async def test_a_claimer_who_is_away_is_nudged_with_the_stand_in(
    directory: PostgresDirectory, database: Database
) -> None:
    today = datetime.now(UTC).date()
    await database.execute(
        "INSERT INTO stand_ins (person_id, stand_in_id, starts, ends) VALUES ('ann', 'ben', $1, $2)",
        today - timedelta(days=2), today + timedelta(days=2),
    )  # fmt: skip
    assert await addressed(directory, claimed_by="ann") == ["ann@x.example", "ben@x.example"]
    await leave(database, "ann")
    assert await addressed(directory, claimed_by="ann") == ["ben@x.example"]


async def test_money_s_nudges_go_to_the_department_and_fall_back_to_operations(
    directory: PostgresDirectory, database: Database
) -> None:
    await database.execute("INSERT INTO departments VALUES ($1, 'Operations', 'ops@x.example')", Role.OPERATIONS.value)
    answer = await directory.addressed(Role.ACCOUNTS)
    assert answer.to == (Addressee("Operations", "ops@x.example"),)
    assert "team:accounts" in answer.fell_back
    await database.execute("INSERT INTO departments VALUES ($1, 'Accounts', 'acc@x.example')", Role.ACCOUNTS.value)
    assert await addressed(directory, Role.ACCOUNTS) == ["acc@x.example"]


async def test_somebody_is_always_asked_or_it_is_said_that_there_is_nobody(
    directory: PostgresDirectory, database: Database
) -> None:
    await leave(database, "ann", "ben", "cat", "dan", "eve")
    with pytest.raises(Permanent) as caught:
        await directory.addressees(TEAM)
    assert caught.value.code == "nobody-to-ask"
    last = Addressee("Returns inbox", "returnleads@x.example")
    fallen = await PostgresDirectory(await database.pool("sops"), last).addressed(TEAM)
    assert (fallen.to, bool(fallen.fell_back)) == ((last,), True)


# Departments ----------------------------------------------------------------------------------------------------------
async def add_department(
    database: Database, slug: str, *contacts: str, manager: str | None = None, since: str = "2026-01-01"
) -> None:
    """Contacts as `ann` or `ann:client`."""
    version = await database.value("SELECT coalesce(max(version), 0) + 1 FROM directory WHERE slug = $1", slug)
    await database.execute(
        """INSERT INTO directory (slug, version, position, name, manager_id, since, set_by)
           VALUES ($1, $2, 1, $1, $3, $4, 'x')""",
        slug, version, manager, date.fromisoformat(since),
    )  # fmt: skip
    for rank, one in enumerate(contacts, 1):
        person, _, topic = one.partition(":")
        await database.execute(
            "INSERT INTO directory_contacts VALUES ($1, $2, $3, $4, $5)", slug, version, rank, person, topic
        )


async def away(database: Database, person: str, stand_in: str | None = None, *, first: int = -1, last: int = 1) -> None:
    today = await database.value("SELECT holdfast_today()")
    assert isinstance(today, date)
    await database.execute(
        "INSERT INTO absences (person_id, starts, ends, stand_in_id, set_by) VALUES ($1, $2, $3, $4, 'x')",
        person, today + timedelta(days=first), today + timedelta(days=last), stand_in,
    )  # fmt: skip


@pytest.mark.clause("ID-1")
async def test_a_department_is_asked_by_its_contacts_of_today(directory: PostgresDirectory, database: Database) -> None:
    await add_department(database, "sales", "eve", "ben")
    assert await asked(directory, "department:sales") == ["eve", "ben"]
    await add_department(database, "sales", "cat", since="2126-01-01")
    assert await asked(directory, "department:sales") == ["eve", "ben"]
    await add_department(database, "sales", "ann")
    assert await asked(directory, "department:sales") == ["ann"]
    ann = await directory.person_by_id("ann")
    assert ann is not None
    assert "department:sales" in ann.roles


@pytest.mark.clause("ID-2")
async def test_andy_s_client_items_go_to_cath_and_everything_else_to_al(
    directory: PostgresDirectory, database: Database, add_case: AddCase
) -> None:
    await add_department(database, "andy", "ann:operational", "cat:client")
    await add_case()
    assert await asked(directory, "department:andy", CASE) == ["cat"]
    assert await asked(directory, "department:andy/operational", CASE) == ["ann"]
    assert await asked(directory, "department:andy") == ["ann"]
    await add_case("no-client", "")
    assert await asked(directory, "department:andy", "no-client") == ["ann"]


async def test_an_absent_contact_is_covered_for_and_may_still_act(
    directory: PostgresDirectory, database: Database
) -> None:
    await add_department(database, "content", "ann")
    await away(database, "ann", "ben")
    found = await directory.asked("department:content")
    assert [one.person_id for one in found.people] == ["ben"]
    assert [one.person_id for one in found.may_act] == ["ben", "ann"]
    assert found.fell_back == ""
    await away(database, "ben", "eve")
    assert await asked(directory, "department:content") == ["eve"]
    await database.execute("UPDATE absences SET ended_at = holdfast_now() WHERE person_id = 'ann'")
    assert await asked(directory, "department:content") == ["ann"]


async def test_absences_begin_and_end_at_london_s_midnight(directory: PostgresDirectory, database: Database) -> None:
    await add_department(database, "content", "ann")
    await database.execute(
        "INSERT INTO absences (person_id, starts, ends, stand_in_id, set_by) VALUES ('ann', $1, $2, 'ben', 'x')",
        date(2026, 7, 1), date(2026, 7, 2),
    )  # fmt: skip
    for moment, person in (
        ("2026-06-30T22:59:00Z", "ann"),
        ("2026-06-30T23:01:00Z", "ben"),
        ("2026-07-02T22:59:00Z", "ben"),
        ("2026-07-02T23:01:00Z", "ann"),
    ):
        await database.shift(datetime.fromisoformat(moment) - datetime.now(UTC))
        assert await asked(directory, "department:content") == [person], moment


async def test_nobody_there_is_told_and_goes_up_the_line(directory: PostgresDirectory, database: Database) -> None:
    await add_department(database, "content", "ann", manager="cat")
    await add_department(database, "agency-services-manager", "eve")
    await away(database, "ann")
    for gone, person, words in (
        ("", "cat", "managers of department:content"),
        ("cat", "eve", "Agency Services Manager"),
        ("eve", "dan", "team:operations"),
    ):
        if gone:
            await away(database, gone)
        found = await directory.asked("department:content")
        assert [one.person_id for one in found.people] == [person]
        assert words in found.fell_back
    assert await asked(directory, "role:agency-services") == ["dan"]
    assert await asked(directory, "department:unheard-of") == ["dan"]


async def test_a_department_s_manager_can_be_asked(directory: PostgresDirectory, database: Database) -> None:
    await add_department(database, "content", "ann", manager="cat")
    await add_department(database, "agency-services-manager", "eve")
    await add_department(database, "dlf", "ben")
    assert await asked(directory, "manager:content") == ["cat"]
    assert await asked(directory, "manager:dlf") == ["eve"]
    assert "Agency Services Manager" in (await directory.asked("manager:dlf")).fell_back


async def test_the_css_is_that_of_the_case_s_csm(
    directory: PostgresDirectory, database: Database, add_case: AddCase
) -> None:
    await add_case()
    await database.execute("UPDATE clients SET csm_id = 'eve' WHERE client_id = 'acme'")
    await database.execute("INSERT INTO csm_pairs VALUES ('eve', 1, 'ann', '2026-01-01', 'x')")
    await database.execute("INSERT INTO csm_pairs VALUES ('dan', 1, 'ben', '2026-01-01', 'x')")
    assert await asked(directory, Role.CSS, CASE) == ["ann"]
    await database.execute("UPDATE cases SET csm_id = 'dan' WHERE case_id = $1", CASE)
    assert await asked(directory, Role.CSM, CASE) == ["dan"]
    assert await asked(directory, Role.CSS, CASE) == ["ben"]
    await database.execute("INSERT INTO csm_pairs VALUES ('dan', 2, NULL, '2026-01-02', 'x')")
    assert (await directory.asked(Role.CSS, CASE)).fell_back != ""


async def test_whoever_left_is_followed_by_the_successor(directory: PostgresDirectory, database: Database) -> None:
    await add_department(database, "content", "ann")
    await leave(database, "ann")
    await database.execute("UPDATE people SET successor_id = 'eve' WHERE person_id = 'ann'")
    assert await asked(directory, "department:content") == ["eve"]
    answer = await directory.addressed("department:content", "", "ann")
    assert (answer.to, answer.fell_back) == ((Addressee("Eve", "eve@x.example"),), "ann is no longer here")


async def test_a_nudge_about_a_claimed_step_goes_to_the_stand_in_alone(
    directory: PostgresDirectory, database: Database
) -> None:
    await away(database, "ann", "ben")
    answer = await directory.addressed(TEAM, "", "ann")
    assert (answer.to, answer.fell_back) == ((Addressee("Ben", "ben@x.example"),), "ann is away today")
    await away(database, "ben")
    answer = await directory.addressed(TEAM, "", "ann")
    assert answer.to == (Addressee("Cat", "cat@x.example"),)
    assert "ann is away today" in answer.fell_back
    assert "managers" in answer.fell_back


async def test_absences_and_the_directory_say_nothing_about_money(
    directory: PostgresDirectory, database: Database
) -> None:
    await database.execute(
        "INSERT INTO money_people (role, issuer, sub, name, since) VALUES ($1, 'local', 'eve', 'Eve', '2026-01-01')",
        Role.APPROVER.value,
    )
    await away(database, "eve", "ben")
    await add_department(database, "approver", "ben", manager="ben")
    assert await asked(directory, Role.APPROVER) == ["eve"]
    assert await asked(directory, Role.PARTNER) == []
    assert await asked(directory, Role.ACCOUNTS) == []


async def test_the_roles_of_departments_that_ask_somebody_today(
    directory: PostgresDirectory, database: Database
) -> None:
    await add_department(database, "content", "ann", manager="cat")
    await add_department(database, "dlf", "ben")
    await add_department(database, "agency-services-manager", "eve")

    async def asking(person: str) -> set[str]:
        pool = await database.pool("sops", maximum=1)
        async with pool.acquire() as connection:
            return set(await departments_asking(connection, person))

    assert await asking("ann") == {"department:content"}
    assert await asking("cat") == {"manager:content"}
    services = {"department:agency-services-manager", "manager:agency-services-manager", "role:agency-services"}
    assert await asking("eve") == {*services, "manager:dlf"}
    await away(database, "ben")
    assert await asking("ben") == {"department:dlf"}
    assert await asking("eve") == {*services, "manager:dlf", "department:dlf"}
