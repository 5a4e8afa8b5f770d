import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest

from adapters.mail.imap import LARGEST, ImapInbox
from adapters.mail.smtp import SmtpMailer
from domain.errors import Permanent, Retryable
from domain.mail import OutgoingMail, RawMail
from simulators.mail import MailServer, mail_server
from simulators.mail_dovecot import dovecot_server
from starter.mime.message import parse
from tests.adapters.mail.servers import Proxy, certificate, listening

INBOX = "returnleads@commversion.com"
Kind = Literal["pymap", "dovecot"]


@pytest.fixture(params=["pymap", "dovecot"])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MailServer]:
    async with (mail_server if request.param == "pymap" else dovecot_server)(tmp_path) as running:
        yield running


@pytest.fixture
async def inbox(server: MailServer) -> AsyncIterator[ImapInbox]:
    opened = ImapInbox(server.host, server.imap_port, INBOX, server.password, timeout=5)
    yield opened
    await opened.close()


async def send(server: MailServer, number: int, text: str = "L-1001") -> None:
    mail = OutgoingMail(
        message_id=f"<{number}@acme.example>", sender="jane@acme.example", to=(INBOX,), subject="s", text=text
    )
    await SmtpMailer(server.host, server.smtp_port, "jane@acme.example", server.password).send(mail)


def ids(mails: list[RawMail]) -> list[str]:
    staff = frozenset({"commversion.com"})
    return [parse(each.content, authserv_id="mail.holdfast.local", staff_domains=staff).message_id for each in mails]


async def test_mail_goes_from_smtp_to_imap_authenticated_oldest_first(server: MailServer, inbox: ImapInbox) -> None:
    assert await inbox.fetch() == []
    for number in (1, 2, 3):
        await send(server, number)
    found = await inbox.fetch(limit=2)
    assert ids(found) == ["<1@acme.example>", "<2@acme.example>"]
    mail = parse(found[0].content, authserv_id=server.authserv_id, staff_domains=frozenset())
    assert (mail.authenticated, mail.lead_ids) == (True, ("L-1001",))
    assert found[0].size == len(found[0].content)
    assert not found[0].oversize


async def test_a_message_is_listed_until_it_is_done(server: MailServer, inbox: ImapInbox) -> None:
    await send(server, 1)
    await send(server, 2)
    first, second = await inbox.fetch()
    assert ids(await inbox.fetch()) == ids([first, second])
    assert await inbox.done(first)
    assert await inbox.done(first)
    assert ids(await inbox.fetch()) == ids([second])


async def test_another_poller_sees_what_is_done(server: MailServer, inbox: ImapInbox) -> None:
    await send(server, 1)
    await send(server, 2)
    await inbox.done((await inbox.fetch())[0])
    other = ImapInbox(server.host, server.imap_port, INBOX, server.password)
    assert ids(await other.fetch()) == ["<2@acme.example>"]
    await other.close()


async def test_a_mail_that_a_person_opened_first_is_still_taken(server: MailServer, inbox: ImapInbox) -> None:
    await send(server, 1)
    (mail,) = await inbox.fetch()
    box = inbox._box
    assert box
    await asyncio.to_thread(box.client.uid, "STORE", str(mail.uid), "+FLAGS", "(\\Seen)")
    assert ids(await inbox.fetch()) == ["<1@acme.example>"]


async def test_where_no_keywords_are_stored_seen_is_the_mark(tmp_path: Path) -> None:
    async with mail_server(tmp_path) as server:
        (server.store.folder(INBOX) / "dovecot-keywords").write_text("")
        await send(server, 1)
        await send(server, 2)
        inbox = ImapInbox(server.host, server.imap_port, INBOX, server.password)
        await inbox.done((await inbox.fetch())[0])
        assert ids(await inbox.fetch()) == ["<2@acme.example>"]
        await inbox.close()


