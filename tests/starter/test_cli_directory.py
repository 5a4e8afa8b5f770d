"""`holdfast directory`, `holdfast people` and `holdfast reassign`, with a real agency behind them."""

import json
from datetime import date, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from domain.messages import ActKind
from runtime.local import environment
from runtime.temporal_server import TemporalServer
from tests.agency import Agency, letter
from tests.starter.cli import Run, in_process

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture
def run(agency: Agency, temporal: TemporalServer, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in this process, which is quicker than one of its own."""
    for name, value in (environment(agency.settings) | {"TEMPORAL_ADDRESS": temporal.address}).items():
        monkeypatch.setenv(name, value)

    return in_process


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """The sample's people, but for the approver, who is of the agency already."""
    lines = (SAMPLES / "people.csv").read_text().splitlines()
    file = tmp_path / "people.csv"
    file.write_text("\n".join(line for line in lines if not line.startswith("shobhit")) + "\n")
    return file


@pytest.mark.clause("ID-1", "ID-2")
async def test_the_directory_is_brought_in_shown_changed_and_confirmed(run: Run, people: Path) -> None:
    assert (await run("import", "people", str(people))).code == 0
    taken = await run("directory", "import", str(SAMPLES / "directory.csv"), "--as", "nicole")
    assert taken.out == "directory: 12 new, 0 changed, 0 as before\n"
    await run("import", "pairs", str(SAMPLES / "pairs.csv"))
    shown = await run("directory", "show")
    assert [line.split()[0] for line in shown.out.splitlines()[1:13]] == [
        "google-local", "content", "dlf", "ppc", "lss", "website", "reputation-marketing", "intake-and-operations",
        "agency-services-manager", "andy", "sales", "social-media",
    ]  # fmt: skip
    assert "al (operational), cath (client)" in shown.out
    assert "cath is the CSS of andy" in shown.out
    (sales,) = (await run("directory", "show", "sales", "--json")).data["departments"]
    assert (sales["contacts"], sales["principal"]) == (["ada", "cristianna"], "josh")
    tomorrow = (date.today() + timedelta(days=2)).isoformat()  # noqa: DTZ011 - a day well ahead
    change = ("directory", "set", "content", "--contact", "barb", "--since", tomorrow, "--as", "nicole", "--json")
    assert [(await run(*change)).data["changed"] for _ in "12"] == [True, False]
    assert (await run("directory", "show", "content", "--json")).data["departments"][0]["contacts"] == ["zane"]
    (then,) = (await run("directory", "show", "content", "--on", tomorrow, "--json")).data["departments"]
    assert (then["contacts"], then["manager"], then["set_by"]) == (["barb"], "rosa", "nicole")
    assert (await run("directory", "confirm", "--as", "nicole")).out == "12 departments confirmed\n"
    wrong = await run("directory", "set", "content", "--contact", "nobody")
    assert (wrong.code, "there is no person nobody" in wrong.err) == (2, True)
    assert (await run("directory", "show", "unheard-of")).code == 2


async def test_whoever_the_directory_names_and_who_is_not_here_is_said_at_once(run: Run, people: Path) -> None:
    await run("import", "people", str(people))
    await run("import", "directory", str(SAMPLES / "directory.csv"))
    today = date.today().isoformat()  # noqa: DTZ011 - the machine's day is London's in November
    away = await run("people", "absent", "trisha", "--from", today, "--to", today)
    assert "nobody stands in" in away.out
    assert "none of the contacts of dlf is here today: nicole is asked" in away.err
    assert "none of the contacts of dlf is here today" in (await run("directory", "show", "dlf")).err
    assert "dlf is here today" in (await run("status")).out
    left = await run("people", "leave", "zane", "--json")
    assert (left.code, "say who takes over with --to PERSON" in left.err) == (2, True)
    passed = await run("people", "leave", "zane", "--to", "barb")
    assert "departments to barb: content" in passed.out
    assert (await run("people", "back", "trisha")).out == "trisha is back\n"
    assert (await run("people", "away")).out == "Nobody is away.\n"


async def test_all_open_steps_of_one_person_are_given_to_another_by_signed_acts(agency: Agency, run: Run) -> None:
    cases = [await agency.open_return(lead, reference=f"R-{uuid4()}") for lead in ("L-1005", "L-1006", "L-1007")]
    await agency.database.execute("UPDATE memberships SET manager = true WHERE person_id = 'P-2'")
    await agency.database.execute("INSERT INTO memberships VALUES ('P-4', 'team:return-leads')")
    for case_id in cases:
        await agency.parked(case_id, "investigate")
        await agency.act(case_id, "investigate", ActKind.CLAIM, {}, "P-1")
        await _is_s(agency, case_id, "P-1")
    command = ("reassign", "--from", "P-1", "--to", "P-4")
    assert (await run(*command)).code == 2  # it is not said who does it
    foreseen = await run(*command, "--dry-run", "--as", "P-2")
    assert foreseen.out.endswith("3 of 3 open steps of P-1 would be given to P-4\n")
    stranger = await run(*command, "--as", "P-3", "--json")
    assert (stranger.code, [one["state"] for one in stranger.data["steps"]]) == (2, ["refused"] * 3)
    one = await run(*command, "--case", cases[0], "--as", "P-1", "--json")
    assert [(step["case_id"], step["state"]) for step in one.data["steps"]] == [(cases[0], "accepted")]
    rest = await run(*command, "--as", "P-2")
    assert rest.out.endswith("2 of 2 open steps of P-1 were given to P-4\n")
    for case_id in cases:
        await _is_s(agency, case_id, "P-4")
        query = "SELECT count(*) FROM acts WHERE case_id = $1 AND kind = 'step.reassign'"
        assert await agency.database.value(query, case_id) == 1
    again = await run(*command, "--as", "P-2")
    assert (again.code, again.out) == (0, "0 of 0 open steps of P-1 were given to P-4\n")


async def _is_s(agency: Agency, case_id: str, person: str) -> None:
    async def there() -> bool:
        return await agency.database.value("SELECT owner FROM case_steps WHERE case_id = $1", case_id) == person

    await agency.eventually(there, f"{case_id} is not {person}'s")


async def test_an_import_does_not_touch_who_acts_for_money(agency: Agency, run: Run, tmp_path: Path) -> None:
    """Neither the approver's identity, name or address nor those of Accounts; nor anybody's new role about money."""
    everything = "SELECT * FROM people ORDER BY person_id", "SELECT * FROM money_people ORDER BY role, sub"
    before = [await agency.database.fetch(query) for query in everything]
    heading, file = "person_id,name,email,issuer,sub,roles\n", tmp_path / "people.csv"
    for row, told in (
        ("P-9,Shobhit Patil,shobhit.patil@commversion.com,local,P-77,", "a person's identity can't be changed"),
        ("P-9,Shobhit Patil,omar@evil.example,local,shobhit.patil,", "P-9 acts for money"),
        ("P-3,Omar Ali,ana@commversion.com,local,P-3,", "P-3 acts for money"),
        ("P-7,Eve,eve@commversion.com,local,shobhit.patil,", "e-mail or identity belongs to P-9"),
        ("P-4,Omar Ali,omar@commversion.com,local,P-4,role:approver", "role:approver can't be given by an import"),
    ):
        file.write_text(f"{heading}P-8,New,new@commversion.com,local,P-8,\n{row}\n")
        said = await run("import", "people", str(file))
        assert (said.code, told in said.err) == (2, True), said
    assert [await agency.database.fetch(query) for query in everything] == before


async def test_a_signed_act_is_printed_and_may_be_brought_by_anybody(agency: Agency, run: Run) -> None:
    """`holdfast act sign`: the argument of the signal `act`, as it may be pasted into Temporal's own UI."""
    await agency.database.arrived_at("300.00", "L-1005", "L-1006")
    case_id = await agency.receive(letter("L-1005, L-1006"))
    await agency.find(case_id, ["L-1005", "L-1006"])
    await agency.parked(case_id, "approval")
    words = ("act", "sign", case_id, "approval", "return.approve")
    barred = await run(*words, "--as", "P-1")
    assert (barred.code, "not one of those" in barred.err) == (2, True)
    signed = await run(*words, "--as", "P-9")
    assert signed.code == 0, signed.err
    act = json.loads(signed.out)
    await agency.handle(case_id).signal("act", act | {"payload": '{"reason_sha256":"' + "0" * 64 + '"}'})
    await agency.refused(case_id, "payload-changed")
    await agency.handle(case_id).signal("act", act)
    await agency.parked(case_id, "confirm")
