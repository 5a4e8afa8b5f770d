"""The SMTP side of the local mail server: who sent it, what our own headers say about that, faults and bounces."""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.headerregistry import AddressHeader
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.policy import SMTP as SMTP_POLICY
from email.policy import default as default_policy
from email.utils import format_datetime, localtime, make_msgid
from typing import Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from simulators.mail_store import FaultKind, MailStore, is_address

Deliver = Callable[[str, bytes, str], Awaitable[None]]  # mailbox address, content, envelope sender

LARGEST = 40 * 1024 * 1024
_OWN_HEADERS = ("return-path", "authentication-results")
_AT_DATA: tuple[FaultKind, ...] = (
    "reject-data-4xx",
    "reject-data-5xx",
    "drop-at-data",
    "drop-after-accept",
    "slow",
)
_FAILED = {"Action": "failed", "Status": "5.1.1", "Diagnostic-Code": "smtp; 550 5.1.1 no such mailbox"}
_COMMENT = re.compile(rb"\((?:[^()\\]|\\.)*\)")

logging.getLogger("mail.log").setLevel(logging.ERROR)


def _split(content: bytes) -> tuple[list[bytes], bytes]:
    """The header fields, each with its continuation lines, and the rest of the message."""
    fields: list[bytes] = []
    lines = content.splitlines(keepends=True)
    for index, line in enumerate(lines):
        if not line.strip(b"\r\n"):
            return fields, b"".join(lines[index:])
        if line[:1] in b" \t" and fields:
            fields[-1] += line
        else:
            fields.append(line)
    return fields, b""


def _claims_ours(field: bytes, authserv_id: str) -> bool:
    """RFC 8601, section 5: an incoming result under our own name is forged; one that can't be read goes too."""
    name, _, value = field.partition(b":")
    lowered = name.strip().lower()
    if lowered == b"return-path":
        return True
    if lowered != b"authentication-results":
        return False
    words = _COMMENT.sub(b" ", value).replace(b'"', b"").split(b";", 1)[0].split()
    return not words or words[0].lower() == authserv_id.lower().encode()


def from_domain(content: bytes) -> str:
    """The domain of the one From address; empty when there is none or more than one."""
    headers = BytesHeaderParser(policy=default_policy).parsebytes(content)
    try:
        values = headers.get_all("From", [])
        addresses = [address for value in values for address in cast("AddressHeader", value).addresses]
    except Exception:  # noqa: BLE001 - the parser of the standard library has no error of its own
        return ""
    return addresses[0].domain.lower() if len(addresses) == 1 and len(values) == 1 else ""


def stamp(content: bytes, *, authserv_id: str, mail_from: str, authenticated_as: str) -> bytes:
    """The message as delivered: forged results taken out, Return-Path, Authentication-Results and Received on top."""
    fields, rest = _split(content)
    domain = from_domain(content)
    passed = bool(domain) and authenticated_as.lower().rpartition("@")[2] == domain
    verdict = f"dmarc={'pass' if passed else 'fail'} header.from={domain or 'none'}"
    own = (
        f"Return-Path: <{mail_from}>\r\n"
        f"Authentication-Results: {authserv_id}; {verdict}\r\n"
        f"Received: by {authserv_id} with ESMTP{'A' if authenticated_as else ''}; {format_datetime(localtime())}\r\n"
    )
    kept = b"".join(field for field in fields if not _claims_ours(field, authserv_id))
    return own.encode("utf-8", "replace") + kept + rest


def _block(fields: dict[str, str]) -> EmailMessage:
    block = EmailMessage(policy=SMTP_POLICY)
    for name, value in fields.items():
        block[name] = value
    return block


def bounce(content: bytes, *, authserv_id: str, mail_from: str, unknown: str) -> bytes:
    """A delivery status report (RFC 3464) about one recipient, quoting the headers of the message."""
    original = b"".join(_split(content)[0])
    human = EmailMessage(policy=SMTP_POLICY)
    human.set_content(f"Your message could not be delivered.\n\n<{unknown}>: no such mailbox here.\n")
    status = EmailMessage(policy=SMTP_POLICY)
    status["Content-Type"] = "message/delivery-status"
    status.set_payload(
        [_block({"Reporting-MTA": f"dns; {authserv_id}"}), _block(_FAILED | {"Final-Recipient": f"rfc822; {unknown}"})]
    )
    quoted = EmailMessage(policy=SMTP_POLICY)
    quoted["Content-Type"] = "text/rfc822-headers"
    quoted.set_payload(original.decode("ascii", "replace").replace("\ufffd", "?"))
    report = EmailMessage(policy=SMTP_POLICY)
    report["From"] = f"Mail Delivery Subsystem <mailer-daemon@{authserv_id}>"
    report["To"] = mail_from
    report["Subject"] = "Undelivered Mail Returned to Sender"
    report["Date"] = localtime()
    report["Message-ID"] = make_msgid(domain=authserv_id)
    report["Auto-Submitted"] = "auto-replied"
    report["Content-Type"] = 'multipart/report; report-type="delivery-status"'
    for part in (human, status, quoted):
        report.attach(part)
    return report.as_bytes()


