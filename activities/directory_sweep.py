"""`sweep_directory`: open cases are told of who went, left or came back since the last time."""

from temporalio import activity

from activities.beating import beating
from activities.ports import Movements
from domain.directory_sweep import SweepRequest, Swept


class DirectorySweepActivities:
    def __init__(self, movements: Movements) -> None:
        self.movements = movements

    @activity.defn(name="sweep_directory")
    async def sweep_directory(self, _: SweepRequest) -> Swept:
        """Raises what Temporal or the database raise: tried again, and each case hears of a movement once."""
        async with beating():
            return Swept(told=await self.movements.tell())
