"""TLS on both sides of the sidecar, and errors that name the file that will not do."""

import json
import ssl

import aiohttp
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from monitor.metrics import Side
from stream import proxy, replay, tls
from stream.cli import app
from stream.probe import Probe, ProbeError
from stream.renewal import Renewable
from stream.replay import reply
from stream.server import listening
from tests.support import engine
from tests.unit.data_certificates import Authority, pem

CHAT = "/v1/chat/completions"
CLEAN = {"thinking": "So.", "answer": "Fine."}
RECORD = {"prompt": "", **CLEAN}


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def server(ours):
    return ours.issue("server")


@pytest.fixture(scope="module")
def client(ours):
    return ours.issue("client")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("theirs"), "stranger")


def upstream():
    async def answer(request):
        return web.json_response(reply(CLEAN))

    application = web.Application()
    application.router.add_post(CHAT, answer)
    return application


async def ask(address, context=None):
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context or True)) as http,
        http.post(address + CHAT, json={}) as got,
    ):
        return got.status, await got.read()


def towards(ca, certificate=None, key=None):
    return Renewable.towards(Side.UPSTREAM, ca, certificate, key)


async def through(address, **settings):
    """Ask a sidecar in front of `address`."""
    made = proxy.create_app(engine(), proxy.Settings(upstream=address, **settings))
    async with listening(made, "127.0.0.1", 0) as front:
        return await ask(front)


async def test_the_sidecar_serves_over_tls(ours, server):
    made = proxy.create_app(engine(), proxy.Settings(upstream="http://127.0.0.1:1"))
    context = tls.serving(*server, None)
    async with listening(made, "127.0.0.1", 0, tls=context) as address:
        assert address.startswith("https://")
        status, _ = await ask(address, tls.asking(ours.file, None, None))
        assert status == 502
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await ask(address)
        with pytest.raises(aiohttp.ClientError):
            await ask(address.replace("https", "http"))


async def test_only_clients_that_the_authority_vouches_for_come_in(ours, server, client, stranger):
    made = proxy.create_app(engine(), proxy.Settings(upstream="http://127.0.0.1:1"))
    context = tls.serving(*server, ours.file)
    async with listening(made, "127.0.0.1", 0, tls=context) as address:
        status, _ = await ask(address, tls.asking(ours.file, *client))
        assert status == 502
        for shown in ((None, None), stranger.issue("client")):
            with pytest.raises((aiohttp.ClientError, ConnectionError)):
                await ask(address, tls.asking(ours.file, *shown))


async def test_the_upstream_is_checked_against_its_authority(ours, server, stranger):
    async with listening(upstream(), "127.0.0.1", 0, tls=tls.serving(*server, None)) as address:
        status, body = await through(address, upstream_tls=towards(ours.file))
        assert (status, json.loads(body)["choices"][0]["message"]["content"]) == (200, "Fine.")
        for checked in (None, towards(stranger.file)):
            status, body = await through(address, upstream_tls=checked)
            assert (status, b"Certificate" in body) == (502, True)


async def test_the_upstream_may_ask_for_a_certificate(ours, server, client):
    demanding = tls.serving(*server, ours.file)
    async with listening(upstream(), "127.0.0.1", 0, tls=demanding) as address:
        for shown, expected in ((client, 200), ((None, None), 502)):
            status, _ = await through(address, upstream_tls=towards(ours.file, *shown))
            assert status == expected


def test_certificate_and_key_may_share_a_file(tmp_path, server):
    both = tmp_path / "both.pem"
    both.write_bytes(b"".join(path.read_bytes() for path in server))
    assert isinstance(tls.serving(both, None, None), ssl.SSLContext)


def test_old_versions_of_tls_are_not_spoken(server):
    assert tls.serving(*server, None).minimum_version >= ssl.TLSVersion.TLSv1_2


async def test_doctor_asks_over_tls_too(ours, server):
    async with listening(
        replay.create_app([RECORD], pace=0), "127.0.0.1", 0, tls=tls.serving(*server, None)
    ) as address:
        probe = Probe(upstream=address, tls=tls.asking(ours.file, None, None))
        assert (await probe.run()).trace.thinking == "So."
        with pytest.raises(ProbeError, match="Certificate"):
            await Probe(upstream=address).run()


@pytest.fixture
def files(tmp_path, server, client):
    """Files by name, good and bad."""
    locked = tmp_path / "locked"
    locked.write_bytes(pem(ec.generate_private_key(ec.SECP256R1()), b"pass"))
    empty = tmp_path / "empty"
    empty.write_text("-----BEGIN")
    return {
        "cert": server[0],
        "key": server[1],
        "other": client[1],
        "locked": locked,
        "empty": empty,
        "gone": tmp_path / "gone",
    }


BAD = [
    ("cert", "gone", None, "gone cannot be read: No such file"),
    ("gone", "key", None, "gone cannot be read"),
    ("empty", "key", None, "empty holds no certificate"),
    ("key", "key", None, "holds no certificate"),
    ("cert", "empty", None, "empty holds no private key"),
    ("cert", None, None, "holds no private key"),
    ("cert", "locked", None, "asks for a passphrase"),
    ("cert", "other", None, "is not that of"),
    ("cert", "key", "empty", "empty holds no certificate"),
    ("cert", "key", "gone", "gone cannot be read"),
]


@pytest.mark.parametrize(("certificate", "key", "authority", "said"), BAD)
def test_files_that_will_not_do_are_named_and_explained(files, certificate, key, authority, said):
    given = [name and files[name] for name in (certificate, key, authority)]
    with pytest.raises(tls.TlsError, match=said):
        tls.serving(*given)
    words = ["serve", "--upstream", "https://x"]
    for option, path in zip(("--tls-cert", "--tls-key", "--tls-client-ca"), given, strict=True):
        words += [option, str(path)] if path else []
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 64
    assert said in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--upstream", "http://x", "--upstream-ca", "f"], "https://"),
        (["--upstream", "http://x", "--upstream-cert", "f"], "https://"),
        (["--upstream", "https://x", "--upstream-key", "f"], "needs --upstream-cert"),
        (["--upstream", "https://x", "--upstream-ca", "gone"], "gone cannot be read"),
        (["--upstream", "https://x", "--tls-key", "f"], "need --tls-cert"),
        (["--upstream", "https://x", "--tls-client-ca", "f"], "need --tls-cert"),
        (["--upstream", "https://x", "--dashboard-tls-key", "f"], "need --dashboard-tls-cert"),
        (["--upstream", "http://x", "--dashboard-tls-cert", "gone"], "TLS of the dashboard: gone"),
        (["--demo", "--tls-cert", "f"], "plain HTTP"),
        (["--upstream", "http://x", "--tenant-header", "x tenant"], "name of a header"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(words, said):
    result = CliRunner().invoke(app, ["serve", *words])
    assert result.exit_code == 64
    assert said in " ".join(result.stderr.split())
