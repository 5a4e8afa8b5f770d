"""A worker, or the inbox's process, that kills itself once at a named point; without a point, a plain one.

python -m tests.crash.dying_worker ORDERS.json
"""

import asyncio
import gc
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel
from temporalio.client import Client
from temporalio.worker._worker import load_default_build_id

import activities.effects
import activities.money
import starter.inbox
import worker
from activities.carry import PATIENCE
from activities.hands import Hand, hand_for
from adapters.mail.imap import ImapInbox
from adapters.postgres.acts import PostgresActs
from adapters.postgres.cases import PostgresCases
from adapters.postgres.gate import PostgresGate
from adapters.postgres.intake import PostgresIntake
from adapters.postgres.ledger import PostgresLedger
from runtime.connect import connect
from runtime.settings import Settings
from starter.handover import Handover

Side = Literal["sops", "money", "inbox"]
load_default_build_id()  # kept by the SDK, and so by all that are forked from whoever imports this


class Orders(BaseModel):
    """What to run and where to die.

    `point` is `<moment>-before` or `<moment>-after`; `name` says whose: an effect's, a step's, or nobody's.
    """

    settings: dict[str, Any]
    address: str
    queue: str
    side: Side
    patience: float
    point: str = ""
    name: str = ""


Concerns = Callable[[tuple[Any, ...]], bool]


def arm(orders: Orders) -> None:
    """Wraps the methods of one moment, so that the process dies before or after the first call that is concerned."""
    moment, _, when = orders.point.rpartition("-")
    part = f"/{orders.name}/"

    def has_effect(args: tuple[Any, ...]) -> bool:
        return any(part in one.effect.key for one in args[-1])

    match moment:
        case "claim" | "record":
            method = "claim" if moment == "claim" else "settle"
            for owner in (PostgresLedger, PostgresGate):
                wrap(owner, method, when, has_effect)
        case "call":
            for module in (activities.effects, activities.money):
                setattr(module, "hand_for", partial(arm_hand, hand_for, part, when))  # noqa: B010  not its own name
        case "act":
            wrap(PostgresActs, "record", when, lambda args: bool(args[-1].step_id == orders.name))
        case "close":
            wrap(PostgresCases, "record", when, lambda args: bool(args[-2].status != "open"))
        case "accept" | "handed":
            wrap(PostgresIntake, moment, when, lambda _: True)
        case "mark":
            wrap(ImapInbox, "done", when, lambda _: True)
        case _:
            raise ValueError(orders.point)


def wrap(owner: Any, name: str, when: str, concerned: Concerns) -> None:
    setattr(owner, name, dying(getattr(owner, name), when, concerned))


def dying(method: Any, when: str, concerned: Concerns) -> Any:
    async def wrapped(*args: Any) -> Any:
        hit = concerned(args)
        if hit and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = await method(*args)
        if hit and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    return wrapped


async def arm_hand(original: Callable[..., Awaitable[Hand]], part: str, when: str, *args: Any) -> Hand:
    hand = await original(*args)
    if part in args[2].key:
        hand.do = dying(hand.do, when, lambda _: True)
    return hand


@asynccontextmanager
async def inbox(settings: Settings, client: Client, *, queue: str) -> AsyncGenerator[None]:
    starter.inbox.Handover = partial(Handover, queue=queue)
    stop = asyncio.Event()
    task = asyncio.create_task(starter.inbox.serve(settings, client, stop))
    yield
    stop.set()
    await task


async def run(orders: Orders, ready: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings = Settings(**orders.settings)
    client = await connect(settings, address=orders.address, lazy=orders.side == "inbox")
    sides = {"sops": worker.sops_worker, "money": worker.money_worker, "inbox": inbox}
    async with sides[orders.side](settings, client, queue=orders.queue):
        ready.touch()  # noqa: ASYNC240  an empty file
        await stop.wait()


def main(orders: Orders, log: Path) -> None:
    """What a forked process does: works until it dies or is told to end; says beside its log when it has started."""
    with log.open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    if orders.point:
        arm(orders)
    PATIENCE.set(orders.patience)
    asyncio.run(run(orders, log.with_suffix(".ready")))
    gc.collect()
