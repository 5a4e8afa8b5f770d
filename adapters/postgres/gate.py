"""The money gate: whether a gated effect may be carried out, judged from stored acts, the books and the month's sum.

It believes nothing of what the workflow says. Acts are verified with keys of the money worker's own configuration; the
sum is formed under a lock per client, in the transaction that commits `sending`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from activities.ports import Claim, Intent, Settled
from adapters.postgres.approvers import authority, requesters
from adapters.postgres.audit import Entry, append_events
from adapters.postgres.context import money_context, overtaken
from adapters.postgres.crypto import Vault
from adapters.postgres.judgement import judgement
from adapters.postgres.leads import lead_rows
from adapters.postgres.ledger import claim_rows, held_events, is_gated, read_rows, sent_effects, settle_rows
from adapters.postgres.locks import lock_case, lock_client
from adapters.postgres.orders_proven import Hierarchy, hierarchy
from adapters.postgres.pool import Connection, Pool, transaction
from adapters.postgres.subjects import decisions_elsewhere, ground_of, stored_acts
from domain.case import EventKind
from domain.effects import (
    AnswerClient,
    AuthoriseCreditNote,
    ConfirmToAccounts,
    DraftCreditNote,
    Effect,
    ListDoNotInvoice,
)
from domain.errors import Permanent, Refused
from domain.gate import LeadRow, Permit, SignedLead
from domain.messages import ActKind, Auth
from domain.people import Role
from domain.return_lead import Billing, BillingState, LeadBilling
from domain.rules.acts import Authority, beyond, excluded
from domain.rules.authority import judge
from domain.rules.permits import GATE_REFUSALS, Facts, credited, disapproval, unapproved
from domain.rules.promised import Basis
from domain.rules.stored_acts import Standing, StoredAct, Trust, Word, word
from domain.subject import Subject, SubjectLine

_SETTLED = frozenset({"sent", "abandoned"})
_UNBILLED = frozenset({BillingState.UNBILLED, BillingState.VOIDED})
_INVOICED = frozenset({BillingState.ISSUED, BillingState.PAID})
_MAILS = (ConfirmToAccounts, AnswerClient)
_MENDING = frozenset({ActKind.DONE, ActKind.RESEND})
_IN_PERSON = frozenset({Auth.OIDC, Auth.LOCAL})  # a machine may say of other steps that they are done, never of money
_SPOKEN = (
    frozenset({ActKind.FINDINGS}),
    frozenset({ActKind.CONFIRM}),
    frozenset({ActKind.AUTHORISE, ActKind.DECLINE}),
    frozenset({ActKind.DECIDED}),
)


class PostgresGate:
    """activities.ports.Gate, under the database role `holdfast_money`. `trust` is the money worker's own."""

    def __init__(self, pool: Pool, vault: Vault, trust: Trust) -> None:
        self._pool = pool
        self._vault = vault
        self._trust = trust

    async def plan(self, case_id: str, workflow_id: str, keys: Sequence[str]) -> tuple[Permit, ...]:
        """One permit a key, in order. An effect that was sent keeps its permit, so that its receipt can be read."""
        async with transaction(self._pool) as conn:
            basis = await _basis(conn, self._vault, case_id, self._trust)
            rows = await _rows(conn, case_id, keys)
            ours = await conn.fetchval("SELECT workflow_id FROM cases WHERE case_id = $1", case_id) == workflow_id
            pending = [effect for effect, _ in rows.values()]
            permits = [_planned(key, rows.get(key), basis, pending, ours=ours) for key in keys]
            refused = [(one.effect, one.code) for one in permits if one.code]
            await append_events(conn, self._vault, case_id, await _refusals(conn, refused))
        return tuple(permits)

    async def claim(
        self, case_id: str, permits: Sequence[Permit], billing: Billing, intents: Sequence[Intent]
    ) -> tuple[Claim, ...]:
        """Judges everything anew, with nothing pending. What differs from what was planned is refused."""
        planned = {one.key: one for one in permits}
        async with transaction(self._pool) as conn:
            await lock_case(conn, case_id)
            await lock_client(conn, case_id)
            basis = await _basis(conn, self._vault, case_id, self._trust)
            keys = [intent.effect.key for intent in intents]
            court = await _Court.open(conn, case_id, basis, self._trust, billing, keys)
            verdicts = {
                intent.effect.key: court.verdict(intent.effect, planned.get(intent.effect.key)) for intent in intents
            }
            through = [intent for intent in intents if verdicts[intent.effect.key] is None]
            by_hand = await court.mended([intent.effect for intent in through])
            claims = {one.key: one for one in await claim_rows(conn, case_id, through, gated=True)}
            for claim in claims.values():
                await court.keep(claim)
            stopped = {key: claim for key, claim in verdicts.items() if claim}
            refused = [(one.effect, stopped[one.effect.key].code) for one in intents if one.effect.key in stopped]
            held = await held_events(conn, through, list(claims.values()))
            told = [*by_hand, *await court.judgement(), *held, *await _refusals(conn, refused)]
            await append_events(conn, self._vault, case_id, told)
        return tuple((claims | stopped)[intent.effect.key] for intent in intents)

    async def settle(self, case_id: str, results: Sequence[Settled]) -> None:
        """Leads of a list that was sent are put on it in the same transaction (RL-11)."""
        async with transaction(self._pool) as conn:
            entries = await settle_rows(conn, case_id, results, gated=True)
            for result in results:
                if isinstance(result.effect, ListDoNotInvoice) and result.state == "sent":
                    await _list(conn, case_id, result.effect.key)
            await append_events(conn, self._vault, case_id, entries)


