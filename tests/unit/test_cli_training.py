"""The training commands are handed on word by word, or say what to install."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from stream.cli import app, training
from stream.cli.options import EXIT_ERROR

NAMES = ("train", "evaluate", "calibrate")


@pytest.mark.parametrize("name", NAMES)
def test_without_torch_the_command_says_what_to_install(monkeypatch, name):
    monkeypatch.setattr(training, "find_spec", lambda _: None)
    result = CliRunner().invoke(app, [name, "--data", "somewhere"])
    assert result.exit_code == EXIT_ERROR
    assert "pip install 'subtext[cpu,train]'" in result.output


@pytest.mark.parametrize("name", NAMES)
def test_everything_after_the_name_is_handed_on_and_the_exit_code_comes_back(monkeypatch, name):
    seen = []

    def run(command, check):
        seen.append(command)
        return SimpleNamespace(returncode=3)

    monkeypatch.setattr(training, "find_spec", lambda _: object())
    monkeypatch.setattr(subprocess, "run", run)
    result = CliRunner().invoke(app, [name, "--data", "a b", "--tiny", "--help"])
    assert seen == [
        [sys.executable, "-m", "classifiers.training", name, "--data", "a b", "--tiny", "--help"]
    ]
    assert result.exit_code == 3
