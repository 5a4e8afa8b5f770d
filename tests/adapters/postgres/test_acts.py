import asyncio
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from adapters.postgres.acts import milestones
from adapters.postgres.api_keys import ApiKeys
from adapters.postgres.audit import verify
from adapters.postgres.crypto import Vault
from adapters.postgres.pool import transaction
from domain.acts import Candidate, RecordActs
from domain.api_keys import Scope, identity_of
from domain.case import CaseEvent, EventKind
from domain.effects import Audience, ConfirmToAccounts, SendLetter
from domain.errors import Refused
from domain.messages import ActKind, SignedAct
from domain.return_lead import (
    Authorisation,
    Claimed,
    Move,
    Reassignment,
    Reduction,
    StepResult,
    Withdrawal,
)
from domain.rules.acts import fingerprint, written
from domain.texts import digest
from runtime.keys import Signer, local_signer, rotate
from tests.conftest import Database
from tests.signing import CASE, CONFIRMATION, NOW, Agency, findings, identity, issued, make_agency, open_step, unbilled

LEADS = ["L-1001", "L-1002", "L-1003"]
OTHER = "return-lead/fedcba9876543210"


@pytest.fixture
async def agency(database: Database, vault: Vault, tmp_path: Path) -> Agency:
    made = await make_agency(database, vault, tmp_path)
    for lead in LEADS:
        await made.add_lead(lead)
    await made.add_case(LEADS)
    await made.ask("investigate")
    return made


async def good(agency: Agency, person: str = "ann", **changes: Any) -> SignedAct:
    return await agency.sign(person, ActKind.FINDINGS, findings(LEADS), step_id="investigate", **changes)


async def refused(agency: Agency, act: SignedAct, code: str, step_id: str = "investigate", **changes: Any) -> None:
    """The act is refused with this code, visibly, and nothing is accepted."""
    before = await agency.stored()
    answer = await agency.record(step_id, act, **changes)
    assert (answer.accepted, answer.refused) == (-1, 1)
    assert await agency.refusals() == {code: 1}
    assert await agency.stored() == before
    assert await agency.told("act.refused") == 1


# Accepting ------------------------------------------------------------------------------------------------------------


async def test_a_good_act_is_stored_told_and_ends_the_step(agency: Agency) -> None:
    act = await good(agency)
    answer = await agency.record("investigate", act)
    assert (answer.accepted, answer.kind, answer.by, answer.refused) == (0, "return.findings", "ann", 0)
    assert datetime.fromisoformat(answer.at).tzinfo
    assert await agency.stored() == ["return.findings"]
    assert await agency.told("act.accepted") == 1
    assert await agency.database.value("SELECT state FROM case_steps WHERE step_id = 'investigate'") == "done"
    async with transaction(agency.money, reading=True) as conn:
        assert (await verify(conn)).whole


async def test_a_settlement_is_signed_step_by_step(agency: Agency) -> None:
    await agency.does("ann", ActKind.FINDINGS, findings(["L-1001", "L-1002"], ["L-1003"]))
    await agency.bill(issued("L-1001", "120.00"), issued("L-1002", "120.00"))
    await agency.does("bob", ActKind.CONFIRM, CONFIRMATION)
    await agency.does("cora", ActKind.AUTHORISE, Authorisation())
    assert await agency.stored() == ["return.findings", "return.confirm", "return.authorise"]


async def test_gated_effects_that_follow_are_prepared_in_the_same_transaction(agency: Agency) -> None:
    await agency.does("ann", ActKind.FINDINGS, findings(LEADS))
    gated = ConfirmToAccounts(key=f"{CASE}/confirm-to-accounts/1", clause="RL-13")
    letter = SendLetter(key=f"{CASE}/letter/1", clause="RL-8", template="t", audience=Audience.ACCOUNTS)
    await agency.does("bob", ActKind.CONFIRM, CONFIRMATION, then=[gated, letter])
    rows = await agency.database.fetch("SELECT key, state, gated FROM effects")
    assert [tuple(row) for row in rows] == [(gated.key, "prepared", True)]


async def test_nothing_is_prepared_for_an_act_that_is_refused(agency: Agency) -> None:
    gated = ConfirmToAccounts(key=f"{CASE}/confirm-to-accounts/1", clause="RL-13")
    await refused(agency, await good(agency, "otto"), "not-asked", then=[gated])
    assert await agency.database.value("SELECT count(*) FROM effects") == 0


