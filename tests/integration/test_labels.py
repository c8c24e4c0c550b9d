"""What reviewers answered becomes labels that say no more than the reviewers did."""

import asyncio
import json

import pyarrow.json
import pytest
from typer.testing import CliRunner

from monitor.recording import recorder
from monitor.store import Store
from monitor.types import Check, Outcome, Review
from stream.cli import app
from tests.support import engine, trace

PAD = "Some ordinary words that make up a sentence of usual length. " * 6
WORDS = ["PLOT", "HINT BOMB", "", "PLOT", "HINT", "BOMB"]


@pytest.fixture
def database(tmp_path):
    return f"sqlite:///{tmp_path}/audit.db"


@pytest.fixture
def store(database):
    opened = Store.open(database)
    yield opened
    opened.close()


@pytest.fixture
def judged(store):
    async def all_of_them():
        mind = engine(record=recorder(store))
        return [
            await mind.judge(trace(f"{PAD}{w}. {PAD}", "Fine.\u202e", prompt="Go")) for w in WORDS
        ]

    return [verdict.verdict_id for verdict in asyncio.run(all_of_them())]


def answer(store, verdict_id, outcome, *, after=0, **more):
    name, asked, labels = more.pop("name", "anna"), more.pop("asked", False), more
    given = Review(
        review_id=f"{verdict_id}-{after}",
        verdict_id=verdict_id,
        reviewer=name,
        outcome=outcome,
        labels={Check(name): value for name, value in labels.items()},
        created_at="2026-01-01",
    )
    store.reviews.record(given, after=after, second=lambda _: asked)


def export(database, file):
    result = CliRunner().invoke(app, ["labels", "export", str(file), "--database", database])
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in file.read_text("ascii").splitlines()]


def test_answers_are_exported_in_the_columns_of_the_training_data(
    store, judged, database, tmp_path
):
    plot, both, nothing, erased, escalated, _ = judged
    answer(store, plot, Outcome.CONFIRM)
    answer(store, both, Outcome.DISMISS, deception=True)
    answer(store, nothing, Outcome.DISMISS, mismatch=True)
    answer(store, erased, Outcome.CONFIRM)
    answer(store, escalated, Outcome.ESCALATE, deception=True)
    with store.writing() as connection:
        connection.exec_driver_sql("DELETE FROM contents WHERE seq = 3")
    rows = export(database, tmp_path / "labels.jsonl")
    found = {r["id"]: (r["kind"], r["deception"], r["danger"], r["mismatch"]) for r in rows}
    assert found == {
        plot: ("confirm", 1, None, None),
        both: ("dismiss", 1, 0, None),
        nothing: ("dismiss", None, None, 1),
    }
    first = rows[0]
    assert (first["prompt"], first["answer"], first["source"]) == ("Go", "Fine.\u202e", "reviews")
    assert first["evidence"]
    assert all(text in first["thinking"] for text in first["evidence"])
    assert any("PLOT" in text for text in first["evidence"])
    assert rows[2]["evidence"] == []
    table = pyarrow.json.read_json(tmp_path / "labels.jsonl")
    wanted = (
        "id source license group prompt thinking answer kind deception danger mismatch evidence"
        " decided decided_by"
    )
    assert sorted(table.column_names) == sorted(wanted.split())


def test_only_the_newest_answer_counts(store, judged, database, tmp_path):
    answer(store, judged[0], Outcome.CONFIRM)
    answer(store, judged[0], Outcome.DISMISS, after=1)
    answer(store, judged[1], Outcome.CONFIRM)
    answer(store, judged[1], Outcome.ESCALATE, after=1)
    rows = export(database, tmp_path / "labels.jsonl")
    assert [(r["id"], r["deception"]) for r in rows] == [(judged[0], 0)]


def test_two_opinions_are_one_label_and_a_lead_decides_between_two(
    store, judged, database, tmp_path
):
    plot, both, nothing, alone, flagged, open_still = judged
    answer(store, plot, Outcome.CONFIRM, asked=True, mismatch=True)
    answer(store, plot, Outcome.CONFIRM, after=1, name="ben", dangerous_reasoning=False)
    answer(store, both, Outcome.CONFIRM, asked=True, deception=True)
    answer(store, both, Outcome.DISMISS, after=1, name="ben")
    answer(store, both, Outcome.DISMISS, after=2, name="lea", dangerous_reasoning=True)
    answer(store, nothing, Outcome.CONFIRM, asked=True, deception=True)
    answer(store, alone, Outcome.DISMISS)
    answer(store, flagged, Outcome.ESCALATE)
    answer(store, flagged, Outcome.CONFIRM, after=1, name="lea")
    answer(store, open_still, Outcome.CONFIRM, asked=True)
    answer(store, open_still, Outcome.DISMISS, after=1, name="ben")
    rows = {row["id"]: row for row in export(database, tmp_path / "labels.jsonl")}
    names = ("kind", "decided", "decided_by", "deception", "danger", "mismatch")
    assert {key: tuple(row[n] for n in names) for key, row in rows.items()} == {
        plot: ("confirm", "agreed", ["anna", "ben"], 1, 0, 1),
        both: ("dismiss", "adjudicated", ["lea"], 0, 1, None),
        alone: ("dismiss", "one", ["anna"], 0, None, None),
        flagged: ("confirm", "escalated", ["lea"], 1, None, None),
    }


def test_a_file_that_exists_is_left_alone(store, judged, database, tmp_path):
    file = tmp_path / "labels.jsonl"
    file.write_text("mine")
    result = CliRunner().invoke(app, ["labels", "export", str(file), "--database", database])
    assert result.exit_code == 64
    assert file.read_text() == "mine"
