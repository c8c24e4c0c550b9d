"""The list as a file: all that fits and nothing else, read as it is sent, safe to open."""

import csv
import io
import json
import unicodedata
from dataclasses import replace

import httpx2 as httpx
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.app import create_app
from dashboard.export import BATCH, COLUMNS, batches, csv_lines, json_lines
from dashboard.filters import Filters
from monitor.clock import new_id
from monitor.health import Health
from monitor.recording import recorder
from monitor.store import Store
from stream.rescore.export import parquet
from tests.support import engine, rulebook, trace

PAD = "Some ordinary words that make up a sentence of usual length. "
FORMULAS = [
    "=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\u200b=1", "\uff1d1", "\uff0b1",
    "|calc", "%0A=1", '=HYPERLINK("http://evil.example","x")', "=cmd|' /C calc'!A0", '",=1,"',
]  # fmt: skip


@pytest.fixture
def store():
    opened = Store.open("sqlite://")
    yield opened
    opened.close()


def client(store, **parts):
    app = create_app(store=store, judge=engine().judge, policy=rulebook, health=Health({}), **parts)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


async def fill(store, *words):
    mind = engine(record=recorder(store))
    return [
        (await mind.judge(trace(PAD + word, answer, model=model))).verdict_id
        for word, answer, model in words
    ]


async def copies(store, count):
    """Many verdicts, of which one was judged."""
    text = trace(PAD, "Fine.")
    verdict = await engine().judge(text)
    made = (replace(verdict, verdict_id=new_id()) for _ in range(count))
    store.record_verdicts([(one, text) for one in made])


def cells(content):
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def as_csv(*values):
    row = {**dict.fromkeys(COLUMNS), "excerpt": None, **dict(zip(COLUMNS, values, strict=False))}
    return b"".join(csv_lines([[row]]))


async def test_every_kind_of_file_holds_what_the_list_shows(store):
    ids = await fill(store, ("PLOT", "Fine.", "m"), ("", "Good.", "m"), ("", "Other.", "n"))
    async with client(store, parquet=parquet) as http:
        page = (await http.get("/?model=m")).text
        for kind in ("csv", "jsonl", "parquet"):
            assert f'href="/export.{kind}?model=m"' in page
        found = {k: await http.get(f"/export.{k}?model=m") for k in ("csv", "jsonl", "parquet")}
    for kind, answer in found.items():
        assert answer.status_code == 200
        wanted = f'attachment; filename="subtext-verdicts.{kind}"'
        assert answer.headers["content-disposition"] == wanted
        assert answer.headers["x-content-type-options"] == "nosniff"
    rows = [json.loads(line) for line in found["jsonl"].text.splitlines()]
    assert [row["verdict_id"] for row in rows] == [ids[1], ids[0]]
    assert (rows[1]["decision"], rows[1]["excerpt"]) == ("block", "Fine.")
    assert pq.read_table(io.BytesIO(found["parquet"].content)).to_pylist() == rows
    table = cells(found["csv"].content)
    assert [row["verdict_id"] for row in table] == [ids[1], ids[0]]
    assert float(table[1]["deception"]) == rows[1]["deception"]
    assert (table[1]["failed_open"], table[1]["review"]) == ("false", "")


async def test_without_pyarrow_parquet_is_not_offered(store):
    await fill(store, ("", "Fine.", "m"))
    async with client(store) as http:
        assert "export.parquet" not in (await http.get("/")).text
        refused = await http.get("/export.parquet")
    assert (refused.status_code, "subtext[rescore]" in refused.text) == (501, True)


async def test_an_empty_list_is_an_empty_file(store):
    async with client(store, parquet=parquet) as http:
        assert cells((await http.get("/export.csv?decision=flag")).content) == []
        assert (await http.get("/export.jsonl")).content == b""
        table = pq.read_table(io.BytesIO((await http.get("/export.parquet")).content))
    assert (table.num_rows, table.column_names) == (0, list(COLUMNS))


class Counted:
    """A store that counts the pages that are read."""

    def __init__(self, store):
        self.store, self.pages = store, 0

    def newest_seq(self):
        return self.store.newest_seq()

    def verdicts(self, query):
        self.pages += 1
        return self.store.verdicts(query)


async def test_a_long_list_is_read_as_it_is_sent(store):
    await copies(store, 2 * BATCH + 7)
    counted = Counted(store)
    lines = json_lines(batches(counted, Filters()))
    first = next(lines)
    assert counted.pages == 1
    await copies(store, 5)
    rows = [json.loads(line) for part in (first, *lines) for line in part.splitlines()]
    assert [row["seq"] for row in rows] == list(range(2 * BATCH + 6, -1, -1))
    assert counted.pages == 3


async def test_parquet_leaves_piece_by_piece(store):
    await copies(store, BATCH + 1)
    counted = Counted(store)
    pieces = parquet(batches(counted, Filters()), COLUMNS)
    first = next(pieces)
    assert counted.pages == 1
    table = pq.read_table(io.BytesIO(b"".join([first, *pieces])))
    assert table.num_rows == BATCH + 1


@pytest.mark.parametrize("value", FORMULAS)
def test_no_cell_is_a_formula_or_hides_a_character(value):
    (row,) = cells(as_csv(None, value))
    _harmless(row["verdict_id"])
    assert row["excerpt"] == ""


@given(st.text(max_size=12))
def test_no_text_at_all_is_a_formula_or_hides_a_character(value):
    (row,) = cells(as_csv(None, value, value, value))
    _harmless(row["verdict_id"])
    assert row["verdict_id"] == row["trace_id"]


def _harmless(cell):
    plain = unicodedata.normalize("NFKC", cell).strip()
    assert not plain.startswith(("=", "+", "-", "@", "|", "%"))
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u202e\u200b\u2066" for c in cell)


def test_what_is_harmless_stays_as_it_is():
    (row,) = cells(as_csv(7, "v-1", 'Größe 3 = 4, "so"; it\'s'))
    assert (row["seq"], row["verdict_id"]) == ("7", "v-1")
    assert row["trace_id"] == 'Größe 3 = 4, "so"; it\'s'


def test_what_parquet_cannot_hold_is_replaced():
    row = {**dict.fromkeys(COLUMNS), "excerpt": "a\ud800"}
    found = b"".join(parquet([[row]], COLUMNS))
    assert pq.read_table(io.BytesIO(found)).to_pylist()[0]["excerpt"] == "a?"


async def test_who_takes_the_list_away_is_on_record_without_a_word_of_it(store):
    async with client(store) as http:
        for kind in ("csv", "jsonl"):
            found = await http.get(f"/export.{kind}?text=CANARY&decision=block")
            assert found.status_code == 200
    told = [record.body for record in store.records() if record.kind == "account"]
    assert [(t["act"], t["name"], t["by"], t["chosen"]) for t in told] == [
        ("exported", "list as csv", "local", "decision text"),
        ("exported", "list as jsonl", "local", "decision text"),
    ]
    assert "CANARY" not in str(told)
