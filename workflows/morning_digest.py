"""What can wait is told in the morning: each person gets one digest a day, as their working day begins."""

from temporalio import workflow

from activities.digest import DigestActivities
from domain.digest import MORNING_DIGEST, Digested, DigestRequest
from workflows.steps.polling import poll


@workflow.defn(name=MORNING_DIGEST)
class MorningDigest:
    """Started by a schedule, every quarter of an hour: mornings come at different times."""

    @workflow.run
    async def run(self, request: DigestRequest) -> Digested:
        return await poll(DigestActivities.send_digests, request, "ID-3 the morning's digests")
