"""Records of any shape, by a map from our fields to places in the record."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from monitor.dialects.jsontext import dumps, parse

__all__ = ["FIELDS", "FieldMap", "MapError", "at"]

#: What a map may name. `reply` and `request` are read as the protocols write them.
FIELDS: Final = (
    *("trace_id", "prompt", "thinking", "answer", "tool_calls"),
    *("model", "tenant", "conversation_id", "reply", "request"),
)
_PATH = re.compile(r"[^.\[\]]+|\[-?\d+\]")


class MapError(ValueError):
    """A `--map` that cannot be followed; the message says what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldMap:
    """Where each field stands."""

    paths: Mapping[str, tuple[str, ...]]

    @classmethod
    def parse(cls, entries: Iterable[str]) -> Self:
        """Read entries such as `thinking=trace.steps[0].thought`."""
        paths: dict[str, tuple[str, ...]] = {}
        for entry in entries:
            name, equals, path = entry.partition("=")
            tokens = tuple(_PATH.findall(path))
            if not equals or not tokens:
                raise MapError(f"{entry!r} is not field=path, such as thinking=output.reasoning")
            if name not in FIELDS:
                raise MapError(f"{name!r} is no field; the fields are {', '.join(FIELDS)}")
            if name in paths:
                raise MapError(f"{name!r} is mapped twice")
            paths[name] = tokens
        if paths and not paths.keys() & {"thinking", "answer", "reply", "tool_calls"}:
            raise MapError("map at least one of thinking, answer, tool_calls or reply")
        return cls(paths=paths)

    def pick(self, record: object) -> dict[str, Any]:
        """Return the mapped fields that stand in `record`."""
        found = {name: at(record, path) for name, path in self.paths.items()}
        return {name: value for name, value in found.items() if value is not None}


def at(value: object, path: Iterable[str]) -> object:
    """Follow a path through objects, lists and JSON in strings; None where it leads nowhere."""
    for token in path:
        if isinstance(value, str):
            value = parse(value).value
        value = _step(value, token)
    return value


def _step(value: object, token: str) -> object:
    if isinstance(value, dict):
        return value.get(token)
    number = token.strip("[]")
    if isinstance(value, list) and re.fullmatch(r"-?\d+", number):
        index = int(number)
        return value[index] if -len(value) <= index < len(value) else None
    return None


def text_of(value: object) -> str | None:
    """A mapped value as text: strings as they are, other values as their JSON."""
    return value if isinstance(value, str | None) else dumps(value)
