"""What the overview draws is what was counted, and an hour that is over is counted once."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from dashboard.overview import BINS, stability, waiting
from dashboard.plot import HEIGHT, WIDTH, Layer, outline, stacked
from dashboard.render import _age, _share
from dashboard.trends import HOUR, KEPT, LATE, Trends
from monitor.store import Backlog, Cell, Tally
from monitor.store.tallies import STEPS
from monitor.types import Check, Decision

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
FLAGS = dict.fromkeys(Check, 0.5)


class Counted:
    """Tallies that remember what they were asked."""

    def __init__(self):
        self.asked = []

    def first(self):
        return "2020"

    def tally(self, since, until, flags):
        self.asked.append(since)
        cell = Cell(
            model="m",
            decision=Decision.FLAG,
            unscored=False,
            failed_open=True,
            gaps="hidden_thinking unknown_shape",
            count=2,
            over={Check.DECEPTION: 1},
        )
        scores = {check: {0: 1, STEPS: 1} for check in Check}
        return Tally(cells=(cell,), scores=scores)


def test_hours_end_with_the_running_one_and_skip_goes_further_back():
    tallies = Counted()
    trends = Trends(tallies, lambda: NOON + timedelta(minutes=20))
    stretch = trends.last(3, FLAGS)
    assert (stretch.since, stretch.until) == (NOON - 2 * HOUR, NOON + HOUR)
    assert trends.last(3, FLAGS, skip=3).until == stretch.since
    assert tallies.asked[0] == "2026-01-01T10:00:00.000Z"


def test_sums_say_how_much_of_what_there_was():
    trends = Trends(Counted(), lambda: NOON)
    stretch = trends.last(3, FLAGS)
    sums = stretch.sums()
    assert (sums.total, sums.failed_open, sums.unseen) == (6, 6, 6)
    assert sums.gaps == {"hidden_thinking": 6, "unknown_shape": 6}
    assert sums.share(sums.over[Check.DECEPTION]) == 0.5
    assert [(name, found.total) for name, found in stretch.models()] == [("m", 6)]
    assert stretch.scores(Check.MISMATCH)[[0, STEPS]].tolist() == [3, 3]


def test_an_hour_that_is_over_is_counted_once_and_a_running_one_each_time():
    tallies, now = Counted(), NOON
    trends = Trends(tallies, lambda: now)
    for _ in range(3):
        trends.last(3, FLAGS)
    counts = {when: tallies.asked.count(when) for when in tallies.asked}
    assert list(counts.values()) == [1, 3, 3]
    now += LATE
    trends.last(2, FLAGS)
    trends.last(2, FLAGS)
    assert tallies.asked.count("2026-01-01T12:00:00.000Z") == 5


def test_before_the_oldest_verdict_nothing_is_counted():
    tallies = Counted()
    tallies.first = lambda: "2026-01-01T11:59:59.999Z"
    assert Trends(tallies, lambda: NOON).last(5, FLAGS).sums().total == 4
    tallies.first = lambda: None
    assert Trends(tallies, lambda: NOON).last(5, FLAGS).sums().total == 0
    assert len(tallies.asked) == 2


def test_other_thresholds_are_counted_anew():
    tallies = Counted()
    trends = Trends(tallies, lambda: NOON)
    trends.last(9, FLAGS)
    trends.last(9, {**FLAGS, Check.MISMATCH: 0.6})
    assert len(tallies.asked) == 18


def test_what_is_kept_is_bounded():
    trends = Trends(Counted(), lambda: NOON)
    trends.last(KEPT + 50, FLAGS)
    trends.last(1, FLAGS)
    assert len(trends._hours) == KEPT


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
