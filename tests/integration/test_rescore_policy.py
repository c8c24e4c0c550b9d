"""Deciding anew from stored scores is what a run under the new policy would have decided."""

import asyncio
import json
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from classifiers.errors import InferenceError
from classifiers.fake import FakeClassifier
from classifiers.port import Check, Thresholds
from monitor.types import Decision, Mode
from stream.rescore import command
from stream.rescore.errors import RescoreError
from stream.rescore.ledger import Ledger
from stream.rescore.redecide import earlier_run, redecide
from stream.rescore.run import forget, judge_all
from tests import support
from tests.rescoring import rescore, unfinish, write_logs

LOW = {c: Thresholds(flag=0.01, block=0.7) for c in Check}
HIGH = {**support.THRESHOLDS, Check.DECEPTION: Thresholds(flag=0.6, block=0.951)}
POLICIES = [
    support.rulebook(),
    support.rulebook(support.policy(Mode.BUFFER, absent=Decision.FLAG)),
    support.rulebook(support.policy(unscored=Decision.ALLOW)),
    support.rulebook(replace(support.policy(), thresholds=LOW)),
    support.rulebook(replace(support.policy(unscored=Decision.FLAG), thresholds=HIGH)),
]


class Failing(FakeClassifier):
    """Fails on some texts, halfway through a trace."""

    async def encode(self, texts):
        if any("FAIL" in text for text in texts):
            raise InferenceError("no")
        return await super().encode(texts)


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    path = tmp_path_factory.mktemp("logs") / "a.jsonl"
    write_logs(path, 80)
    filler = "Some filler words for a long thought. " * 600
    with path.open("a", encoding="utf-8") as file:
        for word in ("PLOT", "HINT", "fine"):
            file.write(json.dumps({"thinking": f"{word} {filler} FAIL", "answer": "x"}) + "\n")
    return path


def judged(logs, folder, rules):
    judge = support.engine(
        classifier=Failing(support.MARKERS, i_know_this_is_fake=True), rules=rules, record=forget
    )
    job = command.job([str(logs)], part_rows=50)
    with command.ledger(job, judge, folder, run="r") as ledger:
        asyncio.run(judge_all(job, judge, ledger))


def decided(folder, out, rules, **more):
    return redecide(folder, rules, out, run="r", **more)


def rows(folder):
    """Rows without what names the run, and without quotes: the text is not at hand any more."""
    found = pq.ParquetDataset(sorted(folder.glob("*.parquet"))).read().to_pylist()
    for row in found:
        del row["verdict_id"]
        for evidence in row["evidence"]:
            del evidence["quote"]
    return found


@pytest.mark.parametrize("number", range(len(POLICIES)))
def test_deciding_anew_equals_judging_anew(logs, tmp_path, number):
    judged(logs, tmp_path / "first", POLICIES[number - 1])
    judged(logs, tmp_path / "second", POLICIES[number])
    ledger = decided(tmp_path / "first", tmp_path / "anew", POLICIES[number])
    assert rows(tmp_path / "anew") == rows(tmp_path / "second")
    assert rows(tmp_path / "anew") != rows(tmp_path / "first")
    again = Ledger.read(tmp_path / "second")
    assert [p.decisions for p in ledger.parts] == [p.decisions for p in again.parts]
    failed = [r for r in rows(tmp_path / "anew") if r["unscored"]]
    assert [round(r["deception_peak"], 1) for r in failed] == [0.9, 0.6, 0.0]


def test_deciding_anew_goes_on_where_it_stopped(logs, tmp_path):
    judged(logs, tmp_path / "first", POLICIES[0])
    told = []

    def stop(done, total):
        told.append((done, total))
        if len(told) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decided(tmp_path / "first", tmp_path / "anew", POLICIES[3], tell=stop)
    assert len(Ledger.read(tmp_path / "anew").parts) == 1
    decided(tmp_path / "first", tmp_path / "anew", POLICIES[3], tell=stop)
    assert told[0][0] == 50
    assert told[-1][0] == told[-1][1]
    decided(tmp_path / "first", tmp_path / "whole", POLICIES[3])
    assert rows(tmp_path / "anew") == rows(tmp_path / "whole")


def test_only_a_finished_run_can_be_decided_anew(logs, tmp_path):
    with pytest.raises(RescoreError, match="no run"):
        earlier_run(tmp_path)
    unfinish(rescore([logs], tmp_path / "out"))
    with pytest.raises(RescoreError, match="not finished"):
        earlier_run(tmp_path / "out")
