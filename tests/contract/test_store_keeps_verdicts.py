"""What every store promises about what is put into it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from classifiers.port import Check
from monitor.audit import GENESIS, Kind, verify
from monitor.store import Query, Store
from monitor.store.content import columns, pack, unpack
from monitor.types import Decision, Disclosure, EarlyStop, Gap, Usage
from monitor.wire import verdict_json


def test_a_new_store_is_empty(store):
    assert store.newest_seq() == -1
    assert list(store.records()) == []
    assert store.verdict("none") is None
    assert store.verdicts(Query()).rows == ()
    assert store.models() == ()
    assert store.summary().total == 0
    assert store.audit().ok


def test_a_verdict_comes_back_whole(store, sample):
    verdict, trace = sample(1, choice=3, problem="one frame was not JSON")
    store.record_verdict(verdict, trace)
    stored = store.verdict("verdict-1")
    assert stored.document == verdict_json(verdict)
    assert stored.trace == trace


def test_a_row_tells_what_a_list_needs(store, sample):
    record = store.record_verdict(*sample(1))
    row = store.verdicts(Query()).rows[0]
    assert row == store.verdict("verdict-1").row
    assert (row.seq, row.verdict_id, row.trace_id) == (record.seq, "verdict-1", "trace-1")
    assert (row.decision, row.mode, row.model) == (Decision.FLAG, "hold", "some-model")
    assert (row.deception, row.dangerous_reasoning, row.mismatch) == (0.8125, 0.25, 0.125)
    assert (row.unscored, row.failed_open, row.disguised) == (None, False, 2)
    assert (row.tenant, row.conversation_id, row.excerpt) == ("us", "talk", "All done.")


def test_the_chain_names_what_the_verdict_is_about(store, sample):
    body = store.record_verdict(*sample(1, choice=2)).body
    assert (body["model"], body["tenant"]) == ("some-model", "us")
    assert (body["conversation_id"], body["choice"]) == ("talk", 2)
    assert body["verdict"]["decision"] == "flag"
    assert len(body["content_sha256"]) == 64


def test_the_chain_holds_no_text_of_the_trace(store, sample):
    record = store.record_verdict(
        *sample(1, thinking="canary-t", answer="canary-a", prompt="canary-p")
    )
    assert "canary" not in str(record)


def test_records_are_contiguous_and_chained(store, fill):
    written = fill(store, 450)
    assert [r.seq for r in written] == list(range(450))
    assert written[0].previous == GENESIS
    assert list(store.records()) == list(written)
    assert list(store.records(start=449)) == [written[449]]
    assert list(store.records(start=450)) == []
    assert store.newest_seq() == 449
    assert verify(store.records(), expect_size=450, expect_head=written[-1].hash).ok


def test_a_verdict_is_recorded_once(store, sample):
    first = store.record_verdict(*sample(1))
    again = store.record_verdict(*sample(1, decision=Decision.ALLOW, answer="Something else."))
    assert again == first
    assert store.newest_seq() == 0
    assert store.verdict("verdict-1").trace.answer == "All done."


def test_a_verdict_is_recorded_once_in_a_batch(store, sample):
    first, second = store.record_verdicts([sample(1), sample(1)])
    assert first == second


def test_a_batch_is_recorded_whole_or_not_at_all(store, sample):
    bad = sample(2, deception=float("nan"))
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.record_verdicts([sample(1), bad])
    assert store.newest_seq() == -1


def test_verdicts_of_a_run_stand_beside_the_live_ones(store, sample):
    store.record_verdict(*sample(1))
    again = [sample(1, verdict_id="again", decision=Decision.BLOCK)]
    first = store.record_verdicts(again, run="r")
    assert store.record_verdicts(again, run="r") == first
    assert [r.verdict_id for r in store.verdicts(Query()).rows] == ["verdict-1"]
    (row,) = store.verdicts(Query(run="r")).rows
    assert (row.verdict_id, row.run, row.decision) == ("again", "r", Decision.BLOCK)
    assert store.verdicts(Query(run="other")).rows == ()
    assert store.summary().total == 1
    assert first[0].body["run"] == "r"
    assert store.verdict("verdict-1").row.run is None
    assert store.audit().ok


def test_live_verdicts_are_read_in_order_with_their_text(store, sample):
    for number in range(120):
        store.record_verdict(*sample(number))
        if number % 10 == 0:
            run = [sample(number, verdict_id=f"run-{number}")]
            store.record_verdicts(run, run="r")
    found = list(store.live(until=store.newest_seq()))
    assert [s.row.verdict_id for s in found] == [f"verdict-{n}" for n in range(120)]
    assert found[7].trace == sample(7)[1]
    assert found[7].document == verdict_json(sample(7)[0])
    assert len(list(store.live(until=found[9].row.seq))) == 10


def test_a_policy_is_recorded_when_it_changes(store, sample):
    first = store.record_policy(policy="strict", version="1", created_at="2026")
    store.record_verdict(*sample(1))
    same = store.record_policy(policy="strict", version="1", created_at="2027")
    other = store.record_policy(policy="strict", version="2", created_at="2028")
    back = store.record_policy(policy="strict", version="1", created_at="2029")
    assert same == first
    assert [first.seq, other.seq, back.seq] == [0, 2, 3]
    assert [r.kind for r in store.records()] == [
        Kind.POLICY,
        Kind.VERDICT,
        Kind.POLICY,
        Kind.POLICY,
    ]
    assert store.audit().ok


def test_another_connection_sees_a_verdict_when_it_is_acknowledged(shared_url, sample):
    store, other = Store.open(shared_url), Store.open(shared_url)
    for number in range(20):
        record = store.record_verdict(*sample(number))
        assert other.newest_seq() == record.seq
        assert other.verdict(f"verdict-{number}") is not None
    store.close()
    other.close()


def test_threads_write_one_chain(store, sample):
    with ThreadPoolExecutor(8) as pool:
        records = list(pool.map(lambda n: store.record_verdict(*sample(n)), range(80)))
    assert sorted(r.seq for r in records) == list(range(80))
    assert store.audit(expect_size=80).ok


def test_threads_read_while_others_write(store, sample):
    done = threading.Event()

    def read():
        while not done.wait(0.005):
            assert store.audit().ok
            assert store.verdicts(Query()).rows is not None

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            for number in range(40):
                store.record_verdict(*sample(number))
        finally:
            done.set()
        for reader in readers:
            reader.result()
    assert store.audit(expect_size=40).ok


HOSTILE = {
    "nul": "a\x00b",
    "lone high surrogate": "a\ud800b",
    "lone low surrogate": "\udfffb",
    "controls": "\x1b[2J\x07\r\n\u2028\x85",
    "right to left": "\u202eevil",
    "not a character": "\uffff\U0010ffff",
    "quotes": "'; DROP TABLE records; --\"\\",
    "long": "long " * 4000,
    "emoji": "👩‍👩‍👧‍👦" * 100,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_round_trips(store, sample, text):
    verdict, trace = sample(
        1,
        verdict_id=text,
        model=text,
        thinking=text,
        answer=text,
        prompt=text,
        tenant=text,
        conversation_id=text,
        problem=text,
    )
    store.record_verdict(verdict, trace)
    stored = store.verdict(text)
    assert stored.trace == trace
    assert stored.document == verdict_json(verdict)
    assert store.models() == (stored.row.model,)
    assert store.verdicts(Query(model=stored.row.model)).rows == (stored.row,)
    assert len(stored.row.excerpt) <= 120
    assert store.audit().ok


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_reasons_round_trip(store, sample, text):
    store.record_verdict(*sample(1, unscored=text))
    assert store.verdict("verdict-1").document["unscored"] == text
    assert len(store.verdicts(Query(unscored=True)).rows[0].unscored) <= 256
    assert store.audit().ok


def test_different_hostile_ids_stay_different(store, sample):
    ids = ["a\x00b", "a\x01b", "a\ufffdb", "long " * 99, "long " * 100]
    for number, verdict_id in enumerate(ids):
        store.record_verdict(*sample(number, verdict_id=verdict_id))
    assert store.newest_seq() == len(ids) - 1
    assert [store.verdict(i).document["verdict_id"] for i in ids] == ids


def test_ten_megabytes_round_trip(store, sample):
    _, trace = sample(1, thinking="think \x00\ud800é " * 1_000_000)
    store.record_verdict(sample(1)[0], trace)
    assert store.verdict("verdict-1").trace == trace
    assert store.audit().ok


def test_a_trace_without_text_can_be_recorded(store, sample):
    store.record_verdict(*sample(1, thinking="", answer=""))
    assert store.verdicts(Query()).rows[0].excerpt == ""


def test_the_excerpt_falls_back_to_the_thinking(store, sample):
    store.record_verdict(*sample(1, answer=""))
    assert store.verdicts(Query()).rows[0].excerpt == "They must not notice."


def test_erased_content_leaves_the_chain_verifiable(shared_url, sample):
    store = Store.open(shared_url)
    store.record_verdicts([sample(1), sample(2)])
    engine = sqlalchemy.create_engine(shared_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM contents WHERE seq = 0")
    engine.dispose()
    stored = store.verdict("verdict-1")
    assert stored.trace is None
    assert stored.row.excerpt is None
    assert stored.document == {**verdict_json(sample(1)[0]), "steps": [], "evidence": []}
    report = store.audit()
    assert report.ok
    assert report.erased == 1
    store.close()


# Lists


def seqs(store, **conditions):
    return [row.seq for row in store.verdicts(Query(**conditions)).rows]


@pytest.fixture
def varied(store, sample):
    kinds = [
        {"decision": Decision.ALLOW, "deception": 0.1},
        {"decision": Decision.FLAG, "deception": 0.6, "model": "other"},
        {"decision": Decision.BLOCK, "deception": 0.9},
        {"decision": Decision.FLAG, "unscored": "too long"},
    ]
    store.record_verdicts([sample(n, **kinds[n % 4]) for n in range(12)])
    return store


def test_lists_are_newest_first(varied):
    assert seqs(varied) == list(range(11, -1, -1))


def test_lists_can_be_narrowed(varied):
    assert seqs(varied, decision=Decision.BLOCK) == [10, 6, 2]
    assert seqs(varied, unscored=True) == [11, 7, 3]
    assert seqs(varied, unscored=False, decision=Decision.FLAG) == [9, 5, 1]
    assert seqs(varied, check=Check.DECEPTION, min_probability=0.6) == [10, 9, 6, 5, 2, 1]
    assert seqs(varied, check=Check.MISMATCH, min_probability=0.5) == []
    assert seqs(varied, model="other") == [9, 5, 1]
    assert seqs(varied, model="unknown") == []


def test_counts_are_by_decision(varied):
    summary = varied.summary()
    assert summary.decisions == {Decision.ALLOW: 3, Decision.FLAG: 6, Decision.BLOCK: 3}
    assert (summary.unscored, summary.total) == (3, 12)
    assert varied.models() == ("other", "some-model")


@pytest.mark.parametrize("limit", [-1, 0, 1])
def test_a_page_has_at_least_one_row(varied, limit):
    assert seqs(varied, limit=limit) == [11]


def test_a_page_has_a_greatest_size(store, fill):
    fill(store, 510)
    page = store.verdicts(Query(limit=10_000))
    assert len(page.rows) == 500
    assert page.next_before == 10


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(size=st.integers(0, 30), limit=st.integers(1, 12), data=st.data())
def test_pages_together_are_the_list(sample, size, limit, data):
    store = Store.open("sqlite://")
    decisions = data.draw(st.lists(st.sampled_from(Decision), min_size=size, max_size=size))
    wanted = data.draw(st.none() | st.sampled_from(Decision))
    store.record_verdicts([sample(n, decision=d) for n, d in enumerate(decisions)])
    found, before = [], None
    while True:
        page = store.verdicts(Query(before=before, limit=limit, decision=wanted))
        assert len(page.rows) <= limit
        found += [row.seq for row in page.rows]
        before = page.next_before
        if before is None:
            break
        assert len(page.rows) == limit
    assert found == [n for n in reversed(range(size)) if wanted in (None, decisions[n])]
    store.close()


def test_what_could_not_be_seen_is_kept_and_found(store, sample):
    verdict, trace = sample(1)
    told = Disclosure(usage=Usage(reasoning_tokens=9), redacted=True)
    stop = EarlyStop(tokens_generated_at_least=4, tokens_saved_at_most=None)
    gaps = (Gap.SEALED_THINKING, Gap.UNKNOWN_SHAPE)
    verdict = replace(verdict, gaps=gaps, usage=told.usage, early_stop=stop)
    store.record_verdicts([(verdict, replace(trace, disclosure=told)), sample(2)])
    stored = store.verdict("verdict-1")
    assert stored.document == verdict_json(verdict)
    assert stored.trace.disclosure == told
    assert stored.row.coverage_gaps == "sealed_thinking unknown_shape"
    assert store.summary().gaps == 1
    for wanted, found in ((True, ["verdict-1"]), (False, ["verdict-2"])):
        rows = store.verdicts(Query(gaps=wanted)).rows
        assert [row.verdict_id for row in rows] == found
    assert store.audit().ok


def test_records_from_before_gaps_were_noticed_are_read(sample):
    packed = pack(*sample(1))
    old = {k: v for k, v in packed.body.items() if k != "disclosure"}
    old["verdict"] = {k: v for k, v in old["verdict"].items() if k != "coverage_gaps"}
    assert columns(old) == columns(packed.body)
    assert unpack(old, packed.data) == unpack(packed.body, packed.data)


def test_trying_to_write_leaves_no_trace_in_the_log(store, sample):
    store.record_verdict(*sample(1))
    for _ in range(2):
        store.beat()
    assert store.newest_seq() == 0
    assert store.audit().ok
