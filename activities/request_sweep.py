"""`sweep_requests`: the door looks at every client's list and at the tickets, in its own process."""

from temporalio import activity

from activities.beating import beating
from activities.ports import Boards
from domain.request_sweep import RequestsSwept, RequestSweepRequest


class RequestSweepActivities:
    def __init__(self, boards: Boards) -> None:
        self.boards = boards

    @activity.defn(name="sweep_requests")
    async def sweep_requests(self, _: RequestSweepRequest) -> RequestsSwept:
        """Raises what the vendors or the database raise: tried again, and nothing is opened or told twice."""
        async with beating():
            return await self.boards.sweep()
