"""`record_acts`: checks and stores what people signed, and carries out what follows from it at once."""

from temporalio import activity

from activities.beating import beating
from activities.effects import EffectActivities
from activities.own import only_its_own
from activities.ports import Acts, Ledger
from domain.acts import ActAnswer, RecordActs
from domain.messages import ActKind


class ActActivities:
    def __init__(self, acts: Acts, ledger: Ledger, effects: EffectActivities) -> None:
        self.acts, self.ledger, self.effects = acts, ledger, effects

    @activity.defn(name="record_acts")
    async def record_acts(self, request: RecordActs) -> ActAnswer:
        """Judges a batch of acts against one step. Refusals are recorded and visible; at most one act is accepted."""
        async with beating():
            then = [effect for candidate in request.candidates for effect in candidate.then]
            views = (request.view, request.view_after)
            await only_its_own(self.effects.world.cases, request.case_id, request.workflow_id, views, then)
            answer = await self.acts.record(request)
            if answer.accepted < 0:
                return answer
            await self._settle_by_hand(request, answer)
            then = request.candidates[answer.accepted].then
            receipts = await self.effects.carry_out(request.case_id, then)
            return answer.model_copy(update={"receipts": receipts})

    async def _settle_by_hand(self, request: RecordActs, answer: ActAnswer) -> None:
        """A person's word about one broken effect: done by hand, waived, or to be tried again."""
        match answer.kind:
            case ActKind.DONE if request.reference:
                await self.ledger.abandon(request.case_id, (request.reference,), "done-by-hand")
            case ActKind.WAIVE if request.reference:
                await self.ledger.abandon(request.case_id, (request.reference,), "waived")
            case ActKind.RESEND if request.reference:
                await self.ledger.reopen(request.case_id, (request.reference,))
            case _:
                pass
