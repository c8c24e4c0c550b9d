"""A run of re-scoring misses and doubles nothing, however often it is killed."""

import hashlib
import json
import multiprocessing
import random
from itertools import product

import pyarrow.parquet as pq
import pytest

from monitor.store import Query, Store
from monitor.types import Decision
from stream.rescore import ledger, part, run
from stream.rescore.errors import RescoreError
from stream.rescore.ledger import BAD, PARTS, Ledger
from stream.rescore.summary import Summary
from stream.rescore.table import SCHEMA
from tests.rescoring import rescore, rescore_telling, unfinish, write_logs
from tests.support import policy

RECORDS = 90


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    path = tmp_path_factory.mktemp("logs") / "a.jsonl"
    write_logs(path, RECORDS)
    return path


@pytest.fixture(scope="module")
def whole(logs, tmp_path_factory):
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    rescore([logs], folder / "out", record=f"sqlite:///{folder}/audit.db")
    return folder


def essence(folder):
    """Everything that a run has written, but for times."""
    out = folder / "out"
    hashes = {
        p.name: hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(out.iterdir())
        if p.suffix in (".parquet", ".jsonl")
    }
    store = Store.open(f"sqlite:///{folder}/audit.db")
    page = store.verdicts(Query(run="r", limit=500))
    kept = [(r.verdict_id, r.trace_id, r.decision, r.deception) for r in page.rows]
    assert store.audit().ok
    store.close()
    return hashes, kept, Summary.of(Ledger.read(out))


def table(folder):
    return pq.ParquetDataset(sorted(folder.glob("*.parquet"))).read().to_pylist()


def test_a_run_holds_every_trace_once_and_names_every_bad_record(logs, whole):
    rows, summary = table(whole / "out"), Summary.of(Ledger.read(whole / "out"))
    lines = logs.read_text().split("\n")
    bad = [n for n, line in enumerate(lines, 1) if line == "{bad" or '"foo"' in line]
    named = [json.loads(line) for line in (whole / "out" / BAD).read_text().splitlines()]
    assert [b["line"] for b in named] == bad
    assert all(b["reason"] and b["source"] == str(logs) for b in named)
    expected = sum(1 for n in lines if '"thinking"' in n) + 2 * sum("choices" in n for n in lines)
    assert len(rows) == summary.traces == expected
    assert summary.bad == len(bad)
    assert sum(summary.decisions.values()) == summary.traces
    assert min(summary.decisions.values()) > 5
    assert len({r["verdict_id"] for r in rows}) == len(rows)
    assert [r["line"] for r in rows] == sorted(r["line"] for r in rows)
    flagged = next(r for r in rows if r["evidence"])
    assert any(w in flagged["evidence"][0]["quote"] for w in ("HINT", "PLOT", "BOMB", "LIAR"))


def test_the_store_keeps_a_run_apart_from_live_verdicts(whole):
    store = Store.open(f"sqlite:///{whole}/audit.db")
    assert store.verdicts(Query()).rows == ()
    assert store.summary().total == 0
    assert {r.run for r in store.verdicts(Query(run="r")).rows} == {"r"}
    store.close()


@pytest.mark.parametrize("seed", range(10))
def test_killed_at_random_moments_a_run_ends_as_if_nothing_had_been(logs, whole, tmp_path, seed):
    rng = random.Random(seed)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.rescoring"])
    for _ in range(2):
        here, there = context.Pipe(duplex=False)
        args = (there, [logs], tmp_path / "out", f"sqlite:///{tmp_path}/audit.db")
        process = context.Process(target=rescore_telling, args=args)
        process.start()
        there.close()
        _wait_for(here, rng.randrange(1, 45))
        process.kill()
        process.join()
        here.close()
    rescore([logs], tmp_path / "out", record=f"sqlite:///{tmp_path}/audit.db")
    assert essence(tmp_path) == essence(whole)


def _wait_for(pipe, ticks):
    try:
        for _ in range(ticks):
            pipe.recv()
    except EOFError:
        pass  # it has finished


class CrashError(Exception):
    """Stands for the end of the process."""


PLACES = ["append_durably", "write_part", "commit", "list"]


