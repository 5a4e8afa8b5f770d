import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from activities.ports import Claim, Intent, Settled
from adapters.postgres.audit import verify
from adapters.postgres.crypto import Vault
from adapters.postgres.gate import PostgresGate
from adapters.postgres.pool import transaction
from domain.effects import (
    AnswerClient,
    AuthoriseCreditNote,
    ConfirmToAccounts,
    DraftCreditNote,
    Effect,
    ListDoNotInvoice,
)
from domain.messages import ActBody, ActKind, SignedAct
from domain.money import Vat
from domain.orders import PolicyOrder, VatBasis
from domain.return_lead import Authorisation, Billing, BillingState, LeadBilling, Reduction, StepResult, Withdrawal
from domain.rules.acts import written
from domain.rules.permits import GATE_REFUSALS
from domain.rules.stored_acts import Trust
from domain.subject import Subject, SubjectLine
from domain.texts import digest
from runtime.keys import Keyring, Signer, local_signer, ring_path, rotate, signed_act
from tests.conftest import Database
from tests.signing import (
    CASE,
    CONFIRMATION,
    DEPLOYMENT,
    Agency,
    findings,
    identity,
    issued,
    make_agency,
    prices,
    unbilled,
)

OTHER = "return-lead/fedcba9876543210"


def confirm(case_id: str = CASE, n: int = 1) -> ConfirmToAccounts:
    return ConfirmToAccounts(key=f"{case_id}/confirm-to-accounts/{n}", clause="RL-13")


def draft(invoice: str = "inv-1", case_id: str = CASE) -> DraftCreditNote:
    return DraftCreditNote(key=f"{case_id}/draft-credit-note/{invoice}", clause="RL-12", invoice_id=invoice)


def authorise(invoice: str = "inv-1", case_id: str = CASE) -> AuthoriseCreditNote:
    return AuthoriseCreditNote(key=f"{case_id}/authorise-credit-note/{invoice}", clause="RL-12", invoice_id=invoice)


def listing(case_id: str = CASE) -> ListDoNotInvoice:
    return ListDoNotInvoice(key=f"{case_id}/list-do-not-invoice/1", clause="RL-11")


def answer(case_id: str = CASE) -> AnswerClient:
    return AnswerClient(key=f"{case_id}/answer-client/1", clause="RL-5")


@pytest.fixture
async def agency(database: Database, vault: Vault, tmp_path: Path) -> Agency:
    return await make_agency(database, vault, tmp_path)


async def open_case(agency: Agency, billed: Sequence[LeadBilling], case_id: str = CASE, **changes: Any) -> None:
    """A case whose leads are all found valid, billed so, and confirmed."""
    for one in billed:
        await agency.add_lead(one.lead_id, str(one.gross) if one.gross else None, currency=one.currency)
    leads = [one.lead_id for one in billed]
    await agency.add_case(leads, case_id, **changes)
    await agency.does("ann", ActKind.FINDINGS, findings(leads), case_id=case_id)
    await agency.bill(*billed, case_id=case_id)
    await agency.does("bob", ActKind.CONFIRM, CONFIRMATION, case_id=case_id)


async def codes(agency: Agency, *effects: Effect, case_id: str = CASE) -> list[str]:
    permits = await agency.gate.plan(case_id, case_id, [effect.key for effect in effects])
    return [permit.code for permit in permits]


async def claim(
    agency: Agency,
    billed: Sequence[LeadBilling],
    *effects: Effect,
    case_id: str = CASE,
    gate: PostgresGate | None = None,
) -> list[Claim]:
    """Plans and claims as the money activity does: one wave."""
    gate = gate or agency.gate
    await agency.prepare(*effects, case_id=case_id)
    permits = await gate.plan(case_id, case_id, [effect.key for effect in effects])
    intents = [Intent(permit.effect, "0" * 64, ("vendor:xero",)) for permit in permits if not permit.code]
    claims = (
        {one.key: one for one in await gate.claim(case_id, permits, Billing(leads=tuple(billed)), intents)}
        if intents
        else {}
    )
    return [claims.get(one.key, Claim(one.key, "refused", code=one.code)) for one in permits]


async def verdicts(agency: Agency, billed: Sequence[LeadBilling], *effects: Effect, **more: Any) -> list[str]:
    return [one.code or one.verdict for one in await claim(agency, billed, *effects, **more)]


async def carry_out(agency: Agency, billed: Sequence[LeadBilling], *effects: Effect, case_id: str = CASE) -> None:
    """Each of them goes, one after the other, and is settled as sent."""
    for effect in effects:
        (one,) = await claim(agency, billed, effect, case_id=case_id)
        assert one.verdict == "go", one
        await agency.gate.settle(case_id, [Settled(effect, "sent", reference="r", attempt=one.attempt)])


async def grants(agency: Agency) -> dict[str, tuple[str, Decimal]]:
    rows = await agency.database.fetch("SELECT lead_id, treatment, gbp FROM grants ORDER BY lead_id")
    return {row["lead_id"]: (row["treatment"], row["gbp"]) for row in rows}


# The path -------------------------------------------------------------------------------------------------------------


async def test_four_leads_on_one_invoice_all_the_way(agency: Agency) -> None:
    billed = [issued(f"L-100{n}", "60.00") for n in range(1, 5)]
    await open_case(agency, billed)
    await carry_out(agency, billed, confirm(), draft())
    await agency.authorised()
    await carry_out(agency, billed, authorise(), answer())
    assert await grants(agency) == {one.lead_id: ("credit-note", Decimal("60.00")) for one in billed}
    assert await agency.told("effect.sent") == 4
    assert await agency.told("effect.refused") == 0
    async with transaction(agency.money, reading=True) as conn:
        assert (await verify(conn)).whole


