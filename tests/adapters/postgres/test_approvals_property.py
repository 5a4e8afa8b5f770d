"""Never more than GBP 500 a month without an approver: whatever is filed, decided, withdrawn, filed again, at once."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.postgres.crypto import Vault
from domain.effects import Effect
from domain.messages import ActKind
from domain.return_lead import LeadBilling, Reduction, Withdrawal
from domain.texts import digest
from tests.adapters.postgres.test_approvals import confirmed, decided, withdraw
from tests.adapters.postgres.test_gate import confirm, listing, verdicts
from tests.conftest import Database
from tests.signing import Agency, findings, issued, make_agency, unbilled

Word = Literal["none", "pending", "approve", "reject", "ask-back", "withdraw", "sent-then-withdraw"]
_RUNS = count()


@dataclass(frozen=True)
class Filed:
    """One request: its leads in pence, how they are billed, what becomes of it."""

    pennies: tuple[int, ...]
    invoiced: tuple[bool, ...]  # lead by lead; the last holds for those after it
    currency: Literal["GBP", "EUR", "USD"]
    alias: bool  # filed under another client of the same contact
    word: Word
    refiled: bool  # closed, and all its leads filed again in another case
    reduced: bool
    cancelled: bool  # closed after what it reserved, which stays reserved
    days: int  # that pass afterwards


FILED = st.builds(
    Filed,
    pennies=st.lists(
        st.sampled_from([20_000, 1, 12_500, 24_999, 25_000, 25_001, 50_000, 50_001]), min_size=1, max_size=3
    ).map(tuple),
    invoiced=st.lists(st.booleans(), min_size=1, max_size=3).map(tuple),
    currency=st.sampled_from(["GBP", "GBP", "EUR", "EUR", "USD"]),
    alias=st.booleans(),
    word=st.sampled_from(
        ["none", "none", "none", "none", "pending", "approve", "reject", "ask-back", "withdraw", "sent-then-withdraw"]
    ),
    refiled=st.booleans(),
    reduced=st.booleans(),
    cancelled=st.booleans(),
    days=st.sampled_from([0, 0, 0, 1, 20, 32]),
)


@pytest.fixture
async def agency(database: Database, vault: Vault, tmp_path: Path) -> Agency:
    made = await make_agency(database, vault, tmp_path)
    await made.add_client("acme-two", "c-1")
    await made.rate("0.85")  # of the euro; for the dollar there is none: it needs the approver whatever it is
    return made


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(requests=st.lists(FILED, min_size=2, max_size=5), at_once=st.booleans())
async def test_never_more_than_the_limit_a_month_without_the_approver(
    agency: Agency, requests: list[Filed], at_once: bool
) -> None:
    await agency.database.execute("TRUNCATE grants, promise_credits")
    run, passed = f"{next(_RUNS):06d}", timedelta(0)
    if at_once:
        await asyncio.gather(*(_run(agency, f"{run}{n}", filed) for n, filed in enumerate(requests)))
    for n, filed in enumerate([] if at_once else requests):
        await _run(agency, f"{run}{n}", filed)
        passed += timedelta(days=filed.days)
        await agency.database.shift(passed)
    await agency.database.shift(timedelta(0))
    await _holds(agency)


async def _holds(agency: Agency) -> None:
    """Unsigned grants of a contact within a month stay within the limit; no lead put to the approver is among them; and
    whatever is granted under an approval is so by an act that names it.
    """
    months = await agency.database.fetch(
        "SELECT sum(gbp) AS gbp FROM grants WHERE approved_jti = ''"
        " GROUP BY contact_id, date_trunc('month', granted_at AT TIME ZONE 'Europe/London')"
    )
    assert all(row["gbp"] <= 500 for row in months)
    unsigned = "SELECT count(*) FROM grants g JOIN put_to_approver p USING (lead_id) WHERE g.approved_jti = ''"
    assert await agency.database.value(f"{unsigned} AND p.since < g.granted_at") == 0
    strangers = """SELECT count(*) FROM grants g
        LEFT JOIN acts a ON a.jti = g.approved_jti AND a.kind = 'return.approve' AND a.case_id = g.case_id
            AND a.subject LIKE '%"' || g.lead_id || '"%'
        WHERE g.approved_jti <> '' AND a.jti IS NULL"""
    assert await agency.database.value(strangers) == 0


async def _run(agency: Agency, name: str, filed: Filed) -> None:
    kinds = (*filed.invoiced, *[filed.invoiced[-1]] * len(filed.pennies))
    plain = [
        (issued if kinds[n] else unbilled)(f"L-{name}{n}", str(Decimal(each) / 100))
        for n, each in enumerate(filed.pennies)
    ]
    invoice = {"invoice_id": f"inv-{name}"}
    money = {"currency": filed.currency}
    billed = [one.model_copy(update=(invoice if one.invoice_id else {}) | money) for one in plain]
    client = "acme-two" if filed.alias else "acme"
    for one in billed:
        await agency.add_lead(one.lead_id, str(one.gross), client, one.currency)
    await _file(agency, f"return-lead/{name}", billed, filed, client)
    if filed.refiled:
        ids = [one.lead_id for one in billed]
        await agency.database.execute("UPDATE case_leads SET active = false WHERE lead_id = ANY($1)", ids)
        again = replace(filed, word="none", refiled=False)
        await _file(agency, f"return-lead/{name}-again", billed, again, client)


async def _file(agency: Agency, case_id: str, billed: Sequence[LeadBilling], filed: Filed, client: str) -> None:
    leads = [one.lead_id for one in billed]
    await agency.add_case(leads, case_id, client)
    await agency.does("ann", ActKind.FINDINGS, findings(leads), case_id=case_id)
    await agency.bill(*billed, case_id=case_id)
    step_id = await _decide(agency, case_id, filed.word)
    left = billed
    if filed.reduced and len(billed) > 1:
        gone = Reduction(leads=(Withdrawal(lead_id=leads[0], text_sha256=digest("x")),))
        await agency.does("bob", ActKind.REDUCE, gone, case_id=case_id)
        left = billed[1:]
    await confirmed(agency, case_id)
    unbilled_too: list[Effect] = [listing(case_id)] if any(not one.invoice_id for one in left) else []
    invoiced_too: list[Effect] = [confirm(case_id)] if any(one.invoice_id for one in left) else []
    codes = await verdicts(agency, left, *unbilled_too, *invoiced_too, case_id=case_id)
    refusing = filed.word in {"pending", "reject", "ask-back", "withdraw"}
    assert not refusing or "go" not in codes
    if filed.cancelled:
        await agency.database.execute("UPDATE case_leads SET active = false WHERE case_id = $1", case_id)
    if filed.word == "sent-then-withdraw" and set(codes) == {"go"}:
        assert await withdraw(agency, case_id=case_id, step_id=step_id) == ""


async def _decide(agency: Agency, case_id: str, word: Word) -> str:
    """The approver's word, if there is one, and the step he gave it at."""
    if word == "none":
        return ""
    if word == "pending":
        await agency.ask("approval", case_id=case_id)
        return ""
    kinds = {"reject": ActKind.REJECT, "ask-back": ActKind.ASK_BACK}
    step_id = await _decided(agency, case_id, kinds.get(word, ActKind.APPROVE))
    if word == "withdraw":
        assert await withdraw(agency, case_id=case_id, step_id=step_id) == ""
    return step_id


async def _decided(agency: Agency, case_id: str, kind: ActKind) -> str:
    """He looks again whenever something was reserved between showing and deciding."""
    for attempt in range(1, 20):
        step_id = f"approval.{attempt}"
        try:
            await decided(agency, kind, case_id=case_id, step_id=step_id)
        except AssertionError:
            assert await agency.refusals(case_id) == {"subject-changed": attempt}
        else:
            return step_id
    raise AssertionError("never decided")