class _Answers:
    """aiosmtpd's handler: each method returns the SMTP answer."""

    def __init__(self, store: MailStore, deliver: Deliver, authserv_id: str) -> None:
        self._store = store
        self._deliver = deliver
        self._authserv_id = authserv_id

    async def handle_MAIL(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if slow := self._store.faults.take("slow-greeting"):
            await asyncio.sleep(slow.seconds)
        if self._store.faults.take("reject-4xx"):
            return "451 4.3.0 try again later"
        if self._store.faults.take("reject-5xx"):
            return "550 5.7.1 not accepted"
        envelope.mail_from = address or "<>"  # aiosmtpd takes the empty sender for a missing MAIL
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if not is_address(address):
            return "553 5.1.3 no such address form"
        if self._store.faults.take("refuse-recipient-4xx", recipient=address):
            return "450 4.2.1 mailbox busy"
        if self._store.faults.take("refuse-recipient-5xx", recipient=address):
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        faults = (self._store.faults.take(*_AT_DATA, recipient=one) for one in envelope.rcpt_tos)
        fault = next((fault for fault in faults if fault), None)
        kind = fault.kind if fault else None
        if kind == "drop-at-data":
            return _cut(server)
        if kind in {"reject-data-4xx", "reject-data-5xx"}:
            return "451 4.3.0 try again later" if kind == "reject-data-4xx" else "554 5.6.0 message refused"
        await self._take(envelope, _user(session))
        if fault and kind == "slow":
            await asyncio.sleep(fault.seconds)
        return _cut(server) if kind == "drop-after-accept" else "250 2.0.0 accepted"

    async def _take(self, envelope: Envelope, user: str) -> None:
        content = cast("bytes", envelope.original_content)
        sender = (envelope.mail_from or "").replace("<>", "")
        stamped = stamp(content, authserv_id=self._authserv_id, mail_from=sender, authenticated_as=user)
        for recipient in dict.fromkeys(envelope.rcpt_tos):
            if not self._store.faults.is_unknown(recipient):
                await self._deliver(recipient, stamped, sender)
            elif sender:
                report = bounce(content, authserv_id=self._authserv_id, mail_from=sender, unknown=recipient)
                await self._deliver(sender, b"Return-Path: <>\r\n" + report, "")
        self._store.accept(sender, tuple(envelope.rcpt_tos), content, user)


def _user(session: Session) -> str:
    data: Any = session.auth_data
    return data.login.decode("utf-8", "replace").lower() if isinstance(data, LoginPassword) else ""


def _cut(server: SMTP) -> str:
    if server.transport is not None:
        cast("asyncio.Transport", server.transport).abort()
    return "421 4.3.2 closing"


@asynccontextmanager
async def smtp_server(
    store: MailStore, deliver: Deliver, *, port: int, authserv_id: str, password: str, accounts: dict[str, str]
) -> AsyncGenerator[int]:
    """Listens on 127.0.0.1 and yields the port. Anyone may send; AUTH proves a sender's domain."""
    open_sessions: set[SMTP] = set()

    def authenticate(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
        user = data.login.decode("utf-8", "replace").lower()
        right = is_address(user) and data.password.decode("utf-8", "replace") == accounts.get(user, password)
        return AuthResult(success=right, handled=False, auth_data=data if right else None)

    def connected() -> SMTP:
        session = SMTP(
            _Answers(store, deliver, authserv_id),
            hostname=authserv_id,
            data_size_limit=LARGEST,
            enable_SMTPUTF8=True,
            auth_require_tls=False,
            authenticator=authenticate,
        )
        open_sessions.add(session)
        return session

    server = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for session in open_sessions:
            if session.transport is not None:
                cast("asyncio.Transport", session.transport).abort()
        await server.wait_closed()
