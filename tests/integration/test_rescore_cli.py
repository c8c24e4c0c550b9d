"""`subtext rescore` does what its help says."""

import json
from contextlib import closing

import pytest
from typer.testing import CliRunner

from monitor.store import Query, Store
from stream.cli import app, rescore
from tests.rescoring import write_logs
from tests.support import fake

RUN = CliRunner()


@pytest.fixture(autouse=True)
def _faked(monkeypatch):
    monkeypatch.setattr(rescore, "open_classifier", lambda _folder, _queue: fake())


@pytest.fixture
def logs(tmp_path):
    write_logs(tmp_path / "a.jsonl", 60)
    return tmp_path / "a.jsonl"


def run(*words):
    return RUN.invoke(app, ["rescore", *map(str, words)])


def test_peek_shows_what_was_understood_and_writes_nothing(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text(
        '{"messages": [{"role": "user", "content": "Hi?\\u001b[2J"},'
        ' {"role": "assistant", "content": "<think>Hm.</think>Yes."}]}\n{bad\n{"foo": 1}\n'
    )
    result = run(file, "--peek")
    assert result.exit_code == 0, result.output
    for words in ("conversation", "Hm.", "Yes.", "(3 characters)", "malformed JSON", "--map"):
        assert words in result.stdout
    assert "\x1b[2J" not in result.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]


def test_peek_says_when_no_thinking_was_seen(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"prompt": "a", "response": "b", "scratchpad": "c"}\n')
    assert "No thinking was seen" in run(tmp_path / "a.jsonl", "--peek").stdout
    mapped = run(tmp_path / "a.jsonl", "--peek", "--map", "thinking=scratchpad")
    assert "No thinking was seen" not in mapped.stdout


def test_a_run_a_repetition_and_a_new_policy(logs, tmp_path):
    first = run(logs, "--out", tmp_path / "out", "--run", "november")
    assert first.exit_code == 0, first.output
    assert "run november" in first.stdout
    assert run(logs, "--out", tmp_path / "out").stdout == first.stdout
    policy = RUN.invoke(app, ["policy", "show"]).stdout
    (tmp_path / "new.toml").write_text(policy.replace("block = 0.", "block = 0.99 # "))
    changed = run(
        tmp_path / "out", "--policy", tmp_path / "new.toml", "--out", tmp_path / "anew",
        "--compare", tmp_path / "out",
    )  # fmt: skip
    assert changed.exit_code == 0, changed.output
    assert "with another decision" in changed.stdout
    told = json.loads((tmp_path / "anew" / "comparison.json").read_text())
    assert told["flipped"] == len((tmp_path / "anew" / "flips.jsonl").read_text().splitlines())
    assert (tmp_path / "anew" / "comparison.html").exists()


def test_decisions_made_anew_are_listed_in_a_store_and_lead_to_the_verdicts_judged(logs, tmp_path):
    url = f"sqlite:///{tmp_path}/audit.db"
    first = run(logs, "--out", tmp_path / "out", "--run", "november", "--record", url)
    assert first.exit_code == 0, first.output
    (tmp_path / "new.toml").write_text(
        RUN.invoke(app, ["policy", "show"]).stdout.replace("block = 0.", "block = 0.99 # ")
    )
    words = (tmp_path / "out", "--policy", tmp_path / "new.toml", "--out", tmp_path / "anew")
    words += ("--record", url, "--compare", tmp_path / "out")
    again = run(*words, "--run", "what-if")
    assert again.exit_code == 0, again.output
    with closing(Store.open(url)) as store:
        listed, compared = store.runs.get("what-if")
        judged, _ = store.runs.get("november")
        assert (listed.scores_of, listed.traces) == ("november", judged.traces)
        assert listed.compared_with == "november"
        assert listed.flipped > 0
        assert all(store.verdict(flip.verdict_id).trace for flip in compared.top)
        assert {row.run for row in store.verdicts(Query(run="november")).rows} == {"november"}
        assert store.verdicts(Query(run="what-if")).rows == ()
        assert store.audit().ok
    taken = run(*words[:4], tmp_path / "other", "--record", url, "--run", "november")
    assert taken.exit_code == 64
    assert "another run" in taken.stderr


def test_a_dry_run_counts_and_writes_nothing(logs, tmp_path):
    result = run(logs, "--dry-run", "--where", "model=m1")
    assert result.exit_code == 0, result.output
    assert "traces" in result.stdout
    assert "cannot be read" in result.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]


def test_ctrl_c_stops_and_the_same_command_goes_on(logs, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(fake().__class__, "encode", _interrupted())
        stopped = run(logs, "--out", tmp_path / "out", "--part-rows", 5)
    assert stopped.exit_code == 130, stopped.output
    assert "goes on" in stopped.stderr
    assert run(logs, "--out", tmp_path / "out", "--part-rows", 5).exit_code == 0


def _interrupted():
    turns = iter(range(1000))
    real = fake().__class__.encode

    async def encode(self, texts):
        if next(turns) == 60:
            raise KeyboardInterrupt
        return await real(self, texts)

    return encode


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{logs}"], "--out"),
        (["/nowhere/at/all", "--peek"], "neither"),
        (["{logs}", "--peek", "--map", "x"], "field=path"),
        (["{logs}", "--peek", "--sample", "2"], "--sample"),
        (["{logs}", "--peek", "--where", "x"], "--where"),
        (["{logs}", "--out", "{logs}"], "File exists"),
        (["{logs}", "--out", "{out}", "--run", "a\udcff"], "printable"),
        (["sqlite:////nowhere/at/all.db", "--peek"], "nowhere"),
        (["{logs}", "--out", "{out}", "--compare", "/nowhere"], "no finished run"),
        (["{logs}", "--out", "{out}", "--compare", "stored"], "no trace in common"),
    ],
)
def test_what_cannot_be_done_is_said(logs, tmp_path, words, said):
    result = run(*(w.format(logs=logs, out=tmp_path / "out") for w in words))
    assert result.exit_code == 64, result.output
    assert said in result.stderr


def test_help_teaches():
    text = run("--help").stdout
    for words in ("--peek", "--compare", "LiteLLM", "bad.jsonl", "Exit code"):
        assert words in text
