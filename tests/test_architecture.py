"""The house's own rules, where a linter does not know them."""

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("domain", "activities", "workflows", "adapters", "starter", "runtime", "simulators", "tools")
SOP_FILES = sorted(path for path in (ROOT / "workflows").glob("*.py") if path.stem not in {"__init__", "base"})
IN_AN_SOP = {"defn", "init", "run"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> Iterator[tuple[str, int]]:
    paths = [ROOT / "worker.py", *(path for room in PRODUCT for path in (ROOT / room).rglob("*.py"))]
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, Function):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", (node.end_lineno or 0) - node.lineno + 1


@pytest.mark.parametrize("path", SOP_FILES, ids=lambda path: path.stem)
def test_an_sop_file_waits_and_acts_only_through_the_steps(path: Path) -> None:
    used = {
        node.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "workflow"
    }
    assert used <= IN_AN_SOP, f"{path.name} uses {sorted(used - IN_AN_SOP)}: use a step of workflows/steps"


def test_functions_are_short() -> None:
    sizes = dict(functions())
    lengths = sorted(sizes.values())
    too_long = [name for name, length in sizes.items() if length > 50]
    assert not too_long, f"over 50 lines: {too_long}"
    assert statistics.median(lengths) <= 10
    assert lengths[int(len(lengths) * 0.9)] <= 30


def test_doors_ask_the_gateway_by_the_one_client() -> None:
    """Whoever acts, opens or reads a case does so by `starter/client.py`; two modules beside it make what it needs."""
    made = {"client.py", "cli/world.py", "pages/house.py"}
    using = {
        path.relative_to(ROOT / "starter").as_posix(): names
        for path in (ROOT / "starter").rglob("*.py")
        if (names := _imported(path) & {"starter.gateway.Gateway", "adapters.postgres.reader.CaseReader"})
    }
    assert set(using) == made, using


def _imported(path: Path) -> set[str]:
    nodes = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom))
    return {f"{node.module}.{alias.name}" for node in nodes for alias in node.names}


def test_package_inits_are_empty() -> None:
    """A re-exporting package would run its siblings again inside every workflow sandbox."""
    full = [str(path) for room in PRODUCT for path in (ROOT / room).rglob("__init__.py") if path.read_text().strip()]
    assert full == []
