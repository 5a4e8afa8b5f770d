"""Cases that this one opens: each is a workflow of its own that reports back; this one can't close over an open one."""

import asyncio
from datetime import timedelta

from domain.case import EventKind
from domain.effects import OpenRequest, ReadLinked
from domain.ids import asked_case, effect_key, part_of
from domain.messages import ActKind, Fact
from domain.steps import PersonStep, StepResult
from workflows.steps.case import Case
from workflows.steps.clocks import promised
from workflows.steps.deadline import wait
from workflows.steps.person import person_unless
from workflows.steps.reading import reading
from workflows.steps.stage import stage
from workflows.steps.visibility import show

LINKED = "linked:"
"""What waits beside the case under this and a linked case's id: the latest report of it, which is read again."""
WAIVED = "waived by "
AT_LEAST = timedelta(hours=1)
"""So long a department has for what was promised by now."""


async def ask(case: Case, name: str, clause: str, request: OpenRequest, promise: str = "") -> str:
    """Asks a department by a case of its own, and returns that case's id. It is waited for, here or at the end.

    `promise`: the running promise of this case that the answer is for. It is then due by what is left of that, and
    first followed up at half of it.
    """
    linked = asked_case(case.request.case_id, request.key)
    case.linked.setdefault(linked, "")
    await stage(case, name, clause, (_in_time(case, request, promise),))
    return linked


def _in_time(case: Case, request: OpenRequest, promise: str) -> OpenRequest:
    """What is left is a duration: each case has a clock of its own."""
    due = min((clock.due for clock in promised(case, promise)), default=None) if promise else None
    if due is None:
        return request
    left = max(AT_LEAST, due - case.now())
    return request.model_copy(update={"due_after": left, "first_chase": left / 2})


async def outcome(case: Case, clause: str, linked: str) -> str:
    """How a linked case ended, in words, or who waived it. That it is opened again later is another matter."""
    key = case.key(f"linked-{part_of(linked)}")
    if key not in case.done:
        await wait(case, f"{clause} {key}", None, lambda: bool(case.linked[linked]))
        case.done[key] = case.linked[linked]
    return case.done[key]


def reported(case: Case, fact: Fact) -> None:
    """Reports that wait together are one."""
    case.beside[f"{LINKED}{fact.reference}"] = fact.model_dump_json()


async def look_up_linked(case: Case, name: str) -> None:
    """A report is a hint, whoever sent it: whether the linked case is over, and how it ended, the tables say."""
    looked_at, linked = "", name.removeprefix(LINKED)
    while case.beside[name] != looked_at:
        looked_at = case.beside[name]
        word = part_of(Fact.model_validate_json(looked_at).event_id)
        key = effect_key(case.request.case_id, f"read-linked-{part_of(linked)}", word)
        effect = ReadLinked(key=key, clause=case.desk.trail, linked_id=linked)
        step = f"read-linked-{part_of(linked)}-{word}"
        read = await reading(case, step, effect)
        case.done.pop(case.named(step), None)  # the next report is read anew
        over = read.data.get("status") not in {"", "open"}
        _keep(case, linked, str(read.data.get("outcome") or "ended") if over else "")
    del case.beside[name]


def _keep(case: Case, linked: str, ended: str) -> None:
    """One that is open again is waited for again, unless somebody waived waiting for it."""
    before = case.linked[linked]
    if before == ended or (not ended and before.startswith(WAIVED)):
        return
    case.linked[linked] = ended
    if not ended:
        case.note(EventKind.RESUMED, case.desk.trail, f"{linked} is open again: this case does not end before it does.")
    show(case)


async def linked_over(case: Case, clause: str) -> None:
    """Until every linked case is over, or a person has waived waiting for it by name."""
    while still := [linked for linked, ended in case.linked.items() if not ended]:
        await asyncio.gather(*(_over_or_waived(case, clause, linked) for linked in still))


async def _over_or_waived(case: Case, clause: str, linked: str) -> None:
    await asyncio.gather(outcome(case, clause, linked), _waived(case, clause, linked))


async def _waived(case: Case, clause: str, linked: str) -> None:
    step = PersonStep(
        name="linked-open",
        clause=clause,
        role=case.desk.team,
        kinds=(ActKind.WAIVE,),
        result=StepResult,
        waiting_for=f"{linked} is still open: this case ends when that one does, or when somebody waives it",
        reference=linked,
    )
    key = case.key(f"linked-open:{part_of(linked)}")
    if done := await person_unless(case, step, lambda: bool(case.linked[linked]), key=key):
        case.linked[linked] = f"{WAIVED}{done.by}"
