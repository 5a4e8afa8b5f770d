"""One client, two ways: beside the tables and over HTTP it says the same, and refuses with the same codes."""

import json
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from domain.errors import HoldfastError, Refused
from runtime.processes import free_port
from runtime.settings import Settings
from starter.client import Client, HttpClient, NotReachedError, every_step
from tests.agency import CLIENT
from tests.starter.api.office import ApiOffice
from tests.starter.api.test_cases import opened
from tests.starter.cli import Said, holdfast


async def both(api: ApiOffice) -> tuple[Client, Client]:
    return api.agency.asks("P-1"), await api.client("P-1")


async def code_of(work: Any) -> str:
    try:
        await work
    except Refused as refused:
        return refused.code
    return ""


async def test_both_ways_say_the_same(api: ApiOffice) -> None:
    here, there = await both(api)
    case_id = await opened(api, "L-1001", "L-1002")
    await opened(api, "L-1003")
    assert await here.case(case_id) == await there.case(case_id)
    assert await here.timeline(case_id) == await there.timeline(case_id)
    assert await here.clocks(case_id) == await there.clocks(case_id)
    assert await here.cases(status="open") == await there.cases(status="open")
    assert await here.steps(role="team:return-leads") == await there.steps(role="team:return-leads")
    assert await here.cases(client_id=CLIENT, limit=1) == await there.cases(client_id=CLIENT, limit=1)
    first = await there.cases(limit=1)
    assert (await here.cases(limit=1, cursor=first.cursor)).rows == (
        await there.cases(limit=1, cursor=first.cursor)
    ).rows
    assert await every_step(here) == await every_step(there)
    assert (
        await here.find_case(case_id.partition("/")[2]) == await there.find_case(case_id.partition("/")[2]) == case_id
    )


async def test_both_ways_do_the_same(api: ApiOffice) -> None:
    for client in await both(api):
        case_id = await opened(api, "L-1001")
        done = await client.act(case_id, "investigate", "step.claim", {})
        assert (done.state, done.code) == ("accepted", "")
        assert (await client.steps(owner="P-1")).rows[0].case_id == case_id
        await client.act(case_id, "investigate", "step.release", {})
        await api.agency.database.execute("UPDATE case_leads SET active = false")
        request = {"client_id": CLIENT, "leads": ["L-1009"], "reference": token_hex(4)}
        started = await client.start("return-leads", request, once=token_hex(4))
        again = await client.start("return-leads", request, once=token_hex(4))
        assert (started.repeated, again.repeated, again.case_id) == (False, True, started.case_id)


async def test_both_ways_refuse_the_same(api: ApiOffice) -> None:
    case_id = await opened(api, "L-1001")
    request = {"client_id": CLIENT, "leads": ["L-1001"], "reference": "R"}
    for client in await both(api):
        assert await code_of(client.case("nobody")) == "unknown-case"
        assert await code_of(client.clocks("nobody")) == "unknown-case"
        assert await code_of(client.find_case("nobody")) == "unknown-case"
        assert await code_of(client.cases(cursor="x")) == "bad-cursor"
        assert await code_of(client.act(case_id, "nothing", "step.claim", {})) == "unknown-step"
        assert await code_of(client.act(case_id, "investigate", "step.reassign", {"to": "x"})) == "unknown-assignee"
        assert await code_of(client.start("return-leads", request | {"leads": []}, once="k")) == "bad-request"
        assert await code_of(client.start("return-leads", request | {"client_id": "x"}, once="k")) == "unknown-client"
    _, there = await both(api)
    assert await code_of(there.act(case_id, "investigate", "return.findings", {})) == "money-needs-a-person"


async def test_who_is_not_there_is_told_so(api: ApiOffice) -> None:
    nobody = HttpClient(f"http://127.0.0.1:{free_port()}", "hf_x_y")
    with pytest.raises(NotReachedError, match="can't be reached"):
        await nobody.cases()
    await nobody.close()
    elsewhere = HttpClient(api.agency.settings.xero_url, "hf_x_y")
    with pytest.raises(HoldfastError, match="not as Holdfast does"):
        await elsewhere.cases()
    await elsewhere.close()


