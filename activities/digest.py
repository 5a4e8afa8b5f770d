"""`send_digests`: what waited for the morning is told, one mail a person and day, through the ledger."""

from collections.abc import Sequence
from functools import partial

from temporalio import activity

from activities.beating import beating
from activities.carry import MakeHand, carry_out
from activities.hands import DigestHand, Hand, LetterHand, NothingLeftHand
from activities.ports import Digests, Ledger, Letters, Mailer
from domain.digest import DIGESTS, Digested, DigestRequest
from domain.effects import Effect, Receipt, SendDigest
from domain.errors import Permanent


class DigestActivities:
    def __init__(self, digests: Digests, ledger: Ledger, mailer: Mailer, letters: Letters) -> None:
        self.digests, self.ledger, self.mailer, self.letters = digests, ledger, mailer, letters

    @activity.defn(name="send_digests")
    async def send_digests(self, _: DigestRequest) -> Digested:
        """What could not be sent is tried again by the next run; the same digest never goes out twice."""
        async with beating():
            gathered = await self.digests.gather()
            receipts = [*await self._carry_out(DIGESTS, gathered.unsent, self._hand)]
            for case_id, nudge in await self.digests.waited():
                receipts += await self._carry_out(case_id, (nudge,), partial(self._single, case_id))
            sent = sum(one.done for one in receipts)
            return Digested(sent=sent, left=len(receipts) - sent, nobody=gathered.nobody)

    async def _carry_out(self, case_id: str, effects: Sequence[Effect], make: MakeHand) -> tuple[Receipt, ...]:
        claim, settle = partial(self.ledger.claim, case_id), partial(self.ledger.settle, case_id)
        return await carry_out(effects, make, claim, settle)

    async def _single(self, case_id: str, effect: Effect) -> Hand:
        return LetterHand(self.mailer, await self.letters.compose(case_id, effect))

    async def _hand(self, effect: Effect) -> Hand:
        if not isinstance(effect, SendDigest):
            raise Permanent("holdfast", "no-digest", f"{effect.kind} is no digest")
        mail = await self.digests.compose(effect)
        return DigestHand(self.mailer, mail) if mail else NothingLeftHand()
