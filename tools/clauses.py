"""Traceability: every clause of the SOPs, the lines that carry it out, and the tests that fail without it.

    python -m tools.clauses [--json] [--results FILE]

Exits 1 if a clause on the list of those carried out (`carried` in domain/sops/clauses.toml) lacks a line
or a passing test.
"""

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).resolve().parent.parent
CLAUSES = ROOT / "domain" / "sops" / "clauses.toml"
RESULTS = ROOT / ".build" / "clauses.json"
CARRYING = ("workflows", "domain/sops", "domain/rules", "activities")
MENTION = re.compile(r"\b([A-Z]{2})-(\d+(?:\.\d+)?)(?:(?: to |\.\.)(?:[A-Z]{2}-)?(\d+))?")


@dataclass
class Clause:
    """One line of an SOP: where it is carried out (`file:line`), and the outcome of each test marked with it."""

    clause: str
    text: str
    carried: bool
    lines: list[str] = field(default_factory=list[str])
    tests: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def missing(self) -> str:
        """What a carried-out clause lacks, or an empty text."""
        if not self.carried:
            return ""
        if not self.lines:
            return "no line carries it out"
        if not self.tests:
            return "no test is marked with it"
        failed = [test for test, outcome in self.tests.items() if outcome != "passed"]
        return f"not passing: {', '.join(failed)}" if failed else ""


def mentioned(text: str) -> Iterator[str]:
    """The clause ids in a line, ranges such as `RL-1 to RL-4` unfolded."""
    for area, first, last in MENTION.findall(text):
        if last and "." not in first:
            yield from (f"{area}-{number}" for number in range(int(first), int(last) + 1))
        else:
            yield f"{area}-{first}"


def known(document: Mapping[str, Any]) -> dict[str, Clause]:
    carried = set(document["carried"])
    found: dict[str, Clause] = {}
    for section in document.values():
        for name, text in cast("dict[str, str]", section).items() if isinstance(section, dict) else ():
            if re.fullmatch(r"[A-Z]{2}-\d+(\.\d+)?", name):
                found[name] = Clause(name, text, name in carried)
    unknown = carried - found.keys()
    if unknown:
        raise SystemExit(f"clauses.toml lists clauses that it does not hold: {', '.join(sorted(unknown))}")
    return found


def gather(results: Path) -> dict[str, Clause]:
    """All clauses with their lines and test outcomes."""
    clauses = known(tomllib.loads(CLAUSES.read_text()))
    for folder in CARRYING:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                for name in dict.fromkeys(mentioned(line)):
                    if name in clauses:
                        clauses[name].lines.append(f"{path.relative_to(ROOT)}:{number}")
    for name, tests in json.loads(results.read_text()).items() if results.exists() else ():
        if name in clauses:
            clauses[name].tests = tests
    return clauses


def show(clauses: Mapping[str, Clause]) -> None:
    for clause in clauses.values():
        mark = ("not carried out yet", "ok", f"MISSING: {clause.missing}")[clause.carried + bool(clause.missing)]
        print(f"{clause.clause:8} {mark}\n         {clause.text}")
        if clause.carried:
            print(f"         lines: {', '.join(clause.lines) or 'none'}")
            for test, outcome in clause.tests.items():
                print(f"         test:  {test} {outcome}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--results", type=Path, default=RESULTS, help="outcomes written by the test run")
    options = parser.parse_args()
    clauses = gather(options.results)
    if options.json:
        print(json.dumps({name: asdict(clause) | {"missing": clause.missing} for name, clause in clauses.items()}))
    else:
        show(clauses)
    lacking = [clause for clause in clauses.values() if clause.missing]
    done = [clause for clause in clauses.values() if clause.carried and not clause.missing]
    if not options.json:
        print(f"\n{len(done)} clauses carried out and shown by tests, {len(lacking)} lacking, {len(clauses)} in all")
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
