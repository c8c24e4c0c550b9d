"""A trained model folder: weights, tokeniser and the manifest that says what they must be.

Anything that differs from the manifest refuses to start: a score from other weights, other labels
or another segmenter would look like a score and mean something else.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from classifiers.errors import ArtefactError
from classifiers.port import Check, HeadScores, Identity, Role, Thresholds
from classifiers.segment import SEGMENTER_VERSION

MANIFEST: Final = "manifest.json"
STEP_MODEL, PAIR_MODEL = "step.onnx", "pair.onnx"
HEAD, TOKENISER = "head.npz", "tokenizer.json"
FILES: Final = (STEP_MODEL, PAIR_MODEL, HEAD, TOKENISER)
#: The layout of the manifest; another one needs another release.
FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Platt:
    """Calibration: probability = sigmoid(a * logit + b)."""

    a: float
    b: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """A verified model folder."""

    folder: Path
    identity: Identity
    dimensions: int
    calibration: Mapping[Check, Platt]
    thresholds: Mapping[Check, Thresholds]
    #: The whole manifest, for the parts that people read (sources, evaluation, golden texts).
    manifest: Mapping[str, Any]

    def file(self, name: str) -> Path:
        """The path of one of `FILES`."""
        return self.folder / name


def default_artefact() -> Path:
    """The model folder that ships with Subtext."""
    return Path(str(files("classifiers"))) / "models" / "default"


def load(folder: Path | None = None) -> Artefact:
    """Verify a model folder (the shipped one by default) or raise `ArtefactError`."""
    folder = default_artefact() if folder is None else folder
    manifest = _read(folder / MANIFEST)
    try:
        _agree(folder, manifest)
        return _artefact(folder, manifest)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtefactError(f"{folder / MANIFEST} is incomplete ({error!r}); {_REMEDY}") from error


_REMEDY: Final = (
    "reinstall Subtext, or make the folder again with `python -m classifiers.training`."
)


def _read(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{path} cannot be read ({error}); {_REMEDY}") from error
    if not isinstance(manifest, dict):
        raise ArtefactError(f"{path} is not a JSON object; {_REMEDY}")
    return manifest


def _agree(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Everything that this code takes for granted is what the manifest says."""
    _same(folder, "format", manifest["format"], FORMAT)
    _same(folder, "labels", manifest["labels"], list(HeadScores._fields))
    _same(folder, "roles", manifest["roles"], [role.value for role in Role])
    _same(folder, "segmenter", manifest["segmenter"], SEGMENTER_VERSION)
    for name in FILES:
        _same_bytes(folder / name, manifest["files"][name])


def _same(folder: Path, what: str, found: object, needed: object) -> None:
    if found != needed:
        raise ArtefactError(
            f"{folder / MANIFEST}: {what} is {found!r}, this version of Subtext needs {needed!r}; "
            f"{_REMEDY}"
        )


def _same_bytes(path: Path, expected: Mapping[str, Any]) -> None:
    try:
        digest = sha256(path)
    except OSError as error:
        raise ArtefactError(f"{path} cannot be read ({error}); {_REMEDY}") from error
    if digest != expected["sha256"]:
        raise ArtefactError(
            f"{path}: SHA-256 is {digest[:12]}…, the manifest says {expected['sha256'][:12]}…: the "
            f"file is damaged or another model's; {_REMEDY}"
        )


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _artefact(folder: Path, manifest: Mapping[str, Any]) -> Artefact:
    return Artefact(
        folder=folder,
        identity=identity(manifest),
        dimensions=int(manifest["dimensions"]),
        calibration={c: _platt(manifest["calibration"][c.value]) for c in Check},
        thresholds={c: _thresholds(manifest["thresholds"][c.value]) for c in Check},
        manifest=manifest,
    )


def identity(manifest: Mapping[str, Any]) -> Identity:
    """Names that change when a weight, the tokeniser, the segmenter or the calibration does."""
    weights = {name: manifest["files"][name]["sha256"] for name in FILES}
    return Identity(
        model=f"{manifest['name']}-{_short([weights, manifest['segmenter']])}",
        calibration=_short(manifest["calibration"]),
    )


def _short(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def _platt(value: Mapping[str, Any]) -> Platt:
    a, b = float(value["a"]), float(value["b"])
    if not a > 0:
        raise ValueError(f"calibration a = {a} would turn scores upside down")
    return Platt(a=a, b=b)


def _thresholds(value: Mapping[str, Any]) -> Thresholds:
    flag, block = float(value["flag"]), float(value["block"])
    if not 0 < flag <= block <= 1:
        raise ValueError(f"thresholds {flag}, {block} are not 0 < flag <= block <= 1")
    return Thresholds(flag=flag, block=block)
