"""The process at the doors: takes mail over by IMAP (RL-1), tells Temporal what was accepted, and works for the door.

    python -m starter.inbox

Mail is marked only after its commit; SIGTERM ends it between two messages.
"""

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from functools import partial

import structlog
from temporalio.client import Client
from temporalio.service import RPCError

from adapters.mail.imap import ImapInbox
from adapters.postgres import pool as database
from adapters.postgres.crypto import Vault, load_master
from adapters.postgres.pool import Pool
from domain.errors import HoldfastError
from domain.mail import RawMail
from runtime.connect import connect
from runtime.logs import configure_logging
from runtime.patience import patiently
from runtime.settings import Settings
from starter.boards import BoardsOutside, boards_outside
from starter.door_worker import door_worker
from starter.handover import Handover
from starter.intake import Door

POLL_SECONDS = 1.0
IDLE_SECONDS = 0.25
LONGEST_PAUSE = 30.0

log = structlog.get_logger("inbox")


async def take_mail(inbox: ImapInbox, door: Door) -> int:
    """Accepts what lies in the inbox, oldest first; each message is marked after its commit. Returns how many."""
    found = await inbox.fetch()
    return sum([await _take(inbox, door, mail) for mail in found])


async def _take(inbox: ImapInbox, door: Door, mail: RawMail) -> bool:
    """One message that can't be taken must not keep the others waiting: it stays unmarked, and is tried again."""
    try:
        accepted = await door.accept_mail(mail.content, oversize=mail.oversize)
    except HoldfastError:
        raise
    except Exception:
        log.exception("a mail could not be taken over: it stays in the inbox", uid=mail.uid)
        return False
    await inbox.done(mail)
    log.info("mail accepted", inbox_id=accepted.inbox_id, state=accepted.state, code=accepted.code)
    return True


async def keep(name: str, work: Callable[[], Awaitable[int]], stop: asyncio.Event, idle: float) -> None:
    """Does the work again and again until told to stop; an outage is waited out with growing pauses."""
    pause = idle
    while not stop.is_set():
        try:
            busy = await work() > 0
            pause = 0.0 if busy else idle
        except (HoldfastError, RPCError) as error:
            pause = min(LONGEST_PAUSE, max(1.0, pause * 2))
            log.warning("waiting for another system", work=name, problem=str(error), seconds=pause)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), timeout=max(pause, 0.001))


async def work_at_the_door(
    settings: Settings, pool: Pool, vault: Vault, boards: BoardsOutside, stop: asyncio.Event
) -> None:
    """Serves the door's task queue until `stop` is set; the other loops go on while Temporal is waited for."""
    connecting = asyncio.ensure_future(patiently("Temporal", partial(connect, settings), RuntimeError))
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not connecting.done():
        connecting.cancel()
        return
    async with door_worker(connecting.result(), pool, vault, settings, boards):
        await stopping


async def serve(settings: Settings, client: Client, stop: asyncio.Event) -> None:
    """Runs all of it until `stop` is set."""
    async with AsyncExitStack() as stack:
        pool = await database.connect(settings.database_url_for("door"), application="holdfast-inbox")
        stack.push_async_callback(pool.close)
        vault = Vault(load_master(settings.keys_dir))
        door = Door(pool, vault, settings)
        inbox = ImapInbox(
            settings.imap_host,
            settings.imap_port,
            settings.imap_user,
            settings.imap_password.get_secret_value(),
            tls=settings.imap_tls,
        )
        stack.push_async_callback(inbox.close)
        boards = await stack.enter_async_context(boards_outside(settings, pool, vault))
        handover = Handover(door.intake, client, page_of=settings.page_of)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(keep("mail", lambda: take_mail(inbox, door), stop, POLL_SECONDS))
            tasks.create_task(keep("handover", handover.run_once, stop, IDLE_SECONDS))
            tasks.create_task(work_at_the_door(settings, pool, vault, boards, stop))
            tasks.create_task(keep("looks", boards.look, stop, POLL_SECONDS))


async def _main(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    client = await connect(settings, lazy=True)
    log.info("inbox starts", mailbox=settings.imap_host)
    await serve(settings, client, stop)
    log.info("inbox ended")


def main() -> None:
    settings = Settings()
    configure_logging(settings.log_format, process="inbox")
    try:
        asyncio.run(_main(settings))
    except HoldfastError as error:
        sys.exit(f"the inbox could not start: {error}")
    finally:
        gc.collect()


if __name__ == "__main__":
    main()
