"""Whoever changes the database behind the store's back is found out."""

# ruff: noqa: S608 (tampering is the subject)

import zlib

import pytest
import sqlalchemy

from monitor.store import CorruptContent, Query, Store
from monitor.store.schema import metadata

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
    "failed_open": True,
    "disguised": 3,
    "run": "forged",
}
#: SQLite's columns take values of any type.
only_sqlite = pytest.mark.parametrize("shared_url", ["file"], indirect=True)


@pytest.fixture(scope="module")
def rows(fill):
    """What a store of SIZE records holds, by table."""
    store = Store.open("sqlite://")
    store.record_policy(policy="p", version="1", created_at="2026")
    fill(store, SIZE - 1)
    with store._engine.connect() as connection:
        read = {t: connection.execute(t.select()).mappings().all() for t in metadata.sorted_tables}
    store.close()
    return {table: [dict(row) for row in found] for table, found in read.items() if found}


@pytest.fixture
def filled(shared_url, rows):
    store = Store.open(shared_url)
    with store._engine.begin() as connection:
        for table, found in rows.items():
            connection.execute(table.insert(), found)
    yield store
    store.close()


@pytest.fixture
def tamper(filled, shared_url):
    """Run a statement as the owner of the database, whom no foreign key stops."""
    engine = sqlalchemy.create_engine(shared_url, isolation_level="AUTOCOMMIT")
    postgres = engine.dialect.name == "postgresql"
    with engine.connect() as connection:

        def run(statement, *values):
            if postgres:
                statement = statement.replace("?", "%s")
            return connection.exec_driver_sql(statement, values)

        if postgres:
            run("ALTER TABLE verdicts DROP CONSTRAINT fk_verdicts_seq")
            run("ALTER TABLE contents DROP CONSTRAINT fk_contents_seq")
        yield run
    engine.dispose()


def found_at(store, seq):
    problems = store.audit().problems
    assert problems, "not found"
    assert seq in {p.seq for p in problems}
    assert {p.seq for p in problems} <= {seq, seq + 1}


def test_an_untouched_store_is_ok(filled):
    report = filled.audit()
    assert report.ok
    assert (report.size, report.erased) == (SIZE, 0)


# PostgreSQL in one record, at fewer places: each flip is a durable write, the audit the same code.
@pytest.mark.parametrize("column", ["kind", "created_at", "previous", "hash", "body"])
@pytest.mark.parametrize(
    ("shared_url", "seq", "places"),
    [*(("file", seq, 12) for seq in (0, 1, 120, SIZE - 1)), ("postgres", 120, 4)],
    indirect=["shared_url"],
)
def test_each_flipped_bit_of_a_record_is_found(filled, tamper, seq, places, column):
    original = tamper(f"SELECT {column} FROM records WHERE seq = {seq}").scalar_one()
    write = f"UPDATE records SET {column} = ? WHERE seq = {seq}"
    for place in range(0, len(original), max(1, len(original) // places)):
        flipped = chr(ord(original[place]) ^ 1 << place % 7)
        forged = original[:place] + flipped + original[place + 1 :]
        tamper(write, forged)
        assert not filled.audit().ok, (place, forged)
        assert not filled.audit_chain().ok, (place, forged)
    tamper(write, original)
    assert filled.audit().ok


@only_sqlite
@pytest.mark.parametrize("column", ["kind", "created_at", "previous", "hash", "body"])
def test_a_record_that_is_no_text_is_found(filled, tamper, column):
    tamper(f"UPDATE records SET {column} = CAST(x'e2ff00' AS TEXT) WHERE seq = 120")
    found_at(filled, 120)
    assert not filled.audit_chain().ok


@pytest.mark.parametrize(
    "value", [b"", b"\xff\x00", 5, "{}", "[]", "{", '{"a":1,"a":1}', "[" * 100_000]
)
def test_a_body_that_is_no_body_is_found(filled, tamper, value):
    tamper("UPDATE records SET body = ? WHERE seq = 7", value)
    found_at(filled, 7)
    with pytest.raises(CorruptContent):
        filled.verdict("verdict-6")


def test_a_body_that_means_the_same_but_is_written_differently_is_found(filled, tamper):
    tamper("UPDATE records SET body = replace(body, ',', ', ') WHERE seq = 7")
    found_at(filled, 7)


@pytest.mark.parametrize("column", COLUMNS)
def test_an_edited_verdict_row_is_found(filled, tamper, column):
    tamper(f"UPDATE verdicts SET {column} = ? WHERE seq = 50", COLUMNS[column])
    problems = filled.audit().problems
    assert [p.seq for p in problems] == [50]
    assert column in problems[0].what


@only_sqlite
def test_a_word_in_place_of_a_number_is_found(filled, tamper):
    tamper("UPDATE verdicts SET disguised = 'two' WHERE seq = 50")
    assert [p.seq for p in filled.audit().problems] == [50]


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
    [b"", b"not zlib", zlib.compress(b"{}"), zlib.compress(b"x" * 50_000_000)],
    ids=["empty", "not zlib", "other content", "bomb"],
)
def test_altered_content_is_found_and_not_shown(filled, tamper, data):
    tamper("UPDATE contents SET data = ? WHERE seq = 50", data)
    found_at(filled, 50)
    with pytest.raises(CorruptContent):
        filled.verdict("verdict-49")


@only_sqlite
def test_a_number_in_place_of_content_is_found_and_not_shown(filled, tamper):
    tamper("UPDATE contents SET data = 5 WHERE seq = 50")
    found_at(filled, 50)
    with pytest.raises(CorruptContent):
        filled.verdict("verdict-49")


# On PostgreSQL every tenth byte: each flip is a durable write there.
@pytest.mark.parametrize(
    ("shared_url", "step"), [("file", 1), ("postgres", 10)], indirect=["shared_url"]
)
def test_each_flipped_bit_of_content_is_found(filled, tamper, step):
    original = tamper("SELECT data FROM contents WHERE seq = 50").scalar_one()
    for place in range(0, len(original), step):
        forged = bytearray(original)
        forged[place] ^= 1 << place % 8
        tamper("UPDATE contents SET data = ? WHERE seq = 50", bytes(forged))
        with pytest.raises(CorruptContent):
            filled.verdict("verdict-49")


def test_content_moved_to_another_verdict_is_found(filled, tamper, sample):
    seq = filled.record_verdict(*sample(SIZE, answer="Something else.")).seq
    other = tamper(f"SELECT data FROM contents WHERE seq = {seq}").scalar_one()
    tamper("UPDATE contents SET data = ? WHERE seq = 51", other)
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
    tamper("UPDATE contents SET data = ?", b"\x00")
    assert len(filled.verdicts(Query()).rows) == 50
