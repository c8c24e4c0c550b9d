"""A log as lines of JSON, to be verified without its database. Pure.

    {"format":"subtext-audit-export/1"}
    {"checkpoint":"…signed note…"}          all checkpoints
    {"record":{"body":…,"seq":0,…}}         all records, in order

Each line has the one form that `audit.canonical` gives it, so that a record's line without its hash
is what was hashed. No text of a trace is in it: records hold hashes of that.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeGuard

from monitor.audit import AuditRecord, canonical
from monitor.coverage import Held
from monitor.errors import MonitorError

FORMAT = {"format": "subtext-audit-export/1"}
_RECORD = b'{"record":'
_FIELDS = set(AuditRecord.__slots__)


class ExportError(MonitorError):
    """This is no export of an audit log."""


def lines(notes: Iterable[str], records: Iterable[AuditRecord]) -> Iterator[bytes]:
    """Write an export; read the notes before the records, so that those can have grown since."""
    yield _line_of(FORMAT)
    yield from (_line_of({"checkpoint": note}) for note in notes)
    for record in records:
        yield _line_of({"record": {name: getattr(record, name) for name in _FIELDS}})


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A log that is read from its file while `records` are iterated."""

    checkpoints: tuple[Held, ...]
    records: Iterator[AuditRecord]


def read(file: Iterable[bytes]) -> Export:
    """Read an export up to its first record; ExportError when it is none."""
    values = map(_value_of, file)
    if next(values, None) != FORMAT:
        raise ExportError("this is no export of an audit log: its first line does not say so")
    held: list[Held] = []
    for number, value in enumerate(values, 2):
        if set(value) != {"checkpoint"}:
            return Export(checkpoints=tuple(held), records=_records(chain([value], values)))
        held.append(Held(source=f"the checkpoint in line {number}", note=str(value["checkpoint"])))
    return Export(checkpoints=tuple(held), records=iter(()))


def _records(values: Iterable[dict[str, Any]]) -> Iterator[AuditRecord]:
    """Read records; a line that holds none becomes one that fits no chain."""
    seq = -1
    for value in values:
        fields = value.get("record")
        if len(value) != 1 or not _is_record(fields):
            fields = {**dict.fromkeys(_FIELDS, "unreadable"), "seq": seq + 1}
        seq = fields["seq"]
        yield AuditRecord(**fields)


def _is_record(fields: Any) -> TypeGuard[dict[str, Any]]:  # noqa: ANN401 (of a file)
    """Demand a number that is one: 1, true and 1.0 are equal, but not the same log."""
    return isinstance(fields, dict) and set(fields) == _FIELDS and type(fields["seq"]) is int


def _line_of(value: object) -> bytes:
    return canonical(value) + b"\n"


def _value_of(line: bytes) -> dict[str, Any]:
    """Parse a line; one in another form than ours could be read in two ways."""
    try:
        value = json.loads(line)
        whole = _hashes_itself(line) if line.startswith(_RECORD) else _line_of(value) == line
    except (ValueError, RecursionError):
        return {}
    return value if whole and isinstance(value, dict) else {}


def _hashes_itself(line: bytes) -> bool:
    """Tell whether a record's line, without its hash, is what was hashed: then it has our form.

    To encode the record again would tell the same, and take most of the time of a verification.
    """
    before, _, after = line.removeprefix(_RECORD).rpartition(b',"hash":"')
    named, rest = after[:64], after[65:].removesuffix(b"}\n")
    return hashlib.sha256(before + rest).hexdigest().encode() == named
