"""Accepting what comes in: one transaction from the inbox row to the case that follows from it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from asyncpg import Record

from adapters.postgres.calendars import snapshot, targets
from adapters.postgres.crypto import DEPLOYMENT, Vault
from adapters.postgres.intake_known import known_of, staff_domains
from adapters.postgres.leads import claim_leads, disputable
from adapters.postgres.pool import Connection, Pool, transaction
from adapters.postgres.starts import stamp
from domain import ids
from domain.errors import HoldfastError, Refused
from domain.intake import (
    RETURN_LEAD,
    Acceptance,
    Decision,
    Handover,
    Known,
    KnownCase,
    NewCase,
    Signal,
    Sought,
    Told,
    return_summary,
    start_of,
)
from domain.messages import ClientMessage, Fact, FactKind
from domain.people import Role
from domain.return_lead import ClaimProblem, Doubt, LeadClaim, ReturnRequest
from domain.rules.clock import TargetName
from domain.texts import digest
from runtime.settings import Settings

MOST_REPLIES_AN_HOUR = 20


class LostRowError(HoldfastError):
    """A row that must be there is not: somebody changed the tables by hand."""


@dataclass(frozen=True)
class Arrival:
    """Something at a door. `event_id` is the provider's own name for this delivery, the same when it comes again."""

    provider: str
    event_id: str
    content: bytes


@dataclass(frozen=True)
class Once:
    """A caller's own name for one delivery: the same again is answered as before, whatever the request's own name.

    `caller` is an API key's name; `sha256` is that of the body it sent.
    """

    caller: str
    key: str
    sha256: str

    @property
    def named(self) -> tuple[str, str]:
        """As its row of the inbox is called: UNIQUE over all that this API key ever sent."""
        return _PROVIDER, f"{self.caller}/{self.key}"


@dataclass(frozen=True)
class Waiting:
    """An accepted row that Temporal has not been told about."""

    inbox_id: int
    event_id: str
    handover: Handover
    attempts: int


