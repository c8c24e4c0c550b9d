"""A running server, as a user starts it, follows its policy file without a restart."""

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stream import replay
from stream.cli import app
from tests.integration.test_doctor import serving
from tests.unit.data_certificates import Authority

RECORD = {"prompt": "Hello?", "thinking": "A short thought.", "answer": "Hello."}
RULE = '[[rules]]\nname = "guests"\nwhen.tenant = "guest"\nmode = "buffer"\n'
ASK = [{"role": "user", "content": RECORD["prompt"]}]
ENVIRONMENT = {
    **os.environ,
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    "PYTHONUNBUFFERED": "1",
}


class Running:
    """A server in a folder of its own."""

    def __init__(self, folder: Path, process: subprocess.Popen, authority: Path) -> None:
        self.folder, self.process = folder, process
        self._context = ssl.create_default_context(cafile=authority)
        lines = []
        while "Ctrl-C" not in "".join(lines):
            lines.append(process.stdout.readline())
            assert lines[-1], "the server ended: " + "".join(lines)
        self.sidecar, self.dashboard = re.findall(r"https?://[\d.:]+", "".join(lines))[:2]

    def mode(self, tenant: str) -> str:
        """The mode in which a response is judged now."""
        url = f"{self.sidecar}/v1/chat/completions"
        headers = {"content-type": "application/json", "x-tenant": tenant}
        body = json.dumps({"model": "replay", "stream": True, "messages": ASK}).encode()
        request = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310 -- our own
        with urllib.request.urlopen(request, timeout=60, context=self._context) as reply:  # noqa: S310
            reply.read()
            return reply.headers["x-subtext-mode"]

    def until(self, outcome: str) -> None:
        """Wait until an edit had this outcome."""
        wanted = re.compile(rf'reloads_total\{{outcome="{outcome}"\}} [1-9]')
        for _ in range(600):
            with urllib.request.urlopen(f"{self.dashboard}/metrics", timeout=60) as got:  # noqa: S310
                if wanted.search(got.read().decode()):
                    return
            time.sleep(0.05)
        raise AssertionError(f"no edit was {outcome}")

    def footer(self) -> str:
        with urllib.request.urlopen(self.dashboard, timeout=60) as got:  # noqa: S310 -- our own
            return re.search(r"Policy .*?<bdi>(\w+)</bdi>", got.read().decode(), re.DOTALL)[1]


def run(*words: str) -> str:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def server(tmp_path):
    ours = Authority(tmp_path)
    certificate, key = ours.issue("server")
    (tmp_path / "policy.toml").write_text('mode = "observe"\n')
    words = ["--policy", "policy.toml", "--tenant-header", "x-tenant", "--port", "0"]
    words += ["--dashboard-port", "0", "--tls-cert", str(certificate), "--tls-key", str(key)]
    with (
        serving(replay.create_app([RECORD], pace=0)) as upstream,
        subprocess.Popen(
            ["subtext", "serve", "--upstream", upstream, *words],
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process,
    ):
        try:
            yield Running(tmp_path, process, ours.file)
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0


def test_edits_hold_at_once_and_stand_in_the_record(server):
    file, edited = server.folder / "policy.toml", f'mode = "hold"\n{RULE}'
    (server.folder / "copy.toml").write_text(edited)
    assert server.sidecar.startswith("https://")
    assert [server.mode(tenant) for tenant in ("guest", "home")] == ["observe", "observe"]
    file.write_text(edited)
    server.until("adopted")
    assert [server.mode(tenant) for tenant in ("guest", "home")] == ["buffer", "hold"]
    file.write_text('mode = "hodl"\n')
    server.process.send_signal(signal.SIGHUP)
    server.until("refused")
    assert server.mode("guest") == "buffer"
    version = server.footer()
    assert version in run("policy", "validate", str(server.folder / "copy.toml"))
    database = ["--database", f"sqlite:///{server.folder}/subtext.db"]
    run("audit", "verify", *database)
    run("audit", "export", str(server.folder / "log.jsonl"), *database)
    lines = (server.folder / "log.jsonl").read_text().splitlines()
    records = [record for line in lines if (record := json.loads(line).get("record"))]
    kinds = ["policy", "verdict", "verdict", "policy", "verdict", "verdict", "verdict"]
    assert [record["kind"] for record in records] == kinds
    assert records[3]["body"]["version"] == version
    assert "guests" in records[3]["body"]["policy"]
