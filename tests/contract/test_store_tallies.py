"""Counts over time are those of the verdicts in that time, on every database."""

import zlib
from collections import Counter
from dataclasses import replace

import pytest

from monitor.store import CorruptContent, Store, counts
from monitor.store.counts import MAX_MODELS, OTHER_MODELS, STEPS, step_of
from monitor.store.schema import counts as kept
from monitor.store.schema import verdicts
from monitor.types import Check, Decision

SINCE, UNTIL = "2026-01-01T00:00:00.000Z", "2026-01-01T01:00:00.000Z"
HOUR = "2026-01-01T00"


def sizes(hours):
    """How many verdicts of each model."""
    found = Counter()
    for models in hours.values():
        for model, group in models.items():
            found[model] += group.alike.total()
    return found


@pytest.fixture
def pieces(monkeypatch):
    """Pieces so short that a test fills some."""
    monkeypatch.setattr(counts, "PIECE", 4)


def late(sample, number, hour):
    """A verdict made at another hour than is usual here."""
    verdict, trace = sample(number)
    return replace(verdict, created_at=f"2026-01-01T{hour:02}:30:00.000Z"), trace


@pytest.fixture
def filled(store, sample):
    store.record_verdicts(
        [
            sample(0, decision=Decision.ALLOW, deception=0.1),
            sample(1, decision=Decision.ALLOW, deception=0.1),
            sample(2, deception=0.8),
            sample(3, decision=Decision.BLOCK, deception=1.0, model="other"),
            sample(4, decision=Decision.BLOCK, unscored="too late"),
        ]
    )
    return store


def test_verdicts_that_are_alike_are_counted_together(filled):
    (models,) = filled.tallies.rest(0).values()
    allow, flag, block = (decision.value for decision in Decision)
    assert models["some-model"].alike == {
        (allow, False, False, ""): 2,
        (flag, False, False, ""): 1,
        (block, True, False, ""): 1,
    }
    assert models["other"].alike == {(block, False, False, ""): 1}


def test_scores_are_counted_by_their_step_and_what_has_none_is_not(filled):
    models = filled.tallies.rest(0)[HOUR]
    deception, _, mismatch = models["some-model"].steps
    assert (deception, models["other"].steps[0]) == ([100, 100, 800], [1000])
    assert mismatch == [125] * 3


def test_a_score_written_as_a_multiple_of_a_step_is_of_that_step():
    assert [step_of(n / STEPS) for n in range(STEPS + 1)] == list(range(STEPS + 1))
    assert step_of(0.5709) == 570


def test_what_was_judged_again_later_does_not_count(store, sample):
    store.record_verdicts([sample(1)])
    store.record_verdicts([sample(2)], run="again")
    assert sizes(store.tallies.rest(0)) == {"some-model": 1}
    assert store.tallies.reaching(SINCE, UNTIL, {Check.DECEPTION: 0.1}) == 1


@pytest.mark.usefixtures("pieces")
def test_full_pieces_are_kept_and_say_what_counting_says(store, sample):
    store.record_verdicts([late(sample, n, hour=n) for n in range(9)])
    counted = list(store.tallies.pieces(0, ""))
    assert [store.tallies.fold() for _ in range(3)] == [True, True, False]
    assert list(store.tallies.pieces(0, "")) == counted
    assert [list(hours) for hours in counted] == [
        [f"2026-01-01T{hour:02}" for hour in range(first, first + 4)] for first in (0, 4)
    ]
    assert list(store.tallies.rest(2)) == ["2026-01-01T08"]
    assert list(store.tallies.pieces(1, "")) == counted[1:]


@pytest.mark.usefixtures("pieces")
def test_pieces_in_which_all_is_older_are_not_read(store, sample):
    store.record_verdicts([late(sample, n, hour=n) for n in range(8)])
    while store.tallies.fold():
        pass
    first, second = store.tallies.pieces(0, "2026-01-01T06")
    assert (first, len(second)) == ({}, 4)


@pytest.mark.usefixtures("pieces")
def test_what_was_recorded_late_is_counted_too(store, sample):
    store.record_verdicts([late(sample, n, hour=9) for n in range(4)])
    assert store.tallies.fold()
    store.record_verdicts([late(sample, 5, hour=1)])
    assert list(store.tallies.rest(1)) == ["2026-01-01T01"]


