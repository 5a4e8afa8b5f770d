"""Orders: limits, VAT, prices, rates and stand-ins, changed only by signed acts of the approver or a partner who is not
involved.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from pydantic import JsonValue

from adapters.postgres.audit import Entry, append_events
from adapters.postgres.crypto import Vault
from adapters.postgres.directory import person_by_identity
from adapters.postgres.money_changes import tell_approver
from adapters.postgres.orders_proven import Tenure, may_set, misaddressed, tenures, today
from adapters.postgres.pool import Connection, Pool, transaction
from domain.case import EventKind, Model
from domain.errors import Refused
from domain.messages import SignedAct
from domain.orders import PolicyOrder, Present, PricesOrder, RatesOrder, StandInOrder
from domain.people import Identity, Role
from domain.rules import acts as rules
from domain.rules.acts import Opened
from domain.rules.stored_acts import Trust

_LOCK = 4_846_377_005


class Orders:
    """Under the door's role: an order is stored with what follows from it in one transaction, never backdated."""

    def __init__(self, pool: Pool, vault: Vault, trust: Trust) -> None:
        self._pool, self._vault, self._trust = pool, vault, trust

    async def present(self, result: Model) -> Present:
        """What an order would change, as it stands now: what is signed beside it."""
        async with transaction(self._pool, reading=True) as conn:
            return await _present(conn, result)

    async def refusal(self, result: Model, who: Identity) -> str:
        """Why this person could not give this order now; "" if nothing speaks against it."""
        async with transaction(self._pool, reading=True) as conn:
            now = await conn.fetchval("SELECT holdfast_now()")
            return await _unfit(conn, result, who, now, await tenures(conn))

    async def record(self, act: SignedAct) -> str:
        """Judges a signed order, stores it and puts it in force. Returns its number; the very same act again changes
        nothing. Raises Refused, with an audit event, and nothing is changed then.
        """
        try:
            opened = rules.open_act(act, self._trust.keys)
        except Refused as refused:
            await self._tell(act, refused.code)
            raise
        async with transaction(self._pool) as conn:
            await conn.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            code = await self._judge(conn, opened)
            if not code and not await _known(conn, opened):
                await self._store(conn, opened)
            elif code:
                await append_events(conn, self._vault, "", [await _refused(conn, act, code)])
        if code:
            raise rules.refuse(code)
        return opened.body.jti

    async def _tell(self, act: SignedAct, code: str) -> None:
        async with transaction(self._pool) as conn:
            await append_events(conn, self._vault, "", [await _refused(conn, act, code)])

    async def _judge(self, conn: Connection, opened: Opened) -> str:
        if await _known(conn, opened):
            return "" if await _same(conn, opened) else "jti-reused"
        now = await conn.fetchval("SELECT holdfast_now()")
        if code := misaddressed(opened.body, self._trust):
            return code
        if opened.retired_at is not None:
            return "retired-key"
        if code := rules.untimely(opened.body, int(now.timestamp())):
            return code
        people = await tenures(conn)
        if not may_set(opened, now, people):
            return "involved" if _is_setter(opened.body.actor, now, people) else "not-a-setter"
        code = await _unfit(conn, opened.result, opened.body.actor, now, people)
        changed = (await _present(conn, opened.result)).sha256 != opened.body.subject_sha256
        return code or ("subject-changed" if changed else "")

    async def _store(self, conn: Connection, opened: Opened) -> None:
        present = await _present(conn, opened.result)
        person = await person_by_identity(conn, opened.body.actor)
        who = person.person_id if person else f"{opened.body.actor.issuer}|{opened.body.actor.sub}"
        body, act = opened.body, opened.act
        at = await conn.fetchval(
            """INSERT INTO orders (jti, kind, issuer, sub, person_id, body, payload, signature, subject)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING accepted_at""",
            body.jti, body.kind, body.actor.issuer, body.actor.sub, who, act.body, act.payload, act.signature,
            present.json_text,
        )  # fmt: skip
        await _put_in_force(conn, opened)
        data: dict[str, JsonValue] = {"jti": body.jti, "kid": body.kid, "kind": body.kind, "auth": body.auth}
        data |= {"actor": body.actor.model_dump(mode="json"), "before": present.model_dump(mode="json")}
        data |= {"result": opened.result.model_dump(mode="json")}
        if isinstance(opened.result, StandInOrder):
            await tell_approver(conn, body.jti, [await _in_words(conn, opened.result, person.name if person else who)])
        text = f"{who} signed {body.kind}."
        entry = Entry(EventKind.ACT_ACCEPTED, "RL-14", at, actor=who, text=text, data=data, dedupe=f"act:{body.jti}")
        await append_events(conn, self._vault, "", [entry])