async def test_an_oversize_message_is_reported_by_its_headers_alone(server: MailServer, inbox: ImapInbox) -> None:
    await send(server, 1, "x" * 900 + "\n")
    await send(server, 2, ("y" * 900 + "\n") * (LARGEST // 900 + 1))
    small, large = await inbox.fetch()
    assert not small.oversize
    assert large.oversize
    assert large.size > LARGEST
    assert len(large.content) < 10_000
    assert ids([large]) == ["<2@acme.example>"]
    assert await inbox.done(large)
    assert ids(await inbox.fetch()) == ["<1@acme.example>"]


async def test_old_mail_is_left_alone(server: MailServer) -> None:
    await send(server, 1)
    today = datetime.now(UTC).date()
    for since, count in ((today - timedelta(days=2), 1), (today + timedelta(days=2), 0)):
        inbox = ImapInbox(server.host, server.imap_port, INBOX, server.password, since=since)
        assert len(await inbox.fetch()) == count
        await inbox.close()


async def test_a_renumbered_folder_loses_and_doubles_nothing(tmp_path: Path) -> None:
    async with mail_server(tmp_path) as server:
        await send(server, 1)
        await send(server, 2)
        inbox = ImapInbox(server.host, server.imap_port, INBOX, server.password)
        first, second = await inbox.fetch()
        assert await inbox.done(first)
        (server.store.folder(INBOX) / "dovecot-uidlist").unlink()
        await inbox.close()
        assert not await inbox.done(second)
        (again,) = await inbox.fetch()
        assert again.uidvalidity != second.uidvalidity
        assert again.content == second.content
        assert await inbox.done(again)
        assert await inbox.fetch() == []
        await inbox.close()


async def test_a_cut_connection_is_made_anew(server: MailServer) -> None:
    await send(server, 1)
    proxy = Proxy(server.imap_port)
    async with listening(proxy) as port:
        inbox = ImapInbox("127.0.0.1", port, INBOX, server.password, timeout=5)
        (mail,) = await inbox.fetch()
        proxy.cut()
        assert await inbox.done(mail)
        proxy.cut()
        await send(server, 2)
        assert ids(await inbox.fetch()) == ["<2@acme.example>"]
        assert proxy.connections == 3
        await inbox.close()
        proxy.cut()


async def test_polls_at_the_same_time_do_not_mix(server: MailServer, inbox: ImapInbox) -> None:
    for number in range(5):
        await send(server, number)
    found = await asyncio.gather(*(inbox.fetch() for _ in range(6)))
    assert all(ids(each) == ids(found[0]) for each in found)
    assert len(found[0]) == 5


async def test_a_caller_that_gives_up_leaves_the_connection_whole(server: MailServer, inbox: ImapInbox) -> None:
    await send(server, 1)
    given_up = asyncio.create_task(inbox.fetch())
    await asyncio.sleep(0)
    given_up.cancel()
    assert ids(await inbox.fetch()) == ["<1@acme.example>"]


async def test_a_wrong_password_is_permanent(server: MailServer) -> None:
    with pytest.raises(Permanent) as caught:
        await ImapInbox(server.host, server.imap_port, INBOX, "wrong").fetch()
    assert caught.value.code == "login-refused"


async def test_a_missing_folder_is_permanent(server: MailServer) -> None:
    inbox = ImapInbox(server.host, server.imap_port, INBOX, server.password, folder="Nowhere")
    with pytest.raises(Permanent) as caught:
        await inbox.fetch()
    assert caught.value.code == "no-folder"


async def test_tls_only_with_a_trusted_certificate(server: MailServer, tmp_path: Path) -> None:
    theirs, ours = certificate(tmp_path)
    await send(server, 1)
    async with listening(Proxy(server.imap_port), theirs) as port:
        with pytest.raises(Retryable):
            await ImapInbox("127.0.0.1", port, INBOX, server.password, tls=True).fetch()
        inbox = ImapInbox("127.0.0.1", port, INBOX, server.password, tls=True, tls_context=ours)
        assert ids(await inbox.fetch()) == ["<1@acme.example>"]
        await inbox.close()


async def test_nobody_listening_is_retryable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(Retryable):
        await ImapInbox("127.0.0.1", port, INBOX, "x").fetch()


@pytest.mark.parametrize(
    "script",
    [
        [b""],
        [b"* BYE overloaded\r\n"],
        [b"* OK\r\n", b"nonsense\r\n"],
        [b"* OK\r\n", b"* CAPABILITY IMAP4rev1\r\n{tag} OK\r\n", b"{tag} NO [UNAVAILABLE] later\r\n"],
        [b"* OK\r\n", b"* CAPABILITY IMAP4rev1\r\n{tag} OK\r\n", b"{tag} OK\r\n", b"{tag} OK\r\n", b"{tag} BAD\r\n"],
    ],
)
async def test_a_server_that_talks_nonsense_is_retryable(script: list[bytes]) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(script[0])
        for answer in script[1:]:
            tag = (await reader.readline()).split(b" ")[0]
            writer.write(answer.replace(b"{tag}", tag))
        await writer.drain()

    async with listening(talk) as port:
        with pytest.raises(Retryable):
            await ImapInbox("127.0.0.1", port, INBOX, "x", timeout=2).fetch()


async def test_a_silent_server_is_given_up() -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(silent) as port:
        with pytest.raises(Retryable):
            await ImapInbox("127.0.0.1", port, INBOX, "x", timeout=0.3).fetch()


def test_dovecot_is_here_to_be_tested() -> None:
    assert shutil.which("dovecot", path="/usr/sbin:/usr/bin:/usr/local/sbin")
