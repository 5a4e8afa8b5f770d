"""The effects ledger: one row per effect, so that each appears once in the world, or a person knows why not.

    prepared -> sending -> sent | unknown | abandoned

`claim_rows` and `settle_rows` are for whoever has a transaction of his own (the money gate); PostgresLedger wraps them.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

from asyncpg import Record
from pydantic import JsonValue, TypeAdapter

from activities.ports import Claim, Intent, Settled
from adapters.postgres import policy
from adapters.postgres.audit import Entry, append_events
from adapters.postgres.crypto import Vault
from adapters.postgres.pool import Connection, Pool, transaction
from domain.case import EventKind
from domain.effects import Effect, Gated, SendLetter, in_words
from domain.errors import Refused
from domain.rules.permits import Done

EFFECT: TypeAdapter[Effect] = TypeAdapter(Effect)
_GATED_TYPES = get_args(Gated)
_LOOP_IN = "loop-in"


_ABANDON = """UPDATE effects SET state = 'abandoned', code = $3, settled_at = holdfast_now()
    WHERE case_id = $1 AND key = ANY($2) AND NOT gated AND state IN ('prepared', 'sending', 'unknown')"""
_REOPEN = """UPDATE effects SET state = 'prepared', settled_at = NULL
    WHERE case_id = $1 AND key = ANY($2) AND NOT gated AND state = 'unknown'"""


def is_gated(effect: Effect) -> bool:
    """Whether only the money worker may carry it out."""
    return isinstance(effect, _GATED_TYPES)


class PostgresLedger:
    """activities.ports.Ledger, for the effects that are not gated."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool = pool
        self._vault = vault

    async def prepare(self, case_id: str, effects: Sequence[Effect]) -> None:
        async with transaction(self._pool) as conn:
            await prepare_rows(conn, case_id, effects)

    async def claim(self, case_id: str, intents: Sequence[Intent]) -> tuple[Claim, ...]:
        async with transaction(self._pool) as conn:
            claims = await claim_rows(conn, case_id, intents, gated=False)
            await append_events(conn, self._vault, case_id, await held_events(conn, intents, claims))
        return claims

    async def settle(self, case_id: str, results: Sequence[Settled]) -> None:
        async with transaction(self._pool) as conn:
            entries = await settle_rows(conn, case_id, results, gated=False)
            await append_events(conn, self._vault, case_id, entries)

    async def read(self, case_id: str, keys: Sequence[str]) -> tuple[tuple[Effect, str], ...]:
        async with transaction(self._pool) as conn:
            return await read_rows(conn, case_id, keys)

    async def abandon(self, case_id: str, keys: Sequence[str], code: str) -> None:
        """Marks effects as waived: never claimed after this. Gated ones, and those without a row, are left alone."""
        async with transaction(self._pool) as conn:
            await conn.execute(_ABANDON, case_id, list(keys), code)

    async def reopen(self, case_id: str, keys: Sequence[str]) -> None:
        async with transaction(self._pool) as conn:
            await conn.execute(_REOPEN, case_id, list(keys))


async def prepare_rows(conn: Connection, case_id: str, effects: Sequence[Effect]) -> None:
    """Writes missing rows as `prepared`. Raises Refused `another-effect` if a key is taken by another case or kind."""
    # In the order of their keys, so that two transactions with the same effects can't wait for each other.
    rows = [_new_row(case_id, effect) for effect in sorted(effects, key=lambda one: one.key)]
    await conn.executemany(
        """INSERT INTO effects (key, case_id, kind, clause, gated, body, state)
           VALUES ($1, $2, $3, $4, $5, $6, 'prepared') ON CONFLICT (key) DO NOTHING""",
        rows,
    )
    query = "SELECT key, case_id, kind FROM effects WHERE key = ANY($1)"
    _same(case_id, effects, await conn.fetch(query, [effect.key for effect in effects]))


