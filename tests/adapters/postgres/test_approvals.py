"""RL-14: who approves what, and that nothing above the limit is granted without it. Attacks are tests of their own."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, cast
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from activities.ports import Intent, Settled
from adapters.postgres.crypto import Vault
from adapters.postgres.pool import transaction
from adapters.postgres.reader import CaseReader
from adapters.postgres.subjects import subject
from domain.effects import Effect
from domain.messages import ActBody, ActKind, SignedAct
from domain.money import Money
from domain.orders import PolicyOrder, StandInOrder, VatBasis
from domain.return_lead import (
    Billing,
    BillingState,
    Decision,
    FinalDecision,
    Finding,
    LeadBilling,
    Reason,
    Reassignment,
    Reduction,
    StepResult,
    Verdict,
    Withdrawal,
)
from domain.rules.acts import written
from domain.rules.authority import RULES_VERSION
from domain.subject import Subject
from domain.texts import digest
from runtime.keys import Signer, local_signer, rotate, signed_act
from tests.adapters.postgres.test_gate import (
    answer,
    authorise,
    carry_out,
    claim,
    confirm,
    draft,
    insert,
    listing,
    made,
    verdicts,
)
from tests.conftest import Database
from tests.signing import CASE, CONFIRMATION, Agency, findings, identity, issued, make_agency, prices, unbilled

OTHER = "return-lead/fedcba9876543210"
BIG = [issued("L-1001", "400.00"), issued("L-1002", "400.00")]
WHY = Decision(reason_sha256=digest("Their fourth complaint this month."))
YES = Decision()


@pytest.fixture
async def agency(database: Database, vault: Vault, tmp_path: Path) -> Agency:
    return await make_agency(database, vault, tmp_path)


async def found(agency: Agency, billed: Sequence[LeadBilling], case_id: str = CASE) -> None:
    """A case whose leads are all found valid and billed so; not confirmed."""
    for one in billed:
        query = "SELECT true FROM leads WHERE lead_id = $1"
        if not await agency.database.value(query, one.lead_id):
            await agency.add_lead(one.lead_id, str(one.gross) if one.gross else None, currency=one.currency)
    leads = [one.lead_id for one in billed]
    await agency.add_case(leads, case_id)
    await agency.does("ann", ActKind.FINDINGS, findings(leads), case_id=case_id)
    await agency.bill(*billed, case_id=case_id)


async def confirmed(agency: Agency, case_id: str = CASE, step_id: str = "confirm") -> None:
    await agency.does("bob", ActKind.CONFIRM, CONFIRMATION, step_id=step_id, name="confirm", case_id=case_id)


async def decided(
    agency: Agency,
    kind: ActKind = ActKind.APPROVE,
    person: str = "shobhit",
    *,
    case_id: str = CASE,
    step_id: str = "approval",
) -> None:
    result = YES if kind is ActKind.APPROVE else WHY
    await agency.does(person, kind, result, step_id=step_id, name="approval", case_id=case_id)


async def approved(agency: Agency, billed: Sequence[LeadBilling] = BIG, case_id: str = CASE) -> None:
    await found(agency, billed, case_id)
    await decided(agency, case_id=case_id)
    await confirmed(agency, case_id)


async def withdraw(agency: Agency, person: str = "shobhit", *, step_id: str = "approval", case_id: str = CASE) -> str:
    """Withdraws beside whatever is open; the refusal code, "" if it was taken."""
    before = dict(await agency.refusals(case_id))
    act = await agency.sign(person, ActKind.WITHDRAW, YES, step_id=step_id, case_id=case_id)
    got = await agency.record("authorise", act, case_id=case_id, problem="No step waits for this.")
    assert got.accepted == -1
    new = {code: n for code, n in (await agency.refusals(case_id)).items() if n != before.get(code)}
    assert bool(new) != bool(got.data.get("withdrawn"))
    return next(iter(new), "")


async def refused(agency: Agency, act: SignedAct, code: str, step_id: str = "approval", **more: Any) -> None:
    """It is refused with this code, visibly, and nothing is accepted."""
    before, told = await agency.stored(), await agency.told("act.refused")
    got = await agency.record(step_id, act, name="approval", **more)
    assert (got.accepted, got.refused) == (-1, 1)
    assert await agency.refusals() == {code: 1}
    assert await agency.stored() == before
    assert await agency.told("act.refused") == told + 1


async def asked(agency: Agency, billed: Sequence[LeadBilling] = BIG) -> None:
    await found(agency, billed)
    await agency.ask("approval")


async def approval(agency: Agency, person: str = "shobhit", result: Decision = YES, **changes: Any) -> SignedAct:
    kind = changes.pop("kind", ActKind.APPROVE)
    return await agency.sign(person, kind, result, step_id=changes.pop("step_id", "approval"), **changes)


async def stand_in(
    agency: Agency,
    person: str = "otto",
    *,
    days: tuple[int, int] = (0, 10),
    ceiling: str = "2000.00",
    by: str = "pia",
    **changes: Any,
) -> str:
    today = cast("date", await agency.database.value("SELECT (holdfast_now() AT TIME ZONE 'Europe/London')::date"))
    order = StandInOrder(
        approver=identity("shobhit"), stand_in=identity(person), starts=today + timedelta(days=days[0]),
        ends=today + timedelta(days=days[1]), ceiling_gbp=Decimal(ceiling),
    )  # fmt: skip
    return await agency.order(by, ActKind.SET_STAND_IN, order, **changes)


async def about(agency: Agency, case_id: str = CASE) -> Subject:
    async with transaction(agency.sops, reading=True) as conn:
        return await subject(conn, case_id, "approval", "approval", agency.trust)


async def granted(agency: Agency) -> dict[str, bool]:
    """Which leads were granted, and whether under an approval."""
    rows = await agency.database.fetch("SELECT lead_id, approved_jti <> '' AS approved FROM grants")
    return {row["lead_id"]: row["approved"] for row in rows}


# The path -------------------------------------------------------------------------------------------------------------


@pytest.mark.clause("RL-14")
async def test_above_the_limit_nothing_is_granted_until_the_approver_says_so(agency: Agency) -> None:
    await found(agency, BIG)
    await confirmed(agency)
    (one,) = await claim(agency, BIG, confirm())
    assert (one.verdict, one.code) == ("needs_approval", "above-the-limit")
    await decided(agency)
    await carry_out(agency, BIG, confirm(), draft())
    await agency.authorised()
    await carry_out(agency, BIG, authorise(), answer())
    assert await granted(agency) == {"L-1001": True, "L-1002": True}


@pytest.mark.clause("RL-14")
async def test_a_promise_passes_the_same_gate_as_a_credit_note(agency: Agency) -> None:
    billed = [unbilled("L-1001", "500.01")]
    await found(agency, billed)
    await confirmed(agency)
    assert await verdicts(agency, billed, listing()) == ["above-the-limit"]
    await decided(agency)
    assert await verdicts(agency, billed, listing()) == ["go"]


async def test_a_permit_names_the_approval_it_rests_on(agency: Agency) -> None:
    await approved(agency)
    await agency.prepare(confirm())
    (permit,) = await agency.gate.plan(CASE, CASE, [confirm().key])
    jti = await agency.database.value("SELECT jti FROM acts WHERE kind = 'return.approve'")
    assert (permit.approved_jti, jti in permit.jtis) == (jti, True)


async def test_what_is_approved_is_shown_with_this_months_earlier_grants_and_why(agency: Agency) -> None:
    await found(agency, [issued("L-3001", "300.00", "inv-3")], OTHER)
    await confirmed(agency, OTHER)
    await carry_out(agency, [issued("L-3001", "300.00", "inv-3")], confirm(OTHER), case_id=OTHER)
    await found(agency, [issued("L-1001", "200.01")])
    asking = (await about(agency)).asking
    assert asking is not None
    assert (asking.why, asking.total_gbp, asking.granted_gbp, asking.limit_gbp) == (
        "above-the-limit", Decimal("200.01"), Decimal("300.00"), Decimal(500),
    )  # fmt: skip
    (grant,) = asking.granted
    assert (grant.case_id, grant.lead_id, grant.gbp, grant.approved) == (OTHER, "L-3001", Decimal("300.00"), False)


@pytest.mark.clause("RL-14")
async def test_what_was_granted_under_an_approval_is_not_counted_any_more(agency: Agency) -> None:
    await approved(agency)
    await carry_out(agency, BIG, confirm())
    small = [issued("L-2001", "500.00", "inv-2")]
    await found(agency, small, OTHER)
    await confirmed(agency, OTHER)
    assert await verdicts(agency, small, confirm(OTHER), case_id=OTHER) == ["go"]
    assert await granted(agency) == {"L-1001": True, "L-1002": True, "L-2001": False}


async def test_what_is_raised_under_an_approval_is_granted_under_it_as_a_whole(agency: Agency) -> None:
    await found(agency, [issued("L-1001", "300.00")])
    await confirmed(agency)
    await carry_out(agency, [issued("L-1001", "300.00")], confirm())
    dearer = [issued("L-1001", "900.00")]
    await agency.bill(*dearer)
    await confirmed(agency, step_id="confirm.2")
    assert await verdicts(agency, dearer, draft()) == ["not-confirmed-to-accounts"]
    assert await verdicts(agency, dearer, confirm(n=2)) == ["above-the-limit"]
    await decided(agency)
    assert await verdicts(agency, dearer, confirm(n=2)) == ["go"]
    assert await granted(agency) == {"L-1001": True}


@pytest.mark.parametrize(
    "billed",
    [
        [LeadBilling(lead_id="L-1001", state=BillingState.UNBILLED)],
        [issued("L-1001", "10.00", currency="EUR")],
    ],
)
async def test_what_has_no_price_or_no_rate_is_granted_under_an_approval_alone(
    agency: Agency, billed: list[LeadBilling]
) -> None:
    effect: Effect = confirm() if billed[0].invoice_id else listing()
    await found(agency, billed)
    await confirmed(agency)
    assert await verdicts(agency, billed, effect) in (["no-valid-rate"], ["amount-not-signed"])
    await decided(agency)
    assert await verdicts(agency, billed, effect) == ["go"]
    assert await granted(agency) == {"L-1001": True}


async def test_what_had_no_price_is_not_credited_at_any_price(agency: Agency) -> None:
    billed = [LeadBilling(lead_id="L-1001", state=BillingState.UNBILLED)]
    await approved(agency, billed)
    await carry_out(agency, billed, listing())
    assert await verdicts(agency, [issued("L-1001", "9000.00")], answer()) == ["amount-above-signed"]


# Rejected, asked back, pending ----------------------------------------------------------------------------------------


@pytest.mark.clause("RL-14")
@pytest.mark.parametrize(
    ("kind", "code"),
    [(ActKind.REJECT, "approval-rejected"), (ActKind.ASK_BACK, "approval-asked-back")],
)
async def test_a_rejection_or_a_question_back_grants_nothing(agency: Agency, kind: ActKind, code: str) -> None:
    await found(agency, BIG)
    await decided(agency, kind)
    await confirmed(agency)
    assert await verdicts(agency, BIG, confirm()) == [code]
    await decided(agency, step_id="approval.2")
    assert await verdicts(agency, BIG, confirm()) == ["go"]


@pytest.mark.parametrize("kind", [ActKind.REJECT, ActKind.ASK_BACK])
async def test_without_a_reason_there_is_no_rejection(agency: Agency, kind: ActKind) -> None:
    await asked(agency)
    await refused(agency, await approval(agency, kind=kind), "reason-missing")


async def _put(agency: Agency, how: str) -> None:
    await found(agency, BIG)
    if how == "pending":
        await agency.ask("approval")
    else:
        await decided(agency, ActKind(how))


@pytest.mark.parametrize("how", ["pending", "return.reject", "return.ask_back"])
async def test_a_lead_once_put_to_the_approver_needs_him_below_the_limit_too(agency: Agency, how: str) -> None:
    await _put(agency, how)
    gone = Reduction(leads=(Withdrawal(lead_id="L-1002", text_sha256=digest("x")),))
    await agency.does("bob", ActKind.REDUCE, gone)
    await confirmed(agency)
    left = BIG[:1]
    (one,) = await claim(agency, left, confirm())
    assert one.verdict == "needs_approval"
    await decided(agency, step_id="approval.2")
    assert await verdicts(agency, left, confirm()) == ["go"]


@pytest.mark.parametrize("how", ["pending", "return.reject", "return.ask_back"])
async def test_a_lead_once_put_to_the_approver_needs_him_in_another_case_too(agency: Agency, how: str) -> None:
    await _put(agency, how)
    await agency.database.execute("UPDATE case_leads SET active = false")
    await found(agency, BIG[:1], OTHER)
    await confirmed(agency, OTHER)
    (one,) = await claim(agency, BIG[:1], confirm(OTHER), case_id=OTHER)
    assert (one.verdict, one.code) == ("needs_approval", "put-to-the-approver-before")
    await decided(agency, case_id=OTHER)
    assert await verdicts(agency, BIG[:1], confirm(OTHER), case_id=OTHER) == ["go"]


async def test_the_sops_worker_can_not_make_a_lead_forgotten_that_was_put_to_the_approver(agency: Agency) -> None:
    await _put(agency, "pending")
    for statement in (
        "DELETE FROM put_to_approver",
        "UPDATE put_to_approver SET lead_id = 'L-0'",
        "TRUNCATE put_to_approver",
        "INSERT INTO put_to_approver VALUES ('L-9', 'c', 's')",
    ):
        async with agency.sops.acquire() as conn:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.execute(statement)
    await agency.sops.execute("UPDATE case_steps SET kinds = '{}', name = 'nothing'")
    await agency.sops.execute("UPDATE case_leads SET billing = NULL")
    await agency.database.execute("UPDATE case_leads SET active = false")
    await found(agency, BIG[:1], OTHER)
    await confirmed(agency, OTHER)
    assert await verdicts(agency, BIG[:1], confirm(OTHER), case_id=OTHER) == ["put-to-the-approver-before"]


# What an approval covers ----------------------------------------------------------------------------------------------


async def test_an_approval_covers_its_leads_and_no_others(agency: Agency) -> None:
    await found(agency, BIG)
    await decided(agency)
    gone = Reduction(leads=(Withdrawal(lead_id="L-1002", text_sha256=digest("x")),))
    await agency.does("bob", ActKind.REDUCE, gone)
    await confirmed(agency)
    assert await verdicts(agency, BIG[:1], confirm()) == ["approval-void"]


@pytest.mark.parametrize("more", ["400.01", "4000.00"])
async def test_amounts_above_the_approved_ones_void_it(agency: Agency, more: str) -> None:
    await found(agency, BIG)
    await decided(agency)
    dearer = [issued("L-1001", more), BIG[1]]
    await agency.bill(*dearer)
    await confirmed(agency)
    assert await verdicts(agency, dearer, confirm()) == ["approval-void"]


async def test_the_books_amount_above_the_signed_one_is_refused(agency: Agency) -> None:
    await approved(agency)
    assert await verdicts(agency, [issued("L-1001", "400.01"), BIG[1]], confirm()) == ["amount-above-signed"]


async def test_a_lower_amount_is_covered(agency: Agency) -> None:
    await found(agency, BIG)
    await decided(agency)
    cheaper = [issued("L-1001", "399.00"), BIG[1]]
    await agency.bill(*cheaper)
    await confirmed(agency)
    assert await verdicts(agency, cheaper, confirm()) == ["go"]


@pytest.mark.parametrize("what", ["evidence", "currency", "contact"])
async def test_lines_edited_after_the_approval_void_it(agency: Agency, what: str) -> None:
    await found(agency, BIG)
    await decided(agency)
    now = list(BIG)
    match what:
        case "evidence":
            edited = findings(["L-1001", "L-1002"], evidence=[digest("another")])
            await agency.does("ann", ActKind.FINDINGS, edited, step_id="investigate.2", name="investigate")
        case "currency":
            await agency.rate("0.5")
            now = [issued("L-1001", "400.00", currency="EUR"), BIG[1]]
            await agency.bill(*now)
        case _:
            await agency.database.execute("UPDATE clients SET contact_id = 'c-9'")
    await confirmed(agency)
    assert await verdicts(agency, now, confirm()) == ["approval-void"]


async def test_how_it_is_settled_is_for_the_books_to_say_and_no_part_of_the_approval(agency: Agency) -> None:
    await found(agency, [unbilled("L-1001", "600.00")])
    await decided(agency)
    invoiced = [issued("L-1001", "600.00")]
    await agency.bill(*invoiced)
    await confirmed(agency)
    assert await verdicts(agency, invoiced, confirm()) == ["go"]


async def test_a_lead_overturned_in_a_dispute_passes_the_same_rule(agency: Agency) -> None:
    await agency.add_lead("L-1001")
    await agency.add_lead("L-1002")
    await agency.add_case(["L-1001", "L-1002"])
    await agency.database.execute("UPDATE clients SET csm_id = 'otto'")
    await agency.does("ann", ActKind.FINDINGS, findings(["L-1001"], ["L-1002"]))
    overturned = Finding(lead_id="L-1002", verdict=Verdict.VALID, reason=Reason.OTHER, text_sha256=digest("ok"))
    await agency.does("otto", ActKind.DECIDED, FinalDecision(overturned=(overturned,)))
    await agency.bill(*BIG)
    assert (await about(agency)).lead_ids == ("L-1001", "L-1002")
    await confirmed(agency)
    assert await verdicts(agency, BIG, confirm()) == ["above-the-limit"]


async def test_a_final_decision_is_about_refused_leads_alone(agency: Agency) -> None:
    await found(agency, BIG)
    await agency.database.execute("UPDATE clients SET csm_id = 'otto'")
    await agency.ask("dispute")
    upheld = FinalDecision(upheld=(Withdrawal(lead_id="L-1001", text_sha256=digest("no")),))
    act = await agency.sign("otto", ActKind.DECIDED, upheld, step_id="dispute")
    assert (await agency.record("dispute", act)).accepted == -1
    assert await agency.refusals() == {"leads-do-not-fit": 1}


# Time -----------------------------------------------------------------------------------------------------------------


async def test_a_reservation_made_between_showing_the_page_and_posting_voids_it(agency: Agency) -> None:
    other = [issued("L-3001", "100.00", "inv-3")]
    await found(agency, other, OTHER)
    await confirmed(agency, OTHER)
    await asked(agency)
    shown = await approval(agency)
    await carry_out(agency, other, confirm(OTHER), case_id=OTHER)
    await refused(agency, shown, "subject-changed")


async def test_a_reservation_in_between_voids_it_at_the_gate_too(agency: Agency) -> None:
    """Even if the SOP worker stores the act past every check."""
    other = [issued("L-3001", "100.00", "inv-3")]
    await found(agency, other, OTHER)
    await confirmed(agency, OTHER)
    await asked(agency)
    seen, shown = await about(agency), await approval(agency)
    await carry_out(agency, other, confirm(OTHER), case_id=OTHER)
    await insert(agency, shown, seen)
    await confirmed(agency)
    assert await verdicts(agency, BIG, confirm()) == ["approval-void"]


async def test_a_reservation_after_the_approval_changes_nothing_about_it(agency: Agency) -> None:
    other = [issued("L-3001", "100.00", "inv-3")]
    await found(agency, other, OTHER)
    await confirmed(agency, OTHER)
    await approved(agency)
    await carry_out(agency, other, confirm(OTHER), case_id=OTHER)
    assert await verdicts(agency, BIG, confirm()) == ["go"]


async def test_an_approval_and_a_reservation_at_once_are_one_after_the_other(agency: Agency) -> None:
    other = [issued("L-3001", "100.00", "inv-3")]
    await found(agency, other, OTHER)
    await confirmed(agency, OTHER)
    await asked(agency)
    act = await approval(agency)
    got, _ = await asyncio.gather(
        agency.record("approval", act), verdicts(agency, other, confirm(OTHER), case_id=OTHER)
    )
    first = await agency.database.value(
        "SELECT (SELECT min(granted_at) FROM grants) > (SELECT accepted_at FROM acts WHERE kind = 'return.approve')"
    )
    assert (got.accepted == 0) == bool(first)


async def test_an_approval_outlives_a_weekend_a_rotation_and_whoever_gave_it(agency: Agency) -> None:
    await approved(agency)
    await agency.database.shift(timedelta(days=3))
    rotate(agency.keys_dir, datetime.fromtimestamp(await agency.clock(), UTC))
    await agency.database.execute("UPDATE money_people SET until = holdfast_now() WHERE sub = 'shobhit'")
    assert await verdicts(agency, BIG, confirm()) == ["go"]


async def test_the_months_turn_frees_no_approval(agency: Agency) -> None:
    await found(agency, BIG)
    await confirmed(agency)
    await agency.database.shift(timedelta(days=32))
    assert await verdicts(agency, BIG, confirm()) == ["above-the-limit"]


# Withdrawing ----------------------------------------------------------------------------------------------------------


async def test_withdrawn_during_an_outage(agency: Agency) -> None:
    await approved(agency)
    await carry_out(agency, BIG, confirm())
    await agency.database.shift(timedelta(days=2))
    assert await withdraw(agency) == ""
    assert await verdicts(agency, BIG, draft()) == ["approval-withdrawn"]
    await agency.authorised()
    assert await verdicts(agency, BIG, authorise(), answer()) == ["not-drafted", "not-credited-yet"]
    await decided(agency, step_id="approval.2")
    await carry_out(agency, BIG, draft())


async def test_a_withdrawal_that_waited_for_the_worker_still_counts(agency: Agency) -> None:
    await approved(agency)
    exp = await agency.clock() + 24 * 3600
    act = await agency.sign("shobhit", ActKind.WITHDRAW, YES, step_id="approval", exp=exp)
    await agency.database.shift(timedelta(hours=5))
    assert (await agency.record("confirm", act)).data["withdrawn"]
    assert await verdicts(agency, BIG, confirm()) == ["approval-withdrawn"]


async def test_an_approval_held_back_until_after_its_withdrawal_does_not_win(agency: Agency) -> None:
    await found(agency, BIG)
    await agency.ask("approval")
    seen, first = await about(agency), await approval(agency)
    await agency.record("approval", first)
    await agency.database.shift(timedelta(seconds=5))
    held_back = await approval(agency)
    await agency.database.shift(timedelta(seconds=10))
    assert await withdraw(agency) == ""
    await insert(agency, held_back, seen)
    await confirmed(agency)
    assert await verdicts(agency, BIG, confirm()) == ["approval-withdrawn"]


async def test_a_withdrawal_ends_no_step_and_the_very_same_again_changes_nothing(agency: Agency) -> None:
    await approved(agency)
    await agency.ask("authorise")
    act = await agency.sign("shobhit", ActKind.WITHDRAW, YES, step_id="approval")
    for n in range(2):
        got = await agency.record("authorise", act, view_after=None)
        assert (got.accepted, got.refused, bool(got.data)) == (-1, 0, n == 0)
    assert await agency.database.value("SELECT state FROM case_steps WHERE step_id = 'authorise'") == "open"
    assert (await agency.stored()).count("return.withdraw") == 1


async def test_approved_and_withdrawn_in_one_batch_is_withdrawn(agency: Agency) -> None:
    await asked(agency)
    yes = await approval(agency)
    no = await agency.sign("shobhit", ActKind.WITHDRAW, YES, step_id="approval")
    got = await agency.record("approval", yes, no)
    assert (got.accepted, got.refused, bool(got.data["withdrawn"])) == (0, 0, True)
    await confirmed(agency)
    assert await verdicts(agency, BIG, confirm()) == ["approval-withdrawn"]


async def test_what_is_not_approved_can_not_be_withdrawn(agency: Agency) -> None:
    await asked(agency)
    assert await withdraw(agency) == "nothing-to-withdraw"
    await decided(agency, ActKind.REJECT)
    assert await withdraw(agency) == "nothing-to-withdraw"


async def test_what_is_carried_out_can_not_be_withdrawn_any_more(agency: Agency) -> None:
    await approved(agency)
    await carry_out(agency, BIG, confirm(), draft())
    await agency.authorised()
    await carry_out(agency, BIG, authorise(), answer())
    assert await withdraw(agency) == "already-carried-out"


@pytest.mark.parametrize("person", ["ann", "carl", "otto"])
async def test_only_an_approver_withdraws(agency: Agency, person: str) -> None:
    await approved(agency)
    assert await withdraw(agency, person) == "not-asked"


async def test_a_withdrawal_names_a_step_at_which_something_was_approved(agency: Agency) -> None:
    await approved(agency)
    assert await withdraw(agency, step_id="confirm") == "no-such-step"


# Who ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("person", ["ann", "bob", "mia", "carl", "otto", "pia"])
async def test_nobody_but_the_approver_approves(agency: Agency, person: str) -> None:
    await asked(agency)
    await refused(agency, await approval(agency, person), "not-asked")


async def test_a_membership_makes_no_approver(agency: Agency) -> None:
    await agency.database.execute("INSERT INTO memberships VALUES ('otto', 'role:approver'), ('ann', 'role:approver')")
    await asked(agency)
    await refused(agency, await approval(agency, "otto"), "not-asked")


async def test_a_rogue_workflow_asks_the_wrong_role(agency: Agency) -> None:
    await asked(agency)
    await refused(agency, await approval(agency, "ann"), "not-asked", role="team:return-leads")


async def _made_approver(agency: Agency, person: str) -> None:
    await agency.database.execute(
        "INSERT INTO money_people (role, issuer, sub, name) VALUES ('role:approver', $1, $2, $2)",
        identity(person).issuer, person,
    )  # fmt: skip


@pytest.mark.parametrize("kind", [ActKind.APPROVE, ActKind.REJECT])
async def test_the_investigator_can_not_decide(agency: Agency, kind: ActKind) -> None:
    await asked(agency)
    await _made_approver(agency, "ann")
    await refused(agency, await approval(agency, "ann", WHY, kind=kind), "may-not-approve")


async def test_the_confirmer_can_not_approve(agency: Agency) -> None:
    await found(agency, BIG)
    await confirmed(agency)
    await agency.ask("approval")
    await _made_approver(agency, "bob")
    await refused(agency, await approval(agency, "bob"), "may-not-approve")


async def test_the_requesters_side_can_not_approve(agency: Agency) -> None:
    await asked(agency)
    await agency.database.execute("UPDATE clients SET csm_id = 'shobhit'")
    await refused(agency, await approval(agency), "may-not-approve")


async def test_a_beneficiary_can_not_approve(agency: Agency) -> None:
    await asked(agency)
    await agency.database.execute("INSERT INTO client_addresses VALUES ('shobhit@example.com', 'acme')")
    await refused(agency, await approval(agency), "may-not-approve")


async def test_whoever_sent_the_request_can_not_approve(agency: Agency, vault: Vault) -> None:
    thread = b'{"sender": "shobhit@example.com", "arrived_at": "2026-03-01T09:00:00Z"}'
    await asked(agency)
    async with transaction(agency.sops) as conn:
        sealed = await vault.seal(conn, "acme", thread)
        await conn.execute("UPDATE cases SET thread_ct = $1", sealed)
    await refused(agency, await approval(agency), "may-not-approve")


async def test_where_the_approver_may_not_decide_the_partner_does(agency: Agency) -> None:
    await asked(agency)
    await agency.database.execute("UPDATE clients SET csm_id = 'shobhit'")
    await decided(agency, person="pia")
    await confirmed(agency)
    assert await verdicts(agency, BIG, confirm()) == ["go"]


async def test_where_the_rule_names_nobody_the_partner_decides(agency: Agency) -> None:
    await agency.database.execute("UPDATE money_people SET until = holdfast_now() WHERE sub = 'shobhit'")
    await approved_by(agency, "pia")
    assert await verdicts(agency, BIG, confirm()) == ["go"]


async def approved_by(agency: Agency, person: str, billed: Sequence[LeadBilling] = BIG) -> None:
    await found(agency, billed)
    await decided(agency, person=person)
    await confirmed(agency)


async def test_whoever_approved_neither_confirms_nor_authorises(agency: Agency) -> None:
    await stand_in(agency, "bob", days=(0, 0))
    await approved_by_stand_in(agency)
    await agency.database.shift(timedelta(days=2))
    await agency.ask("confirm")
    act = await agency.sign("bob", ActKind.CONFIRM, CONFIRMATION, step_id="confirm")
    assert (await agency.record("confirm", act)).accepted == -1
    assert await agency.refusals() == {"may-not-confirm": 1}


async def approved_by_stand_in(agency: Agency, person: str = "bob") -> None:
    await found(agency, BIG)
    await decided(agency, person=person)


# Stand-ins ------------------------------------------------------------------------------------------------------------


@pytest.mark.clause("RL-14")
@pytest.mark.parametrize(
    ("ceiling", "code"), [("800.00", ""), ("799.99", "above-the-ceiling"), ("0", "above-the-ceiling")]
)
async def test_a_stand_in_decides_up_to_his_ceiling_and_not_a_penny_more(
    agency: Agency, ceiling: str, code: str
) -> None:
    await stand_in(agency, ceiling=ceiling)
    await asked(agency)
    act = await approval(agency, "otto")
    if code:
        await refused(agency, act, code)
        return
    assert (await agency.record("approval", act)).accepted == 0
    await confirmed(agency)
    assert await verdicts(agency, BIG, confirm()) == ["go"]


async def test_what_was_granted_before_counts_against_a_ceiling(agency: Agency) -> None:
    await stand_in(agency, ceiling="899.99")
    other = [issued("L-3001", "100.00", "inv-3")]
    await found(agency, other, OTHER)
    await confirmed(agency, OTHER)
    await carry_out(agency, other, confirm(OTHER), case_id=OTHER)
    await asked(agency)
    await refused(agency, await approval(agency, "otto"), "above-the-ceiling")


async def test_without_a_valid_rate_a_stand_in_decides_nothing(agency: Agency) -> None:
    await stand_in(agency)
    await asked(agency, [issued("L-1001", "1.00", currency="USD")])
    await refused(agency, await approval(agency, "otto"), "above-the-ceiling")


@pytest.mark.parametrize("days", [(1, 5), (5, 9)])
async def test_a_stand_in_before_his_time(agency: Agency, days: tuple[int, int]) -> None:
    await stand_in(agency, days=days)
    await asked(agency)
    await refused(agency, await approval(agency, "otto"), "not-asked")


async def test_a_stand_in_after_his_time(agency: Agency) -> None:
    await stand_in(agency, days=(0, 1))
    await asked(agency)
    await agency.database.shift(timedelta(days=2))
    await refused(agency, await approval(agency, "otto"), "not-asked")


async def test_what_a_stand_in_approved_in_his_time_stays_approved(agency: Agency) -> None:
    await stand_in(agency, days=(0, 0))
    await approved_by(agency, "otto")
    await agency.database.shift(timedelta(days=3))
    await stand_in(agency, ceiling="1.00")
    assert await verdicts(agency, BIG, confirm()) == ["go"]


async def test_a_stand_in_who_is_appointed_afterwards_had_not_the_right(agency: Agency) -> None:
    await asked(agency)
    seen, early = await about(agency), await approval(agency, "otto")
    await insert(agency, early, seen)
    await agency.database.shift(timedelta(seconds=2))
    await stand_in(agency)
    await confirmed(agency)
    assert await verdicts(agency, BIG, confirm()) == ["not-approved-by-an-approver"]


async def test_a_stand_in_backdated(agency: Agency) -> None:
    with pytest.raises(Exception, match="over"):
        await stand_in(agency, days=(-1, 5))


async def test_a_stand_in_added_by_himself(agency: Agency) -> None:
    await _made_partner(agency, "otto")
    with pytest.raises(Exception, match="gains by it"):
        await stand_in(agency, "otto", by="otto")


@pytest.mark.parametrize("by", ["otto", "ann", "carl"])
async def test_a_stand_in_appointed_by_somebody_else(agency: Agency, by: str) -> None:
    with pytest.raises(Exception, match="approver or a partner"):
        await stand_in(agency, "ann", by=by)


async def _made_partner(agency: Agency, person: str) -> None:
    await agency.database.execute(
        "INSERT INTO money_people (role, issuer, sub, name) VALUES ('role:partner', $1, $2, $2)",
        identity(person).issuer, person,
    )  # fmt: skip


async def test_a_stand_in_or_a_higher_ceiling_written_into_the_table(agency: Agency) -> None:
    door = await agency.database.pool("door")
    await door.execute(
        "INSERT INTO stand_ins (person_id, stand_in_id, starts, ends, ceiling_gbp, act_jti) "
        "VALUES ('shobhit', 'otto', '2020-01-01', '2099-01-01', 1e6, 'j')"
    )
    await asked(agency)
    await refused(agency, await approval(agency, "otto"), "not-asked")


async def test_a_stand_ins_order_with_the_ceiling_changed_proves_nothing(agency: Agency) -> None:
    await stand_in(agency, ceiling="10.00")
    await agency.database.execute("ALTER TABLE orders DISABLE TRIGGER append_only")
    await agency.database.execute("UPDATE orders SET payload = replace(payload, '10.00', '9999.00')")
    await asked(agency)
    await refused(agency, await approval(agency, "otto"), "not-asked")


async def test_a_stand_ins_order_by_an_unknown_key(agency: Agency, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="does not know"):
        await stand_in(agency, signer=local_signer(tmp_path / "attacker"))
    await asked(agency)
    await refused(agency, await approval(agency, "otto"), "not-asked")


# Attacks --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"deployment": "production"}, "wrong-deployment"),
        ({"case_id": OTHER}, "wrong-case"),
        ({"workflow_id": f"{CASE}/cycle-2"}, "wrong-workflow"),
        ({"step_id": "approval.2"}, "no-such-step"),
        ({"subject_sha256": "0" * 64}, "subject-changed"),
        ({"acting_for": "shobhit"}, "acting-for-not-allowed"),
        ({"auth": "api_key"}, "auth-not-allowed"),
        ({"auth": "webhook"}, "auth-not-allowed"),
        ({"auth": "email"}, "auth-not-allowed"),
        ({"auth": "chat"}, "auth-not-allowed"),
        ({"auth": "local"}, "auth-not-allowed"),
        ({"auth_time": 0}, "login-too-old"),
        ({"exp": 2**40}, "lives-too-long"),
        ({"iat": 2**40, "exp": 2**40 + 900}, "issued-in-the-future"),
        ({"kind": "return.everything"}, "unknown-kind"),
    ],
)
async def test_an_approval_of_something_else(agency: Agency, changes: dict[str, Any], code: str) -> None:
    await asked(agency)
    good = await agency.sign("shobhit", ActKind.APPROVE, YES, step_id="approval")
    body = ActBody.model_validate_json(good.body).model_copy(update=changes)
    await refused(agency, signed_act(agency.signer, body, YES), code)


def _with_line(seen: Subject, **changes: Any) -> Subject:
    """What was asked, but for its first line."""
    return seen.model_copy(update={"lines": (seen.lines[0].model_copy(update=changes), *seen.lines[1:])})


@pytest.mark.parametrize(
    "changes", [{"gross": Decimal("399.99")}, {"currency": "EUR"}, {"lead_id": "L-1003"}, {"evidence": (digest("e"),)}]
)
async def test_an_approval_of_another_amount_currency_lead_or_evidence(agency: Agency, changes: dict[str, Any]) -> None:
    """Refused when it comes in; and where it was put into the table past every check, the gate takes it for void."""
    await asked(agency)
    other = _with_line(await about(agency), **changes)
    act = await approval(agency, subject_sha256=other.sha256)
    await refused(agency, act, "subject-changed")
    await insert(agency, act, other)
    await confirmed(agency)
    assert await verdicts(agency, BIG, confirm()) == ["approval-void"]
    assert await granted(agency) == {}


async def test_an_unsigned_approval(agency: Agency) -> None:
    await asked(agency)
    act = await approval(agency)
    await refused(agency, act.model_copy(update={"signature": ""}), "unsigned")


async def test_an_approval_by_an_unknown_key(agency: Agency, tmp_path: Path) -> None:
    await asked(agency)
    await refused(agency, await approval(agency, signer=local_signer(tmp_path / "attacker")), "unknown-key")


async def test_an_approval_by_an_unknown_key_under_a_known_name(agency: Agency, tmp_path: Path) -> None:
    await asked(agency)
    forger = Signer(agency.signer.kid, local_signer(tmp_path / "attacker").private)
    await refused(agency, await approval(agency, signer=forger), "bad-signature")


async def test_an_approval_by_a_retired_key(agency: Agency) -> None:
    await asked(agency)
    act = await approval(agency)
    rotate(agency.keys_dir, datetime.fromtimestamp(await agency.clock(), UTC))
    await refused(agency, act, "retired-key")


async def test_a_signed_rejection_with_its_payload_swapped(agency: Agency) -> None:
    await asked(agency)
    no = await approval(agency, result=WHY, kind=ActKind.REJECT)
    await refused(agency, no.model_copy(update={"payload": written(YES)}), "payload-changed")


async def test_a_signed_rejection_turned_into_an_approval(agency: Agency) -> None:
    await asked(agency)
    no = await approval(agency, result=WHY, kind=ActKind.REJECT)
    turned = no.body.replace("return.reject", "return.approve")
    await refused(agency, no.model_copy(update={"body": turned}), "bad-signature")


async def test_lines_edited_after_signing(agency: Agency) -> None:
    await asked(agency)
    act = await approval(agency)
    await agency.bill(issued("L-1001", "4000.00"))
    await refused(agency, act, "subject-changed")


async def test_an_expired_approval(agency: Agency) -> None:
    await asked(agency)
    act = await approval(agency)
    await agency.database.shift(timedelta(minutes=16))
    await refused(agency, act, "expired")


async def test_an_approval_used_again_for_another_step(agency: Agency) -> None:
    await asked(agency)
    act = await approval(agency)
    assert (await agency.record("approval", act)).accepted == 0
    await agency.ask("approval.2", "approval")
    got = await agency.record("approval.2", act, name="approval")
    assert (got.accepted, got.refused) == (-1, 0)  # the very same act: it changes nothing
    await refused(agency, await approval(agency, step_id="approval.2", jti=_jti(act)), "jti-reused", "approval.2")


def _jti(act: SignedAct) -> str:
    return str(json.loads(act.body)["jti"])


async def test_an_approval_of_one_case_is_none_of_another(agency: Agency) -> None:
    await approved(agency)
    other = [issued("L-3001", "600.00", "inv-3")]
    await found(agency, other, OTHER)
    await confirmed(agency, OTHER)
    body = await agency.database.fetch(
        "SELECT body, payload, signature, subject FROM acts WHERE kind = 'return.approve'"
    )
    with pytest.raises(asyncpg.UniqueViolationError):
        await agency.sops.execute(
            "INSERT INTO acts (jti, case_id, workflow_id, step_id, kind, subject_sha256, issuer, sub, auth, body, "
            "payload, signature, subject) SELECT jti, $1, $1, step_id, kind, subject_sha256, issuer, sub, auth, body, "
            "payload, signature, subject FROM acts WHERE kind = 'return.approve'",
            OTHER,
        )
    assert body
    assert await verdicts(agency, other, confirm(OTHER), case_id=OTHER) == ["above-the-limit"]


@pytest.mark.parametrize("person", ["otto", "ann", "carl"])
async def test_an_approval_of_somebody_else_inserted_by_sql(agency: Agency, person: str) -> None:
    await found(agency, BIG)
    seen = await about(agency)
    await insert(agency, await made(agency, person, ActKind.APPROVE, YES, seen), seen)
    await confirmed(agency)
    (code,) = await verdicts(agency, BIG, confirm())
    assert code == "not-approved-by-an-approver"
    assert await granted(agency) == {}


async def test_an_approval_signed_by_a_forger_and_inserted_by_sql(agency: Agency, tmp_path: Path) -> None:
    await found(agency, BIG)
    seen = await about(agency)
    forger = local_signer(tmp_path / "forger")
    for n, signer in enumerate((forger, Signer(agency.signer.kid, forger.private))):
        act = await made(agency, "shobhit", ActKind.APPROVE, YES, seen, signer=signer, jti=f"forged-{n}")
        await insert(agency, act, seen)
    await confirmed(agency)
    assert await verdicts(agency, BIG, confirm()) == ["above-the-limit"]


async def test_a_key_inserted_by_sql_proves_nothing(agency: Agency, tmp_path: Path) -> None:
    """Wherever the tables hold keys of any kind: whom a signature is of is told by the judge's own ring alone."""
    forger = local_signer(tmp_path / "forger")
    public = forger.private.public_key().public_bytes_raw()
    ring = (tmp_path / "forger" / "acts.json").read_text()
    put = agency.database.execute
    await put("INSERT INTO client_keys VALUES ($1, $2)", forger.kid, public)
    await put("INSERT INTO policy (name, version, value) VALUES ('keys', 1, $1)", json.loads(ring))
    key = "INSERT INTO api_keys (name, person_id, scopes, per_minute, tokens, created_by)"
    await put(f"{key} VALUES ($1, 'shobhit', '{{acts:write}}', 60, 60, 'otto')", forger.kid)
    secret = "INSERT INTO api_key_secrets (key_id, name, secret_sha256, created_by, expires_at)"
    await put(f"{secret} VALUES ($1, $1, $2, 'otto', '2099-01-01')", forger.kid, public.hex())
    await asked(agency)
    act = await approval(agency, signer=forger)
    await refused(agency, act, "unknown-key")
    await insert(agency, act, await about(agency))
    await confirmed(agency)
    assert await verdicts(agency, BIG, confirm()) == ["above-the-limit"]
    assert await granted(agency) == {}


