"""Recognises what a frame says twice, such as thinking under two names, or tokens beside text."""

import re

from monitor.types import Channel

__all__ = ["Echo"]

#: What tokens may have that their text does not: white space and the usual special tokens.
_NOISE = re.compile(
    r"\s+|</?(?:s|think|eos|pad|end_of_turn)>"
    r"|<\|(?:im_start|im_end|endoftext|end_of_text|eot_id|eom_id|start|channel|message|end|return|call"
    r"|tool_call|tool_calls_section_begin|tool_calls_section_end)\|>"
)


class _Ways:
    """The texts of a frame one by one, joined, and joined by channel; linear in what is asked."""

    def __init__(self) -> None:
        self._single: set[str] = set()
        self._joined: dict[str, list[str]] = {}
        self._sizes: dict[str, int] = {}

    def add(self, channel: str, text: str) -> None:
        self._single.add(text)
        for way in ("all", channel):
            self._joined.setdefault(way, []).append(text)
            self._sizes[way] = self._sizes.get(way, 0) + len(text)

    def has(self, text: str) -> bool:
        same = (way for way, size in self._sizes.items() if size == len(text))
        return text in self._single or any("".join(self._joined[way]) == text for way in same)


class Echo:
    """What one choice has said in one frame."""

    def __init__(self) -> None:
        self._exact = _Ways()
        self._squashed = _Ways()
        self._waiting: list[tuple[str, str]] = []

    def add(self, channel: Channel | None, text: str) -> None:
        """Note a text."""
        self._exact.add(channel or "", text)
        self._waiting.append((channel or "", text))

    def repeats(self, text: str) -> bool:
        """Whether exactly this was said."""
        return self._exact.has(text)

    def tokens(self, text: str) -> bool:
        """Whether this was said, but for white space and special tokens."""
        for channel, waiting in self._waiting:
            self._squashed.add(channel, _squash(waiting))
        self._waiting.clear()
        squashed = _squash(text)
        return not squashed or self._squashed.has(squashed)


def _squash(text: str) -> str:
    return _NOISE.sub("", text)
