"""RL-14: ways to get money out without the approver, each tried at the gate itself. None is let through."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from activities.ports import Intent, Settled
from adapters.postgres.crypto import Vault
from adapters.postgres.imports import ClientIn, PostgresImports
from domain.books_check import INVOICED
from domain.effects import AnswerClient, AuthoriseCreditNote, DraftCreditNote
from domain.errors import Refused
from domain.messages import ActBody, ActKind
from domain.orders import PolicyOrder, StandInOrder, VatBasis
from domain.return_lead import Authorisation, Billing, LeadBilling, Reduction, Withdrawal
from domain.texts import digest
from runtime.keys import signed_act
from tests.adapters.postgres.test_approvals import (
    BIG,
    WHY,
    YES,
    about,
    approval,
    approved,
    asked,
    confirmed,
    decided,
    found,
    granted,
    limit,
    refused,
    stand_in,
)
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
from tests.signing import (
    CASE,
    CONFIRMATION,
    DEPLOYMENT,
    Agency,
    findings,
    identity,
    issued,
    make_agency,
    unbilled,
)

OTHER = "return-lead/fedcba9876543210"
CONTACT = "11111111-2222-4333-8444-5555aaaabbbb"
ONE = [issued("L-1001", "300.00")]


@pytest.fixture
async def agency(database: Database, vault: Vault, tmp_path: Path) -> Agency:
    return await make_agency(database, vault, tmp_path)


async def of_client(agency: Agency, client_id: str, billed: Sequence[LeadBilling], case_id: str = CASE) -> None:
    """A case of that client, whose leads are found valid, billed so and confirmed."""
    for one in billed:
        await agency.add_lead(one.lead_id, str(one.gross), client_id, one.currency)
    leads = [one.lead_id for one in billed]
    await agency.add_case(leads, case_id, client_id)
    await agency.does("ann", ActKind.FINDINGS, findings(leads), case_id=case_id)
    await agency.bill(*billed, case_id=case_id)
    await confirmed(agency, case_id)


async def next_month(agency: Agency) -> None:
    now = datetime.fromtimestamp(await agency.clock(), UTC).astimezone(ZoneInfo("Europe/London"))
    turn = (now.replace(day=28) + timedelta(days=4)).replace(day=2, hour=9)
    await agency.database.shift(turn - now)


async def without_vat(agency: Agency) -> None:
    await agency.order("pia", ActKind.SET_POLICY, PolicyOrder(name="vat-basis", value=VatBasis(vat="without")))


# Whose sum it is ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelled", [CONTACT.upper(), f" {CONTACT}", CONTACT.replace("-", ""), f"{{{CONTACT}}}"])
async def test_the_same_contact_in_another_spelling_has_no_sum_of_its_own(agency: Agency, spelled: str) -> None:
    """The books take any spelling of a contact's id: a second client under it must not get a month of its own."""
    door = await agency.database.pool("door")
    add = "INSERT INTO clients (client_id, name, contact_id) VALUES ($1, $1, $2)"
    await door.execute(add, "one", CONTACT)
    await door.execute(add, "two", spelled)
    one, two = [unbilled("L-1001", "300.00")], [unbilled("L-2001", "300.00")]
    await of_client(agency, "one", one)
    await of_client(agency, "two", two, OTHER)
    assert await verdicts(agency, one, listing()) == ["go"]
    assert await verdicts(agency, two, listing(OTHER), case_id=OTHER) == ["above-the-limit"]


async def test_two_contacts_that_became_one_in_the_books_have_one_sum(agency: Agency) -> None:
    """What was granted under the old contact counts for whoever shares the new one."""
    await agency.add_client("two", "c-2")
    one, two = [unbilled("L-1001", "300.00")], [unbilled("L-2001", "300.00")]
    await of_client(agency, "acme", one)
    await carry_out(agency, one, listing())
    await agency.database.execute("UPDATE clients SET contact_id = 'c-2' WHERE client_id = 'acme'")
    await of_client(agency, "two", two, OTHER)
    assert await verdicts(agency, two, listing(OTHER), case_id=OTHER) == ["above-the-limit"]


