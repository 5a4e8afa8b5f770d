from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest

from adapters.postgres.crypto import Vault
from adapters.postgres.pool import transaction
from adapters.postgres.subjects import case_word, subject
from domain import ids
from domain.errors import Refused
from domain.messages import ActKind
from domain.return_lead import BillingState, Reduction, Withdrawal
from domain.subject import Subject
from domain.texts import digest
from runtime.keys import local_signer
from tests.conftest import Database
from tests.signing import CASE, CONFIRMATION, Agency, findings, issued, make_agency, unbilled

LEADS = ["L-1001", "L-1002", "L-1003"]


@pytest.fixture
async def agency(database: Database, vault: Vault, tmp_path: Path) -> Agency:
    made = await make_agency(database, vault, tmp_path)
    for lead in LEADS:
        await made.add_lead(lead)
    await made.add_case(LEADS)
    return made


async def about(agency: Agency, name: str, step_id: str = "investigate", role: str = "door") -> Subject:
    pool = await agency.database.pool(role)  # pyright: ignore[reportArgumentType]
    async with transaction(pool, reading=True) as conn:
        return await subject(conn, CASE, name, step_id, agency.trust)


async def test_all_is_every_lead_that_can_be_looked_into_with_its_recorded_price(agency: Agency) -> None:
    await agency.database.execute("UPDATE case_leads SET problem = 'already-returned' WHERE lead_id = 'L-1002'")
    found = await about(agency, "all")
    assert [(line.lead_id, line.gross) for line in found.lines] == [
        ("L-1001", Decimal("100.00")),
        ("L-1003", Decimal("100.00")),
    ]
    assert (found.case_id, found.of, found.client_id, found.contact_id) == (CASE, "all", "acme", "c-1")


async def test_the_same_tables_give_the_same_bytes_to_every_process(agency: Agency) -> None:
    await agency.does("ann", ActKind.FINDINGS, findings(LEADS, evidence=[digest("e")]))
    await agency.bill(issued("L-1001", "60.00"), unbilled("L-1002", "50.5"))
    for name in ("all", "valid", "issued", "refused", "approval", "step"):
        texts = {(await about(agency, name, role=role)).json_text for role in ("door", "sops", "money")}
        assert len(texts) == 1
        (text,) = texts
        assert Subject.model_validate_json(text).json_text == text


async def test_valid_is_what_signed_findings_say_less_what_was_withdrawn(agency: Agency) -> None:
    assert (await about(agency, "valid")).lines == ()
    proof = digest("evidence")
    await agency.does("ann", ActKind.FINDINGS, findings(["L-1003", "L-1001"], ["L-1002"], [proof]))
    await agency.bill(issued("L-1001", "60.00"), unbilled("L-1003", "50.00"))
    found = await about(agency, "valid")
    assert [(one.lead_id, str(one.gross), one.invoice_id, one.evidence) for one in found.lines] == [
        ("L-1001", "60.00", "inv-1", (proof,)),
        ("L-1003", "50.00", "", (proof,)),
    ]
    withdrawn = Reduction(leads=(Withdrawal(lead_id="L-1001", text_sha256=digest("x")),))
    await agency.does("bob", ActKind.REDUCE, withdrawn)
    assert (await about(agency, "valid")).lead_ids == ("L-1003",)


async def test_the_latest_findings_count(agency: Agency) -> None:
    await agency.does("ann", ActKind.FINDINGS, findings(LEADS))
    await agency.does("ann", ActKind.FINDINGS, findings([], LEADS), step_id="investigate.2", name="investigate")
    assert (await about(agency, "valid")).lines == ()


async def test_issued_is_what_stands_on_an_invoice_with_a_note_for_each(agency: Agency) -> None:
    await agency.does("ann", ActKind.FINDINGS, findings(LEADS))
    await agency.bill(
        issued("L-1001", "60.00"), issued("L-1002", "70.00", "inv-2", state=BillingState.PAID), unbilled("L-1003")
    )
    found = await about(agency, "issued")
    assert found.lead_ids == ("L-1001", "L-1002")
    assert [(note.number, note.invoice_number, note.total) for note in found.notes] == [
        (ids.credit_note_number(CASE, "INV-1"), "INV-1", Decimal("60.00")),
        (ids.credit_note_number(CASE, "INV-2"), "INV-2", Decimal("70.00")),
    ]


