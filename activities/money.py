"""`grant`: the money worker's one activity. It takes effect keys and nothing else, and judges them anew."""

from collections.abc import Sequence

from temporalio import activity

from activities.beating import beating
from activities.billing import read_billing
from activities.carry import Needs, carry_out
from activities.hands import World, hand_for
from activities.hands_made import Hand
from activities.own import only_its_own
from activities.ports import Claim, Gate, Intent, Settled
from domain.effects import (
    AnswerClient,
    AuthoriseCreditNote,
    ConfirmToAccounts,
    DraftCreditNote,
    Effect,
    Grant,
    ListDoNotInvoice,
    Receipt,
    ReceiptState,
    StageDone,
)
from domain.errors import VendorError
from domain.gate import MoneyContext, Permit
from domain.return_lead import Billing

ORDER: dict[type[Effect], int] = {
    ListDoNotInvoice: 0,
    ConfirmToAccounts: 0,
    DraftCreditNote: 1,
    AuthoriseCreditNote: 2,
    AnswerClient: 3,
}


class MoneyActivities:
    """Runs on its own task queue, under its own database role, with its own configuration."""

    def __init__(self, world: World, gate: Gate) -> None:
        self.world, self.gate = world, gate

    @activity.defn(name="grant")
    async def grant(self, grant: Grant) -> StageDone:
        """Carries out gated effects whose acts, amounts and sum hold now; what does not hold comes back as data."""
        async with beating():
            await only_its_own(self.world.cases, grant.case_id, grant.workflow_id, (grant.view,))
            await self.world.cases.record(grant.view, grant.events)
            permits = await self.gate.plan(grant.case_id, grant.workflow_id, grant.keys)
            stopped = [_stopped(permit) for permit in permits if permit.code]
            allowed = [permit for permit in permits if not permit.code]
            done = await self._carry_out(grant.case_id, allowed) if allowed else ()
            by_key = {receipt.key: receipt for receipt in (*stopped, *done)}
            return StageDone(receipts=tuple(by_key[key] for key in grant.keys))

    async def _carry_out(self, case_id: str, permits: Sequence[Permit]) -> tuple[Receipt, ...]:
        context = await self.world.cases.money_context(case_id)
        try:
            billing = await read_billing(self.world, case_id, _leads(permits), context, _turns(permits))
        except VendorError as error:
            return tuple(_unread(permit, error) for permit in permits)
        return await self._through_the_gate(case_id, permits, billing, context)

    async def _through_the_gate(
        self, case_id: str, permits: Sequence[Permit], billing: Billing, context: MoneyContext
    ) -> tuple[Receipt, ...]:
        by_key = {permit.key: permit for permit in permits}

        async def make(effect: Effect) -> Hand:
            leads = {lead.lead_id for lead in by_key[effect.key].leads}
            own = billing.model_copy(update={"leads": tuple(lead for lead in billing.leads if lead.lead_id in leads)})
            return await hand_for(self.world, case_id, effect, own, context.contact_id)

        async def claim(intents: Sequence[Intent]) -> tuple[Claim, ...]:
            return await self.gate.claim(case_id, [by_key[intent.effect.key] for intent in intents], billing, intents)

        async def settle(results: Sequence[Settled]) -> None:
            await self.gate.settle(case_id, results)

        effects = [permit.effect for permit in permits]
        return await carry_out(effects, make, claim, settle, in_order(effects))


def in_order(effects: Sequence[Effect]) -> Needs:
    """Confirmation before drafts, authorisations before the answer: whatever order the rows were prepared with."""

    def needs(effect: Effect) -> frozenset[str]:
        return frozenset(one.key for one in effects if ORDER[type(one)] < ORDER[type(effect)])

    return needs


def _leads(permits: Sequence[Permit]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(lead.lead_id for permit in permits for lead in permit.leads))


def _turns(permits: Sequence[Permit]) -> frozenset[int]:
    """The confirmations whose credit notes are being made."""
    notes = (permit.effect for permit in permits)
    return frozenset(one.turn for one in notes if isinstance(one, DraftCreditNote | AuthoriseCreditNote))


def _stopped(permit: Permit) -> Receipt:
    return Receipt(
        key=permit.key,
        kind=permit.effect.kind,
        clause=permit.effect.clause,
        state=ReceiptState.REFUSED,
        code=permit.code,
    )


def _unread(permit: Permit, error: VendorError) -> Receipt:
    effect = permit.effect
    return Receipt(
        key=permit.key, kind=effect.kind, clause=effect.clause, state=ReceiptState.FAILED, code=error.code, retry=True
    )
