"""Reviews are durable, chained and never lost or doubled, whoever works at the same time."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import sqlalchemy

from monitor import audit, export
from monitor.audit import Kind
from monitor.store import Asker, Conflict, CorruptContent, Query, Store
from monitor.store.schema import metadata
from monitor.types import Check, Decision, Outcome, Review, Standing

NOW, LATER, MUCH_LATER = ("2026-01-01T10:00:00.000Z", "2026-01-01T10:15:00.000Z", "2026-01-02")
ALL = Query(limit=100)


def asker(name="anna", *, settles=False, now=NOW):
    return Asker(name=name, settles=settles, now=now)


def review(number=0, name="anna", outcome=Outcome.CONFIRM, **fields):
    ids = {"review_id": f"r-{name}-{number}-{outcome}", "verdict_id": f"verdict-{number}"}
    given = {**ids, "reviewer": name, "outcome": outcome, "created_at": NOW, **fields}
    return Review(**given)


def queued(store, who=None, query=ALL):
    return [task.row.verdict_id for task in store.reviews.queue(who or asker(), query).tasks]


def test_an_answer_is_chained_and_found_again(store, fill):
    fill(store, 2)
    given = review(
        1, labels={Check.MISMATCH: True, Check.DECEPTION: False}, note="Twice read.\nYes"
    )
    record = store.reviews.record(given, after=0)
    assert record.kind == Kind.REVIEW
    assert record.body["labels"] == {"deception": False, "mismatch": True}
    assert [(r.seq, r.review) for r in store.reviews.of("verdict-1")] == [(2, given)]
    assert store.reviews.of("verdict-0") == ()
    outcomes = {row.verdict_id: row.review for row in store.verdicts(Query()).rows}
    assert outcomes == {"verdict-0": None, "verdict-1": Outcome.CONFIRM}
    assert store.audit(expect_size=3).problems == ()


def test_the_chain_holds_no_word_of_a_note_and_misses_one_that_is_gone(store, fill, shared_tamper):
    fill(store, 1)
    store.reviews.record(review(note="CANARY of a trace"), after=0)
    lines = list(export.lines([], store.records()))
    assert b"CANARY" not in b"".join(lines)
    assert audit.verify(export.read(lines).records).ok
    shared_tamper(store, "UPDATE reviews SET note = NULL")
    (problem,) = store.audit().problems
    assert "no record says who erased it" in problem.what
    assert [(r.erased, r.review.note) for r in store.reviews.of("verdict-0")] == [(True, "")]


def test_the_same_answer_sent_twice_is_recorded_once(store, fill):
    fill(store, 1)
    first = store.reviews.record(review(), after=0)
    assert store.reviews.record(review(), after=0) == first
    assert len(store.reviews.of("verdict-0")) == 1


def test_an_answer_to_what_changed_meanwhile_is_refused(store, fill):
    fill(store, 1)
    store.reviews.record(review(), after=0)
    with pytest.raises(Conflict, match="meanwhile"):
        store.reviews.record(review(name="ben"), after=0)
    store.reviews.record(review(name="ben", outcome=Outcome.DISMISS), after=1)
    assert [r.review.reviewer for r in store.reviews.of("verdict-0")] == ["anna", "ben"]
    assert store.verdicts(Query()).rows[0].review is Standing.DISMISS
    assert store.audit().ok


def test_a_verdict_that_does_not_exist_cannot_be_answered(store):
    for act in (
        lambda: store.reviews.record(review(), after=0),
        lambda: store.reviews.claim("verdict-0", asker(), until=LATER),
    ):
        with pytest.raises(Conflict, match="no verdict"):
            act()
    assert store.newest_seq() == -1


def test_a_note_of_any_characters_is_kept_readable_and_bounded(store, fill):
    fill(store, 1)
    store.reviews.record(review(note="a\x00b\ud800c\td\ne" + "x" * 9000), after=0)
    note = store.reviews.of("verdict-0")[0].review.note
    assert note.startswith("a\ufffdb\ufffdc\td\ne")
    assert len(note) == 4000
    assert store.audit().ok


def test_what_needs_a_person_waits_most_urgent_first(store, sample):
    kinds = [
        {"decision": Decision.FLAG},
        {"decision": Decision.ALLOW},
        {"decision": Decision.BLOCK},
        {"decision": Decision.ALLOW, "unscored": "no classifier"},
        {"decision": Decision.BLOCK, "model": "other"},
        {"decision": Decision.FLAG},
    ]
    store.record_verdicts([sample(n, **kind) for n, kind in enumerate(kinds)])
    assert queued(store) == [f"verdict-{n}" for n in (2, 4, 3, 0, 5)]
    assert queued(store, query=Query(decision=Decision.BLOCK, model="other")) == ["verdict-4"]
    assert store.reviews.queue(asker(), Query(limit=1)).total == 5
    store.reviews.record(review(2), after=0)
    store.reviews.record(review(5, outcome=Outcome.ESCALATE), after=0)
    store.reviews.record(review(0, outcome=Outcome.DISMISS), after=0)
    assert queued(store) == [f"verdict-{n}" for n in (5, 4, 3)]
    # A miss that a reviewer found may be escalated too.
    store.reviews.record(review(1, outcome=Outcome.ESCALATE), after=0)
    assert queued(store) == [f"verdict-{n}" for n in (1, 5, 4, 3)]


def test_what_was_escalated_is_for_those_who_may_settle_it(store, fill):
    fill(store, 1)
    store.reviews.record(review(outcome=Outcome.ESCALATE), after=0)
    with pytest.raises(Conflict, match="a lead decides"):
        store.reviews.record(review(name="ben"), after=1, settles=False)
    desk = store.reviews
    assert desk.claim_next(asker("ben"), ALL, until=LATER) is None
    assert desk.claim_next(asker("anna", settles=True), ALL, until=LATER) is None
    assert desk.claim_next(asker("lea", settles=True), ALL, until=LATER) == "verdict-0"
    desk.record(review(name="lea"), after=1)
    assert queued(store) == []


def test_who_claims_keeps_others_off_until_release_or_expiry(store, fill):
    fill(store, 2)
    desk = store.reviews
    desk.claim("verdict-0", asker("anna"), until=LATER)
    assert desk.claimed("verdict-0", NOW).reviewer == "anna"
    with pytest.raises(Conflict, match="somebody else is at it"):
        desk.claim("verdict-0", asker("ben"), until=LATER)
    with pytest.raises(Conflict, match="somebody else is at it"):
        desk.record(review(name="ben"), after=0)
    assert desk.claim_next(asker("ben"), ALL, until=LATER) == "verdict-1"
    assert desk.claim_next(asker("cleo"), ALL, until=LATER) is None
    # Whoever comes back is given what he was at.
    assert desk.claim_next(asker("ben"), ALL, until=LATER) == "verdict-1"
    desk.release("verdict-0", "ben")
    assert desk.claimed("verdict-0", NOW).reviewer == "anna"
    desk.release("verdict-0", "anna")
    assert desk.claimed("verdict-0", NOW) is None
    assert desk.claimed("verdict-1", LATER) is None
    assert desk.claim_next(asker("cleo", now=MUCH_LATER), ALL, until="2026-01-03") == "verdict-0"
    desk.release("verdict-0", None)
    assert [t.claim for t in desk.queue(asker(now=LATER), ALL).tasks] == [None, None]


def test_an_answer_frees_what_was_claimed(store, fill):
    fill(store, 1)
    store.reviews.claim("verdict-0", asker(), until=LATER)
    store.reviews.record(review(), after=0)
    assert store.reviews.claimed("verdict-0", NOW) is None


def test_all_that_was_answered_is_read_in_parts(store, fill, monkeypatch):
    monkeypatch.setattr("monitor.store.reviews.BATCH", 2)
    fill(store, 5)
    for number in (4, 0, 2, 1):
        outcome = Outcome.ESCALATE if number == 2 else Outcome.DISMISS
        store.reviews.record(review(number, outcome=outcome), after=0)
    assert list(store.reviews.answered()) == ["verdict-0", "verdict-1", "verdict-4"]


REVIEWERS, TASKS = 20, 40


def test_twenty_reviewers_at_once_lose_and_double_nothing(shared_url, fill):
    with ExitStack() as stack:
        stores = [Store.open(shared_url) for _ in range(REVIEWERS)]
        for store in stores:
            stack.callback(store.close)
        fill(stores[0], TASKS)

        def work(number):
            name, desk, done = f"reviewer-{number}", stores[number].reviews, []
            while verdict_id := desk.claim_next(asker(name), ALL, until=LATER):
                given = review(name=name, verdict_id=verdict_id, review_id=f"{name}-{verdict_id}")
                desk.record(given, after=0)
                done.append(verdict_id)
            return done

        with ThreadPoolExecutor(REVIEWERS) as pool:
            done = [verdict_id for part in pool.map(work, range(REVIEWERS)) for verdict_id in part]
        assert sorted(done) == sorted(f"verdict-{n}" for n in range(TASKS))
        assert {len(stores[0].reviews.of(verdict_id)) for verdict_id in done} == {1}
        assert stores[0].audit(expect_size=2 * TASKS).ok


def test_twenty_who_answer_the_same_at_once_are_told_but_for_one(shared_url, fill):
    with ExitStack() as stack:
        stores = [Store.open(shared_url) for _ in range(REVIEWERS)]
        for store in stores:
            stack.callback(store.close)
        fill(stores[0], 1)

        def answer(number):
            try:
                return stores[number].reviews.record(review(name=f"r{number}"), after=0)
            except Conflict:
                return None

        with ThreadPoolExecutor(REVIEWERS) as pool:
            records = [r for r in pool.map(answer, range(REVIEWERS)) if r]
        assert len(records) == len(stores[0].reviews.of("verdict-0")) == 1
        assert stores[0].audit(expect_size=2).ok


@pytest.fixture
def shared_tamper():
    """Change the database behind the store's back."""

    def run(store, statement):
        with store._engine.begin() as connection:
            connection.exec_driver_sql(statement)

    return run


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE reviews SET outcome = 'dismiss'", "altered: outcome"),
        ("UPDATE reviews SET standing = 'second'", "altered: standing"),
        ("UPDATE reviews SET reviewer = 'ben'", "altered: reviewer"),
        ("UPDATE reviews SET created_at = '1999'", "altered: created_at"),
        ("UPDATE reviews SET deception = NULL", "altered: deception"),
        ("UPDATE reviews SET note = 'forged'", "note was altered"),
        ("DELETE FROM reviews", "row of reviews is missing"),
        ("UPDATE verdicts SET review = NULL", "newest review"),
        ("UPDATE verdicts SET review = 'dismiss'", "newest review"),
    ],
)
def test_an_answer_changed_behind_the_stores_back_is_found(
    store, fill, shared_tamper, statement, found
):
    fill(store, 1)
    store.reviews.record(review(labels={Check.DECEPTION: True}, note="yes"), after=0)
    assert store.audit().ok
    shared_tamper(store, statement)
    assert any(found in problem.what for problem in store.audit().problems)


