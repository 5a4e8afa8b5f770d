"""`holdfast approvals` and `holdfast policy` as people use them: processes of their own, a real agency behind them."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from runtime.temporal_server import TemporalServer
from tests.agency import Agency, letter
from tests.starter.cli import Said, holdfast

LEADS = ["L-1005", "L-1006"]


@pytest.mark.slow
@pytest.mark.clause("RL-14")
async def test_a_return_above_the_limit_is_decided_from_the_command_line(
    agency: Agency, temporal: TemporalServer
) -> None:
    async def run(*words: str, given: str = "") -> Said:
        return await holdfast(agency.settings, *words, temporal=temporal.address, given=given)

    await agency.database.arrived_at("300", *LEADS)
    case_id = await agency.receive(letter(" ".join(LEADS)))
    await agency.find(case_id, LEADS)
    await agency.parked(case_id, "approval")
    (waiting,) = (await run("approvals", "list", "--json")).data
    assert (waiting["case_id"], waiting["step"]["step_id"]) == (case_id, "approval")
    asking = (await run("approvals", "show", case_id, "--json")).data["subject"]["asking"]
    assert (asking["why"], asking["total_gbp"], asking["limit_gbp"]) == ("above-the-limit", "600.00", "500.00")

    barred = await run("approvals", "decide", case_id, "--approve", "--yes", "--as", "P-1")
    assert (barred.code, "not one of those" in barred.err) == (2, True)
    wordless = await run("approvals", "decide", case_id, "--reject", "--yes", "--as", "P-9")
    assert (wordless.code, "reason" in wordless.err) == (2, True)
    undecided = await run("approvals", "decide", case_id, "--approve", "--as", "P-9")
    assert (undecided.code, "GBP 300.00" in undecided.out) == (2, True)
    assert (await run("approvals", "decide", case_id, "--approve", "--yes", "--as", "P-9")).code == 0

    await agency.parked(case_id, "confirm")
    withdrawn = await run("approvals", "decide", case_id, "--withdraw", "--yes", "--as", "P-9", "--json")
    assert withdrawn.data["state"] == "accepted"
    await agency.confirm(case_id)
    await agency.parked(case_id, "approval.2")
    assert (await run("approvals", "decide", case_id, "--approve", "--yes", "--as", "P-9")).code == 0
    await agency.confirm(case_id, step_id="confirm.2")
    assert (await agency.result(case_id)).valid == 2


@pytest.mark.slow
async def test_limits_rates_and_stand_ins_are_set_with_a_signature(
    agency: Agency, temporal: TemporalServer, tmp_path: Path
) -> None:
    async def run(*words: str) -> Said:
        return await holdfast(agency.settings, *words, temporal=temporal.address)

    barred = await run("policy", "set", "approval-limit", "9000", "--as", "P-1")
    assert (barred.code, "approver or a partner" in barred.err) == (2, True)
    assert (await run("policy", "set", "approval-limit", "400.00", "--as", "P-9")).code == 0
    now = cast("datetime", await agency.database.value("SELECT holdfast_now()"))
    first, last = (f"{(now + timedelta(days=n)).date()}" for n in (1, 9))
    assert (await run("policy", "stand-in", "P-4", "P-9", first, last, "2000", "--as", "P-9")).code == 0
    late = await run("policy", "stand-in", "P-4", "P-9", "2020-01-01", last, "2000", "--as", "P-9")
    assert (late.code, "over" in late.err) == (2, True)
    rates = tmp_path / "rates.csv"
    rates.write_text(f"currency,on,gbp\nEUR,{now.date() - timedelta(days=1)},0.8612\n")
    assert (await run("import", "rates", str(rates), "--as", "P-9")).code == 0
    again = await run("import", "rates", str(rates), "--as", "P-9")
    assert (again.code, "newer" in again.err) == (2, True)
    assert (await run("policy", "set", "vat-basis", "without", "--as", "P-9")).code == 0
    prices = tmp_path / "prices.csv"
    prices.write_text("lead_id,price\nL-1005,50.00\n")
    assert (await run("import", "prices", str(prices), "--as", "P-9")).code == 0
    shown = (await run("policy", "show", "--json")).data
    assert shown["settings"][0]["value"]["amount"] == "400.00"
    in_force = {one["name"]: one["value"] for one in reversed(shown["settings"])}
    assert in_force["vat-basis"] == {"vat": "without"}
    kinds = ["prices.set", "policy.set", "rates.import", "standin.set", "policy.set"]
    assert [one["kind"] for one in shown["orders"]] == kinds
