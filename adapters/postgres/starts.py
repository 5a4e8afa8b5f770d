"""What a door made of a request, kept with its case: a workflow that was started with anything else is none of ours."""

from typing import TypeVar

from adapters.postgres.pool import Connection
from domain.case import Request

R = TypeVar("R", bound=Request)


async def stamp(conn: Connection, request: Request) -> None:
    """Keeps the stamp of a case's start, in the transaction that takes the case in."""
    await conn.execute("UPDATE cases SET start_sha256 = $2 WHERE case_id = $1", request.case_id, request.stamp)


async def stamped_once(conn: Connection, request: R) -> R:
    """The request as it was first made: what is left of a promise, or a calendar, is another at a second try."""
    made = request.model_dump(mode="json", exclude={"carried"})
    await conn.execute(_FIRST, request.case_id, made)
    first = type(request).model_validate(
        await conn.fetchval("SELECT request FROM cases WHERE case_id = $1", request.case_id)
    )
    await stamp(conn, first)
    return first


async def why_not_admitted(conn: Connection, case_id: str, workflow_id: str, started: str) -> str:
    """Why a workflow that says it is a case's is not: a stable code, "" if it is."""
    row = await conn.fetchrow("SELECT workflow_id, start_sha256, status FROM cases WHERE case_id = $1", case_id)
    if row is None:
        return "unknown-case"
    if row["workflow_id"] != workflow_id:
        return "another-workflow"
    if row["start_sha256"] != started:
        return "another-request"
    return "" if row["status"] == "open" else "case-ended"


_FIRST = "UPDATE cases SET request = request || $2 WHERE case_id = $1 AND start_sha256 = ''"
