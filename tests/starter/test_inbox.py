"""The inbox process against a real mail server."""

import asyncio
import smtplib
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from adapters.mail.imap import ImapInbox
from domain.errors import Retryable
from simulators.mail import MailServer, mail_server
from starter.inbox import keep, take_mail
from tests.conftest import Database
from tests.starter.door import CLIENT, INBOX, Reception, mail, reception


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[MailServer]:
    async with mail_server(tmp_path) as running:
        yield running


@pytest.fixture
async def desk(database: Database) -> Reception:
    return await reception(database)


def deliver(server: MailServer, message: EmailMessage) -> None:
    del message["Authentication-Results"]
    with smtplib.SMTP(server.host, server.smtp_port) as session:
        session.login(CLIENT, server.password)
        session.send_message(message)


def reader(server: MailServer) -> ImapInbox:
    return ImapInbox(server.host, server.imap_port, INBOX, server.password)


@pytest.mark.clause("RL-1")
async def test_a_mail_delivered_by_smtp_opens_its_case_once_and_is_marked(desk: Reception, server: MailServer) -> None:
    await asyncio.to_thread(deliver, server, mail())
    inbox = reader(server)
    assert await take_mail(inbox, desk.door) == 1
    assert await take_mail(inbox, desk.door) == 0
    await inbox.close()
    (row,) = await desk.database.fetch("SELECT client_id, request FROM cases")
    assert (row["client_id"], row["request"]["doubt"]) == ("acme", "")


async def test_a_mail_taken_over_just_before_a_crash_is_not_taken_twice(desk: Reception, server: MailServer) -> None:
    await asyncio.to_thread(deliver, server, mail())
    inbox = reader(server)
    (found,) = await inbox.fetch()
    await desk.door.accept_mail(found.content)  # committed, not marked
    assert await take_mail(inbox, desk.door) == 1
    await inbox.close()
    assert await desk.database.value("SELECT count(*) FROM cases") == 1
    assert await desk.database.value("SELECT count(*) FROM inbox") == 1


async def test_an_outage_is_waited_out_and_the_work_goes_on() -> None:
    stop, tries = asyncio.Event(), list[int]()

    async def work() -> int:
        tries.append(len(tries))
        if len(tries) == 1:
            raise Retryable("inbox", "unreachable", "the mail server could not be reached")
        stop.set()
        return 0

    await asyncio.wait_for(keep("mail", work, stop, 0.01), 10)
    assert tries == [0, 1]