class PostgresIntake:
    """The inbox table and the cases it opens, as the door's role may write them."""

    def __init__(self, pool: Pool, vault: Vault, settings: Settings) -> None:
        self._pool, self._vault, self._settings = pool, vault, settings

    async def accept(
        self, arrival: Arrival, sought: Sought, decide: Callable[[Known], Decision], once: Once | None = None
    ) -> Acceptance:
        """Keeps what arrived and does what `decide` says, in one transaction; the same again changes nothing.

        Raises Refused `another-content` if the event id was used for something else, `idempotency-key-reused` if `once`
        was.
        """
        async with transaction(self._pool) as conn:
            return await once_only(conn, once, lambda: self._accept(conn, arrival, sought, decide))

    async def _accept(
        self, conn: Connection, arrival: Arrival, sought: Sought, decide: Callable[[Known], Decision]
    ) -> Acceptance:
        inbox_id = await keep_arrival(conn, self._vault, arrival)
        if inbox_id is None:
            return await arrived_before(conn, arrival)
        await _alone(conn, sought.original_id or sought.message_id or arrival.event_id)
        decision = decide(await known_of(conn, sought, self._settings))
        return await self._carry_out(conn, inbox_id, arrival.event_id, decision)

    async def staff_domains(self) -> frozenset[str]:
        """The mail domains of our departments, lower case."""
        async with transaction(self._pool, reading=True) as conn:
            return await staff_domains(conn, self._settings)

    async def addresses_of(self, client_id: str) -> tuple[str, ...]:
        """The client's addresses. Raises Refused `unknown-client`."""
        async with transaction(self._pool, reading=True) as conn:
            if not await conn.fetchval("SELECT true FROM clients WHERE client_id = $1", client_id):
                raise Refused("unknown-client", f"there is no client {client_id}: import the clients first")
            query = "SELECT address FROM client_addresses WHERE client_id = $1 ORDER BY address"
            return tuple(row["address"] for row in await conn.fetch(query, client_id))

    async def _carry_out(self, conn: Connection, inbox_id: int, event_id: str, decision: Decision) -> Acceptance:
        if decision.opens:
            case_id, handover = await self.open_case(conn, event_id, decision.opens)
            state = "accepted"
        elif decision.tells:
            case_id, handover = decision.tells.case.case_id, await _tell(conn, inbox_id, event_id, decision.tells)
            state = "handed" if await _flooded(conn, case_id, decision.code) else "accepted"
        else:
            case_id, handover, state = "", Handover(), "ignored"
        code = "coalesced" if state == "handed" else decision.code
        await decide_arrival(conn, inbox_id, state, handover, case_id, code)
        return Acceptance(inbox_id=inbox_id, state=state, code=code, case_id=case_id)

    async def open_case(self, conn: Connection, event_id: str, case: NewCase) -> tuple[str, Handover]:
        """Writes a case that begins; its leads are claimed only if nothing about it is in doubt, or if they are those
        of a late reply.
        """
        case = await _as_it_stands(conn, case)
        case_id = await self._insert_case(conn, event_id, case)
        await _join(conn, case_id, (*case.message_ids, ids.case_token(case_id)))
        claimed = case.doubt in {Doubt.NONE, Doubt.LATE_REPLY}
        claims = await claim_leads(conn, case_id, case.client_id, case.leads) if claimed else ()
        request = ReturnRequest(
            opened_by=case.opened_by,
            case_id=case_id,
            client_id=case.client_id,
            chase_every=self._settings.chase_every,
            holding_after=self._settings.holding_after,
            dispute_window=self._settings.dispute_window,
            claims=claims,
            loop_in=case.loop_in,
            doubt=case.doubt,
            file_copy=case.file_copy,
            linked_to=case.linked_to,
            calendar=await snapshot(conn, Role.RETURN_LEADS),
            targets=await targets(conn, *TargetName),
        )
        await stamp(conn, request)
        start = start_of(RETURN_LEAD, request, return_summary(request))
        return case_id, Handover(steps=(start, *await _told_elsewhere(conn, case_id, claims)))

    async def _insert_case(self, conn: Connection, event_id: str, case: NewCase) -> str:
        """The id is taken only if another client's request used the same key: then it is minted with the event's."""
        sealed, arrived = await self._sealed_thread(conn, case)
        request = case.model_dump(mode="json", include=_KEPT)
        managers = await _account_managers(conn, case)
        for case_id in (case.case_id, ids.return_lead_case(f"{case.case_id}|{event_id}")):
            values = (case_id, RETURN_LEAD, case.client_id, sealed, request, case.linked_to, arrived, managers)
            if await conn.fetchval(_INSERT_CASE, *values):
                return case_id
        raise LostRowError("an event has opened a case before, but its row of the inbox is gone")

    async def _sealed_thread(self, conn: Connection, case: NewCase) -> tuple[bytes | None, object]:
        """A case linked to another has that one's thread, sealed with the same client's key."""
        if case.thread is None:
            row = await conn.fetchrow("SELECT thread_ct FROM cases WHERE case_id = $1", case.linked_to)
            return (row["thread_ct"] if row else None), None
        content = case.thread.model_dump_json().encode()
        arrived = min(case.thread.sent_at or case.thread.arrived_at, case.thread.arrived_at)
        return await self._vault.seal(conn, case.client_id, content), arrived

    async def waiting(self, limit: int = 20, lease: timedelta = timedelta(seconds=60)) -> tuple[Waiting, ...]:
        """Rows to hand over, taken for the length of the lease: whoever crashes leaves them to the next."""
        async with transaction(self._pool) as conn:
            rows = await conn.fetch(_TAKE, limit, lease)
        found = [_waiting(row) for row in rows]
        return tuple(sorted(found, key=lambda one: one.inbox_id))

    async def handed(self, inbox_id: int) -> None:
        async with transaction(self._pool) as conn:
            await conn.execute("UPDATE inbox SET state = 'handed' WHERE inbox_id = $1 AND state = 'accepted'", inbox_id)

    async def postponed(self, inbox_id: int, pause: timedelta) -> None:
        """Temporal can't be reached: tried again later, however often."""
        async with transaction(self._pool) as conn:
            await conn.execute("UPDATE inbox SET next_at = holdfast_now() + $2 WHERE inbox_id = $1", inbox_id, pause)

    async def failed(self, inbox_id: int, code: str, pause: timedelta, most: int) -> bool:
        """Temporal refused it. True if that was once too often: the row is `dead`, and `doctor` shows it."""
        async with transaction(self._pool) as conn:
            return bool(await conn.fetchval(_FAILED, inbox_id, code, pause, most))

    async def relink(self, inbox_id: int, event_id: str, case_id: str, opens: Callable[[KnownCase], NewCase]) -> str:
        """The case that was to be told has ended: what came in becomes a linked case. Returns its id.

        "" if the case only has not been started yet: then this row waits for that one.
        """
        async with transaction(self._pool) as conn:
            if await conn.fetchval(_NOT_STARTED, case_id, inbox_id):
                return ""
            row = await conn.fetchrow("SELECT * FROM cases WHERE case_id = $1", case_id)
            if row is None:
                raise LostRowError(f"the case {case_id} of a row of the inbox is not there")
            ended = KnownCase(
                case_id=case_id, workflow_id=row["workflow_id"], client_id=row["client_id"], is_open=False
            )
            linked, handover = await self.open_case(conn, event_id, opens(ended))
            await decide_arrival(conn, inbox_id, "accepted", handover, linked, "case-ended")
            return linked

    async def revive(self, inbox_id: int) -> bool:
        """A person has a dead row tried again. False if there is no such row."""
        async with transaction(self._pool) as conn:
            return bool(await conn.fetchval(_REVIVE, inbox_id))

    async def tell_resumed(self, client_id: str, event_id: str) -> int:
        """Tells open cases with held effects that they may be sent; `*` means all clients. Returns how many."""
        async with transaction(self._pool) as conn:
            rows = await conn.fetch(_HELD, client_id)
            for row in rows:
                fact = Fact(event_id=f"{event_id}:{row['case_id']}", kind=FactKind.RESUMED)
                signal = Signal(workflow_id=row["workflow_id"], case_id=row["case_id"], fact=fact)
                handover = Handover(steps=(signal,)).model_dump(mode="json")
                await conn.execute(_INSERT_OWN, fact.event_id, digest(fact.event_id), handover, row["case_id"])
            return len(rows)


