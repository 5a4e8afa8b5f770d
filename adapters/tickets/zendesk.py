"""Tickets in Zendesk Support: implements `activities.ports.TicketDesk`.

Zendesk's `Idempotency-Key` is described for new tickets alone, which are not made here: a note is read back by its
marker, and followers, assignee and due date are what they are set to, however often.
"""

from base64 import b64encode
from collections.abc import AsyncIterator, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from adapters.http import TIMEOUT, Does, VendorClient
from adapters.tickets import wire
from domain.board import Ticket, TicketAbility, TicketNote, TicketStatus
from domain.errors import Permanent, Unclear, VendorError

VENDOR = "Zendesk"

_API = "/api/v2"
_PAGE_SIZE = 100
_MOST_PAGES = 500
_GONE = frozenset({"record-not-found", "http-404"})
_TRY_LATER = frozenset({"database-conflict"})

M = TypeVar("M", bound=BaseModel)
P = TypeVar("P", bound=wire.Page)


class ZendeskDesk:
    """One account (`https://<name>.zendesk.com`): an agent's API token with his address, or an OAuth token without.

    `followers`: whether the account has CCs and followers switched on.
    """

    def __init__(
        self, site: str, token: str, *, user: str = "", followers: bool = True, timeout: timedelta = TIMEOUT
    ) -> None:
        self._followers = followers
        self._site = site.rstrip("/")
        self._client = VendorClient(
            VENDOR,
            self._site,
            b64encode(f"{user}/token:{token}".encode()).decode() if user else token,
            timeout=timeout,
            scheme="Basic" if user else "Bearer",
            code_of=lambda body: body["error"],
            try_later=_TRY_LATER,
        )

    @property
    def capabilities(self) -> frozenset[TicketAbility]:
        return frozenset(TicketAbility) - (set() if self._followers else {TicketAbility.FOLLOWERS})

    async def aclose(self) -> None:
        await self._client.aclose()

    async def ticket(self, ticket_id: str) -> Ticket | None:
        """The ticket as it is now; None if there is none, or it was deleted."""
        path = f"{_API}/tickets/{_number(ticket_id)}.json"
        try:
            answer = await self._client.json("reads", "GET", path)
        except Permanent as error:
            if error.code in _GONE:
                return None
            raise
        found = self._read("reads", wire.OneTicket, answer).ticket
        if found.id != ticket_id:
            self._client.bad_answer("reads")
        return await self._translated(found)

    async def tickets(self, updated_since: datetime) -> tuple[Ticket, ...]:
        """All tickets that changed at `updated_since` or later, the latest change first; no archived ones."""
        found: dict[str, wire.WireTicket] = {}
        async for page in self._pages(wire.TicketPage, f"{_API}/tickets.json", {"sort": "-updated_at"}):
            fresh = [one for one in page.tickets if one.updated_at >= updated_since]
            for one in fresh:
                found.setdefault(one.id, one)
            if len(fresh) < len(page.tickets):
                break
        return await self._all_translated(found)

    async def unsettled(self) -> tuple[Ticket, ...]:
        """All tickets that are neither solved nor closed, however long ago they changed; not the newest minutes."""
        query = {"query": f"status<{TicketStatus.SOLVED}", "filter[type]": "ticket"}
        pages = self._pages(wire.SearchPage, f"{_API}/search/export", query)
        return await self._all_translated({one.id: one async for page in pages for one in page.results})

    async def was_opened_again(self, ticket_id: str, since: datetime) -> bool:
        """Whether it went from solved or closed to another status at `since` or later, as its audits say."""
        path = f"{_API}/tickets/{_number(ticket_id)}/audits.json"
        with _missing():
            audits = [one async for page in self._pages(wire.AuditPage, path) for one in page.audits]
        return any(change.opens_again for one in audits if one.created_at >= since for change in one.events)

    async def set_followers(self, ticket_id: str, add: Sequence[str]) -> Ticket:
        """Adds followers and leaves those that are there.

        Permanent `not-able` where they are switched off; `not-a-user` if one of them is none afterwards: Zendesk passes
        over whoever is no agent, and takes the others.
        """
        if not self._followers:
            raise Permanent(VENDOR, "not-able", "has no followers here; write a note that names them")
        wanted = list(dict.fromkeys(one.lower() for one in add))
        changed = await self._change(ticket_id, wire.followers(wanted))
        ticket = await self._seen(changed.ticket)
        if not set(wanted) <= set(ticket.followers):
            raise Permanent(VENDOR, "not-a-user", "did not take every follower; each must be an agent there")
        return ticket

    async def note(self, ticket_id: str, body: str, marker: str) -> str:
        """Writes a note that only the team sees; returns its id."""
        changed = await self._change(ticket_id, wire.internal_note(body, marker))
        note = changed.note(marker)
        if note is None:
            raise Unclear(VENDOR, "answer-differs", "did not say that it took an internal note; look at the ticket")
        return note.id

    async def notes(self, ticket_id: str) -> tuple[TicketNote, ...]:
        """The whole conversation of a ticket, oldest first, public messages too."""
        path = f"{_API}/tickets/{_number(ticket_id)}/comments.json"
        with _missing():
            found = {one.id: one async for page in self._pages(wire.CommentPage, path) for one in page.comments}
        emails = await self._emails(one.author_id for one in found.values() if one.author_id)
        ordered = sorted(found.values(), key=lambda one: (one.created_at, int(one.id)))
        return tuple(wire.note(one, emails) for one in ordered)

    async def change(self, ticket_id: str, *, assignee: str | None = None, due_at: datetime | None = None) -> Ticket:
        """Replaces what is given and leaves what is None alone; a due date makes the ticket one of the type `task`.

        Permanent `not-a-user` if the desk did not take the assignee.
        """
        changed = await self._change(ticket_id, wire.changed(assignee, due_at))
        ticket = await self._seen(changed.ticket)
        if assignee is not None and ticket.assignee != assignee.lower():
            raise Permanent(VENDOR, "not-a-user", "did not take the assignee, who must be an agent there")
        return ticket

    async def _change(self, ticket_id: str, body: Mapping[str, Any]) -> wire.Updated:
        path = f"{_API}/tickets/{_number(ticket_id)}.json"
        with _missing():
            answer = await self._client.json("writes", "PUT", path, body=body)
        changed = self._read("writes", wire.Updated, answer)
        if changed.ticket.id != ticket_id:
            self._client.bad_answer("writes")
        return changed

    async def _seen(self, changed: wire.WireTicket) -> Ticket:
        """The ticket after a write. The write is done: not knowing its people is never `certainly not done`."""
        try:
            return await self._translated(changed)
        except VendorError as error:
            raise Unclear(VENDOR, "unseen", "took it, but its people can't be read; it is looked at again") from error

    async def _all_translated(self, found: Mapping[str, wire.WireTicket]) -> tuple[Ticket, ...]:
        emails = await self._emails({person for one in found.values() for person in one.people})
        return tuple(wire.ticket(one, emails, self._site) for one in found.values())

    async def _translated(self, found: wire.WireTicket) -> Ticket:
        return wire.ticket(found, await self._emails(found.people), self._site)

    async def _emails(self, people: Iterable[str]) -> dict[str, str]:
        """The addresses of users by id; whoever was deleted has none."""
        wanted = sorted(set(people), key=int)
        found: dict[str, str] = {}
        for start in range(0, len(wanted), _PAGE_SIZE):
            params = {"ids": ",".join(wanted[start : start + _PAGE_SIZE])}
            answer = await self._client.json("reads", "GET", f"{_API}/users/show_many.json", params=params)
            found |= {one.id: (one.email or "").lower() for one in self._read("reads", wire.Users, answer).users}
        return found

    async def _pages(self, model: type[P], path: str, params: Mapping[str, str] | None = None) -> AsyncIterator[P]:
        cursor: dict[str, str] = {}
        for _ in range(_MOST_PAGES):
            query = {**(params or {}), "page[size]": _PAGE_SIZE, **cursor}
            page = self._read("reads", model, await self._client.json("reads", "GET", path, params=query))
            yield page
            if not page.meta.has_more or not page.meta.after_cursor:
                return
            cursor = {"page[after]": page.meta.after_cursor}
        raise Permanent(VENDOR, "too-many-pages", "has more than can be read at once; ask for a shorter time")

    def _read(self, does: Does, model: type[M], answer: Any) -> M:
        try:
            return model.model_validate(answer)
        except ValidationError:
            self._client.bad_answer(does)


def _number(ident: str) -> str:
    try:
        return wire.number(ident)
    except wire.BadIdError as error:
        raise Permanent(VENDOR, "bad-id", str(error)) from error


@contextmanager
def _missing() -> Generator[None]:
    try:
        yield
    except Permanent as error:
        if error.code not in _GONE:
            raise
        raise Permanent(VENDOR, "not-found", "there is no such ticket") from error