async def test_the_first_that_ends_the_step_wins_and_the_others_are_told_so(agency: Agency) -> None:
    one, two, three = await good(agency, "ann"), await good(agency, "bob"), await good(agency, "ann")
    answer = await agency.record("investigate", one, two, three)
    assert (answer.accepted, answer.by, answer.refused) == (0, "ann", 2)
    assert await agency.refusals() == {"step-already-done": 2}
    assert await agency.told("act.refused") == 2


async def test_what_is_wrong_in_a_batch_does_not_spoil_what_is_good(agency: Agency) -> None:
    junk = SignedAct(body="{}", payload="{}", signature="A" * 86)
    answer = await agency.record("investigate", junk, await good(agency, "otto"), await good(agency))
    assert (answer.accepted, answer.refused) == (2, 2)


# Once -----------------------------------------------------------------------------------------------------------------


async def test_the_same_call_again_gives_the_same_answer_and_counts_nothing_twice(agency: Agency) -> None:
    acts = [await good(agency, "otto"), await good(agency, "ann"), await good(agency, "bob")]
    first = await agency.record("investigate", *acts)
    again = await agency.record("investigate", *acts)
    assert again == first
    assert await agency.refusals() == {"not-asked": 1, "step-already-done": 1}
    assert await agency.told("act.accepted") == 1
    assert await agency.told("act.refused") == 2


async def test_a_lost_answer_about_a_claim_and_a_result_is_repeated_whole(agency: Agency) -> None:
    claim = await agency.sign("ann", ActKind.CLAIM, Claimed(), step_id="investigate")
    act = await good(agency, "ann")
    first = await agency.record("investigate", claim, act)
    assert (first.accepted, first.kind, first.claimed_by) == (1, "return.findings", "ann")
    assert await agency.record("investigate", claim, act) == first
    assert await agency.stored() == ["step.claim", "return.findings"]


async def test_the_very_same_act_again_later_is_neither_refused_nor_taken(agency: Agency) -> None:
    act = await good(agency)
    await agency.record("investigate", act)
    await agency.ask("confirm")
    answer = await agency.record("confirm", act)
    assert (answer.accepted, answer.refused) == (-1, 0)
    assert await agency.stored() == ["return.findings"]


async def test_an_old_claim_brought_up_again_takes_no_step_back(agency: Agency) -> None:
    claim = await agency.sign("ann", ActKind.CLAIM, Claimed(), step_id="investigate")
    await agency.record("investigate", claim)
    release = await agency.sign("ann", ActKind.RELEASE, Claimed(), step_id="investigate")
    await agency.record("investigate", release)
    answer = await agency.record("investigate", claim)
    assert (answer.accepted, answer.claimed_by) == (-1, "")
    assert (await agency.record("investigate", await good(agency, "bob"))).accepted == 0


async def test_a_number_used_again_for_other_bytes_is_refused(agency: Agency) -> None:
    jti = str(uuid4())
    await agency.record("investigate", await good(agency, jti=jti))
    await agency.ask("investigate.2", "investigate")
    again = await agency.sign("bob", ActKind.FINDINGS, findings([], LEADS), step_id="investigate.2", jti=jti)
    await refused(agency, again, "jti-reused", "investigate.2", name="investigate")


async def test_two_judges_at_once_accept_one(agency: Agency) -> None:
    one, two = await good(agency, "ann"), await good(agency, "bob")
    answers = await asyncio.gather(agency.record("investigate", one, two), agency.record("investigate", one, two))
    assert {answer.by for answer in answers} == {"ann"}
    assert await agency.stored() == ["return.findings"]


# Attacks --------------------------------------------------------------------------------------------------------------


async def test_unsigned(agency: Agency) -> None:
    act = await good(agency)
    await refused(agency, act.model_copy(update={"signature": ""}), "unsigned")


async def test_signed_by_an_unknown_key(agency: Agency, tmp_path: Path) -> None:
    await refused(agency, await good(agency, signer=local_signer(tmp_path / "attacker")), "unknown-key")


async def test_signed_by_an_unknown_key_under_a_known_name(agency: Agency, tmp_path: Path) -> None:
    attacker = local_signer(tmp_path / "attacker")
    await refused(agency, await good(agency, signer=Signer(agency.signer.kid, attacker.private)), "bad-signature")


