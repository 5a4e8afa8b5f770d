from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.gate import LeadRow, MoneyContext, Rate
from domain.messages import ActKind, Auth
from domain.money import Currency, Money
from domain.return_lead import BillingState, LeadBilling
from domain.rules.authority import ACT_RULES, judge, may_sign, rate_in_gbp

TODAY = date(2026, 3, 10)
AUTHS = [*(auth.value for auth in Auth), "", "OIDC"]


def context(**changes: Any) -> MoneyContext:
    usual: dict[str, Any] = {"client_id": "C-1", "contact_id": "c", "today": TODAY, "limit_gbp": Decimal(500)}
    return MoneyContext(**(usual | changes))


def row(lead_id: str = "L-1", price: str | None = "40.00", *, changed: bool = False) -> LeadRow:
    money = Money(amount=Decimal(price)) if price is not None else None
    received = datetime(2026, 3, 1, tzinfo=UTC)
    return LeadRow(lead_id=lead_id, client_id="C-1", price=money, price_changed=changed, received_at=received)


def lead(
    gross: str | None, *, state: BillingState = BillingState.ISSUED, currency: Currency = "GBP", lead_id: str = "L-1"
) -> LeadBilling:
    invoice = "I-1" if state in {BillingState.ISSUED, BillingState.PAID, BillingState.DRAFT} else ""
    amount = Decimal(gross) if gross is not None else None
    return LeadBilling(lead_id=lead_id, state=state, invoice_id=invoice, gross=amount, currency=currency)


def why(*leads: LeadBilling, rows: tuple[LeadRow, ...] = (), **changes: Any) -> str:
    return judge(leads, rows or tuple(row(one.lead_id) for one in leads), context(**changes)).approval


def rate(gbp: str = "0.85", *, days: int = 0, before: str | None = None) -> Rate:
    return Rate(
        currency="EUR", gbp=Decimal(gbp), on=TODAY - timedelta(days=days), before=Decimal(before) if before else None
    )


@pytest.mark.clause("RL-14")
@pytest.mark.parametrize(
    ("gross", "code"), [("500.00", ""), ("500.01", "above-the-limit"), ("500.0000001", "above-the-limit")]
)
def test_strictly_more_than_the_limit_needs_an_approver(gross: str, code: str) -> None:
    assert why(lead(gross)) == code
    assert why(lead(gross, state=BillingState.PAID)) == code


@pytest.mark.clause("RL-14")
def test_the_leads_of_a_request_are_added_up() -> None:
    two = (lead("250.00"), lead("250.00", lead_id="L-2"))
    assert why(*two) == ""
    assert why(*two, lead("0.01", lead_id="L-3")) == "above-the-limit"


@pytest.mark.clause("RL-14")
def test_what_was_granted_this_month_counts() -> None:
    assert why(lead("300.00"), granted_month_gbp=Decimal("200.00")) == ""
    assert why(lead("300.01"), granted_month_gbp=Decimal("200.00")) == "above-the-limit"


@pytest.mark.clause("RL-14")
def test_what_was_granted_on_the_same_invoice_counts_and_on_others_not() -> None:
    granted = {"I-1": Decimal("200.00"), "I-2": Decimal("900.00")}
    judged = judge([lead("300.01")], [row()], context(granted_invoice_gbp=granted, granted_month_gbp=Decimal(0)))
    assert (judged.granted_gbp, judged.approval) == (Decimal("200.00"), "above-the-limit")
    assert why(lead("300.00"), granted_invoice_gbp=granted) == ""


def test_an_invoice_with_several_leads_of_the_request_counts_once() -> None:
    judged = judge(
        [lead("1.00"), lead("1.00", lead_id="L-2")],
        [row(), row("L-2")],
        context(granted_invoice_gbp={"I-1": Decimal(100)}, granted_month_gbp=Decimal(10)),
    )
    assert (judged.total_gbp, judged.granted_gbp) == (Decimal(2), Decimal(110))


@pytest.mark.clause("RL-14")
@pytest.mark.parametrize("state", [BillingState.UNBILLED, BillingState.VOIDED])
@pytest.mark.parametrize(
    ("billed", "recorded"),
    [
        (None, row(price=None)),
        ("0.00", row(price="0.00")),
        ("40.00", row(changed=True)),
        ("40.00", row(price=None)),
    ],
)
def test_a_price_missing_zero_or_changed_needs_an_approver(
    state: BillingState, billed: str | None, recorded: LeadRow
) -> None:
    assert why(lead(billed, state=state), rows=(recorded,)) == "price-missing-or-changed"
    assert why(lead("40.00", state=state)) == ""