async def test_unbilled_leads_are_listed_and_promised(agency: Agency) -> None:
    billed = [unbilled("L-1001", "40.00"), unbilled("L-1002", "50.00", state=BillingState.VOIDED)]
    await open_case(agency, billed)
    await carry_out(agency, billed, listing(), answer())
    assert await grants(agency) == {
        "L-1001": ("no-charge", Decimal("40.00")),
        "L-1002": ("no-charge", Decimal("50.00")),
    }
    rows = await agency.database.fetch("SELECT lead_id, case_id, client_id FROM do_not_invoice ORDER BY 1")
    assert [tuple(row) for row in rows] == [("L-1001", CASE, "acme"), ("L-1002", CASE, "acme")]


async def test_a_mixed_case_lists_only_what_is_unbilled(agency: Agency) -> None:
    billed = [unbilled("L-1001"), issued("L-1002", "60.00"), issued("L-1003", "70.00", "inv-2")]
    await open_case(agency, billed)
    await carry_out(agency, billed, listing(), confirm(), draft("inv-1"), draft("inv-2"))
    await agency.authorised()
    await carry_out(agency, billed, authorise("inv-1"), authorise("inv-2"), answer())
    assert await agency.database.value("SELECT array_agg(lead_id) FROM do_not_invoice") == ["L-1001"]


async def test_what_follows_in_the_same_moment_is_planned_and_judged_again_when_its_turn_comes(agency: Agency) -> None:
    billed = [issued("L-1001", "60.00")]
    await open_case(agency, billed)
    await agency.prepare(confirm(), draft())
    assert await codes(agency, confirm(), draft()) == ["", ""]
    assert await verdicts(agency, billed, confirm(), draft()) == ["go", "not-confirmed-to-accounts"]


async def test_a_permit_names_leads_amounts_and_acts(agency: Agency) -> None:
    await open_case(agency, [issued("L-1001", "60.00")])
    await agency.prepare(confirm())
    (permit,) = await agency.gate.plan(CASE, CASE, [confirm().key])
    assert [(lead.lead_id, lead.gross) for lead in permit.leads] == [("L-1001", Decimal("60.00"))]
    assert (permit.confirmed_by, len(permit.jtis)) == ("bob", 2)


async def test_an_answer_that_grants_nothing_needs_no_confirmation(agency: Agency) -> None:
    await agency.add_lead("L-1001")
    await agency.add_case(["L-1001"])
    assert await verdicts(agency, [], answer()) == ["no-findings"]
    await agency.does("ann", ActKind.FINDINGS, findings([], ["L-1001"]))
    assert await verdicts(agency, [], answer()) == ["go"]
    assert await grants(agency) == {}


# Order and presence ---------------------------------------------------------------------------------------------------


async def test_nothing_goes_before_it_is_confirmed(agency: Agency) -> None:
    billed = [issued("L-1001", "60.00")]
    await agency.add_lead("L-1001")
    await agency.add_case(["L-1001"])
    every = (confirm(), draft(), authorise(), listing(), answer())
    assert await verdicts(agency, billed, *every) == ["no-findings"] * 4 + ["no-findings"]
    await agency.does("ann", ActKind.FINDINGS, findings(["L-1001"]))
    assert await verdicts(agency, billed, *every) == ["not-confirmed"] * 5
    assert await grants(agency) == {}


async def test_each_step_waits_for_the_one_before(agency: Agency) -> None:
    billed = [issued("L-1001", "60.00")]
    await open_case(agency, billed)
    assert await verdicts(agency, billed, draft()) == ["not-confirmed-to-accounts"]
    await carry_out(agency, billed, confirm())
    assert await verdicts(agency, billed, authorise()) == ["not-authorised"]
    await agency.authorised()
    assert await verdicts(agency, billed, authorise()) == ["not-drafted"]
    await carry_out(agency, billed, draft())
    assert await verdicts(agency, billed, answer()) == ["not-credited-yet"]
    await carry_out(agency, billed, authorise(), answer())


async def test_two_invoices_are_both_credited_before_the_client_is_told(agency: Agency) -> None:
    billed = [issued("L-1001", "60.00"), issued("L-1002", "60.00", "inv-2")]
    await open_case(agency, billed)
    await carry_out(agency, billed, confirm(), draft("inv-1"), draft("inv-2"))
    await agency.authorised()
    await carry_out(agency, billed, authorise("inv-1"))
    assert await verdicts(agency, billed, answer()) == ["not-credited-yet"]


async def test_accounts_refusal_stops_the_credit_note_and_a_later_word_wins(agency: Agency) -> None:
    billed = [issued("L-1001", "60.00")]
    await open_case(agency, billed)
    await carry_out(agency, billed, confirm(), draft())
    await agency.authorised()
    reason = Authorisation(reason_sha256=digest("no"))
    await agency.does("cora", ActKind.DECLINE, reason, step_id="authorise.2", name="authorise")
    assert await verdicts(agency, billed, authorise()) == ["declined"]
    await agency.does("cora", ActKind.AUTHORISE, Authorisation(), step_id="authorise.3", name="authorise")
    assert await verdicts(agency, billed, authorise()) == ["go"]


async def test_findings_or_reductions_after_the_confirmation_void_it(agency: Agency) -> None:
    billed = [issued("L-1001", "60.00"), issued("L-1002", "60.00")]
    await open_case(agency, billed)
    withdrawn = Reduction(leads=(Withdrawal(lead_id="L-1002", text_sha256=digest("x")),))
    await agency.does("bob", ActKind.REDUCE, withdrawn)
    assert await verdicts(agency, billed, confirm()) == ["lines-changed"]
    await agency.does("bob", ActKind.CONFIRM, CONFIRMATION, step_id="confirm.2", name="confirm")
    assert await verdicts(agency, billed, confirm()) == ["go"]
    assert list(await grants(agency)) == ["L-1001"]


async def test_evidence_changed_after_the_confirmation_voids_it(agency: Agency) -> None:
    billed = [issued("L-1001", "60.00")]
    await open_case(agency, billed)
    proof = findings(["L-1001"], evidence=[digest("another")])
    await agency.does("ann", ActKind.FINDINGS, proof, step_id="investigate.2", name="investigate")
    assert await verdicts(agency, billed, confirm()) == ["lines-changed"]


