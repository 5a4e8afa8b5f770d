"""`admit`: the door's checks for a case that was started in Temporal itself. Runs in the door's own process."""

from temporalio import activity

from activities.beating import beating
from activities.ports import Openings
from domain.admission import AdmitStart, Admitted
from domain.errors import Refused


class AdmissionActivities:
    """Under the door's database role: the worker of the SOPs can't write what a door writes."""

    def __init__(self, openings: Openings) -> None:
        self.openings = openings

    @activity.defn(name="admit")
    async def admit(self, start: AdmitStart) -> Admitted:
        """Takes the request in as any door does, once. What the door refuses comes back as data."""
        async with beating():
            try:
                return Admitted(request=await self.openings.admit(start.kind, start.workflow_id, start.opening))
            except Refused as error:
                return Admitted(code=error.code, sentence=str(error))
