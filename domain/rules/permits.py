"""Whether a gated effect rests on what people signed: pure, over acts that stand and effects that were sent.

Amounts and the month's sum are another matter (`domain.rules.authority`), judged when the effect is claimed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from domain.effects import (
    AnswerClient,
    AuthoriseCreditNote,
    ConfirmToAccounts,
    DraftCreditNote,
    Effect,
    ListDoNotInvoice,
)
from domain.gate import Permit, SignedLead
from domain.messages import ActKind
from domain.people import Identity, Role
from domain.return_lead import BillingState, LeadBilling
from domain.rules.acts import Past, excluded
from domain.rules.stored_acts import Standing, Word
from domain.subject import Subject, SubjectLine

GATE_REFUSALS: dict[str, str] = {
    "no-such-effect": "There is no such effect about money in this case.",
    "unproven-act": "An act on record does not prove itself: nothing is done until it is signed anew.",
    "wrong-workflow": "It was asked for by another workflow than the case's own.",
    "no-findings": "No signed findings are on record for this case.",
    "findings-incomplete": "The signed findings do not cover every lead of this case.",
    "not-confirmed": "No team member has confirmed this settlement by a signed act.",
    "lines-changed": "The leads found valid are no longer those that were confirmed: confirm anew.",
    "contact-changed": "The client's contact in the books is no longer the one that was signed for.",
    "amount-not-signed": "A lead was confirmed without an amount: confirm anew.",
    "nothing-confirmed": "Nothing of what was confirmed is for this to be done about.",
    "not-confirmed-to-accounts": "Accounts have not been sent the team's confirmation of exactly these leads (RL-13).",
    "not-drafted": "There is no draft of exactly this credit note.",
    "not-authorised": "Accounts have not authorised this credit note by a signed act.",
    "declined": "Accounts have declined this credit note.",
    "not-accounts": "Whoever authorised was not one of Accounts' people at that time.",
    "may-not-confirm": "Whoever confirmed is an approver.",
    "may-not-authorise": "Whoever authorised had investigated or confirmed, or is an approver.",
    "not-promised": "The client was not told, on a confirmation that stands, that this lead is not charged.",
    "not-credited-yet": "A credit note that would be promised is not authorised yet.",
    "unknown-lead": "A signed lead is not one of this case and client.",
    "unknown-client": "The case has no client that is known.",
    "billing-unknown": "How a lead is billed could not be read from the books.",
    "billing-changed": "A lead is billed otherwise than when it was signed for: confirm anew.",
    "already-credited": "The books already hold a credit for a lead that was not granted here.",
    "already-invoiced": "A lead that was to be kept off an invoice has been invoiced: confirm anew.",
    "still-on-draft-invoice": "A lead still stands on a draft invoice: nothing can be promised before it is taken off.",
    "amount-above-signed": "The amount in the books is above the one that was signed for.",
    "approval-rejected": "The approver has rejected it.",
    "approval-asked-back": "The approver has asked something back, and not decided since.",
    "approval-withdrawn": "The approval was withdrawn.",
    "approval-void": "What was approved is no longer what would be granted: it needs the approver anew.",
    "not-approved-by-an-approver": "Whoever approved was not an approver at that time, nor stood in for one.",
    "may-not-approve": "Whoever approved had asked for it, investigated or confirmed it, or gains by it.",
    "above-the-ceiling": "It is above the ceiling of whoever stood in for the approver.",
    "credit-in-doubt": "Another credit note on this invoice is being authorised, or may have been.",
    "already-granted": "A lead was already granted in another case: one credit per lead, for ever.",
    "another-effect": "The effect is not the one that was prepared.",
    "done-before": "It was done on this confirmation before, or may have been: it takes a new one.",
}


@dataclass(frozen=True)
class Done:
    """A gated effect that was sent, and the acts it rests on."""

    key: str
    effect: Effect
    jtis: frozenset[str]


@dataclass(frozen=True)
class Facts:
    """What the tables say about a case at one moment. `roles`: money roles that signers had when they were accepted."""

    case_leads: tuple[str, ...]
    contact_id: str
    word: Word
    sent: Sequence[Done] = ()
    roles: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])  # by jti
    disapproved: str = ""  # why the latest approval does not count: not of somebody who could give it, or overruled
    requesters: frozenset[Identity] = frozenset()
    misleading: bool = (
        False  # a row that proves nothing is the newest of its kind: letters read out of it would be wrong
    )

    @property
    def past(self) -> Past:
        past = self.word.past
        return replace(past, requesters=past.requesters | self.requesters)

    def roles_of(self, act: Standing) -> frozenset[str]:
        return self.roles.get(act.row.jti, frozenset())


def permit(effect: Effect, facts: Facts, pending: Sequence[Effect] = ()) -> Permit:
    """The gate's answer for one effect. `pending`: what is carried out in the same moment, and judged again then."""
    if facts.misleading:
        return Permit(key=effect.key, effect=effect, code="unproven-act")
    match effect:
        case AnswerClient() if not facts.word.valid:
            return Permit(key=effect.key, effect=effect, code=_nothing_promised(facts), jtis=_jtis(facts.word.findings))
        case ConfirmToAccounts() | DraftCreditNote() | AuthoriseCreditNote() | ListDoNotInvoice() | AnswerClient():
            lines = _lines(effect, facts)
            code = (
                unconfirmed(facts) or ("" if lines else "nothing-confirmed") or _unready(effect, facts, lines, pending)
            )
            return _permit(effect, facts, lines, code)
        case _:
            return Permit(key=effect.key, effect=effect, code="no-such-effect")