async def test_accounts_are_told_anew_when_other_amounts_are_confirmed(agency: Agency) -> None:
    await open_case(agency, [issued("L-1001", "60.00")])
    await carry_out(agency, [issued("L-1001", "60.00")], confirm())
    dearer = [issued("L-1001", "90.00")]
    await agency.bill(*dearer)
    await agency.does("bob", ActKind.CONFIRM, CONFIRMATION, step_id="confirm.2", name="confirm")
    assert await verdicts(agency, dearer, draft()) == ["not-confirmed-to-accounts"]
    await carry_out(agency, dearer, confirm(n=2), draft())
    assert await grants(agency) == {"L-1001": ("credit-note", Decimal("90.00"))}


async def test_confirming_the_same_again_needs_no_second_mail(agency: Agency) -> None:
    billed = [issued("L-1001", "60.00")]
    await open_case(agency, billed)
    await carry_out(agency, billed, confirm())
    await agency.does("bob", ActKind.CONFIRM, CONFIRMATION, step_id="confirm.2", name="confirm")
    assert await verdicts(agency, billed, draft()) == ["go"]


async def test_a_contact_that_changed_since_is_not_credited(agency: Agency) -> None:
    billed = [issued("L-1001", "60.00")]
    await open_case(agency, billed)
    await agency.database.execute("UPDATE clients SET contact_id = 'c-9'")
    assert await verdicts(agency, billed, confirm()) == ["contact-changed"]


async def test_another_workflow_is_not_served(agency: Agency) -> None:
    await open_case(agency, [issued("L-1001", "60.00")])
    await agency.prepare(confirm())
    (permit,) = await agency.gate.plan(CASE, f"{CASE}/cycle-2", [confirm().key])
    assert permit.code == "wrong-workflow"


async def test_keys_of_nothing_and_of_another_case_are_refused_one_by_one(agency: Agency) -> None:
    await open_case(agency, [issued("L-1001", "60.00")])
    await open_case(agency, [issued("L-2001", "60.00")], OTHER)
    await agency.prepare(confirm(OTHER), case_id=OTHER)
    permits = await agency.gate.plan(CASE, CASE, ["nothing", confirm(OTHER).key])
    assert [permit.code for permit in permits] == ["no-such-effect"] * 2
    assert await agency.told("effect.refused") == 2


async def test_every_refusal_is_told_once_for_each_reason(agency: Agency) -> None:
    await open_case(agency, [issued("L-1001", "60.00")])
    for _ in range(3):
        await verdicts(agency, [issued("L-1001", "60.00")], draft())
    assert await agency.told("effect.refused") == 1


# Amounts --------------------------------------------------------------------------------------------------------------


async def test_more_than_what_was_signed_is_refused(agency: Agency) -> None:
    await open_case(agency, [issued("L-1001", "60.00")])
    assert await verdicts(agency, [issued("L-1001", "60.01")], confirm()) == ["amount-above-signed"]
    assert await verdicts(agency, [issued("L-1001", "60.00", currency="EUR")], confirm()) == ["amount-above-signed"]
    assert await grants(agency) == {}


async def test_less_than_what_was_signed_is_granted_as_it_is(agency: Agency) -> None:
    await open_case(agency, [issued("L-1001", "60.00")])
    assert await verdicts(agency, [issued("L-1001", "59.00")], confirm()) == ["go"]
    assert await grants(agency) == {"L-1001": ("credit-note", Decimal("59.00"))}


@pytest.mark.parametrize(
    ("now", "effect", "code"),
    [
        (issued("L-1001", "60.00", "inv-2"), confirm(), "billing-changed"),
        (issued("L-1001", "60.00", state=BillingState.CREDITED), confirm(), "already-credited"),
        (issued("L-1002", "60.00"), confirm(), "billing-unknown"),
    ],
)
async def test_what_the_books_say_otherwise_is_refused(
    agency: Agency, now: LeadBilling, effect: Effect, code: str
) -> None:
    await open_case(agency, [issued("L-1001", "60.00")])
    assert await verdicts(agency, [now], effect) == [code]


@pytest.mark.parametrize(
    ("now", "effect", "code"),
    [
        (issued("L-1001", "60.00"), listing(), "already-invoiced"),
        (issued("L-1001", "60.00"), answer(), "already-invoiced"),
        (issued("L-1001", "60.00", state=BillingState.DRAFT), answer(), "still-on-draft-invoice"),
    ],
)
async def test_a_promise_is_not_made_about_what_was_invoiced_meanwhile(
    agency: Agency, now: LeadBilling, effect: Effect, code: str
) -> None:
    await open_case(agency, [unbilled("L-1001", "60.00")])
    assert await verdicts(agency, [now], effect) == [code]
    assert await grants(agency) == {}


async def test_an_invoice_that_was_voided_meanwhile_is_not_credited(agency: Agency) -> None:
    billed = [issued("L-1001", "60.00")]
    await open_case(agency, billed)
    await carry_out(agency, billed, confirm())
    voided = [unbilled("L-1001", "60.00", state=BillingState.VOIDED)]
    assert await verdicts(agency, voided, draft()) == ["billing-changed"]


async def test_an_unbilled_leads_price_is_the_recorded_one_whatever_the_worker_read(agency: Agency) -> None:
    await open_case(agency, [unbilled("L-1001", "60.00")])
    assert await verdicts(agency, [unbilled("L-1001", "1.00")], listing()) == ["go"]
    assert await grants(agency) == {"L-1001": ("no-charge", Decimal("60.00"))}


async def test_a_price_raised_after_signing_is_refused(agency: Agency) -> None:
    billed = [unbilled("L-1001", "60.00")]
    await open_case(agency, billed)
    await agency.database.arrived_at("61")
    assert await verdicts(agency, billed, listing()) == ["amount-above-signed"]