async def test_signed_by_a_retired_key(agency: Agency) -> None:
    act = await good(agency)
    rotate(agency.keys_dir, datetime.fromtimestamp(await agency.clock(), UTC))
    await refused(agency, act, "retired-key")


async def test_the_new_key_signs_on_after_a_rotation(agency: Agency) -> None:
    await agency.does("ann", ActKind.FINDINGS, findings(LEADS))
    agency.signer = rotate(agency.keys_dir, datetime.fromtimestamp(await agency.clock() + 1, UTC))
    await agency.does("bob", ActKind.CONFIRM, CONFIRMATION)
    assert await agency.stored() == ["return.findings", "return.confirm"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"deployment": "production"}, "wrong-deployment"),
        ({"case_id": OTHER}, "wrong-case"),
        ({"workflow_id": f"{CASE}/cycle-2"}, "wrong-workflow"),
        ({"subject_sha256": "0" * 64}, "subject-changed"),
        ({"acting_for": "shobhit"}, "acting-for-not-allowed"),
        ({"auth": "api_key"}, "auth-not-allowed"),
        ({"auth": "webhook"}, "auth-not-allowed"),
        ({"auth": "email"}, "auth-not-allowed"),
        ({"auth": "chat"}, "auth-not-allowed"),
        ({"auth": "local"}, "auth-not-allowed"),
        ({"exp": 2**40}, "lives-too-long"),
        ({"iat": 2**40, "exp": 2**40 + 900}, "issued-in-the-future"),
        ({"auth_time": 0}, "login-too-old"),
        ({"actor": identity("mallory")}, "unknown-person"),
        ({"actor": identity("otto")}, "not-asked"),
        ({"actor": identity("ann").model_copy(update={"issuer": "https://evil.example"})}, "unknown-person"),
    ],
)
async def test_an_act_for_or_by_somebody_else(agency: Agency, changes: dict[str, Any], code: str) -> None:
    signed = changes.pop("case_id", CASE)
    act = await good(agency, **changes) if signed == CASE else await _of_another_case(agency)
    await refused(agency, act, code)


async def _of_another_case(agency: Agency) -> SignedAct:
    await agency.add_lead("L-2001")
    await agency.add_case(["L-2001"], OTHER)
    await agency.ask("investigate", case_id=OTHER)
    return await agency.sign("ann", ActKind.FINDINGS, findings(["L-2001"]), step_id="investigate", case_id=OTHER)


async def test_expired_by_the_databases_clock(agency: Agency) -> None:
    act = await good(agency)
    await agency.database.shift(timedelta(minutes=16))
    await refused(agency, act, "expired")


async def test_a_login_grown_old_before_it_is_judged(agency: Agency) -> None:
    act = await good(agency, auth_time=await agency.clock() - 890)
    await agency.database.shift(timedelta(seconds=20))
    await refused(agency, act, "login-too-old")


async def test_a_payload_swapped_after_signing(agency: Agency) -> None:
    act = await good(agency)
    await refused(agency, act.model_copy(update={"payload": written(findings([], LEADS))}), "payload-changed")


async def test_a_swapped_payload_does_not_answer_for_the_good_act(agency: Agency) -> None:
    act = await good(agency)
    swapped = act.model_copy(update={"payload": written(findings([], LEADS))})
    answer = await agency.record("investigate", swapped, act)
    assert answer.accepted == 1
    row = await agency.database.fetch("SELECT digest FROM act_refusals")
    assert fingerprint(act) not in {one["digest"] for one in row}


async def test_a_lead_of_another_case_or_left_out(agency: Agency) -> None:
    wrong = await agency.sign("ann", ActKind.FINDINGS, findings(["L-1001", "L-1002", "L-9999"]), step_id="investigate")
    await refused(agency, wrong, "leads-do-not-fit")


async def test_amounts_changed_between_showing_and_deciding(agency: Agency) -> None:
    await agency.does("ann", ActKind.FINDINGS, findings(LEADS))
    await agency.bill(issued("L-1001", "120.00"))
    await agency.ask("confirm")
    act = await agency.sign("bob", ActKind.CONFIRM, CONFIRMATION, step_id="confirm")
    await agency.bill(issued("L-1001", "1200.00"))
    await refused(agency, act, "subject-changed", "confirm")


