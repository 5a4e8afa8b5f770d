"""The demo's second case: above GBP 500.00, so that nothing is promised before Shobhit Patil has decided (RL-14)."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from temporalio.client import Client

from adapters.postgres.imports import PostgresImports
from domain.case import EventKind
from domain.errors import HoldfastError
from domain.messages import ActKind
from starter.cli_world import Office
from starter.gateway import LocalLogin
from starter.handover import Handover
from starter.imports import import_file
from starter.intake import Door

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
APPROVER, CLOSED_WITHIN = "shobhit", 30.0
FOUND = "The form was filled in by a robot: the same text five times, from one address, within a minute each."
Say = Callable[[str], None]


async def open_large_request(here: Office, client: Client) -> str:
    """Five leads at GBP 110.00, opened by hand; returns the case."""
    await import_file(PostgresImports(here.pool, here.vault), "leads", SAMPLES / "large_leads.csv", "demo")
    door = Door(here.pool, here.vault, here.settings)
    accepted = await door.open_return(json.loads((SAMPLES / "large_request.json").read_text()))
    await Handover(door.intake, client).run_once()
    return accepted.case_id


async def investigated(here: Office, case_id: str) -> None:
    """All five are found valid."""
    leads = json.loads((SAMPLES / "large_request.json").read_text())["leads"]
    rows: list[dict[str, Any]] = [
        {"lead_id": lead, "verdict": "valid", "reason": "spam", "text": FOUND, "evidence": []} for lead in leads
    ]
    answer = await (await here.gateway()).findings(case_id, "investigate", rows, LocalLogin("ivan"))
    _accepted(answer.outcome.accepted, "the findings")


async def forged(here: Office, client: Client, case_id: str, step_id: str = "approval") -> None:
    """An approval in Shobhit's name, sent straight to Temporal, with a signature that is not the gateway's."""
    good = await (await here.gateway()).sign(case_id, step_id, ActKind.APPROVE, {}, LocalLogin(APPROVER))
    false = good.act.model_copy(update={"signature": good.act.signature[::-1]})
    handle = client.get_workflow_handle(case_id)
    await handle.signal("act", false)
    await _until(lambda: _refused_of(handle), "the forged approval was not refused")


async def _refused_of(handle: Any) -> bool:
    return (await handle.query("view"))["refused"] > 0


async def refused(here: Office, case_id: str) -> str:
    """Why, in the words of the case's own record."""
    lines = [line for line in await here.reader.timeline(case_id) if line.kind == EventKind.ACT_REFUSED]
    return lines[-1].text


async def approved(here: Office, case_id: str) -> None:
    """The good one."""
    answer = await (await here.gateway()).complete(case_id, "approval", ActKind.APPROVE, {}, LocalLogin(APPROVER))
    _accepted(answer.outcome.accepted, "the approval")


def _accepted(accepted: bool, what: str) -> None:
    if not accepted:
        raise HoldfastError(f"{what} was not accepted")


async def _until(met: Callable[[], Awaitable[bool]], otherwise: str) -> None:
    end = asyncio.get_running_loop().time() + CLOSED_WITHIN
    while not await met():
        if asyncio.get_running_loop().time() > end:
            raise HoldfastError(otherwise)
        await asyncio.sleep(0.05)
