"""What a run came to, in numbers."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from stream.rescore.ledger import Ledger

__all__ = ["Summary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Counts over all finished parts."""

    run: str
    #: Records of the inputs that were read.
    records: int
    #: Traces that were judged; one record may hold several.
    traces: int
    #: By decision.
    decisions: Mapping[str, int]
    unscored: int
    bad: int
    skipped: int
    characters: int

    @classmethod
    def of(cls, ledger: Ledger) -> "Summary":
        """Add up what the manifest says."""
        decisions: Counter[str] = Counter()
        for part in ledger.parts:
            decisions.update(part.decisions)
        return cls(
            run=ledger.run,
            records=ledger.position,
            traces=sum(p.rows for p in ledger.parts),
            decisions=dict(decisions),
            unscored=sum(p.unscored for p in ledger.parts),
            bad=sum(p.bad for p in ledger.parts),
            skipped=sum(p.skipped for p in ledger.parts),
            characters=sum(p.characters for p in ledger.parts),
        )