async def test_a_price_that_was_ever_changed_needs_approval(agency: Agency) -> None:
    billed = [unbilled("L-1001", "60.00")]
    await open_case(agency, billed)
    await agency.database.execute("UPDATE leads SET price = 59")
    (one,) = await claim(agency, billed, listing())
    assert (one.verdict, one.code) == ("needs_approval", "price-missing-or-changed")
    await agency.database.execute("UPDATE leads SET price = 60")
    assert await verdicts(agency, billed, listing()) == ["price-missing-or-changed"]


async def test_a_price_of_a_signed_order_counts_until_an_import_says_otherwise(agency: Agency) -> None:
    billed = [unbilled("L-1001", "60.00")]
    await open_case(agency, billed)
    order = prices("L-1001", "50.00")
    await agency.order("pia", ActKind.SET_PRICES, order)
    assert await verdicts(agency, billed, listing()) == ["go"]
    assert await grants(agency) == {"L-1001": ("no-charge", Decimal("50.00"))}
    await agency.database.execute("DELETE FROM grants")
    await agency.database.execute("UPDATE effects SET state = 'prepared'")
    await agency.database.execute(
        "INSERT INTO lead_prices (lead_id, price, currency) SELECT lead_id, 55, 'GBP' FROM leads"
    )
    assert await verdicts(agency, billed, listing()) == ["price-missing-or-changed"]
    await agency.order("pia", ActKind.SET_PRICES, prices("L-1001", "55.00"))
    assert await verdicts(agency, billed, listing()) == ["go"]


async def without_vat(agency: Agency, vat: Vat = "without") -> None:
    await agency.order("pia", ActKind.SET_POLICY, PolicyOrder(name="vat-basis", value=VatBasis(vat=vat)))


@pytest.mark.clause("RL-14")
@pytest.mark.parametrize(("gross", "code"), [("600.00", "go"), ("600.02", "above-the-limit")])
async def test_without_vat_only_by_a_signed_order(agency: Agency, gross: str, code: str) -> None:
    await without_vat(agency)
    billed = [issued("L-1001", gross)]
    await open_case(agency, billed)
    assert await verdicts(agency, billed, confirm()) == [code]


async def test_an_unbilled_leads_price_counts_whole_whatever_the_vat_basis(agency: Agency) -> None:
    await without_vat(agency)
    billed = [unbilled("L-1001", "500.01", net=Decimal("1.00"))]
    await open_case(agency, billed)
    assert await verdicts(agency, billed, listing()) == ["above-the-limit"]


async def test_an_open_case_keeps_the_stricter_vat_basis(agency: Agency) -> None:
    billed = [issued("L-1001", "600.00")]
    await open_case(agency, billed)
    await without_vat(agency)
    assert await verdicts(agency, billed, confirm()) == ["above-the-limit"]


async def test_what_was_granted_without_vat_counts_with_it_once_it_is_counted_with_vat(agency: Agency) -> None:
    await without_vat(agency)
    await open_case(agency, [issued("L-1001", "300.00")])
    await carry_out(agency, [issued("L-1001", "300.00")], confirm())
    second = [issued("L-2001", "300.00", "inv-2")]
    await open_case(agency, second, OTHER)
    assert await verdicts(agency, second, confirm(OTHER), case_id=OTHER) == ["go"]
    await agency.database.execute("DELETE FROM grants WHERE case_id = $1", OTHER)
    await agency.database.execute("UPDATE effects SET state = 'prepared' WHERE case_id = $1", OTHER)
    await without_vat(agency, "with")
    assert await verdicts(agency, second, confirm(OTHER), case_id=OTHER) == ["above-the-limit"]


async def test_a_lead_without_a_price_is_not_granted(agency: Agency) -> None:
    billed = [LeadBilling(lead_id="L-1001", state=BillingState.UNBILLED)]
    await open_case(agency, billed)
    assert await verdicts(agency, billed, listing()) == ["amount-not-signed"]


async def test_one_credit_a_lead_for_ever(agency: Agency) -> None:
    billed = [issued("L-1001", "60.00")]
    await open_case(agency, billed)
    await carry_out(agency, billed, confirm())
    await agency.database.execute("UPDATE case_leads SET active = false")
    await agency.add_case(["L-1001"], OTHER)
    await agency.does("ann", ActKind.FINDINGS, findings(["L-1001"]), case_id=OTHER)
    await agency.bill(*billed, case_id=OTHER)
    await agency.does("bob", ActKind.CONFIRM, CONFIRMATION, case_id=OTHER)
    assert await verdicts(agency, billed, confirm(OTHER), case_id=OTHER) == ["already-granted"]
    assert await agency.database.value("SELECT case_id FROM grants") == CASE


# The limit ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("second", "verdict"), [("250.00", "go"), ("250.01", "above-the-limit")])
async def test_the_limit_is_five_hundred_and_not_a_penny_more(agency: Agency, second: str, verdict: str) -> None:
    billed = [issued("L-1001", "250.00"), issued("L-1002", second)]
    await open_case(agency, billed)
    assert await verdicts(agency, billed, confirm()) == [verdict]
    assert bool(await grants(agency)) == (verdict == "go")


async def test_an_amount_is_not_slipped_through_in_parts(agency: Agency) -> None:
    billed = [unbilled("L-1001", "400.00"), issued("L-1002", "400.00")]
    await open_case(agency, billed)
    assert await verdicts(agency, billed[:1], listing()) == ["above-the-limit"]
    assert await verdicts(agency, billed[1:], confirm()) == ["billing-unknown"]
    assert await grants(agency) == {}


async def test_three_hundred_and_three_hundred_in_one_month(agency: Agency) -> None:
    one, two = [issued("L-1001", "300.00")], [issued("L-2001", "300.00", "inv-2")]
    await open_case(agency, one)
    await open_case(agency, two, OTHER)
    assert await verdicts(agency, one, confirm()) == ["go"]
    assert await verdicts(agency, two, confirm(OTHER), case_id=OTHER) == ["above-the-limit"]


