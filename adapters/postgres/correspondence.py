"""What letters are made of, read from the tables in one snapshot."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from adapters.postgres.context import limit_of
from adapters.postgres.crypto import ClientKey, SealedError, Vault
from adapters.postgres.ledger import EFFECT, sent_effects
from adapters.postgres.names import names_of
from adapters.postgres.pool import Connection, Pool, transaction
from adapters.postgres.subjects import case_word, ground_of
from domain.case import OpenStep
from domain.effects import INVOICE_PAID, AuthoriseCreditNote, Effect
from domain.errors import Refused
from domain.messages import ActKind
from domain.return_lead import Authorisation, Decision, FinalDecision, Findings, LeadBilling, Reduction, Verdict
from domain.rules.answer import CaseLead, Done
from domain.rules.permits import Done as Sent
from domain.rules.permits import credited_by
from domain.rules.stored_acts import Standing, Trust, Word
from domain.steps import StepResult
from domain.thread import CaseThread


@dataclass(frozen=True)
class Mailbox:
    address: str
    name: str


@dataclass(frozen=True)
class SentEffect:
    """An effect as the ledger holds it."""

    key: str
    kind: str
    clause: str
    state: str
    reference: str
    code: str
    body: Mapping[str, Any]
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Said:
    """What somebody of ours decided or answered, in their own words: internal, the client never reads it."""

    jti: str
    kind: ActKind
    step_name: str
    by: str
    text: str


@dataclass(frozen=True)
class CaseFacts:
    """A case as its letters tell of it. `texts` are the human words by their SHA-256."""

    case_id: str
    kind: str
    client_id: str
    client_name: str
    client_addresses: tuple[str, ...]
    status: str
    thread: CaseThread | None
    request: Mapping[str, Any]
    linked_to: str
    opened_at: datetime
    leads: tuple[CaseLead, ...]
    findings: Findings
    reductions: tuple[Reduction, ...]
    decisions: tuple[FinalDecision, ...]  # of disputes
    texts: Mapping[str, str]
    effects: tuple[SentEffect, ...]
    credited: Mapping[str, str]  # by lead: the number of its authorised credit note
    confirmed_by: str
    confirmed_at: datetime | None
    limit: str  # in words, such as GBP 500.00 with VAT
    confirmations: int  # how often it was confirmed so far
    turn: int  # which confirmation counts
    notes: Mapping[str, str]  # what was written with a step that was simply done, by the step's id
    said: tuple[Said, ...] = ()  # decisions and the answers to them, in the order they were given

    def last(self, kind: ActKind) -> Said | None:
        """The latest of a kind, if anybody said it."""
        return next((one for one in reversed(self.said) if one.kind is kind), None)

    @property
    def asked(self) -> dict[str, str]:
        """The human texts of the request itself: `title` for `title_sha256`, "" where it has none."""
        named = {name: str(sha) for name, sha in self.request.items() if name.endswith("_sha256")}
        return {name.removesuffix("_sha256"): self.texts.get(sha, "") for name, sha in named.items()}

    @property
    def task_url(self) -> str:
        """Where the task of a department request is, "" where there is none (yet)."""
        made = [str(one.data.get("url", "")) for one in self.effects if one.kind == "assign-task"]
        return next(filter(None, reversed(made)), "")

    @property
    def done(self) -> Done:
        """What was done outside so far, as the answer's rules want it."""
        drafts = [one for one in self.effects if one.kind == "draft-credit-note" and one.state == "sent"]
        return Done(
            credited=self.credited,
            paid=frozenset(one.reference for one in self.effects if one.data.get(INVOICE_PAID) is True),
            drafts={one.body["invoice_id"]: one.reference for one in drafts if one.body.get("turn", 1) == self.turn},
            turn=self.turn,
            not_listed=any(one.kind == "list-do-not-invoice" and one.state == "abandoned" for one in self.effects),
        )


@dataclass(frozen=True)
class KeptLetter:
    """A letter that went out, as the ledger keeps it: what it was made of, and the SHA-256 of what was sent."""

    effect: Effect
    sent_at: datetime
    body_sha256: str


async def letters_sent(pool: Pool, case_id: str) -> tuple[KeptLetter, ...]:
    """To the client and to our teams, in the order they went out."""
    query = """SELECT body, settled_at, body_sha256 FROM effects
        WHERE case_id = $1 AND kind = ANY($2) AND state = 'sent' ORDER BY settled_at, key"""
    async with transaction(pool, reading=True) as conn:
        rows = await conn.fetch(query, case_id, ["send-letter", "answer-client", "confirm-to-accounts"])
    return tuple(KeptLetter(EFFECT.validate_python(row["body"]), row["settled_at"], row["body_sha256"]) for row in rows)


