"""A door with a directory behind it, and mails as our own server delivers them."""

from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

from adapters.postgres.crypto import Vault
from domain import ids
from domain.thread import CaseThread
from runtime.settings import Settings
from simulators.mail import AUTHSERV_ID
from starter.intake import Door
from tests.conftest import Database

INBOX = "returnleads@commversion.com"
CLIENT = "jane@acme.example"
DIRECTORY = """
INSERT INTO people (person_id, name, email, issuer, sub) VALUES
 ('john', 'John Smith', 'john@commversion.com', 'local', 'john');
INSERT INTO departments VALUES ('team:return-leads', 'Return Leads', 'returnleads@commversion.com'),
 ('team:ppc', 'PPC Team', 'PPC@commversion.com'), ('team:seo', 'SEO Team', 'seo@commversion.com');
INSERT INTO memberships VALUES ('john', 'team:seo');
INSERT INTO clients (client_id, name) VALUES ('acme', 'Acme Dental'), ('zen', 'Zen Law');
INSERT INTO client_addresses VALUES ('jane@acme.example', 'acme'), ('zoe@zen.example', 'zen');
INSERT INTO leads (lead_id, client_id, received_at, price) VALUES ('L-1001', 'acme', now(), 60),
 ('L-1002', 'acme', now(), 60), ('L-1003', 'acme', now(), 60), ('L-2001', 'zen', now(), 60)
"""


@dataclass
class Reception:
    database: Database
    door: Door
    vault: Vault

    async def row(self, inbox_id: int) -> dict[str, Any]:
        (row,) = await self.database.fetch("SELECT * FROM inbox WHERE inbox_id = $1", inbox_id)
        return dict(row)

    async def steps(self, inbox_id: int) -> list[dict[str, Any]]:
        """What Temporal is to be told."""
        return (await self.row(inbox_id))["action"]["steps"]

    async def request(self, inbox_id: int) -> dict[str, Any]:
        (start, *_) = await self.steps(inbox_id)
        return start["request"]

    async def cases(self) -> list[str]:
        return [row["case_id"] for row in await self.database.fetch("SELECT case_id FROM cases ORDER BY opened_at")]

    async def thread(self, case_id: str) -> CaseThread:
        (row,) = await self.database.fetch("SELECT client_id, thread_ct FROM cases WHERE case_id = $1", case_id)
        pool = await self.database.pool()
        async with pool.acquire() as conn:
            return CaseThread.model_validate_json(await self.vault.open(conn, row["client_id"], row["thread_ct"]))

    async def close(self, case_id: str) -> None:
        await self.database.execute("UPDATE cases SET status = 'closed' WHERE case_id = $1", case_id)

    async def sent(self, case_id: str, name: str, kind: str, state: str = "sent", *, joined: bool = True) -> str:
        """A mail of ours: its effect in the ledger, and its Message-ID, which is given back."""
        key = ids.effect_key(case_id, name)
        await self.database.execute(
            "INSERT INTO effects (key, case_id, kind, clause, gated, body, state)"
            " VALUES ($1, $2, $3, '', $4, '{}', $5)",
            key, case_id, kind, kind == "answer-client", state,
        )  # fmt: skip
        message_id = ids.message_id(key, "commversion.com")
        if joined:
            await self.database.execute("INSERT INTO mail_threads VALUES ($1, $2)", message_id, case_id)
        return message_id


async def reception(database: Database) -> Reception:
    for statement in DIRECTORY.split(";"):
        await database.execute(statement)
    vault = Vault(b"k" * 32)
    return Reception(database, Door(await database.pool("door"), vault, Settings()), vault)


def mail(
    text: str = "Please take back L-1001 and L-1002.",
    *,
    sender: str = CLIENT,
    to: str = INBOX,
    cc: str = "",
    message_id: str = "<one@acme.example>",
    subject: str = "Bad leads",
    passed: bool = True,
    **headers: str,
) -> EmailMessage:
    """A message; `passed` says whether our server found its sender authentic."""
    message = EmailMessage(policy=SMTP)
    verdict = "pass" if passed else "fail"
    message["Authentication-Results"] = f"{AUTHSERV_ID}; dmarc={verdict} header.from={sender.partition('@')[2]}"
    message["From"] = sender
    message["To"] = to
    if cc:
        message["Cc"] = cc
    message["Subject"] = subject
    message["Message-ID"] = message_id
    message["Date"] = "Mon, 02 Nov 2026 09:15:00 +0000"
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    return message


def forward(
    original: EmailMessage,
    *,
    sender: str = "ppc@commversion.com",
    note: str = "FYI, see attached.",
    message_id: str = "<fw@commversion.com>",
    passed: bool = True,
) -> EmailMessage:
    outer = mail(note, sender=sender, subject="FW: Bad leads", message_id=message_id, passed=passed)
    del original["Authentication-Results"]
    outer.add_attachment(original)
    return outer
