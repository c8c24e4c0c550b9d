"""Exact comparisons of an answer with the thinking before it: what vectors cannot tell apart.

A step vector cannot tell 42 from 43. Numbers, options, verdicts, names and telling words can be
compared exactly; what follows from the comparisons is learned (`classifiers.comparison`).
"""

import math
import re
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np

from classifiers.overlap import Overlap
from classifiers.port import Vector
from classifiers.ratings import Ratings

#: Sentences of the thinking that are remembered, from its end: time and memory stay bounded.
REMEMBERED: Final = 1024
#: Sentences of the answer that are compared, from where it stands.
ANSWERED: Final = 64
#: A thinking's conclusion stands in its last sentences.
CONCLUSION: Final = 6
#: Numbers, options and verdicts of an opening that are compared with the conclusion.
OPENING: Final = 2

_SENTENCE: Final = re.compile(r"(?<=[.!?;])\s+|\n+|→|->|=>")
_WORD: Final = re.compile("\\w+(?:['\u2019]\\w+)?")
_NUMBER: Final = re.compile(r"\d+(?:[.,:]\d+)*")
_THOUSANDS: Final = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_DECIMAL_COMMA: Final = re.compile(r"\d+,\d{1,2}")
_NAME: Final = re.compile(r"(?<=[\w,;:] )[A-Z][\w'-]+")
_OPTION: Final = re.compile(
    r"(?<![\w'])\(?([A-H])(?=[):]|\.(?:\s|$)|\s*$)|\b[Oo]ption ([A-Z1-9])\b"
    r"|\b(?:[Aa]nswer|[Cc]hoice)(?: is|:)?\W{1,4}([A-H])\b"
)
_VERDICT: Final = re.compile(
    r"\b(?:(yes|true|correct|safe|approved?|accept(?:ed)?|allow(?:ed)?|pass(?:e[ds])?)"
    r"|(no|not|never|false|incorrect|unsafe|reject(?:ed)?|den(?:y|ied)|fail(?:ed|s)?))\b"
    "|(?<=n)['\u2019]t\\b",
    re.IGNORECASE,
)


class Facts(NamedTuple):
    """What can be compared exactly in one sentence."""

    words: frozenset[str]
    numbers: tuple[str, ...]
    names: frozenset[str]
    options: tuple[str, ...]
    #: True for yes, False for no, in order.
    verdicts: tuple[bool, ...]


def sentences(text: str) -> list[str]:
    """The sentences of a step, as far as they say something."""
    return [sentence for sentence in _SENTENCE.split(text) if sentence.strip()]


def facts(text: str) -> Facts:
    """What can be compared exactly in a sentence."""
    words = (word.lower() for word in _WORD.findall(text))
    return Facts(
        words=frozenset(word for word in words if len(word) > 2),
        numbers=tuple(_value(number) for number in _NUMBER.findall(text)),
        names=frozenset(name.lower() for name in _NAME.findall(text)),
        options=tuple("".join(groups) for groups in _OPTION.findall(text)),
        verdicts=tuple(bool(yes) for yes, _ in _VERDICT.findall(text)),
    )


def _value(number: str) -> str:
    """One spelling for equal numbers: 1,240 and 1240, 3,5 and 3.50."""
    if _THOUSANDS.fullmatch(number):
        number = number.replace(",", "")
    elif _DECIMAL_COMMA.fullmatch(number):
        number = number.replace(",", ".")
    return number.rstrip("0").rstrip(".") if "." in number else number.lstrip("0") or "0"


class _Index:
    """The thinking, ready to be compared with."""

    def __init__(self, sentences: Sequence[Facts]) -> None:
        self.words = Overlap([s.words for s in sentences])
        self.weight = self.words.weigh(self.words.telling)
        self.number_place = {
            number: (i + 1) / self.words.size
            for i, s in enumerate(sentences)
            for number in s.numbers
        }
        self._sizes = np.sqrt([self.words.weigh(s.words) for s in sentences]) + 1e-9
        end = sentences[-CONCLUSION:]
        self.end_words = frozenset(word for s in end for word in s.words)
        self.end_weight = self.words.weigh(self.end_words)
        self.end_numbers = [number for s in end for number in s.numbers]
        self.end_names = frozenset(name for s in end for name in s.names)
        self.end_options = [option for s in end for option in s.options]
        self.end_verdicts = [verdict for s in end for verdict in s.verdicts]

    def nearest(self, words: frozenset[str]) -> tuple[float, float]:
        """How much the most similar sentence shares with `words`, and where it stands (0 to 1).

        The later of two equally similar ones.
        """
        shared = self.words.shared(words)
        if not shared.any():
            return 0.0, 0.5
        alike = (shared / (self._sizes * math.sqrt(self.words.weigh(words)))).round(6)
        best = len(alike) - 1 - int(alike[::-1].argmax())
        return float(alike[best]), (best + 1) / self.words.size


class Told(NamedTuple):
    """A sentence of the answer and what in the thinking is nearest to it."""

    facts: Facts
    #: How much the nearest sentence of the thinking shares with it, and where that stands (0 to 1).
    share: float
    place: float


