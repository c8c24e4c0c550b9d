"""The step encoder and its causal trace head, in torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from transformers import BertModel

from classifiers.port import Role
from classifiers.tokenise import Window
from classifiers.training.steps import CHECKS, ROLES, StepTrace

HIDDEN: Final = 96
DIMENSIONS: Final = 384
#: Windows encoded at once; neighbours in length share a chunk.
CHUNK: Final = 24


class StepEncoder(nn.Module):
    """MiniLM with mean pooling over tokens; its lowest `frozen` layers keep their weights.

    What the frozen layers make of a window never changes, so training keeps it (half precision).
    """

    def __init__(self, weights: Path, frozen: int) -> None:
        super().__init__()
        self.bert = BertModel.from_pretrained(str(weights), add_pooling_layer=False)
        self.frozen = frozen
        for module in (self.bert.embeddings, *self.bert.encoder.layer[:frozen]):
            module.requires_grad_(requires_grad=False)
        self._kept: dict[tuple[int, ...], Tensor] = {}

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Mean of the last hidden states of the tokens that `mask` marks with 1."""
        return _mean(self.bert(input_ids=ids, attention_mask=mask).last_hidden_state, mask)

    def learn(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """The same for training: frozen layers run once per window, without dropout."""
        keys = [tuple(row) for row in rows]
        missing = list(dict.fromkeys(key for key in keys if key not in self._kept))
        if missing:
            self._keep(missing)
        kept = [self._kept[key].float() for key in keys]
        mask = _mask(rows)
        hidden = self._run(nn.utils.rnn.pad_sequence(kept, batch_first=True), mask, top=True)
        return _mean(hidden, mask)

    @torch.no_grad()
    def _keep(self, rows: Sequence[tuple[int, ...]]) -> None:
        training = self.training
        self.eval()
        ids = nn.utils.rnn.pad_sequence([torch.tensor(r) for r in rows], batch_first=True)
        hidden = self._run(self.bert.embeddings(input_ids=ids), _mask(rows), top=False)
        self._kept |= {r: h[: len(r)].half() for r, h in zip(rows, hidden, strict=True)}
        self.train(training)

    def _run(self, hidden: Tensor, mask: Tensor, *, top: bool) -> Tensor:
        allowed = mask.bool()[:, None, None, :].expand(-1, 1, mask.shape[1], -1)
        layers = self.bert.encoder.layer
        for layer in layers[self.frozen :] if top else layers[: self.frozen]:
            hidden = layer(hidden, allowed)
        return hidden


class TraceHead(nn.Module):
    """A GRU over projected step vectors; each step's logits see it and everything before."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(DIMENSIONS, HIDDEN)
        self.gru = nn.GRU(HIDDEN + len(ROLES), HIDDEN, batch_first=True)
        self.out = nn.Linear(2 * HIDDEN, len(CHECKS))
        self.drop = nn.Dropout(0.15)

    def forward(self, vectors: Tensor, roles: Tensor) -> Tensor:
        """Logits, shape (traces, steps, checks), of padded step vectors and one-hot roles."""
        seen = self.drop(torch.tanh(self.project(vectors)))
        state, _ = self.gru(torch.cat([seen, roles], dim=-1))
        return self.out(self.drop(torch.cat([state, seen], dim=-1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """Traces as padded tensors."""

    vectors: Tensor
    roles: Tensor
    #: True where a step exists and is scored (not prompt).
    scored: Tensor


def encode(encoder: StepEncoder, steps: Sequence[Sequence[Window]]) -> Tensor:
    """One vector a step: the mean of its windows weighted by tokens."""
    windows = [(i, w) for i, step in enumerate(steps) for w in step]
    order = sorted(windows, key=lambda pair: len(pair[1].ids))
    rows = [w.ids for _, w in order]
    parts = [_encode(encoder, rows[at : at + CHUNK]) for at in range(0, len(rows), CHUNK)]
    index = torch.tensor([i for i, _ in order])
    weight = torch.tensor([float(len(row)) for row in rows]).unsqueeze(1)
    total = torch.zeros(len(steps), DIMENSIONS).index_add(0, index, torch.cat(parts) * weight)
    return total / torch.zeros(len(steps), 1).index_add(0, index, weight)


def _encode(encoder: StepEncoder, rows: Sequence[Sequence[int]]) -> Tensor:
    if encoder.training:
        return encoder.learn(rows)
    ids = nn.utils.rnn.pad_sequence([torch.tensor(list(r)) for r in rows], batch_first=True)
    return encoder(ids, _mask(rows))


def pack(traces: Sequence[StepTrace], vectors: Tensor) -> Packed:
    """Pad the vectors of several traces, given one after the other, to the longest trace."""
    lengths = [len(t.roles) for t in traces]
    padded = nn.utils.rnn.pad_sequence(list(vectors.split(lengths)), batch_first=True)
    roles = torch.zeros(len(traces), max(lengths), len(ROLES))
    scored = torch.zeros(len(traces), max(lengths), dtype=torch.bool)
    for i, trace in enumerate(traces):
        for j, role in enumerate(trace.roles):
            roles[i, j, ROLES.index(role)] = 1.0
            scored[i, j] = role is not Role.PROMPT
    return Packed(vectors=padded, roles=roles, scored=scored)


def _mask(rows: Sequence[Sequence[int]]) -> Tensor:
    return nn.utils.rnn.pad_sequence(
        [torch.ones(len(r), dtype=torch.long) for r in rows], batch_first=True
    )


def _mean(hidden: Tensor, mask: Tensor) -> Tensor:
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weight).sum(1) / weight.sum(1)
