"""Files of records are read as streams, damaged ones as far as they go."""

import gzip
import json
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.rescore import files
from stream.rescore.errors import RescoreError
from stream.rescore.files import read_file
from stream.rescore.inputs import find_inputs

ROWS = [{"answer": 'x,]}[{"\\ é' * n, "thinking": None} for n in range(1, 6)]
LINES = "\n".join(map(json.dumps, ROWS)) + "\n"
PACK = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}


def read(path):
    return [(r.line, r.value if r.problem is None else r.problem) for r in read_file(path, "s")]


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("lines.jsonl", LINES),
        ("lines.json", "\ufeff" + LINES),
        ("list.json", json.dumps(ROWS, indent=1)),
        ("list.json", " " + json.dumps(ROWS, ensure_ascii=False)),
    ],
)
def test_every_kind_of_json_file_gives_its_records(tmp_path, name, text, suffix):
    path = tmp_path / (name + suffix)
    path.write_bytes(PACK[suffix](text.encode()))
    assert read(path) == list(enumerate(ROWS, 1))
    assert [r.consumed for r in read_file(path, "s")][-1] == path.stat().st_size


def test_one_document_is_one_record(tmp_path):
    path = tmp_path / "reply.json"
    path.write_text(json.dumps(ROWS[0], indent=2))
    assert read(path) == [(1, ROWS[0])]


def test_parquet_gives_its_rows_as_json(tmp_path):
    path = tmp_path / "a.parquet"
    chats = [[{"role": "user", "content": "Hi?"}]] * 2
    times = pa.array([0, 1], pa.timestamp("us"))
    table = pa.table({"messages": chats, "at": times, "raw": [b"x\xff", None], "n": [1.5, 2.5]})
    pq.write_table(table, path)
    (_, first), (_, second) = read(path)
    assert first["messages"] == [{"role": "user", "content": "Hi?"}]
    assert first["at"].startswith("1970-01-01")
    assert (first["raw"], second["raw"], second["n"]) == ("x\ufffd", None, 2.5)
    json.dumps([first, second])


@given(
    st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=9)), max_size=9),
    st.integers(2, 40),
)
@settings(max_examples=40)
def test_where_a_list_is_cut_into_chunks_changes_nothing(tmp_path_factory, rows, size):
    path = tmp_path_factory.mktemp("list") / "a.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    before, files._CHUNK = files._CHUNK, size
    try:
        assert [value for _, value in read(path)] == rows
    finally:
        files._CHUNK = before


BAD = [
    ("a.jsonl", b'{"answer": "a"}\n{bad\n\n"\xff"\nnull\n{"answer": "b"}', {2: "malformed", 4: "UTF-8", 5: "null"}),
    ("a.json", json.dumps(ROWS).encode()[:-30], {5: "in the middle"}),
    ("a.json", b'[{"a": "\xff"}, {"a": 1}]', {1: "UTF-8"}),
    ("a.parquet", b"PAR1 it is not", {0: "Parquet"}),
    ("a.jsonl.gz", gzip.compress(LINES.encode())[:-12], {0: "breaks off"}),
    ("a.jsonl.gz", b"no gzip at all", {0: "damaged"}),
    ("a.jsonl.zst", b"no zstd at all", {0: "damaged"}),
    ("a.jsonl", b"{bad\n{worse", {1: "malformed", 2: "malformed"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "data", "expected"), BAD)
def test_damage_is_named_and_the_rest_is_read(tmp_path, name, data, expected):
    path = tmp_path / name
    path.write_bytes(data)
    bad = {r.line: r.problem for r in read_file(path, "s") if r.problem}
    assert bad.keys() == expected.keys()
    assert all(part in bad[line] for line, part in expected.items())


def test_a_line_that_is_too_long_is_named_and_not_kept_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_RECORD", 100_000)
    path = tmp_path / "a.jsonl"
    with path.open("w") as file:
        file.write('{"answer": "a"}\n"')
        for _ in range(200):
            file.write("x" * 100_000)
        file.write('"\n{"answer": "b"}\n')
    tracemalloc.start()
    found = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [line for line, _ in found] == [1, 2, 3]
    assert "more than 100000 bytes" in found[1][1]
    assert found[2][1] == {"answer": "b"}
    assert peak < 5_000_000


def test_folders_are_searched_in_order_and_hidden_files_left_out(tmp_path):
    for name in ("b.jsonl", "a/z.parquet", "a/y.json.gz", "_x.jsonl", ".h/a.jsonl", "c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    found = [f.path.relative_to(tmp_path).as_posix() for f in find_inputs([str(tmp_path)])]
    assert found == ["a/y.json.gz", "a/z.parquet", "b.jsonl"]
    (one,) = find_inputs([str(tmp_path / "c.txt")])
    assert one.path.name == "c.txt"
    with pytest.raises(RescoreError, match="neither"):
        find_inputs([str(tmp_path / "none")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(RescoreError, match="no file"):
        find_inputs([str(tmp_path / "empty")])
