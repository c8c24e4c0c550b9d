"""How many tokens a server says that a response has."""

from collections.abc import Iterator
from typing import Any, Final

from monitor.types import Usage

__all__ = ["Meter"]

_OUTPUT: Final = ("completion_tokens", "output_tokens")
#: OpenAI, SGLang and others; Anthropic.
_REASONING: Final = ("reasoning_tokens", "thinking_tokens")
_DETAILS: Final = ("completion_tokens_details", "output_tokens_details")
#: Objects of a reply, or of an event, that can hold `usage` besides itself.
_HOLDERS: Final = ("message", "response", "x_groq")
#: More than any response has: a larger number is no count.
_MOST: Final = 10**9


class Meter:
    """Reads `usage` wherever it stands; counts that grow while a response streams end highest."""

    def __init__(self) -> None:
        self._output: int | None = None
        self._reasoning: int | None = None

    @property
    def usage(self) -> Usage:
        """The highest counts so far."""
        return Usage(output_tokens=self._output, reasoning_tokens=self._reasoning)

    def read(self, payload: dict[str, Any]) -> None:
        """Take in a whole reply or one event."""
        for usage in _usages(payload):
            details = [d for key in _DETAILS if isinstance(d := usage.get(key), dict)]
            self._output = _highest(self._output, usage, _OUTPUT)
            for place in (usage, *details):
                self._reasoning = _highest(self._reasoning, place, _REASONING)


def _usages(payload: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for holder in (payload, *(payload.get(key) for key in _HOLDERS)):
        usage = holder.get("usage") if isinstance(holder, dict) else None
        if isinstance(usage, dict):
            yield usage


def _highest(known: int | None, place: dict[str, Any], keys: tuple[str, ...]) -> int | None:
    found = [n for key in keys if type(n := place.get(key)) is int and 0 <= n <= _MOST]
    return max(found if known is None else [known, *found], default=None)