def misfit(effect: Effect, signed: SignedLead, line: SubjectLine | None, billed: LeadBilling | None) -> str:
    """Why a lead as the books bill it now is not what was signed for; "" if it is.

    `line` is the signed line. A missing price is not judged here: it needs an approver (`authority.judge`).
    """
    if billed is None or line is None:
        return "billing-unknown"
    if billed.state is BillingState.CREDITED:
        return "already-credited"
    if billed.currency != signed.currency or _above(billed.gross, signed.gross) or _above(billed.net, line.net):
        return "amount-above-signed"
    return _misplaced(effect, line, billed)


def _above(billed: Decimal | None, signed: Decimal | None) -> bool:
    return billed is not None and signed is not None and billed > signed


def _misplaced(effect: Effect, line: SubjectLine, billed: LeadBilling) -> str:
    issued = billed.state in {BillingState.ISSUED, BillingState.PAID}
    if issued and billed.invoice_id != line.invoice_id:
        return "already-invoiced" if not line.invoice_id else "billing-changed"
    match effect:
        case DraftCreditNote() | AuthoriseCreditNote() if not issued:
            return "billing-changed"
        case AnswerClient() | ListDoNotInvoice() if billed.state is BillingState.DRAFT:
            return "still-on-draft-invoice"
        case _:
            return ""


def _permit(effect: Effect, facts: Facts, lines: Sequence[SubjectLine], code: str) -> Permit:
    confirmation, authorisation = facts.word.confirmation, facts.word.authorisation
    approved = facts.word.decision if not unapproved(facts) else None
    used = [facts.word.findings, confirmation, approved]
    if isinstance(effect, AuthoriseCreditNote):
        used.append(authorisation)
    leads = tuple(
        SignedLead(lead_id=one.lead_id, gross=one.gross or Decimal(0), currency=one.currency) for one in lines
    )
    return Permit(
        key=effect.key,
        effect=effect,
        code=code,
        leads=leads,
        jtis=_jtis(*used),
        confirmed_by=confirmation.row.person_id if confirmation else "",
        approved_jti=approved.row.jti if approved else "",
    )


def unapproved(facts: Facts) -> str:
    """Why no approval covers what was confirmed; "" if one does. It covers the leads in its subject and no others, up
    to the amounts in it; what came after it (a rejection, a withdrawal) wins.
    """
    said, confirmation = facts.word.decision, facts.word.confirmation
    if said is None or confirmation is None:
        return "not-approved"
    match said.kind:
        case ActKind.APPROVE if facts.disapproved:
            return facts.disapproved
        case ActKind.APPROVE:
            covers = _covers(said.subject, confirmation.subject, credited(facts.sent, facts.word))
            return "" if covers and said.subject.contact_id == facts.contact_id else "approval-void"
        case _:
            return disapproval(said.kind)


