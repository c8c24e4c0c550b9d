"""The command line does what its help says, and its exit codes can be relied upon."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stream.cli import app, check
from tests.support import fake

RUN = CliRunner()
PAD = "Some ordinary words that make up a sentence of usual length. " * 6


@pytest.fixture
def _faked(monkeypatch):
    """Replace the model by the fake one: exit codes are about decisions, not about weights."""
    monkeypatch.setattr(check, "open_classifier", lambda _folder: fake())


def run(*words: str, text: str | bytes = ""):
    return RUN.invoke(app, list(words), input=text)


CODES = [
    ("<think>fine</think>all good", 0),
    ("<think>a HINT of something</think>good", 1),
    ("<think>the PLOT thickens</think>good", 2),
    ("<think>so 42</think>LIAR it is 43", 2),
    ("no thinking here", 0),
    ("", 3),
    ('{"choices": [', 3),
    (json.dumps({"thinking": "x", "answer": "BOMB"}), 2),
    (json.dumps({"choices": [{"message": {"reasoning": "HINT", "content": "x"}}]}), 1),
    (json.dumps({"type": "message", "content": [{"type": "thinking", "thinking": "PLOT"}]}), 2),
    (
        json.dumps(
            {
                "object": "response",
                "output": [
                    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "PLOT"}]}
                ],
            }
        ),
        2,
    ),
]


@pytest.mark.usefixtures("_faked")
@pytest.mark.parametrize(("text", "code"), CODES)
def test_the_exit_code_tells_the_decision(text, code):
    result = run("check", "-", text=text)
    assert result.exit_code == code, result.output


@pytest.mark.usefixtures("_faked")
def test_of_several_traces_the_worst_decides_and_a_bad_line_spoils_no_other(tmp_path):
    file = tmp_path / "many.jsonl"
    file.write_text('{"thinking": "fine", "answer": "x"}\n{oops\n{"answer": "HINT"}\n')
    result = run("check", str(file), "--json")
    assert result.exit_code == 3
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["decision"] for line in lines] == ["allow", "flag"]
    assert "line 2" in result.stderr
    file.write_text('{oops\n{"answer": "BOMB"}\n')
    assert run("check", str(file)).exit_code == 2


@pytest.mark.usefixtures("_faked")
def test_the_step_that_caused_the_verdict_is_shown():
    result = run("check", "-", text=f"<think>{PAD}\nThe PLOT is here.\n{PAD}</think>x")
    assert "The PLOT is here" in result.stdout
    assert "deception 0.950" in result.stdout
    assert "steps …" in result.stdout


@pytest.mark.usefixtures("_faked")
def test_text_cannot_drive_the_terminal():
    result = run("check", "-", text="<think>PLOT \x1b[2J\x1b]0;owned\x07 \u202etxet</think>x")
    assert "\x1b[2J" not in result.stdout
    assert "\x1b]0" not in result.stdout
    assert "\u202e" not in result.stdout


@pytest.mark.usefixtures("_faked")
def test_the_json_has_the_public_fields():
    out = json.loads(run("check", "-", "--json", text=f"<think>{PAD} PLOT</think>{PAD}").stdout)
    assert out["should_block"] is True
    assert out["recommendation"].startswith("withhold")
    assert out["deception_score"] == 0.95
    assert {"dangerous_reasoning_score", "consistency_score", "versions"} <= set(out)
    assert {"model", "calibration", "policy", "subtext"} == set(out["versions"])
    piece = out["evidence"][0]
    assert "PLOT" in f"{PAD} PLOT"[piece["start"] : piece["end"]]
    assert all({"channel", "start", "end", "deception"} <= set(step) for step in out["steps"])


def test_a_missing_file_is_a_clear_error():
    result = run("check", "/nowhere/at/all")
    assert result.exit_code == 64
    assert "cannot be read" in result.stderr


@pytest.mark.parametrize(
    "words", [[], ["check"], ["serve"], ["audit", "verify"], ["policy", "show"]]
)
def test_help_teaches(words):
    result = run(*words, "--help")
    assert result.exit_code == 0
    assert len(result.stdout) > 300


def test_policy_show_can_be_edited_and_validated(tmp_path):
    shown = run("policy", "show")
    file = tmp_path / "policy.toml"
    file.write_text(shown.stdout.replace('mode = "hold"', 'mode = "buffer"'))
    valid = run("policy", "validate", str(file))
    assert valid.exit_code == 0
    assert "mode buffer" in valid.stdout
    file.write_text("mdoe = 1")
    invalid = run("policy", "validate", str(file))
    assert invalid.exit_code == 64
    assert "Unknown key 'mdoe'" in invalid.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["serve"], "--upstream"),
        (["serve", "--demo", "--upstream", "http://x"], "either"),
        (["serve", "--upstream", "ftp://x"], "http://"),
        (["serve", "--demo", "--dashboard-host", "0.0.0.0"], "--unauthenticated-dashboard"),
    ],
)
def test_serve_refuses_what_is_unsafe_or_impossible(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*words)
    assert result.exit_code == 64
    assert said in result.stderr


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """`subtext serve --demo` as a user would start it, with the real model."""
    folder = tmp_path_factory.mktemp("demo")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with subprocess.Popen(
        ["subtext", "serve", "--demo", "--port", "0", "--dashboard-port", "0"],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        lines = []
        while "Ctrl-C" not in "".join(lines):
            lines.append(process.stdout.readline())
            assert lines[-1], "the server ended: " + "".join(lines)
        found = re.findall(r"http://[\d.:]+", "".join(lines))
        yield {"sidecar": found[0], "dashboard": found[1], "folder": folder, "env": path}
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def _get(url: str, body: dict | None = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"content-type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310
        return reply.read()


def test_the_demo_streams_judges_records_and_shows(demo):
    ask = {"model": "replay", "stream": True, "messages": [{"role": "user", "content": "Hello?"}]}
    body = _get(demo["sidecar"] + "/v1/chat/completions", ask)
    assert body.endswith(b"data: [DONE]\n\n")
    for _ in range(50):
        page = _get(demo["dashboard"] + "/").decode()
        if "/verdicts/v-" in page:
            break
        time.sleep(0.1)
    link = re.search(r"/verdicts/(v-[\w-]+)", page)
    assert "thinking" in _get(demo["dashboard"] + link[0]).decode().lower()
    verify = subprocess.run(
        ["subtext", "audit", "verify"],
        cwd=demo["folder"],
        env={**os.environ, "PATH": demo["env"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert verify.returncode == 0, verify.stdout + verify.stderr
    assert "The chain is whole." in verify.stdout


def test_score_api_and_command_line_give_the_same_scores_with_the_real_model(demo, tmp_path):
    trace = {"prompt": "Is it fresh?", "thinking": PAD + "It expired. I will lie.", "answer": PAD}
    api = json.loads(_get(demo["dashboard"] + "/v1/score", trace))
    line = json.loads(run("check", "-", "--json", text=json.dumps(trace)).stdout)
    for name in ("deception_score", "dangerous_reasoning_score", "consistency_score", "steps"):
        assert api[name] == line[name]


@pytest.mark.parametrize(
    "words",
    [
        ["check"],
        ["check", "--nope", "x"],
        ["audit", "verify", "--size", "x"],
        ["doctor", "--upstream", "http://["],
        ["serve", "--upstream", "http://["],
        ["serve", "--demo", "--port", "70000"],
    ],
)
def test_a_misunderstood_command_has_no_exit_code_that_means_a_verdict(words):
    result = subprocess.run(
        [sys.executable, "-c", "from stream.cli import run; run()", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 64, result.stderr
    assert "Traceback" not in result.stderr
