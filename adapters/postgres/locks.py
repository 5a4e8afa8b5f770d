"""Locks that last until the transaction ends. Taken in this order: the case, then its client, then the audit trail."""

from adapters.postgres.pool import Connection


async def lock_case(conn: Connection, case_id: str) -> None:
    """One judge a case at a time: whoever records acts, and whoever acts on them."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('acts:' || $1, 0))", case_id)


async def lock_client(conn: Connection, case_id: str) -> None:
    """One judgement of a client's sum at a time, whatever cases and names he has."""
    row = await conn.fetchrow(_CLIENT, case_id)
    names = {f"client:{row['client_id']}", f"contact:{row['contact_id']}"} if row else set[str]()
    for name in sorted(names):
        await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('grants:' || $1, 0))", name)


_CLIENT = """SELECT c.client_id, coalesce(k.contact_id, '') AS contact_id
    FROM cases c LEFT JOIN clients k USING (client_id) WHERE c.case_id = $1"""
