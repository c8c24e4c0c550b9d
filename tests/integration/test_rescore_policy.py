"""Deciding anew from stored scores is what a run under the new policy would have decided."""

import asyncio
import json
from dataclasses import replace
from itertools import product

import pyarrow.parquet as pq
import pytest

from classifiers.errors import InferenceError
from classifiers.fake import FakeClassifier
from classifiers.port import Check, Thresholds
from monitor.rulebook import When
from monitor.types import Decision, Mode
from stream.rescore import command
from stream.rescore.errors import RescoreError
from stream.rescore.ledger import Ledger
from stream.rescore.redecide import earlier_run, redecide
from stream.rescore.run import bulk_engine, judge_all
from stream.rescore.summary import Summary
from stream.rescore.table import DECIDED
from tests import support
from tests.rescoring import rescore, unfinish, write_logs

#: Whose responses are, beside those of `write_logs`.
ORIGINS = [
    {"tenant": "tutor-a", "model": "m1"},
    {"tenant": "tutor"},
    {"route": "/v1//chat/completions", "requested_model": "m9"},
    {"requested_model": "alias", "model": "m1"},
]
LOW = {c: Thresholds(flag=0.01, block=0.7) for c in Check}
HIGH = {**support.THRESHOLDS, Check.DECEPTION: Thresholds(flag=0.6, block=0.951)}
RULES = support.rulebook(
    tutor=(When(tenant=("tutor-*",)), replace(support.policy(Mode.BUFFER), thresholds=LOW)),
    chat=(When(route=("/v1/chat/*",)), support.policy(unscored=Decision.ALLOW)),
    asked=(When(model=("Alias",)), replace(support.policy(), thresholds=HIGH)),
    small=(When(model=("m1", "m3")), support.policy(Mode.OBSERVE, absent=Decision.FLAG)),
)
POLICIES = [
    support.rulebook(),
    support.rulebook(support.policy(Mode.BUFFER, absent=Decision.FLAG)),
    support.rulebook(support.policy(unscored=Decision.ALLOW)),
    support.rulebook(replace(support.policy(), thresholds=LOW)),
    support.rulebook(replace(support.policy(unscored=Decision.FLAG), thresholds=HIGH)),
    RULES,
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
        for origin, word in product(ORIGINS, ("PLOT", "HINT", "LIAR", "fine")):
            file.write(json.dumps({"thinking": f"{word} {origin}", "answer": "x", **origin}) + "\n")
    return path


def judged(logs, folder, rules):
    judge = bulk_engine(Failing(support.MARKERS, i_know_this_is_fake=True), rules)
    job = command.job([str(logs)], part_rows=50)
    with command.ledger(job, judge, folder, run="r") as ledger:
        asyncio.run(judge_all(job, judge, ledger))


def decided(folder, out, rules, **more):
    return redecide(folder, rules, out, run="r", **more)


def rows(folder):
    """Rows without what names the run, and without quotes: the text is not at hand any more.

    Nor are steps, which a run that decides anew leaves where they are.
    """
    found = pq.ParquetDataset(sorted(folder.glob("*.parquet"))).read().to_pylist()
    for row in found:
        for name in ("verdict_id", "scores_of", "steps"):
            row.pop(name, None)
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
    again = Summary.of(Ledger.read(tmp_path / "second"))
    assert Summary.of(ledger) == replace(again, bad=0)  # those of the first run are listed there
    failed = [r for r in rows(tmp_path / "anew") if r["unscored"]]
    assert [round(r["deception_peak"], 1) for r in failed] == [0.9, 0.6, 0.0]


def test_each_rule_decides_its_own_rows(logs, tmp_path):
    judged(logs, tmp_path / "first", POLICIES[0])
    decided(tmp_path / "first", tmp_path / "anew", RULES)
    found = rows(tmp_path / "anew")
    modes = {rule.name: rule.policy.mode.value for rule in RULES.rules} | {"": "hold"}
    assert {(row["policy_rule"], row["mode"]) for row in found} == set(modes.items())
    assert {row["tenant"] for row in found if row["policy_rule"] == "tutor"} == {"tutor-a"}
    assert {row["policy_version"] for row in found} == {RULES.version}


def test_rules_are_refused_where_the_run_does_not_say_which_of_them_holds(logs, tmp_path):
    judged(logs, tmp_path / "first", POLICIES[0])
    for path in (tmp_path / "first").glob("*.parquet"):
        pq.write_table(pq.read_table(path).drop_columns(["route", "requested_model"]), path)
    with pytest.raises(RescoreError, match="judge the logs anew"):
        decided(tmp_path / "first", tmp_path / "anew", RULES)
    decided(tmp_path / "first", tmp_path / "top", POLICIES[3])
    assert {row["policy_version"] for row in rows(tmp_path / "top")} == {POLICIES[3].version}


def test_deciding_anew_goes_on_where_it_stopped(logs, tmp_path, monkeypatch):
    monkeypatch.setattr("stream.rescore.redecide.GROUP_ROWS", 50)
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


def test_each_row_names_the_verdict_whose_scores_it_has(logs, tmp_path, monkeypatch):
    judged(logs, tmp_path / "first", POLICIES[0])
    decided(tmp_path / "first", tmp_path / "together", POLICIES[3])
    monkeypatch.setattr("stream.rescore.redecide.GROUP_ROWS", 1)
    decided(tmp_path / "first", tmp_path / "apart", POLICIES[3])
    first, together, apart = (
        pq.ParquetDataset(sorted((tmp_path / name).glob("*.parquet"))).read()
        for name in ("first", "together", "apart")
    )
    assert together["scores_of"] == apart["scores_of"] == first["verdict_id"]
    assert len({*together["verdict_id"].to_pylist()}) == first.num_rows
    assert together.schema.equals(DECIDED)
    assert len(Ledger.read(tmp_path / "together").parts) == 1


def test_decisions_hold_no_scores_of_steps_to_decide_by_again(logs, tmp_path):
    judged(logs, tmp_path / "first", POLICIES[0])
    decided(tmp_path / "first", tmp_path / "anew", POLICIES[3])
    with pytest.raises(RescoreError, match="decisions only"):
        decided(tmp_path / "anew", tmp_path / "again", POLICIES[0])


def test_only_a_finished_run_can_be_decided_anew(logs, tmp_path):
    with pytest.raises(RescoreError, match="no run"):
        earlier_run(tmp_path)
    unfinish(rescore([logs], tmp_path / "out"))
    with pytest.raises(RescoreError, match="not finished"):
        earlier_run(tmp_path / "out")
