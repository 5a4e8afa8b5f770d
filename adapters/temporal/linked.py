"""Cases that follow from another one: the tables first, then the workflow, each found again when it is asked anew."""

from collections.abc import Sequence

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from adapters.postgres.calendars import snapshot, targets
from adapters.postgres.crypto import Vault
from adapters.postgres.linked import link_overturned, link_request
from adapters.postgres.pool import Pool, transaction
from adapters.postgres.starts import stamped_once
from adapters.postgres.texts import keep_texts
from adapters.temporal.starting import RPC_TIMEOUT, AnotherWorkflowError, start_case
from domain import ids
from domain.department_request import DEPARTMENT_REQUEST, DepartmentAsk, Source
from domain.effects import OpenRequest
from domain.errors import Permanent, Retryable
from domain.intake import RETURN_LEAD, Start, return_summary, start_of
from domain.mail import Words
from domain.messages import Fact, FactKind
from domain.people import Role
from domain.return_lead import ReturnRequest
from domain.rules.clock import TargetName
from runtime.settings import Settings

_VENDOR = "temporal"


class TemporalLinkedCases:
    """activities.ports.LinkedCases."""

    def __init__(self, pool: Pool, vault: Vault, client: Client, settings: Settings, queue: str) -> None:
        self._pool, self._vault, self._client, self._settings, self._queue = pool, vault, client, settings, queue

    async def open(self, case_id: str, key: str, lead_ids: Sequence[str]) -> str:
        linked = ids.overturned_case(case_id, key)
        async with transaction(self._pool) as conn:
            client_id, claims = await link_overturned(conn, case_id, linked, lead_ids)
            request = ReturnRequest(
                case_id=linked,
                client_id=client_id,
                chase_every=self._settings.chase_every,
                holding_after=self._settings.holding_after,
                dispute_window=self._settings.dispute_window,
                claims=claims,
                linked_to=case_id,
                calendar=await snapshot(conn, Role.RETURN_LEADS),
                targets=await targets(conn, *TargetName),
            )
            request = await stamped_once(conn, request)
        await self._start(start_of(RETURN_LEAD, request, return_summary(request)))
        return linked

    async def opened(self, case_id: str, key: str) -> str:
        return await self._running(ids.overturned_case(case_id, key))

    async def ask(self, case_id: str, effect: OpenRequest, words: Words) -> str:
        linked = ids.asked_case(case_id, effect.key)
        async with transaction(self._pool) as conn:
            opener = await link_request(conn, case_id, linked, effect)
            title, details = await keep_texts(conn, self._vault, opener.client_id, (words.subject, words.text))
            request = DepartmentAsk(
                case_id=linked,
                client_id=opener.client_id,
                chase_every=self._settings.chase_every,
                department=effect.department,
                topic=effect.topic,
                source=Source.CASE,
                title_sha256=title,
                details_sha256=details,
                due_after=effect.due_after,
                first_chase=effect.first_chase,
                linked_to=case_id,
                linked_workflow_id=opener.workflow_id,
                opened_by=f"the case {case_id}",
                calendar=await snapshot(conn, f"team:{effect.department}"),
                targets=await targets(conn, *TargetName),
            )
            request = await stamped_once(conn, request)
        await self._start(start_of(DEPARTMENT_REQUEST, request, f"ID-3 request to {effect.department} for {case_id}"))
        return linked

    async def asked(self, case_id: str, key: str) -> str:
        return await self._running(ids.asked_case(case_id, key))

    async def report(self, workflow_id: str, case_id: str, key: str) -> str:
        fact = Fact(event_id=f"linked:{key}", kind=FactKind.LINKED, reference=case_id)
        try:
            await self._client.get_workflow_handle(workflow_id).signal("event", fact, rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND and "namespace" not in error.message.lower():
                return "ended"
            raise _later(error) from None
        return "told"

    async def _start(self, start: Start) -> None:
        try:
            await start_case(self._client, start, self._queue, self._settings.page_of(start.case_id))
        except AnotherWorkflowError:
            raise Permanent(_VENDOR, "another-workflow", "the linked case's id belongs to another workflow") from None
        except (RPCError, RuntimeError) as error:  # RuntimeError: the SDK's, when a first connection fails
            raise _later(error) from None

    async def _running(self, linked: str) -> str:
        """The id, "" if it has no workflow."""
        handle = self._client.get_workflow_handle(ids.workflow_id(linked))
        try:
            await handle.describe(rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND and "namespace" not in error.message.lower():
                return ""
            raise _later(error) from None
        return linked


def _later(error: RPCError | RuntimeError) -> Retryable:
    """Starting twice is starting once, so whatever Temporal answered may be asked again."""
    code = error.status.name.lower().replace("_", "-") if isinstance(error, RPCError) else "not-connected"
    return Retryable(_VENDOR, code, "the linked case could not be started")
