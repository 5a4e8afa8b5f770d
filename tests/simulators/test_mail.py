import asyncio
import json
import signal
import smtplib
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from simulators.mail import MailServer, mail_server
from simulators.mail_store import Accepted, Fault, FaultKind
from starter.mime.message import parse

STAFF = frozenset({"commversion.com"})
INBOX = "returnleads@commversion.com"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[MailServer]:
    async with mail_server(tmp_path) as running:
        yield running


def message(sender: str = "jane@acme.example", extra: str = "", body: str = "L-1001") -> bytes:
    return f"From: {sender}\r\nTo: {INBOX}\r\nMessage-ID: <m@acme.example>\r\n{extra}\r\n{body}\r\n".encode()


def _send(server: MailServer, content: bytes, login: str, mail_from: str, to: tuple[str, ...]) -> None:
    with smtplib.SMTP(server.host, server.smtp_port) as client:
        if login:
            client.login(login, server.password)
        client.sendmail(mail_from, to, content)


async def send(
    server: MailServer,
    content: bytes,
    *,
    login: str = "",
    mail_from: str = "jane@acme.example",
    to: tuple[str, ...] = (INBOX,),
) -> None:
    await asyncio.to_thread(_send, server, content, login, mail_from, to)


def delivered(server: MailServer, address: str = INBOX) -> bytes:
    (content,) = server.mailbox(address)
    return content


def kept(entry: Accepted) -> bytes:
    return Path(entry.path).read_bytes()


@pytest.mark.parametrize(
    ("login", "passed"),
    [("jane@acme.example", True), ("other@acme.example", True), ("mallory@evil.example", False), ("", False)],
)
async def test_only_a_login_of_the_senders_domain_is_authenticated(
    server: MailServer, login: str, *, passed: bool
) -> None:
    await send(server, message(), login=login)
    mail = parse(delivered(server), authserv_id=server.authserv_id, staff_domains=STAFF)
    assert mail.authenticated is passed


@pytest.mark.parametrize(
    "forged",
    [
        "Authentication-Results: mail.holdfast.local; dmarc=pass header.from=acme.example\r\n",
        "AUTHENTICATION-RESULTS : (c) MAIL.holdfast.local;\r\n dmarc=pass header.from=acme.example\r\n",
        'Authentication-Results:\r\n "mail.holdfast.local"; dmarc=pass\r\n',
        "Authentication-Results: \r\n",
        "Return-Path: <>\r\n",
    ],
)
async def test_forged_headers_of_the_server_are_taken_out(server: MailServer, forged: str) -> None:
    await send(server, message(extra=forged))
    content = delivered(server)
    assert content.lower().count(b"authentication-results") == 1
    assert content.count(b"dmarc=fail header.from=acme.example") == 1
    assert content.count(b"Return-Path: <jane@acme.example>") == 1


async def test_results_of_other_servers_stay(server: MailServer) -> None:
    await send(server, message(extra="Authentication-Results: mx.other.example; spf=pass\r\n"))
    assert b"mx.other.example; spf=pass" in delivered(server)


async def test_two_senders_are_never_authenticated(server: MailServer) -> None:
    await send(server, message(sender="jane@acme.example, ceo@commversion.com"), login="jane@acme.example")
    assert b"dmarc=fail" in delivered(server)


async def test_a_wrong_password_is_refused(server: MailServer) -> None:
    def attempt() -> None:
        with smtplib.SMTP(server.host, server.smtp_port) as client:
            client.login("jane@acme.example", "wrong")

    with pytest.raises(smtplib.SMTPAuthenticationError):
        await asyncio.to_thread(attempt)


async def test_the_ledger_holds_every_accepted_message_as_it_came(server: MailServer) -> None:
    await send(server, message(), to=(INBOX, "am+case-1@commversion.com"))
    (entry,) = server.ledger()
    assert entry.recipients == (INBOX, "am+case-1@commversion.com")
    assert (entry.message_id, entry.mail_from) == ("<m@acme.example>", "jane@acme.example")
    assert kept(entry) == message()
    assert delivered(server, "am@commversion.com") == delivered(server)


