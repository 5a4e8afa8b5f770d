"""Tells the approver who began or ceased to act for money: a case, written in the transaction that makes the change."""

from collections.abc import Sequence

from adapters.postgres.pool import Connection, Pool, transaction
from adapters.postgres.starts import stamp
from domain import ids
from domain.intake import Handover, start_of
from domain.money_people import MONEY_PEOPLE, MoneyPeopleRequest
from domain.texts import digest


async def tell_approver(conn: Connection, name: str, changes: Sequence[str]) -> None:
    """Once for each `name`; it goes out as soon as the inbox hands it over, whatever dies meanwhile."""
    request = MoneyPeopleRequest(case_id=ids.money_people_case(name), client_id="")
    if not await conn.fetchval(_CASE, request.case_id, MONEY_PEOPLE, {"changes": list(changes)}):
        return
    await stamp(conn, request)
    handover = Handover(steps=(start_of(MONEY_PEOPLE, request, "RL-14 who may act for money has changed"),))
    await conn.execute(_INBOX, request.case_id, digest(name), handover.model_dump(mode="json"))


async def approvers_lately(pool: Pool) -> tuple[str, ...]:
    """Addresses of whoever approves now or did in the last 30 days; the partners' where there is nobody."""
    async with transaction(pool, reading=True) as conn:
        rows = await conn.fetch(_LATELY)
    approvers = [row["email"] for row in rows if row["role"] == "role:approver"]
    return tuple(approvers or [row["email"] for row in rows])


_CASE = """
    INSERT INTO cases (case_id, workflow_id, kind, client_id, status, owner, waiting_for, request)
    VALUES ($1, $1, $2, '', 'open', 'holdfast', 'starting', $3) ON CONFLICT (case_id) DO NOTHING RETURNING true"""
_INBOX = """INSERT INTO inbox (provider, event_id, sha256, state, action, case_id)
    VALUES ('money-people', $1, $2, 'accepted', $3, $1)"""
_LATELY = """SELECT DISTINCT m.role, p.email FROM money_people m JOIN people p USING (issuer, sub)
    WHERE m.role IN ('role:approver', 'role:partner') AND p.active
      AND (m.until IS NULL OR m.until > holdfast_now() - interval '30 days') ORDER BY m.role, p.email"""