async def test_an_approval_by_an_excluded_approver_inserted_by_sql(agency: Agency) -> None:
    await found(agency, BIG)
    await _made_approver(agency, "ann")
    seen = await about(agency)
    await insert(agency, await made(agency, "ann", ActKind.APPROVE, YES, seen), seen)
    await confirmed(agency)
    assert await verdicts(agency, BIG, confirm()) == ["may-not-approve"]


async def test_an_approval_above_the_ceiling_inserted_by_sql(agency: Agency) -> None:
    await stand_in(agency, ceiling="10.00")
    await found(agency, BIG)
    seen = await about(agency)
    await insert(agency, await made(agency, "otto", ActKind.APPROVE, YES, seen), seen)
    await confirmed(agency)
    assert await verdicts(agency, BIG, confirm()) == ["above-the-ceiling"]


async def test_an_approval_of_another_set_inserted_by_sql(agency: Agency) -> None:
    await found(agency, BIG)
    seen = (await about(agency)).model_copy(update={"of": "valid", "asking": None})
    await insert(agency, await made(agency, "shobhit", ActKind.APPROVE, YES, seen), seen)
    await confirmed(agency)
    assert await verdicts(agency, BIG, confirm()) == ["approval-void"]


async def test_a_confirmation_put_in_place_of_an_approval(agency: Agency) -> None:
    await asked(agency)
    act = await agency.sign("shobhit", ActKind.CONFIRM, CONFIRMATION, step_id="approval")
    await refused(agency, act, "kind-not-asked")