@pytest.mark.usefixtures("pieces")
def test_two_processes_may_keep_the_same_piece(store, fill):
    fill(store, 4)
    with store.writing() as connection:
        hours = counts.count(connection, 0)
        for _ in range(2):
            counts.keep(connection, 0, hours)
    assert not store.tallies.fold()


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize(
    "change",
    [
        {"data": b"no counts"},
        {"data": zlib.compress(b"{}")},
        {"newest": "2030"},
        {"blocks": 0, "allows": 9},
    ],
)
def test_the_audit_finds_counts_that_were_altered(store, fill, change):
    fill(store, 9)
    while store.tallies.fold():
        pass
    assert store.audit().ok
    with store.writing() as connection:
        connection.execute(kept.update().where(kept.c.piece == 1).values(change))
    (problem,) = store.audit().problems
    assert (problem.seq, "the counts" in problem.what) == (4, True)


@pytest.mark.usefixtures("pieces")
def test_how_many_there_are_is_read_from_what_is_kept(store, sample):
    decisions = [Decision.ALLOW, Decision.BLOCK, Decision.FLAG, Decision.BLOCK, Decision.ALLOW]
    store.record_verdicts([sample(n, decision=d) for n, d in enumerate(decisions)])
    store.record_verdicts([sample(5, unscored="too late")])
    store.record_verdicts([sample(n) for n in range(6, 10)], run="again")
    expected = store.summary()
    assert expected.decisions == {Decision.ALLOW: 2, Decision.FLAG: 2, Decision.BLOCK: 2}
    while store.tallies.fold():
        pass
    with store.reading() as connection:
        until, told = counts.summary(connection)
    assert (until, told) == (7, expected)
    assert Store(store._engine).summary() == expected
    with store.writing() as connection:
        connection.execute(kept.delete().where(kept.c.piece == 0))
    assert Store(store._engine).summary() == expected


@pytest.mark.usefixtures("pieces")
def test_counts_that_cannot_be_read_are_made_anew(store, fill):
    fill(store, 4)
    whole = list(store.tallies.pieces(0, ""))
    store.tallies.fold()
    with store.writing() as connection:
        connection.execute(kept.update().values(data=b"no counts"))
    assert list(store.tallies.pieces(0, "")) == whole


@pytest.mark.usefixtures("pieces")
def test_a_decision_that_is_none_is_not_counted(store, fill):
    fill(store, 8)
    store.tallies.fold()
    with store.writing() as connection:
        connection.execute(verdicts.update().values(decision=9))
    with pytest.raises(CorruptContent):
        store.tallies.rest(1)
    with pytest.raises(CorruptContent):
        store.tallies.fold()
    assert any("the counts" in problem.what for problem in store.audit().problems)


def test_a_score_that_is_none_does_not_break_the_counts(store, fill):
    fill(store, 1)
    with store.writing() as connection:
        connection.execute(verdicts.update().values(deception=7.5))
    assert store.tallies.rest(0)[HOUR]["some-model"].steps[0] == [STEPS]


def test_reaching_counts_a_verdict_once_whatever_it_reached(filled):
    every = dict.fromkeys(Check, 0.1)
    assert filled.tallies.reaching(SINCE, UNTIL, every) == 4
    assert filled.tallies.reaching(SINCE, UNTIL, {Check.DECEPTION: 0.8}) == 2
    assert filled.tallies.reaching(SINCE, UNTIL, {Check.DECEPTION: 0.8001}) == 1


def test_what_passed_unjudged_is_found_newest_first(store, sample):
    for number in range(4):
        verdict, trace = sample(number)
        store.record_verdict(replace(verdict, failed_open=number != 2), trace)
    assert store.tallies.failed_open(SINCE, UNTIL, 2) == ("verdict-3", "verdict-1")
    alike = store.tallies.rest(0)[HOUR]["some-model"].alike
    assert {failed: n for (_, _, failed, _), n in alike.items()} == {True: 3, False: 1}


def test_many_names_of_models_share_one(store, sample):
    names = [f"m{number}" for number in range(MAX_MODELS + 5)]
    store.record_verdicts([sample(n, model=name) for n, name in enumerate([*names, "m0"])])
    found = sizes(store.tallies.rest(0))
    assert (found[OTHER_MODELS], found["m0"]) == (5, 2)


def test_the_backlog_is_what_waits_the_oldest_first(filled):
    backlog = filled.reviews.backlog()
    assert backlog.total == 3
    assert backlog.since == tuple(f"2026-01-01T00:00:00.00{n}Z" for n in (2, 3, 4))
