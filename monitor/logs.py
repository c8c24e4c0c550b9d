"""Logging: one event is one JSON line on standard error, without text of traces or tracebacks."""

import logging
import sys
from contextlib import suppress

import structlog

_log = structlog.get_logger("subtext")


def complain(event: str, **fields: str) -> None:
    """Log an error, with names and ids only: tracebacks and messages may quote the trace.

    A log that cannot be written must not change what becomes of a response.
    """
    with suppress(Exception):
        _log.error(event, **fields)


class _Libraries(logging.Handler):
    """What libraries log, reduced to where and what: their messages and tracebacks may quote."""

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0] if record.exc_info else None
        complain(
            "library",
            logger=record.name,
            place=f"{record.module}:{record.lineno}",
            error=kind.__name__ if kind else "",
        )


def configure() -> None:
    """Send all events to standard error as JSON; newlines and controls come out escaped."""
    if not any(isinstance(handler, _Libraries) for handler in logging.root.handlers):
        logging.root.addHandler(_Libraries(logging.WARNING))
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(ensure_ascii=True),
        ],
        logger_factory=_standard_error,
        cache_logger_on_first_use=False,
    )


def _standard_error(*_names: str) -> structlog.PrintLogger:
    """Standard error as it is now: it may have been replaced, and its predecessor closed."""
    return structlog.PrintLogger(file=sys.stderr)