@pytest.mark.parametrize(("price", "currency"), [("100.00", "EUR"), ("999.00", "GBP")])
async def test_prices_changed_between_showing_and_deciding(agency: Agency, price: str, currency: str) -> None:
    act = await good(agency)
    await agency.database.execute("UPDATE leads SET price = $1, currency = $2", Decimal(price), currency)
    await refused(agency, act, "subject-changed")


async def test_the_contact_in_the_books_changed_between_showing_and_deciding(agency: Agency) -> None:
    act = await good(agency)
    await agency.database.execute("UPDATE clients SET contact_id = 'mallory'")
    await refused(agency, act, "subject-changed")


async def test_an_act_for_a_step_that_is_done(agency: Agency) -> None:
    late = await good(agency, "bob")
    await agency.does("ann", ActKind.FINDINGS, findings(LEADS))
    await agency.ask("confirm")
    await refused(agency, late, "step-already-done", "confirm")


async def test_an_act_for_another_open_step(agency: Agency) -> None:
    await agency.ask("confirm")
    act = await agency.sign("ann", ActKind.FINDINGS, findings(LEADS), step_id="confirm")
    await refused(agency, act, "no-such-step")


async def test_a_stray_without_any_open_step(agency: Agency) -> None:
    stray = RecordActs(
        case_id=CASE, workflow_id=CASE, step_id="", candidates=(Candidate(act=await good(agency)),), view=agency.view()
    )
    answer = await agency.acts.record(stray)
    assert (answer.accepted, answer.refused) == (-1, 1)
    assert await agency.refusals() == {"no-such-step": 1}


async def test_a_kind_the_step_does_not_ask_for(agency: Agency) -> None:
    waiver = await agency.sign("ann", ActKind.WAIVE, StepResult(), step_id="investigate")
    await refused(agency, waiver, "kind-not-asked")


async def test_a_step_that_a_rogue_workflow_asks_of_others_still_asks_its_own(agency: Agency) -> None:
    await agency.database.execute("INSERT INTO memberships VALUES ('otto', 'team:operations')")
    await refused(agency, await good(agency, "otto"), "not-asked", role="team:operations")


async def test_a_person_no_longer_active(agency: Agency) -> None:
    act = await good(agency)
    await agency.database.execute("UPDATE people SET active = false WHERE person_id = 'ann'")
    await refused(agency, act, "unknown-person")


async def _confirmed(agency: Agency, investigator: str, confirmer: str) -> None:
    await agency.does(investigator, ActKind.FINDINGS, findings(LEADS))
    await agency.bill(*(issued(lead, "120.00") for lead in LEADS))
    await agency.does(confirmer, ActKind.CONFIRM, CONFIRMATION)
    await agency.ask("authorise")


@pytest.mark.parametrize(("investigator", "confirmer"), [("carl", "bob"), ("ann", "carl")])
async def test_accounts_can_not_authorise_what_they_investigated_or_confirmed(
    agency: Agency, investigator: str, confirmer: str
) -> None:
    await _confirmed(agency, investigator, confirmer)
    act = await agency.sign("carl", ActKind.AUTHORISE, Authorisation(), step_id="authorise")
    await refused(agency, act, "may-not-authorise", "authorise")
    assert (await agency.does("cora", ActKind.AUTHORISE, Authorisation())).by.endswith("cora")


async def test_a_membership_of_accounts_counts_for_nothing_where_money_is_signed(agency: Agency) -> None:
    await _confirmed(agency, "ann", "bob")
    await agency.database.execute("INSERT INTO memberships VALUES ('otto', 'team:accounts')")
    act = await agency.sign("otto", ActKind.AUTHORISE, Authorisation(), step_id="authorise")
    await refused(agency, act, "not-asked", "authorise")


async def test_whoever_was_taken_off_accounts_does_not_sign_any_more(agency: Agency) -> None:
    await _confirmed(agency, "ann", "bob")
    act = await agency.sign("cora", ActKind.AUTHORISE, Authorisation(), step_id="authorise")
    await agency.database.execute("UPDATE money_people SET until = holdfast_now() WHERE sub = 'cora'")
    await refused(agency, act, "not-asked", "authorise")


async def test_an_approver_does_not_confirm(agency: Agency) -> None:
    await agency.does("ann", ActKind.FINDINGS, findings(LEADS))
    await agency.database.execute("INSERT INTO memberships VALUES ('shobhit', 'team:return-leads')")
    await agency.ask("confirm")
    act = await agency.sign("shobhit", ActKind.CONFIRM, CONFIRMATION, step_id="confirm")
    await refused(agency, act, "may-not-confirm", "confirm")


