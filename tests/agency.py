"""A whole agency in one test: real Temporal, real PostgreSQL, real mail, vendors' stand-ins, and both workers."""

import asyncio
import json
import os
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP, default
from email.utils import getaddresses, localtime, parseaddr
from pathlib import Path
from secrets import token_hex
from socket import gethostname
from typing import Any
from uuid import uuid4

import aiosmtplib
from pydantic import SecretStr
from temporalio.client import Client, WorkflowHandle, WorkflowHistory
from temporalio.testing import TimeSkipper, TimeSkippingConfig

from adapters.mail.imap import ImapInbox
from adapters.postgres.audit import AuditReport, verify
from adapters.postgres.crypto import Vault, load_master
from adapters.postgres.pool import Pool, transaction
from adapters.postgres.subjects import subject
from domain.case import CaseView
from domain.messages import ACT_DOMAIN, ActKind, SignedAct
from domain.return_lead import Finding, Findings, Reason, ReturnOutcome, Verdict
from domain.rules.acts import subject_name
from domain.rules.stored_acts import Trust
from domain.texts import canonical, digest
from runtime.connect import connect
from runtime.keys import Keyring, local_signer, ring_path
from runtime.settings import Settings
from runtime.temporal_server import TemporalServer
from simulators.livechat import LiveChatSimulator, livechat_simulator
from simulators.mail import MailServer, mail_server
from simulators.sheets import SheetsSimulator, sheets_simulator
from simulators.slack import SlackSimulator, slack_simulator
from simulators.teamwork import TeamworkSimulator, teamwork_simulator
from simulators.tickets import TicketsSimulator, tickets_simulator
from simulators.whatsapp import WhatsAppSimulator, whatsapp_simulator
from simulators.xero import XeroSimulator, xero_simulator
from starter.boards import BoardsOutside, boards_outside
from starter.client import DirectClient
from starter.door_worker import door_worker
from starter.gateway import Gateway, LocalLogin
from starter.handover import Handover
from starter.inbox import take_mail
from starter.intake import Door
from tests.conftest import Database
from worker import money_worker, sops_worker
from workflows.return_lead import ReturnLead


@dataclass
class Outside:
    """The world outside, with a ledger of everything that arrived."""

    xero: XeroSimulator
    sheets: SheetsSimulator
    livechat: LiveChatSimulator
    teamwork: TeamworkSimulator
    tickets: TicketsSimulator
    slack: SlackSimulator
    whatsapp: WhatsAppSimulator
    mail: MailServer


@asynccontextmanager
async def outside(folder: Path) -> AsyncGenerator[Outside]:
    async with AsyncExitStack() as stack:
        made = Outside(
            xero=await stack.enter_async_context(xero_simulator()),
            sheets=await stack.enter_async_context(sheets_simulator()),
            livechat=await stack.enter_async_context(livechat_simulator()),
            teamwork=await stack.enter_async_context(teamwork_simulator()),
            tickets=await stack.enter_async_context(tickets_simulator()),
            slack=await stack.enter_async_context(slack_simulator()),
            whatsapp=await stack.enter_async_context(whatsapp_simulator()),
            mail=await stack.enter_async_context(mail_server(folder / "mail")),
        )
        for vendor in (
            made.teamwork,
            made.tickets,
        ):  # ids of cases follow from theirs, and tests share a Temporal server
            vendor.state["next"] = int(token_hex(4), 16)
        yield made


def settings_for(folder: Path, database: Database, world: Outside) -> Settings:
    people = folder / "money_people.toml"
    people.write_text('[[accounts]]\nissuer = "local"\nsub = "P-3"\nname = "Ana Costa"\n')
    return Settings(
        state_dir=folder,
        money_people=people,
        database_url=database.url("owner"),
        database_url_sops=SecretStr(database.url("sops")),
        database_url_money=SecretStr(database.url("money")),
        database_url_door=SecretStr(database.url("door")),
        xero_address=world.xero.url,
        sheets_address=world.sheets.url,
        livechat_address=world.livechat.url,
        teamwork_address=world.teamwork.url,
        tickets_address=world.tickets.url,
        slack_address=world.slack.url,
        whatsapp_address=world.whatsapp.url,
        smtp_server=world.mail.host,
        smtp_port=world.mail.smtp_port,
        imap_server=world.mail.host,
        imap_port=world.mail.imap_port,
        xero_token=SecretStr("simulator"),
    )