async def test_two_at_once_never_both_pass(agency: Agency) -> None:
    one, two = [issued("L-1001", "300.00")], [issued("L-2001", "300.00", "inv-2")]
    await open_case(agency, one)
    await open_case(agency, two, OTHER)
    both = await asyncio.gather(verdicts(agency, one, confirm()), verdicts(agency, two, confirm(OTHER), case_id=OTHER))
    assert sorted(verdict for (verdict,) in both) == ["above-the-limit", "go"]


async def test_another_name_of_the_same_contact_counts_together(agency: Agency) -> None:
    await agency.add_client("acme-two", "c-1")
    one, two = [issued("L-1001", "300.00")], [issued("L-2001", "300.00", "inv-2")]
    await open_case(agency, one)
    await agency.add_lead("L-2001", client_id="acme-two")
    await agency.add_case(["L-2001"], OTHER, "acme-two")
    await agency.does("ann", ActKind.FINDINGS, findings(["L-2001"]), case_id=OTHER)
    await agency.bill(*two, case_id=OTHER)
    await agency.does("bob", ActKind.CONFIRM, CONFIRMATION, case_id=OTHER)
    both = await asyncio.gather(verdicts(agency, one, confirm()), verdicts(agency, two, confirm(OTHER), case_id=OTHER))
    assert sorted(verdict for (verdict,) in both) == ["above-the-limit", "go"]


async def test_the_month_turns_in_london_but_an_invoice_never_does(agency: Agency) -> None:
    one, two, three = issued("L-1001", "300.00"), issued("L-2001", "300.00", "inv-2"), issued("L-3001", "300.00")
    await open_case(agency, [one])
    await carry_out(agency, [one], confirm())
    now = datetime.fromtimestamp(await agency.clock(), UTC).astimezone(ZoneInfo("Europe/London"))
    turn = (now.replace(day=28) + timedelta(days=4)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    await agency.database.shift(turn - now + timedelta(minutes=1))
    await open_case(agency, [two], OTHER)
    assert await verdicts(agency, [two], confirm(OTHER), case_id=OTHER) == ["go"]
    third = f"{OTHER}/third"
    await agency.database.shift(turn - now + timedelta(days=32))
    await open_case(agency, [three], third)
    assert await verdicts(agency, [three], confirm(third), case_id=third) == ["above-the-limit"]


async def test_what_is_reserved_is_not_judged_again_when_the_month_turns(agency: Agency) -> None:
    billed = [issued("L-1001", "300.00")]
    await open_case(agency, billed)
    await carry_out(agency, billed, confirm())
    await agency.database.shift(timedelta(days=32))
    await open_case(agency, [issued("L-2001", "400.00", "inv-2")], OTHER)
    await carry_out(agency, [issued("L-2001", "400.00", "inv-2")], confirm(OTHER), case_id=OTHER)
    assert await verdicts(agency, billed, draft()) == ["go"]


async def test_a_client_without_a_contact_in_the_books_needs_approval(agency: Agency) -> None:
    await agency.database.execute("UPDATE clients SET contact_id = ''")
    billed = [unbilled("L-1001", "10.00")]
    await open_case(agency, billed)
    assert await verdicts(agency, billed, listing()) == ["client-has-no-contact-in-the-books"]


async def test_other_currencies_need_a_rate_that_counts(agency: Agency) -> None:
    billed = [issued("L-1001", "500.00", currency="EUR")]
    await open_case(agency, billed)
    assert await verdicts(agency, billed, confirm()) == ["no-valid-rate"]
    await agency.rate("0.85", 20)
    assert await verdicts(agency, billed, confirm()) == ["no-valid-rate"]
    await agency.rate("0.861234", 1)
    assert await verdicts(agency, billed, confirm()) == ["go"]
    assert await grants(agency) == {"L-1001": ("credit-note", Decimal("430.617000"))}  # unrounded


async def test_draft_of_a_granted_lead_goes_even_when_its_rate_has_grown_old(agency: Agency) -> None:
    billed = [issued("L-1001", "100.00", currency="EUR")]
    await agency.rate("0.85", 1)
    await open_case(agency, billed)
    await carry_out(agency, billed, confirm())
    await agency.database.shift(timedelta(days=20))
    assert await verdicts(agency, billed, draft()) == ["go"]


# Mended by people -----------------------------------------------------------------------------------------------------


async def _unknown(agency: Agency, billed: Sequence[LeadBilling], effect: Effect) -> None:
    """The effect may have been done or not, and a person is asked."""
    (one,) = await claim(agency, billed, effect)
    assert one.verdict == "go", one
    await agency.gate.settle(CASE, [Settled(effect, "unknown", code="timeout", attempt=one.attempt)])
    await agency.ask("could-not", reference=effect.key)


async def _says(agency: Agency, kind: ActKind) -> None:
    act = await agency.sign("ann", kind, StepResult(), step_id="could-not")
    assert (await agency.record("could-not", act)).accepted == 0


async def test_a_mail_sent_by_hand_is_taken_as_sent_on_a_persons_signed_word(agency: Agency) -> None:
    billed = [issued("L-1001", "60.00")]
    await open_case(agency, billed)
    await _unknown(agency, billed, confirm())
    assert await verdicts(agency, billed, confirm()) == ["timeout"]
    await _says(agency, ActKind.DONE)
    (one,) = await claim(agency, billed, confirm())
    assert (one.verdict, one.reference) == ("sent", "by-hand")
    assert await verdicts(agency, billed, draft()) == ["go"]


async def test_a_machines_word_that_a_mail_was_sent_counts_for_nothing(agency: Agency) -> None:
    billed = [issued("L-1001", "60.00")]
    await open_case(agency, billed)
    await _unknown(agency, billed, confirm())
    act = await agency.sign("ann", ActKind.DONE, StepResult(), step_id="could-not", auth="api_key")
    assert (await agency.record("could-not", act)).accepted == -1
    assert await verdicts(agency, billed, confirm()) == ["timeout"]


async def test_a_credit_note_is_never_taken_as_done_on_a_word(agency: Agency) -> None:
    billed = [issued("L-1001", "60.00")]
    await open_case(agency, billed)
    await carry_out(agency, billed, confirm())
    await _unknown(agency, billed, draft())
    await _says(agency, ActKind.DONE)
    assert [one.verdict for one in await claim(agency, billed, draft())] == ["unknown"]


async def test_a_word_to_try_again_counts_for_one_try(agency: Agency) -> None:
    billed = [issued("L-1001", "60.00")]
    await open_case(agency, billed)
    await _unknown(agency, billed, confirm())
    await _says(agency, ActKind.RESEND)
    (again,) = await claim(agency, billed, confirm())
    assert (again.verdict, again.attempt) == ("go", 2)
    await agency.gate.settle(CASE, [Settled(confirm(), "unknown", code="timeout", attempt=2)])
    assert await verdicts(agency, billed, confirm()) == ["timeout"]


# The ledger -----------------------------------------------------------------------------------------------------------


async def test_what_is_held_reserves_nothing(agency: Agency) -> None:
    billed = [issued("L-1001", "60.00")]
    await open_case(agency, billed)
    await agency.database.execute("UPDATE outbound SET mode = 'off'")
    (one,) = await claim(agency, billed, confirm())
    assert (one.verdict, await grants(agency)) == ("held", {})


async def test_a_crash_in_between_is_looked_after_under_the_same_reservation(agency: Agency) -> None:
    billed = [issued("L-1001", "60.00")]
    await open_case(agency, billed)
    assert await verdicts(agency, billed, confirm()) == ["go"]
    assert await verdicts(agency, billed, confirm()) == ["look"]
    assert len(await grants(agency)) == 1


async def test_what_was_sent_keeps_its_receipt_though_its_acts_were_superseded(agency: Agency) -> None:
    billed = [issued("L-1001", "60.00")]
    await open_case(agency, billed)
    await carry_out(agency, billed, confirm())
    withdrawn = Reduction(leads=(Withdrawal(lead_id="L-1001", text_sha256=digest("x")),))
    await agency.does("bob", ActKind.REDUCE, withdrawn)
    assert await verdicts(agency, billed, confirm(), draft()) == ["sent", "lines-changed"]


async def test_the_worker_of_the_sops_can_not_send_a_gated_effect(agency: Agency) -> None:
    await open_case(agency, [issued("L-1001", "60.00")])
    await agency.prepare(confirm())
    effect = "INSERT INTO effects (key, case_id, kind, clause, gated, body, state) VALUES "
    for statement in (
        "UPDATE effects SET state = 'sent'",
        effect + "('k', 'c', 'confirm-to-accounts', '', true, '{}', 'sent')",
        effect + "('k', 'c', 'confirm-to-accounts', '', false, '{}', 'sent')",
        "INSERT INTO grants VALUES ('L-1001', 'c', 'acme', 'c-1', 'no-charge', 1, 'GBP', 1, '', '', '', 'k')",
        "INSERT INTO effect_acts SELECT key, 1, jti FROM acts, effects",
        "INSERT INTO money_people (role, issuer, sub, name) VALUES ('team:accounts', 'i', 's', 'n')",
        "UPDATE policy SET value = '{}'",
        "INSERT INTO rates VALUES ('EUR', now(), 0.01)",
        "UPDATE leads SET price = 1",
        "UPDATE clock SET shift = '1 year'",
    ):
        async with agency.sops.acquire() as conn:
            with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.CheckViolationError)):
                await conn.execute(statement)


