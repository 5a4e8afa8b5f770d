from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from adapters.postgres.cases import PostgresCases
from adapters.postgres.crypto import Vault
from domain.errors import Permanent
from domain.gate import Rate
from domain.rules.authority import rate_in_gbp
from tests.adapters.postgres.conftest import CASE, AddCase
from tests.conftest import Database


@pytest.fixture
async def cases(database: Database, vault: Vault, add_case: AddCase) -> PostgresCases:
    await add_case()
    await at(database, datetime(2026, 3, 31, 12, tzinfo=UTC))
    return PostgresCases(await database.pool("sops"), vault)


async def at(database: Database, moment: datetime) -> None:
    await database.shift(moment - datetime.now(UTC))


async def grant(
    database: Database,
    lead_id: str,
    gbp: str,
    when: str,
    **columns: str,
) -> None:
    values = {
        "case_id": "another",
        "client_id": "acme",
        "contact_id": "c-1",
        "treatment": "credit-note",
        "currency": "GBP",
        "invoice_id": "i-1",
        "approved_jti": "",
        "effect_key": "k",
    } | columns
    names = ", ".join(values)
    places = ", ".join(f"${number}" for number in range(4, 4 + len(values)))
    await database.execute(
        f"INSERT INTO grants (lead_id, gross, gbp, granted_at, {names}) VALUES ($1, $2, $2, $3, {places})",  # noqa: S608
        lead_id, Decimal(gbp), datetime.fromisoformat(when), *values.values(),
    )  # fmt: skip


async def test_nothing_granted_yet(cases: PostgresCases) -> None:
    context = await cases.money_context(CASE)
    assert (context.client_id, context.contact_id, context.limit_gbp) == ("acme", "c-1", Decimal(500))
    assert (context.today, context.granted_month_gbp, context.granted_invoice_gbp) == (date(2026, 3, 31), 0, {})


async def test_the_month_is_london_s_by_database_time(cases: PostgresCases, database: Database) -> None:
    await grant(database, "A-101", "1", "2026-02-28T23:59:00Z")
    await grant(database, "A-102", "10", "2026-03-01T00:00:00Z")
    await grant(database, "A-103", "100", "2026-03-31T22:59:00Z")
    await grant(database, "A-104", "1000", "2026-03-31T23:01:00Z")
    assert (await cases.money_context(CASE)).granted_month_gbp == 110
    await at(database, datetime(2026, 3, 31, 23, 30, tzinfo=UTC))
    context = await cases.money_context(CASE)
    assert (context.today, context.granted_month_gbp) == (date(2026, 4, 1), 1000)


async def test_the_sum_is_of_the_same_contact_or_client_in_other_cases_without_an_approver(
    cases: PostgresCases, database: Database
) -> None:
    now = "2026-03-20T12:00:00Z"
    await grant(database, "A-101", "1", now)
    await grant(database, "A-102", "10", now, client_id="globex")
    await grant(database, "A-103", "100", now, contact_id="c-old")
    await grant(database, "A-104", "1000", now, client_id="globex", contact_id="c-2")
    await grant(database, "A-105", "1000", now, approved_jti="j")
    await grant(database, "A-106", "1000", now, case_id=CASE)
    assert (await cases.money_context(CASE)).granted_month_gbp == 111


async def test_clients_without_a_contact_are_not_taken_for_one(cases: PostgresCases, database: Database) -> None:
    await database.execute("UPDATE clients SET contact_id = ''")
    await grant(database, "A-101", "1", "2026-03-20T12:00:00Z", contact_id="")
    await grant(database, "A-102", "10", "2026-03-20T12:00:00Z", contact_id="", client_id="globex")
    assert (await cases.money_context(CASE)).granted_month_gbp == 1


async def test_grants_of_earlier_months_count_by_invoice(cases: PostgresCases, database: Database) -> None:
    await grant(database, "A-101", "1", "2026-02-20T12:00:00Z")
    await grant(database, "A-102", "10", "2026-01-20T12:00:00Z")
    await grant(database, "A-103", "100", "2026-01-20T12:00:00Z", invoice_id="i-2")
    await grant(database, "A-104", "1000", "2026-03-20T12:00:00Z")
    await grant(database, "A-105", "1000", "2026-01-20T12:00:00Z", invoice_id="", treatment="no-charge")
    assert (await cases.money_context(CASE)).granted_invoice_gbp == {"i-1": Decimal(11), "i-2": Decimal(100)}


async def test_leads_that_another_case_was_granted(cases: PostgresCases, database: Database) -> None:
    await database.execute(
        "INSERT INTO case_leads (case_id, ordinal, lead_id) VALUES ($1, 1, 'L-1001'), ($1, 2, 'L-1002')", CASE
    )
    await grant(database, "L-1001", "1", "2026-03-20T12:00:00Z")
    await grant(database, "L-1002", "1", "2026-03-20T12:00:00Z", case_id=CASE)
    assert (await cases.money_context(CASE)).credited_leads == ("L-1001",)


async def test_the_newest_limit_counts(cases: PostgresCases, database: Database) -> None:
    await database.execute(
        """INSERT INTO policy (name, version, value)
           VALUES ('approval-limit', 2, '{"amount": "250.00", "currency": "GBP"}')"""
    )
    assert (await cases.money_context(CASE)).limit_gbp == 250


async def test_rates_come_with_the_one_before_them(cases: PostgresCases, database: Database) -> None:
    today = date(2026, 3, 31)
    for currency, days, gbp in (("EUR", 9, "0.84"), ("EUR", 2, "0.86"), ("USD", 1, "0.79"), ("EUR", 30, "0.80")):
        await database.execute(
            "INSERT INTO rates (currency, on_date, gbp) VALUES ($1, $2, $3)",
            currency, today - timedelta(days=days), Decimal(gbp),
        )  # fmt: skip
    context = await cases.money_context(CASE)
    assert context.rates == (
        Rate(currency="EUR", gbp=Decimal("0.86"), on=date(2026, 3, 29), before=Decimal("0.84")),
        Rate(currency="USD", gbp=Decimal("0.79"), on=date(2026, 3, 30)),
    )
    assert rate_in_gbp("EUR", context) == Decimal("0.86")
    await database.execute("INSERT INTO rates (currency, on_date, gbp) VALUES ('EUR', '2026-04-01', 0.86)")
    assert rate_in_gbp("EUR", await cases.money_context(CASE)) is None


async def test_a_case_without_a_known_client_has_no_context(cases: PostgresCases, add_case: AddCase) -> None:
    other = await add_case("return-lead/unknown", client_id="")
    with pytest.raises(Permanent):
        await cases.money_context(other)
