"""Leave one source out: how much carries over to a source never seen.

The words are learned anew for every authored source in minutes on a CPU. Everything, encoders
included, is trained anew for one source at a time: hours on a CPU, minutes on a GPU.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from classifiers.lexical import CHECKS
from classifiers.port import Check, Role
from classifiers.tokenise import Tokeniser
from classifiers.training import lexicon
from classifiers.training.base import base_tokeniser
from classifiers.training.evaluate import evaluate
from classifiers.training.lexicon import Read
from classifiers.training.pipeline import train

#: A source counts for a check with at least so many records of each class.
FEWEST: Final = 8
#: All records of a source.
EVERY: Final = 10**6
Found = dict[str, dict[str, float]]


def everything(data: Path, out: Path, source: str, *, tiny: bool) -> Path:
    """Train without `source` (or go on), measure on it, and return the folder of the page.

    Raises FileNotFoundError if `data` has no such source.
    """
    if not (data / "train" / f"{source}.parquet").exists():
        names = sorted(f.stem for f in (data / "train").glob("*.parquet"))
        raise FileNotFoundError(f"No source {source} in {data}; there are {', '.join(names)}.")
    folder = out / source
    for file in sorted((data / "train").glob("*.parquet")):
        part = "validation" if file.stem == source else "train"
        link = folder / "data" / part / file.name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(file.resolve())
    artefact = train(folder / "data", folder, tiny=tiny, name=f"without-{source}")
    evaluate(artefact, folder / "data", folder / "evaluation", limit=EVERY)
    return folder / "evaluation"


def words(data: Path) -> Found:
    """AUROC of the highest score in the answer, per check and left-out source."""
    reads = lexicon.corpus(data, Tokeniser(base_tokeniser()))
    sources = sorted({item.record.source for item in reads if item.record.authored})
    found: Found = {check.value: {} for check in Check}
    for source in tqdm(sources, desc="sources"):
        table = lexicon.learn([item for item in reads if item.record.source != source])
        some = [item for item in reads if item.record.source == source]
        for check in Check:
            if (auroc := _auroc(table, some, check)) is not None:
                found[check.value][source] = auroc
    return found


def _auroc(table: lexicon.Table, reads: Sequence[Read], check: Check) -> float | None:
    known = [item for item in reads if item.record.labels[check] is not None]
    labels = np.asarray([item.record.labels[check] for item in known])
    if min((labels == 1).sum(), (labels == 0).sum()) < FEWEST:
        return None
    return round(float(roc_auc_score(labels, [_highest(table, i, check) for i in known])), 3)


def _highest(table: lexicon.Table, item: Read, check: Check) -> float:
    answer = [role is Role.ANSWER for role in item.roles]
    scores: Any = lexicon.running(table, item)[answer, CHECKS.index(check)]
    return float(scores.max(initial=-30.0))


def table(found: Found) -> str:
    """The findings as Markdown."""
    lines = ["| check | mean | worst | sources |", "|---|---|---|---|"]
    for check, some in found.items():
        each = ", ".join(f"{name.split('-')[0]} {value:.2f}" for name, value in some.items())
        mean, worst = np.mean(list(some.values())), min(some.values())
        lines.append(f"| {check} | {mean:.3f} | {worst:.3f} | {each} |")
    return "\n".join(lines)
