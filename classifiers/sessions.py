"""ONNX Runtime sessions and the two ways in which a batch of windows runs through one."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnxruntime import InferenceSession

from classifiers.errors import ArtefactError, InferenceError
from classifiers.port import Vector
from classifiers.tokenise import Window

#: Tried in this order; those that the installed ONNX Runtime lacks are skipped.
PROVIDERS: Final = ("CUDAExecutionProvider", "CPUExecutionProvider")
Ids = npt.NDArray[np.int64]


def open_session(
    path: Path, threads: int | None, providers: Sequence[str] | None
) -> InferenceSession:
    """Load a model; `threads` defaults to the CPUs that this process may use."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or available_cpus()
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 3
    offered = ort.get_available_providers()
    chosen = [p for p in (providers or PROVIDERS) if p in offered]
    if not chosen:
        raise ArtefactError(
            f"None of {list(providers or PROVIDERS)} is installed; found {offered}."
        )
    try:
        return InferenceSession(str(path), options, providers=chosen)
    except Exception as error:
        raise ArtefactError(f"ONNX Runtime cannot load {path}: {error}") from error


def available_cpus() -> int:
    """CPUs that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class StepRunner:
    """A batch of step windows to one vector each."""

    def __init__(self, session: InferenceSession) -> None:
        self._session = session

    @property
    def on_gpu(self) -> bool:
        """Whether the model runs on a GPU."""
        return bool(self._session.get_providers()[0] != "CPUExecutionProvider")

    def __call__(self, windows: Sequence[Window]) -> list[Vector]:
        """Run one batch."""
        ids, mask = pad([w.ids for w in windows])
        (vectors,) = self._session.run(None, {"ids": ids, "mask": mask})
        return list(_finite(vectors))


class PairRunner:
    """A batch of pair windows to one mismatch logit each."""

    def __init__(self, session: InferenceSession) -> None:
        self._session = session

    def __call__(self, windows: Sequence[Window]) -> list[float]:
        """Run one batch."""
        ids, mask = pad([w.ids for w in windows])
        first = np.asarray([[w.first] for w in windows])
        segments = ((np.arange(ids.shape[1])[None, :] >= first) & (mask > 0)).astype(np.int64)
        (logits,) = self._session.run(None, {"ids": ids, "mask": mask, "segments": segments})
        return [float(x) for x in _finite(logits)]


def pad(rows: Sequence[Sequence[int]]) -> tuple[Ids, Ids]:
    """Ids and mask, padded with zeros to the longest row."""
    ids = np.zeros((len(rows), max(len(row) for row in rows)), dtype=np.int64)
    mask = np.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return ids, mask


def _finite(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    if not np.isfinite(values).all():
        raise InferenceError("The model computed values that are not numbers.")
    return values
