"""The text of one choice as a stream of deltas: the same however it was chunked on the wire."""

import re

from monitor.dialects.inline import Piece, Splitter
from monitor.types import Channel, Delta

__all__ = ["Loc", "Voice", "clean"]

#: Where a text stands in the whole response: keys and indexes from the top.
Loc = tuple[str | int, ...]

_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """Join surrogate pairs that JSON had apart; a lone one becomes U+FFFD."""
    if not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class Voice:
    """Everything one choice says, in order.

    A newline stands between texts of one channel that come from different places, except between
    the parts of an answer, which clients show as one text.
    """

    def __init__(self, choice: int, *, starts_in_thinking: bool = False) -> None:
        self._choice = choice
        self._starts_in_thinking = starts_in_thinking
        self._splitters: dict[Loc, Splitter] = {}
        self._at: Loc = ()
        #: The channel of plain text, None where tags decide.
        self._plain: Channel | None = None
        #: First half of a surrogate pair whose second half may follow.
        self._half = ""
        #: The place of the last text of each channel.
        self._last: dict[Channel, object] = {}

    def say(self, at: Loc, channel: Channel | None, text: str) -> list[Delta]:
        """Return the deltas of a text at `at`; no channel where tags in the text decide."""
        found = [] if at == self._at else self.pause()
        self._at, self._plain = at, channel
        text = self._half + text
        self._half = text[-1] if text and "\ud800" <= text[-1] <= "\udbff" else ""
        return found + self._deltas(clean(text[: len(text) - len(self._half)]))

    def pause(self) -> list[Delta]:
        """Return what was held back: other text follows, or none."""
        half, self._half = "\ufffd" if self._half else "", ""
        found = self._deltas(half) if half else []
        if self._plain is None and self._at in self._splitters:
            found += self._placed(self._splitters[self._at].flush())
        return found

    def _deltas(self, text: str) -> list[Delta]:
        if self._plain is not None:
            return self._placed([Piece(self._plain, 0, text)] if text else [])
        if self._at not in self._splitters:
            fresh = Splitter(starts_in_thinking=self._starts_in_thinking)
            self._splitters[self._at] = fresh
        return self._placed(self._splitters[self._at].feed(text))

    def _placed(self, pieces: list[Piece]) -> list[Delta]:
        return [self._delta(piece) for piece in pieces]

    def _delta(self, piece: Piece) -> Delta:
        shown_as_one = self._plain is None and piece.channel is Channel.ANSWER
        place = "" if shown_as_one else (self._at, piece.section)
        apart = self._last.setdefault(piece.channel, place) != place
        self._last[piece.channel] = place
        text = "\n" + piece.text if apart else piece.text
        return Delta(choice=self._choice, channel=piece.channel, text=text)
