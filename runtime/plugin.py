"""What every Temporal client, worker and replayer of Holdfast shares; workers inherit it from their client."""

from dataclasses import replace

from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.plugin import SimplePlugin
from temporalio.worker import WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import SandboxImportNotificationPolicy

PASSED_THROUGH = (
    "domain",
    "activities",
    # The shared steps hold no state of their own, so they need not be loaded anew for each execution. What the sandbox
    # would refuse in them (clocks, randomness) ruff's banned-api refuses.
    "workflows.base",
    "workflows.steps",
    "pydantic",
    "pydantic_core",
    "annotated_types",
    "typing_extensions",
    "typing_inspection",
)
"""Modules a workflow may import that are not loaded again inside its sandbox. One that is missing fails the worker."""

_POLICY = (
    SandboxImportNotificationPolicy.WARN_ON_DYNAMIC_IMPORT
    | SandboxImportNotificationPolicy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH
)


def holdfast_plugin() -> SimplePlugin:
    """Pydantic payloads, and a sandbox that tells at the start which import was forgotten."""
    return SimplePlugin("holdfast", data_converter=pydantic_data_converter, workflow_runner=_sandboxed)


def restrictions() -> SandboxRestrictions:
    return SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH).with_import_notification_policy(
        _POLICY
    )


def _sandboxed(given: WorkflowRunner | None) -> WorkflowRunner:
    if isinstance(given, SandboxedWorkflowRunner):
        return replace(given, restrictions=restrictions())
    return given or SandboxedWorkflowRunner(restrictions=restrictions())
