"""The Temporal namespace of Holdfast: how long it keeps closed cases, and what they are found by.

`python -m runtime.namespace` makes it at the server that the environment names; run again, it changes nothing.
"""

import asyncio
import gc
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    RegisterNamespaceRequest,
    UpdateNamespaceRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from runtime.connect import connect
from runtime.settings import Settings

SEARCH_ATTRIBUTES: Mapping[str, str] = {
    "CaseKind": "Keyword",
    "CaseStatus": "Keyword",
    "Owner": "Keyword",
    "WaitingFor": "Keyword",
    "DueAt": "Datetime",
    "ClientId": "Keyword",
}
"""What cases are found by in the Temporal UI. They are not encrypted: ids and enums only."""

RETENTION = timedelta(days=30)
"""How long Temporal keeps closed cases; its ids are free again after that."""

_KNOWN_EVERYWHERE = timedelta(seconds=60)


async def ensure_namespace(client: Client) -> None:
    """Sets the retention of the client's namespace and adds the search attributes it lacks. Raises RPCError."""
    namespace = client.namespace
    described = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=namespace))
    if described.config.workflow_execution_retention_ttl != _retention():
        config = NamespaceConfig(workflow_execution_retention_ttl=_retention())
        await client.workflow_service.update_namespace(UpdateNamespaceRequest(namespace=namespace, config=config))
    known = await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace=namespace))
    missing = {
        name: IndexedValueType.Value(f"INDEXED_VALUE_TYPE_{kind.upper()}")
        for name, kind in SEARCH_ATTRIBUTES.items()
        if name not in known.custom_attributes
    }
    if missing:
        wanted = AddSearchAttributesRequest(namespace=namespace, search_attributes=missing)
        await client.operator_service.add_search_attributes(wanted)


async def create_namespace(client: Client) -> None:
    """Makes the client's namespace if it is not there, and waits until the whole server knows it."""
    wanted = RegisterNamespaceRequest(namespace=client.namespace, workflow_execution_retention_period=_retention())
    try:
        await client.workflow_service.register_namespace(wanted)
    except RPCError as error:
        if error.status != RPCStatusCode.ALREADY_EXISTS:
            raise
    async with asyncio.timeout(_KNOWN_EVERYWHERE.total_seconds()):
        while not await _is_known(client):  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0.5)
    await ensure_namespace(client)


async def _is_known(client: Client) -> bool:
    with suppress(RPCError):
        await client.count_workflows()
        return True
    return False


def _retention() -> Duration:
    kept = Duration()
    kept.FromTimedelta(RETENTION)
    return kept


async def _run() -> None:
    client = await connect(Settings())
    await create_namespace(client)


def main() -> int:
    try:
        asyncio.run(_run())
    except (RuntimeError, RPCError, TimeoutError) as error:
        print(f"the namespace could not be made: {error}", file=sys.stderr)  # noqa: T201 - a command's own words
        return 1
    finally:
        gc.collect()
    return 0


if __name__ == "__main__":
    sys.exit(main())