async def test_findings_put_into_the_table_by_hand_make_no_lead_valid(agency: Agency, tmp_path: Path) -> None:
    forger = local_signer(tmp_path / "forger")
    await insert(agency, await good(agency, signer=Signer(agency.signer.kid, forger.private)))
    await agency.ask("confirm")
    answer = await agency.record("confirm", await agency.sign("bob", ActKind.CONFIRM, CONFIRMATION, step_id="confirm"))
    assert answer.accepted == 0  # of nothing: the set of valid leads is empty, and the gate knows it too
    subject = await agency.database.value("SELECT subject FROM acts WHERE kind = 'return.confirm'")
    assert '"lines":[]' in str(subject)


async def insert(agency: Agency, act: SignedAct, **changes: Any) -> None:
    """Puts an act into the table past every check, as a thief of the SOP worker's password could."""
    body = json.loads(act.body)
    row = {
        "jti": body["jti"],
        "case_id": body["case_id"],
        "workflow_id": body["workflow_id"],
        "step_id": body["step_id"],
        "kind": body["kind"],
        "subject_sha256": body["subject_sha256"],
        "issuer": body["actor"]["issuer"],
        "sub": body["actor"]["sub"],
        "person_id": body["actor"]["sub"],
        "auth": body["auth"],
        "body": act.body,
        "payload": act.payload,
        "signature": act.signature,
        "subject": "{}",
    } | changes
    names = ", ".join(row)
    places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    async with transaction(agency.sops) as conn:
        await conn.execute(f"INSERT INTO acts ({names}) VALUES ({places})", *row.values())  # noqa: S608


async def test_nobody_chooses_when_an_act_was_accepted_or_changes_it_afterwards(agency: Agency) -> None:
    act = await good(agency)
    await insert(agency, act, accepted_at=NOW)
    assert await agency.database.value("SELECT accepted_at > $1 FROM acts", NOW + timedelta(days=1))
    for role in ("sops", "money", "door"):
        pool = await agency.database.pool(role)
        for statement in ("UPDATE acts SET person_id = 'bob'", "DELETE FROM acts"):
            async with pool.acquire() as conn:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await conn.execute(statement)


async def test_an_act_that_was_stored_is_judged_by_the_time_of_the_database(agency: Agency) -> None:
    await agency.does("ann", ActKind.FINDINGS, findings(LEADS))
    await agency.database.shift(timedelta(days=4))
    await agency.does("bob", ActKind.CONFIRM, CONFIRMATION)
    assert await agency.stored() == ["return.findings", "return.confirm"]


# The SOP's own objection ----------------------------------------------------------------------------------------------


async def test_the_sops_own_objection_is_a_refusal_with_its_sentence(agency: Agency) -> None:
    act = await good(agency)
    await refused(agency, act, "result-refused", problem="Withdraw at least one lead.")
    row = await agency.database.fetch("SELECT sentence, digest FROM act_refusals")
    assert tuple(row[0]) == ("Withdraw at least one lead.", fingerprint(act))


async def test_an_objection_with_unstorable_characters_is_told_without_them(agency: Agency) -> None:
    await refused(agency, await good(agency), "result-refused", problem="a\0b" + "x" * 5000)
    assert await agency.database.value("SELECT length(sentence) FROM act_refusals") == 500


# Changing hands -------------------------------------------------------------------------------------------------------


async def hand(agency: Agency, person: str, kind: ActKind, result: Any, **changes: Any) -> SignedAct:
    return await agency.sign(person, kind, result, step_id="investigate", **changes)


async def test_a_claimed_step_is_the_claimers_alone_until_released(agency: Agency) -> None:
    answer = await agency.record("investigate", await hand(agency, "ann", ActKind.CLAIM, Claimed()))
    assert (answer.accepted, answer.kind, answer.claimed_by) == (0, "step.claim", "ann")
    shown = await agency.database.fetch("SELECT owner, claimed_by, state FROM case_steps")
    assert tuple(shown[0]) == ("ann", "ann", "open")
    await refused(agency, await good(agency, "bob"), "belongs-to-another")
    released = await agency.record("investigate", await hand(agency, "ann", ActKind.RELEASE, Claimed()))
    assert (released.kind, released.claimed_by) == ("step.release", "")
    assert (await agency.record("investigate", await good(agency, "bob"))).accepted == 0


