"""Undo the tricks that hide text from a classifier while a person still reads it.

Works on single code points, so the result never depends on how a stream was cut into chunks:

* invisible characters (zero-width, bidi controls, soft hyphen, control codes) are dropped;
* Unicode tag characters and variation selectors used as a byte channel are decoded to the ASCII
  that they smuggle, because a model can read them even where a person cannot;
* full-width, mathematical, circled and other compatibility letters become plain ones (NFKC);
* letters of other scripts that look like Latin ones (Unicode TS #39 confusables, letters only)
  become Latin;
* base64 of plain English text becomes that text, also where only a part of it is at hand.
"""

import re
import unicodedata
from base64 import b64decode
from dataclasses import dataclass

_LOOKALIKES = str.maketrans(
    # Cyrillic
    "аАсСеЕіІјЈкКмМнНоОрРѕЅтТхХуУВЗбԁԛԜԝһҺӀӏгԍ"
    # Greek
    "ΑαΒΕεΖΗΙιΚκΜΝνΟοΡρΤτΥυΧχϲϳ"
    # Latin letters outside ASCII, Armenian and Cherokee lookalikes
    "ıɑɡɩɪʏʀɴʟʜցհոսօՏՍՕᎪᏴᏟᎠᎬᎻᎫᏦᏞᎷᏢᏒᏚᎢᏙᎳᏃ",
    "aAcCeEiIjJkKmMhHoOpPsStTxXyYB3bdqWwhHIlrG"
    "AaBEeZHIiKkMNvOoPpTtYuXxcj"
    "iagiiyrnlhghnuoSUOABCDEHJKLMPRSTVWZ",
)
_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
)
_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_TAGS = "\U000e0000-\U000e007f"
#: Code points that carry no visible glyph and therefore no weight in a step's length.
INVISIBLE = re.compile(f"[{_INVISIBLE}{_SELECTORS}{_TAGS}]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_LATIN_LOOK = re.compile(
    "[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\U0001d400-\U0001d7ff\u24b6-\u24e9]"
)
_EMOJI_JOIN = re.compile(
    "(?<=[\u2190-\u2bff\U0001f000-\U0001faff])[\u200d\ufe0e\ufe0f]+|[0-9#*]\ufe0f\u20e3"
)
_WORD = re.compile(r"[^\W\d_]+")
_ASCII_LETTER = re.compile("[A-Za-z]")
#: What may be base64, in either alphabet: at least 18 bytes.
_BASE64 = re.compile("[A-Za-z0-9+/_-]{24,}={0,2}")
_STANDARD = str.maketrans("-_", "+/")
#: What base64 must hold to be read: printable ASCII, words of letters with spaces between them.
_PROSE = re.compile(r"[\t\n\r -~]+")
_SPACED = re.compile("[A-Za-z,.;:'\"!?()-]+(?: [A-Za-z0-9,.;:'\"!?()-]+){2}")
_TAG_BASE, _SELECTOR_BASE = 0xE0000, 0xE00F0  # selector VS17 (U+E0100) stands for byte 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalised:
    """Text as the classifier reads it, and how much of the original was in disguise."""

    text: str
    #: Characters of the original that were invisible, smuggled or in a letter's disguise.
    disguised: int


class _Fold(dict[int, str]):
    """Code point -> replacement, computed once per code point."""

    def __missing__(self, point: int) -> str:
        self[point] = folded = _fold(point)
        return folded


def _fold(point: int) -> str:
    char = chr(point)
    if 0xE0020 <= point <= 0xE007E:
        return chr(point - _TAG_BASE)
    if 0xE0110 <= point <= 0xE016E:
        return chr(point - _SELECTOR_BASE)
    if INVISIBLE.match(char) or _CONTROL.match(char):
        return ""
    if 0xD800 <= point <= 0xDFFF:
        return "\ufffd"
    return unicodedata.normalize("NFKC", char).translate(_LOOKALIKES)


_FOLD = _Fold()


def plain(char: str) -> str:
    """What a code point stands for."""
    return _FOLD[ord(char)]


def normalise(text: str) -> Normalised:
    """Return `text` without disguises; linear in its length, never raises."""
    disguised = 0
    if not text.isascii() or _CONTROL.search(text):
        disguised = _count_disguised(text)
        text = text.translate(_FOLD)
    return _without_base64(text, disguised)


def _without_base64(text: str, disguised: int) -> Normalised:
    parts, at = [], 0
    for run in _BASE64.finditer(text):
        if (held := _decoded(run.group())) is not None:
            parts += [text[at : run.start()], held]
            at = run.end()
            disguised += at - run.start()
    return Normalised(text="".join([*parts, text[at:]]), disguised=disguised)


def _decoded(run: str) -> str | None:
    """The text that a run of base64 holds, if it is one; its first characters may be missing."""
    coded = run.rstrip("=").translate(_STANDARD)
    for missing in range(4):
        part = coded[missing:]
        part = part[:-1] if len(part) % 4 == 1 else part
        held = b64decode(part + "=" * (-len(part) % 4)).decode("latin-1")
        if _PROSE.fullmatch(held) and _SPACED.search(held):
            return held
    return None


def _count_disguised(text: str) -> int:
    """Disguised characters: what honest text in another script or with emoji has is not counted."""
    honest = sum(len(m.group()) for m in _EMOJI_JOIN.finditer(text))
    hidden = max(0, len(INVISIBLE.findall(text)) - honest)
    lookalikes = sum(
        sum(1 for c in word if not c.isascii() and c.translate(_LOOKALIKES).isascii())
        for word in _WORD.findall(INVISIBLE.sub("", text))
        if not word.isascii() and _ASCII_LETTER.search(word)
    )
    return hidden + len(_CONTROL.findall(text)) + len(_LATIN_LOOK.findall(text)) + lookalikes
