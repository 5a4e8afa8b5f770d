"""A pytest plugin: writes which tests marked with a clause passed, for `make clauses`."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest

RESULTS = Path(__file__).resolve().parent.parent / ".build" / "clauses.json"
_CLAUSE = "clause"
_outcomes: dict[str, dict[str, str]] = defaultdict(dict)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.user_properties += [(_CLAUSE, name) for mark in item.iter_markers(_CLAUSE) for name in mark.args]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.failed or report.skipped:
        for name in [str(value) for what, value in report.user_properties if what == _CLAUSE]:
            worse = _outcomes[name].get(report.nodeid) in {"failed", "skipped"}
            _outcomes[name][report.nodeid] = _outcomes[name][report.nodeid] if worse else report.outcome


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Only a run of every marked test says what is carried out; where several processes run them, the first does."""
    if hasattr(session.config, "workerinput"):
        return
    chosen: Sequence[str] = session.config.option.file_or_dir
    if list(chosen) in ([], ["tests"]) and not session.config.option.collectonly and not session.config.option.keyword:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(_outcomes, indent=1, sort_keys=True))