_KEPT = {"doubt", "loop_in", "leads", "problems", "reference", "note"}
_INSERT = """INSERT INTO inbox (provider, event_id, sha256, content_ct, state) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (provider, event_id) DO NOTHING RETURNING inbox_id"""
_PROVIDER, _REPEATED = "api", "repeated"
_ONCE = """INSERT INTO inbox (provider, event_id, sha256, state, content_ct) VALUES ($1, $2, $3, 'handed', $4)
    ON CONFLICT (provider, event_id) DO NOTHING RETURNING true"""
_ANSWERED = "UPDATE inbox SET case_id = $3, code = $4 WHERE provider = $1 AND event_id = $2"
_INSERT_OWN = """INSERT INTO inbox (provider, event_id, sha256, state, action, case_id, code)
    VALUES ('holdfast', $1, $2, 'accepted', $3, $4, 'resumed') ON CONFLICT (provider, event_id) DO NOTHING"""
_DECIDED = """UPDATE inbox SET state = $2, action = $3, case_id = $4, code = $5, next_at = holdfast_now()
    WHERE inbox_id = $1"""
_INSERT_CASE = """
    INSERT INTO cases (case_id, workflow_id, kind, client_id, status, owner, waiting_for, thread_ct, request, linked_to,
        arrived_at, account_managers)
    VALUES ($1, $1, $2, $3, 'open', 'holdfast', 'starting', $4, $5, $6, coalesce($7, holdfast_now()), $8)
    ON CONFLICT (case_id) DO NOTHING RETURNING true"""
_TAKE = """
    UPDATE inbox SET next_at = holdfast_now() + $2 WHERE inbox_id IN (
        SELECT inbox_id FROM inbox WHERE state = 'accepted' AND next_at <= holdfast_now()
        ORDER BY inbox_id LIMIT $1 FOR UPDATE SKIP LOCKED)
    RETURNING inbox_id, event_id, action, attempts"""
