import shutil
import subprocess
from pathlib import Path

import pytest

from runtime.temporal_server import find_temporal, server_version

_SOURCE = Path(__file__).resolve().parents[2] / "tools" / "temporal-dev"


@pytest.mark.skipif(shutil.which("go") is None, reason="a machine with its own `temporal` needs no Go")
def test_the_command_line_is_read_as_the_real_ones_is() -> None:
    done = subprocess.run(["go", "test", "./flags"], cwd=_SOURCE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _said(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(find_temporal().path), *words], capture_output=True, text=True, check=False)


def test_it_tells_its_version_and_its_flags() -> None:
    assert server_version(find_temporal().path) >= (1, 32)
    assert "server start-dev" in _said("--help").stdout
    help_of_start = _said("server", "start-dev", "--help").stdout
    assert all(flag in help_of_start for flag in ("db-filename", "search-attribute", "dynamic-config-value", "ui-port"))


@pytest.mark.parametrize(
    "words",
    [
        ("server", "start-dev", "--dynamic-config-value", "x"),
        ("server", "start-dev", "--search-attribute", "Owner=Nonsense"),
        ("server", "start-dev", "--no-such-flag"),
        ("no-such-command",),
    ],
)
def test_a_wrong_word_is_refused(words: tuple[str, ...]) -> None:
    refused = _said(*words)
    assert refused.returncode != 0
    assert refused.stderr + refused.stdout != ""
