"""Whoever changes the database behind the store's back is found out."""

# ruff: noqa: S608 (tampering is the subject)

import sqlite3
import zlib

import pytest

from monitor.store import CorruptContent, Query, Store

SIZE = 240
COLUMNS = {
    "verdict_id": "forged",
    "trace_id": "forged",
    "created_at": "1999",
    "decision": 0,
    "mode": "observe",
    "model": "forged",
    "tenant": "forged",
    "conversation_id": "forged",
    "deception": 0.0,
    "dangerous_reasoning": None,
    "mismatch": 0.126,
    "unscored": "forged",
    "failed_open": 1,
    "disguised": "two",
}


@pytest.fixture
def filled(path, fill):
    store = Store.open(f"sqlite:///{path}")
    store.record_policy(policy="p", version="1", created_at="2026")
    fill(store, SIZE - 1)
    yield store
    store.close()


@pytest.fixture
def tamper(path):
    connection = sqlite3.connect(path, isolation_level=None)
    yield connection.execute
    connection.close()


def found_at(store, seq):
    problems = store.audit().problems
    assert problems, "not found"
    assert seq in {p.seq for p in problems}
    assert {p.seq for p in problems} <= {seq, seq + 1}


def test_an_untouched_store_is_ok(filled):
    report = filled.audit()
    assert report.ok
    assert (report.size, report.erased) == (SIZE, 0)


@pytest.mark.parametrize("column", ["kind", "created_at", "previous", "hash", "body"])
@pytest.mark.parametrize("seq", [0, 1, 120, SIZE - 1])
def test_each_flipped_bit_of_a_record_is_found(filled, tamper, seq, column):
    row = f"FROM records WHERE seq = {seq}"
    original = tamper(f"SELECT CAST({column} AS BLOB) {row}").fetchone()[0]
    step = max(1, len(original) // 12)
    for place in range(0, len(original), step):
        forged = bytearray(original)
        forged[place] ^= 1 << place % 8
        tamper(f"UPDATE records SET {column} = CAST(? AS TEXT) WHERE seq = {seq}", (bytes(forged),))
        assert not filled.audit().ok, (place, forged)
    tamper(f"UPDATE records SET {column} = CAST(? AS TEXT) WHERE seq = {seq}", (original,))
    assert filled.audit().ok


@pytest.mark.parametrize(
    "value", [b"", b"\xff\x00", 5, "{}", "[]", "{", '{"a":1,"a":1}', "[" * 100_000]
)
def test_a_body_that_is_no_body_is_found(filled, tamper, value):
    tamper("UPDATE records SET body = ? WHERE seq = 7", (value,))
    found_at(filled, 7)
    with pytest.raises(CorruptContent):
        filled.verdict("verdict-6")


def test_a_body_that_means_the_same_but_is_written_differently_is_found(filled, tamper):
    tamper("UPDATE records SET body = replace(body, ',', ', ') WHERE seq = 7")
    found_at(filled, 7)


@pytest.mark.parametrize("column", COLUMNS)
def test_an_edited_verdict_row_is_found(filled, tamper, column):
    tamper(f"UPDATE verdicts SET {column} = ? WHERE seq = 50", (COLUMNS[column],))
    problems = filled.audit().problems
    assert [p.seq for p in problems] == [50]
    assert column in problems[0].what


def test_a_deleted_verdict_row_is_found(filled, tamper):
    tamper("DELETE FROM contents WHERE seq = 50")
    tamper("DELETE FROM verdicts WHERE seq = 50")
    found_at(filled, 50)


def test_an_invented_verdict_row_is_found(filled, tamper):
    tamper("CREATE TABLE copy AS SELECT * FROM verdicts WHERE seq = 50")
    tamper("UPDATE copy SET seq = 9999, verdict_id = 'forged'")
    tamper("INSERT INTO verdicts SELECT * FROM copy")
    found_at(filled, 9999)


def test_a_verdict_row_for_a_record_that_is_no_verdict_is_found(filled, tamper):
    tamper("DELETE FROM contents WHERE seq = 50")
    tamper("UPDATE verdicts SET seq = 0 WHERE seq = 50")
    assert {p.seq for p in filled.audit().problems} == {0, 50}


@pytest.mark.parametrize(
    "data",
    [b"", b"not zlib", zlib.compress(b"{}"), zlib.compress(b"x" * 50_000_000), 5],
    ids=["empty", "not zlib", "other content", "bomb", "a number"],
)
def test_altered_content_is_found_and_not_shown(filled, tamper, data):
    tamper("UPDATE contents SET data = ? WHERE seq = 50", (data,))
    found_at(filled, 50)
    with pytest.raises(CorruptContent):
        filled.verdict("verdict-49")


def test_each_flipped_bit_of_content_is_found(filled, tamper):
    original = tamper("SELECT data FROM contents WHERE seq = 50").fetchone()[0]
    for place in range(len(original)):
        forged = bytearray(original)
        forged[place] ^= 1 << place % 8
        tamper("UPDATE contents SET data = ? WHERE seq = 50", (bytes(forged),))
        with pytest.raises(CorruptContent):
            filled.verdict("verdict-49")


def test_content_moved_to_another_verdict_is_found(filled, tamper):
    tamper(
        "UPDATE contents SET data = (SELECT data FROM contents WHERE seq = 50) || x'00' WHERE seq = 51"
    )
    found_at(filled, 51)


def test_an_altered_excerpt_is_found(filled, tamper):
    tamper("UPDATE contents SET excerpt = 'harmless' WHERE seq = 50")
    found_at(filled, 50)


def test_a_deleted_record_is_found(filled, tamper):
    for table in ("contents", "verdicts", "records"):
        tamper(f"DELETE FROM {table} WHERE seq = 50")
    assert {p.seq for p in filled.audit().problems} == {51}


def test_a_cut_out_middle_is_found(filled, tamper):
    for table in ("contents", "verdicts", "records"):
        tamper(f"DELETE FROM {table} WHERE seq BETWEEN 50 AND 150")
    assert {p.seq for p in filled.audit().problems} == {151}


def test_swapped_records_are_found(filled, tamper):
    tamper("UPDATE records SET seq = -1 WHERE seq = 50")
    tamper("UPDATE records SET seq = 50 WHERE seq = 51")
    tamper("UPDATE records SET seq = 51 WHERE seq = -1")
    assert {50, 51} <= {p.seq for p in filled.audit().problems}


def test_a_record_put_in_front_is_found(filled, tamper):
    tamper(
        "INSERT INTO records SELECT -1, kind, created_at, previous, hash, body FROM records WHERE seq = 0"
    )
    assert not filled.audit().ok


def test_a_cut_off_end_is_found_by_who_remembers_the_head(filled, tamper):
    before = filled.audit()
    for table in ("contents", "verdicts", "records"):
        tamper(f"DELETE FROM {table} WHERE seq > 200")
    assert filled.audit().ok
    assert not filled.audit(expect_size=before.size, expect_head=before.head).ok


def test_a_decision_that_is_none_is_not_shown(filled, tamper):
    tamper("UPDATE verdicts SET decision = 9 WHERE seq = 50")
    found_at(filled, 50)
    for ask in (filled.summary, lambda: filled.verdicts(Query(limit=500))):
        with pytest.raises(CorruptContent):
            ask()


def test_lists_still_work_beside_corrupt_content(filled, tamper):
    tamper("UPDATE contents SET data = x'00'")
    assert len(filled.verdicts(Query()).rows) == 50