HISTORIES = Path(__file__).parent / "workflows" / "histories"
CLIENT, CLIENT_MAIL, CONTACT = "C-0001", "jane@acme-plumbing.example", "11111111-2222-4333-8444-555555555555"
SALES = "sales@commversion.com"
RETURNS = "returnleads@commversion.com"
ACCOUNTS = "accounts@commversion.com"
SHOBHIT = "shobhit.patil@commversion.com"
PEOPLE = {
    "P-1": ("Priya Nair", "priya@commversion.com", ("team:return-leads",)),
    "P-2": ("Tom Reed", "tom@commversion.com", ("team:return-leads",)),
    "P-3": ("Ana Costa", "ana@commversion.com", ("team:accounts",)),
    "P-4": ("Omar Ali", "omar@commversion.com", ("team:operations",)),
}


async def seed(database: Database, world: Outside) -> None:
    """An agency with one client, twelve leads at GBP 60.00, and one issued invoice for the leads L-1001 to L-1004."""
    await database.execute("UPDATE outbound SET mode = 'on'")
    await database.execute(
        "INSERT INTO departments VALUES ('team:return-leads', 'Return Leads', $1), ('team:accounts', 'Accounts', $2), "
        "('team:operations', 'Operations', 'operations@commversion.com'), ('team:sales', 'Sales', $3)",
        RETURNS,
        ACCOUNTS,
        SALES,
    )
    await database.execute("INSERT INTO people VALUES ('P-9', 'Shobhit Patil', $1, 'local', 'shobhit.patil')", SHOBHIT)
    for person_id, (name, email, roles) in PEOPLE.items():
        await database.execute("INSERT INTO people VALUES ($1, $2, $3, 'local', $1)", person_id, name, email)
        for role in roles:
            await database.execute("INSERT INTO memberships VALUES ($1, $2)", person_id, role)
    await database.execute("INSERT INTO clients VALUES ($1, 'Acme Plumbing', $2, 'GBP', 'P-2')", CLIENT, CONTACT)
    await database.execute("INSERT INTO client_addresses VALUES ($1, $2)", CLIENT_MAIL, CLIENT)
    for number in range(1001, 1013):
        await add_lead(database, world, f"L-{number}")
    world.xero.seed(
        contacts=[{"ContactID": CONTACT, "Name": "Acme Plumbing"}], invoices=[invoice("INV-1", range(1001, 1005))]
    )


async def add_lead(database: Database, world: Outside, lead_id: str, price: str = "60.00", chat: bool = True) -> None:
    """A lead with its chat on Live Chat."""
    chat_id, thread_id = (f"chat-{lead_id}", f"thread-{lead_id}") if chat else ("", "")
    await database.execute(
        "INSERT INTO leads VALUES ($1, $2, now() - interval '3 days', $3::text::numeric, 'GBP', $4, $5)",
        lead_id,
        CLIENT,
        price,
        chat_id,
        thread_id,
    )
    if chat:
        world.livechat.seed(chats=[{"chat_id": chat_id, "thread_id": thread_id}])


def invoice(number: str, leads: range, status: str = "AUTHORISED", net: str = "50.00") -> dict[str, object]:
    """An invoice of the client in Xero's shape: a line a lead, 20 % VAT on top."""
    return {
        "Type": "ACCREC",
        "InvoiceNumber": number,
        "Contact": {"ContactID": CONTACT},
        "Status": status,
        "Date": "2026-11-01",
        "CurrencyCode": "GBP",
        "LineAmountTypes": "Exclusive",
        "LineItems": [
            {
                "Description": f"Lead L-{lead}",
                "Quantity": 1,
                "UnitAmount": Decimal(net),
                "AccountCode": "200",
                "TaxType": "OUTPUT2",
            }
            for lead in leads
        ],
    }


def letter(
    leads: str, *, sender: str = CLIENT_MAIL, to: str = RETURNS, cc: str = "", message_id: str = "", text: str = ""
) -> EmailMessage:
    """A client's own request."""
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"], mail["Subject"] = f"Jane Client <{sender}>", to, "Leads to return"
    if cc:
        mail["Cc"] = cc
    mail["Message-ID"] = message_id or f"<{token_hex(8)}@{sender.partition('@')[2]}>"
    mail["Date"] = localtime()
    mail.set_content(text or f"Hello,\n\nplease take back {leads}.\n\nJane\n")
    return mail


