"""What the local mail server keeps on disk: mailboxes, its ledger of accepted mail, and its fault switches.

Everything is a file under one directory: a test or another process that knows it sees and sets the same state.
"""

import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict

KEYWORDS = ("$HoldfastTaken", "$Forwarded")  # pymap serves no keyword that is not listed
FaultKind = Literal[
    "reject-4xx",  # 451 at MAIL FROM
    "reject-5xx",  # 550 at MAIL FROM
    "refuse-recipient-4xx",  # 450 at RCPT TO
    "refuse-recipient-5xx",  # 550 at RCPT TO
    "reject-data-4xx",  # 451 after the whole message was received; not accepted
    "reject-data-5xx",  # 554 after the whole message was received; not accepted
    "drop-at-data",  # the connection is cut after the message was received; not accepted
    "drop-after-accept",  # accepted and delivered, the connection cut before the answer
    "slow",  # accepted and delivered, the answer late by `seconds`
    "slow-greeting",  # MAIL FROM answered late by `seconds`
]
_LONGEST_ADDRESS = 200
_ADDRESS = re.compile(r"[^\s@/\\<>\"\x00-\x1f.][^\s@/\\<>\"\x00-\x1f]*@[^\s@/\\<>\"\x00-\x1f.][^\s@/\\<>\"\x00-\x1f]*")


class Fault(BaseModel):
    """One switch: the next `times` messages (to `recipient`, if named) meet it."""

    model_config = ConfigDict(frozen=True)
    kind: FaultKind
    times: int = 1
    seconds: float = 0.0
    recipient: str = ""


class _Switches(BaseModel):
    faults: tuple[Fault, ...] = ()
    unknown: tuple[str, ...] = ()


class Accepted(BaseModel):
    """A ledger line. `sha256` and `path` are of the message as it came in, before the server's own headers."""

    model_config = ConfigDict(frozen=True)
    number: int
    at: datetime
    mail_from: str
    recipients: tuple[str, ...]
    message_id: str
    sha256: str
    path: str
    authenticated_as: str


def is_address(text: str) -> bool:
    """Whether the server takes mail for this address: it must be usable as a folder's name."""
    return len(text) <= _LONGEST_ADDRESS and _ADDRESS.fullmatch(text) is not None


def base_address(address: str) -> str:
    """The mailbox of an address: lower case, a `+detail` folded onto its base."""
    local, _, domain = address.lower().rpartition("@")
    return f"{local.split('+', 1)[0] or local}@{domain}"


@contextmanager
def _locked(path: Path) -> Generator[None]:
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


class Faults:
    """The fault switches (`faults.json`), shared by every process that knows the directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "faults.json"

    def add(self, kind: FaultKind, *, times: int = 1, seconds: float = 0.0, recipient: str = "") -> None:
        """The next `times` messages meet this fault."""
        fault = Fault(kind=kind, times=times, seconds=seconds, recipient=recipient.lower())
        with self._edit() as switches:
            switches.faults = (*switches.faults, fault)

    def set_unknown(self, *addresses: str) -> None:
        """Mail to these addresses is accepted and comes back as a delivery status report (RFC 3464)."""
        with self._edit() as switches:
            switches.unknown = tuple(base_address(address) for address in addresses)

    def clear(self) -> None:
        with self._edit() as switches:
            switches.faults = switches.unknown = ()

    def is_unknown(self, address: str) -> bool:
        with self._edit() as switches:
            return base_address(address) in switches.unknown

    def take(self, *kinds: FaultKind, recipient: str = "") -> Fault | None:
        """The first waiting fault among these kinds, used up once."""
        with self._edit() as switches:
            for index, fault in enumerate(switches.faults):
                if fault.kind in kinds and fault.recipient in {"", recipient.lower()}:
                    left = (fault.model_copy(update={"times": fault.times - 1}),) if fault.times > 1 else ()
                    switches.faults = (*switches.faults[:index], *left, *switches.faults[index + 1 :])
                    return fault
        return None

    @contextmanager
    def _edit(self) -> Generator[_Switches]:
        with _locked(self._path.with_suffix(".lock")):
            before = self._path.read_text() if self._path.exists() else "{}"
            switches = _Switches.model_validate_json(before)
            yield switches
            after = switches.model_dump_json()
            if after != before:
                beside = self._path.with_suffix(".new")
                beside.write_text(after)
                beside.replace(self._path)


class MailStore:
    """Mailboxes (Maildir) and the ledger of one mail server."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.faults = Faults(directory)
        self.mailboxes = directory / "mailboxes"
        self._accepted = directory / "accepted"
        self._ledger = directory / "ledger.jsonl"

    def prepare(self) -> None:
        self.mailboxes.mkdir(parents=True, exist_ok=True)
        self._accepted.mkdir(exist_ok=True)

    def folder(self, address: str) -> Path:
        """The Maildir of an address, made when missing."""
        folder = self.mailboxes / quote(base_address(address), safe="@+.-_")
        for name in ("tmp", "new", "cur"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        keywords = folder / "dovecot-keywords"
        if not keywords.exists():
            keywords.write_text("".join(f"{index} {name}\n" for index, name in enumerate(KEYWORDS)))
        return folder

    def deliver(self, address: str, content: bytes) -> None:
        """Puts the bytes, unchanged, into a mailbox."""
        folder = self.folder(address)
        name = f"{time.time_ns():020d}.{os.getpid()}.local"
        (folder / "tmp" / name).write_bytes(content)
        (folder / "tmp" / name).rename(folder / "new" / name)

    def read(self, address: str) -> list[bytes]:
        """Everything delivered to an address, oldest first, as it lies in the mailbox."""
        folder = self.folder(address)
        files = [path for name in ("new", "cur") for path in (folder / name).iterdir()]
        return [path.read_bytes() for path in sorted(files, key=lambda path: path.name)]

    def accept(self, mail_from: str, recipients: tuple[str, ...], content: bytes, authenticated_as: str) -> Accepted:
        """Writes the ledger line of one accepted message and keeps its bytes."""
        with _locked(self._ledger.with_suffix(".lock")):
            number = len(self.ledger()) + 1
            path = self._accepted / f"{number:06d}.eml"
            path.write_bytes(content)
            entry = Accepted(
                number=number,
                at=datetime.now(UTC),
                mail_from=mail_from,
                recipients=recipients,
                message_id=str(BytesHeaderParser().parsebytes(content).get("Message-ID", "")).strip(),
                sha256=hashlib.sha256(content).hexdigest(),
                path=str(path),
                authenticated_as=authenticated_as,
            )
            with self._ledger.open("a") as handle:
                handle.write(json.dumps(entry.model_dump(mode="json")) + "\n")
        return entry

    def ledger(self) -> list[Accepted]:
        """Every message accepted so far, in order. The tests' oracle of what was sent."""
        if not self._ledger.exists():
            return []
        return [Accepted.model_validate_json(line) for line in self._ledger.read_text().splitlines()]
