"""What the overview draws is what was counted, and what was counted for good is read once."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from dashboard.overview import BINS, stability, waiting
from dashboard.plot import HEIGHT, WIDTH, Layer, outline, stacked
from dashboard.render import _age, _share
from dashboard.trends import HOUR, KEPT, Trends
from monitor.store import Backlog
from monitor.store.counts import MAX_MODELS, OTHER_MODELS, STEPS, Group
from monitor.types import Check, Decision

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
FLAGS = dict.fromkeys(Check, 0.5)


class Counted:
    """A record that is counted: full pieces, and what follows them."""

    def __init__(self, *pieces, rest=()):
        self.full, self.after, self.asked = list(pieces), rest, []

    def pieces(self, first, since):
        self.asked.append((first, since))
        yield from (self.hours(piece) for piece in self.full[first:])

    def rest(self, first):
        assert first == len(self.full)
        return self.hours(self.after)

    def hours(self, hours):
        """Each hour once, with two verdicts of a model."""
        return {f"2026-01-01T{hour:02}": {"m": group()} for hour in hours}


def group():
    alike = (Decision.FLAG.value, False, True, "hidden_thinking unknown_shape")
    return Group(Counter({alike: 2}), tuple([0, STEPS] for _ in Check))


def totals(stretch):
    return [sum(sums.total for sums in hour.models.values()) for hour in stretch.hours]


def test_hours_end_with_the_running_one():
    trends = Trends(Counted([9, 10], rest=[11]), lambda: NOON + timedelta(minutes=20))
    stretch = trends.last(4, FLAGS)
    assert (stretch.since, stretch.until) == (NOON - 3 * HOUR, NOON + HOUR)
    assert totals(stretch) == [2, 2, 2, 0]
    part = stretch.part(1, 3)
    assert (part.since, part.until, totals(part)) == (NOON - 2 * HOUR, NOON, [2, 2])


def test_sums_say_how_much_of_what_there_was():
    trends = Trends(Counted([10, 11], [11], rest=[12]), lambda: NOON)
    stretch = trends.last(3, FLAGS)
    sums = stretch.sums()
    assert (sums.total, sums.failed_open, sums.unseen) == (8, 8, 8)
    assert sums.gaps == {"hidden_thinking": 8, "unknown_shape": 8}
    assert sums.share(sums.over[Check.DECEPTION]) == 0.5
    assert [(name, found.total) for name, found in stretch.models()] == [("m", 8)]
    assert stretch.scores(Check.MISMATCH)[[0, STEPS]].tolist() == [4, 4]


def test_a_piece_is_taken_in_once_and_the_rest_is_counted_each_time():
    counted = Counted([10], rest=[11])
    trends = Trends(counted, lambda: NOON)
    for _ in range(2):
        assert totals(trends.last(3, FLAGS)) == [2, 2, 0]
    counted.full.append([11, 11])
    counted.after = [10, 12]  # one of them late
    assert totals(trends.last(3, FLAGS)) == [4, 2, 2]
    assert totals(trends.last(3, FLAGS)) == [4, 2, 2]
    assert [first for first, _ in counted.asked] == [0, 1, 1, 2]


def test_what_was_seen_before_is_not_changed_by_another_look():
    counted = Counted([11])
    trends = Trends(counted, lambda: NOON)
    seen = trends.last(3, FLAGS)
    counted.full.append([11])
    assert totals(trends.last(3, FLAGS)) == [0, 4, 0]
    assert totals(seen) == [0, 2, 0]


def test_a_look_further_back_and_other_thresholds_begin_anew():
    counted = Counted([4, 11])
    trends = Trends(counted, lambda: NOON)
    assert trends.last(3, FLAGS).sums().total == 2
    assert trends.last(9, FLAGS).sums().total == 4
    low = {**FLAGS, Check.MISMATCH: 0.0}
    assert trends.last(3, low).sums().over == {
        Check.DECEPTION: 1, Check.DANGEROUS_REASONING: 1, Check.MISMATCH: 2,
    }  # fmt: skip
    assert [since for _, since in counted.asked] == [
        "2026-01-01T10", "2026-01-01T04", "2026-01-01T10",
    ]  # fmt: skip


def test_what_is_kept_is_bounded():
    now = NOON
    trends = Trends(Counted([11]), lambda: now)
    assert trends.last(2, FLAGS).sums().total == 2
    now += KEPT * HOUR
    trends.last(1, FLAGS)
    assert trends._hours == {}
    assert trends.last(KEPT + 3, FLAGS).sums().total == 2  # read anew


def test_names_of_models_are_bounded():
    counted = Counted([11])
    counted.hours = lambda hours: {
        f"2026-01-01T{h:02}": {f"m{n}": group() for n in range(MAX_MODELS + 9)} for h in hours
    }
    models = dict(Trends(counted, lambda: NOON).last(2, FLAGS).models())
    assert models[OTHER_MODELS].total == 18


def test_bars_stand_on_each_other_and_the_highest_fills_the_chart():
    layers = [
        Layer(kind="a", name="A", counts=[1, 0, 30]),
        Layer(kind="b", name="B", counts=[3, 0, 10]),
    ]
    drawn = stacked(layers, ["one", "two", "three"])
    assert drawn.top == 40
    assert [(bar.kind, bar.label) for bar in drawn.bars] == [
        ("a", "one: 1 a"),
        ("b", "one: 3 b"),
        ("a", "three: 30 a"),
        ("b", "three: 10 b"),
    ]
    below, above = drawn.bars[2:]
    assert below.y + below.height == HEIGHT
    assert above.y + above.height == below.y
    assert above.y == 0
    assert max(bar.x + bar.width for bar in drawn.bars) <= WIDTH


def test_nothing_is_drawn_of_nothing():
    assert stacked([Layer(kind="a", name="A", counts=[0, 0])], ["x", "y"]).bars == []
    assert outline([0.0] * BINS, 0) == ""


def test_an_outline_ends_at_the_right_edge():
    assert outline([1.0, 0.0], 1.0) == f"M0 {HEIGHT}V0.0H500.0V100.0H1000.0"


def scores(*values):
    counts = np.zeros(STEPS + 1, np.uint32)
    for value in values:
        counts[value] += 1
    return counts


def test_drift_is_none_for_the_same_scores_and_large_for_others():
    old = scores(*range(0, 1000, 2))
    assert stability(old, old) == pytest.approx(0, abs=1e-9)
    assert stability(scores(*range(500, 1000, 1)), old) > 0.25
    assert stability(scores(*range(1, 1000, 2)), old) < 0.1


def test_drift_of_scores_that_were_all_alike_is_finite():
    old, new = scores(*[3] * 500), scores(*[1000] * 500)
    assert stability(old, old) == pytest.approx(0, abs=1e-9)
    assert 0.25 < stability(new, old) < 100


def test_of_few_verdicts_no_drift_is_told():
    assert stability(scores(1, 2), scores(*range(500))) is None


def test_each_that_waits_is_of_one_age():
    ages = [timedelta(minutes=5), timedelta(hours=1), timedelta(hours=30), timedelta(days=40)]
    since = tuple((NOON - age).isoformat() for age in sorted(ages, reverse=True))
    found = waiting(Backlog(total=9, since=since), NOON)
    assert [count for _, count in found.ages] == [1, 1, 0, 1, 1]
    assert (found.total, found.told, found.oldest) == (9, 4, timedelta(days=40))
    assert waiting(Backlog(total=0, since=()), NOON).oldest is None


def test_shares_and_ages_are_told_with_as_many_digits_as_help():
    assert [_share(p) for p in (None, 0, 0.00042, 0.123, 1)] == [
        "\u2013", "0.0 %", "0.04 %", "12.3 %", "100.0 %",
    ]  # fmt: skip
    minutes = (0, 119, 120, 47 * 60, 48 * 60)
    told = [_age(timedelta(minutes=m)) for m in minutes]
    assert told == ["0 min", "119 min", "2 h", "47 h", "2 d"]
