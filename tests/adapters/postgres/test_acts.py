from pathlib import Path

import pytest

from adapters.postgres.crypto import Vault
from domain.messages import ActKind
from tests.conftest import Database
from tests.signing import CONFIRMATION, Agency, findings, issued, make_agency


@pytest.fixture
async def agency(database: Database, vault: Vault, tmp_path: Path) -> Agency:
    made = await make_agency(database, vault, tmp_path)
    for n in range(1, 4):
        await made.add_lead(f"L-100{n}")
    await made.add_case(["L-1001", "L-1002", "L-1003"])
    return made


async def test_a_good_act_is_stored_told_and_ends_the_step(agency: Agency) -> None:
    answer = await agency.does("ann", ActKind.FINDINGS, findings(["L-1001"], ["L-1002", "L-1003"]))
    assert (answer.kind, answer.by, answer.refused) == ("return.findings", "ann", 0)
    assert await agency.stored() == ["return.findings"]
    assert await agency.told("act.accepted") == 1
    assert await agency.database.value("SELECT state FROM case_steps WHERE step_id = 'investigate'") == "done"


async def test_a_settlement_is_signed_step_by_step(agency: Agency) -> None:
    await agency.does("ann", ActKind.FINDINGS, findings(["L-1001", "L-1002"], ["L-1003"]))
    await agency.bill(issued("L-1001", "120.00"), issued("L-1002", "120.00"))
    await agency.does("bob", ActKind.CONFIRM, CONFIRMATION)
    await agency.does("cora", ActKind.AUTHORISE, __import__("domain.return_lead").return_lead.Authorisation())
    assert await agency.stored() == ["return.findings", "return.confirm", "return.authorise"]