async def test_a_gate_waived(agency: Agency) -> None:

    await asked(agency)
    for kind in (ActKind.WAIVE, ActKind.DONE):
        act = await agency.sign("shobhit", kind, StepResult(note_sha256=digest("x")), step_id="approval")
        assert (await agency.record("approval", act)).accepted == -1
    await confirmed(agency)
    assert await verdicts(agency, BIG, confirm()) == ["above-the-limit"]


async def test_an_approval_step_is_not_reassigned_to_somebody_it_does_not_ask(agency: Agency) -> None:

    await asked(agency)
    act = await agency.sign("shobhit", ActKind.REASSIGN, Reassignment(to="otto"), step_id="approval")
    await refused(agency, act, "unknown-assignee")


# Limits, rates, prices changed to slip under the limit ----------------------------------------------------------------


def limit(amount: str) -> PolicyOrder:
    return PolicyOrder(name="approval-limit", value=Money(amount=Decimal(amount)))


async def test_the_limit_raised_by_a_signed_act_holds_for_cases_that_begin_then(agency: Agency) -> None:
    await agency.order("pia", ActKind.SET_POLICY, limit("1000.00"))
    await found(agency, BIG)
    await confirmed(agency)
    assert await verdicts(agency, BIG, confirm()) == ["go"]


