"""Thinking inside plain text: `<think>` tags and gpt-oss harmony channels.

The law: what comes out does not depend on how the text was cut.

- Text is an answer until an opening tag, thinking until a closing one, of whatever spelling.
- A closing tag that nothing opened is text of the answer: while a stream runs nobody can know that
  one will come. Where a chat template opens the thinking, say so with `starts_in_thinking`.
- A harmony header (`<|channel|>analysis to=tool<|message|>`) picks the channel; what it says
  beyond the channel's name is read as text of a tool call.
- Only what may still become a marker is held back: at most a marker's length, or the first word of
  a header.
"""

import re
from typing import NamedTuple

from monitor.types import Channel

__all__ = ["Piece", "Splitter"]

OPENERS = (
    "<think>",
    "<thinking>",
    "<thought>",
    "<reasoning>",
    "<seed:think>",
    "[THINK]",
    "◁think▷",
)
CLOSERS = tuple(o[0] + "/" + o[1:] for o in OPENERS)
#: A harmony message's text lasts until one of these.
ENDERS = ("<|end|>", "<|return|>", "<|call|>")
HEADERS = ("<|start|>", "<|channel|>")
#: First words of a header that name nothing but where the text goes.
HARMONY = {
    "analysis": Channel.THINKING,
    "commentary": Channel.ANSWER,
    "final": Channel.ANSWER,
    "assistant": Channel.ANSWER,
}

_MARKERS = (*OPENERS, *CLOSERS, *ENDERS, *HEADERS, "<|message|>", "<|constrain|>")
_MARKER = re.compile("(" + "|".join(map(re.escape, _MARKERS)) + ")")
_BEGINNINGS = frozenset(m[:n] for m in _MARKERS for n in range(1, len(m)))
_LONGEST = max(map(len, _MARKERS)) - 1
_FIRST = re.compile("[" + re.escape("".join({m[0] for m in _MARKERS})) + "]")


class Piece(NamedTuple):
    """Text of one channel; pieces of another `section` are not the same run of text."""

    channel: Channel
    section: int
    text: str


class Splitter:
    """Splits one field's text into channels, however it is cut."""

    def __init__(self, *, starts_in_thinking: bool = False) -> None:
        self._held = ""
        self._channel = Channel.THINKING if starts_in_thinking else Channel.ANSWER
        self._section = 0
        #: The words of a harmony header so far; None outside one.
        self._word: str | None = None
        self._harmony = False
        #: The end of what a header said beyond known words, and whether white space followed it.
        self._tail = ""
        self._gap = False

    def feed(self, text: str) -> list[Piece]:
        """Return the pieces that are certain by now."""
        text = self._held + text
        keep = _possible_marker(text)
        self._held = text[len(text) - keep :]
        return self._read(text[: len(text) - keep])

    def flush(self) -> list[Piece]:
        """Return what was held back: the field ends or pauses here."""
        text, self._held = self._held, ""
        return [*self._read(text), *self._end_word()]

    def _read(self, text: str) -> list[Piece]:
        found: list[Piece] = []
        for position, part in enumerate(_MARKER.split(text)):
            found += self._marker(part) if position % 2 else self._text(part)
        return found

    def _text(self, text: str) -> list[Piece]:
        if not text:
            return []
        if self._word is None:
            return [Piece(self._channel, self._section, text)]
        return self._header(text)

    def _marker(self, marker: str) -> list[Piece]:
        if marker in HEADERS:
            return self._open_header()
        if self._word is not None:
            return self._in_header(marker)
        if marker in OPENERS and self._channel is Channel.ANSWER:
            return self._turn(Channel.THINKING)
        if marker in CLOSERS and self._channel is Channel.THINKING and not self._harmony:
            return self._turn(Channel.ANSWER)
        if marker in ENDERS and self._harmony:
            self._harmony = False
            return self._turn(Channel.ANSWER)
        return [Piece(self._channel, self._section, marker)]

    def _turn(self, channel: Channel) -> list[Piece]:
        self._channel = channel
        self._section += 1
        return []

    def _open_header(self) -> list[Piece]:
        found = self._end_word() if self._word is not None else []
        if self._word is None:
            self._turn(Channel.ANSWER)
        self._word, self._harmony = "", True
        return found

    def _in_header(self, marker: str) -> list[Piece]:
        found = self._end_word()
        if marker != "<|message|>":
            self._gap = True
            return found if marker == "<|constrain|>" else [*found, *self._aside(marker)]
        self._word, self._tail, self._gap = None, "", False
        self._section += 1
        return found

    def _header(self, text: str) -> list[Piece]:
        found: list[Piece] = []
        for run in re.findall(r"\s+|\w+|[^\w\s]+", text):
            found += self._run(run)
        return found

    def _run(self, run: str) -> list[Piece]:
        if self._word != "\0" and run[0].isalnum() | (run[0] == "_"):
            return self._grow_word(run)
        found = self._end_word()
        self._gap = self._gap or run.isspace()
        return found if run.isspace() else found + self._aside(run)

    def _grow_word(self, run: str) -> list[Piece]:
        self._word = (self._word or "") + run
        possible = any(name.startswith(self._word) for name in HARMONY)
        return [] if possible else self._end_word()

    def _end_word(self) -> list[Piece]:
        """Judge the first word of a header; a NUL in its place says that it is past."""
        word = self._word
        if not word or word == "\0":
            return []
        self._word = "\0"
        if word not in HARMONY:
            return self._aside(word)
        if self._channel is not Channel.TOOL_CALL:
            self._channel = HARMONY[word]
        return []

    def _aside(self, text: str) -> list[Piece]:
        text = " " + text if self._gap and self._tail else text
        self._gap = False
        if "to=" in self._tail + text:
            self._channel = Channel.TOOL_CALL
        self._tail = (self._tail + text)[-2:]
        return [Piece(Channel.TOOL_CALL, self._section, text)]


def _possible_marker(text: str) -> int:
    """How many last characters may be the beginning of a marker."""
    tail = text[-_LONGEST:]
    if not _FIRST.search(tail):
        return 0
    sizes = range(len(tail), 0, -1)
    return next((n for n in sizes if tail[len(tail) - n :] in _BEGINNINGS), 0)