def forward(original: EmailMessage, *, sender: str = SALES, text: str = "Please see below.") -> EmailMessage:
    """A department's forward to the returns inbox, the client's message attached."""
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"], mail["Subject"] = sender, RETURNS, f"Fwd: {original['Subject']}"
    mail["Message-ID"] = f"<{token_hex(8)}@commversion.com>"
    mail["Date"] = localtime()
    mail.set_content(text)
    mail.add_attachment(original)
    return mail


@dataclass
class Agency:
    """The whole of it, and what people do in it."""

    settings: Settings
    client: Client
    queue: str
    database: Database
    outside: Outside
    door: Door
    handover: Handover
    inbox: ImapInbox
    door_pool: Pool
    skipper: TimeSkipper
    boards: BoardsOutside

    async def deliver(self, mail: EmailMessage, *, as_user: str = "") -> None:
        """By SMTP, logged in as its sender, so that our own server finds it authentic."""
        login = as_user or parseaddr(str(mail["From"]))[1]
        await aiosmtplib.send(
            mail,
            hostname=self.outside.mail.host,
            port=self.outside.mail.smtp_port,
            username=login,
            password=self.outside.mail.password,
            recipients=[address for _, address in getaddresses([str(mail["To"]), str(mail["Cc"] or "")])],
        )

    async def take_in(self) -> list[str]:
        """Polls the inbox once, hands over what was accepted, and returns the ids of all cases, newest last."""
        await take_mail(self.inbox, self.door)
        while await self.handover.run_once():
            pass
        return [
            str(row["case_id"])
            for row in await self.database.fetch("SELECT case_id FROM cases ORDER BY opened_at, case_id")
        ]

    async def receive(self, mail: EmailMessage) -> str:
        """Delivers a mail and returns the id of the newest case."""
        await self.deliver(mail)
        return (await self.take_in())[-1]

    async def open_return(self, *leads: str, reference: str = "", **more: object) -> str:
        """A case's id follows from its reference, and all agencies of a process are on one Temporal server."""
        request = {"client_id": CLIENT, "leads": list(leads), "reference": reference or f"R-{token_hex(4)}", **more}
        started = await self.asks().start("return-leads", request)
        await self.take_in()
        return started.case_id

    def asks(self, person: str = "") -> DirectClient:
        """Holdfast as somebody asks it; "": somebody who signs nothing."""
        vault = Vault(load_master(self.settings.keys_dir))

        async def gateway() -> Gateway:
            return Gateway(self.door_pool, vault, self.client, self.settings)

        by = LocalLogin(person) if person else None
        return DirectClient(self.door_pool, vault, self.settings, gateway, by=by)

    def handle(self, case_id: str) -> WorkflowHandle[ReturnLead, ReturnOutcome]:
        return self.client.get_workflow_handle_for(ReturnLead.run, case_id)

    async def view(self, case_id: str) -> CaseView:
        return await self.handle(case_id).query(ReturnLead.view)

    async def parked(self, case_id: str, step_id: str) -> None:
        """Waits until the step waits for a person, in the tables too, and nothing of the case is in flight."""

        async def there() -> bool:
            row = await self.database.value(
                "SELECT state FROM case_steps WHERE case_id = $1 AND step_id = $2", case_id, step_id
            )
            described = await self.handle(case_id).describe()
            pending = described.raw_description.pending_activities or described.raw_description.HasField(
                "pending_workflow_task"
            )
            return row == "open" and not pending

        await eventually(there, f"{case_id} never waited for {step_id}")

    async def crafted(
        self, case_id: str, step_id: str, kind: ActKind, payload: object, by: str, **changes: object
    ) -> SignedAct:
        """An act as the gateway would sign it, or with fields of its body changed before signing."""
        trust = Trust(Keyring(ring_path(self.settings.keys_dir)), self.settings.deployment, local_counts=True)
        async with transaction(self.door_pool) as conn:
            about = await subject(conn, case_id, subject_name(kind), step_id, trust)
            now = int((await conn.fetchval("SELECT holdfast_now()")).timestamp())
        signer = local_signer(self.settings.keys_dir)
        said = canonical(payload)
        body: dict[str, object] = {
            "v": 1,
            "kid": signer.kid,
            "jti": str(uuid4()),
            "kind": kind.value,
            "deployment": self.settings.deployment,
            "case_id": case_id,
            "workflow_id": case_id,
            "step_id": step_id,
            "subject_sha256": about.sha256,
            "payload_sha256": digest(said),
            "actor": {"issuer": "local", "sub": by},
            "acting_for": "",
            "auth": "local",
            "auth_time": now,
            "iat": now,
            "exp": now + 600,
        }
        text = canonical(body | changes)
        return SignedAct(body=text, payload=said, signature=signer.sign(ACT_DOMAIN + text.encode()))

    async def act(self, case_id: str, step_id: str, kind: ActKind, payload: object, by: str) -> None:
        """Waits until the step is asked, and sends a good act."""
        await self.parked(case_id, step_id)
        await self.handle(case_id).signal("act", await self.crafted(case_id, step_id, kind, payload, by))

    async def text(self, words: str) -> str:
        """Stores a text of the client's as the gateway does, and returns its hash."""
        vault = Vault(load_master(self.settings.keys_dir))
        async with transaction(self.door_pool) as conn:
            sealed = await vault.seal(conn, CLIENT, words.encode())
            await conn.execute(
                "INSERT INTO texts (sha256, client_id, content_ct) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                digest(words),
                CLIENT,
                sealed,
            )
        return digest(words)

    async def find(self, case_id: str, valid: Sequence[str], refused: Sequence[str] = (), by: str = "P-1") -> None:
        """Findings on all leads of a request."""
        good, bad = (
            await self.text("A robot filled in the form."),
            await self.text("The caller asked for a quote and got one."),
        )
        findings = [Finding(lead_id=one, verdict=Verdict.VALID, reason=Reason.SPAM, text_sha256=good) for one in valid]
        findings += [
            Finding(lead_id=one, verdict=Verdict.NOT_VALID, reason=Reason.GENUINE, text_sha256=bad) for one in refused
        ]
        payload = Findings(findings=tuple(findings)).model_dump(mode="json")
        await self.act(case_id, "investigate", ActKind.FINDINGS, payload, by)

    async def put_to_approver(self) -> str:
        """A case of two unbilled leads, GBP 600.00 in all, that waits for the approver."""
        leads = ["L-1005", "L-1006"]
        await self.database.arrived_at("300.00", *leads)
        case_id = await self.receive(letter(", ".join(leads)))
        await self.find(case_id, leads)
        await self.parked(case_id, "approval")
        return case_id

    async def decide(self, case_id: str, kind: ActKind, step_id: str = "approval", by: str = "shobhit.patil") -> None:
        """The approver's word, with a reason."""
        await self.act(case_id, step_id, kind, {"reason_sha256": await self.text("Because of the amount.")}, by)

    async def confirm(self, case_id: str, by: str = "P-2", step_id: str = "confirm") -> None:
        await self.act(case_id, step_id, ActKind.CONFIRM, {"preview_sha256": "0" * 64}, by)

    async def authorise(self, case_id: str, by: str = "P-3", step_id: str = "authorise") -> None:
        await self.act(case_id, step_id, ActKind.AUTHORISE, {"reason_sha256": ""}, by)

    async def pass_time(self, case_id: str, by: timedelta) -> None:
        """Moves the case's own clock on; timers that come due by then fire."""
        await asyncio.wait_for(self.skipper.fast_forward(self.handle(case_id), by), 60)

    async def history(self, case_id: str) -> WorkflowHistory:
        return await self.handle(case_id).fetch_history()

    async def keep(self, case_id: str, name: str, run_id: str | None = None) -> None:
        """Records the history of a path on purpose (`make histories`); it is replayed ever after."""
        if os.environ.get("HOLDFAST_RECORD_HISTORIES"):
            HISTORIES.mkdir(exist_ok=True)
            run = self.client.get_workflow_handle(case_id, run_id=run_id)
            told = _without_hosts((await run.fetch_history()).to_json_dict())
            (HISTORIES / f"{name}.json").write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")

    async def parked_at(self, case_id: str, name: str) -> str:
        """Waits for the first open step whose id starts with `name`, and returns its id."""
        found: list[str] = []

        async def there() -> bool:
            rows = await self.database.fetch(
                "SELECT step_id FROM case_steps WHERE case_id = $1 AND name = $2 AND state = 'open'", case_id, name
            )
            found[:] = [str(row["step_id"]) for row in rows]
            return bool(found)

        await eventually(there, f"{case_id} never waited for {name}")
        return found[0]

    async def chased(self, case_id: str, step_id: str, times: int) -> None:
        async def there() -> bool:
            query = "SELECT chased FROM case_steps WHERE case_id = $1 AND step_id = $2"
            return await self.database.value(query, case_id, step_id) == times

        await eventually(there, f"{step_id} was not chased {times} times")
        await self.parked(case_id, step_id)

    async def sent(self, case_id: str, effect: str, state: str = "sent") -> None:
        async def there() -> bool:
            return (await self.effects(case_id)).get(effect) == state

        await eventually(there, f"{effect} is not {state}")

    async def eventually(self, check: Callable[[], Awaitable[bool]], otherwise: str) -> None:
        await eventually(check, otherwise)

    async def refused(self, case_id: str, code: str) -> None:
        """Waits until an act was refused for this reason."""

        async def there() -> bool:
            return bool(
                await self.database.value(
                    "SELECT true FROM act_refusals WHERE case_id = $1 AND code = $2", case_id, code
                )
            )

        await eventually(there, f"nothing of {case_id} was refused as {code}")

    async def audited(self) -> AuditReport:
        async with transaction(await self.database.pool("owner")) as conn:
            return await verify(conn)

    async def result(self, case_id: str) -> ReturnOutcome:
        return await asyncio.wait_for(self.handle(case_id).result(), 60)

    async def answered(self, case_id: str) -> None:
        """Waits until an answer with refusals is out and the case waits for the client's reply (RL-10)."""

        async def waiting() -> bool:
            view, described = await self.view(case_id), await self.handle(case_id).describe()
            busy = described.raw_description.pending_activities
            return "client's reply" in view.doing and not view.steps and not busy

        await eventually(waiting, f"{case_id} never waited for a reply of the client's")

    async def closed(self, case_id: str) -> ReturnOutcome:
        """The outcome of a case with refusals, which waits 14 days for a reply that never comes (RL-10)."""
        await self.answered(case_id)
        await self.pass_time(case_id, timedelta(days=15))
        return await self.result(case_id)

    async def effects(self, case_id: str) -> dict[str, str]:
        """The ledger: state by effect name."""
        rows = await self.database.fetch("SELECT key, state FROM effects WHERE case_id = $1 ORDER BY key", case_id)
        return {str(row["key"]).removeprefix(f"{case_id}/"): str(row["state"]) for row in rows}

    def mails(self, template: str = "") -> list[EmailMessage]:
        """What our worker sent, in order."""
        sent = [
            message_from_bytes(Path(one.path).read_bytes(), policy=default)
            for one in self.outside.mail.ledger()
            if not one.authenticated_as
        ]
        return [mail for mail in sent if template in str(mail["Subject"]) + mail.get_content()]


