"""The command line for tests: as a process of its own, or in this one, which is quicker."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from runtime.local import environment
from runtime.processes import free_port
from runtime.settings import Settings
from starter.cli.app import app
from starter.cli.world import explain

ROOT = Path(__file__).parents[2]
Run = Callable[..., Awaitable["Said"]]


@dataclass
class Said:
    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


async def holdfast(settings: Settings, *words: str, temporal: str = "", given: str = "") -> Said:
    """Runs `holdfast` in a process of its own."""
    extra = environment(settings) | {"TEMPORAL_ADDRESS": temporal or f"127.0.0.1:{free_port()}"}
    env = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")} | extra
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "starter.cli", *words],
        capture_output=True, text=True, cwd=ROOT, env=env, input=given, timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return Said(done.returncode, done.stdout, done.stderr)


async def in_process(*words: str) -> Said:
    """Runs `holdfast` in this process, with its environment."""
    done = await asyncio.to_thread(CliRunner().invoke, app, list(words))
    if done.exception is None or isinstance(done.exception, SystemExit):
        return Said(done.exit_code, done.stdout, done.stderr)
    return Said(2, done.stdout, done.stderr + explain(done.exception))
