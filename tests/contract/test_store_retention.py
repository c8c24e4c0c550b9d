"""Text can be erased for good; the chain still verifies, and says who did it, when and why."""

import pytest
import sqlalchemy

from monitor.audit import Kind
from monitor.store import Erased, Query, Store
from monitor.store.erasures import Ranges, runs_of
from monitor.types import Decision, Outcome, Review
from monitor.wire import verdict_json

WHO = {"by": "anna", "reason": "request 7", "at": "2026-11-21T10:00:00.000Z"}


def noted(number, note="They wrote: canary"):
    return Review(
        review_id=f"review-{number}",
        verdict_id=f"verdict-{number}",
        reviewer="anna",
        outcome=Outcome.CONFIRM,
        note=note,
        created_at="2026-01-01T00:00:00.000Z",
    )


def texts(store):
    seqs = [row.seq for row in store.verdicts(Query(limit=500)).rows if row.excerpt is not None]
    return sorted(seqs)


def test_erased_text_leaves_the_chain_verifiable(store, sample):
    store.record_verdicts([sample(1), sample(2)])
    done = store.retention.erase(Query(verdict_ids=("verdict-1",)), **WHO)
    assert done == Erased(texts=1, notes=0)
    stored = store.verdict("verdict-1")
    assert stored.trace is None
    assert stored.row.excerpt is None
    assert stored.document == {**verdict_json(sample(1)[0]), "steps": [], "evidence": []}
    assert store.verdict("verdict-2").trace == sample(2)[1]
    report = store.audit()
    assert report.ok
    assert report.erased == 1


def test_the_chain_says_who_erased_what_when_and_why(store, sample):
    store.record_verdicts([sample(n) for n in range(5)])
    store.reviews.record(noted(3), after=0)
    wanted = Query(verdict_ids=("verdict-0", "verdict-1", "verdict-3"))
    assert store.retention.erase(wanted, **WHO) == Erased(texts=3, notes=1)
    record = list(store.records())[-1]
    assert (record.kind, record.created_at) == (Kind.RETENTION, WHO["at"])
    assert record.body == {
        "act": "erased",
        "by": "anna",
        "reason": "request 7",
        "texts": [[0, 1], [3, 3]],
        "notes": [[5, 5]],
    }
    assert list(store.retention.history()) == [record]
    (review,) = store.reviews.of("verdict-3")
    assert review.erased
    assert review.review.note == ""
    assert store.audit().ok


def test_counting_erases_nothing_and_tells_what_erasing_does(store, sample):
    store.record_verdicts([sample(n) for n in range(4)])
    store.record_verdicts([sample(1, verdict_id="again")], run="r")
    store.reviews.record(noted(1), after=0)
    before = store.newest_seq()
    assert store.retention.count(Query(tenant="us")) == Erased(texts=5, notes=1)
    assert store.newest_seq() == before
    assert store.retention.erase(Query(tenant="us"), **WHO) == Erased(texts=5, notes=1)
    assert store.retention.count(Query(tenant="us")) == Erased()


def test_erasing_what_is_gone_leaves_no_record(store, sample):
    store.record_verdict(*sample(1))
    store.retention.erase(Query(tenant="us"), **WHO)
    newest = store.newest_seq()
    assert store.retention.erase(Query(tenant="us"), **WHO) == Erased()
    assert store.newest_seq() == newest


def test_only_what_fits_is_erased(store, sample):
    store.record_verdicts(
        [
            sample(0),
            sample(1, tenant="acme"),
            sample(2, decision=Decision.ALLOW),
            sample(3, tenant="acme", decision=Decision.ALLOW),
        ]
    )
    store.retention.erase(Query(tenant="acme", decision=Decision.ALLOW), **WHO)
    assert texts(store) == [0, 1, 2]
    store.retention.erase(Query(until="2026-01-01T00:00:00.001Z"), **WHO)
    assert texts(store) == [1, 2]
    store.retention.erase(Query(except_tenants=("acme",)), **WHO)
    assert texts(store) == [1]
    assert store.audit().ok


def test_what_rescoring_kept_of_a_trace_goes_with_it(store, sample):
    store.record_verdicts([sample(1), sample(2)])
    again = [sample(1, verdict_id="again-1"), sample(2, verdict_id="again-2")]
    other = [sample(1, verdict_id="others", tenant="other")]
    store.record_verdicts([*again, *other], run="r")
    store.retention.erase(Query(verdict_ids=("verdict-1",)), **WHO)
    assert store.verdict("again-1").trace is None
    assert store.verdict("again-2").trace is not None
    assert store.verdict("others").trace is not None
    store.retention.erase(Query(run="r"), **WHO)
    assert store.verdict("again-2").trace is None
    assert store.verdict("verdict-2").trace is not None
    assert store.audit().ok


