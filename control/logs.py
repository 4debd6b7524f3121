"""How the console logs: readable lines on a terminal, JSON elsewhere."""

from __future__ import annotations

import logging
import sys

import structlog

from control.settings import LogSettings


def configure(settings: LogSettings) -> None:
    """Set structlog up for the whole process."""
    readable = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if not readable else _keep,
            structlog.dev.ConsoleRenderer() if readable else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[settings.level]
        ),
        logger_factory=_to_stderr,
    )


def _to_stderr(*_names: object) -> structlog.PrintLogger:
    """Looked up with each line, since somebody may have put another stream there."""
    return structlog.PrintLogger(sys.stderr)


def _keep(
    _logger: object, _name: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    return event  # ConsoleRenderer formats exceptions itself
