"""What inputs of re-scoring are read as."""

from collections.abc import Mapping
from dataclasses import dataclass

from monitor.dialects.logs import Logged
from monitor.types import Check, Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What was concluded about a trace earlier."""

    decision: Decision
    #: Calibrated probability per check; None where it was not scored.
    scores: Mapping[Check, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One record of an input and what it was understood as."""

    source: str
    #: As in `Record.line`.
    line: int
    logged: Logged
    #: Bytes, or records, of this input that were read so far.
    consumed: int
    before: Before | None = None
