"""Every wire format in one place: bytes to frames of text and back, without input or output."""

from monitor.dialects.formats import dialect_for
from monitor.dialects.port import Dialect, Reader, Refusal, Request
from monitor.dialects.saved import BadRecord, read_saved
from monitor.dialects.traces import (
    BadTraceError,
    disclosure_from_json,
    disclosure_to_json,
    trace_from_json,
    trace_to_json,
)
from monitor.dialects.voice import clean

__all__ = [
    "BadRecord",
    "BadTraceError",
    "Dialect",
    "Reader",
    "Refusal",
    "Request",
    "clean",
    "dialect_for",
    "disclosure_from_json",
    "disclosure_to_json",
    "read_saved",
    "trace_from_json",
    "trace_to_json",
]
