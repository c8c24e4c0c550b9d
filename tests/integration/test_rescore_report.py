"""What changed is reported: against another run, against what was decided live; never executed."""

import asyncio
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from classifiers.port import Check, Thresholds
from monitor.dialects import trace_to_json
from monitor.recording import recorder
from monitor.store import Store
from monitor.types import Decision
from stream.rescore import compare, report
from stream.rescore.errors import RescoreError
from stream.rescore.redecide import redecide
from tests import support
from tests.rescoring import rescore, unfinish, write_logs

STRICT = support.rulebook(
    replace(support.policy(), thresholds={c: Thresholds(flag=0.3, block=0.55) for c in Check})
)
HOSTILE = (
    '<script src="https://evil.example/x.js"></script><img src=x onerror=alert(1)>\u202e\x1b[2J'
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run, and what another policy makes of it."""
    folder = tmp_path_factory.mktemp("runs")
    write_logs(folder / "a.jsonl", 120)
    rescore([folder / "a.jsonl"], folder / "first", run="first", part_rows=40)
    redecide(folder / "first", STRICT, folder / "second", run="second")
    return folder


def test_every_flip_is_counted_and_told(runs):
    found = compare.pair(runs / "second", runs / "first").compare()
    told = list(compare.pair(runs / "second", runs / "first").flips())
    assert (found.before, found.after) == ("first", "second")
    assert (found.only_before, found.only_after) == (0, 0)
    assert sum(map(sum, found.matrix)) == found.traces
    assert len(told) == found.flipped > 3
    assert all(f.before != f.after for f in told)
    assert [f.line for f in told] == sorted(f.line for f in told)
    assert all(d.largest == 0 for d in found.drifts)
    blocked = next(c for c in found.changes if c.name == "blocked")
    assert blocked.after > blocked.before
    assert sum(g.traces for g in found.models) == found.traces
    assert (
        sum(g.flipped for g in found.models) == sum(g.flipped for g in found.sources) == len(told)
    )
    assert found.top[0].before != found.top[0].after


def test_a_run_against_itself_has_not_changed(runs):
    found = compare.pair(runs / "first", runs / "first").compare()
    assert found.flipped == 0
    assert found.top == ()
    assert all(c.low < 0 < c.high for c in found.changes)
    assert "Nothing changed" in report.as_html(found)


def test_traces_are_found_again_in_other_files_and_another_order(runs, tmp_path):
    lines = (runs / "a.jsonl").read_text().splitlines()
    (tmp_path / "b.jsonl").write_text("\n".join(reversed(lines[5:])) + '\n{"answer": "new"}\n')
    rescore([tmp_path / "b.jsonl"], tmp_path / "out", rules=STRICT)
    found = compare.pair(tmp_path / "out", runs / "first").compare()
    straight = compare.pair(runs / "second", runs / "first").compare()
    assert found.only_after == 1
    assert found.only_before > 0
    assert found.traces == straight.traces - found.only_before
    told = {f.trace_id: f for f in compare.pair(runs / "second", runs / "first").flips()}
    for flip in compare.pair(tmp_path / "out", runs / "first").flips():
        assert flip.before == told[flip.trace_id].before
        assert flip.after == told[flip.trace_id].after


def test_what_cannot_be_compared_is_refused(runs, tmp_path):
    with pytest.raises(RescoreError, match="no finished run"):
        compare.pair(runs / "first", tmp_path).compare()
    with pytest.raises(RescoreError, match="no trace in common"):
        compare.pair(runs / "first", None).compare()


@pytest.fixture
def audit(tmp_path):
    """A store with live verdicts, some of them hostile."""
    url = f"sqlite:///{tmp_path}/audit.db"
    store = Store.open(url)
    engine = support.engine(record=recorder(store))
    texts = ["fine", "a HINT", "the PLOT", f"a HINT {HOSTILE}"] * 5

    async def judge():
        for number, text in enumerate(texts):
            trace = support.trace(text, "Yes.", model=HOSTILE, prompt="Hi?")
            await engine.judge(replace(trace, trace_id=f"{HOSTILE}{number}"))

    asyncio.run(judge())
    store.close()
    return url


def test_the_audit_store_is_an_input_and_a_baseline(audit, tmp_path):
    rescore([audit], tmp_path / "out", rules=STRICT, record=audit)
    found = compare.pair(tmp_path / "out", None).compare()
    assert (found.before, found.traces, found.flipped) == ("decided live", 20, 10)
    assert found.matrix[Decision.FLAG][Decision.BLOCK] == 10
    store = Store.open(audit)
    assert store.summary().total == 20
    assert store.summary().decisions[Decision.BLOCK] == 5
    assert store.audit().ok
    store.close()
    rescore([audit], tmp_path / "again", where=["decision=flag"])
    assert compare.pair(tmp_path / "again", None).compare().traces == 10


def test_a_run_over_a_store_reads_no_further_than_when_it_began(audit, tmp_path):
    unfinish(rescore([audit], tmp_path / "out", part_rows=5), parts=2)
    store = Store.open(audit)
    engine = support.engine(record=recorder(store))
    asyncio.run(engine.judge(support.trace("later", "x")))
    store.close()
    ledger = rescore([audit], tmp_path / "out", part_rows=5)
    assert sum(p.rows for p in ledger.parts) == 20


class Tags(HTMLParser):
    """Collects the elements and attributes of a page."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_the_html_report_is_inert_and_needs_no_other_place(audit, tmp_path):
    rescore([audit], tmp_path / "out", rules=STRICT)
    found = compare.pair(tmp_path / "out", None).compare()
    report.write(tmp_path / "out", found, compare.pair(tmp_path / "out", None).flips())
    page = (tmp_path / "out" / report.HTML).read_text()
    tags = Tags()
    tags.feed(page)
    names = {tag for tag, _ in tags.found}
    assert not names & {"script", "img", "link", "iframe", "object", "a", "form", "base"}
    used = {name for _, attributes in tags.found for name in attributes}
    assert not any(name.startswith("on") or name in ("src", "href") for name in used)
    assert "evil.example" in page
    assert not re.search("[\u202e\x1b]", page)
    assert "U+202E" in page
    assert sum(tag == "svg" for tag in (t for t, _ in tags.found)) == len(Check)
    assert sum(t == "rect" for t, _ in tags.found) >= 2 * len(Check)
    told = json.loads((tmp_path / "out" / report.JSON).read_text())
    assert told["flipped"] == found.flipped
    lines = (tmp_path / "out" / report.FLIPS).read_text().splitlines()
    assert len(lines) == found.flipped


def test_our_own_json_is_read_back_from_a_run(audit, tmp_path):
    """The way from the store through JSON lines gives what the store gives."""
    store = Store.open(audit)
    stored = list(store.live(until=store.newest_seq()))
    store.close()
    lines = [json.dumps(trace_to_json(s.trace)) for s in stored]
    (tmp_path / "traces.jsonl").write_text("\n".join(lines))
    rescore([tmp_path / "traces.jsonl"], tmp_path / "out", run="x")
    rescore([audit], tmp_path / "direct", run="x")
    found = compare.pair(tmp_path / "out", tmp_path / "direct").compare()
    assert (found.traces, found.flipped, found.only_after) == (20, 0, 0)
