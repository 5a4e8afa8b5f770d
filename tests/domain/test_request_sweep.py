"""What a ticket or task that was made outside of Holdfast lacks (ID-4 to ID-8)."""

from datetime import UTC, datetime
from typing import Any

import pytest

from domain.board import Ticket, TicketNote, TicketStatus
from domain.request_sweep import lacks_of_ticket

NOW = datetime(2026, 11, 26, 9, tzinfo=UTC)
GOOD = Ticket(ticket_id="7", subject="Ads", status=TicketStatus.OPEN, assignee="barb@agency.test", updated_at=NOW)
OURS = TicketNote(note_id="1", body="Barb has it.", public=False, at=NOW)
THEIRS = OURS.model_copy(update={"public": True})


@pytest.mark.parametrize(
    ("changes", "following", "notes", "lacks"),
    [
        ({}, ("cleo", "tom"), (THEIRS, OURS), ()),
        ({}, ("cleo", "tom"), None, ()),
        ({}, ("cleo", "tom"), (THEIRS,), ("note",)),
        ({}, ("tom",), (OURS,), ("followers",)),
        ({"assignee": ""}, ("cleo", "tom"), (OURS,), ("assignee",)),
        ({"is_task": True}, ("cleo", "tom"), (OURS,), ("due-date",)),
        ({"is_task": True, "due_at": NOW}, ("cleo", "tom"), (OURS,), ()),
    ],
)
@pytest.mark.clause("ID-7")
def test_what_a_ticket_lacks(
    changes: dict[str, Any], following: tuple[str, ...], notes: tuple[TicketNote, ...] | None, lacks: tuple[str, ...]
) -> None:
    assert lacks_of_ticket(GOOD.model_copy(update=changes), following, ("cleo", "tom"), notes) == lacks
