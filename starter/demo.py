"""`holdfast demo`: one mixed return-lead case from a real e-mail to an authorised credit note, on servers of its own.

Everything is started on free ports with a state folder of its own, and ended again. The 48-hour chase is fast-forwarded
on the real Temporal server: its clock for this one case is moved, nothing waits and nothing is pretended.
"""

import asyncio
import gc
import json
import shutil
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any, cast

import aiosmtplib
import httpx2
from rich.text import Text
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import TimeSkipper, TimeSkippingConfig

from adapters.postgres import migrate
from adapters.postgres import policy as sending
from adapters.postgres.audit import verify
from adapters.postgres.imports import PostgresImports
from adapters.postgres.pool import transaction
from domain.errors import HoldfastError
from domain.messages import ActKind
from runtime.local import down, local_services, up
from runtime.processes import free_port
from runtime.settings import Role, Settings
from starter.cli_cases import print_timeline
from starter.cli_world import Office, console, office
from starter.demo_approval import approved, forged, investigated, open_large_request
from starter.evidence import with_evidence
from starter.findings import parse_findings_csv
from starter.gateway import Answer, LocalLogin
from starter.imports import KINDS, import_file

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
PORTS = (
    "temporal",
    "temporal_ui",
    "postgres",
    "smtp",
    "imap",
    "xero",
    "sheets",
    "livechat",
    "teamwork",
    "tickets",
    "slack",
    "whatsapp",
    "metrics",
    "money_metrics",
    "web",
    "idp",
)
CASE_WITHIN, STEP_WITHIN = 20.0, 30.0
CLIENT = "brightsmile.example"


def say(words: str) -> None:
    console.print(Text(words))


def headline(words: str) -> None:
    console.print(Text(f"\n{words}", style="bold cyan"))


def command(words: str) -> None:
    console.print(Text(f"  $ holdfast {words}", style="dim"))


def demo_settings(folder: Path) -> Settings:
    """Free ports and a fresh folder, so that a running Holdfast is left alone."""
    shutil.rmtree(folder, ignore_errors=True)
    ports = {f"{name}_port": free_port() for name in PORTS}
    return Settings(state_dir=folder, money_people=SAMPLES / "money_people.toml", **cast("Any", ports))


@asynccontextmanager
async def everything(settings: Settings) -> AsyncGenerator[None]:
    """Starts all processes, and ends exactly those, whatever happens in between."""
    passwords: dict[Role, str] = {role: settings.database_password(role) for role in migrate.ROLES}

    def tables() -> None:
        asyncio.run(migrate.apply(settings.database_url_for("owner"), passwords))

    services = local_services(settings, time_travel=True)
    try:
        await asyncio.to_thread(up, settings, services, after={"postgres": tables}, say=lambda line: say(f"  {line}"))
        yield
    finally:
        await asyncio.to_thread(down, settings, say=lambda _: None)


async def prepare(here: Office) -> None:
    """People, clients, leads, and what the books and Live Chat know of them; sending is switched on."""
    imports = PostgresImports(here.pool, here.vault)
    for kind in ("departments", "people", "clients", "leads"):
        assert kind in KINDS
        report = await import_file(imports, kind, SAMPLES / f"{kind}.csv", "demo")
        command(f"import {kind} samples/{kind}.csv")
        say(f"    {report.added} new")
    async with transaction(here.pool) as conn:
        await sending.set_outbound(conn, here.vault, "on", (), "demo")
    async with httpx2.AsyncClient() as http:
        for url, name in ((here.settings.xero_url, "xero"), (here.settings.livechat_url, "livechat")):
            (
                await http.post(f"{url}/_sim/seed", json=_recent(json.loads((SAMPLES / f"{name}.json").read_text())))
            ).raise_for_status()


def _recent(seed: dict[str, Any]) -> dict[str, Any]:
    """The sample invoices, dated the first of this month."""
    for invoice in seed.get("invoices", []):
        invoice["Date"] = datetime.now(UTC).strftime("%Y-%m-01")
    return seed


async def send_request(settings: Settings) -> None:
    """The sample e-mail, by SMTP, from the department that was asked."""
    raw = (SAMPLES / "request.eml").read_bytes()
    mail = message_from_bytes(raw, policy=policy.SMTP)
    sender = "ppc@commversion.com"
    say(f"  {mail['From']} forwards to {mail['To']}: {mail['Subject']}")
    await aiosmtplib.send(
        mail,
        hostname=settings.smtp_host,
        port=settings.smtp_port,
        username=sender,
        password=settings.imap_password.get_secret_value(),
    )


async def the_case(here: Office) -> str:
    """The case that the e-mail opened."""
    end = time.monotonic() + CASE_WITHIN
    while not (rows := (await here.reader.list_cases()).rows):
        if time.monotonic() > end:
            raise HoldfastError("the e-mail did not become a case: see .holdfast/demo/logs/inbox.log")
        await asyncio.sleep(0.1)
    return rows[0].case_id


