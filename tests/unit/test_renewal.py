"""Certificates that are replaced are used once they are whole and fit; until then nothing changes."""

from datetime import UTC, datetime, timedelta

import pytest

from monitor.metrics import Metrics, Side
from stream.renewal import Renewable, Renewal
from tests.unit.data_certificates import Authority

NOW = datetime.now(UTC)


@pytest.fixture
def ours(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def made(ours):
    """A sidecar's TLS, what follows its files, and what it counts."""
    certificate, key = ours.issue("server")
    tls, metrics = Renewable.door(Side.SIDECAR, certificate, key, ours.file), Metrics()
    return tls, Renewal(tls, metrics), metrics


async def follow(renewal):
    """Look as often as a change needs."""
    for _ in range(3):
        await renewal.look()


def counted(metrics):
    lines = metrics.exposition().decode().splitlines()
    found = (line for line in lines if 'tls_renewals_total{outcome="' in line and "sidecar" in line)
    return {line.split('"')[1]: float(line.split()[-1]) for line in found}


def expiry(metrics):
    (line,) = (x for x in metrics.exposition().decode().splitlines() if "expiry" in x and "{" in x)
    return float(line.split()[-1])


async def test_a_renewed_pair_is_used_and_its_end_is_told(made, ours):
    tls, renewal, metrics = made
    before = tls.context
    assert abs(expiry(metrics) - (datetime.now(UTC) + timedelta(days=1)).timestamp()) < 600
    ours.issue("server", days=90)
    await follow(renewal)
    assert tls.context is not before
    assert abs(expiry(metrics) - (datetime.now(UTC) + timedelta(days=90)).timestamp()) < 600
    assert counted(metrics) == {"adopted": 1, "refused": 0}


async def test_files_that_stay_as_they_are_are_left_alone(made):
    tls, renewal, metrics = made
    before = tls.context
    await follow(renewal)
    assert tls.context is before
    assert counted(metrics) == {"adopted": 0, "refused": 0}


async def test_what_was_replaced_while_the_server_started_is_not_missed(ours):
    certificate, key = ours.issue("server")
    tls, metrics = Renewable.door(Side.SIDECAR, certificate, key, None), Metrics()
    ours.issue("server")
    await follow(Renewal(tls, metrics))
    assert counted(metrics)["adopted"] == 1


async def test_a_pair_that_is_replaced_one_file_after_the_other_waits_for_both(made, ours):
    _, renewal, metrics = made
    await follow(renewal)
    certificate = ours.folder / "server.crt"
    old = certificate.read_bytes()
    ours.issue("server")
    new = certificate.read_bytes()
    certificate.write_bytes(old)
    await renewal.look()  # the key is that of the next certificate
    certificate.write_bytes(new[:99])
    await renewal.look()
    certificate.write_bytes(new)
    await renewal.look()
    assert counted(metrics) == {"adopted": 0, "refused": 0}
    await renewal.look()
    assert counted(metrics) == {"adopted": 1, "refused": 0}


def of_another(certificate, key):
    key.write_bytes(Authority(key.parent, "other").issue("another")[1].read_bytes())


def half(certificate, key):
    certificate.write_bytes(certificate.read_bytes()[:-99])


def half_a_chain(certificate, key):
    certificate.write_bytes(certificate.read_bytes() * 2)
    half(certificate, key)


def half_a_key(certificate, key):
    key.write_bytes(key.read_bytes()[:-99])


def half_a_ca(certificate, key):
    authority = certificate.parent / "authority.pem"
    authority.write_bytes(authority.read_bytes() + certificate.read_bytes()[:-99])


def gone(certificate, key):
    certificate.unlink()


BAD = {
    of_another: "is not that of",
    half: "server.crt",
    half_a_chain: "server.crt",
    half_a_key: "server.key holds no private key",
    half_a_ca: "authority.pem",
    gone: "server.crt cannot be read",
}


@pytest.mark.parametrize(("spoil", "said"), BAD.items(), ids=lambda x: getattr(x, "__name__", ""))
async def test_what_will_not_do_changes_nothing_and_is_told_once(made, ours, spoil, said, capsys):
    tls, renewal, metrics = made
    before, until = tls.context, expiry(metrics)
    authority = ours.file.read_bytes()
    spoil(ours.folder / "server.crt", ours.folder / "server.key")
    await follow(renewal)
    await follow(renewal)
    assert (tls.context, expiry(metrics)) == (before, until)
    assert counted(metrics) == {"adopted": 0, "refused": 1}
    told = "".join(capsys.readouterr())
    assert told.count("certificate_refused") == 1
    assert said in told
    ours.file.write_bytes(authority)
    ours.issue("server")
    await follow(renewal)
    assert tls.context is not before
    assert counted(metrics) == {"adopted": 1, "refused": 1}


@pytest.mark.parametrize("days", [-10, 100])
async def test_a_certificate_out_of_its_time_is_not_taken_for_a_better_one(made, ours, days):
    tls, _, metrics = made
    before = tls.context
    ours.issue("server", days=50)
    await follow(Renewal(tls, metrics, now=lambda: NOW + timedelta(days=days)))
    assert tls.context is before
    assert counted(metrics) == {"adopted": 0, "refused": 1}


async def test_who_asks_need_not_wait(made, ours):
    tls, renewal, _ = made
    before = tls.context
    ours.issue("server")
    await renewal.look(asked=True)
    assert tls.context is not before


async def test_an_authority_alone_has_no_end_to_tell(ours):
    tls, metrics = Renewable.towards(Side.UPSTREAM, ours.file, None, None), Metrics()
    renewal = Renewal(tls, metrics)
    before = tls.context
    ours.file.write_bytes(Authority(ours.folder, "other").file.read_bytes())
    await follow(renewal)
    assert tls.context is not before
    assert tls.until is None
