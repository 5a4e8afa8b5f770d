"""What the rules need to judge an amount, read from the tables: used by the worker and the gate."""

from decimal import Decimal
from typing import Any

from asyncpg import Record

from adapters.postgres import policy
from adapters.postgres.pool import Connection
from domain.errors import Permanent
from domain.gate import MoneyContext, Rate


async def money_context(conn: Connection, case_id: str) -> MoneyContext:
    """Limit, rates and what other cases were granted without an approver: this month in London, by database time.

    Grants of the same contact in the books count, and those of the same client under whatever contact.
    Raises Permanent `unknown-client`.
    """
    client = await _client(conn, case_id)
    who = (case_id, client["contact_id"], client["client_id"])
    limit = await policy.approval_limit(conn)
    return MoneyContext(
        client_id=client["client_id"],
        contact_id=client["contact_id"],
        today=client["today"],
        limit_gbp=limit.amount,
        rates=await _rates(conn),
        granted_month_gbp=await conn.fetchval(_MONTH, *who) or Decimal(0),
        granted_invoice_gbp=await _by_invoice(conn, *who),
        credited_leads=await _credited(conn, case_id),
    )


_THIS_MONTH = """date_trunc('month', g.granted_at AT TIME ZONE 'Europe/London')
               = date_trunc('month', holdfast_now() AT TIME ZONE 'Europe/London')"""
_OURS = """g.case_id <> $1 AND g.approved_jti = '' AND ((g.contact_id = $2 AND $2 <> '') OR g.client_id = $3)"""
_MONTH = f"SELECT sum(g.gbp) FROM grants g WHERE {_OURS} AND {_THIS_MONTH}"  # noqa: S608 - constants
_INVOICES = f"""SELECT g.invoice_id, sum(g.gbp) AS gbp FROM grants g
    WHERE {_OURS} AND g.invoice_id <> '' AND NOT {_THIS_MONTH} GROUP BY g.invoice_id"""  # noqa: S608 - constants


async def _client(conn: Connection, case_id: str) -> Record:
    query = """SELECT k.client_id, k.contact_id, (holdfast_now() AT TIME ZONE 'Europe/London')::date AS today
               FROM cases c JOIN clients k USING (client_id) WHERE c.case_id = $1"""
    row = await conn.fetchrow(query, case_id)
    if row is None:
        raise Permanent("holdfast", "unknown-client", "the case has no client that is known")
    return row


async def _rates(conn: Connection) -> tuple[Rate, ...]:
    """The newest rate of each currency, a future one too: the rules refuse it."""
    query = """SELECT DISTINCT ON (currency) currency, on_date, gbp,
                      lead(gbp) OVER (PARTITION BY currency ORDER BY on_date DESC) AS before
               FROM rates ORDER BY currency, on_date DESC"""
    return tuple(
        Rate(currency=row["currency"], gbp=row["gbp"], on=row["on_date"], before=row["before"])
        for row in await conn.fetch(query)
    )


async def _by_invoice(conn: Connection, *who: Any) -> dict[str, Decimal]:
    return {row["invoice_id"]: row["gbp"] for row in await conn.fetch(_INVOICES, *who)}


async def _credited(conn: Connection, case_id: str) -> tuple[str, ...]:
    """The case's leads that another case was granted."""
    query = """SELECT DISTINCT lead_id FROM grants g JOIN case_leads cl USING (lead_id)
               WHERE cl.case_id = $1 AND g.case_id <> $1 ORDER BY 1"""
    return tuple(row["lead_id"] for row in await conn.fetch(query, case_id))
