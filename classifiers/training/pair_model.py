"""The pair encoder: does the answer say what the thinking concluded? Full cross-attention."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import BertModel

from classifiers.tokenise import Window


class PairModel(nn.Module):
    """MiniLM over [CLS] premise [SEP] claim [SEP]; one mismatch logit from [CLS] and the mean.

    No dropout inside the encoder: a run reads a pair once or twice, and it costs a third more time.
    """

    def __init__(self, weights: Path, frozen: int) -> None:
        super().__init__()
        self.bert = BertModel.from_pretrained(
            str(weights),
            add_pooling_layer=False,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        for module in (self.bert.embeddings, *self.bert.encoder.layer[:frozen]):
            module.requires_grad_(requires_grad=False)
        self.bert.embeddings.token_type_embeddings.requires_grad_(requires_grad=True)
        size = self.bert.config.hidden_size
        self.mix = nn.Linear(3 * size, size)
        self.out = nn.Linear(size, 1)
        self.drop = nn.Dropout(0.1)

    def forward(self, ids: Tensor, mask: Tensor, segments: Tensor) -> Tensor:
        """One logit a row."""
        hidden = self.bert(
            input_ids=ids, attention_mask=mask, token_type_ids=segments
        ).last_hidden_state
        claim, premise = _mean(hidden, segments), _mean(hidden, mask - segments)
        joined = torch.cat([hidden[:, 0], claim, claim - premise], dim=-1)
        return self.out(self.drop(torch.tanh(self.mix(self.drop(joined))))).squeeze(-1)


def tensors(windows: Sequence[Window]) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, mask and segments, padded to the longest window."""
    shape = (len(windows), max(len(w.ids) for w in windows))
    ids, mask, segments = (torch.zeros(shape, dtype=torch.long) for _ in range(3))
    for i, window in enumerate(windows):
        size = len(window.ids)
        ids[i, :size] = torch.tensor(list(window.ids))
        mask[i, :size] = 1
        segments[i, window.first : size] = 1
    return ids, mask, segments


def _mean(hidden: Tensor, mask: Tensor) -> Tensor:
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1.0)