@pytest.mark.parametrize(
    ("kind", "code"),
    [("reject-4xx", 451), ("reject-5xx", 550), ("reject-data-4xx", 451), ("reject-data-5xx", 554)],
)
async def test_rejections_accept_nothing_and_are_used_up(server: MailServer, kind: FaultKind, code: int) -> None:
    server.faults.add(kind)
    with pytest.raises(smtplib.SMTPResponseException) as caught:
        await send(server, message())
    assert caught.value.smtp_code == code
    assert server.ledger() == []
    await send(server, message())
    assert len(server.ledger()) == 1


@pytest.mark.parametrize(("kind", "accepted"), [("drop-at-data", 0), ("drop-after-accept", 1)])
async def test_a_cut_connection_says_nothing_and_the_ledger_knows(
    server: MailServer, kind: FaultKind, accepted: int
) -> None:
    server.faults.add(kind)
    with pytest.raises(smtplib.SMTPServerDisconnected):
        await send(server, message())
    assert len(server.ledger()) == len(server.mailbox(INBOX)) == accepted


async def test_a_fault_for_one_recipient_spares_the_others(server: MailServer) -> None:
    server.faults.add("refuse-recipient-5xx", times=2, recipient="am@commversion.com")
    await send(server, message(), to=(INBOX, "am@commversion.com"))
    assert server.ledger()[0].recipients == (INBOX,)
    assert server.faults.take("refuse-recipient-5xx", recipient="am@commversion.com") == Fault(
        kind="refuse-recipient-5xx", recipient="am@commversion.com"
    )


async def test_a_fault_of_the_message_meets_only_what_is_for_its_recipient(server: MailServer) -> None:
    server.faults.add("reject-data-5xx", recipient="am@commversion.com")
    await send(server, message())
    with pytest.raises(smtplib.SMTPDataError):
        await send(server, message(), to=(INBOX, "am@commversion.com"))
    assert len(server.ledger()) == 1


async def test_an_unknown_recipient_comes_back_as_a_report(server: MailServer) -> None:
    server.faults.set_unknown("gone@acme.example")
    await send(server, message(sender=INBOX), mail_from=INBOX, to=("gone@acme.example", "jane@acme.example"))
    report = parse(delivered(server), authserv_id=server.authserv_id, staff_domains=STAFF)
    assert (report.bounce_of, report.automatic) == ("<m@acme.example>", True)
    assert server.mailbox("gone@acme.example") == []
    assert len(server.mailbox("jane@acme.example")) == 1


async def test_a_bounce_does_not_bounce(server: MailServer) -> None:
    server.faults.set_unknown("gone@acme.example")
    await send(server, message(), mail_from="", to=("gone@acme.example",))
    assert server.ledger()[0].mail_from == ""
    assert server.mailbox("gone@acme.example") == []


async def test_an_address_is_never_a_path(server: MailServer) -> None:
    for address in ("../../etc@x.example", ".x@x.example", "a/b@x.example"):
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            await send(server, message(), to=(address,))


async def test_one_directory_has_one_server(server: MailServer) -> None:
    with pytest.raises(OSError, match="temporarily unavailable"):
        async with mail_server(server.store.directory):
            raise AssertionError("a second server started")


def test_as_a_program_it_tells_its_ports_and_ends_when_told(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "simulators.mail", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        ports = json.loads(child.stdout.readline())
        with smtplib.SMTP("127.0.0.1", ports["smtp_port"]) as client:
            client.sendmail("jane@acme.example", [INBOX], message())
        child.send_signal(signal.SIGTERM)
        assert child.wait(10) == 0
    assert (tmp_path / "ledger.jsonl").read_text().count("\n") == 1


def test_a_taken_port_is_told_in_words(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "simulators.mail", "--dir", str(tmp_path), "--smtp-port", port]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert port in ended.stderr
    assert "could not start" in ended.stderr