async def waits_for(here: Office, case_id: str, step_id: str, chased: int = 0) -> None:
    """Waits until the step is asked (and was chased so often), and says who must act, by when and why then."""
    end = time.monotonic() + STEP_WITHIN
    while True:
        found = [row for row in await here.reader.open_steps(case_id=case_id) if row.step.step_id == step_id]
        if found and found[0].step.chased >= chased:
            break
        if time.monotonic() > end:
            raise HoldfastError(f"{case_id} never waited for {step_id}: see .holdfast/demo/logs/worker-sops.log")
        await asyncio.sleep(0.05)
    step = found[0].step
    reminded = f" (reminded {step.chased}x)" if step.chased else ""
    say(f"  {step.owner} must act: {step.waiting_for}{reminded}")
    say(f"    by {step.deadline.due:%a %d %b %Y %H:%M} UTC; {step.deadline.why()}")


async def signed(here: Office, case_id: str, step_id: str, kind: ActKind, payload: dict[str, Any], who: str) -> None:
    gateway = await here.gateway()
    _told(await gateway.complete(case_id, step_id, kind, payload, LocalLogin(who)), who)


def _told(answer: Answer, who: str) -> None:
    if not answer.outcome.accepted:
        raise HoldfastError(f"{who}'s act was not accepted: {answer.outcome}")
    say(f"    signed by {who}, checked and stored")


async def fast_forward(client: Client, case_id: str, by: timedelta) -> None:
    """Moves this case's own clock on."""
    config = TimeSkippingConfig(enabled=False, max_session_skip_count=5_000, disable_propagation=True)
    handle: WorkflowHandle[Any, Any] = client.get_workflow_handle(case_id)
    await asyncio.wait_for(TimeSkipper(client, config=config).fast_forward(handle, by), 60)


async def show_mails(settings: Settings) -> None:
    """What left, as the mail server wrote it down."""
    ledger = settings.state_dir / "mail" / "accepted"
    for path in sorted(ledger.glob("*.eml"))[1:]:
        mail = message_from_bytes(path.read_bytes(), policy=policy.default)
        internal = CLIENT not in f"{mail['To']} {mail['Cc']}"
        to = f"{mail['From']} -> {mail['To']}" + (f", cc {mail['Cc']}" if mail["Cc"] else "")
        if internal:
            say(f"  {mail['Subject']}\n    {to}")
        else:
            say(f"\n  {mail['Subject']}\n    {to}")
            lines = mail.get_content().strip().splitlines()
            say("\n".join(f"    | {line}" for line in lines) + "\n")


async def show_books(settings: Settings) -> None:
    async with httpx2.AsyncClient() as http:
        state = (await http.get(f"{settings.xero_url}/_sim/state")).json()
        sheets = (await http.get(f"{settings.sheets_url}/_sim/state")).json()
    for note in state["CreditNotes"].values():
        say(
            f"  Credit note {note['CreditNoteNumber']} for {note['Reference']}: {note['Status']}, {_gbp(note['Total'])}"
        )
        for line in note["LineItems"]:
            say(f"    {line['Description']}: {_gbp(line['LineAmount'])} + VAT {_gbp(line['TaxAmount'])}")
    say("  RL tracking sheet:")
    for row in sheets["spreadsheets"][settings.sheets_id]["RL"]:
        say(f"    {' | '.join(row[1:])}")


def _gbp(amount: object) -> str:
    return f"GBP {Decimal(str(amount)):.2f}"


async def show_audit(here: Office) -> None:
    async with transaction(here.pool, reading=True) as conn:
        report = await verify(conn)
    if not report.whole:
        raise HoldfastError(f"the audit chain is broken: {report.problems}")
    say(f"  {report.count} events in one hash chain, whole; head {report.head.hash[:16]}")


async def answered(client: Client, case_id: str) -> None:
    """Waits until the answer is out and the case waits for a reply."""
    end, handle = time.monotonic() + STEP_WITHIN, client.get_workflow_handle(case_id)
    while "dispute-window" not in await handle.query("clock"):
        if time.monotonic() > end:
            raise HoldfastError(f"{case_id} was never answered: see .holdfast/demo/logs/worker-sops.log")
        await asyncio.sleep(0.05)
    say(f"  {(await handle.query('view'))['doing']}")


