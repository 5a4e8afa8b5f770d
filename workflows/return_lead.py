"""Return Lead: a client asks that leads be taken back (RL-1 to RL-15)."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from itertools import count

from temporalio import workflow

from domain.effects import Effect, Receipt, ReceiptState
from domain.messages import ActKind
from domain.return_lead import (
    Billing,
    BillingState,
    Doubt,
    LeadClaim,
    Reduction,
    ReplyMark,
    ReturnOutcome,
    ReturnRequest,
)
from domain.rules.clock import TargetName
from domain.sops import return_lead as sop
from domain.steps import PersonStep
from workflows.base import CaseWorkflow
from workflows.steps.case import Case
from workflows.steps.clocks import clocks, met, met_by, start_clock
from workflows.steps.close import close
from workflows.steps.deadline import deadline, unless, when
from workflows.steps.grant import grant
from workflows.steps.mend import drop, mends
from workflows.steps.person import person
from workflows.steps.read_back import read_back
from workflows.steps.reading import reading
from workflows.steps.reply import awaiting_replies, reply
from workflows.steps.running import running
from workflows.steps.stage import stage


@workflow.defn
class ReturnLead(CaseWorkflow):
    @workflow.init
    def __init__(self, request: ReturnRequest) -> None:
        self.case = Case(request, "ReturnLead", sop.DESK)
        self.answered = False
        self.is_looped_in = False
        self.stopped = ""
        self.needs_approver = False
        self.approved: Billing | None = None
        self.credited: tuple[sop.Credited, ...] = ()
        self.drafts: tuple[sop.Draft, ...] = ()

    @workflow.run
    async def run(self, request: ReturnRequest) -> ReturnOutcome:
        async with running(self.case, mends, clocks) as case:
            if sop.is_look(request):
                await person(case, sop.look(request))
                return await close(case, ReturnOutcome(status="looked-at"), "looked at by a person", "RL-15")
            if request.doubt is Doubt.LATE_REPLY:
                ended = await self.late(request)
                return await close(case, ReturnOutcome(status="looked-at"), ended, "RL-10")
            claims = await self.admitted(request)  # RL-1
            if not claims:
                return await close(case, ReturnOutcome(status="not-a-request"), "not a return request", "RL-1")
            self.promised(request)
            valid = await self.looked_into(request, claims)  # RL-2 to RL-6, RL-11 to RL-14
            refused, outcome = sop.refused_in(claims, valid), sop.outcome(claims, valid)
            last = sop.marks(request, valid) if valid else sop.refusal(request)  # RL-7, RL-8; RL-9
            if valid and not refused:
                return await close(case, outcome, sop.in_words(outcome), last[-1].clause, last)
            ended = await self.told(request, refused, last)  # RL-9, RL-10
            return await close(case, outcome, sop.in_words(outcome) + ended, "RL-10" if refused else "RL-9")

    async def admitted(self, request: ReturnRequest) -> Sequence[LeadClaim]:
        """What the request asks for: as the door took it in, or as a person did where there was a doubt."""
        if not request.doubt:
            return request.claims
        while (looked := await person(self.case, sop.triage(request))).result.accept:
            if claims := sop.claims_in(looked.receipts):
                self.case.client_id = looked.result.client_id
                return claims
        return ()

    def promised(self, request: ReturnRequest) -> None:
        """What whoever asks may count on; the rest is promised as it comes up."""
        if told := sop.told_keys(request):
            start_clock(self.case, sop.acknowledged(request))
            met_by(self.case, TargetName.ACKNOWLEDGE, told)
        start_clock(self.case, sop.resolved(request))

    async def looked_into(self, request: ReturnRequest, claims: Sequence[LeadClaim]) -> tuple[str, ...]:
        """The leads that were granted; whoever asks hears of it within 48 hours, be it that it takes longer (RL-9)."""
        until = await deadline(self.case, "holding note", "RL-9", request.holding_after)
        note = unless(
            self.case, "holding-note", "RL-9", until, lambda: self.answered, lambda: sop.holding_note(request)
        )
        granted, _, _ = await asyncio.gather(self.settle(request, claims), self.acknowledged(request), note)
        return granted

    async def told(self, request: ReturnRequest, refused: Sequence[str], last: Sequence[Effect]) -> str:
        """The last word to the client where something was refused, and what comes of that (RL-10), in words."""
        met_by(self.case, TargetName.RESOLVED, [one.key for one in last])
        await stage(self.case, "answer", last[-1].clause, last, doing=sop.answered(request.dispute_window))
        ended, _ = await asyncio.gather(self.disputed(request, refused), self.resolved(last))
        return ended

    async def acknowledged(self, request: ReturnRequest) -> None:
        """RL-2, RL-3: the client was told that the team has it."""
        told = sop.told_keys(request)
        await when(self.case, "RL-2", "acknowledged", lambda: self.is_looped_in and not self.is_broken(told))
        met(self.case, TargetName.ACKNOWLEDGE)

    async def resolved(self, last: Sequence[Effect]) -> None:
        """RL-9: a refusal is an answer once it is sent."""
        keys = tuple(one.key for one in last)
        await when(self.case, "RL-9", "answered", lambda: not self.is_broken(keys))
        met(self.case, TargetName.RESOLVED)

    def is_broken(self, keys: Sequence[str]) -> bool:
        return any(key in self.case.broken for key in keys)

    def looped_in(self, _: Sequence[Receipt]) -> None:
        self.is_looped_in = True

    async def settle(self, request: ReturnRequest, claims: Sequence[LeadClaim]) -> tuple[str, ...]:
        """The leads that were granted, the client being answered; none: the refusal is still to be sent."""
        granted = await self.granted(request, claims)
        self.answered = True
        if granted:
            met(self.case, TargetName.RESOLVED)
        drop(self.case, sop.holding_note(request)[0].key)
        return granted

    async def granted(self, request: ReturnRequest, claims: Sequence[LeadClaim]) -> tuple[str, ...]:
        leads = sop.to_investigate(claims)
        if not leads:
            await stage(self.case, "loop-in", "RL-2", sop.opening(request))  # RL-1, RL-2, RL-3
            self.looped_in(())
            return ()
        investigate = sop.investigate(request, leads, self.looped_in)
        start_clock(self.case, sop.proposed(request, investigate), step=self.case.named(investigate.name))
        found = await person(self.case, investigate)  # RL-1 to RL-4
        self.looped_in(())
        billing = await self.billed(request, sop.valid_in(found.result), found.receipts)
        for turn in count(1):
            billing = await self.within_authority(request, billing)  # RL-11, RL-14
            await self.without_superseded_drafts(request)  # RL-12
            if not billing and not self.credited:
                break
            billing = billing or sop.NOTHING_MORE  # what is credited is still to be told
            await person(self.case, sop.confirm(request, billing, self.stopped, turn))  # RL-13
            if await self.carried_out(request, billing, turn):  # RL-5, RL-6, RL-12
                return tuple(dict.fromkeys([*self.credited_leads, *(lead.lead_id for lead in billing.leads)]))
            self.approved = None
            left = [lead.lead_id for lead in billing.leads if lead.lead_id not in self.credited_leads]
            billing = self.barred(await self.billed(request, left, ()))
        return ()

    def barred(self, billing: Billing | None) -> Billing | None:
        """What the gate wants an approver for, or lets nobody confirm, is not confirmed again but put to a person."""
        if billing and not billing.approval and self.needs_approver:
            return billing.model_copy(update={"approval": self.stopped})
        return billing

    async def billed(self, request: ReturnRequest, leads: Sequence[str], receipts: Sequence[Receipt]) -> Billing | None:
        """How the leads are billed: as read when an act was recorded, or read now."""
        if not leads:
            return None
        read = sop.billing_in(receipts)
        return read or sop.billing_in([await reading(self.case, "read-billing", sop.billing_effect(request, leads))])

    async def within_authority(self, request: ReturnRequest, billing: Billing | None) -> Billing | None:
        """The leads that may be settled, approved if need be, none of them on a draft invoice; None: none is left."""
        while billing:
            if billing.approval and not sop.covered(self.approved, billing):
                billing = await self.decided(request, billing)  # RL-14
            elif billing.in_state(BillingState.DRAFT):
                taken_off = await person(self.case, sop.take_off(request, billing))  # RL-11
                billing = await self.billed(request, [lead.lead_id for lead in billing.leads], taken_off.receipts)
            else:
                break
        return billing

    async def decided(self, request: ReturnRequest, billing: Billing) -> Billing | None:
        """What the approver leaves: asked internally, before anything is promised. Silence never decides."""
        if billing.approval in sop.NOT_FOR_AN_APPROVER:
            return await self.withdrawn(request, billing, sop.needs_approval(request, billing))
        match (await person(self.case, sop.approval(billing))).kind:
            case ActKind.APPROVE:
                self.approved = billing
                return billing
            case ActKind.ASK_BACK:
                await person(self.case, sop.answer_back())
                return await self.billed(request, [lead.lead_id for lead in billing.leads], ())
            case _:
                return await self.withdrawn(request, billing, sop.rejected(request, billing))

    async def withdrawn(self, request: ReturnRequest, billing: Billing, step: PersonStep[Reduction]) -> Billing | None:
        """The team takes leads out, each with the words that the client reads."""
        reduced = await person(self.case, step)
        left = sop.left_after([lead.lead_id for lead in billing.leads], reduced.result)
        return await self.billed(request, left, reduced.receipts)

    async def without_superseded_drafts(self, request: ReturnRequest) -> None:
        """Drafts that nobody will authorise are out of the books before anything else is confirmed."""
        while drafts := sop.superseded(self.drafts, self.credited):
            if sop.voided((await person(self.case, sop.void(request, drafts))).receipts):
                self.drafts = tuple(one for one in self.drafts if one not in drafts)

    async def carried_out(self, request: ReturnRequest, billing: Billing, turn: int) -> bool:
        """The promise, or the credit notes and then the answer. False: the gate stopped it, to be looked at anew."""
        receipts = await grant(self.case, "settle", "RL-11", sop.confirmed(request, billing, turn))
        self.drafts += sop.drafted(request, billing, turn, receipts)
        if not self.granted_all(receipts):
            return False
        if billing.invoices and not await self.credit(request, billing, turn):
            return False
        await self.allocated(request)
        return True

    @property
    def credited_leads(self) -> list[str]:
        return [one.lead.lead_id for one in self.credited]

    async def credit(self, request: ReturnRequest, billing: Billing, turn: int) -> bool:
        """The credit notes, authorised by Accounts; what is credited once is not decided about again."""
        while (await person(self.case, sop.authorise(request, billing, turn))).kind is ActKind.DECLINE:  # RL-12
            await person(self.case, sop.declined())
        receipts = await grant(self.case, "credit", "RL-12", sop.authorised(request, billing, turn))
        self.credited += sop.credited(request, billing, turn, receipts)
        return self.granted_all(receipts)

    async def allocated(self, request: ReturnRequest) -> None:
        """A paid invoice: Accounts allocate or refund the note, once the client has been answered (RL-12)."""
        self.answered = True
        met(self.case, TargetName.RESOLVED)
        if sop.paid(self.credited):
            await read_back(self.case, sop.allocate(request, self.credited), sop.allocated)

    async def late(self, request: ReturnRequest) -> str:
        """RL-10: a reply after the case was closed. The team's mark comes first; a dispute is taken over as ever."""
        said = (await person(self.case, sop.mark(sop.to_investigate(request.claims)))).result
        if said.mark is ReplyMark.DISPUTES:
            await person(self.case, sop.dispute(request, said.lead_ids, 1))
        return sop.marked_late(said)

    async def disputed(self, request: ReturnRequest, refused: Sequence[str]) -> str:
        """RL-10: what came of the refusals, in words. Each is disputed once; what he wrote is read before the end.

        Leads that could not be looked into are not disputed: what is missing is a new request.
        """
        if not refused:
            return ""
        doing = sop.answered(request.dispute_window)
        until = await deadline(self.case, "dispute-window", "RL-10", request.dispute_window)
        ended, turn = sop.not_disputed(request.dispute_window, heard=False), 0
        with awaiting_replies(self.case):
            while refused and await reply(self.case, "client-reply", "RL-10", until, doing):
                start_clock(self.case, sop.next_reply(request))
                said = (await person(self.case, sop.mark(refused))).result
                match said.mark:
                    case ReplyMark.DISPUTES:
                        turn += 1
                        await person(self.case, sop.dispute(request, said.lead_ids, turn))
                        refused = sop.undecided(refused, said.lead_ids)
                        ended = "what the client disputed is finally decided"
                    case ReplyMark.ACCEPTS:
                        until = await deadline(self.case, "accepted", "RL-10", timedelta())
                        ended = "the client accepts"
                    case _ if not turn:
                        ended = sop.not_disputed(request.dispute_window, heard=True)
                    case _:
                        pass
                met(self.case, TargetName.NEXT_REPLY)
        return f"; {ended}"

    def granted_all(self, receipts: Sequence[Receipt]) -> bool:
        """Whether the gate let everything through; if not, why is shown with the step that follows."""
        stopped = next((one for one in receipts if not one.done), None)
        self.stopped = (stopped.code or stopped.state.value) if stopped else ""
        self.needs_approver = bool(stopped) and (
            stopped.state is ReceiptState.NEEDS_APPROVAL or stopped.code in sop.BARRED
        )
        return not stopped
