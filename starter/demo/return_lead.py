"""`holdfast demo`: one mixed return-lead case from a real e-mail to an authorised credit note, on servers of its own.

Everything is started on free ports with a state folder of its own, and ended again. The 48-hour chase is fast-forwarded
on the real Temporal server: its clock for this one case is moved, nothing waits and nothing is pretended.
"""

import asyncio
import gc
import json
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import aiosmtplib
import httpx2
from temporalio.client import Client

from adapters.postgres import policy as sending
from adapters.postgres.pool import transaction
from domain.errors import HoldfastError
from domain.messages import ActKind
from runtime.settings import Settings
from starter.cli.cases import print_timeline
from starter.cli.world import Office, office
from starter.demo import department_request as demo_request
from starter.demo.approval import approved, forged, investigated, open_large_request, refused
from starter.demo.stage import (
    OTHER_CLOCK,
    SAMPLES,
    STEP_WITHIN,
    bring_in,
    command,
    fast_forward,
    headline,
    play,
    say,
    show_audit,
    signed,
    waits_for,
)
from starter.evidence import with_evidence
from starter.findings import parse_findings_csv

CASE_WITHIN = 20.0
CLIENT = "brightsmile.example"


async def prepare(here: Office) -> None:
    """People, clients, leads, and what the books and Live Chat know of them; sending is switched on."""
    await bring_in(here, "departments", "people", "clients", "leads")
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
    while not (rows := (await here.client().cases()).rows):
        if time.monotonic() > end:
            raise HoldfastError("the e-mail did not become a case: see .holdfast/demo/logs/inbox.log")
        await asyncio.sleep(0.1)
    return rows[0].case_id


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
    command(f"step claim {case_id} investigate --as ivan")
    await signed(here, case_id, "investigate", ActKind.CLAIM, {}, "ivan")
    command(f"step complete {case_id} investigate --findings samples/findings.csv --as ivan")
    listed = parse_findings_csv((SAMPLES / "findings.csv").read_bytes())
    found = await with_evidence(here.client("ivan"), (case_id, "investigate"), listed, SAMPLES)
    await signed(here, case_id, "investigate", ActKind.FINDINGS, {"findings": found}, "ivan")
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
    case_id = await open_large_request(here)
    await waits_for(here, case_id, "investigate")
    await investigated(here, case_id)
    await waits_for(here, case_id, "approval")
    say("\n  An approval in his name, sent straight to Temporal, with a signature that is not the gateway's:")
    await forged(here, client, case_id)
    refusal = await refused(here, case_id)
    say(f"    refused, and the case goes on waiting. On record is why: {refusal}")
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
    say("\n  All that was asked of him, and all that came in his name:")
    asked = [line for line in await here.client().timeline(case_id) if line.clause == "RL-14"]
    print_timeline(asked, await here.client().names(), moved=True)


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
        say(OTHER_CLOCK)
        print_timeline(await here.client().timeline(case_id), await here.client().names(), moved=True)
        headline("11. The e-mails")
        await show_mails(settings)
        headline("12. The books, the sheet and the audit trail")
        await show_books(settings)
        await show_audit(here)


WALKS = {"return-lead": walk, "department-request": demo_request.walk}


def main(sop: str = "return-lead", folder: Path = Path(".holdfast/demo")) -> None:
    """Raises HoldfastError, LocalServerError."""
    try:
        asyncio.run(play(folder, WALKS[sop]))
    finally:
        gc.collect()


if __name__ == "__main__":
    main()