@dataclass(frozen=True)
class _Grant:
    case_id: str
    gross: Decimal
    billing: LeadBilling
    approved: bool = False


@dataclass
class _Court:
    """What a claim is judged by: read after the client's lock was taken, and true until the transaction ends."""

    conn: Connection
    case_id: str
    basis: Basis
    rows: dict[str, tuple[Effect, str]]
    billed: dict[str, LeadBilling]
    grants: dict[str, _Grant]
    judged: Billing
    fault: str
    crediting: dict[str, str]  # by invoice, the authorisation that is under way, or may have been carried out
    made: dict[tuple[str, str], str]  # by kind and invoice, what was done on the confirmation that counts
    noted: dict[str, str]  # by promised lead, the invoice on which this case credits it
    reserved: dict[str, str] = field(default_factory=dict[str, str])  # by lead, the approval it rests on, if any

    @classmethod
    async def open(
        cls, conn: Connection, case_id: str, basis: Basis, trust: Trust, billing: Billing, keys: Sequence[str]
    ) -> "_Court":
        confirmation = basis.signed.word.confirmation
        signed = confirmation.subject.lines if confirmation else ()
        grants = await _grants(conn, basis.case_id, [line.lead_id for line in signed])
        gone = credited(basis.facts.sent, basis.facts.word)
        left = billing.model_copy(update={"leads": tuple(one for one in billing.leads if one.lead_id not in gone)})
        billed, judged, fault = await _assess(conn, basis.case_id, signed, grants, left, trust)
        noted = await conn.fetch(_CREDITED, [line.lead_id for line in signed], basis.lead_id)
        elsewhere = any(row["case_id"] != case_id for row in noted)
        return cls(
            conn, case_id, basis, await _rows(conn, case_id, keys), billed, grants, judged,
            fault=fault or ("already-granted" if elsewhere else ""),
            crediting={row["invoice_id"]: row["key"] for row in await conn.fetch(_CREDITING, case_id)},
            made=await _made(conn, case_id, confirmation),
            noted={row["lead_id"]: row["invoice_id"] for row in noted},
        )  # fmt: skip

    def verdict(self, effect: Effect, planned: Permit | None) -> Claim | None:
        """Why the effect may not go; None if it may, or if its row is settled and only has to be read."""
        stored = self.rows.get(effect.key)
        if stored is None or stored[0] != effect:
            return Claim(effect.key, "refused", code="another-effect" if stored else "no-such-effect")
        if stored[1] in _SETTLED:
            return None
        found = self.basis.permit(effect)
        changed = "" if planned and planned.leads == found.leads else "lines-changed"
        left = self._left(effect, found.leads)
        if code := found.code or changed or self._misfit(effect, left):
            return Claim(effect.key, "refused", code=code)
        if (why := self._needs_approver(left)) and not found.approved_jti:
            said = unapproved(self.basis.signed)
            return Claim(effect.key, "needs_approval", code=why if said == "not-approved" else said)
        code = self._beside_another(effect) or self._done_before(effect)
        return Claim(effect.key, "refused", code=code) if code else None

    def _beside_another(self, effect: Effect) -> str:
        """An invoice has a note for each confirmation: one is judged once the fate of every other is known."""
        if not isinstance(effect, AuthoriseCreditNote):
            return ""
        first = self.crediting.setdefault(effect.invoice_id, effect.key)
        return "" if first == effect.key else "credit-in-doubt"

    def _done_before(self, effect: Effect) -> str:
        """A confirmation is good for one mail, one answer, and one note an invoice, whatever their keys are."""
        first = self.made.setdefault((effect.kind, getattr(effect, "invoice_id", "")), effect.key)
        return "" if first == effect.key else "done-before"

    def _left(self, effect: Effect, leads: Sequence[SignedLead]) -> tuple[SignedLead, ...]:
        """The leads there is still something to judge of: whether a credit is right was judged when it was given."""
        gone = credited(self.basis.facts.sent, self.basis.facts.word, effect.key)
        return tuple(lead for lead in leads if lead.lead_id not in gone)

    def _needs_approver(self, leads: Sequence[SignedLead]) -> str:
        """Why these leads are not granted without an approver: more than was reserved, or reserved under an approval
        that has to stand until all is done.
        """
        new = any(self._is_new(lead.lead_id) for lead in leads)
        if self.judged.approval and new:
            return self.judged.approval
        reserved = [self.grants[lead.lead_id] for lead in leads if lead.lead_id in self.grants]
        return "approval-void" if any(one.approved for one in reserved) else ""

    def _is_new(self, lead_id: str) -> bool:
        """Whether granting the lead as it is billed now is more than what was reserved for it."""
        grant, billed = self.grants.get(lead_id), self.billed[lead_id]
        if grant is None or billed.gross is None:
            return True
        return grant.billing.currency != billed.currency or billed.gross > grant.gross

    async def mended(self, effects: Sequence[Effect]) -> list[Entry]:
        """What people signed about effects that were not done, or may have been: taken up before they are claimed.

        A mail that was sent by hand is adopted as sent; anything else is only read back. What may have been done is
        done again if a person said so after that. Returns the audit events, to be appended last.
        """
        entries: list[Entry] = []
        for effect in effects:
            said = await self._said_since(effect.key)
            if said is None:
                continue
            if said.kind is ActKind.DONE and isinstance(effect, _MAILS):
                entries += await self._adopt(effect, said)
            elif said.kind is ActKind.RESEND:
                await self.conn.execute(_TRY_AGAIN, effect.key)
        return entries

    async def _said_since(self, key: str) -> Standing | None:
        """The latest signed word about an open effect since its last attempt ended: each word counts for one try."""
        words = [
            act
            for act in self.basis.facts.word.acts
            if act.kind in _MENDING and act.subject.reference == key and act.opened.body.auth in _IN_PERSON
        ]
        latest = await self.conn.fetchval(_SAID_SINCE, key, [act.row.jti for act in words])
        return self.basis.facts.word.by_jti(latest) if latest else None

    async def _adopt(self, effect: Effect, said: Standing) -> list[Entry]:
        found = self.basis.permit(effect)
        attempt = await self.conn.fetchval("SELECT attempts FROM effects WHERE key = $1", effect.key)
        await self._rests_on(effect.key, attempt, (*found.jtis, said.row.jti))
        for lead in self._left(effect, found.leads):
            await self._reserve(effect, lead.lead_id, found.approved_jti)
        return await settle_rows(self.conn, self.case_id, [Settled(effect, "sent", reference="by-hand")], gated=True)

    async def keep(self, claim: Claim) -> None:
        """Reserves what the effect grants, and notes what it rests on, if it goes."""
        if claim.verdict not in {"go", "look"}:
            return
        effect = self.rows[claim.key][0]
        found = self.basis.permit(effect)
        for lead in self._left(effect, found.leads):
            await self._reserve(effect, lead.lead_id, found.approved_jti)
        if claim.verdict == "go":
            await self._rests_on(claim.key, claim.attempt, found.jtis)

    async def _rests_on(self, key: str, attempt: int, jtis: Sequence[str]) -> None:
        rows = [(key, attempt, jti) for jti in jtis]
        await self.conn.executemany("INSERT INTO effect_acts VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", rows)

    def _misfit(self, effect: Effect, leads: Sequence[SignedLead]) -> str:
        if not leads:
            return ""
        if self.fault:
            return self.fault
        lines = {line.lead_id: line for line in self._lines()}
        for lead in leads:
            grant = self.grants.get(lead.lead_id)
            if grant and grant.case_id != self.basis.case_id:
                return "already-granted"
            if self.basis.ground and grant is None:
                return "not-promised"
            if self._is_noted_elsewhere(effect, lead.lead_id):
                return "already-granted"
            billed = self.billed.get(lead.lead_id)
            if code := self.basis.misfit(effect, lead, lines.get(lead.lead_id), billed):
                return code
        return ""

    def _is_noted_elsewhere(self, effect: Effect, lead_id: str) -> bool:
        """Whether a promised lead is credited on another invoice by this very case."""
        match effect:
            case DraftCreditNote(invoice_id=invoice) | AuthoriseCreditNote(invoice_id=invoice):
                return self.noted.get(lead_id, invoice) != invoice
            case _:
                return False

    def _lines(self) -> tuple[SubjectLine, ...]:
        confirmation = self.basis.signed.word.confirmation
        return confirmation.subject.lines if confirmation else ()

    async def _credit_promise(self, effect: Effect, lead_id: str) -> None:
        """The grant is there since the promise; what is kept now is that a note is made for it, once for ever."""
        if isinstance(effect, DraftCreditNote):
            billed = self.billed[lead_id]
            where = (self.basis.case_id, self.case_id, effect.key, billed.invoice_id, billed.invoice_number)
            await self.conn.execute(_CREDIT, lead_id, *where, billed.gross, billed.currency)

    async def _reserve(self, effect: Effect, lead_id: str, approved_jti: str) -> None:
        if self.basis.ground:
            await self._credit_promise(effect, lead_id)
            return
        billed, contact_id = self.billed[lead_id], self.basis.facts.contact_id
        treatment = "credit-note" if billed.state in _INVOICED else "no-charge"
        where = (billed.invoice_id, billed.invoice_number) if billed.state in _INVOICED else ("", "")
        if not self._is_new(lead_id):
            if isinstance(effect, DraftCreditNote):
                await self.conn.execute(_TREAT, lead_id, self.case_id, treatment, *where)
            return
        worth = next(one for one in self.judged.leads if one.lead_id == lead_id)
        # Without a price or a rate it is granted under an approval only, and counts in no sum.
        amount = (billed.gross or Decimal(0), billed.currency, worth.gbp or Decimal(0), billed.net, worth.gbp_net)
        row = (lead_id, self.case_id, contact_id, treatment, *amount, *where, effect.key, approved_jti)
        if not await self.conn.fetchval(_RESERVE, *row):
            raise Refused("already-granted", GATE_REFUSALS["already-granted"])
        self.reserved[lead_id] = approved_jti
        self.grants[lead_id] = _Grant(self.case_id, billed.gross or Decimal(0), billed, bool(approved_jti))

    async def judgement(self) -> list[Entry]:
        """How what was reserved just now was judged, for the case to keep."""
        if not self.reserved:
            return []
        return [judgement(self.judged, self.reserved, await self.conn.fetchval("SELECT holdfast_now()"))]