async def claim_rows(conn: Connection, case_id: str, intents: Sequence[Intent], *, gated: bool) -> tuple[Claim, ...]:
    """Locks the rows and turns those that may go to `sending`; the caller commits before anything is called.

    `gated`: the kind of all of them. Raises Refused `gated`, `not-gated`, `another-effect` or `twice`.
    """
    effects = [intent.effect for intent in intents]
    _check(effects, gated=gated)
    await prepare_rows(conn, case_id, effects)
    rows = await _locked(conn, case_id, [effect.key for effect in effects])
    client_id = await conn.fetchval("SELECT client_id FROM cases WHERE case_id = $1", case_id) or ""
    on_hold, outbound = await policy.why_on_hold(conn, client_id), await policy.outbound(conn)
    claims: list[Claim] = []
    for intent in intents:
        held = outbound.why_held(intent.recipients) or (on_hold if intent.recipients else "")
        claims.append(_judge(rows[intent.effect.key], held))
    await _write_claims(conn, intents, claims)
    return tuple(claims)


async def held_events(conn: Connection, intents: Sequence[Intent], claims: Sequence[Claim]) -> list[Entry]:
    """The audit events of a claim: what is held back, told once per attempt. Append them last."""
    held = {claim.key: claim for claim in claims if claim.verdict == "held"}
    if not held:
        return []
    now = await conn.fetchval("SELECT holdfast_now()")
    return [
        _entry(
            intent.effect,
            EventKind.EFFECT_HELD,
            now,
            held[intent.effect.key].code,
            attempt=held[intent.effect.key].attempt,
        )
        for intent in intents
        if intent.effect.key in held
    ]


async def settle_rows(conn: Connection, case_id: str, results: Sequence[Settled], *, gated: bool) -> list[Entry]:
    """Writes what became of claimed effects and returns the audit events, to be appended last.

    `sent` is believed whatever the row says, and never changes again; anything else counts only for the attempt that
    is in flight. Raises Refused `no-such-effect`, `gated` or `not-gated`.
    """
    _check([result.effect for result in results], gated=gated)
    if any(result.state == "sent" and _says_looped_in(result.effect) for result in results):
        await conn.execute(
            "UPDATE cases SET looped_in_at = coalesce(looped_in_at, holdfast_now()) WHERE case_id = $1", case_id
        )
    rows = await _locked(conn, case_id, [result.effect.key for result in results])
    entries: list[Entry] = []
    for result in results:
        row = rows.get(result.effect.key)
        if row is None:
            raise Refused("no-such-effect", f"effect {result.effect.key} was never claimed")
        if _counts(row, result):
            await _write_result(conn, case_id, result)
            entries.append(_told(row, result))
    return entries


_SENT = """SELECT e.key, array_agg(ea.jti) AS jtis
    FROM effects e JOIN effect_acts ea ON ea.key = e.key AND ea.attempt = e.attempts
    WHERE e.case_id = $1 AND e.gated AND e.state = 'sent' GROUP BY e.key"""


async def sent_effects(conn: Connection, case_id: str) -> tuple[Done, ...]:
    """The gated effects of a case that were sent, each with the acts it rests on."""
    rows = {row["key"]: frozenset[str](row["jtis"]) for row in await conn.fetch(_SENT, case_id)}
    effects = await read_rows(conn, case_id, list(rows))
    return tuple(Done(effect.key, effect, rows[effect.key]) for effect, _ in effects if effect.key in rows)


async def read_rows(conn: Connection, case_id: str, keys: Sequence[str]) -> tuple[tuple[Effect, str], ...]:
    query = "SELECT key, body, state FROM effects WHERE case_id = $1 AND key = ANY($2)"
    found = {row["key"]: row for row in await conn.fetch(query, case_id, list(keys))}
    return tuple((EFFECT.validate_python(found[key]["body"]), found[key]["state"]) for key in keys if key in found)


def _new_row(case_id: str, effect: Effect) -> tuple[Any, ...]:
    body = effect.model_dump(mode="json")
    return (effect.key, case_id, effect.kind, effect.clause, is_gated(effect), body)


def _check(effects: Sequence[Effect], *, gated: bool) -> None:
    if len({effect.key for effect in effects}) != len(effects):
        raise Refused("twice", "the same effect is named twice")
    if any(is_gated(effect) != gated for effect in effects):
        code = "not-gated" if gated else "gated"
        raise Refused(code, "effects about money are carried out by the money worker, and it carries out no others")


def _same(case_id: str, effects: Sequence[Effect], rows: Sequence[Record]) -> None:
    found = {row["key"]: (row["case_id"], row["kind"]) for row in rows}
    for effect in effects:
        if found[effect.key] != (case_id, effect.kind):
            raise Refused("another-effect", f"the key {effect.key} belongs to another case or another kind of effect")


