"""Carrying effects out through the ledger: `sending` is committed before the call, `sent` after it, and never twice."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import replace

from activities.hands_made import Hand, Seen, Sent
from activities.ports import Claim, Intent, Settled
from domain.effects import Effect, Receipt, ReceiptState
from domain.errors import Permanent, Refused, Retryable, Unclear, VendorError

MakeHand = Callable[[Effect], Awaitable[Hand]]
ClaimAll = Callable[[Sequence[Intent]], Awaitable[tuple[Claim, ...]]]
Needs = Callable[[Effect], frozenset[str]]
SettleAll = Callable[[Sequence[Settled]], Awaitable[None]]
# Longer than any adapter's own timeout: after so many seconds a call that was still out there has ended.
AT_ONCE = 20  # calls in flight: so much is in doubt after a crash, and no vendor is asked for more at a time
NOT_THERE = "not-there"
PATIENCE: ContextVar[float] = ContextVar("patience", default=20.0)


def after_the_named(effect: Effect) -> frozenset[str]:
    """The keys that an effect comes after, as the effect itself says."""
    return frozenset({effect.after} if effect.after else ())


def waves(effects: Sequence[Effect], needs: Needs) -> list[list[Effect]]:
    """The effects in rounds: each after those it needs, as far as they are among them; independent ones together."""
    names = {effect.key for effect in effects}
    left, done, rounds = list(effects), set[str](), list[list[Effect]]()
    while left:
        ready = [one for one in left if not (needs(one) & names) - done] or left
        rounds.append(ready)
        done |= {one.key for one in ready}
        left = [one for one in left if one not in ready]
    return rounds


async def carry_out(
    effects: Sequence[Effect], make: MakeHand, claim: ClaimAll, settle: SettleAll, needs: Needs = after_the_named
) -> tuple[Receipt, ...]:
    """A receipt for each effect, in their order. Vendors' failures are data; only our own database's raise."""
    receipts: dict[str, Receipt] = {}
    for wave in waves(effects, needs):
        ready = [effect for effect in wave if all(receipts[key].done for key in needs(effect) if key in receipts)]
        receipts |= {
            effect.key: _receipt(effect, ReceiptState.SKIPPED, "waits-for-another")
            for effect in wave
            if effect not in ready
        }
        for start in range(0, len(ready), AT_ONCE):
            receipts |= await _carry_out_wave(ready[start : start + AT_ONCE], make, claim, settle)
    return tuple(receipts[effect.key] for effect in effects)


async def _carry_out_wave(
    effects: Sequence[Effect], make: MakeHand, claim: ClaimAll, settle: SettleAll
) -> dict[str, Receipt]:
    made = await asyncio.gather(*(_make(make, effect) for effect in effects))
    hands = {effect.key: hand for effect, hand in zip(effects, made, strict=True)}
    by_key = {effect.key: effect for effect in effects}
    claims = await claim([Intent(by_key[key], hand.body_sha256, hand.recipients) for key, hand in hands.items()])
    calls = (_one(by_key[claim.key], hands[claim.key], claim) for claim in claims)
    receipts = {receipt.key: receipt for receipt in await _settled(calls, settle)}
    if missing := [by_key[key] for key, receipt in receipts.items() if _not_there(receipt)]:
        receipts |= await _carry_out_wave(missing, make, claim, settle)
    return receipts


def _not_there(receipt: Receipt) -> bool:
    return receipt.state is ReceiptState.FAILED and receipt.code == NOT_THERE


async def _settled(
    calls: Iterable[Coroutine[None, None, tuple[Settled | None, Receipt]]], settle: SettleAll
) -> list[Receipt]:
    """What is known of each call is committed before anything unforeseen of another is raised."""
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    known = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    if settled := [one for one, _ in known if one]:
        await settle(settled)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [receipt for _, receipt in known]


async def _make(make: MakeHand, effect: Effect) -> Hand:
    try:
        return await make(effect)
    except (VendorError, Refused) as error:
        return UnmadeHand(error)


class UnmadeHand:
    """What could not be made is claimed all the same, so that it fails through the ledger and can be waived there."""

    resend = False
    body_sha256 = ""
    recipients: tuple[str, ...] = ()

    def __init__(self, why: VendorError | Refused) -> None:
        self.why = why

    async def do(self) -> Sent:
        raise self.why

    async def look(self) -> Seen:
        return "cannot-tell"


async def _one(effect: Effect, hand: Hand, claim: Claim) -> tuple[Settled | None, Receipt]:
    settled, receipt = await _by_verdict(effect, hand, claim)
    return (replace(settled, attempt=claim.attempt) if settled else None), receipt


async def _by_verdict(effect: Effect, hand: Hand, claim: Claim) -> tuple[Settled | None, Receipt]:
    match claim.verdict:
        case "go":
            return await _do(effect, hand)
        case "look" | "unknown":
            return await _after_a_crash(effect, hand, claim)
        case "sent":
            return None, _receipt(effect, ReceiptState.SENT, reference=claim.reference, data=dict(claim.data))
        case "abandoned":
            return None, _receipt(effect, ReceiptState.ABANDONED, claim.code)
        case "held":
            return None, _receipt(effect, ReceiptState.HELD, claim.code or "outbound-is-off")
        case "needs_approval":
            return None, _receipt(effect, ReceiptState.NEEDS_APPROVAL, claim.code)
        case "refused":
            return None, _receipt(effect, ReceiptState.REFUSED, claim.code)


async def _do(effect: Effect, hand: Hand) -> tuple[Settled | None, Receipt]:
    try:
        return _as_sent(effect, await hand.do())
    except (Retryable, Permanent, Refused) as error:
        return Settled(effect, "prepared", code=error.code), _failed(effect, error)
    except Unclear as error:
        return await _unclear(effect, hand, error.code)


async def _unclear(effect: Effect, hand: Hand, code: str) -> tuple[Settled | None, Receipt]:
    """The call's fate is not known: read back once; a later attempt looks again and may do it again."""
    seen = await _look(hand)
    if isinstance(seen, Sent):
        return _as_sent(effect, seen)
    if seen == "cannot-tell" and hand.resend:
        return None, _receipt(
            effect, ReceiptState.FAILED, code, retry=True
        )  # stays `sending`: the next attempt looks again
    if seen == "missing" and hand.resend:
        return None, _receipt(effect, ReceiptState.FAILED, code, retry=True)
    return Settled(effect, "unknown", code=code), _receipt(effect, ReceiptState.UNKNOWN, code)