async def test_both_ways_show_what_an_act_is_about_and_sign_that_or_nothing(api: ApiOffice) -> None:
    case_id = await opened(api, "L-1001")
    here, there = await both(api)
    shown = await here.show(case_id, "investigate", "step.claim")
    assert await there.show(case_id, "investigate", "step.claim") == shown
    assert (shown.code, shown.subject.step_id, shown.sha256) == ("", "investigate", shown.subject.sha256)
    told = await there.show(case_id, "investigate", "step.waive")
    assert (told.code, bool(told.sentence)) == ("auth-not-allowed", True)
    for client in (here, there):
        other = client.act(case_id, "investigate", "step.claim", {}, shown="0" * 64)
        assert await code_of(other) == "subject-changed"
        assert await code_of(client.show(case_id, "nothing", "step.claim")) == "unknown-step"
        assert await code_of(client.show(case_id, "investigate", "step.dance")) == "unknown-kind"
        assert (await client.act(case_id, "investigate", "step.claim", {}, shown=shown.sha256)).state == "accepted"
        await client.act(case_id, "investigate", "step.release", {})
    assert await code_of(there.show(case_id, "investigate", "return.findings")) == "money-needs-a-person"
    nobody = await api.agency.asks().show(case_id, "investigate", "return.findings")
    assert (nobody.code, nobody.subject.lead_ids) == ("who-are-you", ("L-1001",))


async def test_what_only_a_person_signs_is_not_there_over_http(api: ApiOffice) -> None:
    case_id = await opened(api, "L-1001", "L-1002")
    here, there = await both(api)
    robot = {"verdict": "valid", "reason": "spam", "text": "A robot filled in the form."}
    for method in ("sign", "order", "keep_evidence", "drafted", "put_down", "hand_in"):
        assert not hasattr(there, method)
        assert hasattr(here, method)
    desk = api.agency.asks("P-1")
    assert await desk.put_down(case_id, "investigate", {"lead_id": "L-1001", **robot}) == (1, 2)
    assert await code_of(desk.hand_in(case_id, "investigate")) == "leads-do-not-fit"
    assert await desk.put_down(case_id, "investigate", {"lead_id": "L-1002", **robot}) == (2, 2)
    assert set(await desk.drafted(case_id, "investigate")) == {"L-1001", "L-1002"}
    assert (await desk.hand_in(case_id, "investigate")).state == "accepted"
    assert await desk.drafted(case_id, "investigate") == {}
    assert await code_of(api.agency.asks().hand_in(case_id, "investigate")) == "who-are-you"


# The command line -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_the_command_line_reads_and_acts_over_http(api: ApiOffice, tmp_path: Path) -> None:
    key, case_id = await api.key(), await opened(api, "L-1001")
    nowhere = Settings(state_dir=tmp_path / "x", postgres_port=free_port())
    file = tmp_path / "request.json"
    file.write_text(json.dumps({"client_id": CLIENT, "leads": ["L-1002"], "reference": token_hex(4)}))

    async def run(*words: str) -> Said:
        return await holdfast(nowhere, "--server", api.address, "--api-key", key.token, *words)

    (row,) = (await run("case", "list", "--json")).data["rows"]
    assert row["case_id"] == case_id
    shown = await run("case", "show", case_id.partition("/")[2])
    assert "Who must act" in shown.out
    assert "Asked team:return-leads" in shown.out
    assert (await run("step", "claim", case_id, "investigate")).out.startswith(
        "Done: signed, checked and stored. What comes next: holdfast case show "
    )
    money = await run("step", "complete", case_id, "investigate", "--taken-off", "--note", "x")
    assert (money.code, "person" in money.err) == (2, True)
    assert (await run("case", "start", "return-leads", str(file))).out.startswith("return-lead/")
    assert "--server" in (await run("step", "show", case_id, "investigate")).err
    refused = await holdfast(nowhere, "--server", api.address, "case", "list")
    assert (refused.code, "--api-key" in refused.err) == (2, True)


@pytest.mark.slow
async def test_keys_are_made_listed_rotated_and_revoked_from_the_command_line(api: ApiOffice) -> None:
    async def run(*words: str) -> Said:
        return await holdfast(api.agency.settings, "api-key", *words)

    made = await run("create", "ppc-website", "--department", "team:return-leads", "--scope", "cases:read", "--json")
    token = made.data["token"]
    key = api.with_token(token)
    assert (await key.get("/whoami")).json()["scopes"] == ["cases:read"]
    listed = await run("list")
    assert f"hf_{token.split('_')[1]}_..." in listed.out
    assert token.split("_", 2)[2] not in listed.out
    second = (await run("rotate", "ppc-website", "--as", "otto")).out.split()[0]
    assert (await api.with_token(second).get("/cases")).status_code == 200
    assert (await run("revoke", "_".join(token.split("_")[:2]) + "_...")).code == 0
    assert (await key.get("/cases")).status_code == 401
    assert (await run("create", "money", "--department", "team:accounts")).code == 2
