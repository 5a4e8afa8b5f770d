"""The one way to a Temporal server: its own environment configuration where that names one, else this machine's."""

import os
from collections.abc import Sequence

from temporalio.client import Client, Interceptor
from temporalio.envconfig import ClientConfig, ClientConnectConfig
from temporalio.runtime import Runtime

from runtime.plugin import holdfast_plugin
from runtime.processes import LOOPBACK
from runtime.settings import Settings

_NAMING = ("TEMPORAL_ADDRESS", "TEMPORAL_PROFILE", "TEMPORAL_CONFIG_FILE")


def names_a_server() -> bool:
    """Whether the environment names a Temporal server by address or profile: then none is started here.

    A configuration file in its default place is not enough: a test must not reach somebody's cloud by accident.
    """
    return any(os.environ.get(name) for name in _NAMING)


async def connect(
    settings: Settings,
    *,
    address: str = "",
    runtime: Runtime | None = None,
    interceptors: Sequence[Interceptor] = (),
    lazy: bool = False,
) -> Client:
    """A client with Holdfast's plugin; workers made from it inherit that.

    `address` (host:port) wins over everything, for tests. Raises RuntimeError when the server does not answer.
    """
    named = ClientConfig.load_client_connect_config() if names_a_server() and not address else ClientConnectConfig()
    return await Client.connect(
        address or named.get("target_host") or f"{LOOPBACK}:{settings.temporal_port}",
        namespace=named.get("namespace") or settings.temporal_namespace,
        api_key=named.get("api_key"),
        tls=named.get("tls"),
        rpc_metadata=named.get("rpc_metadata", {}),
        plugins=[holdfast_plugin()],
        interceptors=interceptors,
        runtime=runtime,
        lazy=lazy,
    )