async def test_a_row_whose_body_is_another_effects_is_none(agency: Agency) -> None:
    await open_case(agency, [issued("L-1001", "60.00")])
    body = draft().model_dump(mode="json")
    async with transaction(agency.sops) as conn:
        await conn.execute(
            "INSERT INTO effects (key, case_id, kind, clause, gated, body, state) "
            "VALUES ('k', $1, 'draft-credit-note', '', true, $2, 'prepared')",
            CASE, body,
        )  # fmt: skip
    permits = await agency.gate.plan(CASE, CASE, ["k"])
    assert [permit.code for permit in permits] == ["no-such-effect"]


async def test_an_intent_for_another_effect_than_the_stored_one_is_refused(agency: Agency) -> None:
    billed = [issued("L-1001", "60.00"), issued("L-1002", "60.00", "inv-2")]
    await open_case(agency, billed)
    await carry_out(agency, billed, confirm())
    await agency.prepare(draft())
    permits = await agency.gate.plan(CASE, CASE, [draft().key])
    other = draft().model_copy(update={"invoice_id": "inv-2"})
    (one,) = await agency.gate.claim(CASE, permits, Billing(leads=tuple(billed)), [Intent(other, "0" * 64, ())])
    assert (one.verdict, one.code) == ("refused", "another-effect")


# Forged and borrowed acts ---------------------------------------------------------------------------------------------


async def insert(agency: Agency, act: SignedAct, about: Subject, **columns: str) -> None:
    """Puts an act into the table past every check, as a thief of the SOP worker's password could."""
    body = ActBody.model_validate_json(act.body).model_copy(update=columns)
    async with transaction(agency.sops) as conn:
        await conn.execute(
            """INSERT INTO acts (jti, case_id, workflow_id, step_id, kind, subject_sha256, issuer, sub, person_id, auth,
                                 body, payload, signature, subject)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10, $11, $12, $13)""",
            body.jti, body.case_id, body.workflow_id, body.step_id, body.kind, body.subject_sha256,
            body.actor.issuer, body.actor.sub, body.auth, act.body, act.payload, act.signature, about.json_text,
        )  # fmt: skip


def about(of: Any, billed: Sequence[LeadBilling]) -> Subject:
    lines = tuple(
        SubjectLine(
            lead_id=one.lead_id, gross=one.gross, net=one.net, currency=one.currency, invoice_id=one.invoice_id,
            invoice_number=one.invoice_number,
        )
        for one in billed
    )  # fmt: skip
    return Subject(case_id=CASE, of=of, client_id="acme", contact_id="c-1", lines=lines)


