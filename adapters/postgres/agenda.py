"""The CSMs' agendas (ID-8): one dated page a CSM, with the requests that are on it and the notes of each follow-up."""

import json
from datetime import date, datetime

from asyncpg import Record

from adapters.postgres.crypto import ClientKey, Vault
from adapters.postgres.pool import Pool, transaction
from domain.brief import AgendaLine, FollowUp


class Agendas:
    """Works under the door's role."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool, self._vault = pool, vault

    async def of(self, csm_id: str, on: date) -> tuple[AgendaLine, ...]:
        """What was listed on a day, and what was listed before and not done by then; what is open comes first.

        Of what is done, what was listed in the 90 days before.
        """
        async with transaction(self._pool, reading=True) as conn:
            rows = await conn.fetch(LINES, csm_id, on)
            keys = await self._vault.known_keys(conn, {row["client_id"] for row in rows})
        return tuple(_line(row, keys.get(row["client_id"])) for row in rows)

    async def whose(self, person_id: str) -> str:
        """The CSM whose agenda is somebody's own: their own, or that of the CSM whose CSS they are."""
        async with transaction(self._pool, reading=True) as conn:
            return await conn.fetchval(_WHOSE, person_id) or person_id

    async def today(self) -> date:
        async with transaction(self._pool, reading=True) as conn:
            return await conn.fetchval("SELECT holdfast_today()")

    async def csms(self) -> tuple[str, ...]:
        """Everybody who has an agenda."""
        async with transaction(self._pool, reading=True) as conn:
            return tuple(row["csm_id"] for row in await conn.fetch(_CSMS))


def _line(row: Record, key: ClientKey | None) -> AgendaLine:
    return AgendaLine(
        case_id=row["case_id"],
        client_name=row["client_name"],
        title=_opened(key, row["title_ct"]),
        listed_on=row["on_date"],
        status=row["status"],
        outcome=row["outcome"],
        owner=row["owner"],
        waiting_for=row["waiting_for"],
        due_at=row["due_at"],
        notes=tuple(_note(one, key) for one in json.loads(row["notes"] or "[]")),
    )


def _note(one: dict[str, str], key: ClientKey | None) -> FollowUp:
    text = _opened(key, bytes.fromhex(one["text"]))
    return FollowUp(at=datetime.fromisoformat(one["at"]), by=one["by"], text=text)


def _opened(key: ClientKey | None, sealed: bytes | None) -> str:
    return key.open(sealed).decode() if key and sealed else ""


LINES = """
    WITH listed AS (SELECT case_id, on_date FROM agenda WHERE csm_id = $1 AND on_date BETWEEN $2::date - 90 AND $2
        UNION SELECT a.case_id, a.on_date FROM cases c JOIN agenda a USING (case_id)
            WHERE c.status = 'open' AND a.csm_id = $1 AND a.on_date < $2::date - 90)
    SELECT DISTINCT ON (c.status <> 'open', c.due_at, a.case_id) a.case_id, a.on_date, c.client_id, c.status, c.outcome,
        c.owner, c.waiting_for, c.due_at, coalesce(k.name, '') AS client_name, t.content_ct AS title_ct, n.notes::text
    FROM listed a JOIN cases c USING (case_id) LEFT JOIN clients k USING (client_id)
        LEFT JOIN texts t ON t.client_id = c.client_id AND t.sha256 = c.request ->> 'title_sha256'
        LEFT JOIN LATERAL (
            SELECT json_agg(json_build_object('at', x.accepted_at, 'by', x.person_id,
                'text', encode(w.content_ct, 'hex')) ORDER BY x.seq) AS notes
            FROM acts x JOIN case_steps s ON s.case_id = x.case_id AND s.step_id = x.step_id AND s.name = 'follow-up'
                JOIN texts w ON w.client_id = c.client_id AND w.sha256 = x.payload::jsonb ->> 'note_sha256'
            WHERE x.case_id = c.case_id AND x.kind = 'step.done'
                AND (x.accepted_at AT TIME ZONE 'Europe/London')::date <= $2) n ON true
    WHERE a.on_date = $2 OR c.closed_at IS NULL
        OR (c.closed_at AT TIME ZONE 'Europe/London')::date >= $2
    ORDER BY c.status <> 'open', c.due_at, a.case_id, a.on_date"""
_WHOSE = """SELECT csm_id FROM css_on(holdfast_today()) WHERE css_id = $1
    AND NOT EXISTS (SELECT 1 FROM clients WHERE csm_id = $1) ORDER BY csm_id LIMIT 1"""
_CSMS = """SELECT csm_id FROM clients WHERE coalesce(csm_id, '') <> '' UNION SELECT csm_id FROM css_on(holdfast_today())
    ORDER BY 1"""
