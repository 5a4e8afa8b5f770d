"""Who may act for money (approver, partner, Accounts): the money worker's configuration, in a table of its own."""

import tomllib
from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from adapters.postgres.audit import Entry, append_events
from adapters.postgres.crypto import Vault
from adapters.postgres.money_changes import tell_approver
from adapters.postgres.pool import Connection, Pool, transaction
from domain.case import EventKind
from domain.errors import HoldfastError
from domain.people import Role
from domain.rules.hours import in_zone
from runtime.settings import Settings

_LOCK = 4_846_377_003


class MoneyPeopleError(HoldfastError):
    """The list of who may act for money can't be used: the money worker doesn't start."""


class MoneyPerson(BaseModel):
    """A person as the identity provider knows them; never an e-mail address."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    issuer: str = Field(min_length=1)
    sub: str = Field(min_length=1)
    name: str = Field(min_length=1)


class MoneyPeople(BaseModel):
    """The file HOLDFAST_MONEY_PEOPLE: tables `[[approver]]`, `[[partner]]`, `[[accounts]]` of issuer, sub and name."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    approver: tuple[MoneyPerson, ...] = ()
    partner: tuple[MoneyPerson, ...] = ()
    accounts: tuple[MoneyPerson, ...] = ()

    @model_validator(mode="after")
    def _approvers_do_not_authorise(self) -> "MoneyPeople":
        both = {(one.issuer, one.sub) for one in self.approver} & {(one.issuer, one.sub) for one in self.accounts}
        if both:
            raise ValueError("somebody is both approver and of Accounts: approvers neither confirm nor authorise")
        return self

    def rows(self) -> dict[tuple[str, str, str], str]:
        """Names by role, issuer and sub."""
        roles = {Role.APPROVER: self.approver, Role.PARTNER: self.partner, Role.ACCOUNTS: self.accounts}
        return {(role.value, one.issuer, one.sub): one.name for role, people in roles.items() for one in people}


def load_money_people(settings: Settings) -> MoneyPeople:
    """The list in the configured file; the approver of the settings where it names none. Raises MoneyPeopleError."""
    listed = _read(settings.money_people) if settings.money_people else MoneyPeople()
    if listed.approver:
        return listed
    named = {"issuer": settings.approver_issuer, "sub": settings.approver_subject, "name": settings.approver_name}
    try:
        return MoneyPeople(
            approver=(MoneyPerson.model_validate(named),), partner=listed.partner, accounts=listed.accounts
        )
    except ValidationError as error:
        raise MoneyPeopleError(f"the approver of the settings does not fit: {error.errors()[0]['msg']}") from None


async def sync_money_people(pool: Pool, vault: Vault, settings: Settings) -> None:
    """Makes the table say what the money worker's configuration says, as of now: rows are added or ended, no more.

    Each change is an audit event, and the approver is told of it by e-mail; the first list there is changes nothing.
    Raises MoneyPeopleError.
    """
    wanted = load_money_people(settings).rows()
    async with transaction(pool) as conn:
        await conn.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        first = not await conn.fetchval("SELECT true FROM money_people LIMIT 1")
        listed = await conn.fetch("SELECT role, issuer, sub, name FROM money_people WHERE until IS NULL")
        present = {(row["role"], row["issuer"], row["sub"]): str(row["name"]) for row in listed}
        added, ended = sorted(wanted.keys() - present.keys()), sorted(present.keys() - wanted.keys())
        await conn.executemany(
            "INSERT INTO money_people (role, issuer, sub, name) VALUES ($1, $2, $3, $4)",
            [(*key, wanted[key]) for key in added],
        )
        await conn.executemany(
            """UPDATE money_people SET until = holdfast_now()
               WHERE role = $1 AND issuer = $2 AND sub = $3 AND until IS NULL""",
            ended,
        )
        await append_events(conn, vault, "", await _told(conn, added, ended))
        if not first and (added or ended):
            lines = [f"{wanted[key]} may act {_as(key[0])}" for key in added]
            lines += [f"{present[key]} may no longer act {_as(key[0])}" for key in ended]
            await tell_approver(conn, f"{await conn.fetchval('SELECT holdfast_now()')}", lines)


async def recent_changes(pool: Pool, days: int = 30) -> tuple[str, ...]:
    """Who began or ceased to act for money lately, the latest first: shown to the approver wherever he decides."""
    async with transaction(pool, reading=True) as conn:
        rows = await conn.fetch(_RECENT, timedelta(days=days))
    return tuple(f"{in_zone(row['at'])}: {row['name']} {row['what']} {_as(row['role'])}" for row in rows)


def _as(role: str) -> str:
    """One is the approver, and acts for a team."""
    return f"{'as' if role.startswith('role:') else 'for'} {role}"


_RECENT = """SELECT * FROM (
        SELECT since AS at, name, role, 'may act' AS what FROM money_people
        UNION ALL SELECT until, name, role, 'may no longer act' FROM money_people WHERE until IS NOT NULL) changes
    WHERE at > holdfast_now() - $1::interval ORDER BY at DESC, role, name"""


async def _told(conn: Connection, added: list[tuple[str, str, str]], ended: list[tuple[str, str, str]]) -> list[Entry]:
    now = await conn.fetchval("SELECT holdfast_now()")
    changes = [("added", key) for key in added] + [("ended", key) for key in ended]
    return [
        Entry(
            EventKind.NOTED,
            "",
            now,
            text=f"Who may act for money: {change} for {role}.",
            data={"change": change, "role": role, "issuer": issuer, "sub": sub},
        )
        for change, (role, issuer, sub) in changes
    ]


def _read(path: Path) -> MoneyPeople:
    try:
        return MoneyPeople.model_validate(tomllib.loads(path.read_text()))
    except OSError as error:
        raise MoneyPeopleError(f"HOLDFAST_MONEY_PEOPLE: {path} can't be read") from error
    except (ValueError, ValidationError) as error:
        raise MoneyPeopleError(f"HOLDFAST_MONEY_PEOPLE: {path} is not a list of who may act for money") from error