def disapproval(kind: ActKind) -> str:
    """What a decision other than an approval makes of the approval before it."""
    match kind:
        case ActKind.REJECT:
            return "approval-rejected"
        case ActKind.ASK_BACK:
            return "approval-asked-back"
        case _:
            return "approval-withdrawn"


def credited(sent: Sequence[Done], said: Word, but: str = "") -> frozenset[str]:
    """The leads whose credit note is authorised, by an effect other than `but`: nobody decides about them any more."""
    return frozenset(credited_by([one for one in sent if one.key != but], said))


def credited_by(sent: Sequence[Done], said: Word) -> dict[str, AuthoriseCreditNote]:
    """The authorisation that credited each lead: what is in one credit note is in no later one."""
    notes = [(one, one.effect) for one in sent if isinstance(one.effect, AuthoriseCreditNote)]
    return {
        line.lead_id: note
        for one, note in sorted(notes, key=lambda pair: pair[1].turn, reverse=True)
        for act in _confirmations(one, said)
        for line in act.subject.on_invoice(note.invoice_id)
    }


def _covers(approved: Subject, confirmed: Subject, gone: frozenset[str]) -> bool:
    """The treatment is no part of it: the books decide that when it is acted on. `gone`: credited already."""
    lines = {line.lead_id: line for line in approved.lines}
    same = approved.of == "approval" and (approved.case_id, approved.client_id) == (
        confirmed.case_id,
        confirmed.client_id,
    )
    left = [one for one in confirmed.lines if one.lead_id not in gone]
    by_net = approved.asking is not None and approved.asking.vat == "without"
    return (
        same
        and set(lines) - gone == {one.lead_id for one in left}
        and all(_within(one, lines[one.lead_id], by_net=by_net) for one in left)
    )


def _within(line: SubjectLine, most: SubjectLine, *, by_net: bool) -> bool:
    """`by_net`: it was decided by amounts without VAT, so those may not be more either."""
    if (line.currency, line.evidence) != (most.currency, most.evidence):
        return False
    if by_net and most.net is not None and (line.net is None or line.net > most.net):
        return False
    return line.gross == most.gross if line.gross is None or most.gross is None else line.gross <= most.gross


def _jtis(*acts: Standing | None) -> tuple[str, ...]:
    return tuple(act.row.jti for act in acts if act)


def _lines(effect: Effect, facts: Facts) -> tuple[SubjectLine, ...]:
    """The signed lines an effect is about: what another credit note was authorised for is in no second one."""
    confirmation = facts.word.confirmation
    if confirmation is None:
        return ()
    gone = credited(facts.sent, facts.word, effect.key)
    left = tuple(line for line in confirmation.subject.lines if line.lead_id not in gone)
    match effect:
        case DraftCreditNote(invoice_id=invoice) | AuthoriseCreditNote(invoice_id=invoice):
            return tuple(line for line in left if invoice and line.invoice_id == invoice)
        case ListDoNotInvoice():
            return tuple(line for line in left if not line.invoice_id)
        case ConfirmToAccounts():
            return left
        case _:
            return confirmation.subject.lines


def _nothing_promised(facts: Facts) -> str:
    """An answer that grants nothing needs no confirmation, only the findings (if there was anything to find out)."""
    return _unfound(facts) if facts.case_leads else ""


def _unfound(facts: Facts) -> str:
    found = facts.word.findings
    if found is None:
        return "no-findings"
    return "" if set(facts.case_leads) <= set(found.subject.lead_ids) else "findings-incomplete"


def unconfirmed(facts: Facts) -> str:
    """Findings, and a confirmation of exactly the leads that are valid now, contact and evidence included."""
    if code := _unfound(facts):
        return code
    confirmation, valid = facts.word.confirmation, facts.word.valid
    if confirmation is None:
        return "not-confirmed"
    if code := excluded(ActKind.CONFIRM, confirmation.who, facts.roles_of(confirmation), facts.past):
        return code
    subject = confirmation.subject
    signed = {line.lead_id: line.evidence for line in subject.lines}
    if subject.of != "valid" or signed != {lead: valid[lead] for lead in facts.case_leads if lead in valid}:
        return "lines-changed"
    if subject.contact_id != facts.contact_id:
        return "contact-changed"
    unpriced = any(line.gross is None for line in subject.lines)
    return "amount-not-signed" if unpriced and unapproved(facts) else ""