async def test_the_workflows_word_on_who_claimed_a_step_counts_for_nothing(agency: Agency) -> None:
    await agency.record("investigate", await hand(agency, "ann", ActKind.CLAIM, Claimed()))
    await refused(agency, await good(agency, "bob"), "belongs-to-another", claimed_by="bob")


async def test_a_manager_reassigns_and_the_new_owner_answers(agency: Agency) -> None:
    await agency.record("investigate", await hand(agency, "ann", ActKind.CLAIM, Claimed()))
    to_bob = await hand(agency, "mia", ActKind.REASSIGN, Reassignment(to="bob"))
    answer = await agency.record("investigate", to_bob)
    assert (answer.claimed_by, answer.reassigned_to) == ("", "bob")
    answer = await agency.record("investigate", await good(agency, "ann"), await good(agency, "bob"))
    assert (answer.accepted, answer.by) == (1, "bob")
    assert await agency.refusals() == {"belongs-to-another": 1}


@pytest.mark.parametrize("to", ["otto", "nobody"])
async def test_a_step_about_money_is_not_given_to_somebody_it_does_not_ask(agency: Agency, to: str) -> None:
    await refused(agency, await hand(agency, "ann", ActKind.REASSIGN, Reassignment(to=to)), "unknown-assignee")


async def test_any_other_step_is_given_to_anybody_active(agency: Agency) -> None:
    await agency.ask("could-not")
    kinds = ("step.done", "step.waive")
    act = await agency.sign("ann", ActKind.REASSIGN, Reassignment(to="otto"), step_id="could-not")
    assert (await agency.record("could-not", act, kinds=kinds)).reassigned_to == "otto"
    done = await agency.sign("otto", ActKind.DONE, StepResult(), step_id="could-not")
    assert (await agency.record("could-not", done, kinds=kinds)).by == "otto"


async def test_a_batch_of_changes_is_answered_as_it_stands_in_the_end(agency: Agency) -> None:
    due = datetime.fromtimestamp(await agency.clock() + 86_400, UTC)
    claim = await hand(agency, "ann", ActKind.CLAIM, Claimed())
    move = await hand(agency, "ann", ActKind.MOVE, Move(due=due, reason_sha256=digest("why")))
    other = await hand(agency, "bob", ActKind.CLAIM, Claimed())
    answer = await agency.record("investigate", claim, move, other)
    assert (answer.accepted, answer.kind, answer.claimed_by, answer.due) == (1, "step.move", "ann", due)
    assert answer.refused == 1
    assert await agency.database.value("SELECT due_at FROM case_steps") == due
    (shown,) = await agency.database.fetch("SELECT view -> 'deadline' -> 'moved' -> 0 ->> 'by' AS by FROM case_steps")
    assert shown["by"] == "ann"  # who moved it is read at once


async def test_a_machine_may_claim_and_not_find(agency: Agency) -> None:
    """A key acts as a person under an identity of its own, which names the secret that was used."""
    keys = ApiKeys(await agency.database.pool("door"))
    token = await keys.create("crm", "ann", (Scope.ACT,), lasts=timedelta(days=90), per_minute=600, by="otto")
    by_key: dict[str, Any] = {"auth": "api_key", "actor": identity_of((await keys.recognise(token)).key_id)}
    claim = await hand(agency, "ann", ActKind.CLAIM, Claimed(), **by_key)
    answer = await agency.record("investigate", claim)
    assert (answer.accepted, answer.claimed_by) == (0, "ann")
    await refused(agency, await good(agency, **by_key), "auth-not-allowed")


async def test_a_person_does_not_sign_as_a_machine_nor_a_machine_as_a_person(agency: Agency) -> None:
    as_machine = await hand(agency, "ann", ActKind.CLAIM, Claimed(), auth="api_key")
    as_person = await hand(agency, "ann", ActKind.CLAIM, Claimed(), actor=identity_of("0000"))
    assert (await agency.record("investigate", as_machine, as_person)).refused == 2
    assert await agency.refusals() == {"auth-not-allowed": 2}


async def test_a_local_login_counts_only_where_the_judge_says_so(
    database: Database, vault: Vault, tmp_path: Path
) -> None:
    agency = await make_agency(database, vault, tmp_path, local_counts=True)
    await agency.add_lead("L-1001")
    await agency.add_case(["L-1001"])
    await agency.ask("investigate")
    act = await agency.sign("ann", ActKind.FINDINGS, findings(["L-1001"]), step_id="investigate", auth="local")
    assert (await agency.record("investigate", act)).accepted == 0


