"""What Zendesk sends and takes, field by field. Reads tolerate unknown fields; ids are numbers there, text here."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from domain.board import Ticket, TicketNote, TicketStatus

_SETTLED = (TicketStatus.SOLVED, TicketStatus.CLOSED)
_COMMENTS = frozenset({"Comment", "VoiceComment"})


class BadIdError(ValueError):
    """An id that is none of Zendesk's, which are numbers."""


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Ident = Annotated[str, BeforeValidator(_as_text)]


class Wire(BaseModel):
    model_config = ConfigDict(extra="ignore")


class WireTicket(Wire):
    id: Ident
    subject: str | None = ""
    status: TicketStatus
    assignee_id: Ident | None = None
    requester_id: Ident | None = None
    follower_ids: list[Ident] = []
    type: str | None = None
    due_at: AwareDatetime | None = None
    tags: list[str] = []
    updated_at: AwareDatetime

    @property
    def people(self) -> set[str]:
        return {one for one in (self.assignee_id, self.requester_id, *self.follower_ids) if one}


class WireComment(Wire):
    id: Ident
    type: str = "Comment"
    author_id: Ident | None = None
    body: str = ""
    public: bool
    created_at: AwareDatetime


class WireUser(Wire):
    id: Ident
    email: str | None = None


class Meta(Wire):
    has_more: bool
    after_cursor: str | None = None


class Page(Wire):
    """A page by cursor. The list it is about must be there, or an odd answer would pass for an empty one."""

    meta: Meta


class TicketPage(Page):
    tickets: list[WireTicket]


class SearchPage(Page):
    results: list[WireTicket]


class CommentPage(Page):
    comments: list[WireComment]


class Users(Wire):
    users: list[WireUser]


class OneTicket(Wire):
    ticket: WireTicket


class AuditEvent(Wire):
    id: Ident
    type: str = ""
    body: str = ""
    public: bool | None = None

    def is_note(self, marker: str) -> bool:
        return self.type in _COMMENTS and self.public is False and marker in self.body


class Audit(Wire):
    events: list[Annotated[AuditEvent | None, BeforeValidator(lambda one: one if _is_comment(one) else None)]] = []


class Change(Wire):
    """What an audit says of one field. Values are of every shape; only a status is read here."""

    type: str = ""
    field_name: str | None = None
    value: Any = None
    previous_value: Any = None

    @property
    def opens_again(self) -> bool:
        is_status = (self.type, self.field_name) == ("Change", "status")
        return is_status and self.previous_value in _SETTLED and self.value not in _SETTLED


class PastAudit(Wire):
    created_at: AwareDatetime
    events: list[Change] = []


class AuditPage(Page):
    audits: list[PastAudit]


class Updated(Wire):
    """The answer to a changed ticket: as it is now, and what the change consisted of."""

    ticket: WireTicket
    audit: Audit = Field(default_factory=Audit)

    def note(self, marker: str) -> AuditEvent | None:
        return next((one for one in self.audit.events if one is not None and one.is_note(marker)), None)


def _is_comment(event: object) -> bool:
    """Other events of an audit have bodies of every shape, and say nothing that is read here."""
    return isinstance(event, dict) and event.get("type") in _COMMENTS  # pyright: ignore[reportUnknownMemberType]


def ticket(wire: WireTicket, emails: Mapping[str, str], site: str) -> Ticket:
    followers = (emails.get(one, "") for one in wire.follower_ids)
    return Ticket(
        ticket_id=wire.id,
        subject=wire.subject or "",
        status=wire.status,
        assignee=emails.get(wire.assignee_id or "", ""),
        requester=emails.get(wire.requester_id or "", ""),
        is_task=wire.type == "task",
        due_at=wire.due_at,
        followers=tuple(one for one in followers if one),
        tags=tuple(wire.tags),
        url=f"{site}/agent/tickets/{wire.id}",
        updated_at=wire.updated_at,
    )


def note(wire: WireComment, emails: Mapping[str, str]) -> TicketNote:
    return TicketNote(
        note_id=wire.id,
        body=wire.body,
        public=wire.public,
        author=emails.get(wire.author_id or "", ""),
        at=wire.created_at,
    )


def followers(add: Sequence[str]) -> dict[str, Any]:
    return {"ticket": {"followers": [{"user_email": one, "action": "put"} for one in add]}}


def internal_note(body: str, marker: str) -> dict[str, Any]:
    text = body if marker in body else f"{body}\n\n{marker}".lstrip()
    return {"ticket": {"comment": {"body": text, "public": False}}}


def changed(assignee: str | None, due_at: datetime | None) -> dict[str, Any]:
    """A due date is Zendesk's only on tickets of the type `task`: the type becomes that."""
    fields: dict[str, Any] = {} if assignee is None else {"assignee_email": assignee}
    if due_at is not None:
        fields |= {"type": "task", "due_at": due_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    return {"ticket": fields}


def number(ident: str) -> str:
    """An id as Zendesk takes it in a path. Raises BadIdError."""
    if not re.fullmatch(r"[1-9][0-9]{0,17}", ident):
        raise BadIdError("an id of Zendesk is a number")
    return ident
