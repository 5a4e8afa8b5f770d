"""What the Temporal UI shows of a case: in words, and as search attributes. No personal data in either."""

from datetime import datetime
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributeUpdate

from domain.case import OpenStep, Request
from domain.rules.hours import in_zone
from domain.rules.running_clock import Clock
from workflows.steps.case import Case

STATUS = SearchAttributeKey.for_keyword("CaseStatus")
OWNER = SearchAttributeKey.for_keyword("Owner")
WAITING_FOR = SearchAttributeKey.for_keyword("WaitingFor")
DUE_AT = SearchAttributeKey.for_datetime("DueAt")
KIND = SearchAttributeKey.for_keyword("CaseKind")
CLIENT = SearchAttributeKey.for_keyword("ClientId")


def show(case: Case) -> None:
    """Writes the current details, and the search attributes if they changed."""
    case.hold_clocks()
    workflow.set_current_details(_details(case))
    step = min(case.open.values(), key=lambda one: one.deadline.due, default=None)
    updates = _updates(case, step)
    if updates:
        workflow.upsert_search_attributes(updates)  # pyright: ignore[reportUnknownMemberType]  the SDK's own annotation


def say_whose(case: Case, request: Request) -> None:
    """What a door gives to the workflows it starts, for one that was started without it."""
    updates: list[SearchAttributeUpdate[Any]] = [KIND.value_set(case.kind)]
    if request.client_id:
        updates.append(CLIENT.value_set(request.client_id))
    workflow.upsert_search_attributes(updates)  # pyright: ignore[reportUnknownMemberType]  the SDK's own annotation


def _updates(case: Case, step: OpenStep | None) -> list[SearchAttributeUpdate[Any]]:
    """Nothing while a case only passes between two steps: one update a parked moment is enough."""
    if step is None and case.status == "open":
        return []
    known = workflow.info().typed_search_attributes
    wanted: list[tuple[SearchAttributeKey[str], str]] = [
        (STATUS, case.status.value),
        (OWNER, step.owner if step else "nobody"),
        (WAITING_FOR, step.name if step else "nothing"),
    ]
    updates: list[SearchAttributeUpdate[Any]] = [
        key.value_set(value) for key, value in wanted if known.get(key) != value
    ]
    due: datetime | None = step.deadline.due if step else None
    if known.get(DUE_AT) != due:
        updates.append(DUE_AT.value_set(due) if due else DUE_AT.value_unset())
    return updates


def _details(case: Case) -> str:
    """Where we are, who must act, by when: markdown, a paragraph a line, for the UI flattens lists."""
    lines = [f"**{case.kind}** · {case.status}" + (f" · {case.outcome}" if case.outcome else "")]
    for step in sorted(case.open.values(), key=lambda one: one.deadline.due):
        by = in_zone(step.deadline.due)
        instead = f" for {step.belongs_to}" if step.covered_by else ""
        lines.append(f"**{step.owner}**{instead} must act: {step.waiting_for} ({step.clause}), by {by}")
        reminded = f"; reminded {step.chased}x" if step.chased else ""
        lines.append(f"Why then: {step.deadline.why()}{reminded}")
    if not case.open:
        lines.append(case.doing)
    lines += [f"Promised: {one.in_words} by {in_zone(one.due)}" for one in _running(case)]
    lines += [f"Being mended: `{key}`" for key in case.broken]
    if case.refused:
        lines.append(f"Acts or signals refused so far: {case.refused}; the case goes on waiting")
        lines += [f"{times}x {label}" for label, times in case.unreadable.items()]
    return "\n\n".join(lines)


def _running(case: Case) -> list[Clock]:
    return [clock for clock in case.clocks.values() if clock.runs]
