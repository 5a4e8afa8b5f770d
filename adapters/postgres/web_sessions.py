"""Who is signed in to the pages: sign-ins under way, and sessions that can be revoked and end by themselves.

Tokens stand in the tables only as their SHA-256. All times are the database's.
"""

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from adapters.postgres.pool import Pool, transaction
from domain.people import Identity
from domain.texts import digest

LOGIN_LASTS = timedelta(minutes=10)
IDLE = timedelta(hours=2)
LONGEST = timedelta(hours=12)
_NOTED_EVERY = timedelta(minutes=1)
_KEPT = timedelta(days=30)


@dataclass(frozen=True)
class PendingLogin:
    """A sign-in that was begun here. `fresh`: the provider was told to ask for the password anew."""

    nonce: str
    verifier: str
    next: str
    fresh: bool
    started_at: datetime


@dataclass(frozen=True)
class WebSession:
    """`auth_time`: when the provider last asked for the password. `now`: database time at this request."""

    token: str
    identity: Identity
    auth_time: datetime
    started_at: datetime
    now: datetime

    @property
    def csrf(self) -> str:
        """The token that every form of this session carries; it can't be told from another session's."""
        return hmac.digest(self.token.encode(), b"holdfast-csrf", "sha256").hex()

    def fresh_until(self, age: timedelta) -> datetime:
        return self.auth_time + age

    def is_fresh(self, age: timedelta) -> bool:
        return self.now <= self.fresh_until(age)


class WebSessions:
    """Works under the door's role."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def begin(self, browser: str, state: str, nonce: str, verifier: str, target: str, *, fresh: bool) -> None:
        """Notes a sign-in under way, for ten minutes and for this browser only."""
        async with transaction(self._pool) as conn:
            await conn.execute("DELETE FROM web_logins WHERE started_at < holdfast_now() - $1::interval", LOGIN_LASTS)
            await conn.execute(
                "INSERT INTO web_logins (state_sha256, browser_sha256, nonce, verifier, next, fresh) "
                "VALUES ($1, $2, $3, $4, $5, $6)",
                digest(state), digest(browser), nonce, verifier, target, fresh,
            )  # fmt: skip

    async def finish(self, browser: str, state: str) -> PendingLogin | None:
        """The sign-in that this browser began, once; None if it did not, or too long ago."""
        async with transaction(self._pool) as conn:
            row = await conn.fetchrow(_FINISH, digest(state), digest(browser), LOGIN_LASTS)
        return PendingLogin(**dict(row)) if row else None

    async def now(self) -> datetime:
        async with transaction(self._pool, reading=True) as conn:
            return await conn.fetchval("SELECT holdfast_now()")

    async def open(self, identity: Identity, auth_time: datetime, replaces: str = "") -> str:
        """A new session; returns its token, which only the browser keeps. The one it replaces is revoked."""
        token = secrets.token_urlsafe(32)
        async with transaction(self._pool) as conn:
            await conn.execute("DELETE FROM web_sessions WHERE seen_at < holdfast_now() - $1::interval", _KEPT)
            await conn.execute(_REVOKE, digest(replaces))
            await conn.execute(
                "INSERT INTO web_sessions (token_sha256, issuer, sub, auth_time) VALUES ($1, $2, $3, $4)",
                digest(token), identity.issuer, identity.sub, auth_time,
            )  # fmt: skip
        return token

    async def find(self, token: str, *, used: bool = True) -> WebSession | None:
        """The session of a token, unless it was revoked, left idle for two hours, or is twelve hours old.

        `used`: somebody did something; a page that looks for news by itself keeps no session alive.
        """
        async with transaction(self._pool) as conn:
            row = await conn.fetchrow(_FIND, digest(token), IDLE, LONGEST)
            if row is None:
                return None
            if used and row["now"] - row["seen_at"] > _NOTED_EVERY:
                await conn.execute(_SEEN, digest(token))
        identity = Identity(issuer=row["issuer"], sub=row["sub"])
        return WebSession(token, identity, row["auth_time"], row["started_at"], row["now"])

    async def revoke(self, token: str) -> None:
        async with transaction(self._pool) as conn:
            await conn.execute(_REVOKE, digest(token))

    async def revoke_all(self, identity: Identity) -> int:
        """Ends every session of a person; returns how many there were."""
        async with transaction(self._pool) as conn:
            done = await conn.execute(_REVOKE_ALL, identity.issuer, identity.sub)
        return int(done.rpartition(" ")[2])


_FINISH = """DELETE FROM web_logins
    WHERE state_sha256 = $1 AND browser_sha256 = $2 AND started_at >= holdfast_now() - $3::interval
    RETURNING nonce, verifier, next, fresh, started_at"""
_FIND = """SELECT issuer, sub, auth_time, started_at, seen_at, holdfast_now() AS now FROM web_sessions
    WHERE token_sha256 = $1 AND revoked_at IS NULL
      AND seen_at >= holdfast_now() - $2::interval AND started_at >= holdfast_now() - $3::interval"""
_SEEN = "UPDATE web_sessions SET seen_at = holdfast_now() WHERE token_sha256 = $1"
_REVOKE = "UPDATE web_sessions SET revoked_at = holdfast_now() WHERE token_sha256 = $1 AND revoked_at IS NULL"
_REVOKE_ALL = """UPDATE web_sessions SET revoked_at = holdfast_now()
    WHERE issuer = $1 AND sub = $2 AND revoked_at IS NULL"""
