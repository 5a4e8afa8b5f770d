import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default as default_policy
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.mail.smtp import SmtpMailer, build
from domain.errors import Permanent, Refused, Retryable, Unclear, VendorError
from domain.mail import OutgoingMail
from simulators.mail import MailServer, mail_server
from simulators.mail_store import FaultKind
from starter.mime.message import parse
from tests.adapters.mail.servers import Proxy, certificate, listening

INBOX = "returnleads@commversion.com"
LONG_ID = f"<{'A' * 90}@{'b' * 60}.prod.outlook.example>"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[MailServer]:
    async with mail_server(tmp_path) as running:
        yield running


def outgoing(**changes: object) -> OutgoingMail:
    mail = OutgoingMail(
        message_id="<case-1@commversion.com>",
        sender=INBOX,
        sender_name="Return Leads, Ltd.",
        to=("jane@acme.example",),
        cc=("bob@acme.example",),
        subject="Your leads \u2013 \U0001f4e7",
        text="Hello Zoë,\n.\nFrom here: cafe\u0301\n" + "long " * 300,
        in_reply_to=LONG_ID,
        references=("<first@acme.example>", LONG_ID),
    )
    return mail.model_copy(update=changes)


def mailer(server: MailServer, timeout: float = 20.0) -> SmtpMailer:
    return SmtpMailer(server.host, server.smtp_port, INBOX, server.password, timeout=timeout)


async def test_a_message_arrives_as_it_was_meant(server: MailServer) -> None:
    await mailer(server).send(outgoing())
    (entry,) = server.ledger()
    assert entry.recipients == ("jane@acme.example", "bob@acme.example")
    assert entry.authenticated_as == INBOX
    raw = server.mailbox("jane@acme.example")[0]
    raw.decode("ascii")
    mail = parse(raw, authserv_id=server.authserv_id, staff_domains=frozenset())
    assert (mail.message_id, mail.sender, mail.subject) == (
        "<case-1@commversion.com>",
        INBOX,
        "Your leads \u2013 \U0001f4e7",
    )
    assert (mail.in_reply_to, mail.references) == (LONG_ID, ("<first@acme.example>", LONG_ID))
    assert mail.text.split("\n")[:3] == ["Hello Zoë,", ".", "From here: café"]
    assert (mail.authenticated, mail.automatic) == (True, True)


def test_a_persons_mail_is_not_marked_automatic() -> None:
    assert build(outgoing(automatic=False))["Auto-Submitted"] is None


def test_a_long_thread_keeps_its_first_and_latest_ids() -> None:
    ids = tuple(f"<{number}@acme.example>" for number in range(100))
    references = build(outgoing(references=ids, in_reply_to=ids[-1]))["References"].split()
    assert (references[0], references[-1], len(references)) == (ids[0], ids[-1], 20)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"to": ("a@b.example\r\nBcc: x@y.example",)}, "bad-address"),
        ({"to": ("a@b.example, x@y.example",)}, "bad-address"),
        ({"cc": ("<a@b.example> SIZE=1",)}, "bad-address"),
        ({"sender": "nobody"}, "bad-address"),
        ({"message_id": "<a@b>\r\nBcc: x@y.example"}, "bad-message-id"),
        ({"message_id": "a@b"}, "bad-message-id"),
        ({"to": (), "cc": ()}, "no-recipients"),
    ],
)
async def test_what_no_server_should_see_is_refused(changes: dict[str, object], code: str) -> None:
    with pytest.raises(Refused) as refused:
        build(outgoing(**changes))
    assert refused.value.code == code
    with pytest.raises(Permanent) as caught:
        await SmtpMailer("127.0.0.1", 1).send(outgoing(**changes))
    assert caught.value.code == code


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300), st.text(max_size=80), st.text(max_size=300), st.text(max_size=60))
def test_no_text_becomes_a_header(subject: str, name: str, text: str, reference: str) -> None:
    mail = outgoing(subject=subject, sender_name=name, text=text, in_reply_to=reference, references=(reference,))
    built = build(mail, datetime(2026, 11, 2, tzinfo=UTC))
    raw = built.as_bytes()
    raw.decode("ascii")
    assert all(len(line) < 998 for line in raw.split(b"\r\n"))
    again = message_from_bytes(raw, policy=default_policy)
    allowed = {"from", "to", "cc", "subject", "date", "message-id", "in-reply-to", "references", "auto-submitted"}
    extra = {key.lower() for key in again} - allowed
    assert extra <= {"content-type", "content-transfer-encoding", "mime-version"}
    assert [each.addr_spec for each in again["From"].addresses] == [INBOX]
    assert [each.addr_spec for each in again["To"].addresses] == ["jane@acme.example"]


def failure(kind: FaultKind, error: type[VendorError], code: str, accepted: int = 0) -> object:
    return pytest.param(kind, error, code, accepted, id=kind)


