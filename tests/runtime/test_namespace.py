import asyncio
import os
import sys

from runtime.connect import connect
from runtime.processes import free_port
from runtime.settings import Settings
from runtime.temporal_server import temporal_server


async def _made(address: str) -> tuple[int | None, str]:
    env = {**os.environ, "TEMPORAL_ADDRESS": address, "TEMPORAL_NAMESPACE": "agency"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "runtime.namespace", env=env, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    return process.returncode, said.decode()


async def test_the_namespace_is_made_once_and_found_the_second_time() -> None:
    async with temporal_server() as server:
        for _ in range(2):
            assert await _made(server.address) == (0, "")
        client = await connect(Settings(temporal_namespace="agency"), address=server.address)
        query = "CaseKind='a' AND CaseStatus='b' AND Owner='c' AND WaitingFor='d' AND ClientId='e'"
        assert (await client.count_workflows(query)).count == 0


async def test_no_server_is_told_and_fails() -> None:
    code, said = await _made(f"127.0.0.1:{free_port()}")
    assert code == 1
    assert "the namespace could not be made" in said
