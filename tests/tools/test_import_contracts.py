import subprocess
import sys
from pathlib import Path

import pytest

_CONTRACT = """
[tool.importlinter]
root_packages = ["room", "cellar"]
include_external_packages = true
contract_types = ["allowed: tools.import_contracts.AllowedImports"]
[[tool.importlinter.contracts]]
name = "room"
type = "allowed"
source = "room"
allowed = ["pydantic"]
extra = ["room.window -> holidays"]
refused_stdlib = ["socket"]
"""


def _linted(folder: Path, **modules: str) -> subprocess.CompletedProcess[str]:
    for package in ("room", "cellar"):
        (folder / package).mkdir()
        (folder / package / "__init__.py").touch()
    for name, text in modules.items():
        (folder / "room" / f"{name}.py").write_text(text + "\n")
    (folder / "pyproject.toml").write_text(_CONTRACT)
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_what_is_allowed_is_kept(tmp_path: Path) -> None:
    linted = _linted(
        tmp_path, door="import json\nfrom pydantic import BaseModel\nfrom room import window", window="import holidays"
    )
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize("line", ["import socket", "import asyncpg", "from cellar import x", "import holidays"])
def test_anything_else_breaks_the_contract(tmp_path: Path, line: str) -> None:
    linted = _linted(tmp_path, door=line)
    assert linted.returncode == 1
    assert "room.door -> " in linted.stdout
