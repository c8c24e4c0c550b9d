"""What the broker does not take is kept on disk, whole, in order, in bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.kafka.spool import SEGMENT_BYTES, Parcel, Spool, SpoolError

LIMIT = 2**24


def parcel(number, size=10):
    value = f"{number}\n".encode() + b"x" * size
    return Parcel(topic="t", key=b"k\n\xff", value=value, headers=(("h", b"\x00\n"),))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def opened(folder):
    spools = []

    def opened(limit=LIMIT):
        spools.append(Spool(folder, limit=limit))
        return spools[-1]

    yield opened
    for spool in spools:
        spool.close()


def everything(spool):
    found = []
    while (segment := spool.oldest()) is not None:
        found += spool.read(segment)
        spool.remove(segment)
    return found


def test_everything_comes_back_in_order_over_restarts_and_segments(opened):
    parcels = [parcel(n, size=SEGMENT_BYTES // 3) for n in range(4)]
    first = opened()
    first.append(parcels[:3])
    first.close()
    second = opened()
    second.append(parcels[3:])
    assert not second.empty
    assert everything(second) == parcels
    assert (second.empty, second.size) == (True, 0)


def test_what_has_no_room_is_counted_and_not_written(opened):
    spool = opened(limit=1000)
    assert spool.append([parcel(n, size=300) for n in range(5)]) == 3
    assert spool.size <= 1000
    assert len(everything(spool)) == 2
    assert spool.append([parcel(9)]) == 0


@given(at=st.floats(0, 0.999), flip=st.integers(1, 255))
def test_what_is_damaged_is_never_given_out(tmp_path_factory, at, flip):
    folder = tmp_path_factory.mktemp("spool")
    parcels = [parcel(n) for n in range(5)]
    spool = Spool(folder, limit=LIMIT)
    spool.append(parcels)
    segment = spool.oldest()
    data = bytearray(segment.read_bytes())
    data[int(at * len(data))] ^= flip
    segment.write_bytes(data)
    found = list(spool.read(segment))
    assert found == parcels[: len(found)]
    assert (len(found) < 5, spool.damaged) == (True, 1)
    spool.close()


@given(cut=st.floats(0, 0.999))
def test_a_segment_that_a_crash_cut_gives_what_is_whole(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("spool")
    parcels = [parcel(n) for n in range(5)]
    spool = Spool(folder, limit=LIMIT)
    spool.append(parcels)
    segment = spool.oldest()
    size = segment.stat().st_size
    kept = int(cut * size)
    segment.write_bytes(segment.read_bytes()[:kept])
    found = list(spool.read(segment))
    assert found == parcels[: kept * 5 // size]
    spool.close()


def test_a_folder_belongs_to_one_process_and_to_its_user(opened, folder):
    spool = opened()
    spool.append([parcel(1)])
    assert folder.stat().st_mode & 0o077 == 0
    assert all(p.stat().st_mode & 0o077 == 0 for p in folder.glob("*.spool"))
    with pytest.raises(SpoolError, match="another process"):
        opened()


def test_a_disk_that_fails_costs_what_could_not_be_written_and_no_more(opened, monkeypatch):
    spool = opened()
    assert spool.append([parcel(1)]) == 0
    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "full")))
        assert spool.append([parcel(2)]) == 1
    assert spool.append([parcel(3)]) == 0
    found = everything(spool)
    assert (found[0], found[-1]) == (parcel(1), parcel(3))
