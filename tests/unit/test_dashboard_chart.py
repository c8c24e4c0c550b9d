"""The strip chart shows every score where it stands, however long the text is."""

import re

from classifiers.port import Check, Thresholds
from dashboard.chart import BUCKETS, HEIGHT, WIDTH, chart
from dashboard.spans import cues

LIMITS = {Check.DECEPTION: Thresholds(flag=0.5, block=0.9)}


def step(channel, start, end, **scores):
    return {"channel": channel, "start": start, "end": end, **scores}


def points(path):
    return [float(n) for n in re.findall(r"-?\d+\.?\d*", path)]


def test_without_scored_steps_there_is_no_chart():
    assert chart({"steps": [], "evidence": []}, [], LIMITS) is None


def test_a_curve_is_a_staircase_over_thinking_then_answer():
    steps = [
        step("thinking", 0, 50, deception=0.1, dangerous_reasoning=0.0),
        step("answer", 0, 50, deception=0.9, dangerous_reasoning=0.0, mismatch=0.4),
    ]
    drawn = chart({"steps": steps}, [], LIMITS)
    assert drawn.lanes == [(0.0, "thinking"), (500.0, "answer")]
    deception, _danger, mismatch = drawn.curves
    assert deception.path == "M0.0 90.0H500.0L500.0 10.0H1000.0"
    assert mismatch.path == "M500.0 60.0H1000.0"


def test_a_short_answer_after_long_thinking_still_has_room():
    steps = [step("thinking", 0, 100_000, deception=0.1), step("answer", 0, 3, deception=0.2)]
    answer = chart({"steps": steps}, [], {}).lanes[1][0]
    assert 0.05 * WIDTH < WIDTH - answer < 0.1 * WIDTH


def test_thresholds_are_lines_and_unknown_ones_are_not_invented():
    document = {"steps": [step("thinking", 0, 1, deception=0.1)]}
    assert [(v.kind, v.y) for v in chart(document, [], LIMITS).levels] == [
        ("flag", 50),
        ("block", 10),
    ]
    assert chart(document, [], None).levels == []


def test_a_hundred_thousand_steps_give_a_small_drawing_that_keeps_the_peak():
    steps = [step("thinking", i * 10, i * 10 + 10, deception=0.1) for i in range(100_000)]
    steps[54_321]["deception"] = 0.99
    found = {"check": "deception", "channel": "thinking", "probability": 0.99}
    document = {
        "steps": steps,
        "evidence": [{**found, "start": s["start"], "end": s["end"]} for s in steps],
    }
    drawn = chart(document, cues(document), LIMITS)
    assert len(drawn.marks) <= BUCKETS + 1
    path = drawn.curves[0].path
    assert len(path) < 30 * BUCKETS
    assert f" {HEIGHT * 0.01:.1f}".rstrip("0") in path or " 1.0H" in path
    assert all(0 <= n <= WIDTH for n in points(path))
