"""Cases that this one opens: each is a workflow of its own that reports back; this one can't close over an open one."""

import asyncio

from domain.effects import OpenRequest, ReadLinked
from domain.ids import asked_case, effect_key, part_of
from domain.messages import ActKind, FactKind
from domain.steps import PersonStep, StepResult
from workflows.steps.case import Case
from workflows.steps.news import news
from workflows.steps.person import person_unless
from workflows.steps.reading import reading
from workflows.steps.stage import stage


async def ask(case: Case, name: str, clause: str, request: OpenRequest) -> str:
    """Asks a department by a case of its own, and returns that case's id. It is waited for, here or at the end."""
    await stage(case, name, clause, (request,))
    linked = asked_case(case.request.case_id, request.key)
    case.linked.setdefault(linked, "")
    return linked


async def outcome(case: Case, clause: str, linked: str) -> str:
    """How a linked case ended, in words: what it reports is a hint, the tables say it. Or who waived it."""
    name = f"linked-{part_of(linked)}"
    while not case.linked[linked]:
        if await news(case, name, clause, FactKind.LINKED, lambda: bool(case.linked[linked]), linked):
            key = effect_key(case.request.case_id, f"read-{name}")
            read = await reading(case, f"read-{name}", ReadLinked(key=key, clause=clause, linked_id=linked))
            ended = read.data.get("status") not in {"", "open"}
            case.linked[linked] = str(read.data.get("outcome") or "ended") if ended else ""
    return case.linked[linked]


async def linked_over(case: Case, clause: str) -> None:
    """Until every linked case is over, or a person has waived waiting for it by name."""
    still = [linked for linked, ended in case.linked.items() if not ended]
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
    key = f"linked-open:{part_of(linked)}"
    if done := await person_unless(case, step, lambda: bool(case.linked[linked]), key=key):
        case.linked[linked] = f"waived by {done.by}"
