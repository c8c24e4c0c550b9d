"""The policy file is replaced whole, by what was drafted, or not at all."""

import pytest

from classifiers.port import Check, Thresholds
from monitor.errors import PolicyError
from monitor.types import Mode
from stream.policy_writer import WrittenPolicy
from stream.reload import PolicySource
from tests.support import THRESHOLDS

WANTED = Thresholds(flag=0.61, block=0.95)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "policy.toml"
    path.write_text('# ours\nmode = "hold"\n')
    path.chmod(0o640)
    return path


@pytest.fixture
def written(file):
    return WrittenPolicy.of(PolicySource(file=file, defaults=THRESHOLDS, mode=Mode.OBSERVE))


def test_a_draft_is_written_and_the_version_is_as_foretold(file, written):
    draft = written.draft(Check.DECEPTION, WANTED)
    assert written.version() != draft.book.version
    written.write(draft)
    assert written.version() == draft.book.version
    assert file.read_text().startswith('# ours\nmode = "hold"\n')
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in file.parent.iterdir()] == ["policy.toml"]


def test_what_somebody_wrote_meanwhile_is_not_overwritten(file, written):
    draft = written.draft(Check.DECEPTION, WANTED)
    file.write_text('mode = "buffer"\n')
    with pytest.raises(PolicyError, match="changed meanwhile"):
        written.write(draft)
    assert file.read_text() == 'mode = "buffer"\n'


def test_a_link_stays_a_link(file, written, tmp_path):
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    linked = WrittenPolicy.of(PolicySource(file=link, defaults=THRESHOLDS))
    linked.write(linked.draft(Check.MISMATCH, WANTED))
    assert link.is_symlink()
    assert written.version() != ""
    assert "mismatch" in file.read_text()


def test_what_cannot_be_written_is_said_and_nothing_is_left_behind(file, written, monkeypatch):
    draft = written.draft(Check.DECEPTION, WANTED)
    monkeypatch.setattr("stream.policy_writer.Path.replace", _full)
    with pytest.raises(PolicyError, match="cannot be written"):
        written.write(draft)
    assert file.read_text() == draft.before
    assert [path.name for path in file.parent.iterdir()] == ["policy.toml"]


def _full(self, target):
    raise OSError(28, "No space left on device")


def test_without_a_file_there_is_nothing_to_write():
    assert WrittenPolicy.of(None) is None
    assert WrittenPolicy.of(PolicySource(file=None, defaults=THRESHOLDS)) is None
