import asyncio
import socket

import pytest

from runtime.connect import connect
from runtime.metrics import metrics_runtime
from runtime.processes import LocalServerError, free_port
from runtime.settings import Settings
from runtime.temporal_server import temporal_server


async def _scraped(port: int) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    try:
        return (await reader.read()).decode()
    finally:
        writer.close()


async def test_the_sdks_numbers_and_ours_can_be_scraped() -> None:
    port = free_port()
    runtime = metrics_runtime(port, "HOLDFAST_METRICS_PORT", tags={"process": "worker-sops"})
    runtime.metric_meter.create_counter("holdfast_refusals", "acts refused").add(2)
    async with temporal_server() as server:
        client = await connect(Settings(), address=server.address, runtime=runtime)
        await client.count_workflows()
        shown = await _scraped(port)
    assert "temporal_request" in shown
    assert 'holdfast_refusals{process="worker-sops"' in shown.replace('service_name="temporal-core-sdk",', "")


def test_a_taken_port_is_told_by_the_settings_name() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        with pytest.raises(LocalServerError, match="set HOLDFAST_METRICS_PORT to a free one"):
            metrics_runtime(holder.getsockname()[1], "HOLDFAST_METRICS_PORT")
