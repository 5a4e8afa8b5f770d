"""Webhooks of Teamwork, Zendesk, Slack and WhatsApp: believed only with their signature, answered after the commit.

A webhook is a hint. Nothing of what it says is acted on: the case, or the door, reads the task or ticket itself. It
signs nothing, opens no address that it names, and comes nowhere near money.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta

import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from adapters.postgres.hints import OfCase, PostgresHints, Taken
from adapters.postgres.intake import Arrival
from adapters.postgres.pool import DatabaseError
from adapters.slack.webhook import read_webhook as read_slack
from adapters.teamwork.webhook import read_webhook as read_teamwork
from adapters.tickets.webhook import read_webhook as read_tickets
from adapters.whatsapp.webhook import read_challenge
from adapters.whatsapp.webhook import read_webhook as read_whatsapp
from domain.board import BoardEvent, BoardEventKind, TicketEvent, TicketEventKind
from domain.chat import SlackChallenge, SlackEvent, WhatsAppBatch, WhatsAppEvent, WhatsAppStatus
from domain.department_request import Source
from domain.errors import Refused
from domain.messages import Auth
from domain.webhooks import WebhookDoubt, WebhookRefusal
from starter.pages.house import House
from starter.requests import OpenRequest, RequestDoor

PREFIX = "/webhooks/"
MOST_BYTES = 1_000_000
MOST_BYTES_OF_META = 3_500_000  # what Meta says its largest batch is, and a little
KEEPERS = "intake-and-operations"
"""The department of ID-1 that looks after whose number is whose."""
A_WHILE = timedelta(minutes=10)
"""So long whoever made a task has to put people and a day on it, before Holdfast looks."""
AT_ONCE = timedelta(0)
WITHIN = {"teamwork": 4.0, "tickets": 8.0, "slack": 2.5, "whatsapp": 4.0}
"""How long each vendor is let wait, in seconds: Teamwork gives up after 5, Zendesk after 10, Slack after 3, and Meta
is said to after 5. Whoever was told to come again does; whoever gave up may not.
"""
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_STATUS = {
    WebhookDoubt.NO_SECRET: 403,
    WebhookDoubt.UNSIGNED: 401,
    WebhookDoubt.BAD_SIGNATURE: 401,
    WebhookDoubt.STALE: 401,
    WebhookDoubt.MALFORMED: 400,
}
log = structlog.get_logger("webhooks")


def create_webhooks(house: House) -> ASGIApp:
    """Answers everything below /webhooks/ of the pages' address."""
    doors = Webhooks(house)
    routes = [
        Route(f"{PREFIX}teamwork", doors.taking("teamwork", MOST_BYTES, doors.teamwork), methods=["POST"]),
        Route(f"{PREFIX}tickets", doors.taking("tickets", MOST_BYTES, doors.tickets), methods=["POST"]),
        Route(f"{PREFIX}slack", doors.taking("slack", MOST_BYTES, doors.slack), methods=["POST"]),
        Route(f"{PREFIX}whatsapp", doors.taking("whatsapp", MOST_BYTES_OF_META, doors.whatsapp), methods=["POST"]),
        Route(f"{PREFIX}whatsapp", doors.verify, methods=["GET"]),
    ]
    return Starlette(routes=routes)


