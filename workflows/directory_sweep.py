"""Absences begin and end by the calendar: once a day, after London's midnight, open cases are told."""

from temporalio import workflow

from activities.directory_sweep import DirectorySweepActivities
from domain.directory_sweep import DIRECTORY_SWEEP, SweepRequest, Swept
from workflows.steps.polling import poll


@workflow.defn(name=DIRECTORY_SWEEP)
class DirectorySweep:
    """Started by a schedule."""

    @workflow.run
    async def run(self, request: SweepRequest) -> Swept:
        return await poll(DirectorySweepActivities.sweep_directory, request, "ID-1 who is here today")
