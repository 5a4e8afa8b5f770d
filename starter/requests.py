"""The door of department requests (ID-1 to ID-12): a person's or a program's own, or a task or ticket that is found."""

from datetime import date, datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field

from adapters.postgres.calendars import snapshot, targets
from adapters.postgres.crypto import Vault
from adapters.postgres.directory_book import entries
from adapters.postgres.intake import Arrival, Once
from adapters.postgres.openings import Opened, PostgresOpenings
from adapters.postgres.pool import Connection, Pool
from domain import ids
from domain.department_request import DEPARTMENT_REQUEST, DUE, NEW_PAGES, DepartmentAsk, Source
from domain.errors import Refused
from domain.intake import Acceptance
from domain.people import Topic
from domain.rules.calendar import Calendar, round_to_end_of_day
from domain.rules.clock import TargetName
from domain.rules.routing import topic_of
from domain.texts import canonical, clean, digest
from runtime.settings import Settings

SLUG = r"^[a-z][a-z0-9-]{0,40}$"


class OpenRequest(BaseModel):
    """A request to a department. `reference` is the caller's own: the same one again is the same request.

    About a task or ticket that is there already, name it as `task_id` or `ticket_id`: then the title may be left out.
    `due_on` or `hours` if it warrants more than 48 hours; `new_pages` for content of new pages (10 days); `unsure` has
    the department's manager asked. `operational`: not about the client (ID-2).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    reference: str = Field(min_length=1, max_length=200)
    department: str = Field(default="", max_length=41)
    client_id: str = Field(default="", max_length=100)
    title: str = Field(default="", max_length=300)
    details: str = Field(default="", max_length=10_000)
    task_id: str = Field(default="", max_length=40, pattern=r"^[A-Za-z0-9-]*$")
    ticket_id: str = Field(default="", max_length=40, pattern=r"^[A-Za-z0-9-]*$")
    due_on: date | None = None
    hours: int | None = Field(default=None, ge=1, le=24 * 90)
    new_pages: bool = False
    unsure: bool = False
    operational: bool = False


class RequestDoor:
    """Accepts or refuses; what it accepted is committed when it answers."""

    def __init__(self, pool: Pool, vault: Vault, settings: Settings) -> None:
        self._openings, self._settings = PostgresOpenings(pool, vault), settings

    async def open(
        self, request: OpenRequest, source: Source = Source.PERSON, once: Once | None = None, *, by: str = ""
    ) -> Acceptance:
        """Raises Refused, with nothing changed. `once`: the caller's own name for this delivery.

        `by`: who opens it and how they proved it, for the audit trail.
        """
        request = cleaned(request)
        arrival = Arrival(f"request-{source}", request.reference, canonical(request.model_dump(mode="json")).encode())

        async def make(conn: Connection) -> Opened[DepartmentAsk]:
            return await self.made(conn, request, source, by)

        return await self._openings.accept(arrival, make, once)

    async def made(self, conn: Connection, request: OpenRequest, source: Source, by: str = "") -> Opened[DepartmentAsk]:
        """The case that follows from a request. Raises Refused `unknown-client`, `unknown-department`, `due-over`."""
        await _known(conn, request)
        calendar = await snapshot(conn, f"team:{request.department}")
        now = await conn.fetchval("SELECT holdfast_now()")
        asked = DepartmentAsk(
            case_id=case_of(request),
            client_id=request.client_id,
            chase_every=self._settings.chase_every,
            department=request.department,
            topic=_topic(request),
            source=source,
            title_sha256=digest(request.title) if request.title else "",
            details_sha256=digest(request.details) if request.details else "",
            task_id=request.task_id,
            ticket_id=request.ticket_id,
            due_after=_due_after(request, now, calendar),
            unsure=request.unsure,
            opened_by=by,
            calendar=calendar,
            targets=await targets(conn, *TargetName),
        )
        about = request.client_id or "no client"
        summary = f"ID-3 request to {request.department or 'a department not known yet'} about {about}"
        return Opened(DEPARTMENT_REQUEST, asked, summary, texts=(request.title, request.details))


def case_of(request: OpenRequest) -> str:
    """The case of a request: a task or a ticket has one, whoever brings it up. Raises Refused."""
    request = cleaned(request)
    if request.task_id:
        return ids.department_case(f"task|{request.task_id}")
    if request.ticket_id:
        return ids.department_case(f"ticket|{request.ticket_id}")
    return ids.department_case(f"reference|{request.reference}")


def cleaned(request: OpenRequest) -> OpenRequest:
    """NFC, and what has to be there is. Raises Refused."""
    texts = {name: clean(getattr(request, name), name) for name in ("reference", "client_id", "title", "details")}
    found = request.model_copy(update={name: text.strip() for name, text in texts.items()})
    existing = bool(found.task_id or found.ticket_id)
    if not found.reference:
        raise Refused("bad-request", "reference: name the request, so that the same one again is the same one")
    if not (found.title or existing):
        raise Refused("title-missing", "a request needs a title, or the task or ticket that it is about")
    if not (found.department or existing):
        raise Refused("department-missing", "say which department: see `holdfast directory show`")
    if sum((found.due_on is not None, found.hours is not None, found.new_pages)) > 1:
        raise Refused("due-twice", "say when it is due in one way: due_on, hours, or new_pages")
    return found


async def _known(conn: Connection, request: OpenRequest) -> None:
    query = "SELECT true FROM clients WHERE client_id = $1"
    if request.client_id and not await conn.fetchval(query, request.client_id):
        raise Refused("unknown-client", f"there is no client {request.client_id}: import the clients first")
    known = [one.slug for one in await entries(conn)]
    if request.department and request.department not in known:
        raise Refused(
            "unknown-department", f"there is no department {request.department}; there are {', '.join(known)}"
        )


def _topic(request: OpenRequest) -> Topic:
    return topic_of(operational=request.operational, client_related=bool(request.client_id))


def _due_after(request: OpenRequest, now: datetime, calendar: Calendar) -> timedelta:
    """ID-5: 48 hours, unless it warrants more. A day alone ends with its working hours."""
    if request.hours is not None:
        return timedelta(hours=request.hours)
    if request.new_pages:
        return NEW_PAGES
    if request.due_on is None:
        return DUE
    left = round_to_end_of_day(request.due_on, calendar) - now
    if left <= timedelta():
        raise Refused("due-over", f"due_on: {request.due_on} is over")
    return left