def test_what_the_books_say_of_an_invoiced_lead_needs_no_recorded_price() -> None:
    assert why(lead("40.00"), rows=(row(price=None, changed=True),)) == ""


def test_a_lead_the_books_already_credit_needs_an_approver() -> None:
    assert why(lead("1.00", state=BillingState.CREDITED)) == "already-credited-in-the-books"


def test_a_lead_that_another_case_was_granted_needs_an_approver() -> None:
    assert why(lead("1.00"), credited_leads=("L-1",)) == "already-granted"
    assert why(lead("1.00"), credited_leads=("L-2",)) == ""


def test_a_negative_amount_makes_no_room_for_others() -> None:
    assert why(lead("900.00"), lead("-500.00", lead_id="L-2")) == "amount-below-zero"


def test_a_client_without_a_contact_in_the_books_needs_an_approver() -> None:
    assert why(lead("1.00", state=BillingState.UNBILLED), contact_id="") == "client-has-no-contact-in-the-books"


@pytest.mark.parametrize(
    "rates",
    [
        (),
        (rate(days=8),),
        (rate(days=-1),),
        (rate("0.85", before="0.80"),),
        (rate("0.80", before="0.85"),),
    ],
    ids=["missing", "stale", "future", "jumped up", "jumped down"],
)
def test_a_rate_that_does_not_count_needs_an_approver(rates: tuple[Rate, ...]) -> None:
    assert rate_in_gbp("EUR", context(rates=rates)) is None
    assert why(lead("1.00", currency="EUR"), rates=rates) == "no-valid-rate"


@pytest.mark.parametrize("good", [rate(), rate(days=7), rate("0.84", before="0.80"), rate("0.76", before="0.80")])
def test_a_rate_of_the_last_seven_days_within_five_percent_counts(good: Rate) -> None:
    assert rate_in_gbp("EUR", context(rates=(good,))) == good.gbp


def test_other_currencies_are_compared_in_pounds_and_unrounded() -> None:
    rates = (rate("0.8500001"),)
    assert why(lead("588.23", currency="EUR"), rates=(rate(),)) == ""
    assert why(lead("588.24", currency="EUR"), rates=(rate(),)) == "above-the-limit"
    assert judge([lead("100.00", currency="EUR")], [row()], context(rates=rates)).total_gbp == Decimal("85.00001")


def test_pounds_need_no_rate() -> None:
    assert rate_in_gbp("GBP", context()) == 1


@given(
    st.lists(st.integers(1, 60_000), min_size=1, max_size=8),
    st.integers(0, 60_000),
    st.integers(0, 60_000),
)
def test_no_split_of_an_amount_comes_by_the_approver(pennies: list[int], month: int, invoice: int) -> None:
    leads = [lead(str(Decimal(each) / 100), lead_id=f"L-{n}") for n, each in enumerate(pennies)]
    granted: dict[str, Any] = {
        "granted_month_gbp": Decimal(month) / 100,
        "granted_invoice_gbp": {"I-1": Decimal(invoice) / 100},
    }
    above = sum(pennies) + month + invoice > 50_000
    assert why(*leads, **granted) == ("above-the-limit" if above else "")


@pytest.mark.parametrize("kind", list(ActKind))
@pytest.mark.parametrize("auth", AUTHS)
def test_whatever_money_follows_from_is_signed_by_a_person_who_logged_in(kind: ActKind, auth: str) -> None:
    refusal = may_sign(kind, auth, local_counts=False)
    if ACT_RULES[kind].money:
        assert (refusal == "") == (auth == "oidc")
    if auth in {"email", "chat", "", "OIDC", "local"}:
        assert refusal == "auth-not-allowed"


@pytest.mark.parametrize("kind", list(ActKind))
def test_a_local_login_counts_only_where_every_vendor_is_a_stand_in(kind: ActKind) -> None:
    assert may_sign(kind, "local", local_counts=True) == ""
    assert may_sign(kind, "local", local_counts=False) == "auth-not-allowed"


def test_a_kind_nobody_knows_is_refused() -> None:
    assert may_sign("return.everything", "oidc", local_counts=True) == "unknown-kind"


@pytest.mark.clause("RL-14")
def test_a_lead_once_put_to_an_approver_needs_him_whatever_it_comes_to() -> None:
    assert why(lead("1.00"), put_leads=("L-1",)) == "put-to-the-approver-before"
    assert why(lead("1.00"), put_leads=("L-2",)) == ""
    assert why(lead("500.01"), put_leads=("L-1",)) == "above-the-limit"
