"""What was started in Temporal itself, taken in by the same doors: implements `activities.ports.Openings`."""

from collections.abc import Mapping
from typing import cast

from pydantic import JsonValue

from adapters.postgres.crypto import Vault
from adapters.postgres.openings import PostgresOpenings
from adapters.postgres.pool import Pool
from domain.admission import TURNED_AWAY
from domain.errors import Refused
from runtime.settings import Settings
from starter.openings import Caller, Doors, opening_of

TEMPORAL = "somebody who reaches Temporal"


class StartedInTemporal:
    """Under the door's role. What it accepted is committed when it answers; the same start again is the same case."""

    def __init__(self, pool: Pool, vault: Vault, settings: Settings) -> None:
        self._doors = Doors(pool, vault, settings)
        self._openings = PostgresOpenings(pool, vault)

    async def admit(self, kind: str, workflow_id: str, opening: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """Raises Refused: `unknown-kind`, `wrong-id`, and whatever the door refuses."""
        found = opening_of(kind)
        request = found.read(dict(opening))
        case_id = found.case_of(request)
        if workflow_id != case_id:
            raise Refused("wrong-id", f"{TURNED_AWAY['wrong-id']} This one's is {case_id}.")
        await found.start(self._doors, request, Caller(TEMPORAL))
        return cast("dict[str, JsonValue]", await self._openings.started(case_id))
