"""The department request as data: how long things take, whatever row or opener says otherwise (ID-5, ID-8)."""

from datetime import date, datetime, timedelta

import pytest

from domain.department_request import DepartmentAsk, Estimate
from domain.effects import AssignTask, CommentTask, Tell
from domain.rules.clock import Cause, ClockKind, PauseRule, Target, TargetName
from domain.sops import department_request as sop
from tests.domain.rules.calendars import AGENCY, at

HOURS = timedelta(hours=1)
NOW = at("2026-12-23 10:00")


def asked(**more: object) -> DepartmentAsk:
    given = {"case_id": "department-request/1", "client_id": "acme", "department": "ppc", "calendar": AGENCY, **more}
    return DepartmentAsk.model_validate(given)


@pytest.mark.clause("ID-5")
@pytest.mark.parametrize(
    ("answer", "due"),
    [
        (Estimate(hours=72), "2026-12-26 10:00"),  # elapsed: over Christmas
        (Estimate(on=date(2026, 12, 24)), "2026-12-24 17:30"),
        (Estimate(on=date(2026, 12, 25)), "2026-12-29 17:30"),  # no working day: the end of the next one
        (Estimate(on=date(2026, 12, 27)), "2026-12-29 17:30"),
        (Estimate(on=date(2026, 12, 1)), "2026-12-23 10:00"),  # over already: due at once
    ],
)
def test_an_estimate_in_hours_counts_from_the_answer_and_a_day_ends_with_its_working_hours(
    answer: Estimate, due: str
) -> None:
    assert NOW + sop.from_now(asked(), answer, NOW) == at(due)


@pytest.mark.clause("ID-5")
def test_the_board_has_the_day_on_which_it_is_due_where_the_department_works() -> None:
    late = datetime.fromisoformat("2026-06-01T23:30:00+00:00")  # half past midnight in London
    (task, *_) = sop.opening(asked(), "ppc", late)
    assert isinstance(task, AssignTask)
    assert task.due_on == date(2026, 6, 2)
    new_york = AGENCY.model_copy(update={"zone": "America/New_York"})
    assert sop.day_of(asked(calendar=new_york), late) == date(2026, 6, 1)


@pytest.mark.clause("ID-10")
def test_the_comment_comes_after_the_task_and_the_message_after_the_comment() -> None:
    effects = sop.opening(asked(ticket_id="7"), "ppc", NOW)
    task, comment = effects[0], effects[1]
    (told,) = (one for one in effects if isinstance(one, Tell))
    assert isinstance(task, AssignTask)
    assert isinstance(comment, CommentTask)
    assert (comment.after, told.after) == (task.key, comment.key)
    assert {comment.to, told.to, task.role} == {sop.contact(asked(), "ppc")}


@pytest.mark.clause("ID-8")
@pytest.mark.parametrize(
    ("first_chase", "asked_after"), [(None, 36), (15 * HOURS, 3), (5 * HOURS, 1 / 60), (240 * HOURS, 36)]
)
def test_an_opener_has_the_first_note_sooner_and_never_later_than_48_hours(
    first_chase: timedelta | None, asked_after: float
) -> None:
    request = asked(first_chase=first_chase)
    assert sop.next_note(request, 1) == asked_after * HOURS
    assert sop.next_reply(request, 1).after == min(first_chase or sop.FOLLOW_UP, sop.FOLLOW_UP)
    assert sop.next_note(request, 2) == 36 * HOURS
    assert sop.next_reply(request, 2).after == 48 * HOURS


def row(name: TargetName, **more: object) -> Target:
    pauses = (PauseRule(cause=Cause.CLIENT, longest=timedelta(days=5)),)
    given = {"name": name, "clause": "any", "after": 3 * HOURS, "clock": ClockKind.BUSINESS, "version": 4, **more}
    return Target.model_validate({"pauses": pauses, **given})


@pytest.mark.clause("ID-5")
def test_hours_that_the_document_names_are_elapsed_whatever_the_row_says() -> None:
    request = asked(targets=(row(TargetName.RESOLVED), row(TargetName.NEXT_REPLY)))
    resolved, next_reply = sop.resolved(request, 48 * HOURS), sop.next_reply(request, 1)
    assert (resolved.after, resolved.clock, resolved.version) == (48 * HOURS, ClockKind.ELAPSED, 4)
    assert (next_reply.after, next_reply.clock) == (48 * HOURS, ClockKind.ELAPSED)
    assert resolved.pausing(Cause.CLIENT) is not None
    assert next_reply.pauses == ()  # the document knows no exception


@pytest.mark.clause("ID-6")
def test_what_the_document_gives_no_hours_for_runs_as_the_row_says() -> None:
    rows = (row(TargetName.ACKNOWLEDGE, pauses=()), row(TargetName.SOLUTION_PROPOSED))
    acknowledged, proposed = sop.acknowledged(asked(targets=rows)), sop.proposed(asked(targets=rows))
    for target in (acknowledged, proposed):
        assert (target.after, target.clock) == (3 * HOURS, ClockKind.BUSINESS)
    without = sop.acknowledged(asked())
    assert (without.after, without.clock, without.pausing(Cause.CLIENT)) == (4 * HOURS, ClockKind.ELAPSED, None)
