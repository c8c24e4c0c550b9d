"""A model folder that is not exactly what its manifest says refuses to start."""

import json

import numpy as np
import pytest

from classifiers import artefact
from classifiers.errors import ArtefactError
from classifiers.head import WEIGHTS, load_weights
from classifiers.port import Check, HeadScores, Role
from classifiers.segment import SEGMENTER_VERSION


@pytest.fixture
def folder(tmp_path):
    """A small folder that passes every check; its graphs are not loaded here."""
    for name in (artefact.STEP_MODEL, artefact.PAIR_MODEL, artefact.TOKENISER):
        (tmp_path / name).write_bytes(name.encode() * 50)
    np.savez(
        tmp_path / artefact.HEAD,
        labels=np.asarray(HeadScores._fields),
        **{name: np.zeros((2, 4), dtype=np.float32) for name in WEIGHTS},
    )
    write(tmp_path)
    return tmp_path


def write(folder, **changes):
    manifest = {
        "format": artefact.FORMAT,
        "name": "small",
        "labels": list(HeadScores._fields),
        "roles": [role.value for role in Role],
        "segmenter": SEGMENTER_VERSION,
        "dimensions": 4,
        "files": {n: {"sha256": artefact.sha256(folder / n)} for n in artefact.FILES},
        "calibration": {check.value: {"a": 1.0, "b": 0.0} for check in Check},
        "thresholds": {check.value: {"flag": 0.5, "block": 0.9} for check in Check},
    }
    (folder / artefact.MANIFEST).write_text(json.dumps(manifest | changes))


def test_an_intact_folder_loads(folder):
    loaded = artefact.load(folder)
    assert loaded.thresholds[Check.MISMATCH] == (0.5, 0.9)
    assert load_weights(loaded).hidden == 4


@pytest.mark.parametrize("name", artefact.FILES)
def test_a_flipped_byte_refuses_and_names_the_file(folder, name):
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(ArtefactError, match=f"{name}: SHA-256"):
        artefact.load(folder)


@pytest.mark.parametrize("name", artefact.FILES)
def test_a_truncated_file_refuses(folder, name):
    (folder / name).write_bytes((folder / name).read_bytes()[:-10])
    with pytest.raises(ArtefactError, match="damaged"):
        artefact.load(folder)


@pytest.mark.parametrize("name", artefact.FILES)
def test_a_missing_file_refuses(folder, name):
    (folder / name).unlink()
    with pytest.raises(ArtefactError, match=f"{name} cannot be read"):
        artefact.load(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("labels", list(reversed(HeadScores._fields))),
        ("segmenter", "0"),
        ("roles", ["answer", "thinking", "prompt"]),
        ("format", 99),
    ],
)
def test_another_meaning_refuses_and_says_which(folder, field, value):
    write(folder, **{field: value})
    with pytest.raises(ArtefactError, match=f"{field} is"):
        artefact.load(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"calibration": {}},
        {"calibration": {check.value: {"a": -1.0, "b": 0.0} for check in Check}},
        {"thresholds": {check.value: {"flag": 0.9, "block": 0.5} for check in Check}},
        {"thresholds": None},
        {"files": {}},
        {"dimensions": "many"},
    ],
)
def test_an_incomplete_or_senseless_manifest_refuses(folder, changes):
    write(folder, **changes)
    with pytest.raises(ArtefactError, match="incomplete"):
        artefact.load(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_manifest_that_is_no_object_refuses(folder, text):
    (folder / artefact.MANIFEST).write_text(text)
    with pytest.raises(ArtefactError):
        artefact.load(folder)


def test_no_manifest_refuses(tmp_path):
    with pytest.raises(ArtefactError, match="cannot be read"):
        artefact.load(tmp_path)


def test_a_head_trained_for_other_labels_refuses(folder):
    arrays = {name: np.zeros((2, 4), dtype=np.float32) for name in WEIGHTS}
    np.savez(folder / artefact.HEAD, labels=np.asarray(HeadScores._fields[::-1]), **arrays)
    write(folder)
    with pytest.raises(ArtefactError, match="labels"):
        load_weights(artefact.load(folder))


def test_identity_changes_with_weights_and_with_calibration(folder):
    before = artefact.load(folder).identity
    (folder / artefact.PAIR_MODEL).write_bytes(b"other weights")
    write(folder)
    other_weights = artefact.load(folder).identity
    assert other_weights.model != before.model
    assert other_weights.calibration == before.calibration
    write(folder, calibration={check.value: {"a": 2.0, "b": 0.0} for check in Check})
    recalibrated = artefact.load(folder).identity
    assert recalibrated.model == other_weights.model
    assert recalibrated.calibration != before.calibration
