"""Whose case it is: an activity serves the case's own workflow and no other.

Anybody who may start workflows can call our activities from one of theirs. Money is safe from them at the gate; this
keeps what is shown of a case, and letters, from them as well, and says in the case's audit trail that they tried.
"""

from collections.abc import Sequence

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.ports import CaseStore
from domain.case import CaseView
from domain.effects import Effect
from domain.rules.belonging import astray


async def only_its_own(
    cases: CaseStore, case_id: str, workflow_id: str, views: Sequence[CaseView | None], effects: Sequence[Effect] = ()
) -> None:
    """Raises ApplicationError, never tried again, unless the case's own workflow asks, about this case alone."""
    caller = activity.info()
    keys = [effect.key for effect in effects]
    code = astray(case_id, workflow_id, caller.workflow_id or "", [one for one in views if one], keys)
    if not code and await cases.workflow_of(case_id) in {"", workflow_id}:
        return
    code = code or "not-the-cases-own"
    await cases.intruded(case_id, caller.workflow_id or "", caller.activity_type, code)
    raise ApplicationError(f"{caller.activity_type}: {code}", type="Intruder", non_retryable=True)
