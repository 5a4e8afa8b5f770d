"""A workflow whose every task fails, as after a careless deployment."""

from temporalio import workflow


@workflow.defn(name="ReturnLead")
class Broken:
    @workflow.run
    async def run(self, request: dict[str, object]) -> None:
        raise KeyError(len(request))