def test_a_note_that_came_after_the_text_had_gone_can_be_erased(store, sample):
    store.record_verdict(*sample(1))
    store.retention.erase(Query(tenant="us"), **WHO)
    store.reviews.record(noted(1), after=0)
    assert store.retention.erase(Query(tenant="us"), **WHO) == Erased(texts=0, notes=1)
    assert store.reviews.of("verdict-1")[0].erased
    assert store.audit().ok


def test_many_are_erased_in_several_transactions(store, fill):
    fill(store, 1100)
    assert store.retention.erase(Query(tenant="us"), **WHO) == Erased(texts=1100)
    told = [record.body["texts"] for record in store.retention.history()]
    assert told == [[[1000, 1099]], [[500, 999]], [[0, 499]]]
    assert store.audit().erased == 1100
    assert store.audit().ok


def test_rules_are_recorded_when_they_change(store):
    for rules in ((), ("30d",), ("30d",), ("30d", "acme=7d"), ()):
        store.retention.record_rules(rules, at="2026")
    told = [record.body for record in store.records()]
    assert told == [
        {"act": "rules", "rules": ["30d"]},
        {"act": "rules", "rules": ["30d", "acme=7d"]},
        {"act": "rules", "rules": []},
    ]
    assert store.audit().ok


@pytest.fixture
def tamper(shared_url):
    """Run statements as the owner of the database."""
    engine = sqlalchemy.create_engine(shared_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection.exec_driver_sql
    engine.dispose()


@pytest.fixture
def shared(shared_url, sample):
    store = Store.open(shared_url)
    store.record_verdicts([sample(n) for n in range(6)])
    store.reviews.record(noted(4), after=0)
    yield store
    store.close()


def problems(store):
    return {(problem.seq, problem.what) for problem in store.audit().problems}


def test_text_that_goes_without_a_record_is_found(shared, tamper):
    shared.retention.erase(Query(verdict_ids=("verdict-1", "verdict-2")), **WHO)
    tamper("DELETE FROM contents WHERE seq IN (2, 3)")
    tamper("UPDATE reviews SET note = NULL WHERE seq = 6")
    assert problems(shared) == {
        (3, "its text is gone, and no record says who erased it"),
        (6, "its note is gone, and no record says who erased it"),
    }


def test_text_that_was_erased_and_is_back_is_found(shared, tamper):
    tamper("CREATE TABLE kept AS SELECT * FROM contents")
    shared.retention.erase(Query(verdict_ids=("verdict-1", "verdict-4")), **WHO)
    assert shared.audit().ok
    tamper("INSERT INTO contents SELECT * FROM kept WHERE seq = 1")
    tamper("UPDATE reviews SET note = 'They wrote: canary' WHERE seq = 6")
    back = "was erased, as a record says, and is there all the same"
    assert problems(shared) == {(1, back), (6, back)}
    tamper("DROP TABLE kept")


@pytest.mark.parametrize("shared_url", ["file"], indirect=True)
def test_nothing_of_an_erased_text_is_left_in_the_files(shared, path, sample):
    shared.record_verdict(*sample(9, answer="canary in the excerpt"))
    shared.reviews.record(noted(9), after=0)
    files = [path, path.with_name(path.name + "-wal")]
    assert any(b"canary" in file.read_bytes() for file in files)
    shared.retention.erase(Query(tenant="us"), **WHO)
    assert not any(b"canary" in file.read_bytes() for file in files)


def test_ranges_are_sets_of_numbers():
    assert runs_of([5, 3, 4, 9, 4]) == [[3, 5], [9, 9]]
    some, others = Ranges(), Ranges()
    for first, last in ((10, 20), (1, 3), (15, 30)):
        some.add(first, last)
    for first, last in ((2, 11), (25, 26)):
        others.add(first, last)
    expected = {*range(1, 4), *range(10, 31)} - {*range(2, 12), 25, 26}
    assert set(some.without(others)) == expected


def test_the_chain_alone_can_be_verified(shared, tamper):
    tamper("UPDATE contents SET excerpt = 'harmless' WHERE seq = 1")
    assert shared.audit_chain(expect_size=7).ok
    tamper("UPDATE records SET created_at = '1999' WHERE seq = 2")
    assert [problem.seq for problem in shared.audit_chain().problems] == [2]
