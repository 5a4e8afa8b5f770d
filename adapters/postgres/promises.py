"""What the client was promised and what was confirmed, for the check of the books and for Accounts' own list."""

from datetime import date

from asyncpg import Record

from adapters.postgres.pool import Pool, transaction
from domain.books_check import HOW_FAR_BACK, INVOICE_DAYS, CheckedClient, Confirmed, ListedLead, Promise
from domain.ids import credit_note_number


class PostgresPromises:
    """activities.ports.Promises. Any role may read."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def clients(self) -> tuple[CheckedClient, ...]:
        async with transaction(self._pool, reading=True) as conn:
            clients = await conn.fetch(_CLIENTS)
            promised: dict[str, list[Promise]] = {}
            for row in await conn.fetch(_PROMISED, HOW_FAR_BACK):
                promise = Promise(lead_id=row["lead_id"], case_id=row["case_id"])
                promised.setdefault(row["client_id"], []).append(promise)
        return tuple(_client(row, promised.get(row["client_id"], [])) for row in clients)

    async def confirmed(self, client_id: str) -> Confirmed:
        async with transaction(self._pool, reading=True) as conn:
            rows = await conn.fetch(_CONFIRMED, client_id)
        return Confirmed(
            lead_ids=frozenset(row["lead_id"] for row in rows),
            numbers=frozenset(
                credit_note_number(row["case_id"], row["invoice_number"], turn)
                for row in rows
                if row["invoice_number"]
                for turn in row["turns"]
            ),
        )

    async def do_not_invoice(self, month: date | None = None) -> tuple[ListedLead, ...]:
        """Accounts' list (RL-11): the leads received in this month in London, or all of them; the first first."""
        async with transaction(self._pool, reading=True) as conn:
            return tuple(ListedLead(**dict(row)) for row in await conn.fetch(_LISTED, month))

    async def invoice_days(self) -> tuple[int, ...]:
        """On which days of the month the books are checked every hour: the policy `invoice-days`."""
        query = "SELECT value FROM policy WHERE name = 'invoice-days' ORDER BY version DESC LIMIT 1"
        async with transaction(self._pool, reading=True) as conn:
            found = await conn.fetchval(query)
        return tuple(found["days"]) if found else INVOICE_DAYS


# A promise whose lead was invoiced before it was carried out is kept by a credit note: then it is none to be checked.
_PROMISED = """
    SELECT lead_id, case_id, client_id FROM grants
    WHERE treatment = 'no-charge' AND granted_at > holdfast_now() - $1::interval
    UNION
    SELECT lead_id, case_id, client_id FROM do_not_invoice d
    WHERE since > holdfast_now() - $1::interval AND NOT EXISTS (SELECT FROM grants g WHERE g.lead_id = d.lead_id)
    ORDER BY lead_id"""
_CONFIRMED = """
    SELECT c.*, ARRAY(SELECT 1 UNION SELECT (e.body ->> 'turn')::int FROM effects e
        WHERE e.case_id = c.case_id AND e.kind = 'draft-credit-note' AND e.gated AND e.state IN ('sending', 'sent')
          AND e.body ->> 'invoice_id' = c.invoice_id AND e.body ? 'turn') AS turns
    FROM (SELECT lead_id, case_id, invoice_number, invoice_id FROM grants WHERE client_id = $1
        UNION
        SELECT lead_id, p.case_id, p.invoice_number, p.invoice_id FROM promise_credits p JOIN grants g USING (lead_id)
        WHERE client_id = $1) c"""
_CLIENTS = """SELECT client_id, contact_id, (holdfast_now() AT TIME ZONE 'Europe/London')::date AS today
    FROM clients WHERE contact_id <> '' ORDER BY client_id"""
_LISTED = """
    SELECT d.lead_id, d.client_id, coalesce(k.name, d.client_id) AS client_name, d.since, d.case_id,
           coalesce(l.received_at, d.since) AS received_at
    FROM do_not_invoice d LEFT JOIN leads l USING (lead_id) LEFT JOIN clients k ON k.client_id = d.client_id
    WHERE $1::date IS NULL OR date_trunc('month', $1::date::timestamp)
        = date_trunc('month', coalesce(l.received_at, d.since) AT TIME ZONE 'Europe/London')
    ORDER BY client_name, received_at, d.lead_id"""


def _client(row: Record, promises: list[Promise]) -> CheckedClient:
    return CheckedClient(promises=tuple(promises), **dict(row))
