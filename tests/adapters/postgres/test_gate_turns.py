"""Several confirmations of one case: each invoice may get a note for each, and no lead is credited twice (RL-12)."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from activities.ports import Settled
from adapters.postgres.crypto import Vault
from adapters.postgres.pool import transaction
from adapters.postgres.subjects import subject
from domain.effects import AuthoriseCreditNote, DraftCreditNote
from domain.ids import credit_note_number
from domain.messages import ActKind
from domain.return_lead import Authorisation, LeadBilling
from domain.subject import Subject
from tests.adapters.postgres.test_gate import (
    answer,
    authorise,
    carry_out,
    claim,
    codes,
    confirm,
    draft,
    grants,
    listing,
    open_case,
    verdicts,
)
from tests.conftest import Database
from tests.signing import CASE, CONFIRMATION, Agency, issued, make_agency, unbilled

ONE = [issued("L-1001", "60.00")]
DRAFT_2 = DraftCreditNote(key=f"{CASE}/draft-credit-note.2/inv-1", clause="RL-12", invoice_id="inv-1", turn=2)
AUTHORISE_2 = AuthoriseCreditNote(
    key=f"{CASE}/authorise-credit-note.2/inv-1", clause="RL-12", invoice_id="inv-1", turn=2
)
FIRST, SECOND = (credit_note_number(CASE, "INV-1", turn) for turn in (1, 2))


@pytest.fixture
async def agency(database: Database, vault: Vault, tmp_path: Path) -> Agency:
    return await make_agency(database, vault, tmp_path)


async def drafted(agency: Agency, billed: Sequence[LeadBilling] = ONE) -> None:
    """A case whose note is drafted, and authorised by Accounts' act."""
    await open_case(agency, billed)
    await carry_out(agency, billed, confirm(), draft())
    await agency.authorised()


async def drafted_again(agency: Agency, billed: Sequence[LeadBilling] = ONE) -> None:
    """The same after a second confirmation."""
    await agency.does("bob", ActKind.CONFIRM, CONFIRMATION, step_id="confirm.2", name="confirm")
    await carry_out(agency, billed, confirm(n=2), DRAFT_2)
    await agency.does("carl", ActKind.AUTHORISE, Authorisation(), step_id="authorise.2", name="authorise")


async def begun(agency: Agency, state: str) -> None:
    """The first note's authorisation is under way, or nobody knows whether it was carried out."""
    (one,) = await claim(agency, ONE, authorise())
    assert one.verdict == "go"
    if state != "sending":
        await agency.gate.settle(CASE, [Settled(authorise(), state, code="timeout", attempt=one.attempt)])  # pyright: ignore[reportArgumentType]


async def to_issue(agency: Agency) -> Subject:
    async with transaction(agency.sops, reading=True) as conn:
        return await subject(conn, CASE, "issued", "authorise", agency.trust)


@pytest.mark.parametrize("state", ["sending", "unknown"])
async def test_while_a_note_is_in_doubt_no_other_of_its_invoice_is_authorised(agency: Agency, state: str) -> None:
    await drafted(agency)
    await begun(agency, state)
    await drafted_again(agency)
    assert await verdicts(agency, ONE, AUTHORISE_2) == ["credit-in-doubt"]
    assert await agency.told("effect.refused") == 1
    assert await grants(agency) == {"L-1001": ("credit-note", Decimal("60.00"))}


async def test_once_the_note_in_doubt_is_known_to_be_authorised_its_leads_are_in_no_other(agency: Agency) -> None:
    await drafted(agency)
    await begun(agency, "unknown")
    await drafted_again(agency)
    await agency.database.execute("UPDATE effects SET state = 'sending' WHERE key = $1", authorise().key)
    attempt = await agency.database.value("SELECT attempts FROM effects WHERE key = $1", authorise().key)
    await agency.gate.settle(CASE, [Settled(authorise(), "sent", reference=FIRST, attempt=int(str(attempt)))])
    assert await verdicts(agency, ONE, AUTHORISE_2) == ["nothing-confirmed"]


async def test_of_two_notes_of_an_invoice_in_one_moment_one_is_authorised(agency: Agency) -> None:
    await drafted(agency)
    await drafted_again(agency)
    assert sorted(await verdicts(agency, ONE, authorise(), AUTHORISE_2)) == ["credit-in-doubt", "go"]


async def test_a_note_is_authorised_on_the_draft_of_its_own_confirmation_alone(agency: Agency) -> None:
    await drafted(agency)
    await agency.prepare(AUTHORISE_2)
    assert await codes(agency, AUTHORISE_2) == ["not-drafted"]


async def test_a_lead_billed_later_on_a_credited_invoice_gets_a_note_of_its_own(agency: Agency) -> None:
    before, after = [*ONE, unbilled("L-1002", "40.00")], [*ONE, issued("L-1002", "40.00")]
    await open_case(agency, before)
    await carry_out(agency, before, listing(), confirm(), draft())
    await agency.authorised()
    await carry_out(agency, before, authorise())
    await agency.bill(*after)
    assert await verdicts(agency, after, answer()) == ["already-invoiced"]
    await drafted_again(agency, after)
    left = await to_issue(agency)
    assert (left.lead_ids, [(one.number, one.total) for one in left.notes]) == (
        ("L-1002",),
        [(SECOND, Decimal("40.00"))],
    )
    await carry_out(agency, after, AUTHORISE_2, answer())
    allocated = await to_issue(agency)
    assert [(one.number, one.total) for one in allocated.notes] == [
        (FIRST, Decimal("60.00")),
        (SECOND, Decimal("40.00")),
    ]
    assert await grants(agency) == {
        "L-1001": ("credit-note", Decimal("60.00")),
        "L-1002": ("credit-note", Decimal("40.00")),
    }