async def settled(here: Office, client: Client, case_id: str) -> None:
    """The case walks the SOP: chased, investigated, confirmed, credited, answered, closed."""
    headline("4. Nobody does it for two days: fast-forwarded on the real server")
    await fast_forward(client, case_id, timedelta(hours=48, minutes=1))
    await waits_for(here, case_id, "investigate", chased=1)
    headline("5. The Return Lead Team investigates, lead by lead (RL-4)")
    gateway = await here.gateway()
    command(f"step claim {case_id} investigate --as ivan")
    _told(await gateway.claim(case_id, "investigate", LocalLogin("ivan")), "ivan")
    command(f"step complete {case_id} investigate --findings samples/findings.csv --as ivan")
    listed = parse_findings_csv((SAMPLES / "findings.csv").read_bytes())
    found = await with_evidence(gateway, (case_id, "investigate"), listed, SAMPLES, LocalLogin("ivan"))
    _told(await gateway.findings(case_id, "investigate", found, LocalLogin("ivan")), "ivan")
    await waits_for(here, case_id, "confirm")
    headline("6. A named team member confirms the settlement and the reply (RL-12, RL-13)")
    preview = await here.letters.preview(case_id)
    command(f"step complete {case_id} confirm --confirm --as maya")
    await signed(here, case_id, "confirm", ActKind.CONFIRM, {"preview_sha256": preview.sha256}, "maya")
    await waits_for(here, case_id, "authorise")
    headline("7. Accounts authorise the credit note by their own signed act (RL-12)")
    command(f"step complete {case_id} authorise --authorise --as nora")
    await signed(here, case_id, "authorise", ActKind.AUTHORISE, {}, "nora")
    headline("8. The client may disagree about what was refused; no reply for 14 days closes the case (RL-10)")
    await answered(client, case_id)
    await fast_forward(client, case_id, timedelta(days=14, minutes=1))
    outcome = await asyncio.wait_for(client.get_workflow_handle(case_id).result(), STEP_WITHIN)
    say(f"  closed: {outcome['valid']} leads returned, {outcome['refused']} not")


async def above_the_limit(here: Office, client: Client) -> None:
    """A forged approval, silence, and the good one."""
    headline("9. Above GBP 500.00: nothing is promised before Shobhit Patil decides (RL-14)")
    command("import leads samples/large_leads.csv")
    command("return-lead open samples/large_request.json")
    case_id = await open_large_request(here, client)
    await waits_for(here, case_id, "investigate")
    await investigated(here, case_id)
    await waits_for(here, case_id, "approval")
    say("\n  An approval in his name, sent straight to Temporal, with a signature that is not the gateway's:")
    await forged(here, client, case_id)
    say("    refused, and the case goes on waiting")
    say("\n  Two days pass; silence decides nothing:")
    await fast_forward(client, case_id, timedelta(hours=48, minutes=1))
    await waits_for(here, case_id, "approval", chased=1)
    command(f"approvals decide {case_id} --approve --as shobhit")
    await approved(here, case_id)
    say("    signed by shobhit, checked and stored")
    await waits_for(here, case_id, "confirm")
    command(f"step complete {case_id} confirm --confirm --as maya")
    preview = await here.letters.preview(case_id)
    await signed(here, case_id, "confirm", ActKind.CONFIRM, {"preview_sha256": preview.sha256}, "maya")
    outcome = await asyncio.wait_for(client.get_workflow_handle(case_id).result(), STEP_WITHIN)
    say(f"  closed: {outcome['valid']} leads returned, {outcome['refused']} not")


async def walk(settings: Settings) -> None:
    async with office(settings) as here:
        headline("2. The agency: people, clients, leads, books")
        await prepare(here)
        headline("3. A client's request arrives by e-mail (RL-1 to RL-3)")
        await send_request(settings)
        case_id = await the_case(here)
        say(f"  opened {case_id}: http://127.0.0.1:{settings.temporal_ui_port} shows it while this runs")
        await waits_for(here, case_id, "investigate")
        client = await here.temporal()
        await settled(here, client, case_id)
        await above_the_limit(here, client)
        headline("10. What happened in the first case, by clause (RL-15)")
        say("  (After the fast-forward the case's own clock is 16 days ahead of this machine's.)")
        print_timeline(await here.reader.timeline(case_id))
        headline("11. The e-mails")
        await show_mails(settings)
        headline("12. The books, the sheet and the audit trail")
        await show_books(settings)
        await show_audit(here)


async def demo(folder: Path) -> None:
    began = time.monotonic()
    settings = demo_settings(folder)
    headline("1. Starting PostgreSQL, Temporal, mail, the vendors' stand-ins and Holdfast's own processes")
    async with everything(settings):
        await walk(settings)
    say(
        f"\nDone in {time.monotonic() - began:.0f} s. Everything that was started has ended; logs are in {folder}/logs."
    )
    say("Go on with `make up`, which starts the same and leaves it running.")


def main(folder: Path = Path(".holdfast/demo")) -> None:
    """Raises HoldfastError, LocalServerError."""
    try:
        asyncio.run(demo(folder))
    finally:
        gc.collect()


if __name__ == "__main__":
    main()
