"""Who may sign what, and when an approver is needed (RL-14; RULES_VERSION is kept on the case).

Amounts are compared unrounded; strictly more than the limit needs the approver.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from domain.gate import LeadRow, MoneyContext, Rate
from domain.messages import ActKind, Auth
from domain.money import Currency
from domain.people import Role
from domain.return_lead import Billing, BillingState, LeadBilling

RULES_VERSION = 1
FRESH = timedelta(days=7)
LARGEST_JUMP = Decimal("0.05")
MONEY_LOGIN = timedelta(minutes=15)
HIGHEST_VAT = Decimal("0.27")  # in Europe: whatever the books call tax above it is counted


@dataclass(frozen=True)
class ActRule:
    """What an act kind needs: how the actor proved who they are, and whether money can follow from it."""

    money: bool
    auth: frozenset[Auth]
    role: Role | None = None  # a fixed role; None: whoever the step is asked of
    anyone: bool = False  # any of our people may say so: it is on record who did


_PEOPLE = frozenset({Auth.OIDC, Auth.LOCAL})
_MACHINES_TOO = _PEOPLE | {Auth.API_KEY, Auth.WEBHOOK}

ACT_RULES: dict[ActKind, ActRule] = {
    ActKind.CLAIM: ActRule(money=False, auth=_MACHINES_TOO - {Auth.WEBHOOK}),
    ActKind.RELEASE: ActRule(money=False, auth=_MACHINES_TOO - {Auth.WEBHOOK}),
    ActKind.REASSIGN: ActRule(money=False, auth=_MACHINES_TOO - {Auth.WEBHOOK}),
    ActKind.MOVE: ActRule(money=False, auth=_PEOPLE),
    ActKind.DONE: ActRule(money=False, auth=_MACHINES_TOO),
    ActKind.WAIVE: ActRule(money=False, auth=_PEOPLE),
    ActKind.RESEND: ActRule(money=True, auth=_PEOPLE),
    ActKind.TRIAGE: ActRule(money=True, auth=_PEOPLE),
    ActKind.FINDINGS: ActRule(money=True, auth=_PEOPLE, role=Role.RETURN_LEADS),  # RL-4
    ActKind.CONFIRM: ActRule(money=True, auth=_PEOPLE, role=Role.RETURN_LEADS),  # RL-13
    ActKind.REDUCE: ActRule(money=True, auth=_PEOPLE),
    ActKind.TAKEN_OFF: ActRule(money=True, auth=_PEOPLE, role=Role.ACCOUNTS),
    ActKind.AUTHORISE: ActRule(money=True, auth=_PEOPLE, role=Role.ACCOUNTS),
    ActKind.DECLINE: ActRule(money=True, auth=_PEOPLE, role=Role.ACCOUNTS),
    ActKind.ALLOCATED: ActRule(money=True, auth=_PEOPLE, role=Role.ACCOUNTS),
    ActKind.APPROVE: ActRule(money=True, auth=_PEOPLE, role=Role.APPROVER),
    ActKind.REJECT: ActRule(money=True, auth=_PEOPLE, role=Role.APPROVER),
    ActKind.ASK_BACK: ActRule(money=True, auth=_PEOPLE, role=Role.APPROVER),
    ActKind.WITHDRAW: ActRule(money=True, auth=_PEOPLE, role=Role.APPROVER),
    ActKind.MARK: ActRule(money=False, auth=_PEOPLE),
    ActKind.DECIDED: ActRule(money=True, auth=_PEOPLE, role=Role.ACCOUNT_MANAGER),  # RL-10
    ActKind.ROUTED: ActRule(money=False, auth=_PEOPLE | {Auth.API_KEY}),
    ActKind.ESTIMATED: ActRule(money=False, auth=_PEOPLE | {Auth.API_KEY}, anyone=True),
    ActKind.PROCESSED: ActRule(money=False, auth=_PEOPLE | {Auth.API_KEY}, anyone=True),
    ActKind.SET_POLICY: ActRule(money=True, auth=_PEOPLE),
    ActKind.IMPORT_RATES: ActRule(money=True, auth=_PEOPLE),
    ActKind.SET_PRICES: ActRule(money=True, auth=_PEOPLE),
    ActKind.SET_STAND_IN: ActRule(money=True, auth=_PEOPLE),
}
ORDERS = frozenset({ActKind.SET_POLICY, ActKind.IMPORT_RATES, ActKind.SET_PRICES, ActKind.SET_STAND_IN})
"""Kinds about the deployment itself: no step of a case ever takes one."""


def may_sign(kind: str, auth: str, *, local_counts: bool) -> str:
    """A refusal code, empty if this `auth` may make this `kind`. `local_counts`: every vendor address is loopback."""
    if kind not in ACT_RULES:
        return "unknown-kind"
    if auth not in ACT_RULES[ActKind(kind)].auth or (auth == Auth.LOCAL and not local_counts):
        return "auth-not-allowed"
    return ""


def rate_in_gbp(currency: Currency, context: MoneyContext) -> Decimal | None:
    """The rate to use today, or None if there is none that counts: missing, stale, future, or a jump of more than 5
    %.
    """
    if currency == "GBP":
        return Decimal(1)
    rate = next((one for one in context.rates if one.currency == currency), None)
    return rate.gbp if rate and _counts(rate, context) else None


def _counts(rate: Rate, context: MoneyContext) -> bool:
    fresh = timedelta(0) <= context.today - rate.on <= FRESH
    return fresh and (rate.before is None or abs(rate.gbp - rate.before) <= rate.before * LARGEST_JUMP)


def in_gbp(lead: LeadBilling, context: MoneyContext) -> LeadBilling:
    rate = rate_in_gbp(lead.currency, context)
    if rate is None or lead.gross is None:
        return lead
    net = without_vat(lead)
    return lead.model_copy(update={"gbp": lead.gross * rate, "gbp_net": None if net is None else net * rate})


def without_vat(lead: LeadBilling) -> Decimal | None:
    """A lead's net amount, if the rest of it can be VAT; None: it counts whole."""
    if lead.net is None or lead.gross is None:
        return None
    return lead.net if lead.net <= lead.gross <= lead.net * (1 + HIGHEST_VAT) else None


