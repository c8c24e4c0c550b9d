"""Counts over time are those of the verdicts in that time, on every database."""

from dataclasses import replace

import pytest

from monitor.store.tallies import MAX_MODELS, OTHER_MODELS
from monitor.types import Check, Decision

SINCE, UNTIL = "2026-01-01T00:00:00.000Z", "2026-01-01T01:00:00.000Z"
FLAGS = {Check.DECEPTION: 0.8, Check.DANGEROUS_REASONING: 0.25, Check.MISMATCH: 0.5}


def total(tally):
    return sum(cell.count for cell in tally.cells)


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
    tally = filled.tallies.tally(SINCE, UNTIL, FLAGS)
    found = {(c.model, c.decision, c.unscored): c for c in tally.cells}
    assert {key: cell.count for key, cell in found.items()} == {
        ("some-model", Decision.ALLOW, False): 2,
        ("some-model", Decision.FLAG, False): 1,
        ("other", Decision.BLOCK, False): 1,
        ("some-model", Decision.BLOCK, True): 1,
    }
    assert found["some-model", Decision.FLAG, False].over == {
        Check.DECEPTION: 1,
        Check.DANGEROUS_REASONING: 1,
        Check.MISMATCH: 0,
    }


def test_scores_are_counted_by_their_step_and_what_has_none_is_not(filled):
    scores = filled.tallies.tally(SINCE, UNTIL, FLAGS).scores
    assert scores[Check.DECEPTION] == {100: 2, 800: 1, 1000: 1}
    assert scores[Check.MISMATCH] == {125: 4}


def test_a_stretch_holds_its_beginning_and_not_its_end(store, sample):
    store.record_verdicts([sample(n) for n in (1, 2, 3)])
    first, last = "2026-01-01T00:00:00.001Z", "2026-01-01T00:00:00.003Z"
    assert total(store.tallies.tally(first, last, FLAGS)) == 2
    assert total(store.tallies.tally(last, first, FLAGS)) == 0


def test_the_first_is_the_oldest_that_was_judged_with_its_response(store, sample):
    assert store.tallies.first() is None
    store.record_verdicts([sample(1)], run="again")
    assert store.tallies.first() is None
    store.record_verdicts([sample(5), sample(3)])
    assert store.tallies.first() == "2026-01-01T00:00:00.003Z"


def test_what_was_judged_again_later_does_not_count(store, sample):
    store.record_verdicts([sample(1)])
    store.record_verdicts([sample(2)], run="again")
    assert total(store.tallies.tally(SINCE, UNTIL, FLAGS)) == 1
    assert store.tallies.reaching(SINCE, UNTIL, {Check.DECEPTION: 0.1}) == 1


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
    cells = store.tallies.tally(SINCE, UNTIL, FLAGS).cells
    assert {cell.failed_open: cell.count for cell in cells} == {True: 3, False: 1}


def test_many_names_of_models_share_one(store, sample):
    names = [f"m{number}" for number in range(MAX_MODELS + 5)]
    store.record_verdicts([sample(n, model=name) for n, name in enumerate([*names, "m0"])])
    cells = store.tallies.tally(SINCE, UNTIL, FLAGS).cells
    assert sum(cell.count for cell in cells if cell.model == OTHER_MODELS) == 5
    assert sum(cell.count for cell in cells if cell.model == "m0") == 2


def test_the_backlog_is_what_waits_the_oldest_first(filled):
    backlog = filled.reviews.backlog()
    assert backlog.total == 3
    assert backlog.since == tuple(f"2026-01-01T00:00:00.00{n}Z" for n in (2, 3, 4))