async def _locked(conn: Connection, case_id: str, keys: Sequence[str]) -> dict[str, Record]:
    query = """SELECT key, state, reference, code, attempts, data, holdfast_now() AS now,
                      extract(epoch FROM holdfast_now() - sending_at)::float8 AS seconds
               FROM effects WHERE case_id = $1 AND key = ANY($2) ORDER BY key FOR UPDATE"""
    return {row["key"]: row for row in await conn.fetch(query, case_id, list(keys))}


def _judge(row: Record, held: str) -> Claim:
    key, state, attempt = row["key"], row["state"], row["attempts"]
    match state:
        case "prepared" if held:
            return Claim(key, "held", code=held, attempt=attempt)
        case "prepared":
            return Claim(key, "go", code=row["code"], attempt=attempt + 1)
        case "sending":
            return Claim(key, "look", row["reference"], row["code"], row["seconds"], row["data"], attempt)
        case _:
            return Claim(key, state, row["reference"], row["code"], data=row["data"], attempt=attempt)


async def _write_claims(conn: Connection, intents: Sequence[Intent], claims: Sequence[Claim]) -> None:
    pairs = list(zip(intents, claims, strict=True))
    await conn.executemany(
        """UPDATE effects SET state = 'sending', attempts = attempts + 1, sending_at = holdfast_now(), body_sha256 = $2
           WHERE key = $1""",
        [(claim.key, intent.body_sha256) for intent, claim in pairs if claim.verdict == "go"],
    )
    await conn.executemany(
        "UPDATE effects SET code = $2 WHERE key = $1",
        [(claim.key, claim.code) for claim in claims if claim.verdict == "held"],
    )


def _counts(row: Record, result: Settled) -> bool:
    if row["state"] == "sent":
        return False
    in_flight = row["state"] == "sending" and result.attempt in {0, row["attempts"]}
    return result.state == "sent" or in_flight


async def _write_result(conn: Connection, case_id: str, result: Settled) -> None:
    await conn.execute(
        """UPDATE effects SET state = $2, reference = $3, code = $4, data = $5,
                  settled_at = CASE WHEN $2 = 'prepared' THEN NULL ELSE holdfast_now() END WHERE key = $1""",
        result.effect.key, result.state, result.reference, result.code, dict(result.data),
    )  # fmt: skip
    if result.message_id and result.state != "prepared":
        await conn.execute(
            "INSERT INTO mail_threads VALUES ($1, $2) ON CONFLICT (message_id) DO NOTHING", result.message_id, case_id
        )


def _told(row: Record, result: Settled) -> Entry:
    kinds = {
        "sent": EventKind.EFFECT_SENT,
        "unknown": EventKind.EFFECT_UNKNOWN,
        "prepared": EventKind.EFFECT_FAILED,
    }
    told = _entry(
        result.effect, kinds[result.state], row["now"], result.code, reference=result.reference, attempt=row["attempts"]
    )
    tried = result.data.get("tried")
    return _with_channels(told, tried) if isinstance(tried, list) else told


def _with_channels(told: Entry, tried: Sequence[JsonValue]) -> Entry:
    """A channel that was passed over stands in the case's timeline beside what became of the effect."""
    ways = [one for one in tried if isinstance(one, dict)]
    over = ", ".join(f"{one['channel']} {one['ended']}: {one['code']}" for one in ways if one["ended"] != "sent")
    text = f"{told.text} ({over})" if over else told.text
    return replace(told, text=text, data={**told.data, "tried": list(tried)})


def _entry(effect: Effect, kind: EventKind, at: Any, code: str, *, reference: str = "", attempt: int) -> Entry:
    state = kind.value.removeprefix("effect.")
    return Entry(
        kind=kind,
        clause=effect.clause,
        at=at,
        step_id=getattr(effect, "step_id", ""),
        text=in_words(effect),
        data={"effect": effect.key, "kind": effect.kind, "reference": reference, "code": code, "attempt": attempt},
        dedupe=f"effect:{effect.key}:{state}:{attempt}",
    )


def _says_looped_in(effect: Effect) -> bool:
    return isinstance(effect, SendLetter) and effect.template == _LOOP_IN