async def test_of_the_limit_a_case_began_with_and_todays_the_stricter_applies(agency: Agency) -> None:
    await found(agency, BIG)
    await agency.database.shift(timedelta(seconds=5))
    await agency.order("pia", ActKind.SET_POLICY, limit("1000.00"))
    await confirmed(agency)
    assert await verdicts(agency, BIG, confirm()) == ["above-the-limit"]


async def judgements(agency: Agency) -> list[dict[str, Any]]:
    """What the case keeps of how it was judged, in its audit trail."""
    lines = await CaseReader(agency.sops, agency.vault).timeline(CASE)
    return [line.data for line in lines if "rules" in line.data]


async def test_the_case_keeps_the_version_of_the_rule_its_limit_and_the_sum(agency: Agency) -> None:
    small = [issued("L-1001", "300.00")]
    await found(agency, small)
    await agency.database.shift(timedelta(seconds=5))
    await agency.order("pia", ActKind.SET_POLICY, limit("1000.00"))
    await confirmed(agency)
    await carry_out(agency, small, confirm(), draft())
    (kept,) = await judgements(agency)  # once, when it was reserved
    assert kept == {
        "rules": RULES_VERSION, "limit_gbp": "500.00", "vat": "with", "total_gbp": "300.00", "granted_gbp": "0",
        "leads": ["L-1001"], "approvals": [],
    }  # fmt: skip


