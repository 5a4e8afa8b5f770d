"""The worker: the composition root, the only place where ports meet adapters.

    python worker.py --queues sops     workflows, and every effect but money
    python worker.py --queues money    gated effects, under its own database role and configuration

Run any number of each. SIGTERM lets what runs finish (30 s).
"""

import argparse
import asyncio
import gc
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial

import structlog
from temporalio.client import Client
from temporalio.worker import Worker

from activities.acts import ActActivities
from activities.books_check import BooksCheckActivities
from activities.digest import DigestActivities
from activities.directory_sweep import DirectorySweepActivities
from activities.effects import EffectActivities
from activities.hands import World
from activities.money import MoneyActivities
from activities.ports import LinkedCases, Mailer
from activities.tell import Channels
from adapters.letters.letters import PostgresLetters
from adapters.livechat.desk import LiveChatDesk
from adapters.mail.smtp import SmtpMailer
from adapters.postgres import pool as database
from adapters.postgres.acts import PostgresActs
from adapters.postgres.asking import Deciders
from adapters.postgres.books_cases import TemporalBooksCases
from adapters.postgres.briefs import PostgresBriefs
from adapters.postgres.cases import PostgresCases
from adapters.postgres.crypto import Vault, load_master
from adapters.postgres.digests import PostgresDigests, PostgresLater
from adapters.postgres.directory import Addressee, PostgresDirectory
from adapters.postgres.gate import PostgresGate
from adapters.postgres.ledger import PostgresLedger
from adapters.postgres.money_people import sync_money_people
from adapters.postgres.peoples_channels import PostgresPeoplesChannels
from adapters.postgres.pool import DatabaseGoneError, Pool
from adapters.postgres.promises import PostgresPromises
from adapters.postgres.windows import PostgresWindows
from adapters.sheets.sheet import GoogleSheet
from adapters.slack.workspace import SlackWorkspace
from adapters.teamwork.board import TeamworkBoard
from adapters.temporal.linked import TemporalLinkedCases
from adapters.temporal.owners import TemporalMovements
from adapters.tickets.zendesk import ZendeskDesk
from adapters.whatsapp.cloud import WhatsAppCloud
from adapters.xero.books import XeroBooks
from domain.errors import HoldfastError
from domain.ids import SOPS_QUEUE, money_queue
from domain.rules.stored_acts import Trust
from runtime.connect import connect
from runtime.keys import Keyring, ring_path
from runtime.logs import configure_logging
from runtime.metrics import metrics_runtime
from runtime.patience import patiently
from runtime.processes import LocalServerError
from runtime.settings import Role, Settings
from workflows.books_check import BooksCheck, InvoicedAllTheSame, UnconfirmedCreditNote
from workflows.department_request import DepartmentRequest
from workflows.directory_sweep import DirectorySweep
from workflows.money_people import MoneyPeopleChanged
from workflows.morning_digest import MorningDigest
from workflows.request_sweep import RequestSweep
from workflows.return_lead import ReturnLead

WORKFLOWS = [
    ReturnLead,
    BooksCheck,
    InvoicedAllTheSame,
    UnconfirmedCreditNote,
    MoneyPeopleChanged,
    DirectorySweep,
    MorningDigest,
    DepartmentRequest,
    RequestSweep,
]
GRACE = timedelta(seconds=30)
log = structlog.get_logger("worker")


def open_world(settings: Settings, pool: Pool, vault: Vault, linked: LinkedCases, stack: AsyncExitStack) -> World:
    """The adapters of the outside world; closed with `stack`."""
    books = XeroBooks(settings.xero_url, settings.xero_tenant_id, settings.xero_token.get_secret_value())
    sheet = GoogleSheet(settings.sheets_url, settings.sheets_id, settings.sheets_token.get_secret_value())
    chat = LiveChatDesk(settings.livechat_url, settings.livechat_token.get_secret_value())
    board = TeamworkBoard(settings.teamwork_url, settings.teamwork_token.get_secret_value())
    tickets = ZendeskDesk(
        settings.tickets_url,
        settings.tickets_token.get_secret_value(),
        user=settings.tickets_user,
        followers=settings.tickets_followers,
    )
    for client in (books, sheet, chat, board, tickets):
        stack.push_async_callback(client.aclose)
    mailer = SmtpMailer(
        settings.smtp_host,
        settings.smtp_port,
        settings.smtp_user,
        settings.smtp_password.get_secret_value(),
        tls="starttls" if settings.smtp_starttls else "none",
    )
    letters = PostgresLetters(pool, vault, settings)
    return World(
        cases=PostgresCases(pool, vault),
        letters=letters,
        mailer=mailer,
        books=books,
        sheet=sheet,
        chat=chat,
        board=board,
        tickets=tickets,
        linked=linked,
        later=PostgresLater(pool, _directory(settings, pool, vault), quiet=settings.keeps_quiet_hours),
        briefs=PostgresBriefs(pool, vault, settings.page_of),
        channels=open_channels(settings, pool, vault, mailer, stack),
        reached=PostgresPeoplesChannels(pool, vault),
    )


