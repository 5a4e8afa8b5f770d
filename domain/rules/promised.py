"""A lead that was promised not to be charged and is invoiced all the same: its credit rests on the promise (RL-11).

What was signed in the promising case is verified there (`ground`): findings, the confirmation of exactly this lead, an
approval if it needed one, and that the client was told. Accounts authorise by an act of their own in the new case.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from domain.effects import AnswerClient, AuthoriseCreditNote, ConfirmToAccounts, DraftCreditNote, Effect
from domain.gate import Permit, SignedLead
from domain.messages import ActKind
from domain.people import Role
from domain.return_lead import BillingState, LeadBilling
from domain.rules.acts import Past, excluded
from domain.rules.permits import Facts, coming, covered_by, misfit, permit, sent_for, unapproved, unconfirmed
from domain.subject import SubjectLine


@dataclass(frozen=True)
class Basis:
    """What an effect about money is judged by: its case's own acts, or those of the case that promised `lead_id`."""

    case_id: str  # where the leads were granted
    facts: Facts
    ground: Facts | None = None
    lead_id: str = ""

    @property
    def signed(self) -> Facts:
        """The facts in which the leads were found, confirmed and approved."""
        return self.ground or self.facts

    def permit(self, effect: Effect, pending: Sequence[Effect] = ()) -> Permit:
        if self.ground is None:
            return permit(effect, self.facts, pending)
        line = _line(self.ground, self.lead_id)
        code = _unpromised(self.ground, self.facts, line) or _unready(effect, self.ground, self.facts, line, pending)
        return _permit(effect, self.ground, self.facts, line, code)

    def misfit(self, effect: Effect, lead: SignedLead, line: SubjectLine | None, billed: LeadBilling | None) -> str:
        if self.ground is None:
            return misfit(effect, lead, line, billed)
        if billed is None:
            return "billing-unknown"
        if billed.state is BillingState.CREDITED:
            return "already-credited"
        if billed.state not in {BillingState.ISSUED, BillingState.PAID}:
            return "billing-changed"
        if isinstance(effect, DraftCreditNote | AuthoriseCreditNote) and billed.invoice_id != effect.invoice_id:
            return "billing-changed"
        above = billed.gross is None or billed.gross > lead.gross
        return "amount-above-signed" if above or billed.currency != lead.currency else ""


def _line(ground: Facts, lead_id: str) -> SubjectLine | None:
    lines = ground.word.confirmation.subject.lines if ground.word.confirmation else ()
    return next((line for line in lines if line.lead_id == lead_id), None)


def _unpromised(ground: Facts, own: Facts, line: SubjectLine | None) -> str:
    """Whether the client was told, on good grounds, that this lead is not charged."""
    if ground.misleading or own.misleading:
        return "unproven-act"
    if code := unconfirmed(ground):
        return code
    confirmation = ground.word.confirmation
    if confirmation is None or line is None or line.invoice_id or line.gross is None:
        return "not-promised"
    told = sent_for(AnswerClient, ground, confirmation.subject.on_invoice(""))
    return "" if told else "not-promised"


def _unready(effect: Effect, ground: Facts, own: Facts, line: SubjectLine | None, pending: Sequence[Effect]) -> str:
    """What has to have happened in the new case before this effect."""
    match effect:
        case ConfirmToAccounts():
            return ""
        case DraftCreditNote():
            told = coming(ConfirmToAccounts, pending) or any(
                isinstance(one.effect, ConfirmToAccounts) for one in own.sent
            )
            return "" if told else "not-confirmed-to-accounts"
        case AuthoriseCreditNote(invoice_id=invoice, turn=turn):
            drafts = [one.effect for one in own.sent if isinstance(one.effect, DraftCreditNote)]
            drafted = any((one.invoice_id, one.turn) == (invoice, turn) for one in drafts)
            return _unauthorised(ground, own, line, invoice) or ("" if drafted else "not-drafted")
        case _:
            return "no-such-effect"


def _unauthorised(ground: Facts, own: Facts, line: SubjectLine | None, invoice: str) -> str:
    act = own.word.authorisation
    if act is None:
        return "not-authorised"
    if act.kind is ActKind.DECLINE:
        return "declined"
    if Role.ACCOUNTS.value not in own.roles_of(act):
        return "not-accounts"
    if code := excluded(ActKind.AUTHORISE, act.who, own.roles_of(act), joined(ground.past, own.past)):
        return code
    named = [(one.lead_id, one.currency) for one in act.subject.on_invoice(invoice)]
    same = act.subject.of == "issued" and line is not None and named == [(line.lead_id, line.currency)]
    return "" if same and act.subject.contact_id == ground.contact_id else "lines-changed"


def joined(some: Past, others: Past) -> Past:
    """Who had a hand in either of two cases."""
    return Past(
        investigators=some.investigators | others.investigators,
        confirmers=some.confirmers | others.confirmers,
        approvers=some.approvers | others.approvers,
        requesters=some.requesters | others.requesters,
    )


def _permit(effect: Effect, ground: Facts, own: Facts, line: SubjectLine | None, code: str) -> Permit:
    confirmation, authorisation = ground.word.confirmation, own.word.authorisation
    approved = ground.word.decision if not unapproved(ground) else None
    used = [ground.word.findings, confirmation, approved]
    signed = line
    if isinstance(effect, AuthoriseCreditNote) and authorisation:
        used.append(authorisation)
        signed = covered_by(authorisation.subject, line)
    leads = (
        (SignedLead(lead_id=signed.lead_id, gross=signed.gross or Decimal(0), currency=signed.currency),)
        if signed
        else ()
    )
    return Permit(
        key=effect.key,
        effect=effect,
        code=code,
        leads=leads,
        jtis=tuple(act.row.jti for act in used if act),
        confirmed_by=confirmation.row.person_id if confirmation else "",
        approved_jti=approved.row.jti if approved else "",
    )
