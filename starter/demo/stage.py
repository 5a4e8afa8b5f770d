"""What the demos stand on: servers of their own on free ports, and words for what happens there."""

import asyncio
import shutil
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from rich.text import Text
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import TimeSkipper, TimeSkippingConfig

from adapters.postgres import migrate
from adapters.postgres.audit import verify
from adapters.postgres.imports import PostgresImports
from adapters.postgres.pool import transaction
from domain.errors import HoldfastError
from domain.messages import ActKind
from domain.rules.hours import in_zone
from runtime.local import down, local_services, up
from runtime.processes import free_port
from runtime.settings import Role, Settings
from starter.cli.world import Office, console
from starter.client import every_step
from starter.imports import Kind, import_file

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
STEP_WITHIN = 60.0
OTHER_CLOCK = """\
  Two clocks tell the time here. Steps are asked and due by the case's own, which was moved on above; a star marks what
  was sent or signed: that has this machine's time. The lines stand in the order in which they were written."""

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


def say(words: str) -> None:
    console.print(Text(words))


def headline(words: str) -> None:
    console.print(Text(f"\n{words}", style="bold cyan"))


def quote(text: str, most: int = 4) -> None:
    """What somebody wrote, each line marked as theirs; of a long one the beginning."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    more = [f"... ({len(lines) - most} more lines)"] if len(lines) > most else []
    say("\n".join(f"      | {line}" for line in (*lines[:most], *more)))


def command(words: str) -> None:
    console.print(Text(f"  $ holdfast {words}", style="dim"))


async def bring_in(here: Office, *kinds: Kind) -> None:
    """The samples of these kinds, and says how many of each there are."""
    imports = PostgresImports(here.pool, here.vault)
    for kind in kinds:
        report = await import_file(imports, kind, SAMPLES / f"{kind}.csv", "demo")
        command(f"import {kind} samples/{kind}.csv")
        say(f"    {report.added} new")


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
        applied = asyncio.run(migrate.apply(settings.database_url_for("owner"), passwords))
        say(f"  {migrate.in_words(applied)}")

    services = local_services(settings, time_travel=True)
    try:
        await asyncio.to_thread(up, settings, services, after={"postgres": tables}, say=lambda line: say(f"  {line}"))
        yield
    finally:
        await asyncio.to_thread(down, settings, say=lambda _: None)


async def waits_for(here: Office, case_id: str, step_id: str, chased: int = 0) -> None:
    """Waits until the step is asked (and was chased so often), and says who must act, by when and why then."""
    end = time.monotonic() + STEP_WITHIN
    while True:
        found = [row for row in await every_step(here.client(), case_id=case_id) if row.step.step_id == step_id]
        if found and found[0].step.chased >= chased:
            break
        if time.monotonic() > end:
            raise HoldfastError(f"{case_id} never waited for {step_id}: see .holdfast/demo/logs/worker-sops.log")
        await asyncio.sleep(0.05)
    step, names = found[0].step, await here.client().names()
    reminded = f" (reminded {step.chased}x)" if step.chased else ""
    say(f"  {names.get(step.owner, step.owner)} must act: {step.waiting_for} [{step.step_id}]{reminded}")
    say(f"    by {in_zone(step.deadline.due)}; {step.deadline.why(names=names)}")


async def until(met: Callable[[], Awaitable[bool]], otherwise: str) -> None:
    """Polls until `met`. Raises HoldfastError with `otherwise`."""
    end = time.monotonic() + STEP_WITHIN
    while not await met():
        if time.monotonic() > end:
            raise HoldfastError(otherwise)
        await asyncio.sleep(0.05)


async def signed(here: Office, case_id: str, step_id: str, kind: ActKind, payload: dict[str, Any], who: str) -> None:
    done = await here.client(who).act(case_id, step_id, kind, payload)
    if done.state != "accepted":
        raise HoldfastError(f"{who}'s act was not accepted: {done}")
    say(f"    signed by {who}, checked and stored")


async def fast_forward(client: Client, case_id: str, by: timedelta) -> None:
    """Moves this case's own clock on."""
    config = TimeSkippingConfig(enabled=False, max_session_skip_count=5_000, disable_propagation=True)
    handle: WorkflowHandle[Any, Any] = client.get_workflow_handle(case_id)
    await asyncio.wait_for(TimeSkipper(client, config=config).fast_forward(handle, by), 60)


async def show_audit(here: Office) -> None:
    async with transaction(here.pool, reading=True) as conn:
        report = await verify(conn)
    if not report.whole:
        raise HoldfastError(f"the audit chain is broken: {report.problems}")
    say(f"  {report.count} events in one hash chain, whole; head {report.head.hash[:16]}")


async def play(folder: Path, walk: Callable[[Settings], Awaitable[None]]) -> None:
    """Starts everything, walks, and ends everything."""
    began = time.monotonic()
    settings = demo_settings(folder)
    headline("1. Starting PostgreSQL, Temporal, mail, the vendors' stand-ins and Holdfast's own processes")
    async with everything(settings):
        await walk(settings)
    say(
        f"\nDone in {time.monotonic() - began:.0f} s. Everything that was started has ended; logs are in {folder}/logs."
    )
    say("Go on with `make up`, which starts the same and leaves it running.")
