"""A short storm; `make chaos` makes long ones."""

import subprocess
import sys

import pytest


@pytest.mark.timeout(560)
def test_no_trace_is_lost_no_decision_doubled_and_no_position_goes_back():
    """In a process of its own: clients whose broker was killed leave sockets behind."""
    storm = [sys.executable, "-m", "tests.chaos", "--rounds=1", "--seconds=15"]
    storm += ["--faults=5", "--traces=8"]
    done = subprocess.run(storm, capture_output=True, text=True, timeout=540, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    assert "| 120 |" in done.stdout