def _unready(effect: Effect, facts: Facts, lines: Sequence[SubjectLine], pending: Sequence[Effect]) -> str:
    """What has to have happened before this effect, for exactly these lines."""
    match effect:
        case DraftCreditNote():
            done = coming(ConfirmToAccounts, pending) or sent_for(ConfirmToAccounts, facts, lines)
            return "" if done else "not-confirmed-to-accounts"
        case AuthoriseCreditNote(turn=turn):
            drafted = sent_for(DraftCreditNote, facts, lines, turn)
            return _unauthorised(facts, lines) or ("" if drafted else "not-drafted")
        case AnswerClient():
            return _uncredited(facts, lines, pending)
        case _:
            return ""


def _unauthorised(facts: Facts, lines: Sequence[SubjectLine]) -> str:
    act = facts.word.authorisation
    if act is None:
        return "not-authorised"
    if act.kind is ActKind.DECLINE:
        return "declined"
    if Role.ACCOUNTS.value not in facts.roles_of(act):
        return "not-accounts"
    if code := excluded(ActKind.AUTHORISE, act.who, facts.roles_of(act), facts.past):
        return code
    same = act.subject.of == "issued" and _alike(act.subject.on_invoice(lines[0].invoice_id), lines)
    return "" if same and act.subject.contact_id == facts.contact_id else "lines-changed"


def _uncredited(facts: Facts, lines: Sequence[SubjectLine], pending: Sequence[Effect]) -> str:
    """Each invoice's credit note is authorised, for exactly what was signed, before the client is told so."""
    by_invoice: dict[str, list[SubjectLine]] = {}
    gone = credited(facts.sent, facts.word)
    for line in lines:
        if line.lead_id not in gone:
            by_invoice.setdefault(line.invoice_id, []).append(line)
    by_invoice.pop("", None)
    done = all(sent_for(AuthoriseCreditNote, facts, on_it) for on_it in by_invoice.values())
    return "" if done or coming(AuthoriseCreditNote, pending) else "not-credited-yet"


def coming(kind: type[Effect], pending: Sequence[Effect]) -> bool:
    return any(isinstance(one, kind) for one in pending)


def sent_for(kind: type[Effect], facts: Facts, lines: Sequence[SubjectLine], turn: int | None = None) -> bool:
    """Whether an effect of this kind was sent for exactly these lines, resting on a confirmation that said the same of
    what was not credited by then. `turn`: of a credit note, which confirmation that was.
    """
    sent = [one for one in facts.sent if isinstance(one.effect, kind)]
    if turn:
        sent = [one for one in sent if isinstance(one.effect, DraftCreditNote) and one.effect.turn == turn]
    return any(_rests_on_same(one, facts, lines) for one in sent)


def _rests_on_same(done: Done, facts: Facts, lines: Sequence[SubjectLine]) -> bool:
    invoice = lines[0].invoice_id
    gone = credited(facts.sent, facts.word) - {line.lead_id for line in lines}
    if isinstance(done.effect, DraftCreditNote | AuthoriseCreditNote) and done.effect.invoice_id != invoice:
        return False
    said = [act.subject.on_invoice(invoice) for act in _confirmations(done, facts.word)]
    return any(_alike([line for line in on_it if line.lead_id not in gone], lines) for on_it in said)


def _confirmations(done: Done, word: Word) -> list[Standing]:
    """The confirmations that an effect rests on."""
    return [act for jti in done.jtis if (act := word.by_jti(jti)) and act.kind is ActKind.CONFIRM]


def covered_by(signed: Subject, line: SubjectLine | None) -> SubjectLine | None:
    """A lead's line as it was signed elsewhere, if that is for no more."""
    named = next((one for one in signed.lines if line and one.lead_id == line.lead_id), None)
    if line is None or named is None or named.gross is None or line.gross is None:
        return None
    return named if named.gross <= line.gross else line


def _alike(some: Sequence[SubjectLine], others: Sequence[SubjectLine]) -> bool:
    def core(lines: Sequence[SubjectLine]) -> list[tuple[str, Decimal | None, str]]:
        return sorted((line.lead_id, line.gross, line.currency) for line in lines)

    return core(some) == core(others)
