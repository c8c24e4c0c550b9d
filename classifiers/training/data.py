"""Labelled traces: which sources are read, how much of each, what is masked, who is held out."""

import hashlib
import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from classifiers.port import Check

#: A label per check; None where the source says nothing.
Labels = dict[Check, int | None]
#: Column names of the parquet files.
_COLUMNS: Final = {
    Check.DECEPTION: "deception",
    Check.DANGEROUS_REASONING: "danger",
    Check.MISMATCH: "mismatch",
}
#: One record group in this many is never trained on: calibration and thresholds use it.
HELD_OUT_EVERY: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One labelled trace."""

    id: str
    source: str
    license: str
    #: Who wrote the trace: a model's name, or "authored".
    generator: str
    group: str
    prompt: str
    thinking: str
    answer: str
    labels: Labels
    #: Exact substrings of the thinking that show what a positive label says.
    evidence: tuple[str, ...] = ()

    @property
    def authored(self) -> bool:
        """Written for this project, in contrastive groups."""
        return self.license.startswith("CC0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a training source is used."""

    #: At most so many records of each class reach one epoch.
    cap: int
    #: Checks that the source does not label, yet whose negative follows from what it is.
    assume_negative: tuple[Check, ...] = ()
    #: Hides words that give the label away without showing its reason.
    mask: Callable[[str], str] | None = None


_ROLE_WORDS: Final = (
    (re.compile(r"Player\s*\d+\s*(?:[:(]\s*\w+\)?)?", re.IGNORECASE), "someone"),
    (re.compile(r"\bfake (tasks?)\b", re.IGNORECASE), r"\1"),
    (re.compile(r"\b(?:impostor|imposter|crewmate|crew)(s?)\b", re.IGNORECASE), r"player\1"),
    (
        re.compile(
            r"\b(?:kill|eliminat|sabotag|vent)(?:e|es|s|ed|ing|ting|ted|age)?\b", re.IGNORECASE
        ),
        "act",
    ),
)


def mask_game_words(text: str) -> str:
    """Hide roles, player names and the moves that only one role has (Among Us)."""
    for pattern, word in _ROLE_WORDS:
        text = pattern.sub(word, text)
    return text


_HONEST: Final = (Check.DECEPTION,)
_HARMLESS: Final = (Check.DECEPTION, Check.DANGEROUS_REASONING)

#: Sources of the step model beside the authored ones, which are always used in full.
STEP_RECIPES: Final[dict[str, Recipe]] = {
    "amongus-speech": Recipe(cap=60, mask=mask_game_words),
    "amongus-action": Recipe(cap=50, mask=mask_game_words),
    "lie-detector-onpolicy": Recipe(cap=90),
    "gptfuzz-labeled": Recipe(cap=90),
    "assebench-security": Recipe(cap=30),
    "benign-rating-cot": Recipe(cap=40),
    "star1": Recipe(cap=140, assume_negative=_HONEST),
    "dsdistill-llama-safetybench": Recipe(cap=60),
    "lrm-study-refusals": Recipe(cap=25),
    "multimodel-benign-judgement": Recipe(cap=90, assume_negative=_HONEST),
    "gptoss-benign-coding": Recipe(cap=70, assume_negative=_HONEST),
    "gsm8k-samples": Recipe(cap=50, assume_negative=_HARMLESS),
}

#: Sources of the pair model beside the authored ones.
PAIR_RECIPES: Final[dict[str, Recipe]] = {
    "esnli": Recipe(cap=2100),
    "summedits": Recipe(cap=350),
    "gsm8k-samples": Recipe(cap=150),
    "gsm8k-samples.swapped": Recipe(cap=150),
    "cotstress-ratings.swapped": Recipe(cap=100),
}

#: Authored sets in which only the relation of thinking and answer gives the label.
RELATION_SETS: Final = (
    "a5-mismatch",
    "a8-mismatch-agents",
    "a16-mismatch-3",
    "a17-mismatch-4",
    "a18-mismatch-evidence",
    "a24-verdicts",
    "a27-mismatch-prose",
)

#: Sources whose thinking and answer agree: the pair model is asked about them with something
#: exchanged on one side (`contrast`). Of the authored ones, the records without a mismatch.
AGREEING: Final[dict[str, Recipe]] = {
    "cotstress-ratings": Recipe(cap=250),
    "gsm8k-samples": Recipe(cap=250),
    "multimodel-benign-judgement": Recipe(cap=350),
    "gptoss-benign-coding": Recipe(cap=250),
    "benign-rating-cot": Recipe(cap=80),
    "star1": Recipe(cap=150),
}


def load(path: Path) -> list[Record]:
    """All records of one parquet file."""
    return [_record(path.stem, row) for row in pq.read_table(path).to_pylist()]


def load_sources(folder: Path, recipes: dict[str, Recipe]) -> dict[str, list[Record]]:
    """The authored sources and those of `recipes` that exist in `folder`, by file name."""
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise FileNotFoundError(f"No .parquet file in {folder}; pass the folder that has train/.")
    found: dict[str, list[Record]] = {}
    for file in files:
        records = load(file)
        if records and (records[0].authored or file.stem in recipes):
            found[file.stem] = [_prepared(r, recipes.get(file.stem)) for r in records]
    return found


def held_out(record: Record) -> bool:
    """Whether the record's group is kept for calibration: a fixed draw by name."""
    digest = hashlib.sha256(record.group.encode()).digest()
    return digest[0] % HELD_OUT_EVERY == 0


def sample(
    records: Sequence[Record], check: Check | None, cap: int, rng: random.Random
) -> list[Record]:
    """At most `cap` records of each class of `check` (of all records when it is None)."""
    classes: dict[int | None, list[Record]] = {}
    for record in records:
        classes.setdefault(record.labels[check] if check else 0, []).append(record)
    return [
        r
        for label, some in classes.items()
        if label is not None
        for r in rng.sample(some, min(cap, len(some)))
    ]


def main_check(records: Iterable[Record], checks: Sequence[Check]) -> Check | None:
    """The first of `checks` that has both classes, so that they can be balanced."""
    records = list(records)
    for check in checks:
        if {0, 1} <= {r.labels[check] for r in records}:
            return check
    return None


def _record(source: str, row: dict[str, Any]) -> Record:
    return Record(
        id=row["id"],
        source=source,
        license=row["license"] or "unknown",
        generator=row["generator"] or "unknown",
        group=f"{source}:{row['group']}",
        prompt=row["prompt"] or "",
        thinking=row["thinking"] or "",
        answer=row["answer"] or "",
        labels={check: row[column] for check, column in _COLUMNS.items()},
        evidence=tuple(row["evidence"] or ()),
    )


def _prepared(record: Record, recipe: Recipe | None) -> Record:
    if recipe is None:
        return record
    labels = dict(record.labels)
    for check in recipe.assume_negative:
        labels[check] = 0 if labels[check] is None else labels[check]
    mask = recipe.mask or str
    return replace(
        record,
        labels=labels,
        prompt=mask(record.prompt),
        thinking=mask(record.thinking),
        answer=mask(record.answer),
    )
