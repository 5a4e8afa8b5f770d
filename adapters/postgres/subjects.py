"""What an act decides about, out of the tables alone: the one function that the gateway and `record_acts` share.

That a lead was found valid is read from the stored findings, each verified anew; never from the workflow's word.
"""

from collections.abc import Callable, Sequence

from asyncpg import Record

from adapters.postgres.context import earlier_grants, money_context
from adapters.postgres.leads import lead_rows
from adapters.postgres.ledger import sent_effects
from adapters.postgres.pool import Connection
from domain.books_check import INVOICED
from domain.effects import DraftCreditNote
from domain.errors import Permanent, Refused
from domain.messages import SignedAct
from domain.return_lead import BillingState, LeadBilling
from domain.rules.acts import Past
from domain.rules.authority import RULES_VERSION, judge
from domain.rules.permits import Done, credited, credited_by
from domain.rules.promised import joined
from domain.rules.stored_acts import DECISIONS, StoredAct, Trust, Word, word
from domain.subject import Asking, SetName, Subject, SubjectLine, is_issued, line_of, notes_of


async def stored_acts(conn: Connection, case_id: str, workflow_id: str) -> tuple[StoredAct, ...]:
    """The rows of a case's present cycle, in the order they were accepted. They prove nothing by being there."""
    return tuple(_stored(row) for row in await conn.fetch(_ACTS, case_id, workflow_id))


async def decisions_elsewhere(conn: Connection, case_id: str, workflow_id: str, trust: Trust) -> Word:
    """What an approver said about a case in its other cycles."""
    kinds = [kind.value for kind in DECISIONS]
    return word([_stored(row) for row in await conn.fetch(_ELSEWHERE, case_id, workflow_id, kinds)], trust)


async def case_word(conn: Connection, case_id: str, trust: Trust) -> Word:
    """What counts of what people signed about a case, in its present cycle."""
    workflow_id = await conn.fetchval("SELECT workflow_id FROM cases WHERE case_id = $1", case_id)
    return word(await stored_acts(conn, case_id, workflow_id), trust) if workflow_id else Word()


async def ground_of(conn: Connection, case_id: str) -> str:
    """The case whose acts a case rests on: that which promised a lead that is invoiced all the same; "" for others."""
    query = "SELECT linked_to FROM cases WHERE case_id = $1 AND kind = $2"
    return await conn.fetchval(query, case_id, INVOICED) or ""


async def past_of(conn: Connection, case_id: str, said: Word, trust: Trust) -> Past:
    """Who had a hand in a case, or in the one it rests on."""
    ground = await ground_of(conn, case_id)
    return joined(said.past, (await case_word(conn, ground, trust)).past) if ground else said.past


async def subject(conn: Connection, case_id: str, name: str, step_id: str, trust: Trust) -> Subject:
    """The set `name` of a case, as it stands in this transaction: `all`, `valid`, `open` (the valid ones that are not
    credited yet), `issued` (of these, as long as there are any), `refused`, `approval` (the open ones with why an
    approver is asked, and what else was granted this month) or `step`.

    Raises Refused `unknown-case`, `unknown-step` or `unknown-set`.
    """
    return await subject_after(conn, case_id, name, step_id, await case_word(conn, case_id, trust), trust)


async def subject_after(conn: Connection, case_id: str, name: str, step_id: str, said: Word, trust: Trust) -> Subject:
    """As `subject`, with the case's acts already verified."""
    case = await conn.fetchrow(_CASE, case_id)
    if case is None:
        raise Refused("unknown-case", f"there is no case {case_id}")
    match name:
        case "step":
            return await _of_step(conn, case_id, step_id)
        case "all":
            return _of(case, "all", await _claimed_lines(conn, case_id))
        case "valid":
            return _of(case, "valid", await _valid_lines(conn, case_id, await _grounds(conn, case_id, said, trust)))
        case "open":
            return _without(
                _of(case, "open", await _valid_lines(conn, case_id, said)), await _gone(conn, case_id, said)
            )
        case "refused":
            lines = await _claimed_lines(conn, case_id)
            return _of(case, "refused", tuple(line for line in lines if line.lead_id not in said.valid))
        case "approval":
            about = await _of_approval(conn, _of(case, "approval", await _valid_lines(conn, case_id, said)), trust)
            return _without(about, await _gone(conn, case_id, said))
        case "issued":
            lines = await _valid_lines(conn, case_id, await _grounds(conn, case_id, said, trust), is_issued)
            sent, about = await sent_effects(conn, case_id), _of(case, "issued", lines)
            left = _without(about, credited(sent, said)).lines or lines
            notes = notes_of(case_id, left, _turns(left, sent, said))
            return about.model_copy(update={"lines": left, "notes": notes})
        case _:
            raise Refused("unknown-set", f"a case has no set called {name}")


_CASE = """SELECT c.case_id, c.client_id, coalesce(k.contact_id, '') AS contact_id
    FROM cases c LEFT JOIN clients k USING (client_id) WHERE c.case_id = $1"""
_WITH_WHO = """SELECT a.*, coalesce(p.person_id, a.issuer || '|' || a.sub) AS who,
        floor(extract(epoch FROM a.accepted_at))::bigint AS at
    FROM acts a LEFT JOIN signers p ON p.issuer = a.issuer AND p.sub = a.sub"""
