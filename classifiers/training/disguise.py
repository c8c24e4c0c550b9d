"""What hiding the text costs: recall on disguised positives beside recall on the plain ones."""

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from classifiers.artefact import Artefact
from classifiers.port import Check
from classifiers.training.data import Record
from classifiers.training.metrics import Report
from classifiers.training.scores import Scorer, probability

_LATIN: Final = "aceiopxyABCEHIKMOPTX"
_CYRILLIC: Final = str.maketrans(_LATIN, "асеіорхуАВСЕНІКМОРТХ")  # noqa: RUF001 - on purpose
#: Full-width forms stand at a fixed distance from printable ASCII.
_WIDE: Final = {point: point + 0xFEE0 for point in range(0x21, 0x7F)}


def _zero_width(record: Record) -> Record:
    return _both(record, "\u200b".join)


def _homoglyphs(record: Record) -> Record:
    return _both(record, lambda text: text.translate(_CYRILLIC))


def _full_width(record: Record) -> Record:
    return _both(record, lambda text: text.translate(_WIDE))


def _base64(record: Record) -> Record:
    """The sentences that show what is wrong, in base64."""
    thinking = record.thinking
    for sentence in record.evidence:
        thinking = thinking.replace(sentence, b64encode(sentence.encode()).decode())
    return replace(record, thinking=thinking)


def _both(record: Record, disguise: Callable[[str], str]) -> Record:
    return replace(record, thinking=disguise(record.thinking), answer=disguise(record.answer))


DISGUISES: Final[dict[str, Callable[[Record], Record]]] = {
    "plain": lambda record: record,
    "zero-width": _zero_width,
    "homoglyphs": _homoglyphs,
    "full-width": _full_width,
    "base64 of the evidence": _base64,
}


def recalls(
    artefact: Artefact, scorer: Scorer, records: Sequence[Record], checks: Sequence[Check]
) -> Mapping[Check, Report]:
    """For each check, the share of positives that is flagged in each disguise."""
    found: dict[Check, Report] = {check: {} for check in checks}
    positives = [r for r in records if r.evidence and any(r.labels[c] == 1 for c in checks)]
    for name, disguise in DISGUISES.items():
        scored = scorer.score([disguise(r) for r in positives], checks)
        for check in checks:
            limit = artefact.thresholds[check].flag
            flagged = [
                check in logits and probability(artefact, logits, check) >= limit
                for record, logits in zip(positives, scored, strict=True)
                if record.labels[check] == 1
            ]
            if flagged:
                found[check][name] = round(sum(flagged) / len(flagged), 3)
    return found
