"""Opens the cases of what the check of the books finds: first in the tables, then in Temporal. Safe to repeat."""

from datetime import timedelta

from temporalio.client import Client

from adapters.postgres.pool import Connection, Pool, transaction
from adapters.postgres.starts import stamp
from adapters.temporal.starting import start_case
from domain import ids
from domain.books_check import (
    INVOICED,
    UNCONFIRMED,
    BooksFinding,
    Charge,
    InvoicedRequest,
    StrangeNote,
    UnconfirmedRequest,
)
from domain.intake import Start, start_of


class TemporalBooksCases:
    """activities.ports.BooksCases. Uniqueness lives in the tables: Temporal forgets ids after a while."""

    def __init__(self, pool: Pool, client: Client, queue: str, chase_every: timedelta) -> None:
        self._pool, self._client, self._queue, self._chase_every = pool, client, queue, chase_every

    async def open(self, client_id: str, finding: BooksFinding) -> bool:
        """One case a note for ever; one a lead at a time, and another if it is charged again after that was put right.

        Raises RPCError while Temporal can't be reached: the next try starts what the tables know already.
        """
        async with transaction(self._pool) as conn:
            await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 4846377010))", _name(finding))
            case_id, new = await _case(conn, client_id, finding)
            start = await self._start(conn, case_id, client_id, finding) if case_id else None
        if start:
            await start_case(self._client, start, self._queue)
        return new

    async def _start(self, conn: Connection, case_id: str, client_id: str, finding: BooksFinding) -> Start:
        """As it was found when the case was opened, however often it is started."""
        found = await conn.fetchval("SELECT request FROM cases WHERE case_id = $1", case_id)
        every = self._chase_every
        if isinstance(finding, Charge):
            charge = Charge.model_validate(found)
            invoiced = InvoicedRequest(case_id=case_id, client_id=client_id, charge=charge, chase_every=every)
            summary = f"RL-11 {charge.lead_id} of {client_id} is invoiced all the same"
            await stamp(conn, invoiced)
            return start_of(INVOICED, invoiced, summary)
        note = StrangeNote.model_validate(found)
        strange = UnconfirmedRequest(case_id=case_id, client_id=client_id, note=note, chase_every=every)
        await stamp(conn, strange)
        return start_of(UNCONFIRMED, strange, f"RL-13 a credit note of {client_id} without a confirmation")


def _name(finding: BooksFinding) -> str:
    return f"books:{finding.lead_id}" if isinstance(finding, Charge) else f"books:{finding.note_id}"


async def _case(conn: Connection, client_id: str, finding: BooksFinding) -> tuple[str, bool]:
    """The open case of a finding and whether it is new; "" if all that was found was dealt with."""
    if isinstance(finding, StrangeNote):
        case_id = ids.unconfirmed_note_case(finding.note_id)
    else:
        before = await conn.fetch(_OF_LEAD, INVOICED, finding.lead_id)
        if still := next((row["case_id"] for row in before if row["status"] == "open"), ""):
            return still, False
        case_id = ids.invoiced_case(finding.promised_in, finding.lead_id, len(before) + 1)
    kind = INVOICED if isinstance(finding, Charge) else UNCONFIRMED
    linked_to = finding.promised_in if isinstance(finding, Charge) else ""
    row = (case_id, kind, client_id, finding.model_dump(mode="json"), linked_to)
    if await conn.fetchval(_INSERT, *row):
        if isinstance(finding, Charge):  # never under review here: its promise stands
            await conn.execute(_ITS_LEAD, case_id, finding.lead_id)
        return case_id, True
    return (case_id if await conn.fetchval(_IS_OPEN, case_id) else ""), False


_OF_LEAD = "SELECT case_id, status FROM cases WHERE kind = $1 AND request ->> 'lead_id' = $2 ORDER BY opened_at"
_ITS_LEAD = "INSERT INTO case_leads (case_id, ordinal, lead_id, active) VALUES ($1, 1, $2, false)"
_IS_OPEN = "SELECT true FROM cases WHERE case_id = $1 AND status = 'open'"
_INSERT = """
    INSERT INTO cases (case_id, workflow_id, kind, client_id, status, owner, waiting_for, request, linked_to)
    VALUES ($1, $1, $2, $3, 'open', 'holdfast', 'starting', $4, $5)
    ON CONFLICT (case_id) DO NOTHING RETURNING true"""