async def test_the_case_keeps_the_approval_that_it_was_granted_under(agency: Agency) -> None:
    await approved(agency)
    await carry_out(agency, BIG, confirm())
    (kept,) = await judgements(agency)
    jti = await agency.database.value("SELECT jti FROM acts WHERE kind = 'return.approve'")
    assert (kept["total_gbp"], kept["approvals"], kept["rules"]) == ("800.00", [jti], RULES_VERSION)


async def test_a_limit_lowered_since_applies_to_cases_under_way(agency: Agency) -> None:
    billed = [issued("L-1001", "300.00")]
    await found(agency, billed)
    await agency.database.shift(timedelta(seconds=5))
    await agency.order("pia", ActKind.SET_POLICY, limit("299.99"))
    await confirmed(agency)
    assert await verdicts(agency, billed, confirm()) == ["above-the-limit"]


async def test_a_limit_raised_by_sql(agency: Agency) -> None:
    door = await agency.database.pool("door")
    value = {"amount": "100000.00", "currency": "GBP"}
    await door.execute("INSERT INTO policy (name, version, value) VALUES ('approval-limit', 2, $1)", value)
    await door.execute(
        "INSERT INTO policy (name, version, value, act_jti) VALUES ('approval-limit', 3, $1, 'j')", value
    )
    await found(agency, BIG)
    await confirmed(agency)
    assert await verdicts(agency, BIG, confirm()) == ["above-the-limit"]


