"""Second opinions: queued for another person, chained, told apart from what is settled."""

import pytest

from monitor.store import Asker, Conflict, Query
from monitor.types import Check, Decision, Outcome, Review, Standing

NOW, LATER = "2026-01-01T10:00:00.000Z", "2026-01-01T10:15:00.000Z"
ALL = Query(limit=100)


def asker(name, *, settles=False):
    return Asker(name=name, settles=settles, now=NOW)


def answer(store, name, outcome="confirm", number=0, *, settles=False, **more):
    asked, labels = more.pop("asked", True), more
    after = len(store.reviews.of(f"verdict-{number}"))
    given = Review(
        review_id=f"{name}-{number}-{after}",
        verdict_id=f"verdict-{number}",
        reviewer=name,
        outcome=Outcome(outcome),
        labels={Check(check): value for check, value in labels.items()},
        created_at=NOW,
    )
    return store.reviews.record(given, after=after, settles=settles, second=lambda _: asked)


def stands(store, number=0):
    rows = {row.verdict_id: row.review for row in store.verdicts(Query()).rows}
    return rows[f"verdict-{number}"]


def offered(store, name, *, settles=False):
    found = store.reviews.queue(asker(name, settles=settles), ALL)
    return [task.row.verdict_id for task in found.tasks if task.offered]


def test_a_second_answer_is_for_another_person(store, fill):
    fill(store, 1)
    record = answer(store, "anna")
    assert record.body["standing"] == "second"
    assert stands(store) is Standing.SECOND
    assert (offered(store, "anna"), offered(store, "ben")) == ([], ["verdict-0"])
    desk = store.reviews
    assert desk.claim_next(asker("anna"), ALL, until=LATER) is None
    for act in (
        lambda: answer(store, "anna", "dismiss"),
        lambda: desk.claim("verdict-0", asker("anna"), until=LATER),
    ):
        with pytest.raises(Conflict, match="another person"):
            act()
    assert desk.claim_next(asker("ben"), ALL, until=LATER) == "verdict-0"
    assert list(desk.answered()) == []
    answer(store, "ben")
    assert stands(store) is Standing.CONFIRM
    assert offered(store, "cleo", settles=True) == []
    assert list(desk.answered()) == ["verdict-0"]
    assert [s.standing for s in desk.of("verdict-0")] == [Standing.SECOND, Standing.CONFIRM]
    assert store.audit().ok


def test_where_two_differ_a_lead_who_is_neither_decides(store, fill):
    fill(store, 1)
    answer(store, "lea", settles=True)
    answer(store, "ben", "dismiss")
    assert stands(store) is Standing.DISPUTE
    assert store.reviews.standing() == {Standing.DISPUTE: 1}
    with pytest.raises(Conflict, match="a lead decides"):
        answer(store, "cleo")
    with pytest.raises(Conflict, match="another lead"):
        answer(store, "lea", settles=True)
    assert (offered(store, "cleo"), offered(store, "lea", settles=True)) == ([], [])
    assert offered(store, "leo", settles=True) == ["verdict-0"]
    answer(store, "leo", "dismiss", settles=True)
    assert stands(store) is Standing.DISMISS
    with pytest.raises(Conflict, match="only a lead"):
        answer(store, "cleo")
    assert store.audit().ok


def test_differing_about_a_check_is_differing(store, fill):
    fill(store, 2)
    answer(store, "anna", deception=True)
    answer(store, "ben", deception=False)
    assert stands(store) is Standing.DISPUTE
    answer(store, "anna", number=1, mismatch=True)
    answer(store, "ben", number=1, deception=True)
    assert stands(store, 1) is Standing.CONFIRM


def test_only_what_is_chosen_is_for_two(store, sample):
    store.record_verdicts([sample(0, decision=Decision.FLAG), sample(1, decision=Decision.BLOCK)])
    for number in range(2):
        given = Review(
            review_id=str(number),
            verdict_id=f"verdict-{number}",
            reviewer="anna",
            outcome=Outcome.CONFIRM,
            created_at=NOW,
        )
        store.reviews.record(given, after=0, second=lambda d: d is Decision.BLOCK)
    assert (stands(store), stands(store, 1)) == (Standing.CONFIRM, Standing.SECOND)


def test_the_queue_is_asked_by_stage(store, fill):
    fill(store, 4)
    answer(store, "anna", number=1)
    answer(store, "anna", number=2)
    answer(store, "ben", "dismiss", number=2)
    answer(store, "anna", "escalate", number=3)

    def waiting(**query):
        found = store.reviews.queue(asker("leo", settles=True), Query(**query))
        return [task.row.verdict_id for task in found.tasks]

    assert waiting(unanswered=True) == ["verdict-0"]
    assert waiting(standing=Standing.SECOND) == ["verdict-1"]
    assert waiting(standing=Standing.DISPUTE) == ["verdict-2"]
    assert waiting(standing=Standing.ESCALATE) == ["verdict-3"]
    assert waiting() == [f"verdict-{n}" for n in (2, 3, 0, 1)]
    assert [row.verdict_id for row in store.verdicts(Query(standing=Standing.SECOND)).rows] == [
        "verdict-1"
    ]


def test_pairs_are_first_and_second_answers_and_no_more(store, fill):
    fill(store, 4)
    for name, outcome in (("anna", "confirm"), ("ben", "dismiss")):
        answer(store, name, outcome)
    answer(store, "leo", "confirm", settles=True)
    answer(store, "anna", number=1)
    answer(store, "anna", number=2, asked=False)
    answer(store, "ben", number=2, asked=False)
    answer(store, "cleo", "dismiss", number=3, mismatch=True)
    answer(store, "dan", "dismiss", number=3)
    found = store.reviews.pairs(10)
    assert [(p.first.reviewer, p.second.reviewer) for p in found] == [
        ("cleo", "dan"),
        ("anna", "ben"),
    ]
    assert found[1].first.outcome is Outcome.CONFIRM
    assert found[0].first.meaning[Check.MISMATCH] is True
    assert len(store.reviews.pairs(1)) == 1


def test_the_first_answer_is_undisclosed_until_the_second(store, fill):
    fill(store, 2)
    first, other = answer(store, "anna"), answer(store, "anna", number=1, asked=False)
    seqs = [first.seq, other.seq]
    assert store.reviews.undisclosed(seqs) == {first.seq}
    answer(store, "ben")
    assert store.reviews.undisclosed(seqs) == frozenset()


def test_thresholds_are_not_chosen_by_what_is_not_settled(store, fill):
    fill(store, 1)
    answer(store, "anna")
    assert store.tallies.answered(10) == ()
    answer(store, "ben")
    assert len(store.tallies.answered(10)) == 1
