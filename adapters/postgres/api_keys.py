"""API keys: made, shown once, rotated, revoked; and recognised, in the same time whether they are known or not."""

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from asyncpg import Record

from adapters.postgres.pool import Connection, Pool, transaction
from domain.api_keys import MONEY_ROLES, ApiKey, ApiSecret, KeyWorry, Scope, checked_name, service_id, worry
from domain.errors import Refused
from domain.people import Identity, department_in, department_role
from domain.texts import digest

PREFIX = "hf"
MOST_LIVE = 2
_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
_NOBODY = digest(secrets.token_bytes(32))


@dataclass(frozen=True)
class Credential:
    """A key that was recognised, and what is left in its bucket. `wait`: until it may ask again, zero if it may now."""

    name: str
    key_id: str
    role: str
    person_id: str
    scopes: frozenset[Scope]
    per_minute: int
    left: int
    wait: timedelta
    expires_at: datetime

    @property
    def owner(self) -> str:
        """What the tables call whoever has taken a step by this key."""
        return self.person_id or service_id(self.name)


@dataclass(frozen=True)
class Service:
    """As whom a key acts: a department or a person."""

    name: str
    role: str
    person_id: str


class ApiKeys:
    """Works under the door's role. All times are the database's."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(
        self, name: str, acts_as: str, scopes: Sequence[Scope], *, lasts: timedelta, per_minute: int, by: str
    ) -> str:
        """A new key; returns the token, which is shown this once. Raises Refused."""
        async with transaction(self._pool) as conn:
            role, person_id = await _principal(conn, acts_as)
            values = (checked_name(name), role, person_id, [one.value for one in scopes], per_minute, by)
            if not await conn.fetchval(_INSERT, *values):
                raise Refused("key-exists", f"there is a key {name}: rotate it, or choose another name")
            return await _new_secret(conn, name, lasts, by)

    async def rotate(self, name: str, *, lasts: timedelta, overlap: timedelta, by: str) -> str:
        """A second secret beside the present one, which counts for `overlap` from now on at most. Raises Refused."""
        async with transaction(self._pool) as conn:
            if not await conn.fetchval(_LOCK, name):
                raise Refused("no-such-key", f"there is no key {name} that counts")
            await conn.execute(_KEEP_NEWEST, name, MOST_LIVE - 1, by)
            await conn.execute(_SHORTEN, name, overlap)
            return await _new_secret(conn, name, lasts, by)

    async def revoke(self, what: str, by: str) -> int:
        """A key by its name, or one secret by its id: from now on, for ever. Returns how many secrets that ended."""
        async with transaction(self._pool) as conn:
            known = await conn.fetchval(_KNOWN, what)
            ended = await conn.fetch(_REVOKE, what, by)
            await conn.execute(_REVOKE_KEY, what, by)
        if not known:
            raise Refused("no-such-key", f"there is no key and no secret {what}: `holdfast api-key list` shows them")
        return len(ended)

    async def list(self) -> tuple[ApiKey, ...]:
        async with transaction(self._pool, reading=True) as conn:
            keys = await conn.fetch("SELECT * FROM api_keys ORDER BY name")
            rows = await conn.fetch(_SECRETS)
        return tuple(_key(key, [row for row in rows if row["name"] == key["name"]]) for key in keys)

    async def worries(self) -> tuple[KeyWorry, ...]:
        """What somebody should look at, key by key."""
        async with transaction(self._pool, reading=True) as conn:
            now = await conn.fetchval("SELECT holdfast_now()")
        return tuple(found for key in await self.list() if (found := worry(key, now)))

    async def recognise(self, token: str) -> Credential:
        """The key of a token, and one request taken from its bucket.

        Raises Refused `api-key-unknown`, or `api-key-expired` or `api-key-revoked` for a secret that is right.
        """
        key_id, secret = _parts(token)
        async with transaction(self._pool) as conn:
            row = await conn.fetchrow(_FIND, key_id)
            good = hmac.compare_digest(digest(secret), row["secret_sha256"] if row else _NOBODY)
            if row is None or not good:
                raise Refused("api-key-unknown", "This API key is not known here.")
            if row["revoked"]:
                raise Refused("api-key-revoked", "This API key was revoked: ask Operations for another one.")
            if row["expired"]:
                raise Refused("api-key-expired", "This API key has expired: ask Operations to rotate it.")
            bucket = await conn.fetchrow(_TAKE, row["name"])
            await conn.execute(_USED, key_id)
        assert bucket is not None
        return _credential(row, bucket)


async def service_of(conn: Connection, identity: Identity) -> Service | None:
    """As whom the key of an act's actor acts; None if it was revoked since, or never was."""
    row = await conn.fetchrow(_SERVICE, identity.sub)
    return Service(**dict(row)) if row else None


async def _principal(conn: Connection, acts_as: str) -> tuple[str, str]:
    """A team's or a department's role, or a person's id; the other one empty. Raises Refused."""
    if acts_as in MONEY_ROLES:
        raise Refused("no-money-by-key", "no key acts for Accounts, approver or partner: they sign in themselves")
    if await conn.fetchval("SELECT true FROM departments WHERE role = $1", acts_as):
        return acts_as, ""
    if (asked := department_in(acts_as)) and await conn.fetchval(_IN_THE_DIRECTORY, asked.slug):
        return department_role(asked.slug), ""
    if await conn.fetchval("SELECT true FROM people WHERE person_id = $1 AND active", acts_as):
        return "", acts_as
    raise Refused("unknown-principal", f"there is neither a team, a department nor an active person {acts_as}")


