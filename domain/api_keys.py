"""Keys by which other systems come in: each a named service that acts as a person or a department, never for money."""

import re
from datetime import datetime, timedelta
from enum import StrEnum

from domain.case import Model
from domain.errors import Refused
from domain.people import Identity, Role

ISSUER = "api-key"
"""Who vouches for a key's identity. Its subject is the id of the secret that was shown, so that an act names it."""
MONEY_ROLES = frozenset({Role.ACCOUNTS, Role.APPROVER, Role.PARTNER})
SOON = timedelta(days=14)
UNUSED = timedelta(days=90)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,39}")


class Scope(StrEnum):
    """What a key may be used for. None of them reaches money: that is for people who sign in."""

    READ = "cases:read"
    START = "cases:start"
    ACT = "steps:act"


class ApiKey(Model):
    """A key as it is listed: never its secret. It acts as a department, by its role, or as a person."""

    name: str
    role: str
    person_id: str
    scopes: tuple[Scope, ...]
    per_minute: int
    created_at: datetime
    created_by: str
    revoked_at: datetime | None = None
    secrets: tuple["ApiSecret", ...] = ()

    @property
    def acts_as(self) -> str:
        return self.role or self.person_id


class ApiSecret(Model):
    """One of a key's secrets, by its visible beginning. `state`: live, expired or revoked, now."""

    key_id: str
    state: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None = None


class KeyWorry(Model):
    """Why somebody should look at a key, and what to do. `urgent`: a program that came in lately is turned away now."""

    what: str
    then: str
    urgent: bool = False


def worry(key: ApiKey, now: datetime) -> KeyWorry | None:
    """A key that has run out, is about to, or that nobody seems to need; None if all is well or it was revoked."""
    if key.revoked_at:
        return None
    live = [one for one in key.secrets if one.state == "live"]
    used = max((one.last_used_at for one in key.secrets if one.last_used_at), default=None)
    rotate = f"`holdfast api-key rotate {key.name}`"
    if not live:
        what = f"the API key {key.name} has expired: whoever comes with it is turned away"
        then = f"{rotate}, or `holdfast api-key revoke {key.name}` if nobody needs it"
        return KeyWorry(what=what, then=then, urgent=used is not None and now - used < SOON)
    ends = max(one.expires_at for one in live)
    if ends - now <= SOON:
        what = f"the API key {key.name} expires on {ends:%A %d %B}"
        return KeyWorry(what=what, then=f"{rotate}, and give the new secret to whoever uses it")
    if now - (used or min(one.created_at for one in live)) > UNUSED:
        what = f"the API key {key.name} was not used for {UNUSED.days} days"
        return KeyWorry(what=what, then=f"`holdfast api-key revoke {key.name}` if nobody needs it")
    return None


def identity_of(key_id: str) -> Identity:
    return Identity(issuer=ISSUER, sub=key_id)


def service_id(name: str) -> str:
    """What the tables call a department's key where a person's id stands: it outlives the key's secrets."""
    return f"{ISSUER}:{name}"


def checked_name(name: str) -> str:
    """Raises Refused."""
    if not _NAME.fullmatch(name):
        raise Refused("bad-key-name", "a key's name has 2 to 40 small letters, digits and hyphens, such as ppc-website")
    return name
