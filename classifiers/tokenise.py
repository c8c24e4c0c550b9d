"""WordPiece tokens for the encoders. Nothing is truncated: what is too long becomes windows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer
from tokenizers.models import WordPiece

from classifiers.port import Pair

#: Tokens in one window of a step, and of a pair, with the special ones.
STEP_WINDOW: Final = 128
PAIR_WINDOW: Final = 384
#: A claim longer than this is cut, so that the premise keeps the larger part of the window.
CLAIM_TOKENS: Final = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One row of encoder input."""

    #: Token ids, [CLS] and [SEP] included.
    ids: Sequence[int]
    #: How many of the first ids are segment A; the rest is segment B.
    first: int
    #: Which part of a claim this row belongs to (always 0 for steps).
    part: int = 0


class Tokeniser:
    """Text to windows of token ids."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        _read_long_words(self._tokenizer)
        self._cls = self._special("[CLS]")
        self._sep = self._special("[SEP]")

    def step(self, text: str) -> list[Window]:
        """The windows of a step: one for ordinary text, several of equal size for dense text."""
        return [self._single(chunk) for chunk in _even_chunks(self.ids(text), STEP_WINDOW - 2)]

    def pair(self, pair: Pair) -> list[Window]:
        """Every part of the claim against every part of the premise; one window nearly always."""
        claims = _even_chunks(self.ids(pair.claim), CLAIM_TOKENS)
        premise = self.ids(pair.premise)
        return [
            self._double(chunk, claim, part)
            for part, claim in enumerate(claims)
            for chunk in _even_chunks(premise, PAIR_WINDOW - 3 - len(claim))
        ]

    def _single(self, ids: Sequence[int]) -> Window:
        return Window(ids=[self._cls, *ids, self._sep], first=len(ids) + 2)

    def _double(self, premise: Sequence[int], claim: Sequence[int], part: int) -> Window:
        ids = [self._cls, *premise, self._sep, *claim, self._sep]
        return Window(ids=ids, first=len(premise) + 2, part=part)

    def ids(self, text: str) -> list[int]:
        """The word pieces of a text, without special tokens."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _special(self, token: str) -> int:
        found = self._tokenizer.token_to_id(token)
        if found is None:
            raise ValueError(f"The tokeniser has no {token} token.")
        return int(found)


def _read_long_words(tokenizer: Tokenizer) -> None:
    """Lift the limit that turns a word of more than 100 characters into one [UNK]."""
    model = tokenizer.model
    if isinstance(model, WordPiece):
        model.max_input_chars_per_word = 2048


def _even_chunks(ids: Sequence[int], size: int) -> list[Sequence[int]]:
    """Cut into as few chunks of at most `size` as possible, all about equally long."""
    count = max(1, math.ceil(len(ids) / size))
    bounds = [len(ids) * i // count for i in range(count + 1)]
    return [ids[a:b] for a, b in pairwise(bounds)]
