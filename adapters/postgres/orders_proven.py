"""Orders that prove themselves: what a signed act of the approver or a partner says about limits, VAT, prices, rates,
stand-ins.

The rows of `policy` and `rates` prove nothing by being there; each counts only through its order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from asyncpg import Record

from adapters.postgres.pool import Connection
from domain.errors import Refused
from domain.gate import Rate
from domain.messages import ActBody, ActKind, SignedAct
from domain.money import CURRENCIES, Money, Vat
from domain.orders import APPROVAL_LIMIT, PolicyOrder, PricesOrder, RateIn, RatesOrder, StandInOrder, VatBasis
from domain.people import Identity, Role
from domain.rules.acts import Authority, Opened, open_act, untimely
from domain.rules.authority import ORDERS, may_sign
from domain.rules.stored_acts import Trust
from domain.texts import digest

LONDON = ZoneInfo("Europe/London")
_SETTERS = frozenset({Role.APPROVER.value, Role.PARTNER.value})
_RATES = """SELECT * FROM rates WHERE currency = $1 AND on_date < $2 ORDER BY on_date DESC LIMIT 10"""


@dataclass(frozen=True)
class Tenure:
    """That somebody was in a money role for a time."""

    role: str
    who: Identity
    name: str
    since: datetime
    until: datetime | None

    def at(self, moment: datetime) -> bool:
        return self.since <= moment and (self.until is None or moment < self.until)


@dataclass(frozen=True)
class Order:
    """An order that stands. `at`: when it was accepted; it counts from then on."""

    opened: Opened
    at: datetime
    person_id: str


@dataclass(frozen=True)
class OrderedPrice:
    """What an order says a lead costs. `at`: when it was accepted."""

    price: Money
    jti: str
    at: datetime


@dataclass(frozen=True)
class Hierarchy:
    """Who decides as the approver, at any moment: by the money worker's configuration and orders that stand."""

    tenures: tuple[Tenure, ...]
    orders: tuple[Order, ...] = ()

    def in_role(self, role: str, at: datetime) -> tuple[Identity, ...]:
        return tuple(one.who for one in self.tenures if one.role == role and one.at(at))

    def possible(self, at: datetime) -> tuple[Identity, ...]:
        """Everybody who might decide as the approver at a moment; whether they do is for `authority` to say."""
        who = (*self.in_role(Role.APPROVER, at), *self.stand_ins(at), *self.in_role(Role.PARTNER, at))
        return tuple(dict.fromkeys(who))

    def stand_ins(self, at: datetime) -> dict[Identity, Decimal]:
        """Ceilings of those who stand in at a moment for an approver who is one then. The order signed last counts."""
        latest: dict[tuple[Identity, Identity], StandInOrder] = {}
        for order in self.orders:
            said = order.opened.result
            if isinstance(said, StandInOrder) and order.at <= at:
                latest[said.approver, said.stand_in] = said
        today, approvers = at.astimezone(LONDON).date(), self.in_role(Role.APPROVER, at)
        found: dict[Identity, Decimal] = {}
        for said in latest.values():
            if said.approver in approvers and said.starts <= today <= said.ends:
                found[said.stand_in] = max(said.ceiling_gbp, found.get(said.stand_in, said.ceiling_gbp))
        return found

    def authority(self, who: Identity, at: datetime, barred: frozenset[Identity] = frozenset()) -> Authority | None:
        """As what somebody decides at a moment; None: not at all. Where nobody else is left, the partner decides.

        `barred`: who may not decide in this case.
        """
        approvers, standing_in = self.in_role(Role.APPROVER, at), self.stand_ins(at)
        if who in approvers:
            return Authority()
        if who in standing_in:
            return Authority(standing_in[who])
        left = [one for one in (*approvers, *standing_in) if one not in barred]
        return Authority() if not left and who in self.in_role(Role.PARTNER, at) else None


async def tenures(conn: Connection) -> tuple[Tenure, ...]:
    rows = await conn.fetch("SELECT * FROM money_people ORDER BY role, issuer, sub, since")
    return tuple(
        Tenure(row["role"], Identity(issuer=row["issuer"], sub=row["sub"]), row["name"], row["since"], row["until"])
        for row in rows
    )


async def hierarchy(conn: Connection, trust: Trust) -> Hierarchy:
    people = await tenures(conn)
    rows = await conn.fetch("SELECT * FROM orders WHERE kind = $1 ORDER BY seq", ActKind.SET_STAND_IN.value)
    return Hierarchy(people, _standing(rows, people, trust))


async def limit_in_force(conn: Connection, trust: Trust, since: datetime | None) -> Decimal:
    """The lowest limit in GBP that was in force at any time since `since`: a case keeps the stricter of the one that it
    began with and today's.
    """
    first = await conn.fetchval("SELECT value FROM policy WHERE name = $1 AND version = 1", APPROVAL_LIMIT)
    limit = Money.model_validate(first).amount
    for order in await _orders(conn, trust, ActKind.SET_POLICY):
        said = order.opened.result
        if isinstance(said, PolicyOrder) and isinstance(said.value, Money) and said.fits:
            earlier = since is None or order.at <= since
            limit = said.value.amount if earlier else min(limit, said.value.amount)
    return limit


async def vat_in_force(conn: Connection, trust: Trust, since: datetime | None) -> Vat:
    """Whether amounts count with VAT: if they did at any time since `since`, and unless an order says otherwise."""
    vat: Vat = "with"
    for order in await _orders(conn, trust, ActKind.SET_POLICY):
        said = order.opened.result
        if isinstance(said, PolicyOrder) and isinstance(said.value, VatBasis) and said.fits:
            earlier = since is None or order.at <= since
            vat = said.value.vat if earlier or said.value.vat == "with" else vat
    return vat