@pytest.mark.parametrize("crash", list(product(("before", "after"), PLACES)), ids=" ".join)
def test_a_crash_beside_any_step_of_writing_is_harmless(logs, whole, tmp_path, monkeypatch, crash):
    when, place = crash
    places = {"commit": (Ledger, "commit"), "list": (ledger, "append_durably")}
    owner, name = places.get(place, (part, place))
    real, turns = getattr(owner, name), iter(range(100))

    def crashing(*args, **options):
        if next(turns) != 4:
            return real(*args, **options)
        if when == "after":
            real(*args, **options)
        raise CrashError

    monkeypatch.setattr(owner, name, crashing)
    with pytest.raises(CrashError):
        rescore([logs], tmp_path / "out", record=f"sqlite:///{tmp_path}/audit.db")
    monkeypatch.undo()
    rescore([logs], tmp_path / "out", record=f"sqlite:///{tmp_path}/audit.db")
    assert essence(tmp_path) == essence(whole)


def test_a_list_of_parts_that_was_cut_off_in_a_line_is_mended(logs, whole, tmp_path):
    unfinish(rescore([logs], tmp_path / "out", record=f"sqlite:///{tmp_path}/audit.db"), parts=3)
    with (tmp_path / "out" / PARTS).open("ab") as file:
        file.write(b'{"file": "part-')
    rescore([logs], tmp_path / "out", record=f"sqlite:///{tmp_path}/audit.db")
    assert essence(tmp_path) == essence(whole)


def test_how_many_traces_run_at_once_changes_nothing(logs, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "MAX_AHEAD", 1)
    rescore([logs], tmp_path / "out", record=f"sqlite:///{tmp_path}/audit.db")
    assert essence(tmp_path) == essence(whole)


def test_a_finished_run_is_not_run_again(logs, tmp_path):
    first = rescore([logs], tmp_path / "out")
    again = rescore([logs], tmp_path / "out", run="other name")
    assert (again.run, again.finished_at, again.parts) == ("r", first.finished_at, first.parts)


@pytest.mark.parametrize("change", ["rules", "where", "part_rows", "input"])
def test_a_folder_takes_no_other_run(logs, tmp_path, change):
    own = tmp_path / "own.jsonl"
    own.write_bytes(logs.read_bytes())
    rescore([own], tmp_path / "out")
    changed = {"rules": policy(unscored=Decision.FLAG), "where": ["model=m1"], "part_rows": 11}
    if change == "input":
        own.write_text(own.read_text() + "{}\n")
        options = {}
    else:
        options = {change: changed[change]}
    with pytest.raises(RescoreError, match="another --out"):
        rescore([own], tmp_path / "out", **options)


def test_two_processes_do_not_write_one_folder(logs, tmp_path):
    from stream.rescore.ledger import holding

    with holding(tmp_path / "out"), pytest.raises(RescoreError, match="Another process"):
        rescore([logs], tmp_path / "out")


def test_filters_and_samples_take_what_they_say(logs, whole, tmp_path):
    everything = table(whole / "out")
    rescore([logs], tmp_path / "m1", where=["model=m1", "thinking~plot"])
    wanted = [r["line"] for r in everything if r["model"] == "m1"]
    got = table(tmp_path / "m1")
    assert got
    assert {r["line"] for r in got} < set(wanted)
    assert all(r["model"] == "m1" for r in got)
    rescore([logs], tmp_path / "a", sample="25%")
    rescore([logs], tmp_path / "b", sample="25%")
    rescore([logs], tmp_path / "c", sample="25%", seed=9)
    sampled = [[(r["line"], r["choice"]) for r in table(tmp_path / n)] for n in "abc"]
    assert sampled[0] == sampled[1] != sampled[2]
    for model in ("m1", "m2", "m3"):
        size = sum(r["model"] == model for r in everything)
        assert abs(sum(r["model"] == model for r in table(tmp_path / "a")) - size / 4) < 1


@pytest.mark.parametrize("text", ["soul=x", "model", "=", "model>x"])
def test_a_filter_that_is_none_is_refused(logs, tmp_path, text):
    with pytest.raises(RescoreError, match="--where"):
        rescore([logs], tmp_path / "out", where=[text])


@pytest.mark.parametrize("text", ["0", "0%", "101%", "x", "-1", "nan"])
def test_a_sample_that_is_none_is_refused(logs, tmp_path, text):
    with pytest.raises(RescoreError, match="--sample"):
        rescore([logs], tmp_path / "out", sample=text)


def test_an_empty_input_is_a_finished_run_of_nothing(tmp_path):
    (tmp_path / "a.jsonl").write_text("")
    ledger = rescore([tmp_path / "a.jsonl"], tmp_path / "out")
    assert ledger.finished_at
    assert Summary.of(ledger).traces == 0


def test_the_parts_have_the_declared_columns(whole):
    for path in (whole / "out").glob("*.parquet"):
        assert pq.read_schema(path).equals(SCHEMA)