async def made(agency: Agency, person: str, kind: ActKind, result: Any, subject: Subject, **changes: Any) -> SignedAct:
    now = await agency.clock()
    body = ActBody(
        kid="", jti=digest(f"{person}{kind}")[:20], kind=kind.value, deployment=DEPLOYMENT, case_id=CASE,
        workflow_id=CASE, step_id="s", subject_sha256=subject.sha256, payload_sha256="", actor=identity(person),
        auth="oidc", auth_time=now, iat=now, exp=now + 900,
    )  # fmt: skip
    signer = changes.pop("signer", agency.signer)
    return signed_act(signer, body.model_copy(update=changes), result)


async def _case(agency: Agency) -> list[LeadBilling]:
    billed = [issued("L-1001", "60.00")]
    await agency.add_lead("L-1001")
    await agency.add_case(["L-1001"])
    return billed


async def test_forged_findings_and_confirmation_in_the_table_grant_nothing(agency: Agency, tmp_path: Path) -> None:
    billed = await _case(agency)
    forger = local_signer(tmp_path / "forger")
    named = Signer(agency.signer.kid, forger.private)
    for n, signer in enumerate((forger, named)):
        for kind, result, of in (
            (ActKind.FINDINGS, findings(["L-1001"]), "all"),
            (ActKind.CONFIRM, CONFIRMATION, "valid"),
        ):
            subject = about(of, billed)
            act = await made(agency, "ann", kind, result, subject, signer=signer, jti=f"{n}{kind}")
            await insert(agency, act, subject)
    assert await verdicts(agency, billed, confirm(), answer()) == ["unproven-act"] * 2
    assert await grants(agency) == {}


async def test_a_forged_row_is_outlived_by_signing_anew(agency: Agency, tmp_path: Path) -> None:
    billed = await _case(agency)
    await agency.does("ann", ActKind.FINDINGS, findings(["L-1001"]))
    await agency.bill(*billed)
    subject = about("all", billed)
    forged = await made(
        agency, "ann", ActKind.FINDINGS, findings([], ["L-1001"]), subject, signer=local_signer(tmp_path / "f")
    )
    await insert(agency, forged, subject)
    await agency.does("bob", ActKind.CONFIRM, CONFIRMATION)
    assert await verdicts(agency, billed, confirm()) == ["unproven-act"]
    await agency.does("ann", ActKind.FINDINGS, findings(["L-1001"]), step_id="investigate.2", name="investigate")
    assert await verdicts(agency, billed, confirm()) == ["go"]


@pytest.mark.parametrize(
    "changes",
    [
        {"deployment": "production"},
        {"case_id": OTHER},
        {"workflow_id": f"{CASE}/cycle-2"},
        {"auth": "api_key"},
        {"auth": "local"},
        {"acting_for": "shobhit"},
        {"auth_time": 0},
        {"exp": 2**40},
        {"iat": 0, "auth_time": 0, "exp": 900},
    ],
)
async def test_a_signed_but_refused_act_put_into_the_table_grants_nothing(
    agency: Agency, changes: dict[str, Any]
) -> None:
    billed = await _case(agency)
    await agency.does("ann", ActKind.FINDINGS, findings(["L-1001"]))
    await agency.bill(*billed)
    subject = about("valid", billed)
    act = await made(agency, "bob", ActKind.CONFIRM, CONFIRMATION, subject, **changes)
    await insert(agency, act, subject)
    code = "not-confirmed" if changes.keys() & {"case_id", "workflow_id"} else "unproven-act"
    assert await verdicts(agency, billed, confirm()) == [code]


async def test_an_authorisation_of_somebody_who_was_not_of_accounts_is_none(agency: Agency) -> None:
    billed = [issued("L-1001", "60.00")]
    await open_case(agency, billed)
    await carry_out(agency, billed, confirm(), draft())
    subject = about("issued", billed)
    for person, code in (
        ("otto", "not-accounts"),
        ("shobhit", "not-accounts"),
        ("bob", "not-accounts"),
    ):
        act = await made(agency, person, ActKind.AUTHORISE, Authorisation(), subject)
        await insert(agency, act, subject)
        assert await verdicts(agency, billed, authorise()) == [code]


async def test_an_authorisation_by_the_confirmer_put_into_the_table_is_none(agency: Agency) -> None:
    billed = await _case(agency)
    await agency.does("ann", ActKind.FINDINGS, findings(["L-1001"]))
    await agency.bill(*billed)
    await agency.does("carl", ActKind.CONFIRM, CONFIRMATION)
    await carry_out(agency, billed, confirm(), draft())
    subject = about("issued", billed)
    await insert(agency, await made(agency, "carl", ActKind.AUTHORISE, Authorisation(), subject), subject)
    assert await verdicts(agency, billed, authorise()) == ["may-not-authorise"]


async def test_an_authorisation_of_other_amounts_is_none(agency: Agency) -> None:
    billed = [issued("L-1001", "60.00")]
    await open_case(agency, billed)
    await carry_out(agency, billed, confirm(), draft())
    subject = about("issued", [issued("L-1001", "59.00")])
    await insert(agency, await made(agency, "cora", ActKind.AUTHORISE, Authorisation(), subject), subject)
    assert await verdicts(agency, billed, authorise()) == ["lines-changed"]


async def test_a_subject_swapped_beside_its_signature_proves_nothing(agency: Agency) -> None:
    billed = [issued("L-1001", "60.00")]
    await agency.add_lead("L-1001")
    await agency.add_case(["L-1001"])
    await agency.does("ann", ActKind.FINDINGS, findings(["L-1001"]))
    small, large = about("valid", billed), about("valid", [issued("L-1001", "400.00")])
    act = await made(agency, "bob", ActKind.CONFIRM, CONFIRMATION, small)
    await insert(agency, act, large)
    assert await verdicts(agency, [issued("L-1001", "400.00")], confirm()) == ["unproven-act"]