async def proven_prices(conn: Connection, trust: Trust, lead_ids: Sequence[str]) -> dict[str, OrderedPrice]:
    """The price of the latest order about each lead that there is one about."""
    if not lead_ids:
        return {}
    named = [f'%"lead_id":"{lead_id}"%' for lead_id in lead_ids]
    query = "SELECT * FROM orders WHERE kind = $1 AND payload LIKE ANY($2) ORDER BY seq"
    rows = await conn.fetch(query, ActKind.SET_PRICES.value, named)
    found: dict[str, OrderedPrice] = {}
    for order in _standing(rows, await tenures(conn), trust) if rows else ():
        said = order.opened.result
        if isinstance(said, PricesOrder):
            jti = order.opened.body.jti
            found |= {lead: OrderedPrice(price, jti, order.at) for lead in lead_ids if (price := said.of(lead))}
    return found


async def proven_rates(conn: Connection, trust: Trust) -> tuple[Rate, ...]:
    """The newest rate of each currency with the one before it, of those that an order proves."""
    found = [await _latest_rates(conn, trust, currency) for currency in CURRENCIES]
    return tuple(
        Rate(currency=newest.currency, gbp=newest.gbp, on=newest.on, before=older[0].gbp if older else None)
        for newest, *older in filter(None, found)
    )


async def _latest_rates(conn: Connection, trust: Trust, currency: str) -> list[RateIn]:
    """The two newest. Rows that prove nothing are passed over, however many: they hide none that does."""
    found: list[RateIn] = []
    before = date.max
    while len(found) < 2 and (rows := await conn.fetch(_RATES, currency, before)):  # noqa: PLR2004
        found += await _proven(conn, trust, rows)
        before = rows[-1]["on_date"]
    return found


async def _proven(conn: Connection, trust: Trust, rows: Sequence[Record]) -> list[RateIn]:
    said = await _by_jti(conn, trust, [row["act_jti"] for row in rows if row["act_jti"]])
    named = [
        (
            said.get(row["act_jti"] or ""),
            RateIn.model_construct(currency=row["currency"], on=row["on_date"], gbp=row["gbp"]),
        )
        for row in rows
    ]
    return [
        one
        for order, one in named
        if order and isinstance(order.opened.result, RatesOrder) and _names(order.opened.result, one)
    ]


def _names(order: RatesOrder, row: RateIn) -> bool:
    return any((one.currency, one.on, one.gbp) == (row.currency, row.on, row.gbp) for one in order.rates)


async def _orders(conn: Connection, trust: Trust, kind: ActKind) -> tuple[Order, ...]:
    rows = await conn.fetch("SELECT * FROM orders WHERE kind = $1 ORDER BY seq", kind.value)
    return _standing(rows, await tenures(conn), trust)


async def _by_jti(conn: Connection, trust: Trust, jtis: Sequence[str]) -> dict[str, Order]:
    rows = await conn.fetch("SELECT * FROM orders WHERE jti = ANY($1) ORDER BY seq", list(set(jtis)))
    return {one.opened.body.jti: one for one in _standing(rows, await tenures(conn), trust)}


def _standing(rows: Sequence[Record], people: Sequence[Tenure], trust: Trust) -> tuple[Order, ...]:
    """In the order they were signed: an order that was held back does not replace a later one."""
    found = [order for row in rows if (order := _stands(row, people, trust))]
    return tuple(sorted(found, key=lambda order: order.opened.body.iat))


def _stands(row: Record, people: Sequence[Tenure], trust: Trust) -> Order | None:
    act = SignedAct.model_construct(body=row["body"], payload=row["payload"], signature=row["signature"])
    try:
        opened = open_act(act, trust.keys)
    except Refused:
        return None
    at, body = row["accepted_at"], opened.body
    retired = opened.retired_at is not None and max(body.iat, int(at.timestamp())) > opened.retired_at
    said = (body.jti, body.kind, body.subject_sha256, body.actor)
    stored = (row["jti"], row["kind"], digest(row["subject"]), Identity(issuer=row["issuer"], sub=row["sub"]))
    if said != stored or retired or misaddressed(body, trust) or untimely(body, int(at.timestamp())):
        return None
    if not may_set(opened, at, people):
        return None
    return Order(opened, at, row["person_id"])


def misaddressed(body: ActBody, trust: Trust) -> str:
    """Why an act is no order of this deployment; "" if it is. Orders name no case, workflow or step."""
    if body.kind not in ORDERS:
        return "unknown-kind"
    if body.deployment != trust.deployment:
        return "wrong-deployment"
    if body.case_id or body.workflow_id or body.step_id:
        return "wrong-case"
    if body.acting_for:
        return "acting-for-not-allowed"
    return may_sign(body.kind, body.auth, local_counts=trust.local_counts)


def may_set(opened: Opened, at: datetime, people: Sequence[Tenure]) -> bool:
    """Whether whoever signed was approver or partner at that moment, and does not make himself a stand-in."""
    who = opened.body.actor
    setter = any(one.role in _SETTERS and one.who == who and one.at(at) for one in people)
    return setter and not (isinstance(opened.result, StandInOrder) and opened.result.stand_in == who)


def today(at: datetime) -> date:
    return at.astimezone(LONDON).date()
