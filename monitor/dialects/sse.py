"""Server-sent events: bytes to events and back. Knows framing, not JSON.

Lines end in CRLF, LF or CR; an empty line ends an event. Events are found in one pass: no byte is
looked at more than a few times however the input is chunked.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from monitor.dialects.jsontext import dumps

__all__ = ["MAX_EVENT", "Event", "Framer", "compose", "parse_event"]

#: Bytes of one event beyond which it is not read but reported.
MAX_EVENT = 16 * 1024 * 1024
#: Bytes of comments, ids and event names in one event beyond which they may hide text.
MAX_ASIDE = 512

_END_OF_EVENT = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n?|\n)")
_LINE = re.compile(r"\r\n|\n|\r")
_ASIDE = ("event", "id", "retry")
#: Keep-alives and labels: at most two words, or a time.
_QUIET = re.compile(r"\S{0,128}|\S{1,32} \S{1,32}|ping - [\d :.+-]{1,40}")
_BOM = "\ufeff"


class Event(NamedTuple):
    """One event: the data lines joined, and why it could not be read in full, if so."""

    data: str
    problem: str | None
    #: What comments, ids and names of events say, but for keep-alives and labels.
    aside: str = ""


class Framer:
    """Cuts a byte stream into events, each with the empty line that ends it."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the events that `data` completes."""
        self._buffer += data
        found, start = [], 0
        for match in _END_OF_EVENT.finditer(self._buffer, self._searched):
            found.append(bytes(self._buffer[start : match.end()]))
            start = match.end()
        del self._buffer[:start]
        self._searched = max(0, len(self._buffer) - 3)
        if len(self._buffer) > MAX_EVENT:
            found.append(self.rest())
        return found

    def rest(self) -> bytes:
        """Return and forget the bytes of an event that has not ended."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._searched = 0
        return rest


def parse_event(raw: bytes, *, first: bool = False) -> Event:
    """Read the fields of an event; `first` events may begin with a byte order mark."""
    if len(raw) > MAX_EVENT:
        return Event("", f"an event of more than {MAX_EVENT} bytes")
    problem, text = _decode(raw)
    lines = _LINE.split(text.removeprefix(_BOM) if first else text)
    fields = [line.partition(":") for line in lines if line]
    data = [value.removeprefix(" ") for name, _, value in fields if name == "data"]
    aside = [name + value for name, _, value in fields if name in ("", *_ASIDE)]
    if len(data) + len(aside) < len(fields):
        problem = problem or "a line that is no server-sent event"
    elif sum(map(len, aside)) > MAX_ASIDE:
        problem = problem or f"more than {MAX_ASIDE} characters beside the data of an event"
    said = (value.strip() for name, _, value in fields if name in ("", *_ASIDE))
    return Event("\n".join(data), problem, "\n".join(t for t in said if not _QUIET.fullmatch(t)))


def compose(payload: Mapping[str, object] | str, *, event: str = "") -> bytes:
    """Return the bytes of one event."""
    data = payload if isinstance(payload, str) else dumps(payload)
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {data}\n\n".encode()


def _decode(raw: bytes) -> tuple[str | None, str]:
    try:
        return None, raw.decode()
    except UnicodeDecodeError:
        return "invalid UTF-8", raw.decode(errors="replace")