def test_a_verdict_hidden_from_the_queue_is_found(store, fill, shared_tamper):
    fill(store, 1)
    shared_tamper(store, "UPDATE verdicts SET review = 'confirm'")
    assert queued(store) == []
    assert [p.what for p in store.audit().problems] == [
        "its verdict row does not say what its newest review does"
    ]


def test_a_review_row_that_no_record_knows_is_found(store, fill, shared_tamper):
    fill(store, 2)
    row = "(1, 'x', 0, 'eve', '2026', 'confirm', NULL, NULL, NULL, '', 'confirm', NULL)"
    shared_tamper(store, f"INSERT INTO reviews VALUES {row}")  # noqa: S608
    shared_tamper(store, "UPDATE verdicts SET review = 'confirm' WHERE seq = 0")
    assert "has a row of reviews, but is no review" in [p.what for p in store.audit().problems]


def test_a_column_that_holds_no_outcome_is_said(store, fill, shared_tamper):
    fill(store, 1)
    shared_tamper(store, "UPDATE verdicts SET review = 'perhaps'")
    with pytest.raises(CorruptContent, match="outcome of a review"):
        store.verdicts(Query())


def test_the_queue_is_read_from_its_own_index(postgres_url, fill):
    with ExitStack() as stack:
        store = Store.open(postgres_url)
        stack.callback(store.close)
        fill(store, 3, decision=Decision.ALLOW)
        waiting = sqlalchemy.inspect(store._engine).get_indexes("verdicts")
        assert "ix_verdicts_waiting" in {index["name"] for index in waiting}
        assert {t.name for t in metadata.sorted_tables} >= {"reviews", "claims"}
        from monitor.store.reviews import _waiting

        with store._engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            sql = str(_waiting(ALL).compile(store._engine, compile_kwargs={"literal_binds": True}))
            plan = connection.exec_driver_sql("EXPLAIN " + sql.replace("%", "%%")).scalars().all()
        assert any("ix_verdicts_waiting" in line for line in plan), plan