@pytest.mark.parametrize(
    ("kind", "error", "code", "accepted"),
    [
        failure("reject-4xx", Retryable, "smtp-451"),
        failure("reject-5xx", Permanent, "smtp-550"),
        failure("reject-data-4xx", Retryable, "smtp-451"),
        failure("reject-data-5xx", Permanent, "smtp-554"),
        failure("refuse-recipient-4xx", Retryable, "recipients-deferred"),
        failure("refuse-recipient-5xx", Permanent, "recipients-refused"),
        failure("drop-at-data", Unclear, "cut-after-data"),
        failure("drop-after-accept", Unclear, "cut-after-data", 1),
    ],
)
async def test_each_failure_is_told_apart(
    server: MailServer, kind: FaultKind, error: type[VendorError], code: str, accepted: int
) -> None:
    server.faults.add(kind)
    with pytest.raises(error) as caught:
        await mailer(server).send(outgoing())
    assert caught.value.code == code
    assert "@" not in str(caught.value)
    assert len(server.ledger()) == accepted


async def test_an_answer_that_comes_too_late_is_unclear_and_the_message_is_there(server: MailServer) -> None:
    server.faults.add("slow", seconds=30)
    with pytest.raises(Unclear):
        await mailer(server, timeout=0.5).send(outgoing())
    assert len(server.ledger()) == 1


async def test_a_server_slow_before_data_is_surely_undone(server: MailServer) -> None:
    server.faults.add("slow-greeting", seconds=30)
    with pytest.raises(Retryable):
        await mailer(server, timeout=0.5).send(outgoing())
    assert server.ledger() == []


async def test_one_refused_recipient_calls_the_message_off_for_all_so_that_a_retry_doubles_nothing(
    server: MailServer,
) -> None:
    server.faults.add("refuse-recipient-4xx", recipient="bob@acme.example")
    with pytest.raises(Retryable) as caught:
        await mailer(server).send(outgoing())
    assert "1 of 2" in str(caught.value)
    await mailer(server).send(outgoing())
    assert [len(server.mailbox(each)) for each in ("jane@acme.example", "bob@acme.example")] == [1, 1]


async def test_a_final_refusal_beside_a_temporary_one_is_permanent(server: MailServer) -> None:
    server.faults.add("refuse-recipient-4xx", recipient="jane@acme.example")
    server.faults.add("refuse-recipient-5xx", recipient="bob@acme.example")
    with pytest.raises(Permanent):
        await mailer(server).send(outgoing())


async def test_a_wrong_password_is_permanent(server: MailServer) -> None:
    with pytest.raises(Permanent) as caught:
        await SmtpMailer(server.host, server.smtp_port, INBOX, "wrong").send(outgoing())
    assert caught.value.code == "smtp-535"


async def test_nobody_listening_is_retryable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(Retryable):
        await SmtpMailer("127.0.0.1", port).send(outgoing())


@pytest.mark.parametrize(
    ("greeting", "error"),
    [
        (b"421 busy\r\n", Retryable),
        (b"554 no service\r\n", Permanent),
        (b"nonsense\r\n", Retryable),
        (b"", Retryable),
    ],
)
async def test_a_server_that_greets_badly(greeting: bytes, error: type[VendorError]) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await writer.drain()

    async with listening(greet) as port:
        with pytest.raises(error):
            await SmtpMailer("127.0.0.1", port, timeout=2).send(outgoing())


async def test_starttls_is_insisted_on(server: MailServer) -> None:
    with pytest.raises(Permanent) as caught:
        await SmtpMailer(server.host, server.smtp_port, INBOX, server.password, tls="starttls").send(outgoing())
    assert caught.value.code == "not-supported"


async def test_tls_from_the_start_and_only_with_a_trusted_certificate(server: MailServer, tmp_path: Path) -> None:
    theirs, ours = certificate(tmp_path)
    async with listening(Proxy(server.smtp_port), theirs) as port:
        with pytest.raises(Retryable):
            await SmtpMailer("127.0.0.1", port, INBOX, server.password, tls="tls").send(outgoing())
        await SmtpMailer("127.0.0.1", port, INBOX, server.password, tls="tls", tls_context=ours).send(outgoing())
    assert len(server.ledger()) == 1


async def test_starttls_encrypts_before_the_login(tmp_path: Path) -> None:
    theirs, ours = certificate(tmp_path)
    received: list[bytes] = []

    class Handler:
        async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
            assert session.ssl
            received.append(envelope.original_content or b"")
            return "250 OK"

    def authenticate(server: SMTP, session: Session, *_: object) -> AuthResult:
        return AuthResult(success=session.ssl is not None)

    def connected() -> SMTP:
        return SMTP(Handler(), tls_context=theirs, require_starttls=True, authenticator=authenticate)

    listener = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        for context, error in ((None, Retryable), (ours, None)):
            sender = SmtpMailer("127.0.0.1", port, INBOX, "x", tls="starttls", tls_context=context, timeout=5)
            if error is None:
                await sender.send(outgoing())
            else:
                with pytest.raises(error):
                    await sender.send(outgoing())
    assert len(received) == 1


def test_a_password_never_crosses_a_network_in_clear() -> None:
    with pytest.raises(ValueError, match="TLS only"):
        SmtpMailer("mail.commversion.com", 587, INBOX, "secret")
    SmtpMailer("mail.commversion.com", 587, INBOX, "secret", tls="starttls")
