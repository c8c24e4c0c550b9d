"""`subtext serve --gate kafka` and `subtext worker` with a broker that goes and comes back."""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from monitor.store import Query, Store
from stream.replay import reply
from tests.conftest import SCRIPTS

SUBTEXT = [sys.executable, "-c", "from stream.cli import run; run()"]
ANSWER = {"thinking": "It is fine, I think. " * 20, "answer": "It is fine."}
POLICY = 'deadline_seconds = 30.0\nunscored = "allow"\n'


class Upstream(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps(reply(ANSWER)).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Print nothing."""


@contextmanager
def upstream():
    with ThreadingHTTPServer(("127.0.0.1", 0), Upstream) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@contextmanager
def subtext(*arguments, log, **environment):
    """A process of ours; it is told to end, and must end well."""
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [*SUBTEXT, *arguments],
            stdout=out,
            stderr=out,
            cwd=log.parent,
            env={**os.environ, "COLUMNS": "200", **environment},
        ) as process,
    ):
        try:
            yield process
            process.terminate()
            assert process.wait(120) == 0, log.read_text()
        finally:
            process.kill()


def kafka(verb, folder):
    done = subprocess.run(
        [SCRIPTS / "kafka", verb, folder], capture_output=True, text=True, check=True, timeout=150
    )
    return done.stdout.strip()


def until(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "what was waited for did not come"
        time.sleep(0.1)
    return found


def word(log, before):
    """What stands behind `before` in a log, once it is there."""

    def look():
        after = log.read_text().partition(before)[2].split() if log.exists() else ()
        return after[0] if after else None

    return until(look)


def ask(address):
    body = {"model": "m", "messages": [{"role": "user", "content": "Well?"}]}
    request = urllib.request.Request(  # noqa: S310 -- our own
        address + "/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        return answer.headers, json.loads(answer.read())


def ready(address):
    try:
        with urllib.request.urlopen(address, timeout=20) as answer:  # noqa: S310
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return json.loads(error.read())


@pytest.mark.timeout(400)
def test_a_broker_that_goes_and_comes_back_loses_nothing(tmp_path):
    folder, database = tmp_path / "kafka", f"sqlite:///{tmp_path / 'audit.db'}"
    rules = tmp_path / "policy.toml"
    rules.write_text(POLICY, encoding="utf-8")
    common = ["--database", database, "--policy", str(rules)]
    with ExitStack() as stack:
        stack.callback(kafka, "stop", folder)
        environment = {"SUBTEXT_KAFKA": kafka("start", folder)}
        subprocess.run(
            [*SUBTEXT, "topics", "create", "--partitions", "2"],
            check=True,
            capture_output=True,
            env={**os.environ, **environment},
        )
        logs = {name: tmp_path / f"{name}.log" for name in ("worker", "serve")}
        stack.enter_context(
            subtext("worker", *common, "--port", "0", log=logs["worker"], **environment)
        )
        serve = ["serve", *common, "--gate", "kafka", "--kafka-wait", "2", "--port", "0"]
        serve += ["--dashboard-port", "0", "--upstream", stack.enter_context(upstream())]
        stack.enter_context(subtext(*serve, log=logs["serve"], **environment))
        sidecar, door = word(logs["serve"], "Sidecar"), word(logs["worker"], "Metrics: ")
        until(lambda: ready(sidecar + "/subtext/readyz")["ready"])
        until(lambda: ready(door.replace("/metrics", "/readyz"))["ready"])

        headers, body = ask(sidecar)
        assert body == reply(ANSWER)
        assert "x-subtext-failed-open" not in headers
        names = [headers["x-subtext-verdict-id"]]

        kafka("stop", folder)
        for _ in range(3):
            headers, body = ask(sidecar)
            assert body == reply(ANSWER)
            assert headers["x-subtext-failed-open"] == "true"
            names.append(headers["x-subtext-verdict-id"])
        assert ready(sidecar + "/subtext/readyz")["checks"]["broker"] == "failed"
        assert ready(door.replace("/metrics", "/readyz"))["ready"] is False
        assert list(Path(tmp_path, "subtext.spool").glob("*.spool"))

        kafka("start", folder)
        store = stack.enter_context(_closing(Store.open(database)))
        found = until(lambda: _rows(store) if set(names) <= set(_rows(store)) else None)
        assert set(found) == {*names, *(f"{name}-late" for name in names[1:])}
        assert all(found[name] is None for name in names)
        assert all("broker" in found[f"{name}-late"] for name in names[1:])
        until(lambda: ready(sidecar + "/subtext/readyz")["ready"])
        headers, body = ask(sidecar)
        assert "x-subtext-failed-open" not in headers


@contextmanager
def _closing(store):
    yield store
    store.close()


def _rows(store):
    return {row.verdict_id: row.unscored for row in store.verdicts(Query(limit=100)).rows}
