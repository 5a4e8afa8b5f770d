"""The command line as people use it: its own process, a real agency behind it."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from runtime.processes import free_port
from runtime.settings import Settings
from runtime.temporal_server import TemporalServer
from tests.agency import SALES, Agency, forward, letter
from tests.starter.cli import Said, holdfast

ROOT = Path(__file__).parents[2]


def _write(file: Path, text: str) -> None:
    file.write_text(text)


def _findings(folder: Path) -> Path:
    _write(folder / "chat.txt", "an office supplies pitch")
    table = folder / "findings.csv"
    _write(
        table,
        "lead_id,verdict,reason,text,evidence\n"
        "L-1001,valid,spam,The chat is a sales pitch and no enquiry.,chat.txt\n"
        "L-1005,valid,spam,The chat is a sales pitch and no enquiry.,chat.txt\n"
        "L-1006,not-valid,genuine-enquiry,The caller asked for a quote and was rung back.,\n",
    )
    return table


async def _disputed(
    agency: Agency, case_id: str, run: Callable[..., Coroutine[None, None, Said]], decision: Path
) -> None:
    """The client disagrees about L-1006: marked by the team, decided by his CSM."""
    await agency.answered(case_id)
    reply = letter("", text="I do not agree about L-1006.")
    reply["In-Reply-To"] = str(agency.mails("quote and was rung back")[-1]["Message-ID"])
    await agency.receive(reply)
    await agency.parked(case_id, "mark")
    assert "I do not agree about L-1006." in (await run("step", "show", case_id, "mark")).out
    marked = await run("step", "complete", case_id, "mark", "--mark", "disputes", "--leads", "L-1006", "--as", "P-1")
    assert marked.code == 0, marked.err
    await agency.parked(case_id, "dispute")
    _write(decision, "lead_id,decision,reason,text\nL-1006,maybe,,We listened to the call together again.\n")
    unsure = await run("step", "complete", case_id, "dispute", "--decided", str(decision), "--as", "P-2")
    assert (unsure.code, "overturned or upheld" in unsure.err) == (2, True)
    _write(decision, "lead_id,decision,reason,text\nL-1006,upheld,,We listened to the call together again.\n")
    final = await run("step", "complete", case_id, "dispute", "--decided", str(decision), "--as", "P-2")
    assert final.code == 0, final.err


@pytest.mark.slow
@pytest.mark.clause("RL-15")
async def test_a_case_is_worked_through_from_the_command_line(
    agency: Agency, temporal: TemporalServer, tmp_path: Path
) -> None:
    async def run(*words: str, given: str = "") -> Said:
        return await holdfast(agency.settings, *words, temporal=temporal.address, given=given)

    case_id = await agency.receive(forward(letter("L-1001, L-1005 and L-1006", to=SALES)))
    await agency.parked(case_id, "investigate")
    (step,) = (await run("step", "list", "--json")).data
    assert (step["case_id"], step["step"]["step_id"]) == (case_id, "investigate")
    shown = (await run("step", "show", case_id, "investigate")).out
    assert "please take back L-1001" in shown
    assert f"holdfast step complete {case_id} investigate --findings findings.csv" in shown

    assert (await run("step", "claim", case_id.partition("/")[2], "investigate", "--as", "P-1")).code == 0
    thin = await run(
        "step", "complete", case_id, "investigate", "--lead", "L-1006", "--verdict", "not-valid",
        "--reason", "genuine-enquiry", "--text", "not valid", "--as", "P-1",
    )  # fmt: skip
    assert (thin.code, "detailed reason" in thin.err) == (2, True)

    table = _findings(tmp_path)
    assert (await run("step", "complete", case_id, "investigate", "--findings", str(table), "--as", "P-1")).code == 0
    again = await run("step", "complete", case_id, "investigate", "--findings", str(table), "--as", "P-1")
    assert (again.code, "already done" in again.err) == (2, True)

    await agency.parked(case_id, "confirm")
    declined = await run("step", "complete", case_id, "confirm", "--confirm", "--as", "P-2", given="n\n")
    assert (declined.code, "L-1006\n  The caller asked for a quote" in declined.out) == (2, True)
    assert (await run("step", "complete", case_id, "confirm", "--confirm", "--yes", "--as", "P-2")).code == 0

    await agency.parked(case_id, "authorise")
    barred = await run("step", "complete", case_id, "authorise", "--authorise", "--as", "P-2")
    assert barred.code == 2
    done = await run("step", "complete", case_id, "authorise", "--authorise", "--as", "P-3", "--json")
    assert done.data["state"] == "accepted"

    await _disputed(agency, case_id, run, tmp_path / "decision.csv")
    await agency.result(case_id)

    told = (await run("case", "show", case_id)).out
    for clause in ("RL-3", "RL-4", "RL-6", "RL-7", "RL-8", "RL-11", "RL-12", "RL-13"):
        assert clause in told
    (row,) = (await run("case", "list", "--status", "closed", "--json")).data["rows"]
    assert row["case_id"] == case_id
    assert (await run("audit", "verify", "--json")).data["whole"]


async def test_holds_and_outbound_say_what_they_did_and_wake_what_waited(
    agency: Agency, temporal: TemporalServer
) -> None:
    async def run(*words: str) -> Said:
        return await holdfast(agency.settings, *words, temporal=temporal.address)

    assert (await run("hold", "--all", "--as", "P-4")).code == 0
    case_id = await agency.receive(letter("L-1005"))
    await agency.parked(case_id, "investigate")
    assert (await agency.effects(case_id))["acknowledge/1"] == "prepared"
    assert (await run("resume", "--all", "--json")).data == {"resumed": True, "told": 1}
    await agency.take_in()
    await agency.sent(case_id, "acknowledge/1")
    off = await run("outbound", "set", "off", "--as", "P-4")
    assert "OFF" in off.out
    shown = (await run("outbound", "show", "--json")).data
    assert (shown["outbound"]["mode"], shown["outbound"]["changed_by"], shown["holds"]) == ("off", "P-4", [])
    assert (await run("outbound", "set", "sometimes")).code == 2
    assert "say whom" in (await run("hold")).err


async def test_the_doctor_names_what_fails_in_silence(agency: Agency, temporal: TemporalServer) -> None:
    gone, failing = await agency.receive(letter("L-1005")), await agency.receive(letter("L-1006"))
    await agency.parked(gone, "investigate")
    await agency.parked(failing, "investigate")
    await agency.handle(gone).terminate()
    await agency.database.execute(
        "INSERT INTO effects (key, case_id, kind, clause, gated, body, state)"
        " VALUES ('k', $1, 'nudge', '', false, '{}', 'unknown')",
        failing,
    )
    await agency.database.execute(
        "INSERT INTO inbox (provider, event_id, sha256, state, code)"
        " VALUES ('mail', 'e', '', 'dead', 'another-workflow')"
    )
    said = await holdfast(agency.settings, "doctor", "--json", temporal=temporal.address)
    problems = {one["about"]: one["what"] for one in said.data if one["level"] == "problem"}
    assert said.code == 1
    assert problems["cases"] == f"{gone} is open in the tables, but Temporal says terminated"
    assert "another-workflow" in problems["inbox"]
    assert "nobody knows whether nudge" in problems["effects"]
    silent = [one["what"] for one in said.data if one["about"] == "workers"]
    assert "nobody listens on holdfast for workflows" in silent
    assert "nobody listens on holdfast-door for activities" in silent
    assert (await holdfast(agency.settings, "inbox", "retry", "9999")).code == 2


async def test_a_request_is_opened_from_a_file_and_kept_while_temporal_is_away(agency: Agency, tmp_path: Path) -> None:
    file = tmp_path / "request.csv"
    file.write_text("client_id,lead_id,reference\nC-0001,L-1005,call\nC-0001,L-1006,call\n")
    said = await holdfast(agency.settings, "return-lead", "open", str(file), "--json")
    assert (said.code, said.data["handed_over"]) == (0, False)
    await agency.take_in()
    await agency.parked(said.data["case_id"], "investigate")
    assert len((await agency.view(said.data["case_id"])).steps) == 1


async def test_an_anchor_that_was_tampered_with_is_refused(agency: Agency, tmp_path: Path) -> None:
    anchor = await holdfast(agency.settings, "audit", "anchor")
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(anchor.out)
    bad.write_text(json.dumps(anchor.data | {"seq": anchor.data["seq"] + 1}))
    assert (await holdfast(agency.settings, "audit", "verify", "--anchor", str(good))).code == 0
    refused = await holdfast(agency.settings, "audit", "verify", "--anchor", str(bad))
    assert (refused.code, "not signed by this deployment" in refused.err) == (2, True)


NEEDS_DATABASE = (
    "status",
    "case list",
    "step claim a b --as rita",
    "audit verify",
    "return-lead open samples/request.json",
)


@pytest.mark.parametrize("words", NEEDS_DATABASE)
async def test_without_a_database_every_command_names_what_starts_it(tmp_path: Path, words: str) -> None:
    said = await holdfast(Settings(state_dir=tmp_path, postgres_port=free_port()), *words.split())
    assert (said.code, said.out) == (2, "")
    assert said.err.count("\n") == 1
    assert "`holdfast up`" in said.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("step claim a b", "say who you are"),
        ("step complete a b --as rita", "give exactly one result"),
        ("step complete a b --done --waive --as rita", "give exactly one result"),
        ("return-lead open nothing.json", "can't be read"),
        ("nonsense", "No such command"),
    ],
)
async def test_a_mistake_is_one_clear_line(tmp_path: Path, words: str, told: str) -> None:
    said = await holdfast(Settings(state_dir=tmp_path, postgres_port=free_port()), *words.split())
    assert said.code == 2
    assert told in said.err


async def test_a_setting_that_is_wrong_is_named(tmp_path: Path) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "starter.cli", "status"],
        capture_output=True, text=True, cwd=ROOT, check=False,
        env=os.environ | {"HOLDFAST_XERO_ADDRESS": "https://api.xero.example", "HOLDFAST_STATE_DIR": str(tmp_path)},
    )  # fmt: skip
    assert (done.returncode, "HOLDFAST_XERO_TOKEN is not set" in done.stderr) == (2, True)
