"""The IMAP side of the local mail server: pymap over the Maildirs, polling (no IDLE)."""

import asyncio
from argparse import Namespace
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from proxyprotocol.reader import ProxyProtocolReader
from pymap.backend.maildir import Config, FilterSet, Identity, Login, Session
from pymap.backend.maildir.io import FileWriteable
from pymap.backend.maildir.layout import DefaultLayout, MaildirLayout
from pymap.backend.maildir.mailbox import MailboxSet, Maildir
from pymap.config import BackendCapability
from pymap.exceptions import AuthorizationFailure, InvalidAuth
from pymap.imap import IMAPServer
from pymap.user import UserMetadata
from pysasl.creds.server import ServerCredentials
from pysasl.hashing import Cleartext

from simulators.mail_store import MailStore, is_address


def _write_beside(self: FileWriteable) -> None:
    """Pymap writes into the system's temporary folder and renames, which fails where that is another file system."""
    path = Path(self.get_file(self.path))
    beside = path.with_name(path.name + ".new")
    with beside.open("w") as handle:
        self.write(handle)
    beside.replace(path)
    self._touched = False  # pyright: ignore[reportPrivateUsage]


class _Exact:
    """A message's bytes as they lie on disk; the standard library would parse and rewrite them."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __bytes__(self) -> bytes:
        return self._content


class _OrderedMaildir(Maildir):
    """Numbers messages in the order of their delivery and serves their exact bytes."""

    def keys(self) -> list[str]:
        return sorted(super().keys())

    def get_message(self, key: str) -> Any:
        return _Exact(Path(self._join(self._lookup(key))).read_bytes())


class _Config(Config):
    @property
    def backend_capability(self) -> BackendCapability:
        return BackendCapability(idle=False, object_id=True, multi_append=True)


class _Identity(Identity):
    def __init__(self, config: Config, tokens: Any, name: str, folder: Path) -> None:
        super().__init__(config, tokens, name, None, set())
        self._folder = folder

    @asynccontextmanager
    async def new_session(self) -> AsyncGenerator[Session]:
        layout: MaildirLayout[Any] = DefaultLayout(str(self._folder), _OrderedMaildir)
        maildir = _OrderedMaildir(str(self._folder), create=False)
        filters = FilterSet(layout.path)
        yield Session(self.name, self.config, MailboxSet(maildir, layout), filters)


class _Login(Login):
    """Every address may log in, with the server's password or its own; its mailbox is made on the way."""

    def __init__(self, config: Config, store: MailStore, password: str, accounts: dict[str, str]) -> None:
        super().__init__(config)
        self._store = store
        self._password = password
        self._accounts = accounts

    async def authenticate(self, credentials: ServerCredentials) -> Identity:
        user = credentials.authcid.lower()
        expected = UserMetadata(self.config, credentials.authcid, password=self._accounts.get(user, self._password))
        if not is_address(user) or not credentials.verify(expected):
            raise InvalidAuth
        return _Identity(self.config, self.tokens, user, self._store.folder(user))

    async def authorize(self, authenticated: Any, authzid: str) -> Identity:
        if authenticated.name != authzid.lower():
            raise AuthorizationFailure
        return cast("Identity", authenticated)


@asynccontextmanager
async def imap_server(store: MailStore, *, port: int, password: str, accounts: dict[str, str]) -> AsyncGenerator[int]:
    """Listens on 127.0.0.1 and yields the port. The login user is the address."""
    FileWriteable.file_write = _write_beside
    for left_by_a_crash in store.mailboxes.glob("*/*.lock"):
        left_by_a_crash.unlink()
    arguments = Namespace(passlib_cfg=None, proxy_protocol=None)
    config = _Config(
        arguments,
        base_dir=str(store.mailboxes),
        layout="++",
        colon=None,
        host="127.0.0.1",
        port=port,
        tls_enabled=False,
        hash_context=Cleartext(),
    )
    config.apply_context()
    serve = IMAPServer(_Login(config, store, password, accounts), config)
    running: set[asyncio.Future[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(ProxyProtocolReader(config.proxy_protocol).get_callback(serve)(reader, writer))
        running.add(task)
        await asyncio.wait([task])
        running.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await server.wait_closed()
