"""What a case keeps of how its money was judged (RL-14): the version of the rule, the limit, and the sum by then."""

from collections.abc import Mapping
from datetime import datetime

from pydantic import JsonValue

from adapters.postgres.audit import Entry
from domain.case import EventKind
from domain.return_lead import Billing
from domain.rules.authority import RULES_VERSION


def judgement(judged: Billing, reserved: Mapping[str, str], at: datetime) -> Entry:
    """`reserved`: the leads that were reserved, each with the approval that it rests on, "" if none."""
    approvals = sorted({jti for jti in reserved.values() if jti})
    rated = all(lead.gbp is not None for lead in judged.leads)
    data: dict[str, JsonValue] = {
        "rules": RULES_VERSION,
        "limit_gbp": str(judged.limit_gbp),
        "vat": judged.vat,
        "total_gbp": str(judged.total_gbp) if rated else "",
        "granted_gbp": str(judged.granted_gbp),
        "leads": list(reserved),
        "approvals": list(approvals),
    }
    how = "Under the approval" if approvals else "Within the limit"
    total = f"GBP {judged.total_gbp:,.2f}" if rated else "an amount without a rate"
    before = f" after GBP {judged.granted_gbp:,.2f} before," if judged.granted_gbp else ""
    limit = f"GBP {judged.limit_gbp:,.2f} {judged.vat} VAT (rules version {RULES_VERSION})"
    text = f"{how}: {total}{before} of {limit}."
    return Entry(EventKind.NOTED, "RL-14", at, text=text, data=data)
