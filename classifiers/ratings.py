"""The rating that an answer gives beside the one that the thinking settled on.

"7/10", "6.5-7 out of 10", "Score: 4", "I'd settle on a 6 or 7".
"""

import re
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

_VALUE: Final = r"(\d{1,3}(?:\.\d+)?)"
_DASH: Final = r"[-\u2010-\u2014]"
_VALUES: Final = (
    rf"(?<![\d.\w/-]){_VALUE}"
    rf"(?:\s*(?:{_DASH}|to|or|,\s*(?:or|maybe)|or maybe)\s*(?:even\s+)?(?:an?\s+)?{_VALUE})?"
)
_BEFORE: Final = r"(?:(?!\bnot\b|\bout of\b|n['\u2019]t)[^\d(]){0,30}?"
_AFTER: Final = (
    rf"(?=\s*(?:$|[,;:!?)\"]|\.(?!\d)|{_DASH}(?!\s*\d)|(?:because|since|for|but|given|rather|overall"
    r"|range|territory|with|in terms|to emphasi\w+|as|due|on)\b))"
)
_OUT_OF: Final = re.compile(
    rf"{_VALUES}\s*(?:/|out of)\s*(?:5|10|20|100)(?![\d.]*\d)", re.IGNORECASE
)
_NAMED: Final = re.compile(
    rf"\b(?:rat(?:e|ed|ing)|scor(?:e|ed|ing)|grade|urgency|level|number)\b{_BEFORE}{_VALUES}{_AFTER}",
    re.IGNORECASE,
)
_SETTLED: Final = re.compile(
    r"\b(?:settl(?:e|ing)|land(?:s|ing)?|lean(?:s|ing)?|stick(?:ing)?|call|giv(?:e|ing)|put"
    rf"|plac(?:e|ing)|estimate|say|choose|go(?:ing)?|is|it['\u2019]s|answer|probably)\b"
    rf"{_BEFORE}{_VALUES}{_AFTER}",
    re.IGNORECASE,
)
_ALONE: Final = re.compile(rf"\W*{_VALUES}\W*")
_SCALES: Final[set[tuple[float, float]]] = {(0, 5), (1, 5), (0, 10), (1, 10), (0, 100), (1, 100)}
#: A rating is sought in so many first sentences of an answer and so many last ones of the thinking;
RATED_FIRST, RATED_LAST = 4, 24
#: rounding changes it by no more than this.
ROUNDING: Final = 0.5


class Rating(NamedTuple):
    """One value, or a range."""

    least: float
    most: float

    def apart(self, other: "Rating") -> bool:
        """Whether no rounding makes them meet."""
        return self.least > other.most + ROUNDING or other.least > self.most + ROUNDING


class Ratings:
    """Follows one trace: `think` its thinking, then `answer` step by step, in sentences."""

    def __init__(self) -> None:
        self._ending: deque[str] = deque(maxlen=RATED_LAST)
        self._settled: list[Rating] | None = None
        self._opening = 0
        self._given: list[Rating] = []

    def think(self, sentences: Sequence[str]) -> None:
        """Remember a step of the thinking."""
        self._ending.extend(sentences)
        self._settled = None

    def answer(self, sentences: Sequence[str]) -> tuple[float, float]:
        """Whether they are the same, and whether they are not; neither if there is nothing.

        The answer's first rating beside the last one of the thinking that its scale allows.
        """
        for sentence in sentences[: RATED_FIRST - self._opening]:
            self._opening += 1
            self._given += _given(sentence)
        if not self._given:
            return 0.0, 0.0
        if self._settled is None:
            self._settled = [rating for sentence in self._ending for rating in _said(sentence)]
        most = 10 if self._given[0].most <= 10 else 100
        meant = [rating for rating in self._settled if rating.most <= most]
        if not meant:
            return 0.0, 0.0
        apart = self._given[0].apart(meant[-1])
        return float(not apart), float(apart)


def _given(sentence: str) -> list[Rating]:
    """The ratings that a sentence of an answer gives, in order."""
    alone = _ALONE.fullmatch(sentence)
    return _found(sentence, _NAMED, _OUT_OF) or ([_rating(alone)] if alone else [])


def _said(sentence: str) -> list[Rating]:
    """The ratings that a sentence of the thinking settles on, in whatever words, in order."""
    return _found(sentence, _SETTLED, _NAMED, _OUT_OF)


def _found(text: str, *patterns: re.Pattern[str]) -> list[Rating]:
    """What the patterns find, in order; of two at one place the later pattern's."""
    plain = text.replace("*", "")
    found = {m.start(1): _rating(m) for pattern in patterns for m in pattern.finditer(plain)}
    return [rating for _, rating in sorted(found.items()) if rating not in _SCALES]


def _rating(match: re.Match[str]) -> Rating:
    values = [float(value) for value in match.groups() if value]
    return Rating(min(values), max(values))