_RESERVE = """INSERT INTO grants (lead_id, case_id, client_id, contact_id, treatment, gross, currency, gbp, net,
                                  gbp_net, invoice_id, invoice_number, effect_key, approved_jti)
    SELECT $1, $2, c.client_id, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13 FROM cases c WHERE c.case_id = $2
    ON CONFLICT (lead_id) DO UPDATE SET treatment = EXCLUDED.treatment, gross = EXCLUDED.gross,
        currency = EXCLUDED.currency, gbp = EXCLUDED.gbp, net = EXCLUDED.net, gbp_net = EXCLUDED.gbp_net,
        invoice_id = EXCLUDED.invoice_id,
        invoice_number = EXCLUDED.invoice_number, approved_jti = EXCLUDED.approved_jti, granted_at = holdfast_now()
    WHERE grants.case_id = EXCLUDED.case_id RETURNING true"""
_TREAT = """UPDATE grants SET treatment = $3, invoice_id = $4, invoice_number = $5
    WHERE lead_id = $1 AND case_id = $2 AND (treatment, invoice_id) IS DISTINCT FROM ($3, $4)"""
_CREDIT = """INSERT INTO promise_credits (lead_id, promised_in, case_id, effect_key, invoice_id, invoice_number, gross,
                                      currency)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (lead_id) DO UPDATE SET gross = EXCLUDED.gross"""
