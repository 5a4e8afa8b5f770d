"""What a ticket or task that was made outside of Holdfast lacks (ID-3 to ID-8)."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from domain.board import BoardTask, Ticket, TicketNote, TicketStatus
from domain.request_sweep import lacks_of_task, lacks_of_ticket

NOW = datetime(2026, 11, 26, 9, tzinfo=UTC)
GOOD = Ticket(ticket_id="7", subject="Ads", status=TicketStatus.OPEN, assignee="barb@agency.test", updated_at=NOW)
OURS = TicketNote(note_id="1", body="Barb has it.", public=False, at=NOW)
OLD = OURS.model_copy(update={"at": NOW - timedelta(hours=48, minutes=1)})
THEIRS = OURS.model_copy(update={"public": True})


@pytest.mark.parametrize(
    ("changes", "following", "notes", "lacks"),
    [
        ({}, ("cleo", "tom"), (THEIRS, OURS), ()),
        ({}, ("cleo", "tom"), None, ()),
        ({}, ("cleo", "tom"), (THEIRS,), ("note",)),
        ({}, ("cleo", "tom"), (OLD, THEIRS), ("note",)),
        ({}, ("cleo", "tom"), (OLD, OURS), ()),
        ({"is_task": True, "due_at": NOW - timedelta(hours=1)}, ("cleo", "tom"), (OURS,), ("in-time",)),
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
    assert lacks_of_ticket(GOOD.model_copy(update=changes), following, ("cleo", "tom"), NOW, notes) == lacks


TASK = BoardTask(
    task_id="7", list_id="1", project_id="1", title="Ads", assignees=("304",), due_on=NOW.date(), comments=1,
    created_at=NOW, updated_at=NOW,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "on_it", "lacks"),
    [
        ({}, ("barb", "cleo", "tom"), ()),
        ({"assignees": ()}, (), ("assignee", "css-and-csm")),
        ({}, ("barb", "cleo"), ("css-and-csm",)),
        ({"due_on": None}, ("cleo", "tom"), ("due-date",)),
        ({"comments": 0}, ("cleo", "tom"), ("comment",)),
        ({"due_on": date(2026, 11, 25)}, ("cleo", "tom"), ("in-time",)),
    ],
)
@pytest.mark.clause("ID-4")
@pytest.mark.clause("ID-3")
def test_what_a_task_lacks(changes: dict[str, Any], on_it: tuple[str, ...], lacks: tuple[str, ...]) -> None:
    assert lacks_of_task(TASK.model_copy(update=changes), on_it, ("cleo", "tom"), NOW) == lacks