async def read_settings(pool: Pool) -> tuple[Mapping[str, Any], ...]:
    """Every version of every setting of the rules, the newest first: name, version, value, since, jti."""
    columns = "name, version, value, since, coalesce(act_jti, '') AS jti"
    query = f"SELECT {columns} FROM policy ORDER BY name, version DESC"  # noqa: S608 - constants
    async with transaction(pool, reading=True) as conn:
        return tuple(dict(row) for row in await conn.fetch(query))


async def read_orders(pool: Pool, most: int = 100) -> tuple[Mapping[str, Any], ...]:
    """What was signed, the newest first: jti, kind, person_id, accepted_at, payload."""
    query = "SELECT jti, kind, person_id, accepted_at, payload FROM orders ORDER BY seq DESC LIMIT $1"
    async with transaction(pool, reading=True) as conn:
        return tuple(dict(row) for row in await conn.fetch(query, most))


async def _in_words(conn: Connection, order: StandInOrder, who: str) -> str:
    people = [await person_by_identity(conn, one) for one in (order.stand_in, order.approver)]
    stands_in, approver = [
        person.name if person else one.sub for person, one in zip(people, (order.stand_in, order.approver), strict=True)
    ]
    days = f"from {order.starts} to {order.ends}, up to GBP {order.ceiling_gbp:,.2f}"
    return f"{stands_in} stands in for {approver} {days}; signed by {who}"


async def _known(conn: Connection, opened: Opened) -> bool:
    return bool(await conn.fetchval("SELECT true FROM orders WHERE jti = $1", opened.body.jti))


async def _same(conn: Connection, opened: Opened) -> bool:
    row = await conn.fetchrow("SELECT body, payload, signature FROM orders WHERE jti = $1", opened.body.jti)
    return row is not None and tuple(row) == (opened.act.body, opened.act.payload, opened.act.signature)


async def _refused(conn: Connection, act: SignedAct, code: str) -> Entry:
    now, digest = await conn.fetchval("SELECT holdfast_now()"), rules.fingerprint(act)
    data: dict[str, JsonValue] = {"code": code, "digest": digest}
    return Entry(
        EventKind.ACT_REFUSED, "RL-14", now, text=rules.sentence(code), data=data, dedupe=f"refused:{code}:{digest}"
    )


async def _put_in_force(conn: Connection, opened: Opened) -> None:
    match opened.result:
        case PolicyOrder(name=name, value=value):
            await conn.execute(_NEXT_VERSION, name, value.model_dump(mode="json"), opened.body.jti)
        case RatesOrder(rates=rates):
            rows = [(one.currency, one.on, one.gbp, opened.body.jti) for one in rates]
            await conn.executemany("INSERT INTO rates (currency, on_date, gbp, act_jti) VALUES ($1, $2, $3, $4)", rows)
        case PricesOrder(prices=prices):
            jti = opened.body.jti
            said = [(one.lead_id, one.price.amount, one.price.currency, jti) for one in prices]
            await conn.executemany(NEXT_PRICE, said)
        case _:
            pass  # who stands in is read out of the orders themselves


_NEXT_VERSION = """INSERT INTO policy (name, version, value, act_jti)
    SELECT $1, coalesce(max(version), 0) + 1, $2, $3 FROM policy WHERE name = $1"""
