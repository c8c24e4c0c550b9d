"""With a key, no text of a trace is readable in the database; without, everything else is."""

import pytest
import sqlalchemy

from monitor.sealing import ContentKey, Keyring
from monitor.store import Asker, CorruptContent, Locked, Query, Store
from monitor.store.renewal import Renewed
from monitor.types import Outcome, Review
from monitor.wire import verdict_json

OLD = ContentKey(key_id="old", secret=bytes(32))
NEW = ContentKey(key_id="new", secret=bytes(range(32)))
ACME = ContentKey(key_id="acme-1", tenant="acme", secret=b"a" * 32)


@pytest.fixture
def opened(shared_url):
    stores = []

    def with_keys(*keys):
        stores.append(Store.open(shared_url, keys=Keyring(keys)))
        return stores[-1]

    yield with_keys
    for store in stores:
        store.close()


@pytest.fixture
def sql(shared_url):
    engine = sqlalchemy.create_engine(shared_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection.exec_driver_sql
    engine.dispose()


def test_an_encrypted_verdict_comes_back_whole(opened, sample, sql):
    store = opened(OLD)
    verdict, trace = sample(1, answer="canary é")
    store.record_verdict(verdict, trace)
    stored = store.verdict("verdict-1")
    assert (stored.document, stored.trace) == (verdict_json(verdict), trace)
    assert store.verdicts(Query()).rows[0].excerpt == "canary é"
    assert next(store.live(until=0)).trace == trace
    row = sql("SELECT excerpt, data, key_id FROM contents").one()
    assert row.key_id == "old"
    assert "canary" not in row.excerpt
    assert store.audit().ok


def test_without_the_key_everything_but_the_text_is_there(opened, sample):
    opened(OLD).record_verdict(*sample(1))
    store = opened()
    (row,) = store.verdicts(Query()).rows
    assert (row.locked, row.excerpt, row.model) == (True, "", "some-model")
    stored = store.verdict("verdict-1")
    assert (stored.trace, stored.document["evidence"]) == (None, [])
    (task,) = store.reviews.queue(Asker(name="anna", settles=True, now="2026"), Query()).tasks
    assert task.row.locked
    with pytest.raises(Locked, match=r"verdict-1 .* key old"):
        next(store.live(until=0))
    report = store.audit()
    assert report.ok
    assert (report.locked, report.erased) == (1, 0)
    assert store.has_encrypted()


def test_each_tenant_has_the_newest_of_its_keys(opened, sample, sql):
    opened(OLD).record_verdict(*sample(0))
    store = opened(OLD, NEW, ACME)
    store.record_verdicts([sample(1), sample(2, tenant="acme")])
    found = sql("SELECT key_id FROM contents ORDER BY seq").scalars()
    assert list(found) == ["old", "new", "acme-1"]
    assert all(store.verdict(f"verdict-{n}").trace for n in range(3))
    only = opened(ACME)
    only.record_verdict(*sample(3))
    assert [row.locked for row in only.verdicts(Query()).rows] == [False, False, True, True]
    assert sql("SELECT key_id FROM contents WHERE seq = 3").scalar_one() is None


CHANGES = {
    "a flipped bit": "UPDATE contents SET data = {other} WHERE seq = 0",
    "the text of another verdict": "UPDATE contents SET data = (SELECT data FROM contents WHERE seq = 1), excerpt = (SELECT excerpt FROM contents WHERE seq = 1) WHERE seq = 0",
    "another verdict's excerpt": "UPDATE contents SET excerpt = (SELECT excerpt FROM contents WHERE seq = 1) WHERE seq = 0",
    "an excerpt that is none": "UPDATE contents SET excerpt = 'é' WHERE seq = 0",
    "another name of the key": "UPDATE contents SET key_id = 'new' WHERE seq = 0",
    "no name of a key": "UPDATE contents SET key_id = NULL WHERE seq = 0",
    "a cut": "UPDATE contents SET data = substr(data, 1, 11) WHERE seq = 0",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_altered_encrypted_text_is_found(opened, sample, sql, change):
    store = opened(NEW, OLD)
    store.record_verdicts([sample(0), sample(1, answer="All done!")])
    data = bytearray(sql("SELECT data FROM contents WHERE seq = 0").scalar_one())
    data[20] ^= 1
    literal = f"X'{data.hex()}'" if "sqlite" in str(store._engine.url) else f"'\\x{data.hex()}'"
    sql(change.format(other=literal))
    assert {problem.seq for problem in store.audit().problems} == {0}
    with pytest.raises(CorruptContent):
        store.verdict("verdict-0")


def test_another_key_of_the_same_name_is_no_key(opened, sample):
    opened(OLD).record_verdict(*sample(0))
    store = opened(ContentKey(key_id="old", secret=b"x" * 32))
    assert [problem.seq for problem in store.audit().problems] == [0]


def test_the_same_text_is_never_encrypted_alike(opened, sample, sql):
    opened(OLD).record_verdicts([sample(n) for n in range(3)])
    assert len(set(sql("SELECT data FROM contents").scalars())) == 3


def test_texts_can_be_put_under_the_newest_key(opened, sample, sql):
    opened().record_verdicts([sample(0), sample(1, tenant="acme")])
    opened(OLD).record_verdict(*sample(2))
    assert opened(OLD).retention.renew(by="anna", at="2026") == Renewed(encrypted=2)
    store = opened(OLD, NEW, ACME)
    assert store.retention.renew(by="anna", at="2026") == Renewed(encrypted=3)
    found = sql("SELECT key_id FROM contents ORDER BY seq").scalars()
    assert list(found) == ["new", "acme-1", "new"]
    assert [store.verdict(f"verdict-{n}").trace for n in range(3)] == [
        sample(0)[1],
        sample(1, tenant="acme")[1],
        sample(2)[1],
    ]
    assert store.verdicts(Query(text="done")).rows == ()
    assert next(store.retention.history()).body == {"act": "encrypted", "by": "anna", "texts": 3}
    assert opened(NEW, ACME).audit().ok
    assert opened(NEW, ACME).retention.renew(by="anna", at="2026") == Renewed()
    assert opened(ACME).retention.renew(by="anna", at="2026") == Renewed(locked=2)


def test_texts_from_before_the_search_can_be_taken_into_it(opened, sample, sql):
    store = opened()
    store.record_verdicts([sample(n) for n in range(3)])
    sql("DELETE FROM texts")
    assert store.verdicts(Query(text="done")).rows == ()
    assert store.retention.renew(by="anna", at="2026") == Renewed(indexed=3)
    assert len(store.verdicts(Query(text="done")).rows) == 3
    assert store.newest_seq() == 2


NOTE = "it says: canary é"


def noted(store, sample, number, note=NOTE, **fields):
    """Record a verdict, and an answer to it with a note."""
    store.record_verdict(*sample(number, **fields))
    review = Review(
        review_id=f"r-{number}",
        verdict_id=f"verdict-{number}",
        reviewer="anna",
        outcome=Outcome.CONFIRM,
        note=note,
        created_at="2026",
    )
    store.reviews.record(review, after=0)


def note_in(store, number):
    (found,) = store.reviews.of(f"verdict-{number}")
    return found.review.note


def test_notes_are_encrypted_with_the_key_of_the_tenant(opened, sample, sql):
    store = opened(OLD, ACME)
    noted(store, sample, 1)
    noted(store, sample, 2, tenant="acme")
    noted(store, sample, 3, note="")
    assert [note_in(store, n) for n in (1, 2, 3)] == [NOTE, NOTE, ""]
    rows = sql("SELECT note, note_key_id FROM reviews ORDER BY seq").all()
    assert [row.note_key_id for row in rows] == ["old", "acme-1", None]
    assert not any("canary" in row.note for row in rows)
    assert store.audit().ok


def test_without_the_key_everything_but_the_note_is_there(opened, sample):
    noted(opened(OLD), sample, 1)
    store = opened()
    (found,) = store.reviews.of("verdict-1")
    assert (found.locked, found.erased, found.review.note) == (True, False, "")
    assert found.review.outcome is Outcome.CONFIRM
    report = store.audit()
    assert (report.ok, report.locked) == (True, 2)


NOTE_CHANGES = {
    "the note of another answer": "UPDATE reviews SET note = (SELECT note FROM reviews WHERE seq = 3) WHERE seq = 1",
    "one that is none": "UPDATE reviews SET note = 'é' WHERE seq = 1",
    "no name of a key": "UPDATE reviews SET note_key_id = NULL WHERE seq = 1",
    "another name of the key": "UPDATE reviews SET note_key_id = 'new' WHERE seq = 1",
}


@pytest.mark.parametrize("change", NOTE_CHANGES.values(), ids=NOTE_CHANGES)
def test_an_altered_encrypted_note_is_found(opened, sample, sql, change):
    store = opened(NEW, OLD)
    for number in (1, 2):
        noted(store, sample, number)
    assert store.audit().ok
    sql(change)
    assert {problem.seq for problem in store.audit().problems} == {1}


def test_notes_can_be_put_under_the_newest_key_and_erased(opened, sample, sql):
    noted(opened(), sample, 1)
    noted(opened(OLD), sample, 2)
    store = opened(OLD, NEW)
    assert opened(NEW).retention.renew(by="anna", at="2026") == Renewed(encrypted=2, locked=2)
    assert store.retention.renew(by="anna", at="2026") == Renewed(encrypted=2)
    found = sql("SELECT note_key_id FROM reviews").scalars()
    assert set(found) == {"new"}
    assert [note_in(opened(NEW), n) for n in (1, 2)] == [NOTE, NOTE]
    assert opened(NEW).audit().ok
    erased = store.retention.erase(Query(), by="anna", reason="asked", at="2026")
    assert (erased.texts, erased.notes) == (2, 2)
    (gone,) = opened().reviews.of("verdict-1")
    assert (gone.erased, gone.locked) == (True, False)
    assert opened().audit().ok
