"""Evidence found in a whole table is what the monitor finds in each trace as it streams."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from classifiers.port import Check, Thresholds
from monitor.policy import Policy
from monitor.tally import Tally
from monitor.types import Channel, Status, Step
from stream.rescore.proving import evidence
from stream.rescore.table import SCHEMA

LEVELS = st.sampled_from([0.0, 0.1, 0.4, 0.5, 0.5000001, 0.9, 1.0])
SCORES = st.fixed_dictionaries({c.value: st.none() | LEVELS for c in Check})
STEPS = st.lists(st.tuples(st.sampled_from(Channel), st.integers(1, 9), SCORES), max_size=8)
ROWS = st.lists(st.tuples(STEPS, st.sets(st.sampled_from(Check)), st.booleans()), max_size=5)
FLAGS = st.fixed_dictionaries({c: st.sampled_from([0.1, 0.5, 0.9]) for c in Check})


def judged(steps, failed, policy):
    """What the monitor concludes of one trace."""
    tally, ends = Tally(policy), dict.fromkeys(Channel, 0)
    for index, (channel, size, scores) in enumerate(steps):
        start, ends[channel] = ends[channel], ends[channel] + size
        step = Step(index=index, channel=channel, start=start, end=ends[channel], text="")
        tally.add(step, {c: scores[c.value] for c in Check if scores[c.value] is not None})
    for check in failed:
        tally.fail("no", check)
    return tally


def row_of(tally, quoted):
    """The columns of a table that say what is needed of a trace."""
    row = {"steps": [], "evidence": []}
    for scored in tally.steps:
        place = {k: getattr(scored.step, k) for k in ("channel", "start", "end")}
        row["steps"].append(place | {c.value: scored.scores.get(c) for c in Check})
    for found in tally.assessments():
        name = found.check.value
        peaks = [s.scores[found.check] for s in tally.steps if found.check in s.scores]
        row |= {name: found.probability, f"{name}_absent": found.absent}
        row[f"{name}_peak"] = max(peaks, default=None)
    row["evidence"] = told(tally, lambda e: f"{e.channel} {e.start}") if quoted else []
    return row


def told(tally, quote):
    return [
        {
            "check": found.check.value,
            "channel": e.channel.value,
            "start": e.start,
            "end": e.end,
            "probability": e.probability,
            "quote": quote(e),
        }
        for found in tally.assessments()
        if found.status is Status.SCORED
        for e in found.evidence
    ]


def policy(flags):
    return Policy(thresholds={c: Thresholds(flag=flag, block=1.0) for c, flag in flags.items()})


@given(ROWS, FLAGS, FLAGS)
def test_a_table_has_the_evidence_of_each_trace(rows, before, after):
    earlier = [judged(steps, failed, policy(before)) for steps, failed, _ in rows]
    table = pa.Table.from_pylist(
        [row_of(t, quoted) for t, (_, _, quoted) in zip(earlier, rows, strict=True)], schema=SCHEMA
    )
    found = evidence(table, policy(after)).to_pylist()
    for (steps, failed, quoted), known, own in zip(rows, earlier, found, strict=True):
        places = {(e["channel"], e["start"]) for e in told(known, str)} if quoted else set()
        expected = told(
            judged(steps, failed, policy(after)),
            lambda e, places=places: (
                f"{e.channel} {e.start}" if (e.channel.value, e.start) in places else None
            ),
        )
        assert own == expected