_FAILED = """
    UPDATE inbox SET attempts = attempts + 1, code = $2, next_at = holdfast_now() + $3,
        state = CASE WHEN attempts + 1 >= $4 THEN 'dead' ELSE state END
    WHERE inbox_id = $1 RETURNING state = 'dead'"""
_NOT_STARTED = """SELECT true FROM inbox WHERE case_id = $1 AND inbox_id < $2 AND state IN ('accepted', 'dead')
    AND action -> 'steps' -> 0 ->> 'do' = 'start' LIMIT 1"""
_REVIVE = """UPDATE inbox SET state = 'accepted', attempts = 0, next_at = holdfast_now()
    WHERE inbox_id = $1 AND state = 'dead' RETURNING true"""
_HELD = """
    SELECT c.case_id, c.workflow_id FROM cases c WHERE c.status = 'open' AND ($1 = '*' OR c.client_id = $1)
        AND EXISTS (SELECT FROM effects e WHERE e.case_id = c.case_id AND e.state = 'prepared'
                    AND e.code IN ('outbound-off', 'not-on-allowlist', 'on-hold'))
    ORDER BY c.case_id"""
_RECENT = """
    SELECT count(*) FILTER (WHERE state = 'accepted') AS unhanded, count(*) AS lately FROM inbox
    WHERE case_id = $1 AND code IN ($2, 'coalesced') AND received_at > holdfast_now() - interval '1 hour'"""


async def _as_it_stands(conn: Connection, case: NewCase) -> NewCase:
    """A late reply with the refused leads that are not finally decided yet (RL-10); with none a person looks at it."""
    if case.doubt is not Doubt.LATE_REPLY:
        return case
    leads = await disputable(conn, case.linked_to)
    return case.model_copy(update={"leads": leads, "doubt": Doubt.LATE_REPLY if leads else Doubt.CASE_ENDED})


async def _account_managers(conn: Connection, case: NewCase) -> list[str]:
    """Our account managers and CSMs among the recipients of the original (RL-10)."""
    if case.thread is None:
        found = await conn.fetchval("SELECT account_managers FROM cases WHERE case_id = $1", case.linked_to)
        return list(found or ())
    query = """SELECT DISTINCT p.person_id FROM people p JOIN memberships m USING (person_id)
               WHERE p.active AND lower(p.email) = ANY($1) AND m.role = ANY($2) ORDER BY 1"""
    addresses = [one.lower() for one in (*case.thread.to, *case.thread.cc)]
    roles = [Role.ACCOUNT_MANAGER.value, Role.CSM.value]
    return [row["person_id"] for row in await conn.fetch(query, addresses, roles)]


async def keep_arrival(conn: Connection, vault: Vault, arrival: Arrival, state: str = "accepted") -> int | None:
    """The row of the inbox of something new, sealed; None if it came before. What becomes of it is yet to be said."""
    sealed = await vault.seal(conn, DEPLOYMENT, arrival.content)
    named = (arrival.provider, arrival.event_id, digest(arrival.content))
    return await conn.fetchval(_INSERT, *named, sealed, state)


async def decide_arrival(
    conn: Connection, inbox_id: int, state: str, handover: Handover, case_id: str, code: str = ""
) -> None:
    """What became of a row, and what Temporal is to be told."""
    await conn.execute(_DECIDED, inbox_id, state, handover.model_dump(mode="json"), case_id, code)


async def once_only(conn: Connection, once: Once | None, accept: Callable[[], Awaitable[Acceptance]]) -> Acceptance:
    """What `accept` answers, or what it answered before to the same key and body of a caller. Raises Refused."""
    if once is None:
        return await accept()
    if before := await _answered_before(conn, once):
        return before
    accepted = await accept()
    await conn.execute(_ANSWERED, *once.named, accepted.case_id, _REPEATED if accepted.repeated else "")
    return accepted


async def claimed(conn: Connection, once: Once, sealed: bytes | None = None) -> bool:
    """Whether this is the first time; whoever comes at the same time waits for that one's end."""
    return bool(await conn.fetchval(_ONCE, *once.named, once.sha256, sealed))


