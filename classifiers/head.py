"""The causal trace head and the mismatch judge: numpy, microseconds a step, exact in every door."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from classifiers.artefact import HEAD, Artefact, Platt
from classifiers.errors import ArtefactError, InferenceError
from classifiers.lexical import CHECKS, Reading, Scores, meaning, scores, words
from classifiers.port import Check, HeadScores, Pair, Role, Vector

Array = npt.NDArray[np.float32]
_ROLES: Final = {role: i for i, role in enumerate(Role)}
_NOT_SCORED: Final = HeadScores(0.0, 0.0)
#: Where the head's checks stand among all of them.
_SCORED: Final = [CHECKS.index(Check(name)) for name in HeadScores._fields]
#: Arrays of the weights file.
WEIGHTS: Final = (
    "project_w",
    "project_b",
    "input_w",
    "input_b",
    "state_w",
    "state_b",
    "out_w",
    "out_b",
    # What the words say: the table, and a row a check of how they join the GRU's logits: in the
    # thinking (weight, bias), in the answer (weight of the GRU, weight of the words, bias).
    "lexicon",
    "mix",
    # Mismatch: means and weights of the pair logit, of the words' scores of each check and of the
    # exact comparisons, and the bias.
    "mismatch_mean",
    "mismatch_w",
    "mismatch_b",
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weights:
    """The trained head, shared by all traces."""

    arrays: Mapping[str, Array]
    calibration: tuple[Platt, ...]

    @property
    def hidden(self) -> int:
        """Numbers that a trace's state holds."""
        return int(self.arrays["state_w"].shape[1])

    def join(self, role: Role, gru: Array, told: Scores) -> Array:
        """The uncalibrated scores of a step, of the GRU's logits and the words' scores."""
        mix = self.arrays["mix"]
        if role is Role.ANSWER:
            return np.asarray(mix[:, 2] * gru + mix[:, 3] * told + mix[:, 4])
        return np.asarray(mix[:, 0] * gru + mix[:, 1])

    def mismatch(self, pair: Pair, logit: float) -> float:
        """The uncalibrated mismatch score of a pair to which the encoder gave `logit`."""
        known = self.arrays["mismatch_mean"].astype(np.float64)
        known[0] = logit
        if pair.context is not None:
            known[1:] = [*scores(pair.context.words), *pair.context.relation]
        known -= self.arrays["mismatch_mean"]
        return float(self.arrays["mismatch_w"] @ known + self.arrays["mismatch_b"])


def load_weights(artefact: Artefact) -> Weights:
    """The head of a verified artefact."""
    arrays = read_arrays(artefact.file(HEAD))
    if arrays["project_w"].shape[1] != artefact.dimensions:
        raise ArtefactError(f"{HEAD} reads vectors of another size than the manifest says.")
    checks = (Check(name) for name in HeadScores._fields)
    return Weights(arrays=arrays, calibration=tuple(artefact.calibration[c] for c in checks))


def read_arrays(path: Path) -> dict[str, Array]:
    """The weights in a head file, which must be for these labels in this order."""
    with np.load(path, allow_pickle=False) as stored:
        if list(stored["labels"]) != list(HeadScores._fields):
            raise ArtefactError(f"{path}: the head's labels are {list(stored['labels'])}.")
        return {name: stored[name].astype(np.float32) for name in WEIGHTS}


class TraceHead:
    """Reads one trace step by step; each score sees that step and everything before it."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._state = np.zeros(weights.hidden, dtype=np.float32)
        self._reading = Reading()

    def read(self, role: Role, vector: Vector) -> HeadScores:
        """Score this step in the light of the trace so far; a prompt step is context only."""
        logits = self.logits(role, vector)
        return _NOT_SCORED if role is Role.PROMPT else self._calibrated(logits)

    def logits(self, role: Role, vector: Vector) -> Array:
        """Read a step and return its uncalibrated scores.

        Words join only once the model answers: what it thought is then complete, and its beginning
        says too little of where it leads.
        """
        told = self._reading.read(role, words(vector))[_SCORED]
        return self._weights.join(role, self.gru(role, meaning(vector)), told)

    def gru(self, role: Role, vector: Vector) -> Array:
        """Read the encoder's vector of a step and return the GRU's logits."""
        w = self._weights.arrays
        seen = np.tanh(w["project_w"] @ vector + w["project_b"])
        self._state = _gru(w, np.concatenate([seen, _one_hot(role)]), self._state)
        return np.asarray(w["out_w"] @ np.concatenate([self._state, seen]) + w["out_b"])

    def _calibrated(self, logits: Array) -> HeadScores:
        scores = HeadScores(
            *(
                sigmoid(platt.a * float(logit) + platt.b)
                for platt, logit in zip(self._weights.calibration, logits, strict=True)
            )
        )
        if not all(0.0 <= score <= 1.0 for score in scores):
            raise InferenceError("The trace head computed something that is not a probability.")
        return scores


def sigmoid(x: float) -> float:
    """The logistic function, without overflow."""
    return float(1.0 / (1.0 + np.exp(-x))) if x >= 0 else float(np.exp(x) / (1.0 + np.exp(x)))


def _one_hot(role: Role) -> Array:
    found = np.zeros(len(_ROLES), dtype=np.float32)
    found[_ROLES[role]] = 1.0
    return found


def _gru(w: Mapping[str, Array], x: Array, state: Array) -> Array:
    """One step of a gated recurrent unit (reset, update, new: PyTorch's order and formula)."""
    gates_x, gates_s = w["input_w"] @ x + w["input_b"], w["state_w"] @ state + w["state_b"]
    reset_x, update_x, new_x = np.split(gates_x, 3)
    reset_s, update_s, new_s = np.split(gates_s, 3)
    reset = 1.0 / (1.0 + np.exp(-(reset_x + reset_s)))
    update = 1.0 / (1.0 + np.exp(-(update_x + update_s)))
    new = np.tanh(new_x + reset * new_s)
    return np.asarray((1.0 - update) * new + update * state, dtype=np.float32)
