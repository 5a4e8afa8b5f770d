"""`holdfast request open` and what people say in its steps, on the command line, with a real agency behind it."""

import pytest
import pytest_asyncio

from runtime.local import environment
from runtime.temporal_server import TemporalServer
from tests.agency import CLIENT, Agency
from tests.standing import STRETCHES, stood_still
from tests.starter.cli import Run, in_process
from tests.workflows.desk import LIST, Desk, furnish


@pytest_asyncio.fixture
async def desk(agency: Agency) -> Desk:
    return await furnish(agency)


@pytest.fixture
def run(agency: Agency, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Temporal is out of this command's reach: what it opened is handed over by the inbox, on the agency's queue."""
    for name, value in (environment(agency.settings) | {"TEMPORAL_ADDRESS": "127.0.0.1:1"}).items():
        monkeypatch.setenv(name, value)

    return in_process


@pytest.mark.clause("ID-3")
async def test_a_request_is_opened_routed_estimated_and_done(
    desk: Desk, run: Run, temporal: TemporalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.agency.outside.teamwork.edit(op="create", tasklistId=int(LIST), name="Broken form")
    task = str(desk.tasks()[0]["id"])
    asked = (
        "request",
        "open",
        "--task",
        task,
        "--client",
        CLIENT,
        "--unsure",
        "--reference",
        desk.reference,
        "--json",
        "--as",
        "otto",
    )
    opened = await run(*asked)
    assert (opened.code, opened.data["kind"], opened.data["handed_over"]) == (0, "DepartmentRequest", False)
    case = opened.data["case_id"]
    assert (await run(*asked)).data["repeated"] is True
    query = "SELECT request ->> 'opened_by' FROM cases WHERE case_id = $1"
    assert await desk.agency.database.value(query, case) == "otto (local)"
    await desk.agency.take_in()
    await desk.agency.parked(case, "route")
    monkeypatch.setenv("TEMPORAL_ADDRESS", temporal.address)
    assert (await run("step", "complete", case, "route", "--department", "ppc", "--as", "cleo")).out.startswith(
        "Done: signed, checked and stored. What comes next: holdfast case show "
    )
    await desk.agency.parked(case, "estimate")
    assert (await run("step", "complete", case, "estimate", "--hours", "192", "--as", "pete")).code == 0
    await desk.agency.sent(case, "assign-task/estimated")
    await desk.agency.parked(case, "process")
    done = await run("step", "complete", case, "process", "--done", "--note", "It works again.", "--as", "barb")
    assert done.code == 0, done.err
    assert (await desk.result(case)).by == "barb"


async def test_a_case_shows_every_stretch_of_its_deadline_and_they_add_up(desk: Desk, run: Run) -> None:
    case_id = await desk.open()
    await desk.agency.parked(case_id, "process")
    await stood_still(desk.agency, case_id, "ticket 77")
    told = " ".join((await run("case", "show", case_id)).out.split())
    for stretch in STRETCHES:
        assert stretch.format(who="ticket 77") in told


async def test_a_request_that_makes_no_sense_is_one_clear_line(desk: Desk, run: Run) -> None:
    for words, said in (
        (("ppc", "--title", "x", "--on", "soon"), "soon is not a day such as 2026-12-04"),
        (("nobody", "--title", "x"), "there is no department nobody"),
        (("ppc",), "a request needs a title"),
    ):
        answer = await run("request", "open", *words)
        assert (answer.code, said in answer.err) == (2, True), answer
    assert await desk.agency.database.value("SELECT count(*) FROM cases") == 0
