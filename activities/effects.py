"""`perform`: the one activity by which an SOP's worker touches the world."""

import asyncio
from collections.abc import Sequence
from functools import partial

from pydantic import JsonValue
from temporalio import activity

from activities.beating import beating
from activities.billing import read_billing
from activities.board_hands import read_task
from activities.books_check import read_charge
from activities.carry import carry_out
from activities.hands import World, hand_for
from activities.own import only_its_own
from activities.ports import Ledger
from domain.books import NoteStatus
from domain.effects import (
    AdmitRequest,
    Effect,
    Gated,
    ReadCharge,
    Reading,
    ReadLinked,
    ReadNotes,
    ReadTask,
    Receipt,
    ReceiptState,
    ResolveOwners,
    Stage,
    StageDone,
)
from domain.errors import Refused, VendorError
from domain.ids import credit_note_number
from domain.owners import OwnersToday
from domain.return_lead import Triage


class EffectActivities:
    """Activities of the SOP worker: everything but money."""

    def __init__(self, world: World, ledger: Ledger) -> None:
        self.world, self.ledger = world, ledger

    @activity.defn(name="perform")
    async def perform(self, stage: Stage) -> StageDone:
        """Records the moment, carries out its effects once each, and answers with a receipt for each.

        The first of a case does nothing unless a door took the case in with this very request.

        Gated effects are only prepared. Raises when the database is gone (Temporal tries again), never for a vendor.
        """
        async with beating():
            if stage.started and (code := await self.world.cases.why_not_admitted(stage.view, stage.started)):
                return StageDone(refused=code)
            view = stage.view
            views = (view, stage.closing)
            await only_its_own(self.world.cases, view.case_id, view.workflow_id, views, stage.effects)
            await self.world.cases.record(view, stage.events)
            receipts = await self.carry_out(stage.view.case_id, stage.effects)
            if stage.closing and all(receipt.done for receipt in receipts):
                await self.world.cases.record(stage.closing, stage.closed)
            return StageDone(receipts=receipts)

    async def carry_out(self, case_id: str, effects: Sequence[Effect]) -> tuple[Receipt, ...]:
        """A receipt for each effect, in their order."""
        gated = [effect for effect in effects if isinstance(effect, Gated)]
        reading = [effect for effect in effects if isinstance(effect, Reading)]
        sending = [effect for effect in effects if effect not in gated and effect not in reading]
        if gated:
            await self.ledger.prepare(case_id, gated)
        read = await asyncio.gather(*(self._read(case_id, effect) for effect in reading))
        sent = await carry_out(
            sending,
            partial(hand_for, self.world, case_id),
            partial(self.ledger.claim, case_id),
            partial(self.ledger.settle, case_id),
        )
        prepared = [
            Receipt(key=one.key, kind=one.kind, clause=one.clause, state=ReceiptState.PREPARED) for one in gated
        ]
        by_key = {receipt.key: receipt for receipt in (*read, *sent, *prepared)}
        return tuple(by_key[effect.key] for effect in effects)

    async def _read(self, case_id: str, effect: Reading) -> Receipt:
        answer = Receipt(key=effect.key, kind=effect.kind, clause=effect.clause, state=ReceiptState.SENT)
        try:
            data = await self._data(case_id, effect)
        except VendorError as error:
            return answer.model_copy(update={"state": ReceiptState.FAILED, "code": error.code, "retry": True})
        except Refused as error:
            return answer.model_copy(update={"state": ReceiptState.FAILED, "code": error.code})
        return answer.model_copy(update={"data": data})

    async def _data(self, case_id: str, effect: Reading) -> dict[str, JsonValue]:
        match effect:
            case AdmitRequest():
                triage = Triage(accept=True, client_id=effect.client_id, lead_ids=effect.lead_ids)
                return {
                    "claims": [claim.model_dump(mode="json") for claim in await self.world.cases.admit(case_id, triage)]
                }
            case ReadNotes():
                numbers = _numbers(case_id, effect)
                notes = [await self.world.books.credit_note(number) for number in numbers]
                return {
                    "live": [note.number for note in notes if note and note.status is not NoteStatus.VOIDED],
                    "open": [
                        number
                        for number, note in zip(numbers, notes, strict=True)
                        if note is None or note.remaining != 0
                    ],
                }
            case ResolveOwners():
                owners = await self.world.cases.owners_today(case_id, effect.steps)
                return OwnersToday(owners=owners).model_dump(mode="json")
            case ReadTask():
                brief = await self.world.briefs.brief(case_id, effect.manager)
                seen = await read_task(self.world.board, self.world.tickets, self.world.briefs, brief)
                return seen.model_dump(mode="json")
            case ReadLinked():
                status, outcome = await self.world.briefs.ended(effect.linked_id)
                return {"status": status, "outcome": outcome}
            case ReadCharge():
                context = await self.world.cases.money_context(case_id)
                return await read_charge(self.world.books, context, effect)
            case _:
                context = await self.world.cases.money_context(case_id)
                billing = await read_billing(self.world, case_id, effect.lead_ids, context)
                await self.world.cases.store_billing(case_id, billing)
                return billing.model_dump(mode="json")


def _numbers(case_id: str, effect: ReadNotes) -> list[str]:
    turns = effect.turns or (1,) * len(effect.invoice_numbers)
    named = zip(effect.invoice_numbers, turns, strict=True)
    return [credit_note_number(case_id, invoice, turn) for invoice, turn in named]
