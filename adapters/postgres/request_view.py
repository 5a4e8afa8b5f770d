"""What pages show of a department request beyond its case: who is on it, its task and ticket, the channels tried."""

from dataclasses import dataclass

from adapters.postgres.briefs import PostgresBriefs
from adapters.postgres.pool import Pool, transaction
from domain.brief import Brief


@dataclass(frozen=True)
class Tried:
    """A channel by which somebody was told of it. `person` is a person id."""

    person: str
    channel: str
    ended: str
    code: str


@dataclass(frozen=True)
class RequestView:
    """`relevant_role`: the department's contact as the case asks for them, "" while nobody has said which it is."""

    brief: Brief
    relevant_role: str
    tried: tuple[Tried, ...]


class RequestViews:
    """Works under the door's role."""

    def __init__(self, pool: Pool, briefs: PostgresBriefs) -> None:
        self._pool, self._briefs = pool, briefs

    async def of(self, case_id: str) -> RequestView:
        async with transaction(self._pool, reading=True) as conn:
            role = await conn.fetchval(_ROLE, case_id) or ""
            tried = tuple(Tried(**dict(row)) for row in await conn.fetch(_TRIED, case_id))
        return RequestView(await self._briefs.brief(case_id, role), role, tried)


_ROLE = "SELECT role FROM case_steps WHERE case_id = $1 AND name = 'process' ORDER BY asked_at DESC LIMIT 1"
_TRIED = """SELECT one.* FROM effects e,
        jsonb_to_recordset(coalesce(e.data -> 'tried', '[]')) AS one (person text, channel text, ended text, code text)
    WHERE e.case_id = $1 AND e.kind = 'tell' ORDER BY e.prepared_at"""
