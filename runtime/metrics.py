"""Metrics of a process for Prometheus: the SDK's own, and what workflows and activities count by its meter."""

import logging
from collections.abc import Mapping

from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

from runtime.processes import LOOPBACK, refuse_taken_port


def metrics_runtime(port: int, setting: str, *, tags: Mapping[str, str] | None = None) -> Runtime:
    """A Temporal runtime that serves its metrics at http://127.0.0.1:port/metrics; give it to `connect`.

    `setting` is the variable to name when the port is taken (LocalServerError). One per process: the server lives as
    long as the process does. The SDK's own log lines go through the standard library.
    """
    refuse_taken_port(port, setting)
    return Runtime(
        telemetry=TelemetryConfig(
            logging=LoggingConfig(
                filter=TelemetryFilter(core_level="WARN", other_level="ERROR"),
                forwarding=LogForwardingConfig(logger=logging.getLogger("temporalio.core")),
            ),
            metrics=PrometheusConfig(bind_address=f"{LOOPBACK}:{port}", durations_as_seconds=True),
            global_tags=dict(tags or {}),
        )
    )