def _without_hosts(told: Any) -> Any:
    """A history names the machines that worked on it; a recorded one does not."""
    if isinstance(told, dict):
        return {name: "worker" if name == "identity" else _without_hosts(value) for name, value in told.items()}
    if isinstance(told, str):
        return re.sub(rf"\d+@{re.escape(gethostname())}", "worker", told)
    return [_without_hosts(one) for one in told] if isinstance(told, list) else told


async def eventually(check: Callable[[], Awaitable[bool]], otherwise: str, seconds: float = 60) -> None:
    """Polls until `check` is true; fails with `otherwise`."""
    end = asyncio.get_running_loop().time() + seconds
    while not await check():
        if asyncio.get_running_loop().time() > end:
            raise AssertionError(otherwise)
        await asyncio.sleep(0.03)


@asynccontextmanager
async def open_agency(
    folder: Path, database: Database, temporal: TemporalServer, *, workers: bool = True, followers: bool = True
) -> AsyncGenerator[Agency]:
    """Everything that runs, on queues of its own. `followers`: whether the ticket desk has them."""
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(outside(folder))
        settings = settings_for(folder, database, world).model_copy(update={"tickets_followers": followers})
        await seed(database, world)
        client = await connect(settings, address=temporal.address)
        queue = f"t-{token_hex(4)}"
        pool = await database.pool("door")
        vault = Vault(load_master(settings.keys_dir))
        local_signer(settings.keys_dir)
        door = Door(pool, vault, settings)
        inbox = ImapInbox(world.mail.host, world.mail.imap_port, settings.imap_user, world.mail.password)
        stack.push_async_callback(inbox.close)
        boards = await stack.enter_async_context(boards_outside(settings, pool, vault, settling=timedelta(0)))
        if workers:
            await stack.enter_async_context(sops_worker(settings, client, queue=queue))
            await stack.enter_async_context(money_worker(settings, client, queue=queue))
            await stack.enter_async_context(door_worker(client, pool, vault, settings, boards, queue=queue))
        skipper = TimeSkipper(
            client, config=TimeSkippingConfig(enabled=False, max_session_skip_count=5000, disable_propagation=True)
        )
        handover = Handover(door.intake, skipper.client, queue=queue)
        yield Agency(settings, client, queue, database, world, door, handover, inbox, pool, skipper, boards)