class Webhooks:
    def __init__(self, house: House) -> None:
        self._settings, self._hints = house.settings, PostgresHints(house.pool, house.vault)
        self._requests = house.request_door
        self._under_way: set[asyncio.Task[Response]] = set()

    def taking(
        self, vendor: str, most: int, take: Callable[[Request, bytes], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """What every door does: the size first, then whose it is; an answer after the commit, in the vendor's time."""

        async def taken(request: Request) -> Response:
            raw = await _body(request, most)
            return await take(request, raw) if raw is not None else _answer(413, "too-large")

        async def endpoint(request: Request) -> Response:
            try:
                return await self._in_time(vendor, taken(request))
            except ClientDisconnect:
                return _answer(400, "cut-short")
            except DatabaseError as error:
                log.warning("a webhook could not be taken", vendor=vendor, problem=type(error).__name__)
                return _answer(503, "unavailable", {"Retry-After": "30"})

        return endpoint

    async def _in_time(self, vendor: str, work: Coroutine[None, None, Response]) -> Response:
        """What takes too long is given up and comes again; a commit that was under way makes that a repetition."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        await asyncio.wait({task}, timeout=WITHIN[vendor])
        if task.done():
            return task.result()
        task.cancel()
        log.warning("a webhook could not be taken in its vendor's time", vendor=vendor)
        return _answer(503, "too-slow", {"Retry-After": "30"})

    def _ended(self, task: asyncio.Task[Response]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # of what was given up, nobody asks

    async def teamwork(self, request: Request, raw: bytes) -> Response:
        event = read_teamwork(request.headers, raw, self._settings.webhook_secrets("teamwork"))
        if isinstance(event, WebhookRefusal):
            return _refused("teamwork", event)
        arrival = Arrival("teamwork", event.event_id, raw)
        if not event.task_id or event.kind is BoardEventKind.OTHER:
            return _taken(await self._hints.kept(arrival))
        about, watch = f"task/{event.task_id}", event.kind is BoardEventKind.TASK_REOPENED
        return _taken(await self._hints.changed(arrival, about, look_in=_when_to_look(event), watch=watch))

    async def tickets(self, request: Request, raw: bytes) -> Response:
        secrets, now = self._settings.webhook_secrets("tickets"), datetime.now(UTC)
        event = read_tickets(request.headers, raw, secrets, now)
        if isinstance(event, WebhookRefusal):
            return _refused("tickets", event)
        arrival = Arrival("tickets", event.event_id, raw)
        if not event.ticket_id:
            return _taken(await self._hints.kept(arrival))
        about, look_in = f"ticket/{event.ticket_id}", _after_a_while(event)
        watch = event.kind is TicketEventKind.STATUS
        return _taken(await self._hints.changed(arrival, about, look_in=look_in, watch=watch))

    async def slack(self, request: Request, raw: bytes) -> Response:
        """On record, and decides nothing. Our own posts come back as events, and are not kept."""
        secrets, now = self._settings.webhook_secrets("slack"), datetime.now(UTC)
        event = read_slack(request.headers, raw, secrets, now)
        match event:
            case WebhookRefusal():
                return _refused("slack", event)
            case SlackChallenge():
                return JSONResponse({"challenge": event.challenge}, headers=HEADERS)
            case SlackEvent() if event.from_bot:
                return _taken(Taken("ignored", "our-own"))
            case SlackEvent():
                return _taken(await self._hints.kept(Arrival("slack", event.event_id, raw)))

    async def whatsapp(self, request: Request, raw: bytes) -> Response:
        secrets, phone = self._settings.webhook_secrets("whatsapp"), self._settings.whatsapp_phone_id
        batch = read_whatsapp(request.headers, raw, secrets, phone)
        if isinstance(batch, WebhookRefusal):
            return _refused("whatsapp", batch)
        return await self._each(batch)

    async def _each(self, batch: WhatsAppBatch) -> Response:
        if batch.skipped:
            log.info("events of a webhook could not be read", vendor="whatsapp", skipped=batch.skipped)
        for event in batch.events:
            await self._whatsapp(event)
        return _taken(Taken("handed"))

    async def _whatsapp(self, event: WhatsAppEvent) -> None:
        arrival = Arrival("whatsapp", event.event_id, event.model_dump_json().encode())
        if not isinstance(event, WhatsAppStatus):
            await self._hints.wrote(arrival, event.number, event.at)
        elif event.state == "failed":
            await self._failed(arrival, event)
        else:
            await self._hints.became(arrival, event.marker, event.state)

    async def _failed(self, arrival: Arrival, event: WhatsAppStatus) -> None:
        """Statuses come in any order: what was delivered or read did arrive, whatever is said of another try of it."""
        if await self._hints.arrived("whatsapp", [f"{event.wamid}/{state}" for state in ("delivered", "read")]):
            await self._hints.became(arrival, event.marker, "failed-and-delivered")
            return
        case = await self._hints.told_in(event.marker)
        if case is not None and not case.is_open:
            await have_number_looked_at(self._requests, case)
        await self._hints.undelivered(arrival, event.marker)

    async def verify(self, request: Request) -> Response:
        """Meta makes sure that the address is ours."""
        challenge = read_challenge(request.query_params, self._settings.whatsapp_verification)
        return PlainTextResponse(challenge, headers=HEADERS) if challenge else _answer(403, "not-meta")


async def have_number_looked_at(door: RequestDoor, case: OfCase) -> None:
    """A message of ours did not arrive, and nobody waits for it any more: the number is looked at, as a request.

    One a case, to whoever keeps the directory, else to the case's own department.
    """
    for department in (KEEPERS, str(case.request.get("department", ""))):
        request = OpenRequest(
            reference=f"undelivered-{case.case_id}",
            department=department,
            client_id=case.client_id,
            title="A WhatsApp number does not take our messages",
            details=f"A message about {case.case_id} did not arrive after all, says WhatsApp, and that case is over.\n"
            "Ask whoever it went to for the number that works, and have it put on record (samples/channels.csv shows "
            "the form).",
        )
        try:
            await door.open(request, Source.WEBHOOK, by=f"a status of WhatsApp ({Auth.WEBHOOK})")
        except Refused as error:
            log.warning("nobody is asked about a number", case_id=case.case_id, code=error.code)
            continue
        return


def _when_to_look(event: BoardEvent) -> timedelta | None:
    match event.kind:
        case BoardEventKind.TASK_REOPENED:
            return AT_ONCE
        case BoardEventKind.TASK_CREATED | BoardEventKind.TASK_UPDATED:
            return A_WHILE
        case _:
            return None


def _after_a_while(event: TicketEvent) -> timedelta | None:
    looks = {TicketEventKind.CREATED, TicketEventKind.ASSIGNEE, TicketEventKind.FOLLOWERS, TicketEventKind.STATUS}
    return A_WHILE if event.kind in looks else None


async def _body(request: Request, most: int) -> bytes | None:
    """None if it is larger than `most`; then the rest is not read."""
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > most:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            return None
    return bytes(body)


def _refused(vendor: str, refusal: WebhookRefusal) -> Response:
    log.warning("a webhook was refused", vendor=vendor, code=refusal.code.value)
    return _answer(_STATUS[refusal.code], refusal.code.value)


def _taken(taken: Taken) -> Response:
    del taken  # whoever sends it learns nothing of our cases
    return JSONResponse({}, headers=HEADERS)


def _answer(status: int, code: str, more: dict[str, str] | None = None) -> Response:
    return JSONResponse({"code": code}, status, headers={**HEADERS, **(more or {})})
