"""The shapes against what Zendesk describes: names as its OpenAPI description of the ticketing API writes them."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from adapters.tickets import wire
from domain.board import TicketStatus
from simulators.base import Call
from simulators.tickets import TicketsSimulator

TICKET = {
    "id", "url", "subject", "description", "status", "type", "priority", "requester_id", "submitter_id",
    "assignee_id", "organization_id", "group_id", "follower_ids", "collaborator_ids", "email_cc_ids", "due_at",
    "tags", "is_public", "custom_fields", "created_at", "updated_at",
}  # fmt: skip
TICKET_UPDATE = {"assignee_email", "type", "due_at", "followers", "comment"}
COMMENT = {
    "id", "type", "author_id", "body", "html_body", "plain_body", "public", "attachments", "audit_id", "created_at",
}  # fmt: skip
AUDIT = {"id", "ticket_id", "author_id", "events"}
PAST_AUDIT = AUDIT | {"created_at"}
CHANGE = {"id", "type", "field_name", "value", "previous_value"}


def aliases_of(model: type[wire.Wire]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def test_every_field_read_is_one_of_zendesks() -> None:
    assert aliases_of(wire.WireTicket) <= TICKET
    assert aliases_of(wire.WireComment) <= COMMENT
    assert aliases_of(wire.Audit) <= AUDIT
    assert aliases_of(wire.PastAudit) <= PAST_AUDIT
    assert aliases_of(wire.Change) <= CHANGE


def test_every_field_written_is_one_of_zendesks() -> None:
    due = datetime(2026, 12, 1, 17, tzinfo=UTC)
    bodies = (
        wire.followers(("a@x",)),
        wire.internal_note("B", "[m]"),
        wire.changed("a@x", due),
        wire.changed(None, None),
    )
    assert {name for body in bodies for name in body["ticket"]} == TICKET_UPDATE
    assert wire.changed("a@x", due)["ticket"]["due_at"] == "2026-12-01T17:00:00Z"
    assert wire.changed(None, None) == {"ticket": {}}


def test_every_field_the_stand_in_answers_with_is_one_of_zendesks() -> None:
    simulator = TicketsSimulator()
    simulator.seed(tickets=[{"id": 1, "subject": "S"}])
    answer: Any = simulator.respond(_call("PUT", "/api/v2/tickets/1.json", wire.internal_note("B", "[m]"))).body
    comments: Any = simulator.respond(_call("GET", "/api/v2/tickets/1/comments.json", None)).body
    simulator.edit(op="status", ticket=1, status="solved")
    (audit,) = _body(simulator, "/api/v2/tickets/1/audits.json")["audits"]
    assert (set(audit), set(audit["events"][0])) == (PAST_AUDIT, CHANGE)
    assert set(answer["ticket"]) == TICKET
    assert set(answer["audit"]) == AUDIT
    assert set(comments["comments"][0]) == COMMENT


def _body(simulator: TicketsSimulator, path: str) -> Any:
    return simulator.respond(_call("GET", path, None)).body


def _call(method: str, path: str, body: object) -> Call:
    return Call(method, path, {}, {"authorization": "Bearer simulator"}, b"x" if body else b"", body)


def ticket(**more: Any) -> dict[str, Any]:
    told = {"id": 35436, "subject": "S", "status": "open", "updated_at": "2026-11-02T16:54:36Z", "follower_ids": []}
    return {**told, **more}


def test_what_is_null_is_nobody_and_nothing() -> None:
    bare = wire.WireTicket.model_validate(ticket(subject=None, assignee_id=None, due_at=None))
    read = wire.ticket(bare, {}, "https://x.zendesk.example")
    assert (read.ticket_id, read.subject, read.assignee, read.due_at) == ("35436", "", "", None)
    assert read.status is TicketStatus.OPEN


@pytest.mark.parametrize(
    "broken",
    [{"status": "on-fire"}, {"id": None}, {"updated_at": "yesterday"}, {"updated_at": "2026-11-02T16:54:36"}],
)
def test_an_odd_ticket_is_not_guessed_at(broken: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        wire.WireTicket.model_validate(ticket(**broken))


@pytest.mark.parametrize(
    "events",
    [
        [],
        [{"id": 1, "type": "Comment", "body": "x [m]", "public": True}],
        [{"id": 1, "type": "Comment", "body": "x", "public": False}],
        [{"id": 1, "type": "Notification", "body": "x [m]", "public": False}],
        [{"id": 1, "type": "Comment", "body": "x [m]"}],
    ],
)
def test_an_answer_without_our_internal_note_has_none(events: list[dict[str, Any]]) -> None:
    answer = {"ticket": ticket(), "audit": {"events": events}}
    assert wire.Updated.model_validate(answer).note("[m]") is None


def test_other_events_of_an_audit_may_look_like_anything() -> None:
    events = [{"id": 1, "type": "External", "body": {"a": 1}}, {"type": "Change", "value": []}, "odd"]
    ours = {"id": 7, "type": "Comment", "body": "x [m]", "public": False}
    note = wire.Updated.model_validate({"ticket": ticket(), "audit": {"events": [*events, ours]}}).note("[m]")
    assert note is not None
    assert note.id == "7"


@pytest.mark.parametrize(
    ("event", "again"),
    [
        ({"type": "Change", "field_name": "status", "previous_value": "solved", "value": "open"}, True),
        ({"type": "Change", "field_name": "status", "previous_value": "solved", "value": "hold"}, True),
        ({"type": "Change", "field_name": "status", "previous_value": "solved", "value": "closed"}, False),
        ({"type": "Change", "field_name": "status", "previous_value": "open", "value": "solved"}, False),
        ({"type": "Change", "field_name": "status", "previous_value": "pending", "value": "open"}, False),
        ({"type": "Create", "field_name": "status", "value": "open"}, False),
        ({"type": "Change", "field_name": "tags", "previous_value": ["solved"], "value": ["open"]}, False),
        ({"type": "Notification", "body": {"a": 1}}, False),
    ],
)
def test_what_an_audit_says_of_a_ticket_that_is_opened_again(event: dict[str, Any], again: bool) -> None:
    page = {"audits": [{"created_at": "2026-11-02T16:54:36Z", "events": [event]}], "meta": {"has_more": False}}
    (audit,) = wire.AuditPage.model_validate(page).audits
    assert audit.events[0].opens_again is again
