"""Whom a task or ticket on a board concerns: its client, its CSS and CSM, and the department of whoever is on it."""

from collections.abc import Collection
from dataclasses import dataclass

from adapters.postgres.directory_book import entries
from adapters.postgres.pool import Pool, transaction


@dataclass(frozen=True)
class ClientList:
    """Where a client's tasks are made. `support`: person ids of the CSS and the CSM, as far as there are any."""

    client_id: str
    list_id: str
    support: tuple[str, ...]


class PostgresFound:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def lists(self) -> tuple[ClientList, ...]:
        """Every client's [CSM] list; what is about no client has nobody's."""
        async with transaction(self._pool, reading=True) as conn:
            rows = await conn.fetch(_LISTS)
        return tuple(
            ClientList(row["client_id"], row["list_id"], _support(row["csm_id"], row["css_id"])) for row in rows
        )

    async def client_of(self, requester: str) -> tuple[str, tuple[str, ...]]:
        """The client with this address, "" if it is nobody's, and their CSS and CSM."""
        async with transaction(self._pool, reading=True) as conn:
            row = await conn.fetchrow(_CLIENT, requester.lower())
        return (row["client_id"], _support(row["csm_id"], row["css_id"])) if row else ("", ())

    async def department_of(self, people: Collection[str]) -> str:
        """The department whose contact one of them is; "" if there is none, or several: then the CSS is asked."""
        async with transaction(self._pool, reading=True) as conn:
            found = {one.slug for one in await entries(conn) if set(one.people) & set(people)}
        return found.pop() if len(found) == 1 else ""


def _support(csm_id: str | None, css_id: str | None) -> tuple[str, ...]:
    return tuple(one for one in (css_id, csm_id) if one)


_LISTS = """
    SELECT b.client_id, b.list_id, c.csm_id, s.css_id FROM client_boards b LEFT JOIN clients c USING (client_id)
    LEFT JOIN css_on(holdfast_today()) s ON s.csm_id = c.csm_id ORDER BY b.client_id"""
_CLIENT = """
    SELECT c.client_id, c.csm_id, s.css_id FROM client_addresses a JOIN clients c USING (client_id)
    LEFT JOIN css_on(holdfast_today()) s ON s.csm_id = c.csm_id WHERE a.address = $1"""