async def test_a_limit_backdated_by_sql(agency: Agency) -> None:
    door = await agency.database.pool("door")
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    await door.execute(
        "INSERT INTO policy (name, version, value, since) VALUES ('approval-limit', 2, '{}', $1)", long_ago
    )
    assert await agency.database.value("SELECT since > $1 FROM policy WHERE version = 2", long_ago + timedelta(days=1))


async def test_a_rate_changed_by_sql_to_slip_under_the_limit(agency: Agency) -> None:
    billed = [issued("L-1001", "10000.00", currency="EUR")]
    door = await agency.database.pool("door")
    await door.execute("INSERT INTO rates VALUES ('EUR', (holdfast_now())::date, 0.0001, 'j')")
    await found(agency, billed)
    await confirmed(agency)
    assert await verdicts(agency, billed, confirm()) == ["no-valid-rate"]


async def test_a_rate_that_jumped_needs_the_approver(agency: Agency) -> None:
    billed = [issued("L-1001", "500.00", currency="EUR")]
    await agency.rate("0.90", 1)
    await agency.rate("0.85")
    await found(agency, billed)
    await confirmed(agency)
    assert await verdicts(agency, billed, confirm()) == ["no-valid-rate"]


async def test_a_price_changed_to_slip_under_the_limit(agency: Agency) -> None:
    billed = [unbilled("L-1001", "600.00")]
    await agency.add_lead("L-1001", "600.00")
    await (await agency.database.pool("door")).execute("UPDATE leads SET price = 1")
    await found(agency, billed)
    await confirmed(agency)
    assert await verdicts(agency, [unbilled("L-1001", "1.00")], listing()) == ["price-missing-or-changed"]


