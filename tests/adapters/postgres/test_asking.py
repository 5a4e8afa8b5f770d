"""RL-14: an approval asks those who may really decide about its case, and nobody for what he may not sign."""

from pathlib import Path

import pytest

from adapters.letters.letters import PostgresLetters
from adapters.postgres import asking
from adapters.postgres.asking import Deciders
from adapters.postgres.crypto import Vault
from adapters.postgres.desk import Desk
from adapters.postgres.directory import Asked
from adapters.postgres.my_work import MyWork
from adapters.postgres.pool import transaction
from domain import ids
from domain.effects import Nudge
from domain.mail import OutgoingMail
from domain.messages import ActKind
from domain.people import Role
from runtime.settings import Settings
from tests.adapters.postgres.test_approvals import (
    WHY,
    approval,
    asked,
    confirmed,
    decided,
    found,
    refused,
    stand_in,
)
from tests.adapters.postgres.test_gate import carry_out, confirm
from tests.conftest import Database
from tests.signing import CASE, DEPLOYMENT, PEOPLE, Agency, identity, issued, make_agency

OTHER = "return-lead/fedcba9876543210"
HANDS = ("csm", "address", "sender", "investigator", "confirmer")


@pytest.fixture
async def agency(database: Database, vault: Vault, tmp_path: Path) -> Agency:
    return await make_agency(database, vault, tmp_path)


async def has_a_hand(agency: Agency, how: str, person: str = "shobhit") -> None:
    """Makes it a case about which this person may not decide."""
    execute = agency.database.execute
    match how:
        case "csm":
            await execute("UPDATE clients SET csm_id = $1", person)
        case "address":
            await execute("INSERT INTO client_addresses VALUES ($1, 'acme')", f"{person}@example.com")
        case "sender":
            thread = f'{{"sender": "{person}@example.com", "arrived_at": "2026-03-01T09:00:00Z"}}'
            async with transaction(agency.sops) as conn:
                sealed = await agency.vault.seal(conn, "acme", thread.encode())
                await conn.execute("UPDATE cases SET thread_ct = $1", sealed)
        case _:
            did = {"investigator": "ann", "confirmer": "bob"}[how]
            if how == "confirmer":
                await confirmed(agency)
                await agency.ask("approval")
            await execute("DELETE FROM money_people WHERE role = 'role:approver'")
            await execute(
                "INSERT INTO money_people (role, issuer, sub, name) VALUES ('role:approver', $1, $2, $2)",
                identity(did).issuer, did,
            )  # fmt: skip


async def who(agency: Agency, case_id: str = CASE) -> Asked:
    async with transaction(agency.sops, reading=True) as conn:
        return await Deciders(agency.vault, agency.trust).of(conn, case_id)


def ids_of(one: Asked) -> list[str]:
    return [person.person_id for person in one.people]


async def may(agency: Agency) -> list[str]:
    """Whose approval the gateway would sign now: the judge's own word."""
    desk = Desk(await agency.database.pool("door"), agency.vault, agency.trust)
    step = await desk.step(CASE, "approval")
    now = await desk.now()
    said = {one: await desk.foresee(step, ActKind.APPROVE, identity(one), None, now) for one in PEOPLE}
    return sorted(one for one, (_, code) in said.items() if not code)


@pytest.mark.clause("RL-14")
async def test_the_approver_is_asked_alone(agency: Agency) -> None:
    await asked(agency)
    one = await who(agency)
    assert (ids_of(one), one.fell_back, one.named) == (["shobhit"], "", "shobhit")


@pytest.mark.clause("RL-14")
@pytest.mark.parametrize("how", HANDS)
async def test_where_the_approver_has_a_hand_in_the_case_the_partner_is_asked_from_the_start(
    agency: Agency, how: str
) -> None:
    await asked(agency)
    await has_a_hand(agency, how)
    one = await who(agency)
    assert (ids_of(one), one.fell_back) == (["pia"], asking.INVOLVED)
    assert await may(agency) == ["pia"]
    await decided(agency, person="pia")


@pytest.mark.parametrize("ceiling", ["", "799.99", "800.00"])
@pytest.mark.parametrize("hand", ["", "csm"])
@pytest.mark.parametrize("partner", ["", "address"])
async def test_whoever_may_sign_is_asked_and_nobody_else_as_long_as_anybody_may(
    agency: Agency, ceiling: str, hand: str, partner: str
) -> None:
    if ceiling:
        await stand_in(agency, ceiling=ceiling)
    await asked(agency)
    if hand:
        await has_a_hand(agency, hand)
    if partner:
        await has_a_hand(agency, partner, "pia")
    able, one = await may(agency), await who(agency)
    assert sorted(ids_of(one)) == able or (not able and one.fell_back in {asking.NOBODY, asking.ALL_INVOLVED})


@pytest.mark.clause("RL-14")
async def test_a_stand_in_is_asked_up_to_his_ceiling_and_told_so(agency: Agency) -> None:
    await stand_in(agency, ceiling="800.00")
    await asked(agency)
    one = await who(agency)
    assert (ids_of(one), one.named) == (["shobhit", "otto"], "shobhit or otto (up to GBP 800.00)")


