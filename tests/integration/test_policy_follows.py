"""A running server, as a user starts it, follows its policy file and certificates without a restart."""

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
from cryptography import x509
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

    def __init__(self, authority: Authority, process: subprocess.Popen) -> None:
        self.authority, self.folder, self.process = authority, authority.folder, process
        self._context = ssl.create_default_context(cafile=authority.file)
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

    def until(self, metric: str) -> None:
        """Wait until something was counted."""
        for _ in range(600):
            if re.search(rf"{re.escape(metric)} [1-9]", self.page("/metrics")):
                return
            time.sleep(0.05)
        raise AssertionError(f"{metric} stays at 0")

    def page(self, path: str) -> str:
        url = self.dashboard + path
        with urllib.request.urlopen(url, timeout=60, context=self._context) as got:  # noqa: S310
            return got.read().decode()

    def footer(self) -> str:
        return re.search(r"Policy .*?<bdi>(\w+)</bdi>", self.page("/"), re.DOTALL)[1]

    def shown(self) -> tuple[int, int]:
        """The serial numbers of the certificates of sidecar and dashboard."""
        return tuple(map(_serial, (self.sidecar, self.dashboard)))


def _serial(address: str) -> int:
    host, port = address.removeprefix("https://").split(":")
    return _number(ssl.get_server_certificate((host, int(port)), timeout=60))


def _number(certificate: str) -> int:
    return x509.load_pem_x509_certificate(certificate.encode()).serial_number


def run(*words: str) -> str:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def server(tmp_path):
    ours = Authority(tmp_path)
    words = []
    for option, name in (("--tls", "server"), ("--dashboard-tls", "dashboard")):
        certificate, key = ours.issue(name)
        words += [f"{option}-cert", str(certificate), f"{option}-key", str(key)]
    (tmp_path / "policy.toml").write_text('mode = "observe"\n')
    words += ["--policy", "policy.toml", "--tenant-header", "x-tenant", "--port", "0"]
    words += ["--dashboard-port", "0"]
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
            yield Running(ours, process)
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0


def test_edits_hold_at_once_and_stand_in_the_record(server):
    file, edited = server.folder / "policy.toml", f'mode = "hold"\n{RULE}'
    (server.folder / "copy.toml").write_text(edited)
    assert server.sidecar.startswith("https://")
    assert [server.mode(tenant) for tenant in ("guest", "home")] == ["observe", "observe"]
    file.write_text(edited)
    server.until('policy_reloads_total{outcome="adopted"}')
    assert [server.mode(tenant) for tenant in ("guest", "home")] == ["buffer", "hold"]
    file.write_text('mode = "hodl"\n')
    server.process.send_signal(signal.SIGHUP)
    server.until('policy_reloads_total{outcome="refused"}')
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


def test_renewed_certificates_are_used_without_a_restart(server):
    names = ("server", "dashboard")
    assert server.dashboard.startswith("https://")
    before = server.shown()
    issued = [server.authority.issue(name, days=90)[0].read_text() for name in names]
    for side in ("sidecar", "dashboard"):
        server.until(f'tls_renewals_total{{outcome="adopted",side="{side}"}}')
    after = tuple(map(_number, issued))
    assert server.shown() == after != before
    ends = re.findall(
        r"tls_certificate_expiry_timestamp_seconds{.*} (\S+)", server.page("/metrics")
    )
    assert [float(end) > time.time() + 80 * 86400 for end in ends] == [True, True]
    (server.folder / "dashboard.key").write_text("nothing")
    server.process.send_signal(signal.SIGHUP)
    server.until('tls_renewals_total{outcome="refused",side="dashboard"}')
    assert server.shown() == after
