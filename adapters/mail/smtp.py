"""Mail out: one message per connection, handed to the mail server by SMTP."""

import re
import ssl
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import localtime
from ipaddress import ip_address
from typing import Literal

import aiosmtplib

from domain.errors import Permanent, Refused, Retryable, Unclear, VendorError
from domain.mail import OutgoingMail, readable

Tls = Literal["none", "starttls", "tls"]

_VENDOR = "mail"
_ADDRESS = re.compile(r"[^\s@<>()\[\],;:\\\"\x00-\x20\x7f]{1,64}@[^\s@<>()\[\],;:\\\"\x00-\x20\x7f]{1,253}")
_MESSAGE_ID = re.compile(r"<[\x21-\x3b\x3d\x3f-\x7e]{3,400}>")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]+")
_KEPT_REFERENCES = 20
_TEMPORARY, _FINAL = 400, 500
# A Message-ID is one word: folded at the usual 78 it would come out as an encoded word that matches nothing.
_WIRE_POLICY = SMTP_POLICY.clone(max_line_length=900, cte_type="7bit")


def _line(text: str) -> str:
    """Text for a header: one line, whatever was in it."""
    return _UNPRINTABLE.sub(" ", readable(text)).strip()


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise Refused("bad-address", "an address of this e-mail is not a valid one: correct it and try again")
    return text


def _references(mail: OutgoingMail) -> list[str]:
    """The thread's ids, well-formed ones only; of a long thread its first and latest (RFC 5322, section 3.6.4)."""
    known = [each for each in (*mail.references, mail.in_reply_to) if _MESSAGE_ID.fullmatch(each)]
    unique = list(dict.fromkeys(known))
    return unique if len(unique) <= _KEPT_REFERENCES else [unique[0], *unique[1 - _KEPT_REFERENCES :]]


def build(mail: OutgoingMail, date: datetime | None = None) -> EmailMessage:
    """The message to send: ASCII on the wire, header values without line breaks, our own Message-ID, no Bcc.

    Raises Refused if an address or the Message-ID is malformed or nobody would receive it.
    """
    if not _MESSAGE_ID.fullmatch(mail.message_id):
        raise Refused("bad-message-id", "the Message-ID is malformed")
    if not (mail.to or mail.cc):
        raise Refused("no-recipients", "the e-mail has no recipients: name at least one")
    message = EmailMessage(policy=SMTP_POLICY.clone(cte_type="7bit"))
    message["From"] = Address(_line(mail.sender_name), addr_spec=_address(mail.sender))
    for header, people in (("To", mail.to), ("Cc", mail.cc)):
        if people:
            message[header] = tuple(Address(addr_spec=_address(each)) for each in people)
    message["Subject"] = _line(mail.subject)
    message["Date"] = date or localtime()
    message["Message-ID"] = mail.message_id
    if _MESSAGE_ID.fullmatch(mail.in_reply_to):
        message["In-Reply-To"] = mail.in_reply_to
    if references := _references(mail):
        message["References"] = " ".join(references)
    if mail.automatic:
        message["Auto-Submitted"] = "auto-generated"
    message.set_content(readable(mail.text))
    return message


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _answered(code: int, what: str) -> VendorError:
    """An SMTP answer as an error. Its text is left out: servers put addresses into it."""
    if code >= _FINAL:
        return Permanent(_VENDOR, f"smtp-{code}", f"the mail server refused {what} ({code})")
    if code >= _TEMPORARY:
        return Retryable(_VENDOR, f"smtp-{code}", f"the mail server put off {what} ({code})")
    return Unclear(_VENDOR, f"smtp-{code}", f"the mail server answered {what} with {code}")


