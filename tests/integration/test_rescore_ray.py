"""A cluster gives what one machine gives, to the bit, also when it goes on with a stopped run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stream.rescore.ledger import Ledger
from stream.rescore.summary import Summary
from tests.rescoring import rescore, unfinish, write_logs

ROOT = Path(__file__).parents[2]
OPTIONS = {"where": ["model!=m2"], "sample": "80%"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What this process judged, and what a Ray of this machine made of the same."""
    folder = tmp_path_factory.mktemp("ray")
    inputs = [str(folder / f"{number}.jsonl") for number in range(3)]
    for number, path in enumerate(inputs):
        write_logs(Path(path), 40, seed=number)
    rescore(inputs, folder / "here", **OPTIONS)
    unfinish(rescore(inputs, folder / "resumed", **OPTIONS), parts=4)
    calls = [
        {"inputs": inputs, "out": str(folder / "there"), **OPTIONS},
        {"inputs": inputs, "out": str(folder / "resumed"), **OPTIONS},
        {"inputs": inputs, "out": str(folder / "broken"), "broken": True},
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tests.rescoring_on_ray", json.dumps(calls)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (folder / "told").write_text(done.stdout)
    return folder


def essence(out):
    """Everything that a run has written, but for times."""
    files = sorted(path for path in out.iterdir() if path.suffix in (".parquet", ".jsonl"))
    return {path.name: path.read_bytes() for path in files}, Summary.of(Ledger.read(out))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["there", "resumed"])
def test_a_cluster_writes_the_same_bytes_as_one_machine(folder, name):
    assert essence(folder / name) == essence(folder / "here")
    assert Summary.of(Ledger.read(folder / name)).traces > 50


@pytest.mark.timeout(600)
def test_what_stops_the_cluster_is_told(folder):
    assert "The cluster failed" in (folder / "told").read_text()
    assert Ledger.read(folder / "broken").finished_at is None