async def read_case(pool: Pool, vault: Vault, trust: Trust, case_id: str) -> CaseFacts:
    """Everything about a case; of what people signed only what proves itself. Raises Refused `no-such-case`."""
    async with transaction(pool, reading=True) as conn:
        return await _case(conn, vault, trust, case_id)


async def read_step(pool: Pool, case_id: str, step_id: str) -> OpenStep:
    """A person's step as the case last showed it. Raises Refused `no-such-step`."""
    async with transaction(pool, reading=True) as conn:
        query = "SELECT view FROM case_steps WHERE case_id = $1 AND step_id = $2"
        view = await conn.fetchval(query, case_id, step_id)
    if view is None:
        raise Refused("no-such-step", f"the case has no step {step_id}")
    return OpenStep.model_validate(view)


async def _case(conn: Connection, vault: Vault, trust: Trust, case_id: str) -> CaseFacts:
    row = await conn.fetchrow(
        "SELECT c.*, coalesce(k.name, '') AS client_name FROM cases c LEFT JOIN clients k USING (client_id)"
        " WHERE case_id = $1",
        case_id,
    )
    if row is None:
        raise Refused("no-such-case", f"there is no case {case_id}")
    key = await vault.known_key(conn, row["client_id"])
    ground = await ground_of(conn, case_id)
    own = await case_word(conn, case_id, trust)
    said = await case_word(conn, ground, trust) if ground else own
    times = 0 if ground else sum(act.kind is ActKind.CONFIRM for act in said.acts)
    found = _findings(said)
    reduced = tuple(one for act in said.acts if isinstance(one := act.opened.result, Reduction))
    final = tuple(last for act in said.acts if isinstance(last := act.opened.result, FinalDecision))
    confirmed, notes = said.confirmation, _notes(said)
    leads, effects = await _leads(conn, case_id), await _effects(conn, case_id)
    wanted = _wanted(found, reduced, final) | set(notes.values()) | _of_request(row["request"])
    texts = await _texts(conn, key, row["client_id"], wanted)
    limit, vat = await limit_of(conn, ground or case_id, trust)
    return CaseFacts(
        case_id=case_id,
        kind=row["kind"],
        client_id=row["client_id"],
        client_name=row["client_name"] or row["client_id"] or "a client we don't know yet",
        client_addresses=await _client_addresses(conn, row["client_id"]),
        status=row["status"],
        thread=_thread(row["thread_ct"], key, await vault.known_key(conn, "")),
        request=row["request"],
        linked_to=row["linked_to"],
        opened_at=row["opened_at"],
        leads=leads,
        findings=found,
        reductions=reduced,
        decisions=final,
        texts=texts,
        confirmations=times,
        turn=max(1, times),
        notes={step_id: texts[sha] for step_id, sha in notes.items() if sha in texts},
        said=await _said(conn, key, row["client_id"], case_id, own),
        effects=effects,
        credited=_credited(await sent_effects(conn, case_id), said, leads if ground else (), effects),
        confirmed_by=await _name(conn, confirmed.row.person_id) if confirmed else "",
        confirmed_at=datetime.fromtimestamp(confirmed.row.accepted_at, UTC) if confirmed else None,
        limit=f"GBP {limit:,.2f} {vat} VAT",
    )


def _thread(sealed: bytes | None, *keys: ClientKey | None) -> CaseThread | None:
    """A thread that arrived before its client was known is sealed with the deployment's key."""
    for key in keys:
        with suppress(SealedError):
            if key and sealed:
                return CaseThread.model_validate_json(key.open(sealed))
    return None


def _findings(said: Word) -> Findings:
    found = said.findings.opened.result if said.findings else None
    return found if isinstance(found, Findings) else Findings(findings=())


def _notes(said: Word) -> dict[str, str]:
    """SHA-256 of what was written with each step."""
    results = ((act.row.step_id, act.opened.result) for act in said.acts)
    return {step_id: one.note_sha256 for step_id, one in results if isinstance(one, StepResult) and one.note_sha256}


def _of_request(request: Mapping[str, Any]) -> set[str]:
    return {str(sha) for name, sha in request.items() if name.endswith("_sha256") and sha}