async def _new_secret(conn: Connection, name: str, lasts: timedelta, by: str) -> str:
    key_id = "".join(secrets.choice(_LETTERS) for _ in range(12))
    secret = secrets.token_urlsafe(32)
    await conn.execute(_INSERT_ONE, key_id, name, digest(secret), by, lasts)
    return f"{PREFIX}_{key_id}_{secret}"


def _parts(token: str) -> tuple[str, str]:
    """Whatever was sent has an id and a secret, if only empty ones: so that all take the same way."""
    prefix, _, rest = token.partition("_")
    key_id, _, secret = rest.partition("_")
    return (key_id, secret) if prefix == PREFIX and token.isascii() and "\0" not in token else ("", token[:100])


def _credential(row: Record, bucket: Record) -> Credential:
    missing = 0.0 if bucket["taken"] else 1 - bucket["tokens"]
    return Credential(
        name=row["name"],
        key_id=row["key_id"],
        role=row["role"],
        person_id=row["person_id"],
        scopes=frozenset(Scope(one) for one in row["scopes"] if one in set(Scope)),
        per_minute=row["per_minute"],
        left=int(bucket["tokens"]),
        wait=timedelta(seconds=missing * 60 / row["per_minute"]),
        expires_at=row["expires_at"],
    )


def _key(key: Record, rows: Sequence[Record]) -> ApiKey:
    known: dict[str, Any] = {name: key[name] for name in ApiKey.model_fields if name != "secrets"}
    found = tuple(ApiSecret(**{name: row[name] for name in ApiSecret.model_fields}) for row in rows)
    return ApiKey.model_validate(known | {"secrets": found})


_IN_THE_DIRECTORY = "SELECT true FROM directory_on(holdfast_today()) WHERE slug = $1"
_INSERT = """INSERT INTO api_keys (name, role, person_id, scopes, per_minute, tokens, created_by)
    VALUES ($1, $2, $3, $4, $5::int, $5::int, $6) ON CONFLICT DO NOTHING RETURNING true"""
_INSERT_ONE = """INSERT INTO api_key_secrets (key_id, name, secret_sha256, created_by, expires_at)
    VALUES ($1, $2, $3, $4, holdfast_now() + $5::interval)"""
_LOCK = "SELECT true FROM api_keys WHERE name = $1 AND revoked_at IS NULL FOR UPDATE"
_KEEP_NEWEST = """UPDATE api_key_secrets SET revoked_at = holdfast_now(), revoked_by = $3 WHERE key_id IN (
    SELECT key_id FROM api_key_secrets WHERE name = $1 AND revoked_at IS NULL AND expires_at > holdfast_now()
    ORDER BY created_at DESC, key_id OFFSET $2)"""
_SHORTEN = """UPDATE api_key_secrets SET expires_at = least(expires_at, holdfast_now() + $2::interval)
    WHERE name = $1 AND revoked_at IS NULL AND expires_at > holdfast_now()"""
_KNOWN = """SELECT EXISTS (SELECT FROM api_keys WHERE name = $1)
    OR EXISTS (SELECT FROM api_key_secrets WHERE key_id = $1)"""
_REVOKE = """UPDATE api_key_secrets SET revoked_at = holdfast_now(), revoked_by = $2
    WHERE (name = $1 OR key_id = $1) AND revoked_at IS NULL AND expires_at > holdfast_now() RETURNING key_id"""
_REVOKE_KEY = "UPDATE api_keys SET revoked_at = holdfast_now(), revoked_by = $2 WHERE name = $1 AND revoked_at IS NULL"
_SECRETS = """SELECT *, CASE WHEN revoked_at IS NOT NULL THEN 'revoked'
        WHEN expires_at <= holdfast_now() THEN 'expired' ELSE 'live' END AS state
    FROM api_key_secrets ORDER BY name, created_at, key_id"""
_FIND = """SELECT s.key_id, s.secret_sha256, s.expires_at, s.expires_at <= holdfast_now() AS expired,
        s.revoked_at IS NOT NULL OR k.revoked_at IS NOT NULL AS revoked, k.name, k.role, k.person_id, k.scopes,
        k.per_minute
    FROM api_key_secrets s JOIN api_keys k USING (name) WHERE s.key_id = $1"""
_TAKE = """
    WITH bucket AS (
        SELECT name, least(per_minute, tokens + per_minute / 60.0
            * greatest(0, extract(epoch FROM holdfast_now() - refilled_at)::double precision)) AS filled
        FROM api_keys WHERE name = $1 FOR UPDATE)
    UPDATE api_keys k SET tokens = CASE WHEN b.filled >= 1 THEN b.filled - 1 ELSE b.filled END,
        refilled_at = holdfast_now()
    FROM bucket b WHERE k.name = b.name RETURNING b.filled >= 1 AS taken, k.tokens"""
_USED = "UPDATE api_key_secrets SET last_used_at = holdfast_now() WHERE key_id = $1"
_SERVICE = """SELECT k.name, k.role, k.person_id FROM api_key_secrets s JOIN api_keys k USING (name)
    WHERE s.key_id = $1 AND s.revoked_at IS NULL AND k.revoked_at IS NULL"""
