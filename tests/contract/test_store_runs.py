"""Runs of re-scoring are listed with what they came to, and keep no words of a trace."""

import json
from dataclasses import replace

import pytest
import sqlalchemy

from monitor.comparison import Change, Comparison, Drift, Flip, Group
from monitor.store import Conflict, CorruptContent
from monitor.types import Decision

THEN, NOW, LATER = (f"2026-01-01T10:0{n}:00.000Z" for n in range(3))
COUNTS = {Decision.ALLOW: 7, Decision.FLAG: 2, Decision.BLOCK: 1}
RATE = Change(name="flagged", before=0.1, after=0.2, low=-0.1, high=0.3)
FLIP = Flip(
    trace_id="t\x00\u202e",
    verdict_id="v-1",
    source="a.jsonl",
    line=3,
    model="m",
    before="allow",
    after="block",
    scores={"deception": (0.1, None)},
    quote="CANARY of a trace",
)
DRIFT = Drift(
    check="deception",
    traces=10,
    mean_before=0.1,
    mean_after=0.2,
    mean=0.1,
    p95=0.2,
    largest=0.3,
    lost=1,
    gained=0,
    histogram_before=(9, 1),
    histogram_after=(8, 1),
)
COMPARISON = Comparison(
    before="october",
    after="november",
    traces=10,
    only_before=1,
    only_after=2,
    matrix=((7, 1, 1), (0, 1, 0), (0, 0, 0)),
    changes=(RATE,),
    drifts=(DRIFT,),
    models=(Group(name="m", traces=10, flipped=2, changes=(RATE,)),),
    sources=(),
    top=(FLIP,),
)


def begin(store, name, started_at=THEN):
    store.runs.begin(name, started_at=started_at, policy="p1", model="m1")


def test_a_run_is_listed_from_its_beginning_and_counted_at_its_end(store):
    assert store.runs.newest() == ()
    begin(store, "november")
    begin(store, "a\x1bb", NOW)
    begin(store, "november", THEN)  # goes on after a crash
    store.runs.finish("november", finished_at=LATER, decisions=COUNTS, unscored=3, bad=4)
    other, run = store.runs.newest()
    assert (other.name[:3], other.finished_at, other.traces) == ("a\ufffdb", None, 0)
    assert (run.name, run.started_at, run.finished_at) == ("november", THEN, LATER)
    assert (run.decisions, run.traces, run.unscored, run.bad) == (COUNTS, 10, 3, 4)
    assert (run.policy, run.model, run.compared_with) == ("p1", "m1", None)
    assert store.runs.get("november") == (run, None)
    assert store.runs.get("a\x1bb")[0].started_at == NOW
    assert store.runs.get("december") is None


def test_a_finished_run_is_never_taken_for_another_of_its_name(store):
    begin(store, "november")
    begin(store, "november", LATER)  # began anew before anything was written
    store.runs.finish("november", finished_at=LATER, decisions=COUNTS, unscored=3, bad=4)
    begin(store, "november")  # the same again
    for options in ({}, {"scores_of": "october"}):
        with pytest.raises(Conflict, match="november"):
            store.runs.begin("november", started_at=NOW, policy="p2", model="m1", **options)
    assert store.runs.get("november")[0].decisions == COUNTS


def test_a_run_that_decided_anew_names_the_run_whose_scores_it_had(store):
    store.runs.begin("what-if", started_at=THEN, policy="p2", model="m1", scores_of="no\x1bvember")
    assert store.runs.newest()[0].scores_of[:9] == "no\ufffdvember"
    with pytest.raises(Conflict):
        begin(store, "what-if", LATER)


def test_a_comparison_is_kept_without_the_words_that_it_quotes(store):
    begin(store, "november")
    store.runs.compared("november", COMPARISON)
    run, found = store.runs.get("november")
    assert (run.compared_with, run.flipped) == ("october", 2)
    assert found == replace(COMPARISON, top=(replace(FLIP, quote=""),))
    with store.reading() as connection:
        kept = connection.execute(sqlalchemy.text("SELECT comparison FROM runs")).scalar_one()
    assert "CANARY" not in kept


@pytest.mark.parametrize("text", ["{", "[]", "{}", json.dumps({"before": 1})])
def test_a_comparison_that_is_none_is_said_to_be_altered(store, text):
    begin(store, "november")
    with store.writing() as connection:
        connection.execute(sqlalchemy.text("UPDATE runs SET comparison = :t"), {"t": text})
    with pytest.raises(CorruptContent, match="comparison"):
        store.runs.get("november")
