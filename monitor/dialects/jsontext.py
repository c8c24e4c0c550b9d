"""JSON as an untrusted server sends it: parsed strictly, never raising, nothing lost."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

__all__ = ["Parsed", "Twice", "dumps", "pairs", "parse"]


class Twice(dict[str, Any]):
    """A JSON object in which a key stands more than once; readers differ on which one counts."""

    __slots__ = ("pairs",)

    def __init__(self, found: list[tuple[str, Any]]) -> None:
        super().__init__(found)
        self.pairs = found


class Parsed(NamedTuple):
    """A JSON value, or why there is none; a problem may come with a value."""

    value: Any = None
    problem: str | None = None


def pairs(value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every key and value that stands in the object, repeated keys included."""
    return iter(value.pairs if isinstance(value, Twice) else value.items())


def parse(text: str) -> Parsed:
    """Parse `text`; NaN, deep nesting and malformed JSON are problems, not exceptions."""
    repeated: list[bool] = []

    def collect(found: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(found)
        if len(value) == len(found):
            return value
        repeated.append(True)
        return Twice(found)

    try:
        value = json.loads(text, object_pairs_hook=collect, parse_constant=_not_json)
    except RecursionError:
        return Parsed(problem="JSON nested too deeply")
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        return Parsed(problem=f"malformed JSON at {where}: {error.msg}")
    except ValueError:
        return Parsed(problem="JSON with a number that is not one")
    return Parsed(value, "JSON object with a repeated key" if repeated else None)


def dumps(value: object) -> str:
    """Return compact-free, readable JSON, as the servers write it."""
    return json.dumps(value, ensure_ascii=False)


def _not_json(_name: str) -> NoReturn:
    raise ValueError("NaN and infinities are not JSON")
