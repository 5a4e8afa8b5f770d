"""Judging signed acts against one open step, in one transaction: the accepted is stored, the refused is told."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from asyncpg import Record

from adapters.postgres.actors import roles_that_count, unknown_assignee
from adapters.postgres.approvers import authority, involved, signer
from adapters.postgres.audit import Entry, append_events
from adapters.postgres.cases import write_view
from adapters.postgres.crypto import Vault
from adapters.postgres.directory import own_today
from adapters.postgres.ledger import is_gated, prepare_rows
from adapters.postgres.locks import lock_case, lock_client
from adapters.postgres.orders_proven import Hierarchy, hierarchy
from adapters.postgres.pool import Connection, Pool, transaction
from adapters.postgres.subjects import case_word, subject_after
from domain.acts import ActAnswer, Candidate, RecordActs
from domain.case import CaseView, EventKind, OpenStep
from domain.case import Move as Moved
from domain.errors import Refused
from domain.messages import ActKind
from domain.return_lead import Move
from domain.rules import acts as rules
from domain.rules.acts import Actor, Asked, Authority, Opened, Ownership, Past
from domain.rules.stored_acts import Trust, Word, ownership
from domain.subject import Subject

_MOST_SENTENCE = 500
_TOLD_ONE_BY_ONE = 10
_TOLD_BY_ACTIVITIES = ("act.", "effect.")


class PostgresActs:
    """activities.ports.Acts. `trust` is this process's own: keys, deployment, and whether `auth=local` counts."""

    def __init__(self, pool: Pool, vault: Vault, trust: Trust) -> None:
        self._pool = pool
        self._vault = vault
        self._trust = trust

    async def record(self, request: RecordActs) -> ActAnswer:
        """Judges all candidates in order: changes of owner and deadline take effect at once, the first act that ends
        the step wins, every other is refused where it can be seen. Safe to repeat after a lost answer.

        The answer's `claimed_by`, `reassigned_to` and `due` are as they stand after all of them, whatever `kind` says.
        Raises Refused `event-kind`.
        """
        if any(event.kind.value.startswith(_TOLD_BY_ACTIVITIES) for event in request.events):
            raise Refused("event-kind", "acts and effects are told by the activities that check them")
        async with transaction(self._pool) as conn:
            hearing = await _open(conn, self._vault, request, self._trust)
            for index, candidate in enumerate(request.candidates):
                await hearing.hear(index, candidate)
            answer = hearing.answer()
            if answer.accepted >= 0 and hearing.ended:
                gated = [one for one in request.candidates[answer.accepted].then if is_gated(one)]
                await prepare_rows(conn, request.case_id, gated)
            told = await _count_refusals(conn, hearing)
            await write_view(conn, hearing.view())
            events = [Entry.of(event) for event in request.events]
            await append_events(conn, self._vault, request.case_id, [*events, *hearing.entries, *told])
        return answer


@dataclass(frozen=True)
class _Refusal:
    """`digest` is "" for what carries no good signature: those are counted together."""

    code: str
    sentence: str
    digest: str = ""
    actor: str = ""
    jti: str = ""
    kind: str = ""


@dataclass(frozen=True)
class _Accepted:
    index: int
    opened: Opened
    person_id: str
    at: datetime


