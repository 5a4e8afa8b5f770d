"""What people, teams and clients are called: ids are for machines, and for commands."""

import re
from collections.abc import Mapping

from adapters.postgres.pool import Connection
from domain.people import Role


async def names_of(conn: Connection) -> dict[str, str]:
    """By person id, role, or `client:` and the client's id."""
    return _OURS | {row["id"]: row["name"] for row in await conn.fetch(_NAMES)}


def by_name(told: str, names: Mapping[str, str]) -> str:
    """A sentence of ours, with names for the ids in it."""
    return _IDS.sub(lambda found: names.get(found[0], found[0]), told)


_OURS = {  # what has a name before anybody was brought in
    "holdfast": "Holdfast",
    Role.RETURN_LEADS.value: "Return Lead Team",
    Role.ACCOUNTS.value: "Accounts Team",
    Role.OPERATIONS.value: "Operations",
}
_IDS = re.compile(r"[\w|-]+(?:[.:/@][\w|-]+)*")
_NAMES = """SELECT person_id AS id, name FROM people UNION ALL SELECT role, name FROM departments
    UNION ALL SELECT issuer || '|' || sub, name FROM money_people
    UNION ALL SELECT 'client:' || client_id, name FROM clients
    UNION ALL SELECT 'department:' || slug || about, name FROM directory_on(holdfast_today()),
        (VALUES (''), ('/operational'), ('/client')) AS topics (about)
    UNION ALL VALUES ('role:csm', 'the CSM'), ('role:css', 'the CSS'), ('role:am', 'the account managers'),
        ('role:agency-services', 'the Agency Services Manager'), ('role:approver', 'the approver'),
        ('role:partner', 'the partner')
    UNION ALL SELECT 'manager:' || slug, 'the manager of ' || name FROM directory_on(holdfast_today())"""
