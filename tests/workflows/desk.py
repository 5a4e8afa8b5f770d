"""An agency whose departments, boards and tickets are there: what department requests are tested with."""

import asyncio
from dataclasses import dataclass, field
from datetime import date, timedelta
from secrets import token_hex
from typing import Any

from pydantic_core import to_jsonable_python
from temporalio.client import WorkflowHandle

from adapters.postgres.crypto import DEPLOYMENT, Vault, load_master
from adapters.postgres.pool import transaction
from domain.department_request import RequestOutcome, Source
from domain.messages import ActKind, Fact, FactKind
from starter.requests import OpenRequest, RequestDoor
from tests.agency import CLIENT, Agency
from workflows.department_request import DepartmentRequest

PEOPLE = {
    "barb": ("Barb", 304, "U0BARB001"),
    "pete": ("Pete", 317, ""),  # PPC's manager
    "nicole": ("Nicole", 308, ""),
    "cleo": ("Cleo", 315, ""),  # CSS of Tom Reed, who is the client's CSM
    "al": ("AL", 309, ""),
    "cath": ("Cath", 310, ""),
    "ada": ("Ada", 311, ""),
    "cristianna": ("Cristianna", 312, ""),
}
CSM_ON_BOARD = 316
DEPARTMENTS = (
    ("ppc", ("barb",), "pete"),
    ("agency-services-manager", ("nicole",), None),
    ("andy", ("al:operational", "cath:client"), None),
    ("sales", ("ada", "cristianna"), None),
)
LIST = "9001"


async def furnish(agency: Agency) -> "Desk":
    """The directory, how people are reached, and the client's [CSM] list."""
    vault = Vault(load_master(agency.settings.keys_dir))
    async with transaction(await agency.database.pool("owner")) as conn:
        for person_id, (name, board_id, slack) in PEOPLE.items():
            mail = f"{person_id}@commversion.com"
            await conn.execute("INSERT INTO people VALUES ($1, $2, $3, 'local', $1)", person_id, name, mail)
            ways = [("teamwork", str(board_id)), *([("slack", slack)] if slack else [])]
            for rank, (channel, address) in enumerate(ways, 1):
                sealed = await vault.seal(conn, DEPLOYMENT, address.encode())
                await conn.execute(
                    "INSERT INTO person_channels VALUES ($1, $2, $3, $4)", person_id, channel, sealed, rank
                )
        sealed = await vault.seal(conn, DEPLOYMENT, str(CSM_ON_BOARD).encode())
        await conn.execute("INSERT INTO person_channels VALUES ('P-2', 'teamwork', $1, 1)", sealed)
        for position, (slug, contacts, manager) in enumerate(DEPARTMENTS):
            row = (slug, 1, position, slug.upper(), manager)
            await conn.execute(
                "INSERT INTO directory (slug, version, position, name, manager_id, since, set_by)"
                " VALUES ($1, $2, $3, $4, $5, '2020-01-01', 'test')",
                *row,
            )
            for rank, contact in enumerate(contacts):
                person_id, _, topic = contact.partition(":")
                values = (slug, rank, person_id, topic)
                await conn.execute("INSERT INTO directory_contacts VALUES ($1, 1, $2, $3, $4)", *values)
        await conn.execute(
            "INSERT INTO csm_pairs (csm_id, version, css_id, since, set_by)"
            " VALUES ('P-2', 1, 'cleo', '2020-01-01', 'test')"
        )
        await conn.execute("INSERT INTO client_boards VALUES ($1, $2, '7', '')", CLIENT, LIST)
        await conn.execute("INSERT INTO client_boards VALUES ('', '9002', '7', '')")
    _seed(agency)
    return Desk(agency, RequestDoor(agency.door_pool, vault, agency.settings))


def _seed(agency: Agency) -> None:
    people = [
        {"id": board_id, "firstName": name, "email": f"{person_id}@commversion.com"}
        for person_id, (name, board_id, _) in PEOPLE.items()
    ]
    people.append({"id": CSM_ON_BOARD, "firstName": "Tom", "email": "tom@commversion.com"})
    lists = [{"id": int(LIST), "name": "[CSM] Tasks", "projectId": 7}, {"id": 9002, "name": "Internal", "projectId": 7}]
    agency.outside.slack.seed(
        users=[
            {"id": slack, "email": f"{person_id}@commversion.com"}
            for person_id, (_, _, slack) in PEOPLE.items()
            if slack
        ]
    )
    agency.outside.teamwork.seed(people=people, tasklists=lists)
    users = [{"id": 1 + n, "name": one["firstName"], "email": one["email"]} for n, one in enumerate(people)]
    agency.outside.tickets.seed(
        users=[*users, {"id": 99, "name": "Jane", "email": "jane@client.test", "role": "end-user"}]
    )


