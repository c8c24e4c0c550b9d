"""Which traces of the inputs are judged: filters and samples. The same every time."""

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import floor
from typing import Final

from monitor.types import Trace
from stream.rescore.errors import RescoreError
from stream.rescore.inputs import Item

__all__ = ["Sample", "Selection", "Where", "parse_share"]

_FIELDS: Final[dict[str, Callable[[Item, Trace], str]]] = {
    "source": lambda item, _: item.source,
    "shape": lambda item, _: item.logged.shape,
    "decision": lambda item, _: item.before.decision.name.lower() if item.before else "",
    "trace_id": lambda _, trace: trace.trace_id,
    "model": lambda _, trace: trace.model,
    "tenant": lambda _, trace: trace.tenant,
    "conversation_id": lambda _, trace: trace.conversation_id,
    "prompt": lambda _, trace: trace.prompt,
    "thinking": lambda _, trace: trace.thinking,
    "answer": lambda _, trace: trace.answer,
}
_CONDITION = re.compile(r"(\w+)\s*(!=|=|~)\s*(.*)", re.DOTALL)
#: Strata beyond this many share one: names in a log may be endless.
MAX_STRATA = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """One condition on a trace."""

    name: str
    operator: str
    value: str

    @classmethod
    def parse(cls, text: str) -> "Where":
        """Read `model=gpt-*`, `tenant!=acme` or `thinking~grader`; raises RescoreError."""
        found = _CONDITION.fullmatch(text.strip())
        if not found or found[1] not in _FIELDS:
            raise RescoreError(
                f"--where {text!r} is not FIELD=GLOB, FIELD!=GLOB or FIELD~TEXT; the fields are"
                f" {', '.join(_FIELDS)}."
            )
        return cls(name=found[1], operator=found[2], value=found[3])

    def holds(self, item: Item, trace: Trace) -> bool:
        """Whether this trace fits."""
        text = _FIELDS[self.name](item, trace)
        if self.operator == "~":
            return self.value.casefold() in text.casefold()
        return fnmatchcase(text, self.value) == (self.operator == "=")


@dataclass(slots=True, kw_only=True)
class Sample:
    """Takes the same share of every model of every source, evenly spread.

    Of n traces of a stratum it takes n times `share`, rounded up or down; which ones follows from
    `seed` and their order alone.
    """

    share: float
    seed: int = 0
    _seen: dict[tuple[str, str], int] = field(default_factory=dict)

    def takes(self, item: Item, trace: Trace) -> bool:
        """Whether the next trace is in the sample."""
        stratum = (item.source, trace.model)
        if stratum not in self._seen and len(self._seen) >= MAX_STRATA:
            stratum = ("", "")
        count = self._seen.get(stratum, 0)
        self._seen[stratum] = count + 1
        start = self._start(stratum)
        return floor((count + 1) * self.share + start) > floor(count * self.share + start)

    def _start(self, stratum: tuple[str, str]) -> float:
        digest = hashlib.sha256(repr((self.seed, stratum)).encode()).digest()
        return int.from_bytes(digest[:6], "big") / 2**48


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What is wanted of the traces that were read."""

    where: tuple[Where, ...] = ()
    share: float = 1.0
    seed: int = 0

    def start(self) -> Callable[[Item], tuple[Trace, ...]]:
        """Return a function that is given every item in order and returns its wanted traces."""
        sample = Sample(share=self.share, seed=self.seed)

        def chosen(item: Item) -> tuple[Trace, ...]:
            fitting = (t for t in item.logged.traces if all(w.holds(item, t) for w in self.where))
            return tuple(t for t in fitting if self.share >= 1 or sample.takes(item, t))

        return chosen

    def described(self) -> dict[str, object]:
        """Return plain JSON values that say what is selected."""
        conditions = [f"{w.name}{w.operator}{w.value}" for w in self.where]
        return {"where": conditions, "share": self.share, "seed": self.seed}


def parse_where(texts: Iterable[str]) -> tuple[Where, ...]:
    """Read several conditions; all must hold."""
    return tuple(Where.parse(text) for text in texts)


def parse_share(text: str) -> float:
    """Read `1%` or `0.01`; raises RescoreError when it is no share above 0 and at most 1."""
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise RescoreError(f"--sample {text!r} must be above 0 and at most 1, or such as 1%.")
    return share
