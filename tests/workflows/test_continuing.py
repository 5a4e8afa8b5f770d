"""Continue-as-new, forced by a server that suggests it after few events: nothing is lost, asked twice or done twice."""

from datetime import timedelta

from domain.messages import ActKind
from tests.agency import Agency, letter
from tests.workflows.test_disputes import AMY, BAD, asked, decides, marks, refused, replies

FOUR = ["L-1001", "L-1002", "L-1003", "L-1004"]


async def runs(agency: Agency, case_id: str) -> list[str]:
    """Run ids of a case, oldest first."""
    found, first = list[str](), agency.handle(case_id)
    run_id = (await first.describe()).raw_description.workflow_execution_info.first_run_id
    while run_id:
        found.append(run_id)
        told = (await agency.client.get_workflow_handle(case_id, run_id=run_id).fetch_history()).to_json_dict()
        last = told["events"][-1]
        run_id = last.get("workflowExecutionContinuedAsNewEventAttributes", {}).get("newExecutionRunId", "")
    return found


async def test_a_whole_case_over_several_runs_does_everything_once(hasty: Agency) -> None:
    case_id = await hasty.receive(letter(", ".join([*FOUR, "L-1005", "L-1006"])))
    await hasty.find(case_id, [*FOUR, "L-1005"], ["L-1006"])
    await hasty.pass_time(case_id, timedelta(hours=50))
    await hasty.sent(case_id, "holding-note/1")
    await hasty.confirm(case_id)
    await hasty.act(case_id, "authorise", ActKind.CLAIM, {}, "P-3")
    await hasty.authorise(case_id)
    outcome = await hasty.closed(case_id)
    assert (outcome.valid, outcome.refused) == (5, 1)
    assert len(hasty.outside.xero.credit_notes) == 1
    assert len(hasty.outside.sheets.rows()) == 5
    asked = await hasty.database.value("SELECT count(*) FROM case_events WHERE kind = 'asked'")
    assert asked == 3
    assert (await hasty.audited()).whole
    chain = await runs(hasty, case_id)
    assert len(chain) >= 3
    await hasty.keep(case_id, "continued-1", chain[1])
    await hasty.keep(case_id, "continued-2", chain[-1])


async def test_a_dispute_over_several_runs_hears_every_reply_once(hasty: Agency) -> None:
    case_id = await refused(hasty, cc=AMY)
    await replies(hasty, "And who looked into it?")
    await marks(hasty, case_id, "other")
    await hasty.answered(case_id)
    await replies(hasty, "I do not agree.")
    await marks(hasty, case_id, "disputes", BAD, step_id="mark.2")
    await hasty.parked(case_id, "dispute")
    await hasty.pass_time(case_id, timedelta(days=3))
    await hasty.chased(case_id, "dispute", 1)
    await replies(hasty, "Are you there?")

    async def told() -> bool:
        return len(asked(hasty, "The client wrote again")) == 1

    await hasty.eventually(told, "the account manager was not told")
    await decides(hasty, case_id, upheld=BAD)
    await hasty.result(case_id)
    assert len(await runs(hasty, case_id)) >= 3
    steps = await hasty.database.fetch("SELECT step_id FROM case_steps WHERE case_id = $1 ORDER BY asked_at", case_id)
    assert [row["step_id"] for row in steps] == ["investigate", "mark", "mark.2", "dispute"]


async def test_what_is_being_mended_goes_on_being_mended_in_the_next_run(hasty: Agency) -> None:
    case_id = await hasty.receive(letter("L-1005"))
    await hasty.parked(case_id, "investigate")
    hasty.outside.sheets.fault("* /", "error_before", times=None)
    await hasty.find(case_id, ["L-1005"])
    await hasty.confirm(case_id)
    await hasty.sent(case_id, "final-action/1")
    await hasty.pass_time(case_id, timedelta(hours=2))
    step = await hasty.parked_at(case_id, "could-not")
    assert len(await runs(hasty, case_id)) >= 2
    hasty.outside.sheets.faults.clear()
    await hasty.act(case_id, step, ActKind.RESEND, {"note_sha256": ""}, "P-1")
    assert (await hasty.result(case_id)).valid == 1
    assert len(hasty.outside.sheets.rows()) == 1