@dataclass
class Desk:
    agency: Agency
    door: RequestDoor
    reference: str = field(default_factory=lambda: token_hex(8))  # ids of cases follow from it, on one Temporal server

    async def open(self, source: Source = Source.PERSON, **more: Any) -> str:
        """Opens a request to PPC and hands it over."""
        given = {
            "reference": self.reference,
            "department": "ppc",
            "client_id": CLIENT,
            "title": "Pause the brand campaign",
            **more,
        }
        if source is Source.PERSON:
            case_id = (await self.agency.asks().start("department-requests", to_jsonable_python(given))).case_id
        else:
            case_id = (await self.door.open(OpenRequest.model_validate(given), source)).case_id
        await self.agency.take_in()
        return case_id

    async def lines(self, case_id: str) -> list[str]:
        """What the case's timeline says, in order."""
        return [line.text for line in await self.agency.asks().timeline(case_id)]

    def handle(self, case_id: str) -> WorkflowHandle[DepartmentRequest, RequestOutcome]:
        return self.agency.client.get_workflow_handle_for(DepartmentRequest.run, case_id)

    async def result(self, case_id: str) -> RequestOutcome:
        return await asyncio.wait_for(self.handle(case_id).result(), 60)

    async def now_asked(self, slug: str, contact: str) -> None:
        """From today on the directory names another contact; open cases are not told."""
        await self.agency.database.execute(
            "INSERT INTO directory (slug, version, position, name, manager_id, since, set_by)"
            " SELECT slug, 2, position, name, manager_id, '2020-01-02', 'test' FROM directory WHERE slug = $1",
            slug,
        )
        await self.agency.database.execute("INSERT INTO directory_contacts VALUES ($1, 2, 0, $2, '')", slug, contact)

    def ticket(self) -> int:
        """A new ticket of the client's, with nobody following it."""
        ticket_id = int(token_hex(4), 16)
        self.agency.outside.tickets.seed(tickets=[{"id": ticket_id, "subject": "Ads", "requester_id": 99}])
        return ticket_id

    def tasks(self) -> list[dict[str, Any]]:
        return list(self.agency.outside.teamwork.state["tasks"].values())

    def due_day(self) -> date:
        """By when the only task is due, as the board has it."""
        (task,) = self.tasks()
        return date.fromisoformat(task["dueAt"][:10])

    def comments(self) -> list[str]:
        return [str(one["body"]) for one in self.agency.outside.teamwork.state["comments"].values()]

    def slack(self) -> list[dict[str, Any]]:
        """What was posted on Slack."""
        return [one for room in self.agency.outside.slack.state["channels"].values() for one in room["messages"]]

    def ticket_notes(self, ticket_id: int) -> list[str]:
        found = self.agency.outside.tickets.state["comments"].values()
        return [str(one["body"]) for one in found if one["ticket_id"] == ticket_id and not one["public"]]

    def followers(self, ticket_id: int) -> set[str]:
        desk = self.agency.outside.tickets.state
        return {desk["users"][str(user)]["email"] for user in desk["tickets"][str(ticket_id)]["follower_ids"]}

    def does(self, op: str, by: str = "barb", **what: Any) -> None:
        """Somebody does something in Teamwork itself."""
        who = PEOPLE[by][1] if by in PEOPLE else CSM_ON_BOARD
        self.agency.outside.teamwork.edit(op=op, by=who, **what)

    async def hint(self, case_id: str, name: str = "1") -> None:
        """What a webhook leads to: the case is told that its task changed."""
        fact = Fact(event_id=f"teamwork:{name}", kind=FactKind.TASK, reference="task")
        await self.handle(case_id).signal("event", fact)

    async def asks_beside(self, case_id: str) -> str:
        """A message did not arrive after all: a person's step beside the case, which does not close over it."""
        fact = Fact(event_id="whatsapp:1", kind=FactKind.UNDELIVERED, reference=f"{case_id}/tell/1")
        await self.handle(case_id).signal("event", fact)
        return await self.agency.parked_at(case_id, "not-delivered")

    async def ends_beside(self, case_id: str, step_id: str) -> None:
        """That step is done, and the case closes: two seconds later at the least, as boards and desks count."""
        await self.agency.act(case_id, step_id, ActKind.DONE, {"note_sha256": ""}, "cleo")
        await self.result(case_id)
        await self.agency.database.execute("UPDATE cases SET closed_at = closed_at + interval '2 seconds'")

    async def is_done(self, case_id: str) -> None:
        """Until nobody is asked to process it any more."""

        async def over() -> bool:
            return all(step.name != "process" for step in (await self.agency.view(case_id)).steps)

        await self.agency.eventually(over, "somebody is still asked to process it")

    async def waits(self, case_id: str, why: str) -> None:
        """Until the deadline of the process step says this."""

        async def said() -> bool:
            view = await self.agency.view(case_id)
            return any(why in step.deadline.why() for step in view.steps if step.name == "process")

        await self.agency.eventually(said, f"the deadline never said that the {why}")

    async def pass_time(self, case_id: str, by: timedelta) -> None:
        await self.agency.pass_time(case_id, by)
