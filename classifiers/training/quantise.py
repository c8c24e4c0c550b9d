"""Compare ways to store and compute the step encoder: size, speed, batch invariance, AUROC.

`python -m classifiers.training quantise` reads the checkpoint of a training run and prints one line
per form; the decision it led to is in docs/decisions/0002-batch-invariant-int8.md.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from sklearn.metrics import roc_auc_score

from classifiers.segment import segment
from classifiers.sessions import StepRunner, open_session, pad
from classifiers.tokenise import Window
from classifiers.training.calibrate import held_out_records
from classifiers.training.data import Record, load
from classifiers.training.export import compress
from classifiers.training.scores import Scorer
from classifiers.training.steps import CHECKS

Matrix = npt.NDArray[np.float32]
#: Windows that fix the activation scales, and those of the speed test.
CALIBRATION_WINDOWS, SPEED_WINDOWS, ROUNDS = 192, 64, 12
_KEEP_OUTPUTS: Final = {"OpTypesToExcludeOutputQuantization": ["MatMul"], "MatMulConstBOnly": True}


def compare(plain: Path, folder: Path, data: Path) -> None:
    """Print the findings; `plain` is the fp32 graph, `folder` the artefact with the other files."""
    scorer = Scorer.open(folder)
    records = [r for r in held_out_records(data / "train")[CHECKS[0]] if r.authored]
    fresh = [r for f in sorted((data / "validation").glob("v*.parquet")) for r in load(f)]
    windows = [
        w for r in records for p in segment(r.thinking) for w in scorer.tokeniser.step(p.text)
    ]
    np.random.default_rng(0).shuffle(windows)  # type: ignore[arg-type]
    runners = {f.stem: StepRunner(open_session(f, None, None)) for f in _forms(plain, windows)}
    speeds = _speeds(runners, sorted(windows, key=lambda w: -len(w.ids))[40 : 40 + SPEED_WINDOWS])
    reference = np.stack(runners[plain.stem](windows[:256]))
    for name, runner in runners.items():
        vectors = np.stack(runner(windows[:256]))
        print(
            f"{name:12} {speeds[name]:6.0f} tokens/s  cosine {_cosine(vectors, reference):.4f}  "
            f"batch difference {_difference(runner, windows, vectors):.1e}  "
            f"AUROC {_aurocs(replace(scorer, steps=runner), [fresh, records])}"
        )


def _forms(plain: Path, windows: Sequence[Window]) -> list[Path]:
    """Write every form beside the fp32 graph."""
    stored, dynamic, static = (
        plain.with_name(f"{n}.onnx") for n in ("stored8", "dynamic", "static")
    )
    onnx.save(compress(onnx.load(str(plain))), str(stored))
    quantize_dynamic(str(plain), str(dynamic), op_types_to_quantize=["MatMul"])
    quantize_static(
        str(plain),
        str(static),
        _Reader(windows[:CALIBRATION_WINDOWS]),
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        extra_options=_KEEP_OUTPUTS,
    )
    return [plain, stored, dynamic, static]


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, windows: Sequence[Window]) -> None:
        self._batches: Iterator[Sequence[Window]] = (
            windows[at : at + 16] for at in range(0, len(windows), 16)
        )

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self._batches, None)
        return None if batch is None else dict(zip(("ids", "mask"), _padded(batch), strict=True))


def _padded(windows: Sequence[Window]) -> tuple[Any, Any]:
    return pad([w.ids for w in windows])


def _speeds(runners: Mapping[str, StepRunner], windows: Sequence[Window]) -> dict[str, float]:
    """The best of several rounds; the forms take turns, so that a busy machine is fair to all."""
    tokens, best = sum(len(w.ids) for w in windows), dict.fromkeys(runners, 0.0)
    for _ in range(ROUNDS):
        for name, runner in runners.items():
            began = time.perf_counter()
            runner(windows)
            best[name] = max(best[name], tokens / (time.perf_counter() - began))
    return best


def _cosine(a: Matrix, b: Matrix) -> float:
    return float(((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).mean())


def _difference(runner: StepRunner, windows: Sequence[Window], vectors: Matrix) -> float:
    alone = np.concatenate([runner([w]) for w in windows[:16]])
    return float(np.abs(alone - vectors[:16]).max())


def _aurocs(scorer: Scorer, sets: Sequence[Sequence[Record]]) -> str:
    scored = [(records, scorer.score(records, CHECKS)) for records in sets if records]
    return ", ".join(
        f"{roc_auc_score([r.labels[c] for r in records], [s[c] for s in found]):.4f}"
        for records, found in scored
        for c in CHECKS
    )