async def test_a_line_mapping_changed_to_slip_under_the_limit(agency: Agency) -> None:
    """The lead moved to a cheap line in our tables: what it costs is read from the books, just before the gate."""
    billed = [issued("L-1001", "600.00")]
    await found(agency, billed)
    cheap = issued("L-1001", "1.00", line_id="9").model_dump(mode="json")
    await agency.sops.execute("UPDATE case_leads SET billing = $1 WHERE case_id = $2", cheap, CASE)
    await confirmed(agency)
    assert await verdicts(agency, billed, confirm()) == ["amount-above-signed"]
    assert await granted(agency) == {}


async def test_a_price_of_an_order_that_was_never_given(agency: Agency) -> None:
    """Written as a version that names no order, a made-up one, or one that was given for another lead."""
    billed = [unbilled("L-1001", "600.00")]
    await agency.add_lead("L-1001", "600.00")
    await agency.add_lead("L-9", "600.00")
    jti = await agency.order("pia", ActKind.SET_PRICES, prices("L-9", "1.00"))
    await found(agency, billed)
    await confirmed(agency)
    door = await agency.database.pool("door")
    for name in ("", "made-up", jti):
        insert = "INSERT INTO lead_prices (lead_id, price, currency, act_jti) VALUES ('L-1001', 1, 'GBP', $1)"
        await door.execute(insert, name)
        assert await verdicts(agency, [unbilled("L-1001", "1.00")], listing()) == ["price-missing-or-changed"]