def counted(lead: LeadBilling, context: MoneyContext) -> Decimal:
    """What a lead adds to the sum: with VAT, or without where the rules say so and the books say how much that is."""
    if context.vat == "without" and lead.gbp_net is not None:
        return lead.gbp_net
    return lead.gbp or Decimal(0)


def judge(billed: Sequence[LeadBilling], rows: Sequence[LeadRow], context: MoneyContext) -> Billing:
    """What the leads come to, and why an approver is needed ("" if none is)."""
    leads = tuple(in_gbp(lead, context) for lead in billed)
    total = sum((counted(lead, context) for lead in leads), Decimal(0))
    invoices = dict.fromkeys(lead.invoice_id for lead in leads if lead.invoice_id)
    granted = context.granted_month_gbp + sum(
        (context.granted_invoice_gbp.get(one, Decimal(0)) for one in invoices), Decimal(0)
    )
    changed = {row.lead_id for row in rows if row.price_changed or not row.price}
    return Billing(
        leads=leads,
        total_gbp=total,
        granted_gbp=granted,
        limit_gbp=context.limit_gbp,
        vat=context.vat,
        approval=_why(leads, total + granted, changed, context),
    )


def _why(leads: Sequence[LeadBilling], sum_gbp: Decimal, changed: set[str], context: MoneyContext) -> str:
    for lead in leads:
        if lead.state is BillingState.CREDITED:
            return "already-credited-in-the-books"
        if lead.lead_id in context.credited_leads:
            return "already-granted"
        unbilled = lead.state in {BillingState.UNBILLED, BillingState.VOIDED}
        if unbilled and (not lead.gross or lead.lead_id in changed):
            return "price-missing-or-changed"
        if lead.gross is None or lead.gbp is None:
            return "no-valid-rate"
        if lead.gross < 0:
            return "amount-below-zero"  # it would make room under the limit for others
    if not context.contact_id:
        return "client-has-no-contact-in-the-books"
    if sum_gbp > context.limit_gbp:
        return "above-the-limit"
    put = any(lead.lead_id in context.put_leads for lead in leads)
    return "put-to-the-approver-before" if put else ""
