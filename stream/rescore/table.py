"""The table of a run: one row per judged trace, and how its parts stand on disk."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from monitor.rows import flat
from monitor.types import Check, Trace, Verdict
from stream.rescore.inputs import Item

__all__ = ["DECIDED", "EVIDENCE", "SCHEMA", "row_of", "write_part", "write_table"]

_LABEL = pa.dictionary(pa.int32(), pa.string())
_STEP = pa.struct(
    [
        ("channel", pa.string()),
        ("start", pa.int64()),
        ("end", pa.int64()),
        *((check.value, pa.float64()) for check in Check),
    ]
)
#: A step that made a check cross its threshold.
EVIDENCE: Final = pa.struct(
    [
        ("check", pa.string()),
        ("channel", pa.string()),
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("probability", pa.float64()),
        ("quote", pa.string()),
    ]
)

SCHEMA: Final = pa.schema(
    [
        ("run", _LABEL),
        ("source", _LABEL),
        ("line", pa.int64()),
        ("trace_id", pa.string()),
        ("choice", pa.int64()),
        ("verdict_id", pa.string()),
        ("model", _LABEL),
        ("requested_model", _LABEL),
        ("route", _LABEL),
        ("tenant", _LABEL),
        ("conversation_id", pa.string()),
        ("decision", _LABEL),
        ("mode", _LABEL),
        ("policy_rule", _LABEL),
        ("unscored", _LABEL),
        ("failed_open", pa.bool_()),
        ("disguised_characters", pa.int64()),
        ("thinking_characters", pa.int64()),
        ("answer_characters", pa.int64()),
        *(
            column
            for check in Check
            for column in (
                (check.value, pa.float64()),
                (f"{check.value}_reason", _LABEL),
                (f"{check.value}_absent", pa.bool_()),
                (f"{check.value}_peak", pa.float64()),
            )
        ),
        ("evidence", pa.list_(EVIDENCE)),
        ("steps", pa.list_(_STEP)),
        ("subtext_version", _LABEL),
        ("model_version", _LABEL),
        ("calibration_version", _LABEL),
        ("policy_version", _LABEL),
        ("before_decision", _LABEL),
        *((f"before_{check.value}", pa.float64()) for check in Check),
    ]
)

#: Of a run that decided anew: steps stay with the run that scored them, whose verdict is named.
DECIDED: Final = SCHEMA.remove(SCHEMA.get_field_index("steps")).append(
    pa.field("scores_of", pa.string())
)

#: No two rows share one, or few do.
_SINGLE: Final = ("trace_id", "verdict_id", "scores_of")


def _repeating(schema: pa.Schema) -> list[str]:
    """Columns whose values come again: for others a dictionary costs a third of the reading."""
    found = []
    for field in schema:
        inner = field.type.value_type if pa.types.is_list(field.type) else [field]
        names = [each.name for each in inner if not pa.types.is_floating(each.type)]
        place = f"{field.name}.list.element." if pa.types.is_list(field.type) else ""
        found += [f"{place}{name}" for name in names if name not in _SINGLE]
    return found


def row_of(run: str, item: Item, trace: Trace, verdict: Verdict) -> dict[str, Any]:
    """The row of one judged trace."""
    before = item.before
    scores = {f"before_{c.value}": before.scores.get(c) if before else None for c in Check}
    return {
        "run": run,
        "source": item.source,
        "line": item.line,
        **flat(verdict, trace),
        "before_decision": before.decision.name.lower() if before else None,
        **scores,
    }


def write_part(path: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    """Write a part so that it is whole or not there; return the SHA-256 of the file."""
    return write_table(path, pa.Table.from_pylist(list(rows), schema=SCHEMA))


def write_table(path: Path, table: pa.Table) -> str:
    """As `write_part`, for what is a table already."""
    draft = path.with_name(f".{path.name}.draft")
    pq.write_table(table, draft, compression="zstd", use_dictionary=_repeating(table.schema))
    with draft.open("rb+") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    draft.replace(path)
    return digest
