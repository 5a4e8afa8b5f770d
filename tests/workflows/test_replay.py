"""Recorded histories of every path replay with today's workflows; their commands change only on purpose.

`make histories` records them anew, before the first release. After it, old ones stay and new ones come beside them.
"""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from runtime.plugin import holdfast_plugin
from tests.workflows.commands import commands
from worker import WORKFLOWS

HERE = Path(__file__).parent
FINGERPRINTS = HERE / "fingerprints.json"
RECORDED = sorted((HERE / "histories").glob("*.json"))
PATHS = {
    "four-issued", "unbilled", "refused", "mixed", "all-problems", "take-off", "paid", "approved", "rejected",
    "asked-back", "client-wrote", "declined", "triage", "turned-away", "looked-at", "chased", "holding-note",
    "forged-and-malformed", "failed-effects", "bounced", "held", "claimed-and-moved", "continued-1", "continued-2",
    "cancelled", "accepted", "disputed", "overturned", "linked", "invoiced-on-a-draft", "invoiced-and-credited",
    "unconfirmed-note", "books-check", "passed-on", "request-done", "request-in-teamwork", "request-followed-up",
    "request-routed", "request-estimated", "late-reply", "money-people", "request-sweep",
}  # fmt: skip


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


async def replay(history: dict[str, Any]) -> None:
    """Under its own id: acts are bound to it."""
    replayer = Replayer(workflows=WORKFLOWS, plugins=[holdfast_plugin()])
    workflow_id = history["events"][0]["workflowExecutionStartedEventAttributes"]["workflowId"]
    await replayer.replay_workflow(WorkflowHistory.from_json(workflow_id, history))


def test_every_path_is_recorded() -> None:
    assert {path.stem for path in RECORDED} == PATHS


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
async def test_a_recorded_history_replays(path: Path) -> None:
    await replay(read(path))


async def test_a_broken_history_does_not_replay() -> None:
    """The replay test can fail: an activity that the workflow does not ask for at that point is noticed."""
    broken = copy.deepcopy(read(HERE / "histories" / "four-issued.json"))
    first = next(event for event in broken["events"] if "activityTaskScheduledEventAttributes" in event)
    first["activityTaskScheduledEventAttributes"]["activityType"]["name"] = "grant"
    with pytest.raises(Exception, match=r"[Nn]ondeterminism|does not match"):
        await replay(broken)


def test_the_commands_of_each_path_are_those_written_down() -> None:
    assert {path.stem: commands(read(path)) for path in RECORDED} == read(FINGERPRINTS), (
        "a workflow gives other commands than before: see ARCHITECTURE.md, Changing a workflow"
    )


def main() -> None:
    """Writes the fingerprints of the recorded histories."""
    FINGERPRINTS.write_text(json.dumps({path.stem: commands(read(path)) for path in RECORDED}, indent=1) + "\n")


if __name__ == "__main__":
    main()
