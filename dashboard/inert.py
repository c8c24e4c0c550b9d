"""Make hostile text visible and harmless: no character may hide, reorder or draw over a page."""

import re
import unicodedata
from collections.abc import Iterator
from itertools import groupby

from markupsafe import Markup, escape

_EMOJI = "\u203c-\u3299\U0001f000-\U0001faff"
_COMBINING = "[\u0300-\u034e\u0350-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]"
#: Controls (not tab and newline), separators, everything of general category Cf, surrogates,
#: private use, variation selectors, and letters that look like nothing. What only joins or shapes
#: emoji is left alone.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2"
    "\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200c\u200e\u200f\u2028-\u202e\u2060-\u206f\u2800"
    "\u3164\ud800-\udfff\ue000-\uf8ff\ufe00-\ufe0e\ufeff\uffa0\ufff9-\uffff"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U0010ffff]+"
    f"|(?<![{_EMOJI}\ufe0f])\u200d+|\u200d+(?![{_EMOJI}])|(?<![{_EMOJI}#*0-9])\ufe0f+"
)
#: More combining marks on one letter than any language writes draw over the lines around it.
_STACKED = re.compile(f"(?<={_COMBINING}{{4}}){_COMBINING}+")
_SHORT = {"\x00": "NUL", "\x07": "BEL", "\x08": "BS", "\r": "CR", "\x1b": "ESC", "\x7f": "DEL"}
_MARK = Markup('<span class="mk" title="{}">{}</span>')


def inert(text: str) -> Markup:
    """Escaped HTML of `text` in which each run of hidden characters is a visible marker."""
    return Markup("").join(
        _MARK.format(_names(piece), _codes(piece)) if hidden else escape(piece)
        for hidden, piece in _pieces(text)
    )


def visible(text: str) -> str:
    """`text` with visible markers, for places that take no elements: titles and attributes."""
    return "".join(_codes(piece) if hidden else piece for hidden, piece in _pieces(text))


def _pieces(text: str) -> Iterator[tuple[bool, str]]:
    position = 0
    for start, end in _runs(text):
        if position < start:
            yield False, text[position:start]
        yield True, text[start:end]
        position = end
    if position < len(text):
        yield False, text[position:]


def _runs(text: str) -> list[tuple[int, int]]:
    """Where the hidden runs stand; plain ASCII prose has none and costs one pass."""
    runs = [m.span() for m in _HIDDEN.finditer(text)]
    if not text.isascii():
        runs = sorted({*runs, *(m.span() for m in _STACKED.finditer(text))})
    return runs


def _codes(run: str) -> str:
    """`⟨U+202E⟩`, with a short name where one is common, repeats counted."""
    return "".join(_code(char, len(list(same))) for char, same in groupby(run))


def _code(char: str, times: int) -> str:
    name = _SHORT.get(char) or f"U+{ord(char):04X}"
    return f"\u27e8{name} \u00d7{times:,}\u27e9" if times > 1 else f"\u27e8{name}\u27e9"


def _names(run: str) -> str:
    """What the first characters of a run are called, for the tooltip."""
    names = [unicodedata.name(c, f"U+{ord(c):04X}").lower() for c, _ in groupby(run[:8])]
    return f"{len(run):,} hidden: {', '.join(names[:4])}"
