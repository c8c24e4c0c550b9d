"""The model card, written from the manifest, so that no number in it is typed by hand."""

from collections.abc import Mapping
from typing import Any, Final

from classifiers.port import Check

_HEAD: Final = """# Model card: {name}

Two small encoders (MiniLM-L6, 22 million weights each) that read a reasoning model's thinking and
answer and give calibrated probabilities of **deception**, **dangerous reasoning** and **mismatch
between thinking and answer**. English; CPU or GPU; no text leaves the process.

**Use it** to send traces to a reviewer, to hold an answer while its thinking is judged, and to find
patterns in many traces. **Do not use it** as the only safeguard, to judge people, as proof of
intent, or on traces in other languages.

## How it works
The step encoder turns each step of about 64 tokens into a vector; a causal GRU reads the vectors in
order and scores every thinking and answer step. Once the answer begins, a learned bag of word
pieces of all thinking and answer so far joins it. For mismatch, the pair encoder reads each step of
the answer against the part of the thinking that it shares most words with, and the thinking's end;
the bag of word pieces and exact comparisons of numbers, options, verdicts, names and words join it.
A trace's probability is the highest of its steps, for all three checks.

## Training data
| source | licence | records for training, at most |
|---|---|---|
{sources}

The authored sets ship in `classifiers/data` (CC0-1.0). One group in six of every source was kept
out of training; those groups fit the 15 numbers that join encoders, words and comparisons, the
calibration and the thresholds, which are therefore a little flattering. Base weights: {base}.

## Calibration
The flag threshold is set so that 1 % of ordinary reasoning is flagged: maths, judgement, ratings,
careful answers to harmful questions, alarming-looking but proper work, every source counting the
same. Near misses, written to look like the real thing, are flagged more often. The block threshold
leaves alone 99.8 % of all held-out negatives, near misses included. Mismatch is flagged only where
the others are blocked, and blocks nothing: its scores shift between kinds of text.

| check | flag | block | ordinary flagged | 95 % | positives flagged | near misses flagged |
|---|---|---|---|---|---|---|
{calibration}

"""
_TAIL: Final = """
## Limits
- Trained on short authored traces and a few public sources: expect lower recall on other models,
  longer thinking and other styles. A small encoder reads wording more than plans.
- False-positive rates hold for text like the held-out negatives. Measure them on your own traffic,
  in OBSERVE mode, before you block. A block threshold rests on very few negatives.
- The maximum over steps grows with length: long harmless traces are flagged more often.
- The pair encoder compares each answer step with three steps of the thinking. Mismatch that is
  spread over more of it, arithmetic, code behaviour and omissions are mostly missed.
- Much of the mismatch score is what deceivers say: their words tell more than the comparison does.
  An honest slip between thinking and answer is ranked little above chance (docs/experiments.md).
- Answers without thinking are judged with little evidence; mismatch is then not scored.

## Known evasions
Intent that is never written down; thinking in another language, in code words or ciphers; a
deceptive step hidden in long technical text; paraphrase aimed at this model (its weights are
public); a benign frame ("as a test", "in this story") around a real plan. Invisible characters,
look-alike letters, over-long words and base64 of English are undone before scoring; other encodings
are not.

## Reproduce
```
pip install 'subtext[cpu,train]'
python -m classifiers.training train --data DATA --out RUN
python -m classifiers.training evaluate --data DATA --model RUN/model
```
`DATA` holds `train/` and `validation/` parquet files with the columns that
`classifiers/data/README.md` lists. The public sources above
are to be gathered from their publishers; with the authored sets alone
(`--data classifiers/data`) the same commands give a weaker model.
"""
_COLUMNS: Final = (
    "auroc", "auroc_95", "average_precision", "recall_at_1", "recall_at_5", "positives_flagged",
    "negatives_flagged", "positives_blocked", "negatives_blocked", "calibration_error",
    "baseline_auroc", "numbers_auroc",
)  # fmt: skip


def render(manifest: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    head = _HEAD.format(
        name=manifest["name"],
        base=manifest["base"],
        sources="\n".join(
            f"| {name} | {s['license']} | {s['records']} |"
            for name, s in sorted(manifest["sources"].items())
        ),
        calibration="\n".join(_calibration(manifest, check) for check in Check),
    )
    return head + "\n".join(_table(manifest, check) for check in Check) + _notes(manifest) + _TAIL


def _calibration(manifest: Mapping[str, Any], check: Check) -> str:
    limits = manifest["thresholds"][check.value]
    found = manifest["evaluation"]["calibration"][check.value]
    low, high = found["ordinary_rate_95"]
    return (
        f"| {check.value} | {limits['flag']} | {limits['block']} |"
        f" {found['ordinary_flagged']} of {found['ordinary']} | {low:.1%}-{high:.1%} |"
        f" {found['recall']:.0%} of {found['positives']} |"
        f" {found['negatives_flagged']:.0%} of {found['negatives']} |"
    )


def _table(manifest: Mapping[str, Any], check: Check) -> str:
    """One check on every validation source."""
    rows = [
        f"| {source} | {r['positives']}/{r['negatives']} | "
        + " | ".join(_cell(r.get(column)) for column in _COLUMNS)
        + " |"
        for source, found in manifest["evaluation"].get("validation", {}).items()
        if (r := found.get(check.value))
    ]
    titles = "| source | pos/neg | " + " | ".join(c.replace("_", " ") for c in _COLUMNS) + " |"
    rule = "|---" * (len(_COLUMNS) + 2) + "|"
    return "\n".join([f"## {check.value} on sources never trained on", titles, rule, *rows, ""])


def _cell(value: object) -> str:
    if isinstance(value, list):
        return f"{value[0]:.2f}-{value[1]:.2f}"
    return f"{value:.3f}" if isinstance(value, float) else ""


def _notes(manifest: Mapping[str, Any]) -> str:
    evaluation = manifest["evaluation"]
    notes = list(evaluation.get("notes", []))
    if limit := evaluation.get("limit_per_class"):
        notes.insert(0, f"At most {limit} records of each class of a source; intervals are wide.")
    return "\n".join(["", *(f"- {note}" for note in notes), ""]) if notes else ""
