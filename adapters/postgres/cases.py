"""Cases as they are shown and told: the view, the steps, the leads, and the events that led there."""

from collections.abc import Sequence

from pydantic import JsonValue

from adapters.postgres import leads
from adapters.postgres.audit import Entry, append_events
from adapters.postgres.context import money_context
from adapters.postgres.crypto import Vault
from adapters.postgres.directory import owner_today
from adapters.postgres.locks import lock_case
from adapters.postgres.pool import Connection, Pool, transaction
from adapters.postgres.starts import why_not_admitted
from domain.case import CaseEvent, CaseStatus, CaseView, EventKind, OpenStep
from domain.errors import Refused
from domain.gate import LeadRow, MoneyContext
from domain.owners import OwnerToday, StepOwner
from domain.return_lead import Billing, LeadClaim, Triage
from domain.texts import digest

HOLDFAST = "holdfast"
"""The owner of an open case in which no person is waited for."""

MOST_INTRUSIONS = 50  # of a case: more of them tell nothing new

_TOLD_BY_ACTIVITIES = ("act.", "effect.")
_INTRUSIONS = "SELECT count(*) FROM case_events WHERE case_id = $1 AND kind = $2"


class PostgresCases:
    """activities.ports.CaseStore."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool = pool
        self._vault = vault

    async def record(self, view: CaseView, events: Sequence[CaseEvent]) -> None:
        """Writes a workflow's view of its case and appends its events. Safe to repeat, in any order.

        A view older than the one already written changes nothing; its events are told all the same, each once.
        Raises Refused `event-kind`.
        """
        if any(event.kind.value.startswith(_TOLD_BY_ACTIVITIES) for event in events):
            raise Refused("event-kind", "acts and effects are told by the activities that check them")
        async with transaction(self._pool) as conn:
            await write_view(conn, view)
            await append_events(conn, self._vault, view.case_id, [Entry.of(event) for event in events])

    async def why_not_admitted(self, view: CaseView, started: str) -> str:
        async with transaction(self._pool, reading=True) as conn:
            return await why_not_admitted(conn, view.case_id, view.workflow_id, started)

    async def workflow_of(self, case_id: str) -> str:
        async with transaction(self._pool, reading=True) as conn:
            return await conn.fetchval("SELECT workflow_id FROM cases WHERE case_id = $1", case_id) or ""

    async def intruded(self, case_id: str, caller: str, asked: str, code: str) -> None:
        async with transaction(self._pool) as conn:
            known = await conn.fetchval("SELECT case_id FROM cases WHERE case_id = $1", case_id) or ""
            await lock_case(conn, known)  # several at once would each count too few
            told = await conn.fetchval(_INTRUSIONS, known, EventKind.INTRUDED.value)
            if told < MOST_INTRUSIONS:
                await append_events(conn, self._vault, known, [await _intrusion(conn, caller, asked, code)])

    async def claims(self, case_id: str) -> tuple[LeadClaim, ...]:
        async with transaction(self._pool) as conn:
            return await leads.claims(conn, case_id)

    async def admit(self, case_id: str, triage: Triage) -> tuple[LeadClaim, ...]:
        """Sets the client a person named, seals the case's thread with his key, and claims the leads.

        Raises Refused `unknown-case`, `unknown-client`, `other-client` (the case has another client already) or
        `not-accepted`.
        """
        if not triage.accept:
            raise Refused("not-accepted", "a request that was turned away is not taken in")
        async with transaction(self._pool) as conn:
            await _give_client(conn, self._vault, case_id, triage.client_id)
            return await leads.claim_leads(conn, case_id, triage.client_id, triage.lead_ids)

    async def leads(self, case_id: str, lead_ids: Sequence[str]) -> tuple[LeadRow, ...]:
        """The case's own leads, in the order asked for. Raises Permanent `unknown-lead`."""
        async with transaction(self._pool) as conn:
            return await leads.lead_rows(conn, case_id, lead_ids)

    async def money_context(self, case_id: str) -> MoneyContext:
        async with transaction(self._pool, reading=True) as conn:
            return await money_context(conn, case_id)

    async def store_billing(self, case_id: str, billing: Billing) -> None:
        rows = [(case_id, lead.lead_id, lead.model_dump(mode="json")) for lead in billing.leads]
        async with transaction(self._pool) as conn:
            await conn.executemany(
                """UPDATE case_leads SET billing = $3, assessed_at = holdfast_now()
                   WHERE case_id = $1 AND lead_id = $2 AND problem = ''""",
                rows,
            )

    async def owners_today(self, case_id: str, steps: Sequence[StepOwner]) -> tuple[OwnerToday, ...]:
        async with transaction(self._pool, reading=True) as conn:
            return tuple([await owner_today(conn, case_id, step) for step in steps])

    async def tracking_row(self, case_id: str, key: str, lead_id: str) -> tuple[str, ...]:
        async with transaction(self._pool, reading=True) as conn:
            return await leads.tracking_row(conn, case_id, key, lead_id)


