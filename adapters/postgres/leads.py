"""The leads of a case: which may be investigated, and how they stand in the tables."""

from collections.abc import Mapping, Sequence

from asyncpg import Record

from adapters.postgres.orders_proven import OrderedPrice, proven_prices
from adapters.postgres.pool import Connection
from domain.errors import Permanent
from domain.gate import LeadRow
from domain.messages import ActKind
from domain.money import Money
from domain.return_lead import ClaimProblem, Findings, LeadClaim, Reduction, Verdict
from domain.rules.stored_acts import Trust


async def claim_leads(conn: Connection, case_id: str, client_id: str, lead_ids: Sequence[str]) -> tuple[LeadClaim, ...]:
    """Makes `lead_ids` the leads of a case, in this order, and says of each whether it is under review here now.

    A lead that can't be claimed keeps its reason: unknown, another client's, returned before, named twice, or under
    review in another case (`case_leads.elsewhere` says which). The same ids again are answered as the first time;
    others replace them. The case must be there.
    """
    await conn.execute("SELECT 1 FROM cases WHERE case_id = $1 FOR UPDATE", case_id)
    before = await conn.fetch("SELECT lead_id, problem FROM case_leads WHERE case_id = $1 ORDER BY ordinal", case_id)
    if [row["lead_id"] for row in before] == list(lead_ids):
        return tuple(_claim(row) for row in before)
    await conn.execute("DELETE FROM case_leads WHERE case_id = $1", case_id)
    problems = await _problems(conn, client_id, lead_ids)
    # Taken in the order of their ids, so that two cases about the same leads can't wait for each other.
    for lead_id, ordinal, problem in sorted(zip(lead_ids, range(1, len(lead_ids) + 1), problems, strict=True)):
        if problem is not ClaimProblem.NONE or not await _take(conn, case_id, ordinal, lead_id):
            await _refuse(conn, case_id, ordinal, lead_id, problem or ClaimProblem.ELSEWHERE)
    return await claims(conn, case_id)


async def claims(conn: Connection, case_id: str) -> tuple[LeadClaim, ...]:
    rows = await conn.fetch("SELECT lead_id, problem FROM case_leads WHERE case_id = $1 ORDER BY ordinal", case_id)
    return tuple(_claim(row) for row in rows)


async def disputable(conn: Connection, case_id: str) -> tuple[str, ...]:
    """The leads that the client was refused in a case and nobody has finally decided about (RL-10).

    What an act on record says is not proven here: a dispute grants nothing by itself.
    """
    rows = await conn.fetch(_DISPUTABLE, case_id, ActKind.DECIDED.value)
    return tuple(row["lead_id"] for row in rows)


_DISPUTABLE = """
    SELECT l.lead_id FROM case_leads l JOIN cases c USING (case_id)
    WHERE case_id = $1 AND l.problem = '' AND NOT EXISTS (SELECT FROM grants g WHERE g.lead_id = l.lead_id)
      AND (c.request ->> 'doubt' = 'late-reply' OR EXISTS (
          SELECT FROM effects e WHERE e.case_id = $1 AND e.state = 'sent'
            AND (e.kind = 'answer-client' OR e.body ->> 'template' = 'refused')))
      AND NOT EXISTS (
          SELECT FROM acts a, jsonb_array_elements(
              coalesce(a.payload::jsonb -> 'upheld', '[]') || coalesce(a.payload::jsonb -> 'overturned', '[]')) one
          WHERE a.kind = $2 AND a.case_id IN (SELECT d.case_id FROM cases d WHERE $1 IN (d.case_id, d.linked_to))
            AND one ->> 'lead_id' = l.lead_id)
    ORDER BY l.ordinal"""


async def lead_rows(
    conn: Connection, case_id: str, lead_ids: Sequence[str], trust: Trust | None = None
) -> tuple[LeadRow, ...]:
    """The case's own leads in the order asked for. With `trust` only those prices count that a signed order proves.

    Raises Permanent `unknown-lead` if one is not among them.
    """
    query = """SELECT l.* FROM leads l JOIN cases c ON c.client_id = l.client_id
               WHERE c.case_id = $1 AND l.lead_id = ANY($2)
                 AND EXISTS (SELECT FROM case_leads cl WHERE cl.case_id = $1 AND cl.lead_id = l.lead_id)"""
    found = {row["lead_id"]: row for row in await conn.fetch(query, case_id, list(lead_ids))}
    missing = [lead_id for lead_id in lead_ids if lead_id not in found]
    if missing:
        raise Permanent("holdfast", "unknown-lead", f"{', '.join(missing)}: not a lead of this case and client")
    prices = await prices_in_force(conn, lead_ids, trust)
    return tuple(_lead(found[lead_id], *prices[lead_id]) for lead_id in lead_ids)


async def prices_in_force(
    conn: Connection, lead_ids: Sequence[str], trust: Trust | None = None
) -> dict[str, tuple[Money | None, bool]]:
    """Each lead's price, that it arrived with or the latest order's; and whether it was changed since by no order."""
    query = "SELECT * FROM lead_prices WHERE lead_id = ANY($1) ORDER BY lead_id, version"
    versions: dict[str, list[Record]] = {}
    for row in await conn.fetch(query, list(lead_ids)):
        versions.setdefault(row["lead_id"], []).append(row)
    proven = await proven_prices(conn, trust, lead_ids) if trust else _as_named(versions)
    return {lead_id: _in_force(rows, proven.get(lead_id)) for lead_id, rows in versions.items()}


