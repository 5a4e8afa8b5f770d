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
from starter.cli.world import Office
from starter.imports import import_file

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
APPROVER, CLOSED_WITHIN = "shobhit", 30.0
FOUND = "The form was filled in by a robot: the same text five times, from one address, within a minute each."
Say = Callable[[str], None]


async def open_large_request(here: Office) -> str:
    """Five leads at GBP 110.00, opened by hand; returns the case."""
    await import_file(PostgresImports(here.pool, here.vault), "leads", SAMPLES / "large_leads.csv", "demo")
    request = json.loads((SAMPLES / "large_request.json").read_text())
    return (await here.client().start("return-leads", request)).case_id


async def investigated(here: Office, case_id: str) -> None:
    """All five are found valid."""
    leads = json.loads((SAMPLES / "large_request.json").read_text())["leads"]
    rows: list[dict[str, Any]] = [
        {"lead_id": lead, "verdict": "valid", "reason": "spam", "text": FOUND, "evidence": []} for lead in leads
    ]
    done = await here.client("ivan").act(case_id, "investigate", ActKind.FINDINGS, {"findings": rows})
    _accepted(done.state, "the findings")


async def forged(here: Office, client: Client, case_id: str, step_id: str = "approval") -> None:
    """An approval in Shobhit's name, sent straight to Temporal, with a signature that is not the gateway's."""
    good = await here.client(APPROVER).sign(case_id, step_id, ActKind.APPROVE, {})
    false = good.model_copy(update={"signature": good.signature[::-1]})
    handle = client.get_workflow_handle(case_id)
    await handle.signal("act", false)
    await _until(lambda: _refused_of(handle), "the forged approval was not refused")


async def _refused_of(handle: Any) -> bool:
    return (await handle.query("view"))["refused"] > 0


async def refused(here: Office, case_id: str) -> str:
    """Why, in the words of the case's own record."""
    lines = [line for line in await here.client().timeline(case_id) if line.kind == EventKind.ACT_REFUSED]
    return lines[-1].text


async def approved(here: Office, case_id: str) -> None:
    """The good one."""
    done = await here.client(APPROVER).act(case_id, "approval", ActKind.APPROVE, {})
    _accepted(done.state, "the approval")


def _accepted(state: str, what: str) -> None:
    if state != "accepted":
        raise HoldfastError(f"{what} was not accepted")


async def _until(met: Callable[[], Awaitable[bool]], otherwise: str) -> None:
    end = asyncio.get_running_loop().time() + CLOSED_WITHIN
    while not await met():
        if asyncio.get_running_loop().time() > end:
            raise HoldfastError(otherwise)
        await asyncio.sleep(0.05)
