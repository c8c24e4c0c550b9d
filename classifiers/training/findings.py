"""What an evaluation found, for people: one Markdown page, its JSON, and plots."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve, roc_curve

from classifiers.port import Check, Thresholds
from classifiers.training.data import Record
from classifiers.training.metrics import BINS, Report, report

#: Sources whose labels can be read from the text: they make the means.
COUNTS: Final = {
    Check.DECEPTION: ("v7-validation-mixed", "werewolf-llmbench", "reward-hack-olmo"),
    Check.DANGEROUS_REASONING: (
        "v7-validation-mixed",
        "jbb-artifacts",
        "qwen3-dpo-pairs",
        "s11-strongreject",
    ),
    Check.MISMATCH: (
        "v7-validation-mixed",
        "cotstress-natural",
        "chainscope-yesno.swapped",
        "wice",
    ),
}
#: Upper bounds of the lengths that are told apart, in characters of thinking and answer.
LENGTHS: Final = (1_000, 4_000)
_SHOWN: Final = ("auroc", "auroc_95", "average_precision", "recall_at_1", "recall_at_5",
                 "positives_flagged", "negatives_flagged", "calibration_error",
                 "baseline_auroc", "numbers_auroc")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A record with what the artefact and the bag of words say of one check."""

    record: Record
    label: int
    probability: float
    rival: float


def measure(rows: Sequence[Scored], limits: Thresholds) -> Report:
    """Everything that can be said about some records and one check."""
    return report(
        [r.label for r in rows],
        [r.probability for r in rows],
        limits,
        [r.rival for r in rows],
    )


def write(
    folder: Path,
    rows: Mapping[Check, Sequence[Scored]],
    limits: Mapping[Check, Thresholds],
    extras: Mapping[str, Mapping[Check, Report]],
) -> None:
    """`report.md`, `report.json` and a plot a check in `folder`; `extras` by title and check."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for check, some in rows.items():
        if some:
            found[check] = _found(check, some, limits[check])
            found[check]["extras"] = {t: e[check] for t, e in extras.items() if e.get(check)}
            _plot(folder / f"{check.value}.png", check, some, limits[check])
    text = "\n".join(["# Evaluation", "", *(line for c in found for line in _page(c, found[c]))])
    (folder / "report.md").write_text(text + "\n", encoding="utf-8")
    plain = {check.value: some for check, some in found.items()}
    (folder / "report.json").write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def _found(check: Check, rows: Sequence[Scored], limits: Thresholds) -> dict[str, Any]:
    counting = [r for r in rows if r.record.source in COUNTS[check]]
    sources = _by(rows, lambda r: r.record.source, limits)
    ranked = [f["auroc"] for name, f in sources.items() if name in COUNTS[check] and "auroc" in f]
    return {
        "mean_auroc": round(float(np.mean(ranked)), 3) if ranked else None,
        "worst_auroc": min(ranked, default=None),
        "sources": sources,
        "generators": _by(counting, lambda r: r.record.generator, limits),
        "lengths": _by(counting, _length, limits),
    }


def _by(
    rows: Iterable[Scored], key: Callable[[Scored], str], limits: Thresholds
) -> dict[str, Report]:
    ordered = sorted(rows, key=key)
    return {name: measure(list(some), limits) for name, some in groupby(ordered, key=key)}


def _length(row: Scored) -> str:
    size = len(row.record.thinking) + len(row.record.answer)
    bounds = [f"to {bound:,} characters" for bound in LENGTHS]
    place = int(np.searchsorted(LENGTHS, size))
    return bounds[place] if place < len(bounds) else "longer"


def _page(check: Check, found: Mapping[str, Any]) -> Iterable[str]:
    counts = ", ".join(COUNTS[check])
    yield f"## {check.value}"
    yield ""
    yield f"Mean AUROC {found['mean_auroc']}, worst {found['worst_auroc']}, over {counts}."
    yield ""
    yield f"![ROC, precision and recall, reliability, histogram]({check.value}.png)"
    for title in ("sources", "generators", "lengths"):
        yield ""
        yield f"### By {title[:-1]}" + ("" if title == "sources" else ", sources that count")
        yield ""
        yield from _table(found[title])
    for title, extra in found["extras"].items():
        yield ""
        yield f"### {title}"
        yield ""
        yield from (f"- {name.replace('_', ' ')}: {value}" for name, value in extra.items())
    yield ""


def _table(found: Mapping[str, Report]) -> Iterable[str]:
    shown = [c for c in _SHOWN if any(c in row for row in found.values())]
    yield "| | pos/neg | " + " | ".join(c.replace("_", " ") for c in shown) + " |"
    yield "|---" * (len(shown) + 2) + "|"
    for name, row in found.items():
        cells = " | ".join(_cell(row.get(column)) for column in shown)
        yield f"| {name} | {row['positives']}/{row['negatives']} | {cells} |"


def _cell(value: object) -> str:
    if isinstance(value, list):
        return f"{value[0]:.2f}-{value[1]:.2f}"
    return f"{value:.3f}" if isinstance(value, float) else ""


def _plot(path: Path, check: Check, rows: Sequence[Scored], limits: Thresholds) -> None:
    """ROC, precision-recall, reliability, histograms: of the sources that count, if any do."""
    mpl.use("agg")
    figure, ((roc, pr), (reliable, spread)) = plt.subplots(2, 2, figsize=(10, 9))
    counting = [r for r in rows if r.record.source in COUNTS[check]] or rows
    for source in dict.fromkeys(r.record.source for r in counting):
        some = [r for r in counting if r.record.source == source]
        if len({r.label for r in some}) == 2:
            _curves(roc, pr, source, some)
    _reliability(reliable, counting)
    _histogram(spread, counting, limits)
    roc.plot([0, 1], [0, 1], color="0.8", zorder=0)
    roc.set(title="ROC", xlabel="false-positive rate", ylabel="true-positive rate")
    pr.set(title="Precision and recall", xlabel="recall", ylabel="precision", ylim=(0, 1.02))
    roc.legend(fontsize="small")
    figure.suptitle(check.value)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _curves(roc: Any, pr: Any, source: str, rows: Sequence[Scored]) -> None:  # noqa: ANN401 - axes
    labels, values = [r.label for r in rows], [r.probability for r in rows]
    false, true, _ = roc_curve(labels, values)
    precision, found, _ = precision_recall_curve(labels, values)
    roc.plot(false, true, label=source)
    pr.plot(found, precision, label=source)


def _reliability(axes: Any, rows: Sequence[Scored]) -> None:  # noqa: ANN401 - likewise
    labels, values = [r.label for r in rows], [r.probability for r in rows]
    if len(set(labels)) == 2:
        true, said = calibration_curve(labels, values, n_bins=BINS)
        axes.plot(said, true, marker="o")
    axes.plot([0, 1], [0, 1], color="0.8", zorder=0)
    axes.set(title="Reliability", xlabel="probability said", ylabel="share of positives")


def _histogram(axes: Any, rows: Sequence[Scored], limits: Thresholds) -> None:  # noqa: ANN401 - likewise
    for label, name in ((0, "negatives"), (1, "positives")):
        values = [r.probability for r in rows if r.label == label]
        axes.hist(values, bins=40, range=(0, 1), alpha=0.6, label=name)
    axes.axvline(limits.flag, color="0.2", linestyle="--", label="flag")
    if limits.block < 1:
        axes.axvline(limits.block, color="0.2", label="block")
    axes.set(title="Scores", xlabel="probability", ylabel="records")
    axes.legend(fontsize="small")
