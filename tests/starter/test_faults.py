"""Intake while things break: mail cut in the middle, a mailbox renumbered, the database away. Nothing lost or twice."""

import asyncio
import smtplib
from collections.abc import AsyncIterator
from contextlib import suppress
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import pytest_asyncio

from adapters.mail.imap import ImapInbox
from adapters.postgres.pool import DatabaseError, connect
from domain.errors import HoldfastError
from runtime.settings import Settings
from simulators.mail import MailServer, mail_server
from starter.inbox import keep, take_mail
from starter.intake import Door
from starter.openings import Caller, Doors, opening
from tests.conftest import Database
from tests.starter.cutting import cutting
from tests.starter.door import CLIENT, INBOX, Reception, mail, reception


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[MailServer]:
    async with mail_server(tmp_path) as running:
        yield running


@pytest_asyncio.fixture
async def desk(database: Database) -> Reception:
    return await reception(database)


def letters(count: int) -> list[EmailMessage]:
    """Each some 20 KB, so that a cut falls into the middle of one."""
    words = "Please take back L-1001. " * 800
    made = [mail(words, message_id=f"<{number}@acme.example>") for number in range(count)]
    for one in made:
        del one["Authentication-Results"]
    return made


def deliver(server: MailServer, messages: list[EmailMessage]) -> None:
    with smtplib.SMTP(server.host, server.smtp_port) as session:
        session.login(CLIENT, server.password)
        for message in messages:
            session.send_message(message)


async def until(desk: Reception, cases: int, seconds: float = 40) -> None:
    end = asyncio.get_running_loop().time() + seconds
    while len(await desk.database.fetch("SELECT case_id FROM cases")) < cases:
        assert asyncio.get_running_loop().time() < end, "some of it never arrived"
        await asyncio.sleep(0.05)


async def marked(inbox: ImapInbox) -> None:
    end = asyncio.get_running_loop().time() + 20
    while await inbox.fetch() and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110 - on the server's side
        await asyncio.sleep(0.05)


async def once_each(desk: Reception, count: int) -> None:
    """Exactly so many cases, each with one row of the inbox that starts it."""
    assert await desk.database.value("SELECT count(*) FROM cases") == count
    started = "SELECT count(*), count(DISTINCT case_id) FROM inbox WHERE action #>> '{steps,0,do}' = 'start'"
    assert tuple((await desk.database.fetch(started))[0]) == (count, count)


async def test_mail_that_is_cut_in_the_middle_is_taken_whole_and_once(desk: Reception, server: MailServer) -> None:
    await asyncio.to_thread(deliver, server, letters(5))
    async with cutting(server.host, server.imap_port) as (proxy, port):
        proxy.allow = [10, 300, 2_000, 9_000, 12_000, 30_000, 31_000, 52_000, 80_000, 100_000]
        inbox, stop = ImapInbox("127.0.0.1", port, INBOX, server.password, timeout=5), asyncio.Event()

        async def take() -> int:
            with suppress(HoldfastError):  # as `keep` does, without its pause
                return await take_mail(inbox, desk.door)
            return 1

        polling = asyncio.create_task(keep("mail", take, stop, 0.01))
        await until(desk, 5)
        await marked(inbox)
        stop.set()
        await polling
        await inbox.close()
        assert proxy.cuts >= 8
    await once_each(desk, 5)


async def test_a_renumbered_mailbox_brings_nothing_twice(desk: Reception, server: MailServer) -> None:
    await asyncio.to_thread(deliver, server, letters(3))
    inbox = ImapInbox(server.host, server.imap_port, INBOX, server.password)
    first = await inbox.fetch()
    await desk.door.accept_mail(first[0].content)  # committed, and then the numbers change before it is marked
    (server.store.folder(INBOX) / "dovecot-uidlist").unlink()
    await inbox.close()
    assert await inbox.done(first[0]) is False
    again = await inbox.fetch()
    assert {one.uidvalidity for one in again} != {one.uidvalidity for one in first}
    while await take_mail(inbox, desk.door):
        pass
    await inbox.close()
    await once_each(desk, 3)


async def test_a_database_that_is_away_is_waited_for_and_nothing_is_lost_or_twice(
    desk: Reception, server: MailServer
) -> None:
    """Three seconds of it; thirty in the long run."""
    await _without_a_database(desk, server, 3.0)


@pytest.mark.long
async def test_a_database_that_is_away_for_half_a_minute(desk: Reception, server: MailServer) -> None:
    await _without_a_database(desk, server, 30.0)


async def _without_a_database(desk: Reception, server: MailServer, seconds: float) -> None:
    """Mail is polled and a program asks again and again, while every connection is cut and none is let in."""
    url = urlsplit(desk.database.url("door"))
    async with cutting(url.hostname or "", url.port or 5432) as (proxy, port):
        behind = urlunsplit(url._replace(netloc=f"{url.username}:{url.password}@127.0.0.1:{port}"))
        pool = await connect(behind, minimum=0, maximum=8)
        door, inbox, stop = Door(pool, desk.vault, Settings()), _inbox(server), asyncio.Event()
        polling = asyncio.create_task(keep("mail", partial(take_mail, inbox, door), stop, 0.05))
        asking = [asyncio.create_task(_ask(Doors(pool, desk.vault, Settings()), number)) for number in range(10)]
        await asyncio.to_thread(deliver, server, letters(4))
        await asyncio.sleep(0.2)
        proxy.down = True
        await asyncio.to_thread(deliver, server, letters(8)[4:])
        await asyncio.sleep(seconds)
        before = await desk.database.value("SELECT count(*) FROM cases")
        proxy.down = False
        await asyncio.gather(*asking)
        await until(desk, 18, 60)
        stop.set()
        await polling
        await inbox.close()
        await pool.close()
    assert proxy.cuts > 0
    assert before != 18
    await once_each(desk, 18)


def _inbox(server: MailServer) -> ImapInbox:
    return ImapInbox(server.host, server.imap_port, INBOX, server.password)


async def _ask(doors: Doors, number: int) -> None:
    """As another system does: again with the same request, until it is answered; and once more for good measure."""
    request = {"client_id": "acme", "leads": [f"L-{3000 + number}"], "reference": f"R-{number}"}
    await asyncio.sleep(number / 10)
    for _ in "12":
        while True:
            with suppress(DatabaseError):
                await opening("return-leads").start(doors, request, Caller("crm"))
                break
            await asyncio.sleep(0.2)
