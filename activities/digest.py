"""`send_digests`: what waited for the morning is told, one mail a person and day, through the ledger."""

from functools import partial

from temporalio import activity

from activities.beating import beating
from activities.carry import carry_out
from activities.hands import DigestHand, Hand, NothingLeftHand
from activities.ports import Digests, Ledger, Mailer
from domain.digest import DIGESTS, Digested, DigestRequest
from domain.effects import Effect, SendDigest
from domain.errors import Permanent


class DigestActivities:
    def __init__(self, digests: Digests, ledger: Ledger, mailer: Mailer) -> None:
        self.digests, self.ledger, self.mailer = digests, ledger, mailer

    @activity.defn(name="send_digests")
    async def send_digests(self, _: DigestRequest) -> Digested:
        """What could not be sent is tried again by the next run; the same digest never goes out twice."""
        async with beating():
            wanted = await self.digests.gather()
            receipts = await carry_out(
                wanted, self._hand, partial(self.ledger.claim, DIGESTS), partial(self.ledger.settle, DIGESTS)
            )
            sent = sum(one.done for one in receipts)
            return Digested(sent=sent, left=len(receipts) - sent)

    async def _hand(self, effect: Effect) -> Hand:
        if not isinstance(effect, SendDigest):
            raise Permanent("holdfast", "no-digest", f"{effect.kind} is no digest")
        mail = await self.digests.compose(effect)
        return DigestHand(self.mailer, mail) if mail else NothingLeftHand()
