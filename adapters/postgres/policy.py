"""Limits and settings of the rules, and the switches that stop mail and vendors: outbound and holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import JsonValue

from adapters.postgres.audit import Entry, append_events
from adapters.postgres.crypto import Vault
from adapters.postgres.pool import Connection
from domain.case import EventKind
from domain.errors import Refused
from domain.money import Money, Vat
from domain.orders import APPROVAL_LIMIT, VAT_BASIS, VatBasis

Mode = Literal["off", "allowlist", "on"]
EVERYONE = "*"


@dataclass(frozen=True)
class Outbound:
    """What may leave: nothing, only to `allow` (addresses, `vendor:<name>`; lower case), or everything."""

    mode: Mode
    allow: tuple[str, ...]
    changed_at: datetime
    changed_by: str

    def why_held(self, recipients: Sequence[str]) -> str:
        """A code if something to these recipients is held back, else empty. What goes to nobody is never held."""
        if not recipients or self.mode == "on":
            return ""
        if self.mode == "off":
            return "outbound-off"
        return "" if {one.casefold() for one in recipients} <= set(self.allow) else "not-on-allowlist"


@dataclass(frozen=True)
class Hold:
    client_id: str  # or "*": everyone
    since: datetime
    set_by: str


async def current(conn: Connection, name: str) -> JsonValue:
    """The newest value of a setting of the rules. Raises Refused `unknown-policy`."""
    row = await conn.fetchrow("SELECT value FROM policy WHERE name = $1 ORDER BY version DESC LIMIT 1", name)
    if row is None:
        raise Refused("unknown-policy", f"there is no policy called {name}")
    return row["value"]


async def approval_limit(conn: Connection) -> Money:
    """Strictly above this a return needs the approver (RL-14)."""
    return Money.model_validate(await current(conn, APPROVAL_LIMIT))


async def vat(conn: Connection) -> Vat:
    """Whether amounts are compared with the limit with VAT or without."""
    return VatBasis.model_validate(await current(conn, VAT_BASIS)).vat


async def outbound(conn: Connection) -> Outbound:
    row = await conn.fetchrow("SELECT mode, allow, changed_at, changed_by FROM outbound")
    if row is None:
        raise Refused("no-outbound-row", "the outbound switch is missing from the database: nothing is sent")
    return Outbound(row["mode"], tuple(row["allow"]), row["changed_at"], row["changed_by"])


async def set_outbound(conn: Connection, vault: Vault, mode: Mode, allow: Sequence[str], by: str) -> None:
    """Turns the switch; `by` is a person id and is kept in the audit trail. Raises Refused `empty-allowlist`."""
    listed = sorted({one.strip().casefold() for one in allow} - {""})
    if mode == "allowlist" and not listed:
        raise Refused("empty-allowlist", "an allowlist needs at least one address or vendor:<name>")
    await conn.execute(
        "UPDATE outbound SET mode = $1, allow = $2, changed_at = holdfast_now(), changed_by = $3", mode, listed, by
    )
    await _note(conn, vault, by, {"outbound": mode, "allowed": len(listed)})


async def holds(conn: Connection) -> tuple[Hold, ...]:
    rows = await conn.fetch("SELECT client_id, since, set_by FROM holds ORDER BY client_id")
    return tuple(Hold(row["client_id"], row["since"], row["set_by"]) for row in rows)


async def why_on_hold(conn: Connection, client_id: str) -> str:
    """`on-hold` if everyone or this client is, else empty."""
    query = "SELECT true FROM holds WHERE client_id = ANY($1) LIMIT 1"
    return "on-hold" if await conn.fetchval(query, [EVERYONE, client_id]) else ""


async def hold(conn: Connection, vault: Vault, client_id: str, by: str) -> None:
    """Keeps everything of a client (or `*`) from leaving. Raises Refused `unknown-client`."""
    known = client_id == EVERYONE or await conn.fetchval("SELECT true FROM clients WHERE client_id = $1", client_id)
    if not known:
        raise Refused("unknown-client", f"there is no client {client_id}")
    await conn.execute(
        "INSERT INTO holds (client_id, set_by) VALUES ($1, $2) ON CONFLICT (client_id) DO NOTHING", client_id, by
    )
    await _note(conn, vault, by, {"hold": client_id})


async def resume(conn: Connection, vault: Vault, client_id: str, by: str) -> bool:
    """Ends a hold; False if there was none."""
    ended = await conn.fetchval("DELETE FROM holds WHERE client_id = $1 RETURNING true", client_id)
    if ended:
        await _note(conn, vault, by, {"resume": client_id})
    return bool(ended)


async def _note(conn: Connection, vault: Vault, by: str, data: dict[str, JsonValue]) -> None:
    now = await conn.fetchval("SELECT holdfast_now()")
    await append_events(conn, vault, "", [Entry(EventKind.NOTED, "", now, actor=by, data=data)])