class SmtpMailer:
    """The port `Mailer`. A message goes to all of its recipients or to none.

    If the server refuses any recipient, the message is called off before its text is sent: so a retry can't reach the
    others twice, and no reply to all leaves somebody out unseen. Temporary refusals alone are Retryable; with a final
    one among them it is Permanent, code `recipients-refused`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        user: str = "",
        password: str = "",
        *,
        tls: Tls = "none",
        timeout: float = 20.0,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        """`timeout` is in seconds, for each step. Raises ValueError where a password would cross a network in clear."""
        if tls == "none" and password and not _is_loopback(host):
            raise ValueError("a mail password goes to another machine by TLS only: set tls to starttls or tls")
        self._host = host
        self._port = port
        self._login = (user, password) if user else None
        self._tls: Tls = tls
        self._timeout = timeout
        self._tls_context = tls_context
        self._helo = user.rpartition("@")[2] or "localhost"

    async def send(self, mail: OutgoingMail) -> None:
        """Hands one message over. Retryable: surely not taken; Permanent: refused; Unclear: cut after DATA began."""
        try:
            content = build(mail).as_bytes(policy=_WIRE_POLICY)
        except Refused as error:
            raise Permanent(_VENDOR, error.code, str(error)) from error
        client = self._client()
        try:
            await self._prepare(client, mail)
            await self._hand_over(client, content)
            await self._leave(client)
        finally:
            client.close()

    def _client(self) -> aiosmtplib.SMTP:
        return aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            timeout=self._timeout,
            use_tls=self._tls == "tls",
            start_tls=False,
            tls_context=self._tls_context,
            local_hostname=self._helo,
        )

    async def _prepare(self, client: aiosmtplib.SMTP, mail: OutgoingMail) -> None:
        """Everything before DATA: whatever fails here, nobody has received anything."""
        try:
            await client.connect()
            if self._tls == "starttls":
                await self._encrypt(client)
            if self._login:
                await client.login(*self._login)
            await self._envelope(client, mail)
        except aiosmtplib.SMTPResponseException as error:
            raise _answered(max(error.code, _TEMPORARY), "the message before it was sent") from error
        except aiosmtplib.SMTPNotSupported as error:
            raise Permanent(_VENDOR, "not-supported", "the mail server lacks what this message needs") from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise Retryable(_VENDOR, "unreachable", "the mail server could not be reached") from error

    @staticmethod
    async def _encrypt(client: aiosmtplib.SMTP) -> None:
        await client.ehlo()
        if not client.supports_extension("starttls"):
            raise aiosmtplib.SMTPNotSupported("STARTTLS is not offered")
        await client.starttls()

    async def _envelope(self, client: aiosmtplib.SMTP, mail: OutgoingMail) -> None:
        recipients = list(dict.fromkeys((*mail.to, *mail.cc)))
        plain = "".join((mail.sender, *recipients)).isascii()
        if not plain and not client.supports_extension("smtputf8"):
            raise aiosmtplib.SMTPNotSupported("an address is not ASCII")
        encoding, options = ("ascii", []) if plain else ("utf-8", ["SMTPUTF8"])
        await client.mail(mail.sender, options=options, encoding=encoding)
        codes: list[int] = []
        for recipient in recipients:
            try:
                await client.rcpt(recipient, encoding=encoding)
            except aiosmtplib.SMTPRecipientRefused as error:
                codes.append(error.code)
        if codes:
            await self._leave(client)
            raise _refused_recipients(codes, len(recipients))

    async def _hand_over(self, client: aiosmtplib.SMTP, content: bytes) -> None:
        try:
            await client.data(content)
        except aiosmtplib.SMTPDataError as error:
            raise _answered(error.code, "the message") from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise Unclear(_VENDOR, "cut-after-data", "the connection broke after the message was sent") from error

    @staticmethod
    async def _leave(client: aiosmtplib.SMTP) -> None:
        """Says goodbye; by now the server has answered all that matters."""
        try:
            await client.quit(timeout=2.0)
        except (aiosmtplib.SMTPException, OSError):
            client.close()


def _refused_recipients(codes: list[int], of: int) -> VendorError:
    what = f"{len(codes)} of {of} recipients; the message went to nobody"
    if max(codes) >= _FINAL:
        return Permanent(_VENDOR, "recipients-refused", f"the mail server refused {what}")
    return Retryable(_VENDOR, "recipients-deferred", f"the mail server put off {what}")
