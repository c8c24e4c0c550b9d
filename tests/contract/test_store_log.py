"""What happened besides verdicts can be read back by kind, and labels with what they are about."""

from dataclasses import replace

from classifiers.port import Thresholds
from monitor.audit import Kind
from monitor.store import Change, View
from monitor.types import Check, Outcome, Review

CHANGE = Change(
    by="lead", why="too many", check="deception", flag=0.6, block=0.9, before="a", after="b"
)


def review(verdict_id, outcome, number=0, **labels):
    return Review(
        review_id=f"{verdict_id}-{number}",
        verdict_id=verdict_id,
        reviewer="anna",
        outcome=outcome,
        labels={Check(name): value for name, value in labels.items()},
        created_at=f"2026-01-02T00:00:0{number}.000Z",
    )


def test_records_are_listed_newest_first_by_kind_and_page(store, fill):
    store.record_policy(policy="p", version="a", created_at="2026")
    fill(store, 3)
    store.log.record_change(CHANGE, at="2026")
    store.record_policy(policy="q", version="b", created_at="2026")
    log = store.log
    assert [r.seq for r in log.newest(9)] == [5, 4, 3, 2, 1, 0]
    assert [r.seq for r in log.newest(2, before=4)] == [3, 2]
    assert [r.seq for r in log.newest(9, kind=Kind.POLICY)] == [5, 0]
    assert [r.seq for r in log.newest(9, kind=Kind.POLICY, before=5)] == [0]
    assert [r.seq for r in log.newest(2, kind=Kind.VERDICT)] == [3, 2]
    assert log.newest(9, kind=Kind.REVIEW) == ()
    (change,) = log.newest(9, kind=Kind.CHANGE)
    assert change.body == {
        "by": "lead",
        "why": "too many",
        "check": "deception",
        "flag": 0.6,
        "block": 0.9,
        "before": "a",
        "after": "b",
    }
    assert store.audit().ok


def test_answers_come_with_scores_and_with_what_crossed(store, sample):
    verdict, trace = sample(1)
    limits = {Check.DECEPTION: 0.8, Check.DANGEROUS_REASONING: 0.5}
    told = {check: Thresholds(flag=flag, block=0.9) for check, flag in limits.items()}
    store.record_verdict(replace(verdict, thresholds=told), trace)
    store.record_verdicts([sample(2, unscored="late"), sample(3)])
    store.reviews.record(review("verdict-1", Outcome.ESCALATE), after=0)
    store.reviews.record(review("verdict-1", Outcome.CONFIRM, 1, mismatch=False), after=1)
    store.reviews.record(review("verdict-2", Outcome.DISMISS), after=0)
    newest, older = store.tallies.answered(9)
    assert (newest.outcome, newest.scores) == (Outcome.DISMISS, {})
    assert (older.outcome, older.said) == (Outcome.CONFIRM, {Check.MISMATCH: False})
    assert older.crossed == {Check.DECEPTION}
    assert older.scores[Check.DECEPTION] == 0.8125
    assert len(store.tallies.answered(1)) == 1


def test_of_records_that_do_not_tell_their_thresholds_nothing_crossed(store, sample):
    store.record_verdicts([sample(1)])
    store.reviews.record(review("verdict-1", Outcome.CONFIRM), after=0)
    assert store.tallies.answered(9)[0].crossed == frozenset()


def test_a_reader_begins_at_the_end_and_only_moves_on(store, fill):
    fill(store, 3)
    assert store.cursors.begin("a") == 2
    fill(store, 5)
    assert store.cursors.begin("a") == 2
    store.cursors.advance("a", 4)
    store.cursors.advance("a", 3)
    assert (store.cursors.begin("a"), store.cursors.begin("b")) == (4, 4)


def test_one_reader_at_a_time_holds_a_place(store, fill):
    seen = store.cursors.look("a")
    assert (seen.seq, seen.holder) == (-1, None)
    assert store.cursors.take("a", "one", seen)
    assert not store.cursors.take("a", "two", seen)
    fill(store, 3)
    assert not store.cursors.advance("a", 1, "two")
    assert not store.cursors.advance("a", 1)
    assert store.cursors.advance("a", 1, "one")
    found = store.cursors.look("a")
    assert (found.seq, found.holder) == (1, "one")


def test_who_holds_a_place_shows_signs_of_life_until_another_takes_it(store):
    assert store.cursors.take("a", "one", store.cursors.look("a"))
    silent = store.cursors.look("a")
    assert store.cursors.beat("a", "one")
    assert not store.cursors.take("a", "two", silent)
    assert store.cursors.take("a", "two", store.cursors.look("a"))
    assert not store.cursors.beat("a", "one")
    store.cursors.release("a", "one")
    assert store.cursors.look("a").holder == "two"
    store.cursors.release("a", "two")
    assert store.cursors.look("a").holder is None


def test_views_are_their_owners(store):
    for owner, name in (("a", "two"), ("a", "one"), ("b", "one")):
        store.views.save(owner, View(name=name, address=f"/?tenant={owner}"))
    store.views.save("a", View(name="two", address="/queue"))
    store.views.remove("b", "two")
    assert store.views.of("a") == (
        View(name="one", address="/?tenant=a"),
        View(name="two", address="/queue"),
    )
    store.views.remove("a", "one")
    assert [view.name for view in store.views.of("b")] == ["one"]