_CREDITING = """SELECT body ->> 'invoice_id' AS invoice_id, key FROM effects
    WHERE case_id = $1 AND kind = 'authorise-credit-note' AND gated AND state IN ('sending', 'unknown')"""
_CREDITED = """SELECT lead_id, case_id, invoice_id FROM promise_credits
    WHERE lead_id = ANY($1) AND ($2 = '' OR lead_id = $2)"""
_MADE = """SELECT e.kind, coalesce(e.body ->> 'invoice_id', '') AS invoice_id, e.key
    FROM effects e JOIN effect_acts ea ON ea.key = e.key AND ea.attempt = e.attempts
    WHERE e.case_id = $1 AND e.gated AND e.state IN ('sending', 'unknown', 'sent') AND ea.jti = $2"""
_GRANTS = """SELECT lead_id, case_id, treatment, gross, net, currency, invoice_id, invoice_number, approved_jti
    FROM grants WHERE lead_id = ANY($2) OR case_id = $1"""
_ROLES = """SELECT a.jti, array_agg(m.role) AS roles FROM acts a
    JOIN money_people m ON m.issuer = a.issuer AND m.sub = a.sub
     AND m.since <= a.accepted_at AND (m.until IS NULL OR m.until > a.accepted_at)
    WHERE a.case_id = $1 GROUP BY a.jti"""