def open_channels(settings: Settings, pool: Pool, vault: Vault, mailer: Mailer, stack: AsyncExitStack) -> Channels:
    """The ways to people (ID-9 to ID-12)."""
    slack = SlackWorkspace(settings.slack_url, settings.slack_token.get_secret_value())
    whatsapp = WhatsAppCloud(
        settings.whatsapp_url, settings.whatsapp_phone_id, settings.whatsapp_token.get_secret_value()
    )
    for client in (slack, whatsapp):
        stack.push_async_callback(client.aclose)
    return Channels(slack, whatsapp, PostgresWindows(pool, vault), mailer)


def _directory(settings: Settings, pool: Pool, vault: Vault) -> PostgresDirectory:
    deciders = Deciders(vault, _trust(settings))
    return PostgresDirectory(pool, Addressee("CommVersion Return Leads", settings.returns_inbox), deciders)


def _trust(settings: Settings) -> Trust:
    return Trust(Keyring(ring_path(settings.keys_dir)), settings.deployment, _local_counts(settings))


async def _pool(settings: Settings, role: Role) -> Pool:
    connecting = partial(database.connect, settings.database_url_for(role), application=f"holdfast-{role}")
    return await patiently("PostgreSQL", connecting, DatabaseGoneError)


def _vault(settings: Settings) -> Vault:
    return Vault(load_master(settings.keys_dir, make=settings.mode == "local"))


def _local_counts(settings: Settings) -> bool:
    """Whether acts signed `auth=local` count: on one machine, where every vendor is a stand-in."""
    return settings.mode == "local" and settings.vendors_are_loopback


@asynccontextmanager
async def sops_worker(settings: Settings, client: Client, *, queue: str = SOPS_QUEUE) -> AsyncGenerator[Worker]:
    """Workflows, `perform` and `record_acts`."""
    async with AsyncExitStack() as stack:
        pool = await _pool(settings, "sops")
        stack.push_async_callback(pool.close)
        vault = _vault(settings)
        ledger = PostgresLedger(pool, vault)
        linked = TemporalLinkedCases(pool, vault, client, settings, queue)
        world = open_world(settings, pool, vault, linked, stack)
        effects = EffectActivities(world, ledger)
        cases = TemporalBooksCases(pool, client, queue, settings.chase_every)
        books_check = BooksCheckActivities(world.books, PostgresPromises(pool), cases)
        sweep = DirectorySweepActivities(TemporalMovements(pool, client))
        digests = DigestActivities(
            PostgresDigests(pool, _directory(settings, pool, vault), settings), ledger, world.mailer, world.letters
        )
        acts = PostgresActs(pool, vault, _trust(settings))
        worker = Worker(
            client,
            task_queue=queue,
            workflows=WORKFLOWS,
            activities=[
                effects.perform,
                ActActivities(acts, ledger, effects).record_acts,
                books_check.check_books,
                sweep.sweep_directory,
                digests.send_digests,
            ],
            graceful_shutdown_timeout=GRACE,
            sticky_queue_schedule_to_start_timeout=timedelta(seconds=2),
        )
        yield await stack.enter_async_context(worker)


@asynccontextmanager
async def money_worker(settings: Settings, client: Client, *, queue: str = SOPS_QUEUE) -> AsyncGenerator[Worker]:
    """The one activity that grants: own role, own keys, own list of who may act for money."""
    async with AsyncExitStack() as stack:
        pool = await _pool(settings, "money")
        stack.push_async_callback(pool.close)
        vault = _vault(settings)
        await sync_money_people(pool, vault, settings)
        gate = PostgresGate(pool, vault, _trust(settings))
        linked = TemporalLinkedCases(pool, vault, client, settings, queue)
        money = MoneyActivities(open_world(settings, pool, vault, linked, stack), gate)
        worker = Worker(
            client, task_queue=money_queue(queue), activities=[money.grant], graceful_shutdown_timeout=GRACE
        )
        yield await stack.enter_async_context(worker)


async def run(settings: Settings, queues: str) -> None:
    """Runs one worker until SIGTERM or SIGINT."""
    port, name = (
        (settings.money_metrics_port, "MONEY_METRICS") if queues == "money" else (settings.metrics_port, "METRICS")
    )
    runtime = metrics_runtime(port, f"HOLDFAST_{name}_PORT", tags={"queues": queues})
    client = await patiently("Temporal", partial(connect, settings, runtime=runtime), RuntimeError)
    stop = asyncio.Event()
    for wanted in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(wanted, stop.set)
    start = partial(money_worker if queues == "money" else sops_worker, settings, client)
    async with start():
        log.info("worker_started", queues=queues, deployment=settings.deployment)
        await stop.wait()
        log.info("worker_stopping", queues=queues)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queues", choices=("sops", "money"), required=True)
    queues = parser.parse_args().queues
    settings = Settings()
    configure_logging(settings.log_format, process=f"worker-{queues}")
    try:
        asyncio.run(run(settings, queues))
    except (HoldfastError, LocalServerError, RuntimeError) as error:
        log.error("worker_failed", error=str(error))  # noqa: TRY400  the message says what to do
        return 1
    finally:
        gc.collect()
    return 0


if __name__ == "__main__":
    sys.exit(main())
