"""Department request: something is asked of a department, and followed up until it is done (ID-1 to ID-12)."""

import asyncio
from functools import partial
from itertools import count

from temporalio import workflow

from domain.case import EventKind
from domain.department_request import DepartmentAsk, RequestOutcome, TaskSeen
from domain.effects import Receipt
from domain.messages import FactKind
from domain.rules.clock import Cause, TargetName
from domain.sops import department_request as sop
from domain.steps import Look
from workflows.base import CaseWorkflow
from workflows.steps.case import Case
from workflows.steps.clocks import clocks, met, met_by, pause, promised, resume, start_clock
from workflows.steps.close import close
from workflows.steps.deadline import deadline, passed, when
from workflows.steps.mend import drop, mends
from workflows.steps.news import left_out, news
from workflows.steps.person import move, person, person_unless
from workflows.steps.reading import reading_unless
from workflows.steps.running import running
from workflows.steps.stage import stage


@workflow.defn
class DepartmentRequest(CaseWorkflow):
    @workflow.init
    def __init__(self, request: DepartmentAsk) -> None:
        self.case = Case(request, sop.KIND, sop.DESK)
        self.department = request.department
        self.seen = TaskSeen()
        self.done_by = ""
        self.waits_for: Cause | None = None
        self.is_assigned = False
        self.reopens, self.task = sop.reopens(request), sop.task_key(request)
        self.is_done = False

    @workflow.run
    async def run(self, request: DepartmentAsk) -> RequestOutcome:
        async with running(self.case, mends, clocks) as case:
            start_clock(case, sop.acknowledged(request))  # ID-6
            met_by(case, TargetName.ACKNOWLEDGE, sop.told_keys(request))
            await self.reported(request)
            self.department = self.department or (await person(case, sop.route())).result.department  # ID-1
            if not request.unsure:
                start_clock(case, sop.resolved(request, request.due_after), step=case.named("process"))  # ID-5
            self.promise_note(request, 1, asked=0)  # ID-8
            await asyncio.gather(
                self.processed(request),  # ID-3 to ID-7, ID-9 to ID-12
                self.put_on_it(request),  # ID-4
                self.acknowledged(request),  # ID-6
                self.estimated(request),  # ID-5
                self.followed_up(request),  # ID-8
                self.watched(request),
            )
            ended = sop.outcome(self.seen, self.done_by)
            return await close(case, ended, sop.in_words(ended), "ID-3", sop.finished(request, ended))

    async def reported(self, request: DepartmentAsk) -> None:
        """ID-3: opened again, and whoever asked for it hears so, as far as anybody waits for it still."""
        if opened_again := sop.opened_again(request):
            (receipt,) = await stage(self.case, "opened-again", "ID-3", opened_again)
            if receipt.reference == sop.OVER:
                self.case.note_once("nobody-waits", EventKind.NOTED, "ID-3", sop.NOBODY_WAITS)

    def is_over(self) -> bool:
        return self.is_done or self.seen.completed or self.seen.deleted

    async def processed(self, request: DepartmentAsk) -> None:
        """ID-3: until the department says that it is done, here or in Teamwork, whoever is asked is reminded."""
        due = await deadline(self.case, "due", "ID-5", request.due_after)
        step = sop.process(request, self.department, due, lambda _: self.assigned())
        done = await person_unless(self.case, step, self.is_over, self.looks(request))
        self.seen = self.case.keep("seen", self.seen)
        self.done_by = done.by if done else ""
        self.is_done = True
        met(self.case, TargetName.RESOLVED)
        for key in sop.overtaken(request):
            drop(self.case, key)

    def assigned(self) -> None:
        self.is_assigned = True

    async def put_on_it(self, request: DepartmentAsk) -> None:
        """ID-4: no task is unassigned; who could not be put on it is, by hand, whenever that turns out."""
        while missing := await left_out(self.case, "ID-4", self.is_over):
            await person_unless(self.case, sop.assign_by_hand(missing), self.is_over, self.looks(request))

    async def acknowledged(self, request: DepartmentAsk) -> None:
        """ID-6: taken in is what stands on the task of somebody relevant, who is told of it there."""
        told = sop.told_keys(request)
        await when(
            self.case,
            "ID-6",
            "acknowledged",
            lambda: self.is_done or (self.is_assigned and not any(key in self.case.broken for key in told)),
        )
        met(self.case, TargetName.ACKNOWLEDGE)

    async def estimated(self, request: DepartmentAsk) -> None:
        """ID-5: unsure, the manager is asked in a comment; the due date follows the answer, wherever it is given."""
        if not request.unsure:
            return
        await when(self.case, "ID-5", "assigned", lambda: self.is_assigned or self.is_done)
        start_clock(self.case, sop.proposed(request), step=self.case.named("estimate"))
        step = sop.estimate(request, self.department)
        said = await person_unless(
            self.case, step, lambda: self.is_over() or self.seen.estimate is not None, self.looks(request)
        )
        met(self.case, TargetName.SOLUTION_PROPOSED)
        answer = said.result if said else self.case.keep("estimate-read", self.seen).estimate
        if answer and not self.is_done:
            after = sop.from_now(request, answer, self.case.now())
            due = await deadline(self.case, "estimated", "ID-5", after)
            start_clock(self.case, sop.resolved(request, after), step=self.case.named("process"))
            move(
                self.case,
                "estimated-due",
                self.case.named("process"),
                due,
                "the estimate" if said else "the estimate in a comment on the task",
                said.by if said else "",
            )
            await stage(self.case, "due-again", "ID-5", sop.due_again(request, self.department, due))

    async def followed_up(self, request: DepartmentAsk) -> None:
        """ID-8: the CSS's note at least every 48 hours; one that is written in Teamwork counts as well."""
        asked, by_hand = 0, True
        for turn in count(1):
            noted = partial(self.is_noted, self.case.keep("noted-before", self.seen).noted)
            soon = await deadline(self.case, "next-follow-up", "ID-8", sop.next_note(request, turn))
            if turn > 1:
                self.promise_note(request, turn, asked)
            if not by_hand:
                await self.noted_elsewhere()
            by_hand = False
            if await passed(self.case, "next-note", "ID-8", soon, noted):
                asked += 1
                step = sop.follow_up(request, self.department, asked)
                looks = self.looks(request, before_asking=True)
                by_hand = await person_unless(self.case, step, noted, looks) is not None
            if not by_hand or self.is_over():
                met(self.case, TargetName.NEXT_REPLY)
            if self.is_over():
                break

    def promise_note(self, request: DepartmentAsk, turn: int, asked: int) -> None:
        """The next note; and the one after it, from the moment on at which the CSS writes this one."""
        after = sop.next_reply(request, turn + 1), sop.step_of(request, asked + 2)
        start_clock(self.case, sop.next_reply(request, turn), step=sop.step_of(request, asked + 1), then=after)

    def is_noted(self, before: int) -> bool:
        return self.is_over() or self.seen.noted > before

    async def noted_elsewhere(self) -> None:
        """Whoever was asked is shown to be asked no more, and what is promised next is shown: nothing else may happen
        for days.
        """
        await stage(self.case, "noted", "ID-8", (), doing="followed up in Teamwork")

    async def watched(self, request: DepartmentAsk) -> None:
        """What Teamwork says is a hint: the task is read again, and what is read counts."""
        while await news(self.case, "task-changed", "ID-3", FactKind.TASK, lambda: self.is_done):
            look = sop.look(request, self.department)
            if read := await reading_unless(self.case, "task", look, lambda: self.is_done):
                self.look(read)
                await self.wait_for_others(request)

    async def wait_for_others(self, request: DepartmentAsk) -> None:
        """The clock stands still while the ticket waits for the client or a third party, and nobody is reminded.

        Written down at once: nothing else may happen for days.
        """
        if self.seen.waits_for == self.waits_for:
            return
        self.waits_for = self.seen.waits_for
        if self.waits_for:
            pause(self.case, TargetName.RESOLVED, self.waits_for, by=f"ticket {request.ticket_id}")
        else:
            resume(self.case, TargetName.RESOLVED)
        for clock in promised(self.case, TargetName.RESOLVED):
            why = f"the {self.waits_for.replace('-', ' ')} is waited for" if self.waits_for else "nobody is waited for"
            move(self.case, "waited", self.case.named("process"), clock.due, why)
        await stage(self.case, "waited-for", "ID-5", (), doing=self.case.doing)

    def looks(self, request: DepartmentAsk, *, before_asking: bool = False) -> Look:
        return Look(sop.look(request, self.department), self.look, before_asking)

    def look(self, receipt: Receipt) -> None:
        seen = sop.seen_in(receipt)
        if self.reopens and (not self.is_assigned or self.task in self.case.broken):
            seen = seen.model_copy(update={"completed": False})  # as it was before: it is being opened again
        self.seen = seen