@dataclass
class _Hearing:
    """One call's judgement, as far as it has got."""

    conn: Connection
    request: RecordActs
    trust: Trust
    now: datetime
    word: Word
    own: Ownership
    repeats: dict[int, Record]
    chain: Hierarchy
    past: Past
    accepted: list[_Accepted] = field(default_factory=list[_Accepted])
    refusals: list[_Refusal] = field(default_factory=list[_Refusal])
    entries: list[Entry] = field(default_factory=list[Entry])
    subjects: dict[str, Subject] = field(default_factory=dict[str, Subject])
    due: datetime | None = None
    withdrawn: str = ""

    @property
    def ended(self) -> bool:
        return any(one.opened.kind not in rules.OWNERSHIP for one in self.accepted)

    @property
    def ended_before(self) -> bool:
        """Whether this call already ended the step and its answer was lost: nothing else may end it now."""
        return any(row["kind"] not in rules.OWNERSHIP for row in self.repeats.values())

    @property
    def step(self) -> OpenStep | None:
        return next((step for step in self.request.view.steps if step.step_id == self.request.step_id), None)

    @property
    def clause(self) -> str:
        return self.step.clause if self.step else ""

    @property
    def asked(self) -> Asked:
        request = self.request
        return Asked(
            deployment=self.trust.deployment,
            case_id=request.case_id,
            workflow_id=request.workflow_id,
            step_id=request.step_id,
            kinds=request.kinds,
            role=request.role,
            now=int(self.now.timestamp()),
            local_counts=self.trust.local_counts,
        )

    async def hear(self, index: int, candidate: Candidate) -> None:
        try:
            opened = rules.open_act(candidate.act, self.trust.keys)
        except Refused as refused:
            self.refusals.append(_Refusal(refused.code, str(refused)))
            return
        if before := await _stored(self.conn, opened):
            self._hear_again(index, opened, before)
        elif opened.kind is ActKind.WITHDRAW:
            await self._withdraw(opened)
        elif self.ended or self.ended_before:
            self._refuse(opened, "step-already-done")
        else:
            await self._judge(index, opened, candidate)

    def _hear_again(self, index: int, opened: Opened, before: Record) -> None:
        """The very same act is a success and changes nothing, unless this is the repetition of a lost answer."""
        if (before["body"], before["payload"], before["signature"]) != _parts(opened):
            self._refuse(opened, "jti-reused")
        elif index in self.repeats:
            self._take(_Accepted(index, opened, before["who"], before["accepted_at"]))

    async def _withdraw(self, opened: Opened) -> None:
        """Taken beside whatever step is open, and ends none: from then on the gate lets nothing more through."""
        step_id = opened.body.step_id
        self.word = await case_word(self.conn, self.request.case_id, self.trust)
        if not await self.conn.fetchval(_APPROVAL_STEP, self.request.case_id, step_id):
            self._refuse(opened, "no-such-step")
            return
        about = await subject_after(self.conn, self.request.case_id, "step", step_id, self.word, self.trust)
        asked = replace(self.asked, step_id=step_id, kinds=(ActKind.WITHDRAW.value,))
        who, _ = await self._actor(opened)
        code = rules.refusal(opened, asked, about.sha256)
        if not code:
            code = rules.entitlement(opened.kind, who, "", Ownership(), self.past) if who else "unknown-person"
        code = code or await unwithdrawable(self.conn, self.request.case_id, self.word)
        if code or who is None:
            self._refuse(opened, code, who)
            return
        if at := await self._keep(opened, who, about):
            self.entries.append(_told(opened, who, about, at, "RL-14"))
            self.withdrawn = opened.body.jti

    async def _judge(self, index: int, opened: Opened, candidate: Candidate) -> None:
        if opened.kind in rules.DECISIONS:
            # What is reserved meanwhile changes what he decides about: nothing is, until this is stored.
            await lock_client(self.conn, self.request.case_id)
        subject = await self._subject(opened.kind)
        code = rules.refusal(opened, self.asked, subject.sha256 if subject else "")
        if code == "no-such-step" and await self._is_done(opened.body.step_id):
            code = "step-already-done"
        who, may = (None, None) if code else await self._actor(opened)
        code = code or await self._unacceptable(opened, who, may, subject)
        if not code and candidate.problem:
            self._refuse(opened, "result-refused", who, candidate.problem)
        elif code or who is None or subject is None:
            self._refuse(opened, code or "unknown-person", who)
        else:
            await self._accept(index, opened, who, subject)

    async def _unacceptable(
        self, opened: Opened, who: Actor | None, may: Authority | None, subject: Subject | None
    ) -> str:
        if who is None or subject is None:
            return "unknown-person"
        request = self.request
        return (
            rules.entitlement(opened.kind, who, request.role, self.own, self.past)
            or rules.beyond(opened.kind, may, subject.asking.sum_gbp if subject.asking else None)
            or rules.unreasoned(opened)
            or rules.unfit(opened.result, subject.lead_ids, self.asked.now)
            or await unknown_assignee(self.conn, opened.result, request.case_id, request.role, request.kinds)
        )

    async def _actor(self, opened: Opened) -> tuple[Actor | None, Authority | None]:
        roles, who = roles_that_count(opened.kind, self.request.role), opened.body.actor
        may = authority(self.chain, who, self.now, self.past)
        return await signer(self.conn, who, self.request.case_id, roles, may), may

    async def _subject(self, kind: ActKind) -> Subject | None:
        name = rules.subject_name(kind)
        if name not in self.subjects:
            try:
                case_id, step_id = self.request.case_id, self.request.step_id
                self.subjects[name] = await subject_after(self.conn, case_id, name, step_id, self.word, self.trust)
            except Refused:
                return None
        return self.subjects[name]

    async def _is_done(self, step_id: str) -> bool:
        query = "SELECT true FROM case_steps WHERE case_id = $1 AND step_id = $2 AND state = 'done'"
        return bool(await self.conn.fetchval(query, self.request.case_id, step_id))

    async def _accept(self, index: int, opened: Opened, who: Actor, subject: Subject) -> None:
        if at := await self._keep(opened, who, subject):
            self.entries.append(_told(opened, who, subject, at, self.clause))
            self._take(_Accepted(index, opened, who.person_id, at))

    async def _keep(self, opened: Opened, who: Actor, subject: Subject) -> datetime | None:
        """Stores the act and says when; None if it was too late by then, and refused."""
        try:
            async with self.conn.transaction():
                at = await _store(self.conn, opened, who, subject)
                # The stored act is judged by its stamp for ever after, so the stamp decides now as well.
                if code := rules.untimely(opened.body, int(at.timestamp())):
                    raise rules.refuse(code)
        except Refused as late:
            self._refuse(opened, late.code, who)
            return None
        return at

    def _take(self, accepted: _Accepted) -> None:
        self.accepted.append(accepted)
        if isinstance(accepted.opened.result, Move):
            self.due = accepted.opened.result.due
        self.own = rules.changed(accepted.opened, accepted.person_id, self.own)

    def _refuse(self, opened: Opened, code: str, who: Actor | None = None, sentence: str = "") -> None:
        said = sentence.replace("\0", "")[:_MOST_SENTENCE] or rules.sentence(code)
        refusal = _Refusal(code, said, rules.fingerprint(opened.act), jti=opened.body.jti, kind=opened.body.kind)
        self.refusals.append(replace(refusal, actor=who.person_id if who else ""))

    def answer(self) -> ActAnswer:
        ends = [one for one in self.accepted if one.opened.kind not in rules.OWNERSHIP]
        standing = ActAnswer(
            refused=len(self.refusals),
            claimed_by=self.own.claimed_by,
            reassigned_to=self.own.reassigned_to,
            due=self.due,
            data={"withdrawn": self.withdrawn} if self.withdrawn else {},
        )
        if not self.accepted:
            return standing
        one = (ends or self.accepted)[-1]
        taken = {"accepted": one.index, "kind": one.opened.body.kind, "by": one.person_id, "jti": one.opened.body.jti}
        return standing.model_copy(update=taken | {"at": one.at.isoformat()})

    def view(self) -> CaseView:
        """What is shown from now on: the step gone, or with its new owner and deadline."""
        if self.ended and self.request.view_after:
            return self.request.view_after
        steps = tuple(self._shown(step) for step in self.request.view.steps)
        return self.request.view.model_copy(update={"steps": steps})

    def _shown(self, step: OpenStep) -> OpenStep:
        if step.step_id != self.request.step_id or not self.accepted:
            return step
        owned = step.owned(self.own.claimed_by, self.own.reassigned_to)
        if self.due is None or self.due == step.deadline.due:
            return owned
        by = next(one.person_id for one in reversed(self.accepted) if isinstance(one.opened.result, Move))
        how = Moved(before=step.deadline.due, after=self.due, by=by)
        return owned.model_copy(update={"deadline": step.deadline.later(how)})


