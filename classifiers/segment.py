"""Cut text into steps: contiguous pieces of about 64 tokens that end at a sentence or line.

A boundary depends only on the characters before it, so a stream gives the same steps however it
was chunked. Every character belongs to exactly one step: nothing is truncated, nothing overlaps.
"""

import re
from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate

from classifiers.normalise import INVISIBLE, normalise, plain

#: Part of a trained model's identity: scores are comparable only between equal versions.
SEGMENTER_VERSION = "2"
#: Weight (about a quarter of a WordPiece token) from which a step may end, and at which it must.
MIN_WEIGHT, MAX_WEIGHT = 200, 360
#: Code points after which a step ends whatever they weigh (invisible text weighs nothing).
MAX_CODE_POINTS = 2048
#: What a disguise may put between a full stop and the space behind it.
_UNSEEN = f"{INVISIBLE.pattern}*+"
_ENDS = re.compile(rf"\n|[.!?…．]{_UNSEEN}[\"')\]*”’＂＇）］＊]?{_UNSEEN}\s|[。！？]")
_SPACE = re.compile(r"\s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A step's text and where it came from."""

    #: Offsets of code points in the original text: `original[start:end]` is this step.
    start: int
    end: int
    #: Normalised text: what the classifier reads.
    text: str
    #: Characters that were in disguise (see `classifiers.normalise`).
    disguised: int


class Segmenter:
    """Incremental segmentation: `feed` text as it comes, then `close` once.

    Time is linear in the text; memory is bounded by `MAX_CODE_POINTS` plus the text of one feed.
    """

    def __init__(self) -> None:
        self._pending = ""
        self._offset = 0

    def feed(self, text: str) -> list[Piece]:
        """Return the steps that `text` completed."""
        self._pending += text
        if len(self._pending) < MIN_WEIGHT and self._pending.isascii():
            return []  # each of these characters weighs 1 at most
        pieces: list[Piece] = []
        position = 0
        while (end := _cut(self._pending, position)) is not None:
            pieces.append(self._piece(position, end))
            position = end
        self._drop(position)
        return pieces

    def close(self) -> list[Piece]:
        """Return the last, unfinished step, if any; the next feed begins a new step."""
        if not self._pending:
            return []
        piece = self._piece(0, len(self._pending))
        self._drop(len(self._pending))
        return [piece]

    def _piece(self, start: int, end: int) -> Piece:
        clean = normalise(self._pending[start:end])
        return Piece(
            start=self._offset + start,
            end=self._offset + end,
            text=clean.text,
            disguised=clean.disguised,
        )

    def _drop(self, position: int) -> None:
        self._offset += position
        self._pending = self._pending[position:]


def segment(text: str) -> list[Piece]:
    """All steps of a complete text."""
    segmenter = Segmenter()
    return [*segmenter.feed(text), *segmenter.close()]


def _cut(text: str, position: int) -> int | None:
    """Where the step that begins at `position` ends, or None while that is still open."""
    window = text[position : position + MAX_CODE_POINTS]
    earliest, latest = _reach(window)
    for match in _ENDS.finditer(window, 0, latest):
        if match.end() >= earliest:
            return position + match.end()
    if len(window) < latest:
        return None
    spaces = [m.end() for m in _SPACE.finditer(window, earliest, latest)]
    return position + (spaces[-1] if spaces else latest)


def _reach(window: str) -> tuple[int, int]:
    """How many code points of `window` weigh `MIN_WEIGHT` and `MAX_WEIGHT`.

    More than the window has while it is too light; `MAX_CODE_POINTS` at most.
    """
    head = window[:MAX_WEIGHT]
    if head.isascii():
        return MIN_WEIGHT, MAX_WEIGHT
    weights = list(accumulate(map(_WEIGHT.__getitem__, window if INVISIBLE.search(head) else head)))
    earliest, latest = (bisect_left(weights, w) + 1 for w in (MIN_WEIGHT, MAX_WEIGHT))
    return min(earliest, MAX_CODE_POINTS), min(latest, MAX_CODE_POINTS)


class _Weights(dict[str, int]):
    """About four per WordPiece token: a CJK character is a token, an ASCII letter a quarter.

    A character in disguise weighs what it stands for, so that it does not move a boundary.
    """

    def __missing__(self, char: str) -> int:
        if char.isascii():
            weight = 1
        elif INVISIBLE.match(char):
            weight = 0
        elif (read := plain(char)).isascii():
            weight = len(read)
        else:
            weight = 4 if char >= "\u2e80" else 2
        self[char] = weight
        return weight


_WEIGHT = _Weights()