@pytest.mark.parametrize(
    "signed",
    [
        {"case_id": OTHER},
        {"workflow_id": f"{CASE}/cycle-2"},
        {"step_id": "confirm"},
        {"jti": "another"},
        {"actor": identity("otto")},
        {"auth": "local"},
    ],
)
async def test_a_good_act_of_something_else_copied_into_this_case_proves_nothing(
    agency: Agency, signed: dict[str, Any]
) -> None:
    billed = await _case(agency)
    subject = about("all", billed)
    act = await made(agency, "ann", ActKind.FINDINGS, findings(["L-1001"]), subject, **signed)
    row = await made(agency, "ann", ActKind.FINDINGS, findings(["L-1001"]), subject)
    columns = ActBody.model_validate_json(row.body)
    await insert(agency, act, subject, **{name: getattr(columns, name) for name in signed})
    assert await verdicts(agency, billed, confirm()) == ["unproven-act"]


async def test_a_payload_swapped_in_the_table_proves_nothing(agency: Agency) -> None:
    billed = await _case(agency)
    subject = about("all", billed)
    refused = await made(agency, "ann", ActKind.FINDINGS, findings([], ["L-1001"]), subject)
    await insert(agency, refused.model_copy(update={"payload": written(findings(["L-1001"]))}), subject)
    assert await verdicts(agency, billed, confirm()) == ["unproven-act"]


async def test_another_workers_ring_does_not_count_here(agency: Agency, vault: Vault, tmp_path: Path) -> None:
    billed = [issued("L-1001", "60.00")]
    await open_case(agency, billed)
    local_signer(tmp_path / "own")
    own = PostgresGate(agency.money, vault, Trust(Keyring(ring_path(tmp_path / "own")), DEPLOYMENT, local_counts=False))
    assert await verdicts(agency, billed, confirm(), gate=own) == ["unproven-act"]


async def test_a_stored_act_outlives_a_weekend_and_a_rotation(agency: Agency) -> None:
    billed = [issued("L-1001", "60.00")]
    await open_case(agency, billed)
    await agency.database.shift(timedelta(days=3))
    rotate(agency.keys_dir, datetime.fromtimestamp(await agency.clock(), UTC))
    assert await verdicts(agency, billed, confirm()) == ["go"]


async def test_an_act_stored_after_its_key_was_retired_proves_nothing(agency: Agency) -> None:
    billed = await _case(agency)
    old = agency.signer
    rotate(agency.keys_dir, datetime.fromtimestamp(await agency.clock() - 60, UTC))
    subject = about("all", billed)
    await insert(
        agency, await made(agency, "ann", ActKind.FINDINGS, findings(["L-1001"]), subject, signer=old), subject
    )
    assert await verdicts(agency, billed, confirm()) == ["unproven-act"]


async def test_an_authorisation_outlives_whoever_left_accounts_since(agency: Agency) -> None:
    billed = [issued("L-1001", "60.00")]
    await open_case(agency, billed)
    await carry_out(agency, billed, confirm(), draft())
    await agency.authorised()
    await agency.database.execute("UPDATE money_people SET until = holdfast_now() WHERE sub = 'carl'")
    assert await verdicts(agency, billed, authorise()) == ["go"]


def test_each_reason_is_a_stable_word_and_one_clear_sentence() -> None:
    for code, said in GATE_REFUSALS.items():
        assert " " not in code
        assert said.endswith(".")


async def test_a_lead_granted_elsewhere_in_the_same_moment_stops_the_claim_whole(agency: Agency) -> None:
    billed = [issued("L-1001", "60.00")]
    await open_case(agency, billed)
    await agency.prepare(confirm())
    permits = await agency.gate.plan(CASE, CASE, [confirm().key])
    await agency.database.execute(
        "INSERT INTO grants VALUES ('L-1001', 'x', 'acme', 'c-1', 'no-charge', 1, 'GBP', 1, '', '', '', 'k')"
    )
    intents = [Intent(confirm(), "0" * 64, ("vendor:xero",))]
    (one,) = await agency.gate.claim(CASE, permits, Billing(leads=tuple(billed)), intents)
    assert (one.verdict, one.code) == ("refused", "already-granted")


# The sum as a property ------------------------------------------------------------------------------------------------


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    amounts=st.lists(st.lists(st.integers(1, 40_000), min_size=1, max_size=3), min_size=2, max_size=5),
    kinds=st.lists(st.booleans(), min_size=5, max_size=5),
    days=st.lists(st.integers(0, 40), min_size=5, max_size=5),
    at_once=st.booleans(),
)
async def test_never_more_than_the_limit_a_month_without_an_approver(
    agency: Agency, amounts: list[list[int]], kinds: list[bool], days: list[int], at_once: bool
) -> None:
    await agency.database.execute("TRUNCATE grants, promise_credits")
    await agency.database.shift(timedelta(0))
    run, waiting = digest(json.dumps([amounts, kinds, days, at_once, str(datetime.now(UTC))]))[:10], list[Any]()
    passed = timedelta(0)
    for n, pennies in enumerate(amounts):
        case_id = f"return-lead/{run}{n}"
        make = [issued, unbilled][kinds[n]]
        billed = [
            make(f"L-{int(run[:6], 16) % 10**6}{n}{i}", str(Decimal(each) / 100)) for i, each in enumerate(pennies)
        ]
        billed = [one.model_copy(update={"invoice_id": f"inv-{run}{n}"}) if one.invoice_id else one for one in billed]
        await open_case(agency, billed, case_id)
        effect = listing(case_id) if kinds[n] else confirm(case_id)
        waiting.append(verdicts(agency, billed, effect, case_id=case_id))
        if not at_once:
            await waiting.pop()
            passed += timedelta(days=days[n])
            await agency.database.shift(passed)
    await asyncio.gather(*waiting)
    sums = await agency.database.fetch(
        "SELECT sum(gbp) AS gbp FROM grants GROUP BY date_trunc('month', granted_at AT TIME ZONE 'Europe/London')"
    )
    assert all(row["gbp"] <= 500 for row in sums)
