"""The same mail server with Dovecot in pymap's place: SMTP in front, LMTP to Dovecot, IMAP out of it. For tests.

Dovecot refuses to serve mail as root, so it runs as `nobody` when started by root and as the caller otherwise.
"""

import asyncio
import grp
import os
import pwd
import shutil
import smtplib
import socket
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

from simulators.mail import AUTHSERV_ID, PASSWORD, MailServer
from simulators.mail_smtp import smtp_server
from simulators.mail_store import MailStore, base_address

_CONFIG = """
protocols = imap lmtp
listen = 127.0.0.1
base_dir = {home}/run
state_dir = {home}/state
log_path = {home}/dovecot.log
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
first_valid_gid = 1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
mail_location = maildir:~/Maildir
recipient_delimiter = +
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={home}/mail/%Lu allow_all_users=yes
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap_port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp_port}
  }}
}}
"""


def dovecot_program() -> str | None:
    """Where Debian keeps it, which is not on everybody's PATH."""
    return shutil.which("dovecot", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _identity() -> tuple[str, str]:
    if os.geteuid() == 0:
        return "nobody", "nogroup"
    return pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name


@contextmanager
def _home(user: str, group: str) -> Generator[Path]:
    """A folder with a short path (a Unix socket's name holds 107 bytes) that Dovecot's user can reach."""
    home = Path(tempfile.mkdtemp(prefix="dovecot-"))
    for name in ("run", "state", "mail"):
        (home / name).mkdir()
    if os.geteuid() == 0:
        for path in (home, *home.iterdir()):
            shutil.chown(path, user, group)
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _start(program: str, config: Path) -> subprocess.Popen[bytes]:
    command = [program, "-F", "-c", str(config)]
    if os.geteuid() != 0:
        return subprocess.Popen(command)  # noqa: S603
    user, group = _identity()
    return subprocess.Popen(command, user=user, group=group, extra_groups=[])  # noqa: S603


async def _answers(port: int, child: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if child.poll() is not None:
                break
            await asyncio.sleep(0.05)
        else:
            writer.close()
            await writer.wait_closed()
            return
    raise RuntimeError(f"Dovecot did not start: {_told(log)}")


def _told(log: Path) -> str:
    return log.read_text() if log.exists() else "no log"


@asynccontextmanager
async def _dovecot(program: str, imap_port: int, lmtp_port: int) -> AsyncGenerator[None]:
    user, group = _identity()
    with _home(user, group) as home:
        config = home / "dovecot.conf"
        values = {"home": home, "user": user, "group": group, "password": PASSWORD}
        config.write_text(_CONFIG.format(**values, imap_port=imap_port, lmtp_port=lmtp_port))
        child = _start(program, config)
        try:
            await _answers(imap_port, child, home / "dovecot.log")
            yield
        finally:
            child.terminate()
            await asyncio.to_thread(child.wait)


def _hand_over(port: int, address: str, content: bytes, mail_from: str) -> None:
    with closing(smtplib.LMTP("127.0.0.1", port)) as client:
        client.sendmail(mail_from, [address], content)


@asynccontextmanager
async def dovecot_server(directory: Path) -> AsyncGenerator[MailServer]:
    """A mail server as `mail_server` gives it, its mailboxes kept by Dovecot (with IDLE). `mailbox()` is not available.

    Raises RuntimeError if Dovecot is not installed or does not start.
    """
    program = dovecot_program()
    if program is None:
        raise RuntimeError("Dovecot is not installed: apt-get install dovecot-imapd dovecot-lmtpd")
    store = MailStore(directory)
    store.prepare()
    imap_port, lmtp_port = _free_ports(2)

    async def deliver(address: str, content: bytes, mail_from: str) -> None:
        await asyncio.to_thread(_hand_over, lmtp_port, base_address(address), content, mail_from)

    async with (
        _dovecot(program, imap_port, lmtp_port),
        smtp_server(store, deliver, port=0, authserv_id=AUTHSERV_ID, password=PASSWORD, accounts={}) as smtp,
    ):
        yield MailServer("127.0.0.1", smtp, imap_port, store)
