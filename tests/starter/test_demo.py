"""The demos, as anybody starts them: from nothing, to their end, with nothing left running."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

SHOWN = {
    "return-lead": (
        "findings on 5 leads",
        "closed: 4 leads returned, 1 not",
        "an approval in his name",
        "refused, and the case goes on waiting. on record is why: its signature does not fit",
        "approve 5 leads (above the limit) [approval] (reminded 1x)",
        "signed by shobhit",
        "closed: 5 leads returned, 0 not",
        "events in one hash chain, whole",
    ),
    "department-request": (
        "assigned to Barb, Carl Munro, Lena Frost",
        "| <@u0barb001> pause the ads",
        'rosa webb comments on the task in teamwork: "3 days"',
        "moved from",
        "signed by lena",
        "elmer by slack: down, so the next channel is tried",
        "elmer by email: sent",
        "its webhook comment.created came, signed",
        "answered 401 (bad-signature); the case goes on waiting",
        "its webhook task.completed came, signed",
        "closed: completed in teamwork by barb",
        "events in one hash chain, whole",
    ),
}


@pytest.fixture
def folder() -> Generator[Path]:
    """One that the database's account may enter, which pytest's own is not when we are root."""
    with tempfile.TemporaryDirectory(prefix="holdfast-demo-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("sop", SHOWN)
def test_a_demo_shows_its_sop_and_leaves_nothing_behind(folder: Path, sop: str) -> None:
    words = (sys.executable, "-m", "starter.cli", "demo", sop)
    there = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "COLUMNS": "200"}
    ended = subprocess.run(words, cwd=folder, env=there, capture_output=True, text=True, timeout=290, check=False)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    told = ended.stdout.lower()
    assert [line for line in SHOWN[sop] if line.lower() not in told] == []
    assert "Traceback" not in ended.stderr
    assert running_in(folder) == []


def running_in(folder: Path) -> list[str]:
    """Processes that were started for a folder."""
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            about = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in about:
            found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found


def test_a_demo_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    ended = subprocess.run(
        (sys.executable, "-m", "starter.cli", "demo", "nothing"), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "department-request" in ended.stderr
