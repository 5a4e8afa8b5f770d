"""Templates, filled in: everything from outside is a value and escaped, nothing is evaluated."""

import json
import tomllib
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

import domain.sops
from adapters.postgres.names import by_name
from domain.case import Deadline
from domain.rules.acts import sentence
from domain.rules.hours import duration_in_words
from domain.sops.texts import INSTRUCTIONS
from domain.texts import digest
from starter.pages.visitor import Visitor, came_from
from starter.story import did, first_letter, kind_in_words, plain, who_did

_HERE = Path(__file__).parent
STATIC = _HERE / "static"
LONDON = ZoneInfo("Europe/London")

APPROVAL_REASONS = {
    "above-the-limit": "It comes to more than the limit.",
    "price-missing-or-changed": "The price of a lead is missing, zero, or was changed since it arrived.",
    "no-valid-rate": "There is no exchange rate that counts: it is missing, too old, or jumped.",
    "already-credited-in-the-books": "The books already hold a credit for a lead.",
    "already-granted": "A lead was granted before in another case.",
    "put-to-the-approver-before": "A lead was put to an approver before: then it always needs one.",
    "amount-below-zero": "An amount is below zero.",
    "client-has-no-contact-in-the-books": "The client has no contact in the books.",
}


def _moment(at: datetime | None) -> str:
    return f"{at.astimezone(LONDON):%a %d %b %Y, %H:%M}" if at else "-"


def _why(deadline: Deadline, names: Mapping[str, str]) -> str:
    """Why a step is due then, in one line; what moved it last. All of it stands under "Why it is due then"."""
    moved = f"; {deadline.moved[-1].in_words(names=names)}" if deadline.moved else ""
    return f"{duration_in_words(deadline.after)} after {_moment(deadline.since)}{moved}"


def _by(channel: str) -> str:
    return {"email": "e-mail", "slack": "Slack", "whatsapp": "WhatsApp"}.get(channel, channel)


def _day(day: date) -> str:
    return f"{day:%A %d %B %Y}"


def money(amount: Decimal | None, currency: str = "GBP") -> str:
    """An amount as people read it, "-" where there is none."""
    if amount is None:
        return "-"
    return f"£{amount:,.2f}" if currency == "GBP" else f"{currency} {amount:,.2f}"


def _month(month: str) -> str:
    return f"{date.fromisoformat(f'{month}-01'):%B %Y}"


def _title(step_name: str) -> str:
    known = INSTRUCTIONS.get(step_name)
    return known.title if known else first_letter(plain(step_name))


@cache
def clauses() -> Mapping[str, str]:
    """What each clause says, by its id."""
    read = tomllib.loads((Path(next(iter(domain.sops.__path__))) / "clauses.toml").read_text())
    found: dict[str, str] = {}
    for section in read.values():
        if isinstance(section, dict):
            found |= {name: text for name, text in section.items() if "-" in name}  # pyright: ignore[reportUnknownVariableType]
    return found


@cache
def _versions() -> Mapping[str, str]:
    return {path.name: digest(path.read_bytes())[:12] for path in STATIC.iterdir()}


def _static(name: str) -> str:
    return f"/static/{name}?v={_versions()[name]}"


def case_url(case_id: str) -> str:
    return f"/cases/{quote(case_id, safe='/')}"


def step_url(case_id: str, step_id: str) -> str:
    return f"{case_url(case_id)}/steps/{quote(step_id, safe='')}"


@cache
def environment() -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(_HERE / "templates"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = made.filters
    filters |= {"moment": _moment, "money": money, "plain": plain, "title_of": _title, "refusal": sentence}
    filters |= {"why": _why, "by": _by, "did": did, "month": _month, "day": _day}
    filters |= {"first_letter": first_letter, "by_name": by_name, "kind": kind_in_words, "who_did": who_did}
    known: dict[str, Any] = made.globals
    known |= {"static": _static, "case_url": case_url, "step_url": step_url, "clauses": clauses()}
    known |= {"approval_reasons": APPROVAL_REASONS}
    return made


def page(template: str, who: Visitor | None = None, status_code: int = 200, **values: Any) -> HTMLResponse:
    """A whole page, or a part of one for whoever replaces only that."""
    csrf = who.session.csrf if who else ""
    return HTMLResponse(environment().get_template(template).render(who=who, csrf=csrf, **values), status_code)


def problem(request: Request, status: int, code: str, detail: str, who: Visitor | None = None) -> Response:
    """What went wrong, as a page, or as RFC 9457 problem details for a program."""
    if "application/json" in request.headers.get("accept", "") and "text/html" not in request.headers["accept"]:
        body = {"type": f"about:blank#{code}", "title": first_letter(plain(code)), "status": status, "detail": detail}
        content = json.loads(json.dumps(body | {"code": code}))
        return JSONResponse(content, status, media_type="application/problem+json")
    back = came_from(request)
    return page("problem.html", who, status, code=code, detail=first_letter(detail), number=status, back=back)