class Relation:
    """Follows one trace: `think` its thinking, then `answer` step by step.

    Time is linear in the text: the last `REMEMBERED` sentences of the thinking are compared with
    the last `ANSWERED` of the answer.
    """

    def __init__(self) -> None:
        self._thinking: deque[Facts] = deque(maxlen=REMEMBERED)
        self._told: deque[Told] = deque(maxlen=ANSWERED)
        self._opening: list[Facts] = []
        self._ratings = Ratings()
        self._index: _Index | None = None

    def think(self, text: str) -> None:
        """Remember a step of the thinking."""
        told = sentences(text)
        self._thinking.extend(map(facts, told))
        self._ratings.think(told)
        self._index = None

    def answer(self, text: str) -> Vector:
        """The comparisons for the answer up to and including this step, shape (len(NAMES),)."""
        if self._index is None:
            self._index = _Index(list(self._thinking))
        told = sentences(text)
        for found in map(facts, told):
            self._told.append(Told(found, *self._index.nearest(found.words)))
            if len(self._opening) < OPENING:
                self._opening.append(found)
        answer = _Answer(self._told, self._opening)
        values = [
            *_words(answer, self._index),
            *_numbers(answer, self._index),
            *_choices(answer, self._index),
            *self._ratings.answer(told),
            math.log1p(len(answer.words)),
        ]
        return np.asarray(values, dtype=np.float32)


class _Answer:
    """What the answer has said."""

    def __init__(self, told: Iterable[Told], opening: Sequence[Facts]) -> None:
        self.opening = opening
        found = list(told)
        self.words = frozenset(w for t in found for w in t.facts.words)
        self.numbers = [n for t in found for n in t.facts.numbers]
        self.names = frozenset(n for t in found for n in t.facts.names)
        self.nearest = [(t.share, t.place) for t in found if t.facts.words]


#: What `Relation.answer` returns, in order; a comparison that has nothing to compare is 0.
NAMES: Final = (
    "words_known",
    "words_in_conclusion",
    "conclusion_told",
    "thinking_told",
    "words_late",
    "nearest_share",
    "nearest_share_least",
    "nearest_place",
    "opening_share",
    "opening_place",
    "numbers_unknown",
    "any_number_unknown",
    "numbers_not_in_conclusion",
    "conclusion_numbers_untold",
    "last_number_told",
    "last_number_untold",
    "first_number_in_conclusion",
    "first_number_elsewhere",
    "numbers_late",
    "names_unknown",
    "conclusion_names_untold",
    "option_same",
    "option_other",
    "verdict_same",
    "verdict_other",
    "rating_same",
    "rating_other",
    "length",
)


def _words(answer: _Answer, index: _Index) -> list[float]:
    known = answer.words & index.words.telling.keys()
    said, weight = index.words.weigh(answer.words), index.words.weigh(known)
    ending = index.words.weigh(answer.words & index.end_words)
    late = math.fsum(index.words.place[word] * index.words.telling[word] for word in known)
    shares = [share for share, _ in answer.nearest]
    places = [place for _, place in answer.nearest]
    first = answer.nearest[0] if answer.nearest else (0.0, 0.5)
    return [
        _share(weight, said),
        _share(ending, said),
        _share(ending, index.end_weight),
        _share(weight, index.weight),
        _share(late, weight),
        _share(sum(shares), len(shares)),
        min(shares, default=0.0),
        _share(sum(places), len(places)) if places else 0.5,
        *first,
    ]


def _numbers(answer: _Answer, index: _Index) -> list[float]:
    said, ending = answer.numbers, index.end_numbers
    unknown = sum(number not in index.number_place for number in said)
    places = [index.number_place[n] for n in said if n in index.number_place]
    comparable = bool(said and ending)
    return [
        _share(unknown, len(said)),
        float(unknown > 0),
        _share(sum(n not in ending for n in said), len(said)) if comparable else 0.0,
        _share(sum(n not in said for n in ending), len(ending)) if comparable else 0.0,
        float(comparable and ending[-1] in said),
        float(comparable and ending[-1] not in said),
        float(comparable and said[0] in ending),
        float(comparable and said[0] not in ending),
        _share(sum(places), len(places)) - 0.7 if places else 0.0,
    ]


def _choices(answer: _Answer, index: _Index) -> list[float]:
    unknown = [name for name in answer.names if name not in index.words.telling]
    untold = [name for name in index.end_names if name not in answer.words]
    options = [option for s in answer.opening for option in s.options]
    verdicts = [verdict for s in answer.opening for verdict in s.verdicts]
    return [
        _share(len(unknown), len(answer.names)),
        _share(len(untold), len(index.end_names)),
        *_same_or_other(options[:1], index.end_options[-1:]),
        *_same_or_other(verdicts[:1], index.end_verdicts[-1:]),
    ]


def _same_or_other(said: Sequence[object], meant: Sequence[object]) -> tuple[float, float]:
    comparable = bool(said and meant)
    return float(comparable and said[0] == meant[0]), float(comparable and said[0] != meant[0])


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