_CASE = """SELECT c.workflow_id, c.client_id, coalesce(k.contact_id, '') AS contact_id
    FROM cases c LEFT JOIN clients k USING (client_id) WHERE c.case_id = $1"""
_SAID_SINCE = """SELECT a.jti FROM effects e JOIN acts a ON a.jti = ANY($2)
    WHERE e.key = $1 AND e.state IN ('prepared', 'unknown')
      AND a.accepted_at > coalesce(e.settled_at, e.sending_at, e.prepared_at) ORDER BY a.seq DESC LIMIT 1"""
_TRY_AGAIN = "UPDATE effects SET state = 'prepared', settled_at = NULL WHERE key = $1 AND state = 'unknown'"
_RESTS_ON = """SELECT a.subject FROM effects e JOIN effect_acts ea ON ea.key = e.key AND ea.attempt = e.attempts
    JOIN acts a ON a.jti = ea.jti WHERE e.key = $1 AND a.kind = $2"""


async def _basis(conn: Connection, vault: Vault, case_id: str, trust: Trust) -> Basis:
    """The case's own acts, or those of the case that promised the lead it is about."""
    facts = await _facts(conn, vault, case_id, trust)
    ground = await ground_of(conn, case_id)
    if not ground:
        return Basis(case_id, facts)
    lead_id = facts.case_leads[0] if len(facts.case_leads) == 1 else ""
    return Basis(ground, facts, await _facts(conn, vault, ground, trust), lead_id)


