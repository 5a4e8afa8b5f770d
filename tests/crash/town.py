"""An agency on servers of its own, each process of which can be killed."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from adapters.postgres import migrate
from runtime.postgres_server import PostgresServer, postgres_server
from runtime.temporal_server import TemporalServer, temporal_server
from tests.agency import Agency, eventually, open_agency
from tests.conftest import PASSWORDS, Database, _memory, create_database, of_database
from tests.crash.dying_worker import Side
from tests.crash.people import AWAY, Process, start

ServerName = Literal["temporal", "postgres"]
OUTAGE = 2.0
SIDES: tuple[Side, ...] = ("sops", "money", "inbox")


@dataclass
class Town:
    """An agency on servers of its own, each process of which can be killed."""

    agency: Agency
    temporal: TemporalServer
    postgres: PostgresServer
    processes: dict[Side, Process]

    async def outage(self, name: ServerName, seconds: float = OUTAGE) -> None:
        """SIGKILLs a server, and starts it again on what it had written, after some seconds."""
        server = self.temporal if name == "temporal" else self.postgres
        server.kill()
        await asyncio.sleep(seconds)
        await server.restart()

    async def crash(self, side: Side) -> None:
        """SIGKILLs a process, and starts another of its kind."""
        await self.processes[side].kill()
        self.revive()

    def revive(self) -> None:
        """Starts what is not running, as whatever supervises a process does."""
        for side, one in self.processes.items():
            if not one.running.is_alive():
                self.begin(side)

    def begin(self, side: Side) -> None:
        self.processes[side] = start(self.agency, self.temporal.address, side)

    async def working(self) -> None:
        """Waits until every process has started, the inbox's has reached the database too."""
        await asyncio.gather(*(one.started() for one in self.processes.values()))

        async def there() -> bool:
            query = "SELECT true FROM pg_stat_activity WHERE application_name = 'holdfast-inbox'"
            return bool(await self.agency.database.value(query))

        await eventually(there, "the inbox did not start")

    async def case_of(self, leads: str) -> str:
        """The id of the case that asks for a lead, as soon as it is there."""
        found: list[str] = []

        async def there() -> bool:
            with suppress(*AWAY):
                rows = await self.agency.database.fetch("SELECT case_id FROM case_leads WHERE lead_id = $1", leads)
                found[:] = [str(row["case_id"]) for row in rows]
            return bool(found)

        await eventually(there, f"no case asks for {leads}", 120)
        return found[0]


@asynccontextmanager
async def open_town(folder: Path) -> AsyncGenerator[Town]:
    async with AsyncExitStack() as stack:
        data = stack.enter_context(_memory())
        postgres = await stack.enter_async_context(postgres_server(data))
        await create_database(postgres, "agency")
        database = Database(of_database(postgres.url, "agency"))
        await migrate.apply(database.owner_url, PASSWORDS)
        stack.push_async_callback(database.close)
        temporal = await stack.enter_async_context(temporal_server(db_file=folder / "temporal.db"))
        agency = await stack.enter_async_context(open_agency(folder, database, temporal, workers=False))
        town = Town(agency, temporal, postgres, {})
        for side in SIDES:
            town.begin(side)
        try:
            await town.working()
            yield town
        finally:
            await asyncio.gather(*(one.end() for one in town.processes.values()))