async def _after_a_crash(effect: Effect, hand: Hand, claim: Claim) -> tuple[Settled | None, Receipt]:
    """An earlier attempt may have done it: adopt what is found, give it back only when it is certainly not there.

    What is given back is claimed again before it is done again, so that the ledger knows of that call too.
    """
    seen = await _look(hand)
    if seen == "missing" and hand.resend and claim.verdict == "look":
        await asyncio.sleep(max(0.0, PATIENCE.get() - claim.seconds_in_flight))
        seen = await _look(hand)
    if isinstance(seen, Sent):
        return _as_sent(effect, seen)
    if seen == "missing" and hand.resend and claim.verdict == "look":
        again = _receipt(effect, ReceiptState.FAILED, NOT_THERE, retry=True)
        return Settled(effect, "prepared", code=NOT_THERE), again
    if seen == "cannot-tell" and hand.resend:
        return None, _receipt(effect, ReceiptState.FAILED, "cannot-read-back", retry=True)
    code = "found-different" if seen == "different" else (claim.code or "may-have-been-sent")
    return Settled(effect, "unknown", code=code), _receipt(effect, ReceiptState.UNKNOWN, code)


async def _look(hand: Hand) -> Seen:
    try:
        return await hand.look()
    except VendorError:
        return "cannot-tell"


def _as_sent(effect: Effect, sent: Sent) -> tuple[Settled, Receipt]:
    done = Settled(effect, "sent", reference=sent.reference, data=sent.data, message_id=sent.message_id)
    return done, _receipt(effect, ReceiptState.SENT, reference=sent.reference, data=dict(sent.data))


def _failed(effect: Effect, error: VendorError | Refused) -> Receipt:
    return _receipt(effect, ReceiptState.FAILED, error.code, retry=isinstance(error, Retryable))


def _receipt(
    effect: Effect,
    state: ReceiptState,
    code: str = "",
    *,
    reference: str = "",
    retry: bool = False,
    data: dict[str, object] | None = None,
) -> Receipt:
    return Receipt.model_validate(
        {
            "key": effect.key,
            "kind": effect.kind,
            "clause": effect.clause,
            "state": state,
            "code": code,
            "reference": reference,
            "retry": retry,
            "data": data or {},
        }
    )
