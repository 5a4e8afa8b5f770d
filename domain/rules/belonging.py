"""Whether what an activity is asked for is about the one case of the workflow that asks."""

from collections.abc import Sequence

from domain.case import CaseView
from domain.ids import is_of_case


def astray(case_id: str, workflow_id: str, caller: str, views: Sequence[CaseView], keys: Sequence[str]) -> str:
    """Why not, as a stable word; "" if it is. `caller`: the workflow that asks, as the server says; "" if none does."""
    if not case_id or not caller or caller != workflow_id:
        return "another-workflow"
    if any((view.case_id, view.workflow_id) != (case_id, workflow_id) for view in views):
        return "view-of-another-case"
    return "" if all(is_of_case(key, case_id) for key in keys) else "keys-of-another-case"
