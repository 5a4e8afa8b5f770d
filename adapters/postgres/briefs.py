"""What a department request is about and whom it concerns: out of the tables, at the moment it is asked for."""

from collections.abc import Callable, Sequence

from asyncpg import Record

from adapters.postgres.crypto import Vault
from adapters.postgres.directory import people_by_id, presence, who_is_asked
from adapters.postgres.directory_book import channels_of, on_the_board
from adapters.postgres.pool import Connection, Pool, transaction
from domain.brief import Brief, Reached
from domain.errors import Permanent
from domain.people import Person
from domain.rules.routing import Presence, covers


class PostgresBriefs:
    """activities.ports.Briefs. `page_of` gives the address of a case's page."""

    def __init__(self, pool: Pool, vault: Vault, page_of: Callable[[str], str] = lambda _: "") -> None:
        self._pool, self._vault, self._page_of = pool, vault, page_of

    async def brief(self, case_id: str, role: str) -> Brief:
        async with transaction(self._pool, reading=True) as conn:
            row = await conn.fetchrow(_CASE, case_id)
            if row is None:
                raise Permanent("holdfast", "no-such-case", "there is no such case")
            asked = await who_is_asked(conn, role, case_id) if role else None
            request, there = row["request"], await presence(conn)
            return Brief(
                case_id=case_id,
                title=await self._text(conn, row, request.get("title_sha256", "")),
                details=await self._text(conn, row, request.get("details_sha256", "")),
                relevant=await self._reached(conn, asked.people) if asked else (),
                fell_back=asked.fell_back if asked else "",
                css=await self._named(conn, row["css_id"], there),
                csm=await self._named(conn, row["csm"], there),
                task_id=request.get("task_id", "") or row["made"] or "",
                task_url=row["task_url"] or "",
                assigned=tuple(row["assigned"] or ()),
                ticket_id=request.get("ticket_id", ""),
                list_id=row["list_id"],
                slack_channel=row["slack_channel"],
                page=self._page_of(case_id),
            )

    async def who(self, board_ids: Sequence[str], emails: Sequence[str]) -> dict[str, str]:
        async with transaction(self._pool, reading=True) as conn:
            rows = await conn.fetch("SELECT person_id, email FROM people WHERE active")
            by_mail = {row["email"].lower(): row["person_id"] for row in rows}
            found = {email: by_mail[email] for email in emails if email in by_mail}
            wanted = set(board_ids) - {""}
            if not wanted:
                return found
            on_board = await conn.fetch(_ON_BOARD)
            for row in on_board:
                board_id = (await self._vault.open(conn, "", row["address_ct"])).decode()
                if board_id in wanted:
                    found[board_id] = row["person_id"]
        return found

    async def list_on_agenda(self, case_id: str, key: str) -> str:
        async with transaction(self._pool) as conn:
            await conn.execute(_LIST, key, case_id)
            return str(await conn.fetchval(_LISTED, key))

    async def listed(self, key: str) -> str:
        async with transaction(self._pool, reading=True) as conn:
            day = await conn.fetchval(_LISTED, key)
        return str(day) if day else ""

    async def ended(self, case_id: str) -> tuple[str, str]:
        async with transaction(self._pool, reading=True) as conn:
            row = await conn.fetchrow(_ENDED, case_id)
        if row is None:
            return "", ""
        ending = row["status"] == "open" and row["reported"] is not None
        return ("closing", row["reported"]) if ending else (row["status"], row["outcome"])

    async def _named(self, conn: Connection, person_id: str | None, there: Presence) -> tuple[Reached, ...]:
        """Whoever covers for them today; they themselves if they are here, or if nobody does."""
        if not person_id:
            return ()
        return await self._reached(conn, await people_by_id(conn, covers(person_id, there) or [person_id]))

    async def _reached(self, conn: Connection, people: Sequence[Person]) -> tuple[Reached, ...]:
        return tuple([await self._one(conn, person) for person in people])

    async def _one(self, conn: Connection, person: Person) -> Reached:
        return Reached(
            person_id=person.person_id,
            name=person.name,
            email=person.email,
            board_id=await on_the_board(conn, self._vault, person.person_id),
            channels=await channels_of(conn, self._vault, person.person_id),
        )

    async def _text(self, conn: Connection, row: Record, sha256: str) -> str:
        if not sha256:
            return ""
        query = "SELECT content_ct FROM texts WHERE client_id = $1 AND sha256 = $2"
        sealed = await conn.fetchval(query, row["client_id"], sha256)
        return (await self._vault.open(conn, row["client_id"], sealed)).decode() if sealed else ""


_CSM = "coalesce(nullif(c.csm_id, ''), k.csm_id)"
_CASE = f"""
    SELECT c.client_id, c.request, {_CSM} AS csm, s.css_id, coalesce(b.list_id, '') AS list_id,
        coalesce(b.slack_channel, '') AS slack_channel, made.reference AS made, made.data ->> 'url' AS task_url,
        made.data -> 'assigned' AS assigned
    FROM cases c LEFT JOIN clients k USING (client_id) LEFT JOIN client_boards b USING (client_id)
        LEFT JOIN css_on(holdfast_today()) s ON s.csm_id = {_CSM}
        LEFT JOIN LATERAL (SELECT reference, data FROM effects e WHERE e.case_id = c.case_id AND e.kind = 'assign-task'
            AND e.state = 'sent' ORDER BY settled_at DESC LIMIT 1) made ON true
    WHERE c.case_id = $1"""  # noqa: S608 - constants
_ON_BOARD = """SELECT c.person_id, c.address_ct FROM person_channels c JOIN people p USING (person_id)
    WHERE p.active AND c.channel = 'teamwork'"""
_LIST = f"""
    INSERT INTO agenda (key, csm_id, on_date, case_id)
    SELECT $1, coalesce({_CSM}, ''), holdfast_today(), c.case_id FROM cases c LEFT JOIN clients k USING (client_id)
    WHERE c.case_id = $2 ON CONFLICT (key) DO NOTHING"""  # noqa: S608 - constants
# A case reports as the last thing before its row says that it is closed, in each of its cycles anew.
_ENDED = """SELECT c.status, c.outcome, (SELECT e.body ->> 'outcome' FROM effects e
        WHERE e.key = c.case_id || '/report-end' || coalesce('@' || nullif(c.request ->> 'cycle', '1'), '') || '/1'
    ) AS reported FROM cases c WHERE c.case_id = $1"""
_LISTED = "SELECT on_date FROM agenda WHERE key = $1"