async def _facts(conn: Connection, vault: Vault, case_id: str, trust: Trust) -> Facts:
    case = await conn.fetchrow(_CASE, case_id)
    if case is None:
        return Facts(case_leads=(), contact_id="", word=Word())
    stored = await stored_acts(conn, case_id, case["workflow_id"])
    said = word(stored, trust)
    leads = await conn.fetch(
        "SELECT lead_id FROM case_leads WHERE case_id = $1 AND problem = '' ORDER BY ordinal", case_id
    )
    facts = Facts(
        case_leads=tuple(row["lead_id"] for row in leads),
        contact_id=case["contact_id"],
        word=said,
        sent=await sent_effects(conn, case_id),
        roles={row["jti"]: frozenset(row["roles"]) for row in await conn.fetch(_ROLES, case_id)},
        misleading=any(_newest(stored, kinds) not in {None, *_jtis(said)} for kinds in _SPOKEN),
        requesters=await requesters(conn, vault, case_id),
    )
    return await _with_approvers(conn, facts, await hierarchy(conn, trust), trust)


async def _with_approvers(conn: Connection, facts: Facts, chain: Hierarchy, trust: Trust) -> Facts:
    """Who stood in for an approver when they signed, and whether the latest approval is of one who could give it."""
    word = facts.word
    signed = [act for act in (word.confirmation, word.authorisation, word.decision) if act]
    query = "SELECT jti, accepted_at FROM acts WHERE jti = ANY($1)"
    at = {row["jti"]: row["accepted_at"] for row in await conn.fetch(query, [act.row.jti for act in signed])}
    roles = dict(facts.roles)
    for act in signed:
        if authority(chain, act.who, at[act.row.jti], facts.past):
            roles[act.row.jti] = facts.roles_of(act) | {Role.APPROVER.value}
    said = word.decision
    if said is None or said.kind is not ActKind.APPROVE:
        return replace(facts, roles=roles)
    code = _disapproved(said, authority(chain, said.who, at[said.row.jti], facts.past), facts)
    code = code or await _overruled(conn, said, trust)
    late = not code and await overtaken(conn, said.subject, said.opened.body.iat, at[said.row.jti])
    return replace(facts, roles=roles, disapproved=code or ("approval-void" if late else ""))


async def _overruled(conn: Connection, approval: Standing, trust: Trust) -> str:
    """What the approver said since in another cycle of the case: which of them counts is the SOP worker's row."""
    elsewhere = await decisions_elsewhere(conn, approval.row.case_id, approval.row.workflow_id, trust)
    said = elsewhere.decision
    later = said is not None and said.kind is not ActKind.APPROVE and said.signed > approval.signed
    return disapproval(said.kind) if said and later else ""


def _disapproved(said: Standing, may: Authority | None, facts: Facts) -> str:
    if may is None:
        return "not-approved-by-an-approver"
    asking = said.subject.asking
    return excluded(said.kind, said.who, frozenset(), facts.past) or beyond(
        said.kind, may, asking.sum_gbp if asking else None
    )


def _newest(stored: Sequence[StoredAct], kinds: frozenset[ActKind]) -> str | None:
    return next((row.jti for row in reversed(stored) if row.kind in kinds), None)


def _jtis(said: Word) -> set[str]:
    return {act.row.jti for act in said.acts}


async def _rows(conn: Connection, case_id: str, keys: Sequence[str]) -> dict[str, tuple[Effect, str]]:
    """The gated effects under these keys, each with its state. A row whose body names another key is none."""
    wanted = dict.fromkeys(keys)
    return {
        key: (effect, state)
        for key in wanted
        for effect, state in await read_rows(conn, case_id, [key])
        if is_gated(effect) and effect.key == key
    }


def _planned(
    key: str, row: tuple[Effect, str] | None, basis: Basis, pending: Sequence[Effect], *, ours: bool
) -> Permit:
    if row is None:
        return Permit(key=key, effect=AnswerClient(key=key, clause=""), code="no-such-effect")
    effect, state = row
    found = basis.permit(effect, [one for one in pending if one.key != key])
    if not ours:
        return found.model_copy(update={"code": "wrong-workflow"})
    readable = state in _SETTLED and (found.leads or isinstance(effect, AnswerClient))
    return found.model_copy(update={"code": ""}) if readable else found


async def _made(conn: Connection, case_id: str, confirmation: Standing | None) -> dict[tuple[str, str], str]:
    rows = await conn.fetch(_MADE, case_id, confirmation.row.jti) if confirmation else ()
    return {(row["kind"], row["invoice_id"]): row["key"] for row in rows}


