"""docs/api.md does what it says: its commands are run, in order, in one shell, against the real API."""

import asyncio
import os
import re
import subprocess
from pathlib import Path

from starter.client import API
from tests.starter.api.office import ApiOffice

GUIDE = (Path(__file__).parents[3] / "docs" / "api.md").read_text()


async def test_the_commands_of_the_guide_work(api: ApiOffice) -> None:
    commands = re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
    assert len(commands) >= 6
    key = await api.key()
    env = os.environ | {"HOLDFAST_SERVER": api.address, "HOLDFAST_API_KEY": key.token}
    first, second, *rest = commands
    said = await _run(f"set -e\n{first}\n{second}", env)
    assert '"acts_as":"team:return-leads"' in said
    (case,) = await api.agency.take_in()
    await api.agency.parked(case, "investigate")
    said = await _run("set -e\n" + "\n".join(rest), env)
    assert said.count(f'"case_id":"{case}"') >= 3
    assert '"state":"accepted"' in said


async def _run(script: str, env: dict[str, str]) -> str:
    done = await asyncio.to_thread(
        subprocess.run, ["bash", "-o", "pipefail", "-c", script], env=env, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def test_the_guide_names_what_there_is(api: ApiOffice) -> None:
    key = await api.key()
    codes = {one["code"] for one in (await key.get("/problems")).json()}
    named = {one for one in re.findall(r"`([a-z]+(?:-[a-z]+)+)`", GUIDE) if not one.startswith("docs")}
    assert named <= codes, named - codes
    kinds = set(re.findall(r"^\| `((?:step|request)\.\w+)`", GUIDE, re.MULTILINE))
    assert kinds == set((await key.get("/whoami")).json()["kinds"])
    assert API in GUIDE
