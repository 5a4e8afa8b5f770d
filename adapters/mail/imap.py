"""Mail in: polls one folder by IMAP, and marks what Holdfast has taken over."""

import asyncio
import imaplib
import re
import ssl
import threading
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from imap_tools import BaseMailBox, MailBox, MailBoxUnencrypted
from imap_tools.errors import ImapToolsError, MailboxFolderSelectError, MailboxLoginError

from domain.errors import Permanent, Retryable, VendorError
from domain.mail import RawMail

LARGEST = 10 * 1024 * 1024
KEYWORD = "$HoldfastTaken"

_VENDOR = "inbox"
_MOST_HEADERS = 256 * 1024
_SIZE = re.compile(rb"RFC822\.SIZE (\d+)")
_UID = re.compile(rb"UID (\d+)")
_P = ParamSpec("_P")
_R = TypeVar("_R")


class ImapInbox:
    """One folder of one mailbox. Connects when first asked, again after a cut; one command at a time.

    What was taken over is marked with a keyword, so that a person who opens a mail first takes nothing away from
    Holdfast; where the server stores no keywords, as seen. A message is listed until it is marked, under whatever
    number the server gives it: the caller tells a repeat by Message-ID and content.
    """

    def __init__(
        self,
        host: str,
        port: int,
        user: str,
        password: str,
        *,
        folder: str = "INBOX",
        tls: bool = False,
        tls_context: ssl.SSLContext | None = None,
        timeout: float = 30.0,
        since: date | None = None,
    ) -> None:
        """`timeout` is in seconds and for each command; mail that arrived before `since` is left alone."""
        self._address = (host, port)
        self._login = (user, password)
        self._folder = folder
        self._tls_context = (tls_context or ssl.create_default_context()) if tls else None
        self._timeout = timeout
        self._since = since
        self._box: BaseMailBox | None = None
        self._lock = threading.Lock()

    async def fetch(self, limit: int = 50) -> list[RawMail]:
        """The oldest messages not yet marked, at most `limit`, unchanged on the server.

        Raises Retryable if the server can't be reached, Permanent if it refuses the login or has no such folder.
        """
        return await self._ask(ImapInbox._fetch, limit)

    async def done(self, mail: RawMail) -> bool:
        """Marks a message as taken over. False if the folder was renumbered since: it will be listed again."""
        return await self._ask(ImapInbox._done, mail)

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        with self._lock:
            self._drop()

    async def _ask(self, what: "Callable[Concatenate[ImapInbox, _P], _R]", *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return await asyncio.to_thread(self._alone, what, *args, **kwargs)

    def _alone(self, what: "Callable[Concatenate[ImapInbox, _P], _R]", *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """The lock is the thread's: a caller that gives up leaves its command running."""
        with self._lock:
            return self._twice(what, *args, **kwargs)

    def _twice(self, what: "Callable[Concatenate[ImapInbox, _P], _R]", *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """A connection kept since the last poll may be dead: then once more on a new one."""
        if self._box is not None:
            try:
                return what(self, *args, **kwargs)
            except (imaplib.IMAP4.error, ImapToolsError, OSError):
                self._drop()
        try:
            return what(self, *args, **kwargs)
        except MailboxLoginError as error:
            raise _login_refused(error) from error
        except MailboxFolderSelectError as error:
            raise Permanent(_VENDOR, "no-folder", f"the mailbox has no folder {self._folder}") from error
        except (imaplib.IMAP4.error, ImapToolsError, OSError) as error:
            raise Retryable(_VENDOR, "unreachable", "the mail server could not be reached") from error
        finally:
            if self._box is not None and self._box.folder.get() is None:
                self._drop()

    def _drop(self) -> None:
        box, self._box = self._box, None
        if box is not None:
            try:
                box.client.shutdown()
            except (imaplib.IMAP4.error, OSError):
                return

    def _select(self) -> tuple[BaseMailBox, int, str]:
        """Selects the folder afresh, as some servers show new mail only then. Gives its number space and our mark."""
        if self._box is None:
            self._box = self._connect()
            self._box.login(*self._login, initial_folder=None)
        box = self._box
        box.folder.set(self._folder)  # pyright: ignore[reportUnknownMemberType]
        uidvalidity = int(_first(box.client.response("UIDVALIDITY")) or 0)
        kept = _first(box.client.response("PERMANENTFLAGS")).decode("ascii", "replace").lower()
        return box, uidvalidity, KEYWORD if "\\*" in kept or KEYWORD.lower() in kept else "\\Seen"

    def _connect(self) -> BaseMailBox:
        if self._tls_context is None:
            return MailBoxUnencrypted(*self._address, timeout=self._timeout)
        return MailBox(*self._address, timeout=self._timeout, ssl_context=self._tls_context)

    def _fetch(self, limit: int) -> list[RawMail]:
        box, uidvalidity, mark = self._select()
        unmarked = "UNSEEN" if mark == "\\Seen" else f"UNKEYWORD {mark}"
        since = f" SINCE {_imap_date(self._since)}" if self._since else ""
        uids = sorted(int(uid) for uid in box.uids(unmarked + since, charset=None))[:limit]
        sizes = _sizes(box, uids)
        found = (self._load(box, uid, uidvalidity, sizes[uid]) for uid in uids if uid in sizes)
        return [mail for mail in found if mail is not None]

    @staticmethod
    def _load(box: BaseMailBox, uid: int, uidvalidity: int, size: int) -> RawMail | None:
        oversize = size > LARGEST
        part = f"BODY.PEEK[HEADER]<0.{_MOST_HEADERS}>" if oversize else "BODY.PEEK[]"
        answer = _command(box, "FETCH", str(uid), f"({part})")
        literal = next((each[1] for each in answer if not isinstance(each, bytes)), None)
        if literal is None:
            return None  # deleted meanwhile
        return RawMail(uid=uid, uidvalidity=uidvalidity, content=literal, size=size, oversize=oversize)

    def _done(self, mail: RawMail) -> bool:
        box, uidvalidity, mark = self._select()
        if uidvalidity != mail.uidvalidity:
            return False
        _command(box, "STORE", str(mail.uid), "+FLAGS.SILENT", f"({mark})")
        return True


def _login_refused(error: MailboxLoginError) -> VendorError:
    """RFC 5530: a server that is busy refuses a login as well, and says so."""
    if any(word in str(error) for word in ("[UNAVAILABLE]", "[INUSE]", "[SERVERBUG]", "[LIMIT]")):
        return Retryable(_VENDOR, "busy", "the mail server takes no logins just now")
    return Permanent(_VENDOR, "login-refused", "the mail server refused the login: check the password")


def _command(box: BaseMailBox, *words: str) -> list[bytes | tuple[bytes, bytes]]:
    """imap-tools' own `flag` also expunges the folder, which is not ours to do."""
    status, answer = box.client.uid(*words)
    if status != "OK":
        raise imaplib.IMAP4.error(f"{words[0]} was answered with {status}")
    return [each for each in cast("list[bytes | tuple[bytes, bytes] | None]", answer) if each is not None]


def _sizes(box: BaseMailBox, uids: list[int]) -> dict[int, int]:
    if not uids:
        return {}
    answer = _command(box, "FETCH", ",".join(map(str, uids)), "(UID RFC822.SIZE)")
    lines = [each if isinstance(each, bytes) else each[0] for each in answer]
    found = [(_UID.search(line), _SIZE.search(line)) for line in lines]
    return {int(uid[1]): int(size[1]) for uid, size in found if uid and size}


def _first(response: tuple[str, Sequence[Any]]) -> bytes:
    values = response[1]
    return values[-1] if values and values[-1] else b""


def _imap_date(day: date) -> str:
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    return f"{day.day}-{months[day.month - 1]}-{day.year}"
