"""A small SOP that does what its request says: for tests of the steps an SOP is written with."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from temporalio import workflow

from domain.case import Model, Request
from domain.effects import AnswerClient, AuthoriseCreditNote, ReadNotes, Receipt, SendLetter
from domain.ids import effect_key
from domain.messages import ActKind
from domain.people import Role
from domain.steps import Desk, PersonStep, StepResult
from workflows.base import CaseWorkflow
from workflows.steps.case import Case
from workflows.steps.close import close
from workflows.steps.deadline import deadline, unless
from workflows.steps.grant import grant
from workflows.steps.mend import mends
from workflows.steps.person import person
from workflows.steps.reading import reading
from workflows.steps.running import running
from workflows.steps.stage import stage

DESK = Desk(team=Role.RETURN_LEADS, trail="RL-15", inbox="RL-1", client="RL-9")

DUE = timedelta(hours=24)
NOTE_AFTER = timedelta(hours=36)


class Script(Request):
    """`moments`, in order: `ask`, `emergency` (urgent, and escalated), `send`, `pair` (two letters, the second after
    the first), `note`, `grant`, `notes` (two credit notes), `read`.
    """

    moments: tuple[str, ...] = ("ask",)
    last: tuple[str, ...] = ()


class Ended(Model):
    status: str = "closed"
    said: tuple[str, ...] = ()


def letter(case_id: str, name: str, after: str = "", word: str = "1") -> SendLetter:
    key = effect_key(case_id, name, word)
    return SendLetter(key=key, clause="RL-9", template=name, audience="client-thread", after=after)  # pyright: ignore[reportArgumentType]


@workflow.defn
class Scripted(CaseWorkflow):
    @workflow.init
    def __init__(self, request: Script) -> None:
        self.case = Case(request, "Scripted", DESK)
        self.said: list[str] = []
        self.answered = False

    @workflow.run
    async def run(self, request: Script) -> Ended:
        async with running(self.case, mends) as case:
            for moment in request.moments:
                await self.do(moment)
            last = [letter(request.case_id, name) for name in request.last]
            return await close(case, Ended(said=tuple(self.said)), "all was done", "RL-8", last)

    async def do(self, moment: str) -> None:
        case, case_id = self.case, self.case.request.case_id
        match moment:
            case "ask":
                done = await person(case, asked())
                self.answered = True
                self.said.append(done.result.note_sha256)
            case "emergency":
                step = replace(asked(), name="emergency", urgent=True, escalate=Role.OPERATIONS)
                self.said.append((await person(case, step)).result.note_sha256)
            case "send":
                await stage(case, "send", "RL-9", (letter(case_id, "letter"),))
            case "pair":
                first = letter(case_id, "first")
                await stage(case, "pair", "RL-9", (first, letter(case_id, "second", first.key)))
            case "note":
                until = await deadline(case, "note", "RL-9", NOTE_AFTER)
                await unless(case, "note", "RL-9", until, lambda: self.answered, lambda: (letter(case_id, "note"),))
            case "grant":
                answer = AnswerClient(key=effect_key(case_id, "answer-client"), clause="RL-6")
                self.said += _words(await grant(case, "grant", "RL-6", (answer,)))
            case "notes":
                notes = [
                    AuthoriseCreditNote(key=effect_key(case_id, name), clause="RL-12", invoice_id=name)
                    for name in ("one", "two")
                ]
                self.said += _words(await grant(case, "credit", "RL-12", notes))
            case _:
                notes = ReadNotes(key=effect_key(case_id, "read-notes"), clause="RL-12", invoice_numbers=())
                self.said.append((await reading(case, "read", notes)).state)


def _words(receipts: Sequence[Receipt]) -> list[str]:
    return [one.code if not one.done else one.state for one in receipts]


def asked() -> PersonStep[StepResult]:
    return PersonStep(
        name="ask",
        clause="RL-4",
        role=Role.RETURN_LEADS,
        kinds=(ActKind.DONE,),
        result=StepResult,
        waiting_for="an answer",
        due=DUE,
        check=lambda result: "Not this one." if result.note_sha256 == "refused" else "",
        passed_on=lambda step, word: (letter("passed-on", f"assignees-of-{step.owner}", word=word),),
    )