async def _intrusion(conn: Connection, caller: str, asked: str, code: str) -> Entry:
    """Once for each workflow, activity and reason. Whoever starts workflows chooses their ids: only a part is kept."""
    now = await conn.fetchval("SELECT holdfast_now()")
    name = caller.encode("ascii", "replace").decode()[:100]
    text = f"Another workflow called {asked} for this case and was refused ({code.replace('-', ' ')})."
    data: dict[str, JsonValue] = {"workflow": name, "activity": asked, "code": code}
    return Entry(EventKind.INTRUDED, "", now, text=text, data=data, dedupe=f"intruded:{asked}:{code}:{digest(caller)}")


async def write_view(conn: Connection, view: CaseView) -> bool:
    """Upserts the case and its steps; False if a newer view of this workflow is there already, and nothing was changed.

    A step that the view does not name is done, and stays done unless it is asked anew at a later time. A closed case
    gives its leads back. The client of a known case is left alone: only `admit` sets it.
    """
    if not await conn.fetchval(_UPSERT_CASE, *_case_row(view)):
        return False
    await conn.executemany(_UPSERT_STEP, [_step_row(view.case_id, step) for step in view.steps])
    await conn.execute(_STEPS_DONE, view.case_id, [step.step_id for step in view.steps])
    is_open = view.status is CaseStatus.OPEN
    await conn.execute(_WHO_AND_WHEN, view.case_id, HOLDFAST if is_open else "", view.doing if is_open else "")
    if not is_open:
        await conn.execute("UPDATE case_leads SET active = false WHERE case_id = $1 AND active", view.case_id)
    return True


_UPSERT_CASE = """
    INSERT INTO cases (case_id, workflow_id, kind, client_id, status, outcome, view, opened_at, closed_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, CASE WHEN $5 = 'open' THEN NULL ELSE holdfast_now() END)
    ON CONFLICT (case_id) DO UPDATE SET
        workflow_id = EXCLUDED.workflow_id, kind = EXCLUDED.kind, status = EXCLUDED.status, outcome = EXCLUDED.outcome,
        view = EXCLUDED.view,
        closed_at = CASE WHEN EXCLUDED.status = 'open' THEN NULL ELSE coalesce(cases.closed_at, EXCLUDED.closed_at) END
    WHERE cases.workflow_id <> EXCLUDED.workflow_id
       OR coalesce((cases.view ->> 'version')::bigint, 0) <= (EXCLUDED.view ->> 'version')::bigint
    RETURNING true"""

_UPSERT_STEP = """
    INSERT INTO case_steps (case_id, step_id, name, clause, kinds, role, owner, claimed_by, subject, waiting_for,
                            asked_at, due_at, chased, view)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
    ON CONFLICT (case_id, step_id) DO UPDATE SET
        name = EXCLUDED.name, clause = EXCLUDED.clause, kinds = EXCLUDED.kinds, role = EXCLUDED.role,
        owner = EXCLUDED.owner, claimed_by = EXCLUDED.claimed_by, subject = EXCLUDED.subject,
        waiting_for = EXCLUDED.waiting_for, asked_at = EXCLUDED.asked_at, due_at = EXCLUDED.due_at,
        chased = EXCLUDED.chased, view = EXCLUDED.view, state = 'open'
    WHERE case_steps.state = 'open' OR case_steps.asked_at < EXCLUDED.asked_at"""

_STEPS_DONE = "UPDATE case_steps SET state = 'done' WHERE case_id = $1 AND state = 'open' AND step_id <> ALL($2)"

_WHO_AND_WHEN = """
    UPDATE cases SET owner = coalesce(next.owner, $2), waiting_for = coalesce(next.waiting_for, $3),
                     due_at = next.due_at
    FROM (SELECT) AS one LEFT JOIN LATERAL (
        SELECT owner, waiting_for, due_at FROM case_steps WHERE case_id = $1 AND state = 'open'
        ORDER BY due_at, step_id LIMIT 1) AS next ON true
    WHERE case_id = $1"""


def _case_row(view: CaseView) -> tuple[object, ...]:
    shown = view.model_dump(mode="json")
    status = view.status.value
    return (view.case_id, view.workflow_id, view.kind, view.client_id, status, view.outcome, shown, view.opened_at)


def _step_row(case_id: str, step: OpenStep) -> tuple[object, ...]:
    shown = step.model_dump(mode="json") | {"why": step.deadline.why()}
    what = (step.name, step.clause, list(step.kinds), step.role, step.owner, step.claimed_by, step.subject)
    when = (step.waiting_for, step.asked_at, step.deadline.due, step.chased)
    return (case_id, step.step_id, *what, *when, shown)


async def _give_client(conn: Connection, vault: Vault, case_id: str, client_id: str) -> None:
    row = await conn.fetchrow("SELECT client_id, thread_ct FROM cases WHERE case_id = $1 FOR UPDATE", case_id)
    if row is None:
        raise Refused("unknown-case", f"there is no case {case_id}")
    if not await conn.fetchval("SELECT true FROM clients WHERE client_id = $1", client_id):
        raise Refused("unknown-client", f"there is no client {client_id}")
    before = row["client_id"]
    if before == client_id:
        return
    if before:
        raise Refused("other-client", f"case {case_id} belongs to client {before}")
    thread = row["thread_ct"]
    if thread is not None:
        thread = await vault.seal(conn, client_id, await vault.open(conn, before, thread))
    await conn.execute("UPDATE cases SET client_id = $2, thread_ct = $3 WHERE case_id = $1", case_id, client_id, thread)