_APPROVAL_STEP = "SELECT true FROM case_steps WHERE case_id = $1 AND step_id = $2 AND 'return.approve' = ANY(kinds)"
_CARRIED_OUT = """SELECT true FROM effects e JOIN effect_acts ea ON ea.key = e.key AND ea.attempt = e.attempts
    WHERE e.case_id = $1 AND e.kind = 'answer-client' AND e.state IN ('sending', 'sent') AND ea.jti = $2 LIMIT 1"""


async def unwithdrawable(conn: Connection, case_id: str, said: Word) -> str:
    """Why there is no approval in a case that could be taken back; "" if there is."""
    if said.decision is None or said.decision.kind is not ActKind.APPROVE:
        return "nothing-to-withdraw"
    return "already-carried-out" if await conn.fetchval(_CARRIED_OUT, case_id, said.decision.row.jti) else ""


async def _open(conn: Connection, vault: Vault, request: RecordActs, trust: Trust) -> _Hearing:
    await lock_case(conn, request.case_id)
    now = await conn.fetchval("SELECT holdfast_now()")
    said = await case_word(conn, request.case_id, trust)
    own = await own_today(conn, ownership(said, request.step_id), request.role, request.case_id)
    past = await involved(conn, vault, request.case_id, said, trust)
    repeats, chain = await _repeats(conn, request), await hierarchy(conn, trust)
    return _Hearing(conn, request, trust, now, said, own, repeats, chain, past)


async def _repeats(conn: Connection, request: RecordActs) -> dict[int, Record]:
    """Candidates that were accepted by this very call before, whose answer was lost.

    Each is stored, and all that was stored for the step after it is among the candidates after it: an old act that is
    brought up again alone is none.
    """
    query = """SELECT seq, kind, body, payload, signature FROM acts
               WHERE case_id = $1 AND workflow_id = $2 AND step_id = $3 ORDER BY seq"""
    rows = await conn.fetch(query, request.case_id, request.workflow_id, request.step_id)
    known = {(row["body"], row["payload"], row["signature"]): row for row in rows}
    found: dict[int, Record] = {}
    for index in reversed(range(len(request.candidates))):
        act = request.candidates[index].act
        row = known.get((act.body, act.payload, act.signature))
        covered = {other["seq"] for other in found.values()}
        if row and row["seq"] not in covered and {one["seq"] for one in rows if one["seq"] > row["seq"]} <= covered:
            found[index] = row
    return found


