"""The door's own worker: what has to be done under the door's database role, on its own task queue."""

from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Worker

from activities.admission import AdmissionActivities
from activities.ports import Boards
from activities.request_sweep import RequestSweepActivities
from adapters.postgres.crypto import Vault
from adapters.postgres.pool import Pool
from domain.ids import SOPS_QUEUE, door_queue
from runtime.settings import Settings
from starter.admission import StartedInTemporal

GRACE = timedelta(seconds=30)


def door_worker(
    client: Client, pool: Pool, vault: Vault, settings: Settings, boards: Boards, *, queue: str = SOPS_QUEUE
) -> Worker:
    """`client` must be connected. An async context manager: it works as long as that is open."""
    admission = AdmissionActivities(StartedInTemporal(pool, vault, settings))
    sweep = RequestSweepActivities(boards)
    return Worker(
        client,
        task_queue=door_queue(queue),
        activities=[admission.admit, sweep.sweep_requests],
        graceful_shutdown_timeout=GRACE,
    )
