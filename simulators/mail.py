"""A real mail server for one machine: SMTP in, a Maildir per mailbox, IMAP out; loopback only.

`python -m simulators.mail --dir DIR` runs it and prints its ports as one line of JSON; `mail_server(...)` runs it
inside a test.
Whoever logs in to SMTP as an address of the From domain gets `dmarc=pass` stamped, everybody else `dmarc=fail`.
"""

import argparse
import asyncio
import fcntl
import json
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from simulators.mail_imap import imap_server
from simulators.mail_smtp import smtp_server
from simulators.mail_store import Accepted, Faults, MailStore

AUTHSERV_ID = "mail.holdfast.local"
PASSWORD = "simulator"  # noqa: S105 - every address of the simulated world logs in with it


@dataclass(frozen=True)
class MailServer:
    """A running server: where it listens, and its directory's ledger, mailboxes and fault switches."""

    host: str
    smtp_port: int
    imap_port: int
    store: MailStore
    authserv_id: str = AUTHSERV_ID
    password: str = PASSWORD

    @property
    def faults(self) -> Faults:
        return self.store.faults

    def ledger(self) -> list[Accepted]:
        return self.store.ledger()

    def mailbox(self, address: str) -> list[bytes]:
        return self.store.read(address)


@asynccontextmanager
async def mail_server(
    directory: Path,
    *,
    smtp_port: int = 0,
    imap_port: int = 0,
    password: str = PASSWORD,
    accounts: Mapping[str, str] | None = None,
) -> AsyncGenerator[MailServer]:
    """Runs the server in this process. Port 0 takes a free one; `accounts` holds passwords other than the common one.

    Raises OSError if a port is taken or another server uses the directory.
    """
    store = MailStore(directory)
    store.prepare()
    own = {address.lower(): secret for address, secret in (accounts or {}).items()}

    async def deliver(address: str, content: bytes, _mail_from: str) -> None:
        store.deliver(address, content)

    with (directory / "server.lock").open("a") as only_one:
        fcntl.flock(only_one, fcntl.LOCK_EX | fcntl.LOCK_NB)
        async with (
            imap_server(store, port=imap_port, password=password, accounts=own) as imap,
            smtp_server(
                store, deliver, port=smtp_port, authserv_id=AUTHSERV_ID, password=password, accounts=own
            ) as smtp,
        ):
            yield MailServer("127.0.0.1", smtp, imap, store, password=password)


async def _serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with mail_server(options.dir, smtp_port=options.smtp_port, imap_port=options.imap_port) as server:
        sys.stdout.write(json.dumps({"smtp_port": server.smtp_port, "imap_port": server.imap_port}) + "\n")
        sys.stdout.flush()
        await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m simulators.mail", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dir", type=Path, required=True, help="mailboxes, ledger and fault switches")
    parser.add_argument("--smtp-port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--imap-port", type=int, default=0, help="0 takes a free port")
    options = parser.parse_args()
    options.dir.mkdir(parents=True, exist_ok=True)
    try:
        asyncio.run(_serve(options))
    except OSError as error:
        sys.exit(f"the mail server could not start (ports {options.smtp_port}, {options.imap_port}): {error}")


if __name__ == "__main__":
    main()
