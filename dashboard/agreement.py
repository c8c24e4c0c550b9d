"""How far people agree: Krippendorff's alpha over all of them, Cohen's kappa for each two. Pure.

Alpha for nominal data is as in K. Krippendorff, *Computing Krippendorff's Alpha-Reliability*
(2011), kappa as in J. Cohen, *A coefficient of agreement for nominal scales* (1960). Both are 1 for
perfect agreement and 0 for what chance would give. Their intervals are percentiles of a bootstrap
over what was answered, with a fixed seed: the same answers give the same interval.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from classifiers.port import Check
from dashboard.choice import wilson
from monitor.store import Pair, Reading

#: Resamples of a bootstrap.
RESAMPLES = 2000
#: Verdicts below which no coefficient is told: it would say more about chance than about people.
ENOUGH = 10
_BOUNDS = (0.025, 0.975)

#: Two answers about the same thing.
Two: TypeAlias = tuple[Hashable, Hashable]
_Numbers: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficient:
    """How far people agree beyond chance."""

    value: float
    #: 95 % interval.
    bounds: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far two answers to the same things agree."""

    total: int
    agreed: int
    #: None of too few, and where all answers are the same: chance would agree too.
    coefficient: Coefficient | None

    @property
    def share(self) -> float | None:
        """The part that agreed; None of nothing."""
        return self.agreed / self.total if self.total else None

    @property
    def bounds(self) -> tuple[float, float]:
        """95 % bounds of that part (Wilson's score interval)."""
        return wilson(self.agreed, self.total)


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Two people, and how far they agree: by question."""

    names: tuple[str, str]
    about: Mapping[str, Agreement]


#: What is asked of a reading.
OUTCOME = "outcome"
QUESTIONS = (OUTCOME, *(check.value for check in Check))


def overall(pairs: Sequence[Pair]) -> dict[str, Agreement]:
    """Krippendorff's alpha over all people, by question."""
    return {name: _agreement(_asked(pairs, name), alpha) for name in QUESTIONS}


def by_people(pairs: Sequence[Pair]) -> list[People]:
    """Cohen's kappa of each two people, by question; who met most often first."""
    met: dict[tuple[str, str], list[Pair]] = defaultdict(list)
    for pair in pairs:
        first, second = pair.first, pair.second
        turned = Pair(first=second, second=first)
        in_order = pair if first.reviewer <= second.reviewer else turned
        met[in_order.first.reviewer, in_order.second.reviewer].append(in_order)
    return [
        People(names=names, about={q: _agreement(_asked(both, q), kappa) for q in QUESTIONS})
        for names, both in sorted(met.items(), key=lambda item: (-len(item[1]), item[0]))
    ]


def _asked(pairs: Iterable[Pair], question: str) -> list[Two]:
    """Both answers to a question; a pair of which one says nothing about it is left out."""
    found = ((_said(pair.first, question), _said(pair.second, question)) for pair in pairs)
    return [both for both in found if None not in both]


def _said(reading: Reading, question: str) -> Hashable:
    return reading.outcome if question == OUTCOME else reading.meaning.get(Check(question))


def _agreement(
    given: Sequence[Two], coefficient: Callable[[Sequence[Two]], Coefficient | None]
) -> Agreement:
    return Agreement(
        total=len(given),
        agreed=sum(a == b for a, b in given),
        coefficient=coefficient(given) if len(given) >= ENOUGH else None,
    )


def alpha(units: Sequence[Sequence[Hashable]]) -> Coefficient | None:
    """Krippendorff's alpha of answers to some units, whoever gave them; None without variation.

    A unit with a single answer says nothing and is left out.
    """
    values = _numbered(units)
    kinds = _kinds(_counts(unit, values) for unit in units if len(unit) > 1)
    table = np.array(list(kinds), float)
    return _bootstrapped(kinds.values(), lambda weights: _alphas(table, weights))


def kappa(both: Sequence[Two]) -> Coefficient | None:
    """Cohen's kappa of what two people answered to the same things; None without variation."""
    values = _numbered(both)
    kinds = _kinds((values[a], values[b]) for a, b in both)
    places = np.array(list(kinds))
    return _bootstrapped(kinds.values(), lambda weights: _kappas(places, len(values), weights))


def _numbered(units: Iterable[Sequence[Hashable]]) -> dict[Hashable, int]:
    values = sorted({value for unit in units for value in unit}, key=str)
    return {value: number for number, value in enumerate(values)}


def _kinds(units: Iterable[tuple[int, ...]]) -> dict[tuple[int, ...], int]:
    """How often each kind of unit is there, in an order that does not depend on theirs."""
    return dict(sorted(Counter(units).items()))


def _counts(unit: Sequence[Hashable], values: Mapping[Hashable, int]) -> tuple[int, ...]:
    found = Counter(unit)
    return tuple(found[value] for value in values)


def _alphas(table: _Numbers, weights: _Numbers) -> _Numbers:
    """Alpha for each row of weights: how often each row of the table, a unit's counts, is there."""
    answers = table.sum(axis=1)
    differing = (answers**2 - (table**2).sum(axis=1)) / (answers - 1)
    by_value = weights @ table
    n = by_value.sum(axis=1)
    expected = (n**2 - (by_value**2).sum(axis=1)) / (n - 1)
    return _beyond_chance(weights @ differing, expected)


def _kappas(places: NDArray[np.int64], size: int, weights: _Numbers) -> _Numbers:
    """Kappa for each row of weights: how often each pair of answers is there."""
    n = weights.sum(axis=1)
    one_hot = np.eye(size)[places]
    first, second = weights @ one_hot[:, 0], weights @ one_hot[:, 1]
    expected = n - (first * second).sum(axis=1) / n
    return _beyond_chance(weights @ (places[:, 0] != places[:, 1]), expected)


def _beyond_chance(differing: _Numbers, expected: _Numbers) -> _Numbers:
    """1 less the disagreement over that of chance; NaN where chance would not disagree either."""
    found: _Numbers = np.full(len(expected), np.nan)
    np.divide(differing, expected, out=found, where=expected > 0)
    return 1 - found


def _bootstrapped(
    occurrences: Iterable[int], coefficients: Callable[[_Numbers], _Numbers]
) -> Coefficient | None:
    counts = np.array(list(occurrences))
    total = int(counts.sum())
    if not total:
        return None
    value = float(coefficients(counts[None, :].astype(float))[0])
    if np.isnan(value):
        return None
    random = np.random.default_rng(0)
    drawn = coefficients(random.multinomial(total, counts / total, size=RESAMPLES).astype(float))
    told = drawn[~np.isnan(drawn)]
    low, high = np.quantile(told, _BOUNDS)
    return Coefficient(value=value, bounds=(float(low), float(high)))