def _parts(opened: Opened) -> tuple[str, str, str]:
    return opened.act.body, opened.act.payload, opened.act.signature


async def _stored(conn: Connection, opened: Opened) -> Record | None:
    query = """SELECT a.body, a.payload, a.signature, a.accepted_at,
                      coalesce(p.person_id, a.issuer || '|' || a.sub) AS who
               FROM acts a LEFT JOIN signers p ON p.issuer = a.issuer AND p.sub = a.sub WHERE a.jti = $1"""
    return await conn.fetchrow(query, opened.body.jti)


async def _store(conn: Connection, opened: Opened, who: Actor, subject: Subject) -> datetime:
    body, act = opened.body, opened.act
    said = (body.jti, body.case_id, body.workflow_id, body.step_id, body.kind, body.subject_sha256)
    by = (body.actor.issuer, body.actor.sub, who.person_id, body.auth)
    return await conn.fetchval(
        """INSERT INTO acts (jti, case_id, workflow_id, step_id, kind, subject_sha256, issuer, sub, person_id, auth,
                             body, payload, signature, subject)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) RETURNING accepted_at""",
        *said, *by, act.body, act.payload, act.signature, subject.json_text,
    )  # fmt: skip


def _told(opened: Opened, who: Actor, subject: Subject, at: datetime, clause: str) -> Entry:
    """The audit event of an accepted act, with the lines and amounts as they were seen."""
    body = opened.body
    data: dict[str, Any] = {
        "jti": body.jti,
        "kid": body.kid,
        "kind": body.kind,
        "auth": body.auth,
        "actor": body.actor.model_dump(mode="json"),
        "signed_at": datetime.fromtimestamp(body.iat, UTC).isoformat(),
        "subject_sha256": body.subject_sha256,
        "subject": subject.model_dump(mode="json"),
        "payload_sha256": body.payload_sha256,
        "result": opened.result.model_dump(mode="json"),
    }
    text = f"{who.person_id} signed {body.kind}."
    return Entry(EventKind.ACT_ACCEPTED, clause, at, body.step_id, who.person_id, text, data, dedupe=f"act:{body.jti}")


async def _count_refusals(conn: Connection, hearing: _Hearing) -> list[Entry]:
    """Counts refusals, those without a good signature together, and tells of them: the first ones, then ever fewer."""
    if hearing.ended_before:
        return []  # they were counted the first time
    case_id = hearing.request.case_id
    entries: list[Entry] = []
    for refusal, times in Counter(hearing.refusals).items():
        proven = bool(refusal.digest)
        before = await conn.fetchval(_TIMES, case_id, refusal.code, proven)
        await conn.execute(_COUNT, case_id, refusal.digest, refusal.code, refusal.sentence, times)
        entries += [_refused(hearing, refusal, n) for n in milestones(before, before + times, one_by_one=proven)]
    return entries


_TIMES = (
    """SELECT coalesce(sum(times), 0)::int FROM act_refusals WHERE case_id = $1 AND code = $2 AND (digest <> '') = $3"""
)
_COUNT = """INSERT INTO act_refusals (case_id, digest, code, sentence, times) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (case_id, digest, code) DO UPDATE SET times = act_refusals.times + EXCLUDED.times"""


def milestones(before: int, after: int, *, one_by_one: bool) -> Sequence[int]:
    """Which of the refusals number `before` + 1 to `after` are told: the first (signed: ten), then powers of ten."""
    first = range(before + 1, min(after, _TOLD_ONE_BY_ONE if one_by_one else 1) + 1)
    powers = (10**power for power in range(1, 10))
    return sorted({*first, *(n for n in powers if before < n <= after)})


def _refused(hearing: _Hearing, refusal: _Refusal, times: int) -> Entry:
    data: dict[str, Any] = {"code": refusal.code, "times": times, "digest": refusal.digest}
    if refusal.jti:
        data |= {"jti": refusal.jti, "kind": refusal.kind}
    name = f"refused:{refusal.code}:{'signed' if refusal.digest else 'unsigned'}:{times}"
    step_id = hearing.request.step_id
    return Entry(
        EventKind.ACT_REFUSED, hearing.clause, hearing.now, step_id, refusal.actor, refusal.sentence, data, dedupe=name
    )
