"""A workflow with an import that the plugin does not know."""

import structlog
from temporalio import workflow


@workflow.defn
class Forgetful:
    @workflow.run
    async def run(self) -> str:
        return structlog.__name__
