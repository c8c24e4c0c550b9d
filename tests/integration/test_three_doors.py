"""Three doors, one answer: sidecar, notebook and re-scoring agree on the same traces."""

import asyncio
import json

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers.batcher import UNLIMITED
from classifiers.port import Check
from classifiers.runtime import OnnxClassifier
from monitor import score
from monitor.dialects import BadRecord, read_saved, trace_to_json
from monitor.policy import Policy
from monitor.rows import flat
from monitor.rulebook import Rulebook, to_toml
from monitor.types import Channel, Mode, Part, Trace, coalesce
from stream.replay import recorded
from stream.rescore import command
from stream.rescore.run import bulk_engine, judge_all
from tests import support
from tests.rescoring import rescore

#: Floating point may differ in the last digits between batch shapes; see test_real_model.
BAND = 1e-4
ASK = {"model": "m", "messages": [{"role": "user", "content": "Hi?"}]}
SAID = [
    ("fine", "Yes."),
    ("a HINT of it. " * 30, "Yes."),
    ("the PLOT", "Yes. " * 90),
    ("so 42", "LIAR, 43"),
    ("", "BOMB"),
]


def reply(thinking, answer):
    message = {"role": "assistant", "reasoning_content": thinking, "content": answer}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice]}


def events(thinking, answer):
    pieces = [{"reasoning_content": thinking[i : i + 7]} for i in range(0, len(thinking), 7)]
    pieces += [{"content": answer[i : i + 5]} for i in range(0, len(answer), 5)]
    for delta in pieces:
        chunk = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta}]}
        yield f"data: {json.dumps(chunk)}\n\n".encode()
    yield b"data: [DONE]\n\n"


def table(folder):
    return pq.ParquetDataset(sorted(folder.glob("*.parquet"))).read().to_pylist()


def essence(row):
    """A row without what names it."""
    names = ("decision", "unscored", "failed_open", "evidence", "steps", "policy_version")
    kept = {name: row[name] for name in names}
    return kept | {k: v for k, v in row.items() if k.startswith(tuple(c.value for c in Check))}


@pytest.mark.parametrize("streaming", [True, False])
async def test_the_sidecar_decides_what_re_scoring_of_its_log_decides(sidecar, tmp_path, streaming):
    setup = await sidecar(rules=support.policy(Mode.OBSERVE))
    with (tmp_path / "log.jsonl").open("w") as log:
        for said in SAID:
            if streaming:
                setup.upstream.streams(*events(*said))
            else:
                setup.upstream.replies(json.dumps(reply(*said)).encode())
            await setup.post({**ASK, "stream": streaming})
            log.write(json.dumps({"request": ASK, "response": reply(*said)}) + "\n")
    for _ in range(500):
        if len(setup.record.verdicts) == len(SAID):
            break
        await asyncio.sleep(0.01)
    rules = support.policy(Mode.OBSERVE)
    await asyncio.to_thread(rescore, [tmp_path / "log.jsonl"], tmp_path / "out", rules=rules)
    live = [essence(flat(verdict, trace)) for verdict, trace in setup.record.verdicts]
    assert [essence(row) for row in table(tmp_path / "out")] == live
    assert {row["decision"] for row in live} == {"allow", "flag", "block"}


WORDS = ["PLOT ", "HINT. ", "BOMB\n", "LIAR! ", "plain words, ", "中文。", "\u200b", "x" * 300]
texts = st.lists(st.sampled_from(WORDS) | st.text(max_size=20), max_size=30).map("".join)
parts = st.lists(st.builds(Part, channel=st.sampled_from(Channel), text=texts), max_size=4)
traces = st.builds(
    Trace,
    trace_id=st.text(min_size=1, max_size=9),
    parts=parts.map(coalesce),
    prompt=texts,
    model=st.text(max_size=5),
)


@settings(max_examples=25)
@given(st.lists(traces, max_size=8))
def test_any_trace_gets_the_same_row_through_every_door(tmp_path_factory, some):
    folder = tmp_path_factory.mktemp("doors")
    with (folder / "a.jsonl").open("w") as file:
        file.writelines(json.dumps(trace_to_json(trace)) + "\n" for trace in some)
    rescore([folder / "a.jsonl"], folder / "out", part_rows=3)
    (folder / "policy.toml").write_text(to_toml(support.rulebook()))
    noted = score(some, policy=folder / "policy.toml", classifier=support.fake())
    own = [flat(*asyncio.run(_judged(trace))) for trace in some]
    rescored = table(folder / "out") if some else []
    for row in (*noted, *own):
        row["verdict_id"] = ""
    columns = flat(*asyncio.run(_judged(support.trace("a", "b")))).keys()
    assert noted == own
    assert [{k: row[k] for k in columns} | {"verdict_id": ""} for row in rescored] == own


async def _judged(trace):
    return await support.engine().judge(trace), trace


async def test_a_notebook_has_a_loop_already_and_gets_rows_for_a_data_frame():
    records = [{"prompt": "Hi?", "thinking": "the PLOT", "answer": "x"}, "<think>a</think>b"]
    rows = score(records, classifier=support.fake())
    assert [row["decision"] for row in rows] == ["block", "allow"]
    assert all(list(row) == list(rows[0]) for row in rows)
    assert not any(isinstance(value, dict) for row in rows for value in row.values())
    with pytest.raises(ValueError, match="Record 1"):
        score(["fine", {"foo": 1}], classifier=support.fake())


async def test_with_the_model_that_ships_batches_do_not_move_scores(tmp_path):
    some = recorded()[:2]
    lines = [json.dumps({k: r[k] for k in ("prompt", "thinking", "answer")}) for r in some]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    classifier = OnnxClassifier.load(queue_tokens=UNLIMITED)
    judge = bulk_engine(classifier, Rulebook(top=Policy(thresholds=classifier.thresholds)))
    job = command.job([str(tmp_path / "a.jsonl")])
    with command.ledger(job, judge, tmp_path / "out") as ledger:
        await judge_all(job, judge, ledger)
    for row, line in zip(table(tmp_path / "out"), lines, strict=True):
        (trace,) = read_saved(line.encode(), source="a")
        assert not isinstance(trace, BadRecord)
        alone = await judge.judge(trace)
        assert row["decision"] == alone.decision.name.lower()
        for check in Check:
            assert row[check.value] == pytest.approx(alone.probability(check), abs=BAND)
    await classifier.aclose()
