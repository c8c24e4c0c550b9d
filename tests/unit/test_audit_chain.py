"""The chain shows every change that anyone makes to the log."""

import hashlib
import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.audit import GENESIS, MAX_PROBLEMS, AuditRecord, Kind, canonical, seal, verify

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
any_text = st.text(st.characters(exclude_categories=()))


def chain(size: int, mark: str = "") -> list[AuditRecord]:
    records: list[AuditRecord] = []
    for seq in range(size):
        previous = records[-1].hash if records else GENESIS
        body = {"n": seq, "mark": mark, "score": seq / 7}
        records.append(
            seal(seq=seq, kind=Kind.VERDICT, created_at=f"2026-{seq}", body=body, previous=previous)
        )
    return records


def rechained(records: list[AuditRecord], start: int) -> list[AuditRecord]:
    """What a forger does who knows the format: make the hashes fit again from `start` on."""
    result = records[:start]
    for seq, record in enumerate(records[start:], start):
        previous = result[-1].hash if result else GENESIS
        fields = {"kind": record.kind, "created_at": record.created_at, "body": record.body}
        result.append(seal(seq=seq, previous=previous, **fields))
    return result


@given(plain)
def test_canonical_json_reads_back_as_the_value(value):
    assert json.loads(canonical(value)) == value


@given(plain)
def test_canonical_json_is_its_own_canonical_form(value):
    assert canonical(json.loads(canonical(value))) == canonical(value)


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_the_order_of_keys_does_not_matter(value):
    assert canonical(dict(reversed(value.items()))) == canonical(value)


@given(any_text)
def test_every_text_that_a_model_can_write_has_a_form(text):
    form = canonical(text)
    assert form.isascii()
    assert b"\x00" not in form
    assert canonical(json.loads(form)) == form


def test_a_lone_surrogate_reads_back_as_itself():
    assert json.loads(canonical("a\ud800b")) == "a\ud800b"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [-float("inf")], {1, 2}, b"bytes"])
def test_what_json_cannot_say_is_refused(value):
    with pytest.raises((ValueError, TypeError)):
        canonical(value)


def test_the_format_is_what_existing_logs_are_written_in():
    record = seal(
        seq=0,
        kind="verdict",
        created_at="2026-01-02T03:04:05.678Z",
        body={"é": [1.5, None]},
        previous=GENESIS,
    )
    written = (
        '{"body":{"\\u00e9":[1.5,null]},"created_at":"2026-01-02T03:04:05.678Z",'
        '"kind":"verdict","previous":"' + "0" * 64 + '","seq":0}'
    )
    assert record.hash == hashlib.sha256(written.encode()).hexdigest()


def test_an_untouched_log_is_ok():
    records = chain(300)
    report = verify(iter(records))
    assert report.ok
    assert (report.size, report.head) == (300, records[-1].hash)


def test_an_empty_log_is_ok():
    report = verify([])
    assert report.ok
    assert (report.size, report.head) == (0, GENESIS)


@pytest.mark.parametrize("at", [0, 1, 150, 298, 299])
@pytest.mark.parametrize(
    "change",
    [
        {"body": {"n": -1}},
        {"kind": "policy"},
        {"created_at": "1999"},
        {"previous": "f" * 64},
        {"hash": "f" * 64},
        {"seq": 1000},
        {"body": {"n": float("nan")}},
        {"body": {"n": {1}}},
        {"kind": b"verdict"},
    ],
    ids=str,
)
def test_a_changed_field_is_found_where_it_is(at, change):
    records = chain(300)
    records[at] = replace(records[at], **change)
    problems = verify(records).problems
    assert problems
    assert {p.seq for p in problems} <= {at, at + 1, 1000}


def test_every_bit_of_every_field_counts():
    records = chain(12)
    for at, name in ((a, n) for a in range(12) for n in ("kind", "created_at", "previous", "hash")):
        text = getattr(records[at], name)
        for place, bit in ((p, b) for p in range(len(text)) for b in range(7)):
            flipped = text[:place] + chr(ord(text[place]) ^ 1 << bit) + text[place + 1 :]
            forged = [*records[:at], replace(records[at], **{name: flipped}), *records[at + 1 :]]
            assert not verify(forged).ok


@pytest.mark.parametrize("at", range(0, 299, 13))
def test_a_missing_record_is_found(at):
    records = chain(300)
    assert not verify(records[:at] + records[at + 1 :]).ok


@pytest.mark.parametrize("at", range(0, 300, 13))
def test_a_doubled_record_is_found(at):
    records = chain(300)
    assert not verify(records[: at + 1] + records[at:]).ok


@pytest.mark.parametrize("at", range(0, 299, 13))
def test_swapped_records_are_found(at):
    records = chain(300)
    records[at], records[at + 1] = records[at + 1], records[at]
    assert not verify(records).ok


@pytest.mark.parametrize("at", range(0, 298, 13))
def test_a_part_that_was_chained_anew_is_found(at):
    records = chain(300)
    forged = list(records)
    forged[at] = replace(forged[at], body={"n": -1})
    forged[at : at + 2] = rechained(forged[: at + 2], at)[at:]
    assert not verify(forged).ok


@pytest.mark.parametrize("at", range(1, 300, 13))
def test_records_of_another_log_are_found(at):
    assert not verify(chain(300)[:at] + chain(300, mark="other")[at:]).ok


@pytest.mark.parametrize("left", range(0, 300, 13))
def test_a_cut_off_end_is_found_by_who_remembers_the_head(left):
    records = chain(300)
    assert verify(records[:left]).ok
    assert not verify(records[:left], expect_head=records[-1].hash).ok
    assert not verify(records[:left], expect_size=300).ok


@pytest.mark.parametrize("at", range(0, 200, 13))
def test_a_log_chained_anew_is_found_by_who_remembers_the_head(at):
    records = chain(300)
    forged = list(records)
    forged[at] = replace(forged[at], body={"n": -1})
    forged = rechained(forged, at)
    assert verify(forged).ok
    assert not verify(forged, expect_size=200, expect_head=records[199].hash).ok


@pytest.mark.parametrize("size", [0, 1, 299, 300])
def test_a_log_that_grew_still_contains_what_it_was(size):
    records = chain(300)
    head = records[size - 1].hash if size else GENESIS
    assert verify(records, expect_size=size, expect_head=head).ok
    assert verify(records, expect_head=head).ok
    assert verify(records, expect_size=size).ok
    assert not verify(records, expect_size=size + 1, expect_head=head).ok


def test_a_ruined_log_does_not_fill_the_memory():
    ruined = (replace(record, hash="") for record in chain(MAX_PROBLEMS))
    problems = verify(ruined, expect_size=5000).problems
    assert len(problems) == MAX_PROBLEMS
    assert "remembered" in problems[0].what


def test_verification_keeps_no_records():
    def endless():
        previous = GENESIS
        for seq in range(20_000):
            record = seal(
                seq=seq, kind="policy", created_at="", body={"n": "x" * 1000}, previous=previous
            )
            previous = record.hash
            yield record

    import tracemalloc

    tracemalloc.start()
    assert verify(endless()).size == 20_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_each_record_names_the_one_before():
    assert all(b.previous == a.hash for a, b in pairwise(chain(10)))