_ACTS = f"{_WITH_WHO} WHERE a.case_id = $1 AND a.workflow_id = $2 ORDER BY a.seq"
_ELSEWHERE = f"{_WITH_WHO} WHERE a.case_id = $1 AND a.workflow_id <> $2 AND a.kind = ANY($3)"
_CLAIMED = """SELECT cl.lead_id, cl.billing,
        coalesce(p.price, l.price) AS price, coalesce(p.currency, l.currency) AS currency
    FROM case_leads cl LEFT JOIN leads l USING (lead_id) LEFT JOIN LATERAL (
        SELECT price, currency FROM lead_prices WHERE lead_id = cl.lead_id AND act_jti <> ''
        ORDER BY version DESC LIMIT 1) p ON true
    WHERE cl.case_id = $1 AND cl.problem = '' ORDER BY cl.ordinal"""


async def _gone(conn: Connection, case_id: str, said: Word) -> frozenset[str]:
    return credited(await sent_effects(conn, case_id), said)


def _turns(lines: Sequence[SubjectLine], sent: Sequence[Done], said: Word) -> dict[str, int]:
    """The confirmation that each lead's note rests on: the authorised one, or else the latest draft of its invoice."""
    drafts = [one.effect for one in sent if isinstance(one.effect, DraftCreditNote)]
    latest = {one.invoice_id: one.turn for one in sorted(drafts, key=lambda one: one.turn)}
    drafted = {line.lead_id: latest[line.invoice_id] for line in lines if line.invoice_id in latest}
    return drafted | {lead: note.turn for lead, note in credited_by(sent, said).items()}


def _without(about: Subject, gone: frozenset[str]) -> Subject:
    return about.model_copy(update={"lines": tuple(line for line in about.lines if line.lead_id not in gone)})


async def _grounds(conn: Connection, case_id: str, said: Word, trust: Trust) -> Word:
    """Where it was said which leads are valid."""
    ground = await ground_of(conn, case_id)
    return await case_word(conn, ground, trust) if ground else said


async def _of_step(conn: Connection, case_id: str, step_id: str) -> Subject:
    query = "SELECT coalesce(view ->> 'reference', '') FROM case_steps WHERE case_id = $1 AND step_id = $2"
    reference = await conn.fetchval(query, case_id, step_id)
    if reference is None:
        raise Refused("unknown-step", f"case {case_id} has no step {step_id}")
    return Subject(case_id=case_id, of="step", step_id=step_id, reference=reference)


async def _of_approval(conn: Connection, about: Subject, trust: Trust) -> Subject:
    try:
        context = await money_context(conn, about.case_id, trust)
        rows = await lead_rows(conn, about.case_id, about.lead_ids, trust)
    except Permanent as error:
        raise Refused(error.code, str(error)) from None
    billed = {row["lead_id"]: _billing(row) for row in await conn.fetch(_CLAIMED, about.case_id)}
    judged = judge([_as_billed(line, billed[line.lead_id]) for line in about.lines], rows, context)
    rated = all(lead.gbp is not None for lead in judged.leads)
    asking = Asking(
        why=judged.approval,
        total_gbp=judged.total_gbp if rated else None,
        granted_gbp=judged.granted_gbp,
        limit_gbp=judged.limit_gbp,
        vat=judged.vat,
        rules=RULES_VERSION,
        granted=await earlier_grants(conn, about.case_id, [one.invoice_id for one in about.lines if one.invoice_id]),
    )
    return about.model_copy(update={"asking": asking})


def _as_billed(line: SubjectLine, billed: LeadBilling | None) -> LeadBilling:
    """As last read from the books; what it is in GBP is found out anew."""
    found = billed or LeadBilling(lead_id=line.lead_id, state=BillingState.UNBILLED)
    return found.model_copy(update={"gbp": None, "gbp_net": None})


def _of(case: Record, name: SetName, lines: tuple[SubjectLine, ...]) -> Subject:
    return Subject(
        case_id=case["case_id"], of=name, client_id=case["client_id"], contact_id=case["contact_id"], lines=lines
    )


async def _claimed_lines(conn: Connection, case_id: str) -> tuple[SubjectLine, ...]:
    rows = await conn.fetch(_CLAIMED, case_id)
    return tuple(
        SubjectLine(lead_id=row["lead_id"], gross=row["price"], currency=row["currency"] or "GBP") for row in rows
    )


async def _valid_lines(
    conn: Connection, case_id: str, said: Word, wanted: Callable[[LeadBilling | None], bool] = lambda _: True
) -> tuple[SubjectLine, ...]:
    valid = said.valid
    billed = [(row["lead_id"], _billing(row)) for row in await conn.fetch(_CLAIMED, case_id) if row["lead_id"] in valid]
    return tuple(line_of(lead_id, billing, valid[lead_id]) for lead_id, billing in billed if wanted(billing))


def _billing(row: Record) -> LeadBilling | None:
    return LeadBilling.model_validate(row["billing"]) if row["billing"] else None


def _stored(row: Record) -> StoredAct:
    return StoredAct(
        seq=row["seq"],
        jti=row["jti"],
        case_id=row["case_id"],
        workflow_id=row["workflow_id"],
        step_id=row["step_id"],
        kind=row["kind"],
        subject=row["subject"],
        subject_sha256=row["subject_sha256"],
        issuer=row["issuer"],
        sub=row["sub"],
        person_id=row["who"],
        auth=row["auth"],
        act=SignedAct.model_construct(body=row["body"], payload=row["payload"], signature=row["signature"]),
        accepted_at=row["at"],
    )