_DECIDES = frozenset(
    {ActKind.APPROVE, ActKind.REJECT, ActKind.ASK_BACK, ActKind.WITHDRAW, ActKind.AUTHORISE, ActKind.DECLINE}
)
_ANSWERS = frozenset({"answer-back", "declined"})  # steps


async def _said(conn: Connection, key: ClientKey | None, client_id: str, case_id: str, said: Word) -> tuple[Said, ...]:
    """What the approver and Accounts decided, and what the team answered them (RL-12, RL-14)."""
    steps = [act.row.step_id for act in said.acts]
    rows = await conn.fetch(
        "SELECT step_id, name FROM case_steps WHERE case_id = $1 AND step_id = ANY($2)", case_id, steps
    )
    step_names = {row["step_id"]: row["name"] for row in rows}
    told = [act for act in said.acts if act.kind in _DECIDES or _answers(act, step_names)]
    texts = await _texts(conn, key, client_id, {_words(act) for act in told})
    names = await names_of(conn)
    return tuple(
        Said(
            jti=act.row.jti,
            kind=act.kind,
            step_name=step_names.get(act.row.step_id, ""),
            by=names.get(act.row.person_id) or act.row.sub,
            text=texts.get(_words(act), ""),
        )
        for act in told
    )


def _answers(act: Standing, step_names: Mapping[str, str]) -> bool:
    return act.kind is ActKind.DONE and step_names.get(act.row.step_id) in _ANSWERS


def _words(act: Standing) -> str:
    """SHA-256 of what was written with an act, "" if nothing was."""
    match act.opened.result:
        case Decision(reason_sha256=sha) | Authorisation(reason_sha256=sha) | StepResult(note_sha256=sha):
            return sha
        case _:
            return ""


async def _name(conn: Connection, person_id: str) -> str:
    return await conn.fetchval("SELECT name FROM people WHERE person_id = $1", person_id) or person_id


def _credited(
    sent: Sequence[Sent], said: Word, promised: Sequence[CaseLead], effects: Sequence[SentEffect]
) -> dict[str, str]:
    """By lead, the number of its authorised note. `promised`: the lead of a case that rests on another's acts."""
    numbers = {one.key: one.reference for one in effects}
    if not promised:
        return {lead_id: numbers[note.key] for lead_id, note in credited_by(sent, said).items()}
    notes = [one.effect for one in sent if isinstance(one.effect, AuthoriseCreditNote)]
    billed = [lead.billing for lead in promised if lead.billing]
    return {lead.lead_id: numbers[note.key] for note in notes for lead in billed if lead.invoice_id == note.invoice_id}


async def _leads(conn: Connection, case_id: str) -> tuple[CaseLead, ...]:
    rows = await conn.fetch(
        "SELECT lead_id, problem, billing FROM case_leads WHERE case_id = $1 ORDER BY ordinal", case_id
    )
    return tuple(
        CaseLead(
            lead_id=row["lead_id"],
            problem=row["problem"],
            billing=LeadBilling.model_validate(row["billing"]) if row["billing"] else None,
        )
        for row in rows
    )


def _wanted(findings: Findings, reductions: Sequence[Reduction], decisions: Sequence[FinalDecision]) -> set[str]:
    refused = {one.text_sha256 for one in findings.findings if one.verdict is Verdict.NOT_VALID}
    final = {one.text_sha256 for decision in decisions for one in (*decision.overturned, *decision.upheld)}
    return refused | final | {one.text_sha256 for reduction in reductions for one in reduction.leads}


async def _texts(conn: Connection, key: ClientKey | None, client_id: str, wanted: set[str]) -> dict[str, str]:
    if key is None:
        return {}
    query = "SELECT sha256, content_ct FROM texts WHERE client_id = $1 AND sha256 = ANY($2)"
    return {
        row["sha256"]: key.open(row["content_ct"]).decode() for row in await conn.fetch(query, client_id, list(wanted))
    }


async def _effects(conn: Connection, case_id: str) -> tuple[SentEffect, ...]:
    columns = "key, kind, clause, state, reference, code, body, data"
    rows = await conn.fetch(f"SELECT {columns} FROM effects WHERE case_id = $1 ORDER BY prepared_at, key", case_id)  # noqa: S608
    return tuple(SentEffect(**dict(row)) for row in rows)


async def _client_addresses(conn: Connection, client_id: str) -> tuple[str, ...]:
    rows = await conn.fetch("SELECT address FROM client_addresses WHERE client_id = $1 ORDER BY address", client_id)
    return tuple(row["address"] for row in rows)
