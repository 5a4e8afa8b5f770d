"""What the rules need to judge an amount, read from the tables: used by the worker and the gate."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from asyncpg import Record

from adapters.postgres import policy
from adapters.postgres.orders_proven import limit_in_force, proven_rates, vat_in_force
from adapters.postgres.pool import Connection
from domain.errors import Permanent
from domain.gate import MoneyContext, Rate
from domain.money import Vat
from domain.rules.stored_acts import Trust
from domain.subject import EarlierGrant, Subject


async def money_context(conn: Connection, case_id: str, trust: Trust | None = None) -> MoneyContext:
    """Limit, rates and what other cases were granted without an approver: this month in London, by database time.

    Grants of the same contact in the books count, and those of the same client under whatever contact; of this very
    request (cases linked to each other) those of earlier months too. With `trust` only those limits and rates count
    that a signed order proves. Raises Permanent `unknown-client`.
    """
    client = await _client(conn, case_id)
    who = (case_id, client["contact_id"], client["client_id"])
    limit, vat = await limit_of(conn, case_id, trust)
    amount = _AMOUNT[vat]
    return MoneyContext(
        client_id=client["client_id"],
        contact_id=client["contact_id"],
        today=client["today"],
        limit_gbp=limit,
        vat=vat,
        rates=await proven_rates(conn, trust) if trust else await _rates(conn),
        granted_month_gbp=await conn.fetchval(_MONTH.format(amount=amount), *who) or Decimal(0),
        granted_invoice_gbp=await _by_invoice(conn, amount, *who),
        credited_leads=await _credited(conn, case_id),
        put_leads=await _put(conn, case_id),
    )


async def earlier_grants(conn: Connection, case_id: str, invoices: Sequence[str]) -> tuple[EarlierGrant, ...]:
    """What other cases of the client were granted this month, or ever in this request or on these invoices; approved or
    not.
    """
    client = await _client(conn, case_id)
    rows = await conn.fetch(_EARLIER, case_id, client["contact_id"], client["client_id"], list(invoices))
    return tuple(EarlierGrant(**dict(row)) for row in rows)


_THIS_MONTH = """date_trunc('month', g.granted_at AT TIME ZONE 'Europe/London')
               = date_trunc('month', holdfast_now() AT TIME ZONE 'Europe/London')"""


async def overtaken(conn: Connection, about: Subject, signed: int, accepted: datetime) -> bool:
    """Whether something was granted to the client between signing an approval (whole seconds since 1970) and its
    acceptance, that was not shown: then it was not this that was approved.
    """
    shown = [one.lead_id for one in about.asking.granted] if about.asking else []
    found = await conn.fetchval(
        _MEANWHILE, about.case_id, about.contact_id, about.client_id, shown, float(signed), accepted
    )
    return bool(found)


# A contact that became another one in the books takes what its clients were granted along.
_THEIRS = """g.case_id <> $1 AND (g.client_id = $3 OR ($2 <> '' AND (
    g.contact_id = $2 OR g.client_id IN (SELECT client_id FROM clients WHERE contact_id = $2))))"""
_OURS = f"g.approved_jti = '' AND {_THEIRS}"
# What was refused, disputed and overturned is settled in a case of its own, of the same request.
_REQUEST = """(WITH RECURSIVE request (case_id) AS (
    SELECT $1::text UNION SELECT near.case_id FROM request r JOIN cases c USING (case_id), LATERAL (
        SELECT case_id FROM cases WHERE case_id = c.linked_to
        UNION ALL SELECT case_id FROM cases WHERE linked_to = c.case_id) near) SELECT case_id FROM request)"""
_COUNTED = f"({_THIS_MONTH} OR g.case_id IN {_REQUEST})"
_BEGAN = f"SELECT min(accepted_at) FROM acts WHERE case_id IN {_REQUEST}"  # noqa: S608 - constants
# A lead that was promised not to be charged stands on the invoice on which it was credited all the same.
_GRANTS = "FROM grants g LEFT JOIN promise_credits p USING (lead_id)"
_INVOICE = "coalesce(nullif(g.invoice_id, ''), p.invoice_id, '')"
_EARLIER = f"""SELECT g.case_id, g.lead_id, g.gross, g.currency, g.gbp, g.approved_jti <> '' AS approved {_GRANTS}
    WHERE {_THEIRS} AND ({_COUNTED} OR ({_INVOICE} <> '' AND {_INVOICE} = ANY($4)))
    ORDER BY g.granted_at, g.lead_id"""
_MEANWHILE = f"""SELECT true FROM grants g WHERE {_THEIRS} AND g.lead_id <> ALL($4)
    AND g.granted_at BETWEEN to_timestamp($5) AND $6 LIMIT 1"""  # noqa: S608 - constants
_AMOUNT: Mapping[Vat, str] = {"with": "g.gbp", "without": "coalesce(g.gbp_net, g.gbp)"}
_MONTH = f"SELECT sum({{amount}}) FROM grants g WHERE {_OURS} AND {_COUNTED}"  # noqa: S608 - constants
_INVOICES = f"""SELECT {_INVOICE} AS invoice_id, sum({{amount}}) AS gbp {_GRANTS}
    WHERE {_OURS} AND {_INVOICE} <> '' AND NOT {_COUNTED} GROUP BY 1"""


async def _client(conn: Connection, case_id: str) -> Record:
    query = """SELECT k.client_id, k.contact_id, (holdfast_now() AT TIME ZONE 'Europe/London')::date AS today
               FROM cases c JOIN clients k USING (client_id) WHERE c.case_id = $1"""
    row = await conn.fetchrow(query, case_id)
    if row is None:
        raise Permanent("holdfast", "unknown-client", "the case has no client that is known")
    return row


async def limit_of(conn: Connection, case_id: str, trust: Trust | None) -> tuple[Decimal, Vat]:
    """The limit in GBP that counts for a case, and whether amounts are compared with it with VAT."""
    if trust is None:
        return (await policy.approval_limit(conn)).amount, await policy.vat(conn)
    # Acts are stamped by the database and can't be taken away: so nobody can move a request's beginning.
    began = await conn.fetchval(_BEGAN, case_id)
    return await limit_in_force(conn, trust, began), await vat_in_force(conn, trust, began)


async def _rates(conn: Connection) -> tuple[Rate, ...]:
    """The newest rate of each currency, a future one too: the rules refuse it."""
    query = """SELECT DISTINCT ON (currency) currency, on_date, gbp,
                      lead(gbp) OVER (PARTITION BY currency ORDER BY on_date DESC) AS before
               FROM rates ORDER BY currency, on_date DESC"""
    return tuple(
        Rate(currency=row["currency"], gbp=row["gbp"], on=row["on_date"], before=row["before"])
        for row in await conn.fetch(query)
    )


async def _by_invoice(conn: Connection, amount: str, *who: Any) -> dict[str, Decimal]:
    return {row["invoice_id"]: row["gbp"] for row in await conn.fetch(_INVOICES.format(amount=amount), *who)}


async def _credited(conn: Connection, case_id: str) -> tuple[str, ...]:
    """The case's leads that another case was granted."""
    query = """SELECT DISTINCT lead_id FROM grants g JOIN case_leads cl USING (lead_id)
               WHERE cl.case_id = $1 AND g.case_id <> $1 ORDER BY 1"""
    return tuple(row["lead_id"] for row in await conn.fetch(query, case_id))


async def _put(conn: Connection, case_id: str) -> tuple[str, ...]:
    """The case's leads that were once put to an approver, here or in whatever case."""
    query = """SELECT DISTINCT p.lead_id FROM put_to_approver p JOIN case_leads cl USING (lead_id)
               WHERE cl.case_id = $1 AND cl.problem = '' ORDER BY 1"""
    return tuple(row["lead_id"] for row in await conn.fetch(query, case_id))