# Reductions -----------------------------------------------------------------------------------------------------------


async def test_a_reduction_names_valid_leads_only(agency: Agency) -> None:
    await agency.does("ann", ActKind.FINDINGS, findings(["L-1001", "L-1002"], ["L-1003"]))
    await agency.bill(unbilled("L-1001"), unbilled("L-1002"))
    await agency.ask("needs-approval")
    wrong = Reduction(leads=(Withdrawal(lead_id="L-1003", text_sha256=digest("x")),))
    act = await agency.sign("bob", ActKind.REDUCE, wrong, step_id="needs-approval")
    await refused(agency, act, "leads-do-not-fit", "needs-approval")


# Floods ---------------------------------------------------------------------------------------------------------------


async def test_a_flood_of_nonsense_is_a_few_rows_and_a_few_lines(agency: Agency) -> None:
    for batch in range(40):
        junk = [SignedAct(body=f'{{"n":{batch}.{n}}}', payload="{}", signature="A" * 86) for n in range(50)]
        assert (await agency.record("investigate", *junk)).refused == 50
    assert await agency.refusals() == {"bad-signature": 2000}
    assert await agency.database.value("SELECT count(*) FROM act_refusals") == 1
    assert await agency.told("act.refused") == 4  # numbers 1, 10, 100 and 1,000
    assert (await agency.record("investigate", await good(agency))).accepted == 0


async def test_each_signed_refusal_can_be_found_again_by_whoever_signed(agency: Agency) -> None:
    acts = [await good(agency, "otto") for _ in range(12)]
    await agency.record("investigate", *acts)
    rows = await agency.database.fetch("SELECT digest FROM act_refusals")
    assert {row["digest"] for row in rows} == {fingerprint(act) for act in acts}
    assert await agency.told("act.refused") == 10


def test_refusals_are_told_at_first_and_then_ever_more_rarely() -> None:
    assert milestones(0, 2000, one_by_one=False) == [1, 10, 100, 1000]
    assert milestones(0, 3, one_by_one=False) == [1]
    assert milestones(1, 9, one_by_one=False) == []
    assert milestones(0, 12, one_by_one=True) == list(range(1, 11))
    assert milestones(8, 100, one_by_one=True) == [9, 10, 100]


async def test_nothing_of_what_was_refused_is_kept(agency: Agency) -> None:
    junk = SignedAct(body='{"secret":"jane@example.com"}', payload='{"x":"jane@example.com"}', signature="A" * 86)
    await agency.record("investigate", junk)
    for table in ("act_refusals", "case_events", "acts"):
        for row in await agency.database.fetch(f"SELECT * FROM {table}"):  # noqa: S608
            assert "jane" not in str(dict(row))


# What a workflow may tell ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [EventKind.ACT_ACCEPTED, EventKind.ACT_REFUSED, EventKind.EFFECT_SENT])
async def test_a_workflow_can_not_tell_of_acts_and_effects(agency: Agency, kind: EventKind) -> None:
    event = CaseEvent(kind=kind, clause="RL-4", at=NOW, text="shobhit signed return.approve.")
    with pytest.raises(Refused, match="told by the activities"):
        await agency.record("investigate", events=[event])
    assert await agency.told(kind.value) == 0


async def test_what_a_workflow_tells_is_written_with_its_acts(agency: Agency) -> None:
    event = CaseEvent(kind=EventKind.CHASED, clause="RL-4", at=NOW, text="Reminded.")
    await agency.record("investigate", await good(agency), events=[event])
    assert (await agency.told("chased"), await agency.told("act.accepted")) == (1, 1)


async def test_steps_beside_the_judged_one_are_left_as_they_are(agency: Agency) -> None:
    claim = await hand(agency, "ann", ActKind.CLAIM, Claimed())
    beside = open_step("could-not")
    view = agency.view(open_step("investigate"), beside)
    await agency.record("investigate", claim, view=view)
    rows = await agency.database.fetch("SELECT step_id, owner FROM case_steps WHERE state = 'open' ORDER BY 1")
    assert [tuple(row) for row in rows] == [("could-not", "team:return-leads"), ("investigate", "ann")]
