"""Limits, rates and stand-ins change only by signed acts of the approver or a partner who is not involved."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from adapters.postgres.audit import verify
from adapters.postgres.crypto import Vault
from adapters.postgres.directory import PostgresDirectory
from adapters.postgres.orders import read_orders, read_settings
from adapters.postgres.orders_proven import hierarchy, limit_in_force, proven_rates, vat_in_force
from adapters.postgres.pool import transaction
from domain.errors import Refused
from domain.messages import ActBody, ActKind
from domain.money import Money
from domain.orders import PolicyOrder, PriceIn, PricesOrder, RateIn, RatesOrder, StandInOrder, VatBasis
from domain.return_lead import StepResult
from runtime.keys import Signer, local_signer, rotate, signed_act
from tests.conftest import Database
from tests.signing import CASE, DEPLOYMENT, Agency, findings, identity, make_agency, prices


@pytest.fixture
async def agency(database: Database, vault: Vault, tmp_path: Path) -> Agency:
    return await make_agency(database, vault, tmp_path)


def limit(amount: str = "400.00", **changes: Any) -> PolicyOrder:
    return PolicyOrder(name="approval-limit", value=Money(amount=Decimal(amount))).model_copy(update=changes)


async def today(agency: Agency) -> date:
    return cast("date", await agency.database.value("SELECT (holdfast_now() AT TIME ZONE 'Europe/London')::date"))


async def in_force(agency: Agency, since: datetime | None = None) -> Decimal:
    async with transaction(agency.money, reading=True) as conn:
        return await limit_in_force(conn, agency.trust, since)


async def refused(agency: Agency, code: str, person: str, kind: ActKind, result: Any, /, **changes: Any) -> None:
    """The order is refused with this code, which is told, and nothing changes."""
    with pytest.raises(Refused) as caught:
        await agency.order(person, kind, result, **changes)
    assert caught.value.code == code
    assert await agency.database.value("SELECT count(*) FROM orders") == 0
    assert await agency.database.value("SELECT count(*) FROM policy WHERE name = 'approval-limit'") == 1
    assert await agency.told("act.refused", "") == 1


# In force -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("person", ["shobhit", "pia"])
async def test_an_order_of_the_approver_or_a_partner_holds_from_then_on(agency: Agency, person: str) -> None:
    assert await in_force(agency) == 500
    jti = await agency.order(person, ActKind.SET_POLICY, limit())
    assert await in_force(agency) == 400
    (newest, first, *_) = await read_settings(agency.money)
    assert (newest["version"], newest["jti"], newest["value"]["amount"]) == (2, jti, "400.00")
    assert (first["version"], first["jti"]) == (1, "")
    assert [(one["jti"], one["person_id"]) for one in await read_orders(agency.money)] == [(jti, person)]
    assert await agency.told("act.accepted", "") == 1
    async with transaction(agency.money, reading=True) as conn:
        assert (await verify(conn)).whole


async def test_the_lowest_limit_since_a_moment_counts(agency: Agency) -> None:
    async def clock() -> datetime:
        return cast("datetime", await agency.database.value("SELECT holdfast_now()"))

    start = await clock()
    for n, amount in enumerate(("300.00", "900.00", "700.00"), 1):
        await agency.database.shift(timedelta(hours=n))
        await agency.order("pia", ActKind.SET_POLICY, limit(amount))
    assert await in_force(agency, start) == 300
    assert await in_force(agency, start + timedelta(hours=1, minutes=30)) == 300
    assert await in_force(agency, start + timedelta(hours=2, minutes=30)) == 700
    assert await in_force(agency, await clock()) == 700


async def test_the_very_same_order_again_changes_nothing(agency: Agency) -> None:
    now = await agency.clock()
    present = await agency.orders.present(limit())
    body = ActBody(
        kid="", jti="j", kind="policy.set", deployment=DEPLOYMENT, case_id="", workflow_id="", step_id="",
        subject_sha256=present.sha256, payload_sha256="", actor=identity("pia"), auth="oidc", auth_time=now, iat=now,
        exp=now + 900,
    )  # fmt: skip
    act = signed_act(agency.signer, body, limit())
    for _ in range(2):
        assert await agency.orders.record(act) == "j"
    assert len(await read_orders(agency.money)) == 1
    other = signed_act(agency.signer, body, limit("1.00"))
    with pytest.raises(Refused, match="already used"):
        await agency.orders.record(other)


async def vat(agency: Agency, since: datetime | None = None) -> str:
    async with transaction(agency.money, reading=True) as conn:
        return await vat_in_force(conn, agency.trust, since)


async def test_amounts_count_with_vat_unless_an_order_says_otherwise(agency: Agency) -> None:
    began = datetime.fromtimestamp(await agency.clock(), UTC)
    assert await vat(agency) == "with"
    await agency.order("shobhit", ActKind.SET_POLICY, PolicyOrder(name="vat-basis", value=VatBasis(vat="without")))
    assert await vat(agency) == "without"
    assert await vat(agency, began) == "with"  # a case that began with VAT keeps it
    newest = next(one for one in await read_settings(agency.money) if one["name"] == "vat-basis")
    assert (newest["version"], newest["value"]) == (2, {"vat": "without"})


async def test_an_ordered_price_is_a_version_of_its_own(agency: Agency) -> None:
    await agency.add_lead("L-1001", "60.00")
    jti = await agency.order("pia", ActKind.SET_PRICES, prices("L-1001", "50.00"))
    rows = await agency.database.fetch("SELECT version, price, act_jti FROM lead_prices ORDER BY version")
    assert [tuple(row) for row in rows] == [(1, Decimal("60.00"), ""), (2, Decimal("50.00"), jti)]
    assert await agency.told("act.accepted", "") == 1


@pytest.mark.parametrize("named", [(), ("L-1001", "L-1001"), ("L-9999",)])
async def test_prices_of_nothing_twice_or_of_unknown_leads_are_refused(agency: Agency, named: tuple[str, ...]) -> None:
    await agency.add_lead("L-1001", "60.00")
    order = PricesOrder(prices=tuple(PriceIn(lead_id=one, price=Money(amount=Decimal(1))) for one in named))
    await refused(agency, "prices-do-not-fit", "pia", ActKind.SET_PRICES, order)


async def test_rates_hold_with_the_one_before_them(agency: Agency) -> None:
    await agency.rate("0.85", 2)
    await agency.rate("0.86", 1)
    async with transaction(agency.money, reading=True) as conn:
        (rate,) = await proven_rates(conn, agency.trust)
    assert (rate.gbp, rate.before) == (Decimal("0.86"), Decimal("0.85"))


async def test_an_order_outlives_a_rotation_and_whoever_signed_it(agency: Agency) -> None:
    await agency.order("pia", ActKind.SET_POLICY, limit())
    await agency.database.shift(timedelta(days=400))
    rotate(agency.keys_dir, datetime.fromisoformat(str(await agency.database.value("SELECT holdfast_now()"))))
    await agency.database.execute("UPDATE money_people SET until = holdfast_now() WHERE sub = 'pia'")
    assert await in_force(agency) == 400


async def test_a_later_order_for_the_same_two_replaces_the_first(agency: Agency) -> None:
    day = await today(agency)
    for ceiling in ("2000", "10"):
        order = StandInOrder(
            approver=identity("shobhit"), stand_in=identity("otto"), starts=day, ends=day, ceiling_gbp=Decimal(ceiling)
        )
        await agency.order("shobhit", ActKind.SET_STAND_IN, order)
    async with transaction(agency.money, reading=True) as conn:
        now = await conn.fetchval("SELECT holdfast_now()")
        assert (await hierarchy(conn, agency.trust)).stand_ins(now).get(identity("otto")) == 10


async def test_the_stand_in_of_today_is_asked_beside_the_approver_and_the_partner_where_there_is_none(
    agency: Agency,
) -> None:
    directory = PostgresDirectory(agency.sops)
    assert [one.person_id for one in (await directory.asked("role:approver")).people] == ["shobhit"]
    day = await today(agency)
    order = StandInOrder(
        approver=identity("shobhit"), stand_in=identity("otto"), starts=day, ends=day, ceiling_gbp=Decimal(9)
    )
    await agency.order("pia", ActKind.SET_STAND_IN, order)
    assert [one.person_id for one in (await directory.asked("role:approver")).people] == ["shobhit", "otto"]
    await agency.database.shift(timedelta(days=1))
    assert [one.person_id for one in (await directory.asked("role:approver")).people] == ["shobhit"]
    await agency.database.execute("UPDATE money_people SET until = holdfast_now() WHERE sub = 'shobhit'")
    asked = await directory.asked("role:approver")
    assert ([one.person_id for one in asked.people], bool(asked.fell_back)) == (["pia"], True)


# Refused --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("person", ["ann", "carl", "otto", "mallory"])
async def test_nobody_else_sets_anything(agency: Agency, person: str) -> None:
    await refused(agency, "not-a-setter", person, ActKind.SET_POLICY, limit())


async def test_a_partner_with_a_hand_in_an_open_case_sets_nothing(agency: Agency) -> None:
    await agency.add_lead("L-1001")
    await agency.add_case(["L-1001"])
    await agency.database.execute("INSERT INTO memberships VALUES ('pia', 'team:return-leads')")
    await agency.does("pia", ActKind.FINDINGS, findings(["L-1001"]))
    await refused(agency, "involved", "pia", ActKind.SET_POLICY, limit())
    await agency.database.execute("UPDATE cases SET status = 'closed'")
    await agency.order("pia", ActKind.SET_POLICY, limit())


@pytest.mark.parametrize(
    "result",
    [
        PolicyOrder(name="chase-every", value=Money(amount=Decimal(1))),
        PolicyOrder(name="approval-limit", value=Money(amount=Decimal(1), currency="EUR")),
        PolicyOrder(name="approval-limit", value=VatBasis(vat="without")),
        PolicyOrder(name="vat-basis", value=Money(amount=Decimal(1))),
    ],
)
async def test_only_the_limit_is_set_in_pounds_and_the_vat_basis(agency: Agency, result: PolicyOrder) -> None:
    await refused(agency, "unknown-policy", "pia", ActKind.SET_POLICY, result)


@pytest.mark.parametrize("days_ago", [[-1], [0, 0]])
async def test_rates_of_the_future_or_two_for_a_day_are_refused(agency: Agency, days_ago: list[int]) -> None:
    day = await today(agency)
    rates = tuple(RateIn(currency="EUR", on=day - timedelta(days=n), gbp=Decimal(1)) for n in days_ago)
    await refused(agency, "rates-do-not-fit", "pia", ActKind.IMPORT_RATES, RatesOrder(rates=rates))


@pytest.mark.parametrize("days_ago", [1, 2])
async def test_a_rate_is_never_backdated_nor_changed(agency: Agency, days_ago: int) -> None:
    await agency.rate("0.85", 1)
    with pytest.raises(Refused, match="one rate a day"):
        await agency.rate("0.10", days_ago)
    assert await agency.database.value("SELECT count(*) FROM rates") == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"deployment": "production"}, "wrong-deployment"),
        ({"case_id": CASE}, "wrong-case"),
        ({"step_id": "approval"}, "wrong-case"),
        ({"acting_for": "shobhit"}, "acting-for-not-allowed"),
        ({"auth": "api_key"}, "auth-not-allowed"),
        ({"auth": "email"}, "auth-not-allowed"),
        ({"auth": "local"}, "auth-not-allowed"),
        ({"auth_time": 0}, "login-too-old"),
        ({"exp": 2**40}, "lives-too-long"),
        ({"iat": 0, "auth_time": 0, "exp": 900}, "expired"),
        ({"subject_sha256": "0" * 64}, "subject-changed"),
        ({"kind": "rates.import"}, "payload-malformed"),
    ],
)
async def test_an_order_of_something_else(agency: Agency, changes: dict[str, Any], code: str) -> None:
    await refused(agency, code, "pia", ActKind.SET_POLICY, limit(), **changes)


async def test_a_stale_order_is_refused_after_another_one(agency: Agency) -> None:
    before = await agency.orders.present(limit())
    await agency.order("pia", ActKind.SET_POLICY, limit())
    with pytest.raises(Refused, match="changed since"):
        await agency.order("shobhit", ActKind.SET_POLICY, limit("9000.00"), subject_sha256=before.sha256)


async def test_an_order_by_an_unknown_key_under_any_name(agency: Agency, tmp_path: Path) -> None:
    forger = local_signer(tmp_path / "forger")
    await refused(agency, "unknown-key", "pia", ActKind.SET_POLICY, limit(), signer=forger)
    named = Signer(agency.signer.kid, forger.private)
    with pytest.raises(Refused, match="does not fit"):
        await agency.order("pia", ActKind.SET_POLICY, limit(), signer=named)


async def test_an_act_about_a_step_is_no_order(agency: Agency) -> None:
    await refused(agency, "unknown-kind", "pia", ActKind.DONE, StepResult())


async def test_an_order_is_no_act_about_a_step(agency: Agency) -> None:
    await agency.add_lead("L-1001")
    await agency.add_case(["L-1001"])
    await agency.ask("approval")
    act = await agency.sign("shobhit", ActKind.SET_POLICY, limit("9000.00"), step_id="approval")
    got = await agency.record("approval", act, kinds=("policy.set", "return.approve"))
    assert (got.accepted, await agency.refusals()) == (-1, {"kind-not-asked": 1})


# Inserted past every check --------------------------------------------------------------------------------------------

COPY = """INSERT INTO orders (jti, kind, issuer, sub, person_id, body, payload, signature, subject)
    SELECT {jti}, kind, {issuer}, sub, person_id, body, {payload}, signature, subject FROM orders"""


@pytest.mark.parametrize(
    "changed",
    [
        {"jti": "'another'"},
        {"jti": "'another'", "payload": "replace(payload, '400', '9000')"},
        {"jti": "'another'", "issuer": "'https://evil.example'"},
    ],
)
async def test_an_order_copied_or_changed_by_sql_proves_nothing(agency: Agency, changed: dict[str, str]) -> None:
    await agency.order("pia", ActKind.SET_POLICY, limit())
    door = await agency.database.pool("door")
    await door.execute(COPY.format_map({"issuer": "issuer", "payload": "payload"} | changed))
    assert await in_force(agency) == 400


async def test_an_order_signed_by_somebody_who_was_no_partner_proves_nothing(agency: Agency) -> None:
    now, present = await agency.clock(), await agency.orders.present(limit())
    body = ActBody(
        kid="", jti="j", kind="policy.set", deployment=DEPLOYMENT, case_id="", workflow_id="", step_id="",
        subject_sha256=present.sha256, payload_sha256="", actor=identity("otto"), auth="oidc", auth_time=now, iat=now,
        exp=now + 900,
    )  # fmt: skip
    act = signed_act(agency.signer, body, limit("9000.00"))
    door = await agency.database.pool("door")
    await door.execute(
        "INSERT INTO orders (jti, kind, issuer, sub, body, payload, signature, subject) "
        "VALUES ('j', 'policy.set', $1, 'otto', $2, $3, $4, $5)",
        identity("otto").issuer, act.body, act.payload, act.signature, present.json_text,
    )  # fmt: skip
    assert await in_force(agency) == 500
