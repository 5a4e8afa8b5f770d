"""What is true of every file that is committed."""

import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_REGISTRIES = (
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("proxy.golang", "org"),
    ("sum.golang", "org"),
    ("registry.npmjs", "org"),
    ("registry.yarnpkg", "com"),
    ("crates", "io"),
    ("deb.debian", "org"),
    ("repo1.maven", "org"),
    ("repo.maven.apache", "org"),
)


def _committed() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=_ROOT, capture_output=True, check=True).stdout
    return [path for name in listed.decode().split("\0") if name and (path := _ROOT / name).is_file()]


@pytest.mark.parametrize("host", [".".join(parts) for parts in _REGISTRIES])
def test_no_file_names_a_package_registry(host: str) -> None:
    naming = [path.relative_to(_ROOT) for path in _committed() if host.encode() in path.read_bytes()]
    assert naming == []


def test_requirements_are_pinned_by_hash() -> None:
    for name in ("uv", "base", "dev"):
        lines = (_ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
        pins = [line for line in lines if line and not line.startswith((" ", "#"))]
        assert pins
        assert all("==" in line and line.endswith("\\") for line in pins)


def test_package_files_are_empty() -> None:
    inits = [path for path in _committed() if path.name == "__init__.py"]
    assert [path for path in inits if path.read_text().strip()] == []
