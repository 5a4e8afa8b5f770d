from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from domain.case import Broken, Carried, CaseView, Deadline, Move, OpenStep

NOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
THURSDAY = NOW + timedelta(days=2)


def deadline(hours: int = 48) -> Deadline:
    after = timedelta(hours=hours)
    return Deadline(label="findings due", clause="RL-4", since=NOW, after=after, due=NOW + after)


def step(step_id: str = "investigate", hours: int = 48, changes: dict[str, str] | None = None) -> OpenStep:
    made = OpenStep(
        step_id=step_id,
        name="investigate",
        clause="RL-4",
        kinds=("return.findings",),
        role="team:return-leads",
        subject="all",
        waiting_for="findings",
        asked_at=NOW,
        deadline=deadline(hours),
    )
    return made.model_copy(update=changes or {})


def test_a_deadline_says_why_it_is_there_and_how_it_was_moved() -> None:
    moved = deadline().model_copy(
        update={"moved": (Move(before=THURSDAY, after=THURSDAY + timedelta(days=1), by="P-1"),)}
    )
    assert moved.why(names={"P-1": "Priya"}) == (
        "findings due: 48 h after Tue 10 Mar 2026, 09:00 London time (RL-4);"
        " moved from Thu 12 Mar 2026, 09:00 London time to Fri 13 Mar 2026, 09:00 London time by Priya"
    )
    assert "05:00 New York time" in moved.why("America/New_York")
    assert "0.5 h" in deadline().model_copy(update={"after": timedelta(minutes=30)}).why()


@pytest.mark.parametrize(
    ("changes", "owner"),
    [
        ({}, "team:return-leads"),
        ({"reassigned_to": "P-2"}, "P-2"),
        ({"claimed_by": "P-1"}, "P-1"),
        ({"claimed_by": "P-1", "reassigned_to": "P-2"}, "P-1"),
    ],
)
def test_a_step_always_has_an_owner(changes: dict[str, str], owner: str) -> None:
    assert step(changes=changes).owner == owner


def test_what_comes_next_is_what_is_due_first() -> None:
    view = CaseView(case_id="c", workflow_id="c", kind="ReturnLead", client_id="C-1", opened_at=NOW)
    assert view.next is None
    both = view.model_copy(update={"steps": (step("later", 48), step("sooner", 24))})
    assert both.next == step("sooner", 24)


def test_what_one_run_hands_to_the_next_comes_back_whole() -> None:
    carried = Carried(
        opened_at=NOW,
        done={"a": "null"},
        open={"b": step()},
        deadlines={"b": deadline()},
        broken={"k": Broken(effect={"kind": "nudge"}, receipt={"state": "held"}, attempt=3)},
        blocked={"g": Broken(effect={}, receipt={}, attempt=1)},
        beside={"e": "{}"},
        version=7,
    )
    assert Carried.model_validate_json(carried.model_dump_json()) == carried


def test_history_is_read_whatever_a_later_version_wrote_or_an_earlier_left_out() -> None:
    assert Carried.model_validate_json('{"of_the_future": {"a": [1]}}') == Carried()


def test_what_is_shown_is_never_changed_in_place() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        step().claimed_by = "P-1"