async def _grants(conn: Connection, case_id: str, lead_ids: Sequence[str]) -> dict[str, _Grant]:
    """What these leads, and any others of this case, were granted: here or elsewhere."""
    return {
        row["lead_id"]: _Grant(
            row["case_id"],
            row["gross"],
            LeadBilling(
                lead_id=row["lead_id"],
                state=BillingState.ISSUED if row["treatment"] == "credit-note" else BillingState.UNBILLED,
                invoice_id=row["invoice_id"],
                invoice_number=row["invoice_number"],
                gross=row["gross"],
                net=row["net"],
                currency=row["currency"],
            ),
            bool(row["approved_jti"]),
        )
        for row in await conn.fetch(_GRANTS, case_id, list(lead_ids))
    }


async def _assess(
    conn: Connection,
    case_id: str,
    signed: Sequence[SubjectLine],
    grants: dict[str, _Grant],
    billing: Billing,
    trust: Trust,
) -> tuple[dict[str, LeadBilling], Billing, str]:
    """How the leads are billed now, what the whole request comes to, and why that can't be said ("" if it can).

    The request is all its signed leads and whatever it was granted before, not only those of this moment: an amount
    can't be slipped through in parts.
    """
    own = {lead_id: grant.billing for lead_id, grant in grants.items() if grant.case_id == case_id}
    try:
        prices = await lead_rows(conn, case_id, [line.lead_id for line in signed], trust)
        context = await money_context(conn, case_id, trust)
    except Permanent as error:
        return {}, Billing(leads=()), error.code
    billed = _as_recorded({lead.lead_id: lead for lead in billing.leads}, prices)
    now = {line.lead_id: billed.get(line.lead_id) or own.get(line.lead_id) or _as_signed(line) for line in signed}
    return billed, judge(list((own | now).values()), prices, context), ""


def _as_recorded(billed: dict[str, LeadBilling], prices: Sequence[LeadRow]) -> dict[str, LeadBilling]:
    """An unbilled lead's amount is the price recorded when it arrived or ordered since, whatever anybody says."""
    for row in prices:
        lead = billed.get(row.lead_id)
        if lead and lead.state in _UNBILLED:
            price = {"gross": row.price.amount, "currency": row.price.currency} if row.price else {"gross": None}
            billed[row.lead_id] = lead.model_copy(update=price | {"net": None, "gbp": None, "gbp_net": None})
    return billed


def _as_signed(line: SubjectLine) -> LeadBilling:
    """A lead that is not of this moment counts with the amount that was signed for it."""
    return LeadBilling(
        lead_id=line.lead_id,
        state=BillingState.ISSUED if line.invoice_id else BillingState.UNBILLED,
        invoice_id=line.invoice_id,
        invoice_number=line.invoice_number,
        gross=line.gross,
        net=line.net if line.invoice_id else None,
        currency=line.currency,
    )


async def _refusals(conn: Connection, refused: Sequence[tuple[Effect, str]]) -> list[Entry]:
    """The audit events of what the gate stopped: each reason once an effect."""
    if not refused:
        return []
    now = await conn.fetchval("SELECT holdfast_now()")
    return [
        Entry(
            EventKind.EFFECT_REFUSED,
            effect.clause,
            now,
            text=GATE_REFUSALS.get(code, f"An approver is needed: {code.replace('-', ' ')}."),
            data={"effect": effect.key, "kind": effect.kind, "code": code},
            dedupe=f"effect:{effect.key}:gate:{code}",
        )
        for effect, code in refused
    ]


async def _list(conn: Connection, case_id: str, key: str) -> None:
    client_id = await conn.fetchval("SELECT client_id FROM cases WHERE case_id = $1", case_id)
    for row in await conn.fetch(_RESTS_ON, key, ActKind.CONFIRM.value):
        lines = Subject.model_validate_json(row["subject"]).on_invoice("")
        rows = [(line.lead_id, case_id, client_id) for line in lines]
        query = "INSERT INTO do_not_invoice (lead_id, case_id, client_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
        await conn.executemany(query, rows)