NEXT_PRICE = "INSERT INTO lead_prices (lead_id, version, price, currency, act_jti) VALUES ($1, 0, $2, $3, $4)"
_PRICES = """SELECT DISTINCT ON (lead_id) lead_id, price, currency, version FROM lead_prices WHERE lead_id = ANY($1)
    ORDER BY lead_id, version DESC"""
_INVOLVED = """SELECT true FROM acts a JOIN cases c USING (case_id)
    WHERE a.issuer = $1 AND a.sub = $2 AND a.kind IN ('return.findings', 'return.confirm', 'return.decided')
      AND c.status = 'open' LIMIT 1"""


async def _present(conn: Connection, result: Model) -> Present:
    match result:
        case PolicyOrder(name=name):
            row = await conn.fetchrow(
                "SELECT version, value FROM policy WHERE name = $1 ORDER BY version DESC LIMIT 1", name
            )
            return Present(of="policy", facts={"name": name, **(dict(row) if row else {})})
        case RatesOrder():
            query = "SELECT DISTINCT ON (currency) currency, on_date, gbp FROM rates ORDER BY currency, on_date DESC"
            rows = await conn.fetch(query)
            return Present(of="rates", facts={row["currency"]: f"{row['gbp']} {row['on_date']}" for row in rows})
        case PricesOrder(prices=prices):
            rows = await conn.fetch(_PRICES, [one.lead_id for one in prices])
            now = {row["lead_id"]: f"{row['currency']} {row['price']} version {row['version']}" for row in rows}
            return Present(of="prices", facts=dict(now))
        case _:
            count = await conn.fetchval("SELECT count(*) FROM orders WHERE kind = 'standin.set'")
            return Present(of="stand-ins", facts={"orders": count})


async def _unfit(conn: Connection, result: Model, who: Identity, now: datetime, people: tuple[Tenure, ...]) -> str:
    if not _is_setter(who, now, people):
        return "not-a-setter"
    if await conn.fetchval(_INVOLVED, who.issuer, who.sub):
        return "involved"
    match result:
        case PolicyOrder():
            return "" if result.fits else "unknown-policy"
        case PricesOrder():
            return await _unfit_prices(conn, result)
        case RatesOrder():
            return await _unfit_rates(conn, result, now)
        case StandInOrder():
            return _unfit_stand_in(result, who, now, people)
        case _:
            return "unknown-kind"


async def _unfit_prices(conn: Connection, order: PricesOrder) -> str:
    named = [one.lead_id for one in order.prices]
    known = await conn.fetchval("SELECT count(*) FROM leads WHERE lead_id = ANY($1)", named)
    return "" if named and len(set(named)) == len(named) == known else "prices-do-not-fit"


async def _unfit_rates(conn: Connection, order: RatesOrder, now: datetime) -> str:
    named = [one.currency for one in order.rates]
    newest = {
        row["currency"]: row["on_date"]
        for row in await conn.fetch("SELECT currency, max(on_date) AS on_date FROM rates GROUP BY currency")
    }
    fits = named and len(set(named)) == len(named) and "GBP" not in named
    newer = all(newest.get(one.currency, date.min) < one.on <= today(now) for one in order.rates)
    return "" if fits and newer else "rates-do-not-fit"


def _unfit_stand_in(order: StandInOrder, who: Identity, now: datetime, people: tuple[Tenure, ...]) -> str:
    if order.stand_in == who or order.stand_in == order.approver:  # noqa: PLR1714 - no hash that pyright knows
        return "involved"
    if not any(one.role == Role.APPROVER and one.who == order.approver and one.at(now) for one in people):
        return "not-an-approver"
    return "" if today(now) <= order.starts <= order.ends else "backdated"


def _is_setter(who: Identity, now: datetime, people: tuple[Tenure, ...]) -> bool:
    roles = {Role.APPROVER.value, Role.PARTNER.value}
    return any(one.role in roles and one.who == who and one.at(now) for one in people)
