"""Rows that most tests of the tables start from."""

import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from adapters.postgres.crypto import Vault
from domain.case import CaseStatus, CaseView, Deadline, OpenStep
from tests.conftest import Database

NOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
CASE = "return-lead/0123456789abcdef"


@pytest.fixture
def vault() -> Vault:
    return Vault(secrets.token_bytes(32))


def step(step_id: str = "investigate", *, asked_at: datetime = NOW, hours: int = 48, claimed_by: str = "") -> OpenStep:
    after = timedelta(hours=hours)
    return OpenStep(
        step_id=step_id,
        name=step_id,
        clause="RL-4",
        kinds=("return.findings",),
        role="team:return-leads",
        claimed_by=claimed_by,
        subject="all",
        waiting_for=f"waiting for {step_id}",
        asked_at=asked_at,
        deadline=Deadline(label="findings due", clause="RL-4", since=asked_at, after=after, due=asked_at + after),
    )


def view(*steps: OpenStep, version: int = 1, status: CaseStatus = CaseStatus.OPEN, case_id: str = CASE) -> CaseView:
    return CaseView(
        case_id=case_id,
        workflow_id=case_id,
        kind="return-lead",
        client_id="acme",
        status=status,
        opened_at=NOW,
        steps=steps,
        doing="settling",
        version=version,
    )


AddCase = Callable[..., Awaitable[str]]


@pytest.fixture
async def clients(database: Database) -> None:
    """Clients acme (contact c-1, leads L-1001 to L-1004) and globex (contact c-2, lead L-2001)."""
    await database.execute(
        "INSERT INTO clients (client_id, name, contact_id) VALUES ('acme', 'Acme', 'c-1'), ('globex', 'Globex', 'c-2')"
    )
    for client_id, lead_id in (*(("acme", f"L-100{n}") for n in range(1, 5)), ("globex", "L-2001")):
        await database.execute(
            "INSERT INTO leads (lead_id, client_id, received_at, price, chat_id) VALUES ($1, $2, $3, $4, $5)",
            lead_id, client_id, NOW, Decimal("40.00"), f"chat-{lead_id}",
        )  # fmt: skip


@pytest.fixture
def add_case(database: Database, clients: None) -> AddCase:
    async def add(case_id: str = CASE, client_id: str = "acme") -> str:
        await database.execute(
            """INSERT INTO cases (case_id, workflow_id, kind, client_id, status)
               VALUES ($1, $1, 'return-lead', $2, 'open')""",
            case_id, client_id,
        )  # fmt: skip
        return case_id

    return add