def _as_named(versions: Mapping[str, Sequence[Record]]) -> dict[str, OrderedPrice]:
    """The latest version of each lead that says it is an order's."""
    named = [row for rows in versions.values() for row in rows if row["act_jti"] and row["price"] is not None]
    return {row["lead_id"]: OrderedPrice(_money(row), row["act_jti"], row["since"]) for row in named}


def _in_force(rows: Sequence[Record], order: OrderedPrice | None) -> tuple[Money | None, bool]:
    first, *later = rows
    if order is None:
        return (None if first["price"] is None else _money(first)), bool(later)
    return order.price, any(row["act_jti"] != order.jti and row["since"] > order.at for row in later)


def _money(row: Record) -> Money:
    return Money(amount=row["price"], currency=row["currency"])


async def tracking_row(conn: Connection, case_id: str, key: str, lead_id: str) -> tuple[str, ...]:
    """RL-7: key, lead, client, asked for on, verdict, reason, what follows, invoice, case. No cell at the end is empty.

    Raises Permanent `unknown-lead`.
    """
    row = await conn.fetchrow(_TRACKED, case_id, lead_id)
    if row is None:
        raise Permanent("holdfast", "unknown-lead", f"{lead_id} is not a lead of this case")
    verdict, reason = await _verdict(conn, case_id, lead_id)
    invoice = row["invoice_number"] or ""
    followed = row["treatment"] or verdict
    return (key, lead_id, row["name"], row["asked_on"].isoformat(), verdict, reason, followed, invoice, case_id)


_TRACKED = """
    SELECT k.name, (coalesce(c.arrived_at, c.opened_at) AT TIME ZONE 'Europe/London')::date AS asked_on,
           g.treatment, coalesce(g.invoice_number, cl.billing ->> 'invoice_number') AS invoice_number
    FROM case_leads cl JOIN cases c USING (case_id) LEFT JOIN clients k ON k.client_id = c.client_id
    LEFT JOIN grants g ON g.lead_id = cl.lead_id AND g.case_id = cl.case_id
    WHERE cl.case_id = $1 AND cl.lead_id = $2 ORDER BY cl.ordinal LIMIT 1"""


async def _verdict(conn: Connection, case_id: str, lead_id: str) -> tuple[str, str]:
    """The latest finding of a lead, `withdrawn` if it was valid and a later decision took it back."""
    query = """SELECT kind, payload FROM acts WHERE case_id = $1 AND kind IN ('return.findings', 'return.reduce')
               ORDER BY accepted_at DESC"""
    withdrawn = False
    for row in await conn.fetch(query, case_id):
        if row["kind"] == "return.reduce":
            reduced = Reduction.model_validate_json(row["payload"])
            withdrawn = withdrawn or any(one.lead_id == lead_id for one in reduced.leads)
            continue
        findings = Findings.model_validate_json(row["payload"]).findings
        found = next((one for one in findings if one.lead_id == lead_id), None)
        if found:
            taken_back = withdrawn and found.verdict is Verdict.VALID
            return "withdrawn" if taken_back else found.verdict.value, found.reason.value
    return "", ""


async def _problems(conn: Connection, client_id: str, lead_ids: Sequence[str]) -> list[ClaimProblem]:
    query = """SELECT l.lead_id, l.client_id, g.lead_id IS NOT NULL AS granted
               FROM leads l LEFT JOIN grants g USING (lead_id) WHERE l.lead_id = ANY($1)"""
    known = {row["lead_id"]: row for row in await conn.fetch(query, list(lead_ids))}
    first = {lead_id: lead_ids.index(lead_id) for lead_id in lead_ids}
    return [
        ClaimProblem.TWICE if first[lead_id] != place else _problem(known.get(lead_id), client_id)
        for place, lead_id in enumerate(lead_ids)
    ]


def _problem(row: Record | None, client_id: str) -> ClaimProblem:
    if row is None:
        return ClaimProblem.UNKNOWN
    if row["client_id"] != client_id:
        return ClaimProblem.OTHER_CLIENT
    return ClaimProblem.ALREADY_RETURNED if row["granted"] else ClaimProblem.NONE


async def _take(conn: Connection, case_id: str, ordinal: int, lead_id: str) -> bool:
    """Whether the lead is ours now; waits for another transaction that is taking it."""
    insert = """INSERT INTO case_leads (case_id, ordinal, lead_id) VALUES ($1, $2, $3)
                ON CONFLICT (lead_id) WHERE active AND problem = '' DO NOTHING RETURNING true"""
    return bool(await conn.fetchval(insert, case_id, ordinal, lead_id))


async def _refuse(conn: Connection, case_id: str, ordinal: int, lead_id: str, problem: ClaimProblem) -> None:
    elsewhere = ""
    if problem is ClaimProblem.ELSEWHERE:
        query = "SELECT case_id FROM case_leads WHERE lead_id = $1 AND active AND problem = ''"
        elsewhere = await conn.fetchval(query, lead_id) or ""
    await conn.execute(
        "INSERT INTO case_leads (case_id, ordinal, lead_id, problem, elsewhere) VALUES ($1, $2, $3, $4, $5)",
        case_id, ordinal, lead_id, problem.value, elsewhere,
    )  # fmt: skip


def _claim(row: Record) -> LeadClaim:
    return LeadClaim(lead_id=row["lead_id"], problem=ClaimProblem(row["problem"]))


def _lead(row: Record, price: Money | None, changed: bool) -> LeadRow:
    return LeadRow(
        lead_id=row["lead_id"],
        client_id=row["client_id"],
        price=price,
        price_changed=changed,
        chat_id=row["chat_id"],
        thread_id=row["thread_id"],
        received_at=row["received_at"],
    )