def reused() -> Refused:
    return Refused(
        "idempotency-key-reused", "This Idempotency-Key was used before, with another body: choose a new one."
    )


async def _answered_before(conn: Connection, once: Once) -> Acceptance | None:
    """None the first time. Raises Refused."""
    if await claimed(conn, once):
        return None
    query = "SELECT inbox_id, state, code, case_id, sha256 FROM inbox WHERE provider = $1 AND event_id = $2"
    row = await conn.fetchrow(query, *once.named)
    if row is None:
        raise LostRowError("a row of the inbox vanished while it was read")
    if row["sha256"] != once.sha256:
        raise reused()
    return Acceptance(
        inbox_id=row["inbox_id"], state=row["state"], case_id=row["case_id"], repeated=row["code"] == _REPEATED,
        replayed=True,
    )  # fmt: skip


async def arrived_before(conn: Connection, arrival: Arrival) -> Acceptance:
    """The answer that the same thing got before. Raises Refused `another-content` if it is not the same."""
    query = "SELECT inbox_id, state, code, case_id, sha256 FROM inbox WHERE provider = $1 AND event_id = $2"
    row = await conn.fetchrow(query, arrival.provider, arrival.event_id)
    if row is None:
        raise LostRowError("a row of the inbox vanished while it was read")
    if row["sha256"] != digest(arrival.content):
        raise Refused(
            "another-content", f"{arrival.event_id} was used before for something else: choose another reference"
        )
    return Acceptance(
        inbox_id=row["inbox_id"], state=row["state"], code=row["code"], case_id=row["case_id"], repeated=True
    )


async def _alone(conn: Connection, name: str) -> None:
    """Two deliveries of one message at once: the second sees what became of the first."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 4846377003))", name)


async def _join(conn: Connection, case_id: str, message_ids: Sequence[str]) -> None:
    rows = [(one, case_id) for one in message_ids]
    await conn.executemany("INSERT INTO mail_threads VALUES ($1, $2) ON CONFLICT (message_id) DO NOTHING", rows)


async def _tell(conn: Connection, inbox_id: int, event_id: str, told: Told) -> Handover:
    await _join(conn, told.case.case_id, told.message_ids)
    signal = Signal(workflow_id=told.case.workflow_id, case_id=told.case.case_id)
    if told.fact is None:
        at = await conn.fetchval("SELECT holdfast_now()")
        message = ClientMessage(event_id=event_id, inbox_id=inbox_id, at=at)
        return Handover(steps=(signal.model_copy(update={"message": message}),))
    # One mail that came back from several recipients is one event.
    name = f"bounced:{told.reference}" if told.fact == "bounced" else event_id
    fact = Fact(event_id=name, kind=FactKind(told.fact), reference=told.reference)
    return Handover(steps=(signal.model_copy(update={"fact": fact}),))


async def _flooded(conn: Connection, case_id: str, code: str) -> bool:
    """Whether the case will hear of this anyway: it has not been told of the last one yet, or of too many lately."""
    if code == "bounced":
        return False
    row = await conn.fetchrow(_RECENT, case_id, code)
    return bool(row and (row["unhanded"] or row["lately"] >= MOST_REPLIES_AN_HOUR))


async def _told_elsewhere(conn: Connection, case_id: str, claims: Sequence[LeadClaim]) -> tuple[Signal, ...]:
    """Leads under review in another case join that one."""
    if all(claim.problem is not ClaimProblem.ELSEWHERE for claim in claims):
        return ()
    query = """SELECT DISTINCT o.case_id, o.workflow_id FROM case_leads l JOIN cases o ON o.case_id = l.elsewhere
               WHERE l.case_id = $1 AND l.elsewhere <> '' AND o.status = 'open' ORDER BY 1"""
    return tuple(
        Signal(
            workflow_id=row["workflow_id"],
            case_id=row["case_id"],
            fact=Fact(event_id=f"joined:{case_id}", kind=FactKind.JOINED),
        )
        for row in await conn.fetch(query, case_id)
    )


def _waiting(row: Record) -> Waiting:
    handover = Handover.model_validate(row["action"])
    return Waiting(row["inbox_id"], row["event_id"], handover, row["attempts"])
