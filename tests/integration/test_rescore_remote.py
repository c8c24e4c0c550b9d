"""Logs in object stores give what the same logs in files give."""

import gzip
import json

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stream.rescore.errors import RescoreError
from stream.rescore.inputs import find_inputs
from tests.objects import serving
from tests.rescoring import rescore, write_logs

TRACE = {"trace_id": "p", "thinking": "the PLOT", "answer": "x", "model": "m1"}


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """A folder with logs of three kinds, and things that are none."""
    folder = tmp_path_factory.mktemp("logs")
    (folder / "2026" / "_tmp").mkdir(parents=True)
    write_logs(folder / "a b.jsonl", 40)
    write_logs(folder / "2026" / "b.jsonl", 30, seed=1)
    packed = gzip.compress((folder / "2026" / "b.jsonl").read_bytes())
    (folder / "2026" / "c.jsonl.gz").write_bytes(packed)
    pq.write_table(pa.Table.from_pylist([TRACE] * 5), folder / "d.parquet")
    (folder / "2026" / "_tmp" / "e.jsonl").write_text(json.dumps(TRACE))
    (folder / "notes.txt").write_text("no log")
    return folder


@pytest.fixture(scope="module")
def here(logs, tmp_path_factory):
    out = tmp_path_factory.mktemp("here") / "out"
    rescore([logs], out)
    return rows(out)


@pytest.fixture
def server(logs, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "CANARY-secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    files = [path for path in logs.rglob("*") if path.is_file()]
    held = {f"bucket/logs/{path.relative_to(logs)}": path.read_bytes() for path in files}
    with serving(held) as server:
        yield server


def rows(out):
    """What was judged, but for the places where it stood."""
    read = pq.ParquetDataset(sorted(out.glob("*.parquet"))).read()
    kept = read.drop_columns(["source", "verdict_id"]).to_pylist()
    return [json.loads(json.dumps(row)) for row in kept], (out / "bad.jsonl").read_text().count(
        "\n"
    )


def test_a_bucket_gives_what_a_folder_gives(server, here, tmp_path):
    rescore([f"s3://bucket/logs{server.settings}"], tmp_path / "out")
    assert rows(tmp_path / "out") == here
    sources = set(pq.read_table(tmp_path / "out" / "part-00000.parquet")["source"].to_pylist())
    assert "s3://bucket/logs/2026/b.jsonl" in sources
    assert not [key for key in server.asked if "_tmp" in key or "notes" in key]


def test_one_object_by_its_own_name_and_a_resumed_run(server, tmp_path):
    address = f"s3://key:CANARY@bucket/logs/a%20b.jsonl{server.settings}"
    rescore([address], tmp_path / "out")
    again = rescore([address], tmp_path / "out", run="other")
    assert again.run == "r"
    assert "CANARY" not in (tmp_path / "out" / "manifest.json").read_text()
    server.objects["bucket/logs/a b.jsonl"] += b"{}\n"
    with pytest.raises(RescoreError, match="other inputs"):
        rescore([address], tmp_path / "out")


@pytest.mark.parametrize("name", ["logs/none.jsonl", "logs/2026/none/"])
def test_where_nothing_is_to_be_found_is_said(server, name):
    address = f"s3://key:CANARY@bucket/{name}{server.settings}"
    with pytest.raises(RescoreError, match="holds no file of records") as told:
        find_inputs([address])
    assert "CANARY" not in str(told.value)


def test_an_object_that_may_not_be_read_stops_the_run(server, tmp_path):
    server.broken.add("bucket/logs/2026/b.jsonl")
    with pytest.raises(RescoreError, match=r"b\.jsonl cannot be read: .*ACCESS_DENIED"):
        rescore([f"s3://bucket/logs{server.settings}"], tmp_path / "out")


def test_other_file_systems_by_pyarrow_and_fsspec(logs, here, tmp_path):
    rescore([f"file://{logs}"], tmp_path / "file")
    assert rows(tmp_path / "file") == here
    system = fsspec.filesystem("memory")
    system.put(str(logs), "/bucket/logs", recursive=True)
    rescore(["memory://bucket/logs"], tmp_path / "memory")
    assert rows(tmp_path / "memory") == here
    system.rm("/bucket", recursive=True)


@pytest.mark.parametrize("address", ["gopher://a/b", "s3://", "s3://bucket?soul=1"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(RescoreError):
        find_inputs([address])
