"""Logs of every process: structlog for our own lines, and the standard library's for everybody else's, in one shape.

Workflow code logs by `workflow.logger` only, which is silent during replay; its facts arrive here as extra fields.
"""

import logging
import re
import sys
import warnings
from typing import Literal, TextIO

import structlog
from structlog.types import EventDict, Processor, WrappedLogger
from temporalio import activity, workflow

_UNDECODED = "Failed deserializing signal input"
_PYDANTIC_INPUT = re.compile(r"input_value=.*?(?=, input_type=)", re.DOTALL)
_QUIET = ("httpx2", "httpcore2", "aiosmtpd", "mail.log", "asyncio", "uvicorn.access")


def configure_logging(
    log_format: Literal["json", "console"] = "json", *, process: str = "", stream: TextIO | None = None
) -> None:
    """Call once at the start of a process. `process` names it in every line (`worker-sops`, `inbox`, ...)."""
    shared = _shared(process)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_formatter(log_format, shared))
    handler.addFilter(_without_undecoded_values)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    warnings.simplefilter("default")
    # The facts come as extra fields: not a second time inside the message.
    workflow.logger.workflow_info_on_message = False
    activity.logger.activity_info_on_message = False


def _shared(process: str) -> list[Processor]:
    def name_process(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {**event, "process": process} if process else event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        name_process,
    ]


def _formatter(log_format: str, shared: list[Processor]) -> structlog.stdlib.ProcessorFormatter:
    renderer = (
        structlog.processors.JSONRenderer(sort_keys=False)
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _without_rejected_input,
            renderer,
        ],
    )


def _without_undecoded_values(record: logging.LogRecord) -> bool:
    """The SDK logs an argument that it could not decode, so whatever somebody sent: only the error's type stays."""
    if str(record.msg).startswith(_UNDECODED) and record.exc_info:
        kind = record.exc_info[0]
        record.exc_info = None
        record.error_type = kind.__name__ if kind else "unknown"
    return True


def _without_rejected_input(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A pydantic error quotes the value it refused, which may be a person's words or address."""
    for key in ("exception", "event"):
        if isinstance(text := event.get(key), str) and "input_value=" in text:
            event[key] = _PYDANTIC_INPUT.sub("input_value=[redacted]", text)
    return event