async def test_a_price_that_was_ordered_before_brought_up_again(agency: Agency) -> None:
    await agency.add_lead("L-1001", "700.00")
    first = await agency.order("pia", ActKind.SET_PRICES, prices("L-1001", "1.00"))
    await agency.order("pia", ActKind.SET_PRICES, prices("L-1001", "600.00"))
    billed = [unbilled("L-1001", "600.00")]
    await found(agency, billed)
    await confirmed(agency)
    assert await verdicts(agency, billed, listing()) == ["above-the-limit"]
    insert = "INSERT INTO lead_prices (lead_id, price, currency, act_jti) VALUES ('L-1001', 1, 'GBP', $1)"
    await (await agency.database.pool("door")).execute(insert, first)
    assert await verdicts(agency, billed, listing()) == ["price-missing-or-changed"]


async def test_a_vat_setting_changed_to_slip_under_the_limit(agency: Agency) -> None:
    """A row without an order, and an order's row with another value: neither counts."""
    billed = [issued("L-1001", "600.00")]  # 500.00 without VAT
    await found(agency, billed)
    await confirmed(agency)
    jti = await agency.order("pia", ActKind.SET_POLICY, PolicyOrder(name="vat-basis", value=VatBasis(vat="with")))
    door = await agency.database.pool("door")
    for version, name in ((3, None), (4, "made-up"), (5, jti)):
        insert = """INSERT INTO policy (name, version, value, act_jti)
            VALUES ('vat-basis', $1, '{"vat": "without"}', $2)"""
        await door.execute(insert, version, name)
        assert await verdicts(agency, billed, confirm()) == ["above-the-limit"]


@pytest.mark.parametrize(
    ("currency", "rate", "gross", "code"),
    [
        ("EUR", "0.85", "588.23", "go"),  # GBP 499.9955
        ("EUR", "0.85", "588.24", "above-the-limit"),  # GBP 500.0040
        ("USD", "0.79", "632.91", "go"),  # GBP 499.9989
        ("USD", "0.79", "632.92", "above-the-limit"),  # GBP 500.0068
        ("USD", "1.00", "500.00", "go"),
        ("USD", "1.00", "500.01", "above-the-limit"),
    ],
)
async def test_the_boundary_in_other_currencies(
    agency: Agency, currency: Literal["EUR", "USD"], rate: str, gross: str, code: str
) -> None:
    await agency.rate(rate, currency=currency)
    billed = [issued("L-1001", gross, currency=currency)]
    await found(agency, billed)
    await confirmed(agency)
    assert await verdicts(agency, billed, confirm()) == [code]


async def test_the_months_turn_in_london(agency: Agency) -> None:
    """A case approved before the turn and carried out after it leaves the new month's sum alone."""
    await approved(agency)
    now = datetime.fromtimestamp(await agency.clock(), UTC).astimezone(ZoneInfo("Europe/London"))
    turn = (now.replace(day=28) + timedelta(days=4)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    await agency.database.shift(turn - now + timedelta(minutes=1))
    await carry_out(agency, BIG, confirm())
    small = [issued("L-2001", "500.00", "inv-2")]
    await found(agency, small, OTHER)
    await confirmed(agency, OTHER)
    assert await verdicts(agency, small, confirm(OTHER), case_id=OTHER) == ["go"]


async def test_two_invoices_in_one_request_are_one_sum_and_one_approval(agency: Agency) -> None:
    billed = [issued("L-1001", "300.00"), issued("L-1002", "300.00", "inv-2")]
    await found(agency, billed)
    await confirmed(agency)
    assert await verdicts(agency, billed, confirm()) == ["above-the-limit"]
    await decided(agency)
    await carry_out(agency, billed, confirm(), draft("inv-1"), draft("inv-2"))


async def test_what_was_invoiced_between_promise_and_run_is_looked_at_anew(agency: Agency) -> None:
    await approved(agency, [unbilled("L-1001", "600.00")])
    assert await verdicts(agency, [issued("L-1001", "600.00")], listing()) == ["already-invoiced"]


async def test_a_mail_adopted_as_sent_by_hand_keeps_its_approval(agency: Agency) -> None:

    await approved(agency)
    (one,) = await claim(agency, BIG, confirm())
    await agency.gate.settle(CASE, [Settled(confirm(), "unknown", code="timeout", attempt=one.attempt)])
    await agency.ask("could-not", reference=confirm().key)
    act = await agency.sign("ann", ActKind.DONE, StepResult(), step_id="could-not")
    assert (await agency.record("could-not", act)).accepted == 0
    assert [got.verdict for got in await claim(agency, BIG, confirm())] == ["sent"]
    assert await granted(agency) == {"L-1001": True, "L-1002": True}


async def test_a_billing_that_a_rogue_worker_made_up_raises_nothing(agency: Agency) -> None:
    await approved(agency)
    await agency.prepare(confirm())
    permits = await agency.gate.plan(CASE, CASE, [confirm().key])

    lies = Billing(leads=(issued("L-1001", "4000.00"), BIG[1]))
    (one,) = await agency.gate.claim(CASE, permits, lies, [Intent(confirm(), "0" * 64, ("vendor:xero",))])
    assert (one.verdict, one.code) == ("refused", "amount-above-signed")


async def test_a_dispute_is_decided_by_the_account_manager_whoever_a_rogue_workflow_asks(agency: Agency) -> None:
    await found(agency, BIG)
    await agency.database.execute("UPDATE clients SET csm_id = 'otto'")
    await agency.ask("dispute")
    upheld = FinalDecision(upheld=(Withdrawal(lead_id="L-1001", text_sha256=digest("no")),))
    act = await agency.sign("ann", ActKind.DECIDED, upheld, step_id="dispute")
    assert (await agency.record("dispute", act, role="team:return-leads")).accepted == -1
    assert await agency.refusals() == {"not-asked": 1}