async def test_a_step_is_itself_and_the_effect_it_is_about(agency: Agency) -> None:
    await agency.ask("could-not:1", "could-not", reference=f"{CASE}/letter/1")
    found = await about(agency, "step", "could-not:1")
    assert (found.step_id, found.reference, found.lines) == ("could-not:1", f"{CASE}/letter/1", ())


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ("UPDATE leads SET price = 101 WHERE lead_id = 'L-1001'", "all"),
        ("UPDATE leads SET currency = 'EUR' WHERE lead_id = 'L-1001'", "all"),
        ("UPDATE case_leads SET problem = 'unknown-lead' WHERE lead_id = 'L-1001'", "all"),
        ("UPDATE clients SET contact_id = 'c-2'", "all"),
        ("UPDATE clients SET contact_id = 'c-2'", "valid"),
        ("UPDATE case_leads SET billing = jsonb_set(billing, '{gross}', '\"60.01\"')", "valid"),
        ("UPDATE case_leads SET billing = jsonb_set(billing, '{currency}', '\"EUR\"')", "valid"),
        ("UPDATE case_leads SET billing = jsonb_set(billing, '{invoice_id}', '\"inv-9\"')", "valid"),
        ("UPDATE case_leads SET billing = jsonb_set(billing, '{gross}', '\"60.01\"')", "issued"),
        ("UPDATE case_leads SET billing = jsonb_set(billing, '{state}', '\"voided\"')", "issued"),
    ],
)
async def test_whatever_changes_what_is_decided_about_changes_its_hash(agency: Agency, change: str, name: str) -> None:
    await agency.does("ann", ActKind.FINDINGS, findings(LEADS))
    await agency.bill(*(issued(lead, "60.00") for lead in LEADS))
    before = (await about(agency, name)).sha256
    await agency.database.execute(change)
    assert (await about(agency, name)).sha256 != before


async def test_the_way_it_is_granted_is_not_part_of_it(agency: Agency) -> None:
    await agency.does("ann", ActKind.FINDINGS, findings(LEADS))
    await agency.bill(*(issued(lead, "60.00") for lead in LEADS))
    before = (await about(agency, "valid")).sha256
    await agency.bill(*(issued(lead, "60.00", state=BillingState.PAID) for lead in LEADS))
    assert (await about(agency, "valid")).sha256 == before


async def test_findings_that_prove_nothing_make_no_lead_valid(agency: Agency, tmp_path: Path) -> None:
    await agency.ask("investigate")
    forger = local_signer(tmp_path / "forger")
    act = await agency.sign("ann", ActKind.FINDINGS, findings(LEADS), step_id="investigate", signer=forger)
    whole = await about(agency, "all")
    await _insert(agency, act.body, act.payload, act.signature, whole)
    assert (await about(agency, "valid")).lines == ()
    async with transaction(agency.money, reading=True) as conn:
        assert (await case_word(conn, CASE, agency.trust)).acts == ()


async def _insert(agency: Agency, body: str, payload: str, signature: str, whole: Subject) -> None:
    await agency.database.execute(
        """INSERT INTO acts (jti, case_id, workflow_id, step_id, kind, subject_sha256, issuer, sub, auth, body, payload,
                             signature, subject)
           VALUES ($1, $2, $2, 'investigate', 'return.findings', $3, 'https://login.example', 'ann', 'oidc', $4, $5, $6,
                   $7)""",
        str(uuid4()), CASE, whole.sha256, body, payload, signature, whole.json_text,
    )  # fmt: skip


async def test_acts_of_an_earlier_cycle_do_not_count_in_this_one(agency: Agency) -> None:
    await agency.does("ann", ActKind.FINDINGS, findings(LEADS))
    await agency.does("bob", ActKind.CONFIRM, CONFIRMATION)
    await agency.database.execute("UPDATE cases SET workflow_id = $1", ids.workflow_id(CASE, 2))
    assert (await about(agency, "valid")).lines == ()


@pytest.mark.parametrize(("name", "step_id", "code"), [("some", "s", "unknown-set"), ("step", "s", "unknown-step")])
async def test_unknown_names_are_refused(agency: Agency, name: str, step_id: str, code: str) -> None:
    with pytest.raises(Refused) as caught:
        await about(agency, name, step_id)
    assert caught.value.code == code


async def test_a_case_that_is_not_there_is_refused(agency: Agency) -> None:
    async with transaction(agency.sops, reading=True) as conn:
        with pytest.raises(Refused, match="there is no case"):
            await subject(conn, "nothing", "all", "", agency.trust)
