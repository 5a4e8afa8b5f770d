"""A case that follows from another one, as the tables hold it."""

from collections.abc import Sequence
from typing import NamedTuple

from adapters.postgres.leads import claim_leads
from adapters.postgres.pool import Connection
from domain import ids
from domain.department_request import DEPARTMENT_REQUEST
from domain.effects import OpenRequest
from domain.errors import Permanent
from domain.return_lead import LeadClaim


async def link_overturned(
    conn: Connection, case_id: str, linked: str, lead_ids: Sequence[str]
) -> tuple[str, tuple[LeadClaim, ...]]:
    """Takes leads out of a case and writes the linked case that claims them: its client, and what may be looked into.

    Thread, client and account managers are those of the first case. The same again changes nothing. Raises Permanent
    `unknown-case`.
    """
    await conn.execute(_RELEASE, case_id, list(lead_ids))
    await conn.execute(_LINK, case_id, linked, {"leads": list(lead_ids)})
    client_id = await conn.fetchval("SELECT client_id FROM cases WHERE case_id = $1", linked)
    if client_id is None:
        raise Permanent("holdfast", "unknown-case", f"there is no case {case_id} to link to")
    await conn.execute(_JOIN, ids.case_token(linked), linked)
    return client_id, await claim_leads(conn, linked, client_id, lead_ids)


class Opener(NamedTuple):
    client_id: str
    workflow_id: str


async def link_request(conn: Connection, case_id: str, linked: str, effect: OpenRequest) -> Opener:
    """Writes the department request that a case opens: of the same client and CSM. The same again changes nothing.

    Raises Permanent `unknown-case`.
    """
    asked = effect.model_dump(mode="json", include={"department", "topic", "words"})
    await conn.execute(_ASK, case_id, linked, DEPARTMENT_REQUEST, asked)
    row = await conn.fetchrow("SELECT client_id, workflow_id FROM cases WHERE case_id = $1", case_id)
    if row is None:
        raise Permanent("holdfast", "unknown-case", f"there is no case {case_id} to link to")
    return Opener(row["client_id"], row["workflow_id"])


_RELEASE = "UPDATE case_leads SET active = false WHERE case_id = $1 AND lead_id = ANY($2) AND active AND problem = ''"
_LINK = """
    INSERT INTO cases (case_id, workflow_id, kind, client_id, status, owner, waiting_for, thread_ct, request, linked_to,
        arrived_at, account_managers)
    SELECT $2, $2, kind, client_id, 'open', 'holdfast', 'starting', thread_ct, $3, case_id, arrived_at, account_managers
    FROM cases WHERE case_id = $1
    ON CONFLICT (case_id) DO NOTHING"""
_JOIN = "INSERT INTO mail_threads VALUES ($1, $2) ON CONFLICT (message_id) DO NOTHING"
_ASK = """
    INSERT INTO cases (case_id, workflow_id, kind, client_id, status, owner, waiting_for, request, linked_to, csm_id)
    SELECT $2, $2, $3, client_id, 'open', 'holdfast', 'starting', $4, case_id, csm_id FROM cases WHERE case_id = $1
    ON CONFLICT (case_id) DO NOTHING"""