async def test_no_role_moves_a_lead_or_a_case_to_another_client(agency: Agency) -> None:
    await agency.add_client("two", "c-2")
    await found(agency, ONE)
    for role, statement in (
        ("door", "UPDATE leads SET client_id = 'two'"),
        ("door", "UPDATE cases SET client_id = 'two'"),
        ("sops", "UPDATE cases SET client_id = 'two'"),
        ("money", "UPDATE cases SET client_id = 'two'"),
    ):
        pool = await agency.database.pool(role)  # pyright: ignore[reportArgumentType]
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(statement)


async def test_a_lead_has_one_spelling(agency: Agency) -> None:
    """In small letters it would be another lead, billed on no invoice, and be credited once more."""
    await agency.add_lead("L-1001")
    door = await agency.database.pool("door")
    with pytest.raises(asyncpg.CheckViolationError):
        await door.execute("INSERT INTO leads (lead_id, client_id, received_at) VALUES ('l-1001', 'acme', now())")


async def test_a_dispute_overturned_after_the_months_turn_is_one_request_with_the_rest(agency: Agency) -> None:
    """Half refused, disputed and overturned next month: the linked case is about the same request."""
    first, rest = [unbilled("L-1001", "300.00")], [unbilled("L-1002", "300.00")]
    await of_client(agency, "acme", first)
    await carry_out(agency, first, listing(), answer())
    await next_month(agency)
    linked = f"{CASE}/overturned-1"
    await of_client(agency, "acme", rest, linked)
    await agency.sops.execute("UPDATE cases SET linked_to = $1 WHERE case_id = $2", CASE, linked)
    assert await verdicts(agency, rest, listing(linked), case_id=linked) == ["above-the-limit"]
    asking = (await about(agency, linked)).asking
    assert asking is not None
    assert [one.lead_id for one in asking.granted] == ["L-1001"]

    for unlink in ("linked_to = ''", "linked_to = 'return-lead/another'"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await agency.sops.execute(f"UPDATE cases SET {unlink} WHERE case_id = $1", linked)  # noqa: S608


async def test_no_import_takes_the_decision_from_the_approver(agency: Agency) -> None:
    """Made the client's own CSM, he could not decide about an open case any more, and the partner would."""
    await asked(agency)
    imports = PostgresImports(await agency.database.pool("door"), agency.vault)
    row = ClientIn("acme", "Acme", CONTACT, csm_id="shobhit")
    with pytest.raises(Refused, match="approves refunds"):
        await imports.clients("clients.csv", [(2, row)], "otto", "0" * 64)
    assert await agency.database.value("SELECT csm_id FROM clients") is None


async def test_an_import_that_spells_a_contact_otherwise_changes_nothing(agency: Agency) -> None:
    imports = PostgresImports(await agency.database.pool("door"), agency.vault)
    for spelled, same in ((CONTACT, 0), (CONTACT.upper(), 1), (CONTACT.replace("-", ""), 1)):
        report = await imports.clients("clients.csv", [(2, ClientIn("one", "One", spelled))], "otto", "0" * 64)
        assert report.same == same


# What is counted ------------------------------------------------------------------------------------------------------


async def test_a_request_keeps_the_limit_it_began_with_in_a_linked_case_too(agency: Agency) -> None:
    await of_client(agency, "acme", ONE)
    await agency.database.shift(timedelta(seconds=5))
    await agency.order("pia", ActKind.SET_POLICY, limit("1000.00"))
    await agency.database.shift(timedelta(seconds=10))
    linked, rest = f"{CASE}/overturned-1", [issued("L-1002", "600.00", "inv-2")]
    await of_client(agency, "acme", rest, linked)
    assert await verdicts(agency, rest, confirm(linked), case_id=linked) == ["go"]
    await agency.database.execute("DELETE FROM grants")
    await agency.database.execute("UPDATE effects SET state = 'prepared'")
    await agency.sops.execute("UPDATE cases SET linked_to = $1 WHERE case_id = $2", CASE, linked)
    assert await verdicts(agency, rest, confirm(linked), case_id=linked) == ["above-the-limit"]


@pytest.mark.parametrize("net", ["-400.00", "1.00"])
async def test_a_line_whose_tax_is_no_vat_makes_no_room_where_vat_is_not_counted(agency: Agency, net: str) -> None:
    """400.00 of which nearly all, or more, is said to be tax, beside 450.00: whatever the books say that the VAT is."""
    await without_vat(agency)
    billed = [issued("L-1001", "400.00", net=Decimal(net)), issued("L-1002", "450.00")]
    await of_client(agency, "acme", billed)
    (code,) = await verdicts(agency, billed, confirm())
    assert code == "above-the-limit"
    assert await granted(agency) == {}


async def test_a_net_amount_understated_in_the_tables_does_not_get_under_a_stand_ins_ceiling(agency: Agency) -> None:
    """The SOP worker's rows say less net than the books: the stand-in would decide about more than he was shown."""
    await without_vat(agency)
    await stand_in(agency, ceiling="640.00")
    true = [issued("L-1001", "800.00")]  # 666.67 without VAT
    await found(agency, [issued("L-1001", "800.00", net=Decimal("635.00"))])
    await decided(agency, person="otto")
    await confirmed(agency)
    assert await verdicts(agency, true, confirm()) == ["amount-above-signed"]
    await agency.bill(*true)
    await confirmed(agency, step_id="confirm.2")
    assert await verdicts(agency, true, confirm(n=2)) == ["approval-void"]


async def test_a_rate_that_jumped_is_not_hidden_behind_rows_that_prove_nothing(agency: Agency) -> None:
    """With the rate before it crowded out of sight, a rate a tenth as high would count."""
    await agency.rate("0.85", 30)
    await agency.rate("0.085")
    door = await agency.database.pool("door")
    crowd = """INSERT INTO rates (currency, on_date, gbp, act_jti)
        SELECT {currency}, (holdfast_now() AT TIME ZONE 'Europe/London')::date - {ago}, 0.085, 'j'
        FROM generate_series({numbers}) n"""
    await door.execute(crowd.format(currency="'X' || n", ago=1, numbers="1, 60"))
    await door.execute(crowd.format(currency="'EUR'", ago="n", numbers="1, 29"))
    billed = [issued("L-1001", "5000.00", currency="EUR")]
    await of_client(agency, "acme", billed)
    assert await verdicts(agency, billed, confirm()) == ["no-valid-rate"]


async def test_a_rate_of_a_day_to_come_does_not_count(agency: Agency) -> None:
    """Signed when the database's clock stood ahead: until then there is no rate."""
    await agency.database.shift(timedelta(days=3))
    await agency.rate("0.10")
    await agency.database.shift(timedelta())
    billed = [issued("L-1001", "5000.00", currency="EUR")]
    await of_client(agency, "acme", billed)
    assert await verdicts(agency, billed, confirm()) == ["no-valid-rate"]


async def test_a_negative_line_of_one_invoice_makes_no_room_for_another_invoice(agency: Agency) -> None:
    """900.00 on one invoice and -500.00 on another would come to 400.00, and the second note is never drafted."""
    billed = [issued("L-1001", "900.00"), issued("L-1002", "-500.00", "inv-2")]
    for one in billed:
        await agency.add_lead(one.lead_id)
    await found(agency, billed)
    await confirmed(agency)
    assert await verdicts(agency, billed, confirm()) == ["amount-below-zero"]


async def test_what_is_reserved_is_not_freed_by_a_failure_and_a_case_that_ends(agency: Agency) -> None:
    """Begun, failed, its case closed and a second one filed, then the first one taken up again: one of them goes."""
    await of_client(agency, "acme", ONE)
    (one,) = await claim(agency, ONE, confirm())
    await agency.gate.settle(CASE, [Settled(confirm(), "prepared", code="http-500", attempt=one.attempt)])
    await agency.sops.execute("UPDATE cases SET status = 'closed'")
    await agency.sops.execute("UPDATE case_leads SET active = false")
    second = [issued("L-2001", "300.00", "inv-2")]
    await of_client(agency, "acme", second, OTHER)
    assert await verdicts(agency, second, confirm(OTHER), case_id=OTHER) == ["above-the-limit"]
    assert [again.verdict for again in await claim(agency, ONE, confirm())] == ["go"]
    assert await granted(agency) == {"L-1001": False}


async def test_leads_that_were_changed_between_permit_and_claim_are_not_let_through(agency: Agency) -> None:
    """The letter was written for what was permitted: what is confirmed anew meanwhile takes a new one."""
    both = [issued("L-1001", "60.00"), issued("L-1002", "60.00")]
    await of_client(agency, "acme", both)
    await agency.prepare(confirm())
    permits = await agency.gate.plan(CASE, CASE, [confirm().key])
    gone = Reduction(leads=(Withdrawal(lead_id="L-1002", text_sha256=digest("x")),))
    await agency.does("bob", ActKind.REDUCE, gone)
    await confirmed(agency, step_id="confirm.2")
    intents = [Intent(confirm(), "0" * 64, ("vendor:xero",))]
    (one,) = await agency.gate.claim(CASE, permits, Billing(leads=tuple(both)), intents)
    assert (one.verdict, one.code) == ("refused", "lines-changed")
    assert await granted(agency) == {}


# Old and later words --------------------------------------------------------------------------------------------------


async def test_an_authorisation_held_back_until_accounts_declined_does_not_win(agency: Agency) -> None:
    """Whoever stores acts chooses their order; what was signed last counts."""
    await of_client(agency, "acme", ONE)
    await carry_out(agency, ONE, confirm(), draft())
    await agency.ask("authorise")
    held_back = await agency.sign("carl", ActKind.AUTHORISE, Authorisation(), step_id="authorise")
    await agency.database.shift(timedelta(seconds=5))
    await agency.does("cora", ActKind.DECLINE, Authorisation(reason_sha256=digest("no")))
    async with agency.sops.acquire() as conn:
        text = await conn.fetchval("SELECT subject FROM acts WHERE kind = 'return.decline'")
    await insert(agency, held_back, type(await about(agency)).model_validate_json(text))
    assert await verdicts(agency, ONE, authorise()) == ["declined"]


async def test_findings_held_back_until_a_lead_was_refused_do_not_win(agency: Agency) -> None:
    await agency.add_lead("L-1001")
    await agency.add_case(["L-1001"])
    await agency.ask("investigate")
    async with agency.sops.acquire() as conn:
        held_back = await agency.sign("ann", ActKind.FINDINGS, findings(["L-1001"]), step_id="investigate")
        await agency.database.shift(timedelta(seconds=5))
        await agency.does("bob", ActKind.FINDINGS, findings([], ["L-1001"]))
        text = await conn.fetchval("SELECT subject FROM acts WHERE kind = 'return.findings'")
    await insert(agency, held_back, type(await about(agency)).model_validate_json(text))
    await agency.bill(*ONE)
    await agency.ask("confirm")
    act = await agency.sign("bob", ActKind.CONFIRM, CONFIRMATION, step_id="confirm")
    await agency.record("confirm", act)
    assert await verdicts(agency, ONE, confirm()) == ["nothing-confirmed"]


async def test_a_stand_ins_order_held_back_does_not_replace_the_lower_ceiling_that_was_signed_after_it(
    agency: Agency,
) -> None:
    today = cast("date", await agency.database.value("SELECT (holdfast_now() AT TIME ZONE 'Europe/London')::date"))
    high = StandInOrder(
        approver=identity("shobhit"), stand_in=identity("otto"), starts=today, ends=today,
        ceiling_gbp=Decimal(2000),
    )  # fmt: skip
    present, iat = await agency.orders.present(high), await agency.clock()
    body = ActBody(
        kid="", jti="held-back", kind=ActKind.SET_STAND_IN, deployment=DEPLOYMENT, case_id="", workflow_id="",
        step_id="", subject_sha256=present.sha256, payload_sha256="", actor=identity("pia"), auth="oidc",
        auth_time=iat, iat=iat, exp=iat + 900,
    )  # fmt: skip
    act = signed_act(agency.signer, body, high)
    await agency.database.shift(timedelta(seconds=5))
    await stand_in(agency, ceiling="10.00")
    door = await agency.database.pool("door")
    await door.execute(
        """INSERT INTO orders (jti, kind, issuer, sub, body, payload, signature, subject)
           VALUES ('held-back', 'standin.set', $1, 'pia', $2, $3, $4, $5)""",
        body.actor.issuer, act.body, act.payload, act.signature, present.json_text,
    )  # fmt: skip
    await asked(agency)
    await refused(agency, await approval(agency, "otto"), "above-the-ceiling")


async def test_a_stand_ins_act_that_races_the_order_which_takes_his_right_away(agency: Agency) -> None:
    """Judged by rows read before that order was given, stored after it: at the gate it is later than the order."""
    await stand_in(agency)
    await asked(agency)
    seen, act = await about(agency), await approval(agency, "otto")
    await stand_in(agency, ceiling="0")
    await insert(agency, act, seen)
    await confirmed(agency)
    assert await verdicts(agency, BIG, confirm()) == ["above-the-ceiling"]


@pytest.mark.parametrize("kind", [ActKind.REJECT, ActKind.WITHDRAW])
async def test_a_case_turned_back_to_a_cycle_in_which_it_was_approved(agency: Agency, kind: ActKind) -> None:
    """Approved, then rejected or withdrawn in a later cycle: which of them counts is the SOP worker's row."""
    await approved(agency)
    await agency.database.shift(timedelta(seconds=5))
    seen, result = await about(agency), WHY if kind is ActKind.REJECT else YES
    later = await made(agency, "shobhit", kind, result, seen, workflow_id=f"{CASE}/cycle-2")
    await insert(agency, later, seen)
    (code,) = await verdicts(agency, BIG, confirm())
    assert code == ("approval-rejected" if kind is ActKind.REJECT else "approval-withdrawn")


# One word, used twice -------------------------------------------------------------------------------------------------


async def test_one_confirmation_makes_one_mail_and_one_draft_an_invoice(agency: Agency) -> None:
    """A second draft of the same leads under another number would lie in the books, for somebody to authorise there."""
    await of_client(agency, "acme", ONE)
    await carry_out(agency, ONE, confirm(), draft())
    again = DraftCreditNote(key=f"{CASE}/draft-credit-note.7/inv-1", clause="RL-12", invoice_id="inv-1", turn=7)
    assert await verdicts(agency, ONE, confirm(n=2), again) == ["done-before", "done-before"]
    await agency.authorised()
    await carry_out(agency, ONE, authorise(), answer())
    twice = AnswerClient(key=f"{CASE}/answer-client/2", clause="RL-5")
    assert await verdicts(agency, ONE, twice) == ["done-before"]


async def test_one_confirmation_makes_no_two_drafts_in_one_moment(agency: Agency) -> None:
    await of_client(agency, "acme", ONE)
    await carry_out(agency, ONE, confirm())
    again = DraftCreditNote(key=f"{CASE}/draft-credit-note.7/inv-1", clause="RL-12", invoice_id="inv-1", turn=7)
    assert await verdicts(agency, ONE, draft(), again) == ["go", "done-before"]


async def promised(agency: Agency) -> list[LeadBilling]:
    """L-1001, unbilled, is promised not to be charged."""
    billed = [unbilled("L-1001", "300.00")]
    await of_client(agency, "acme", billed)
    await carry_out(agency, billed, listing(), answer())
    return billed


async def invoiced_all_the_same(agency: Agency, case_id: str = OTHER) -> None:
    await agency.add_case(["L-1001"], case_id, active=False)
    await rests_on_the_promise(agency, case_id)


async def rests_on_the_promise(agency: Agency, case_id: str = OTHER) -> None:
    await agency.database.execute(
        "UPDATE cases SET kind = $1, linked_to = $2 WHERE case_id = $3", INVOICED, CASE, case_id
    )


async def authorised(agency: Agency) -> None:
    """Accounts' word in the month-end case, about what is issued there."""
    await agency.ask("authorise", case_id=OTHER)
    await rests_on_the_promise(agency)
    act = await agency.sign("carl", ActKind.AUTHORISE, Authorisation(), step_id="authorise", case_id=OTHER)
    assert (await agency.record("authorise", act, case_id=OTHER)).accepted == 0
    await rests_on_the_promise(agency)


async def credited(agency: Agency, invoice: str) -> None:
    """The promised lead's credit on this invoice, all the way."""
    now = [issued("L-1001", "300.00", invoice)]
    await agency.bill(*now, case_id=OTHER)
    await carry_out(agency, now, confirm(OTHER), draft(invoice, OTHER), case_id=OTHER)
    await authorised(agency)
    await carry_out(agency, now, authorise(invoice, OTHER), case_id=OTHER)


async def test_a_promised_lead_is_credited_on_one_invoice_and_on_no_second_one(agency: Agency) -> None:
    """The same month-end case, the lead on another invoice by now, and Accounts' word anew: one credit, for ever."""
    await promised(agency)
    await invoiced_all_the_same(agency)
    await credited(agency, "inv-1")
    second = [issued("L-1001", "300.00", "inv-2")]
    await agency.bill(*second, case_id=OTHER)
    assert await verdicts(agency, second, draft("inv-2", OTHER), case_id=OTHER) == ["already-granted"]


async def test_a_promised_leads_draft_that_lies_is_authorised_on_no_other_invoice(agency: Agency) -> None:
    await promised(agency)
    await invoiced_all_the_same(agency)
    await carry_out(agency, ONE, confirm(OTHER), draft(case_id=OTHER), case_id=OTHER)
    await agency.bill(issued("L-1001", "300.00", "inv-2"), case_id=OTHER)
    await authorised(agency)
    moved = AuthoriseCreditNote(key=f"{OTHER}/authorise-credit-note/inv-2", clause="RL-12", invoice_id="inv-2")
    (code,) = await verdicts(agency, [issued("L-1001", "300.00", "inv-2")], moved, case_id=OTHER)
    assert code == "not-drafted"


async def test_what_was_credited_against_a_promise_counts_on_its_invoice(agency: Agency) -> None:
    """300.00 promised last month and credited on this invoice, then 300.00 more of it: the invoice's sum is one."""
    await promised(agency)
    await next_month(agency)
    await invoiced_all_the_same(agency)
    await credited(agency, "inv-1")
    third, more = "return-lead/3333333333333333", [issued("L-3001", "300.00")]
    await of_client(agency, "acme", more, third)
    assert await verdicts(agency, more, confirm(third), case_id=third) == ["above-the-limit"]
    asking = (await about(agency, third)).asking
    assert asking is not None
    assert [one.lead_id for one in asking.granted] == ["L-1001"]


async def test_month_end_credits_nothing_for_a_case_whose_approval_was_rejected(agency: Agency) -> None:
    """A month-end case that names a rejected case as the one that promised."""
    billed = [unbilled("L-1001", "600.00")]
    await found(agency, billed)
    await decided(agency, ActKind.REJECT)
    await confirmed(agency)
    assert await verdicts(agency, billed, listing(), answer()) == ["approval-rejected"] * 2
    await invoiced_all_the_same(agency)
    now = [issued("L-1001", "600.00")]
    await agency.bill(*now, case_id=OTHER)
    every = (confirm(OTHER), draft(case_id=OTHER), authorise(case_id=OTHER))
    assert await verdicts(agency, now, *every, case_id=OTHER) == ["not-promised"] * 3
    assert await granted(agency) == {}


# The clock ------------------------------------------------------------------------------------------------------------


async def test_an_approval_that_expires_between_the_workers_clock_and_the_databases(agency: Agency) -> None:
    """Whatever the worker takes for now: an act that is late by the database's own clock was never accepted."""
    await asked(agency)
    seen = await about(agency)
    late = await made(agency, "shobhit", ActKind.APPROVE, YES, seen, exp=await agency.clock() + 1)
    await agency.database.shift(timedelta(seconds=30))
    await insert(agency, late, seen)
    await confirmed(agency)
    (code,) = await verdicts(agency, BIG, confirm())
    assert code in {"above-the-limit", "put-to-the-approver-before"}


async def test_an_approval_signed_ahead_by_a_clock_that_runs_fast_does_not_wait_for_its_time(agency: Agency) -> None:
    await asked(agency)
    seen, ahead = await about(agency), await agency.clock() + 3600
    early = await made(
        agency, "shobhit", ActKind.APPROVE, YES, seen, iat=ahead, auth_time=ahead, exp=ahead + 900
    )  # fmt: skip
    await insert(agency, early, seen)
    await agency.database.shift(timedelta(seconds=3700))
    await confirmed(agency)
    (code,) = await verdicts(agency, BIG, confirm())
    assert code in {"above-the-limit", "put-to-the-approver-before"}
