"""A contract for import-linter that says what a room may import: a new library is a decision, not an accident."""

import sys
from typing import Any, cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class AllowedImports(Contract):
    """Every direct import of `source` is of itself, of `allowed`, or of the standard library less `refused_stdlib`.

    `extra` adds single imports, written `module -> package`.
    """

    source = fields.StringField()
    allowed = fields.SetField(subfield=fields.StringField())
    extra = fields.SetField(subfield=fields.StringField(), required=False)
    refused_stdlib = fields.SetField(subfield=fields.StringField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002 - the base class's signature
        broken = sorted(
            f"{module} -> {target}"
            for module in {self._source} | graph.find_descendants(self._source)
            for target in graph.find_modules_directly_imported_by(module)
            if not self._may(module, target)
        )
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for line in cast("list[str]", check.metadata["broken"]):
            output.print_error(f"- {line}")

    @property
    def _source(self) -> str:
        return cast("str", self.source)

    def _may(self, module: str, target: str) -> bool:
        root = target.partition(".")[0]
        if (
            root == self._source
            or root in self._names(self.allowed)
            or f"{module} -> {root}" in self._names(self.extra)
        ):
            return True
        return root in sys.stdlib_module_names and root not in self._names(self.refused_stdlib)

    @staticmethod
    def _names(field: Any) -> frozenset[str]:
        return frozenset(cast("set[str] | None", field) or ())