@pytest.mark.clause("RL-14")
async def test_a_stand_in_is_not_asked_above_his_ceiling(agency: Agency) -> None:
    await stand_in(agency, ceiling="899.99")
    await found(agency, [issued("L-3001", "100.00", "inv-3")], OTHER)
    await asked(agency)
    assert ids_of(await who(agency)) == ["shobhit", "otto"]
    await confirmed(agency, OTHER)
    await carry_out(agency, [issued("L-3001", "100.00", "inv-3")], confirm(OTHER), case_id=OTHER)
    assert ids_of(await who(agency)) == ["shobhit"]  # with what was granted meanwhile, it is a penny too much


async def test_a_stand_in_is_not_asked_for_what_has_no_valid_rate(agency: Agency) -> None:
    await stand_in(agency)
    await asked(agency, [issued("L-1001", "1.00", currency="USD")])
    assert ids_of(await who(agency)) == ["shobhit"]


async def test_a_stand_in_with_a_hand_in_the_case_is_not_asked(agency: Agency) -> None:
    await stand_in(agency)
    await asked(agency)
    await has_a_hand(agency, "csm", "otto")
    assert ids_of(await who(agency)) == ["shobhit"]


async def test_a_stand_ins_order_that_proves_nothing_has_nobody_asked(agency: Agency) -> None:
    await stand_in(agency)
    await agency.database.execute("ALTER TABLE orders DISABLE TRIGGER append_only")
    await agency.database.execute("UPDATE orders SET payload = replace(payload, '2000.00', '2000.01')")
    await asked(agency)
    assert ids_of(await who(agency)) == ["shobhit"]


async def test_where_nobody_may_decide_those_who_can_mend_it_are_told(agency: Agency) -> None:
    await stand_in(agency, ceiling="799.99")
    await asked(agency)
    await has_a_hand(agency, "csm")
    one = await who(agency)
    assert (ids_of(one), one.fell_back) == (["otto", "pia"], asking.NOBODY)
    assert one.named == "otto (up to GBP 799.99) or pia"
    await refused(agency, await approval(agency, "otto"), "above-the-ceiling")
    await stand_in(agency, ceiling="800.00")
    assert ids_of(await who(agency)) == ["otto"]
    await decided(agency, person="otto")


async def test_whoever_was_not_asked_is_judged_all_the_same(agency: Agency) -> None:
    await asked(agency)
    await has_a_hand(agency, "csm")
    await refused(agency, await approval(agency, result=WHY, kind=ActKind.REJECT), "may-not-approve")


# Mail and My work -----------------------------------------------------------------------------------------------------


async def mail(agency: Agency, vault: Vault, folder: Path, chase: int = 0) -> OutgoingMail:
    await agency.database.execute("UPDATE cases SET kind = 'ReturnLead'")
    settings = Settings(state_dir=folder, deployment=DEPLOYMENT)
    letters = PostgresLetters(await agency.database.pool("sops"), vault, settings)
    key = ids.effect_key(CASE, "ask-approval", chase)
    return await letters.compose(CASE, Nudge(key=key, clause="RL-14", step_id="approval", chase=chase))


@pytest.mark.clause("RL-14")
@pytest.mark.parametrize("chase", [0, 1])
async def test_the_first_mail_goes_to_whoever_decides(agency: Agency, vault: Vault, tmp_path: Path, chase: int) -> None:
    await stand_in(agency, ceiling="799.99")
    await asked(agency)
    plain = await mail(agency, vault, tmp_path, chase)
    assert (plain.to, "Why you" in plain.text) == (("shobhit@example.com",), False)
    await stand_in(agency, ceiling="800.00")
    assert (both := await mail(agency, vault, tmp_path, chase)).to == ("shobhit@example.com", "otto@example.com")
    assert "Asked of: shobhit or otto (up to GBP 800.00)\n" in both.text
    await stand_in(agency, ceiling="0", days=(0, 0))
    await has_a_hand(agency, "csm", "otto")
    await agency.database.execute("INSERT INTO client_addresses VALUES ('shobhit@example.com', 'acme')")
    instead = await mail(agency, vault, tmp_path, chase)
    assert instead.to == ("pia@example.com",)
    assert f"Asked of: pia\nWhy you: {asking.INVOLVED}\n" in instead.text


async def test_a_mailbox_of_the_approvers_is_not_asked_instead_of_the_partner(
    agency: Agency, vault: Vault, tmp_path: Path
) -> None:
    await agency.database.execute("INSERT INTO departments VALUES ('role:approver', 'Approvals', 'a@example.com')")
    await asked(agency)
    assert (await mail(agency, vault, tmp_path)).to == ("a@example.com",)
    await has_a_hand(agency, "csm")
    assert (await mail(agency, vault, tmp_path)).to == ("pia@example.com",)


async def waiting(agency: Agency, person: str, *roles: str) -> list[str]:
    work = MyWork(await agency.database.pool("door"), agency.vault, agency.trust)
    return [row.case_id for row in (await work.of(person, roles)).rows if row.step.name == "approval"]


@pytest.mark.clause("RL-14")
async def test_my_work_shows_an_approval_to_whoever_decides_about_it(agency: Agency) -> None:
    await asked(agency)
    before = [await waiting(agency, "shobhit", Role.APPROVER), await waiting(agency, "pia", Role.PARTNER)]
    await has_a_hand(agency, "csm")
    after = [await waiting(agency, "shobhit", Role.APPROVER), await waiting(agency, "pia", Role.PARTNER)]
    assert (before, after) == ([[CASE], []], [[], [CASE]])
    assert await waiting(agency, "otto", Role.OPERATIONS) == []
