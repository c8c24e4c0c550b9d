"""Connections that begin after certificates were replaced use the new ones; others go on."""

import asyncio
import json
import re
import socket
import ssl
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509

from monitor.metrics import Metrics, Side
from stream import proxy, tls
from stream.renewal import Renewable, Renewal
from stream.replay import reply
from stream.server import listening
from tests.support import engine
from tests.unit.data_certificates import Authority

CHAT = "/v1/chat/completions"
ASK = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"
#: How a client learns that it may not come in.
REFUSED = r"alert|reset|hung up|EOF|pipe"
NOWHERE = proxy.Settings(upstream="http://127.0.0.1:1")


@pytest.fixture
def ours(tmp_path):
    return Authority(tmp_path)


def serial(certificate: Path) -> int:
    return x509.load_pem_x509_certificate(certificate.read_bytes()).serial_number


def shown(peer) -> int:
    """The serial number of the certificate that the other side of a connection showed."""
    return int((peer.getpeercert() or {"serialNumber": "0"})["serialNumber"], 16)


async def renewed(held: Renewable) -> None:
    await Renewal(held, Metrics()).look(asked=True)


async def connect(address: str, context: ssl.SSLContext):
    host, port = address.removeprefix("https://").split(":")
    return await asyncio.open_connection(host, int(port), ssl=context)


async def answered(reader, writer) -> str:
    """The head of the answer to one more request."""
    writer.write(ASK)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    await reader.readexactly(int(re.search(r"content-length: (\d+)", head)[1]))
    return head


async def test_new_connections_see_the_new_certificate_and_open_ones_go_on(ours):
    files = ours.issue("server")
    old, held = serial(files[0]), Renewable.door(Side.SIDECAR, *files, None)
    async with listening(
        proxy.create_app(engine(), NOWHERE), "127.0.0.1", 0, tls=held.lasting()
    ) as address:
        before = await connect(address, tls.asking(ours.file, None, None))
        assert " 502 " in await answered(*before)
        ours.issue("server")
        await renewed(held)
        after = await connect(address, tls.asking(ours.file, None, None))
        seen = [shown(writer.get_extra_info("ssl_object")) for _, writer in (before, after)]
        assert seen == [old, serial(files[0])]
        for reader, writer in (before, after):
            assert " 502 " in await answered(reader, writer)
            writer.close()


def resumed(address: str, context: ssl.SSLContext, session: ssl.SSLSession | None):
    """Ask on a connection that goes on with a session; its own, and whether it was taken."""
    host, port = address.removeprefix("https://").split(":")
    with (
        socket.create_connection((host, int(port)), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname=host, session=session) as secured,
    ):
        secured.sendall(ASK)
        if not secured.recv(65536).startswith(b"HTTP/1.1 502"):
            raise ConnectionError("hung up")
        return secured.session, secured.session_reused


async def test_a_client_whose_authority_was_replaced_stays_out_its_old_session_too(ours, tmp_path):
    (tmp_path / "next").mkdir()
    theirs = Authority(tmp_path / "next", "next")
    trusted = tmp_path / "clients.pem"
    trusted.write_bytes(ours.file.read_bytes())
    held = Renewable.door(Side.SIDECAR, *ours.issue("server"), trusted)
    old, new = (tls.asking(ours.file, *one.issue("client")) for one in (ours, theirs))
    async with listening(
        proxy.create_app(engine(), NOWHERE), "127.0.0.1", 0, tls=held.lasting()
    ) as address:
        session, _ = await asyncio.to_thread(resumed, address, old, None)
        assert (await asyncio.to_thread(resumed, address, old, session))[1]
        with pytest.raises(OSError, match=REFUSED):
            await asyncio.to_thread(resumed, address, new, None)
        trusted.write_bytes(theirs.file.read_bytes())
        await renewed(held)
        await asyncio.to_thread(resumed, address, new, None)
        for before in (session, None):
            with pytest.raises(OSError, match=REFUSED):
                await asyncio.to_thread(resumed, address, old, before)


def upstream(seen):
    """Notes which certificate it was shown on which connection."""

    async def answer(request):
        seen.append((shown(request.transport.get_extra_info("ssl_object")), request.transport))
        return web.json_response(reply({"thinking": "So.", "answer": "Fine."}))

    application = web.Application()
    application.router.add_post(CHAT, answer)
    return application


async def test_the_next_request_to_the_upstream_shows_the_new_certificate(ours):
    files, seen = ours.issue("sidecar"), []
    old, held = serial(files[0]), Renewable.towards(Side.UPSTREAM, ours.file, *files)
    demanding = tls.serving(*ours.issue("server"), ours.file)
    async with listening(upstream(seen), "127.0.0.1", 0, tls=demanding) as behind:
        settings = proxy.Settings(upstream=behind, upstream_tls=held)
        made = proxy.create_app(engine(), settings)
        async with listening(made, "127.0.0.1", 0) as front, aiohttp.ClientSession() as http:
            for turn in range(3):
                if turn == 2:
                    ours.issue("sidecar")
                    await renewed(held)
                async with http.post(front + CHAT, json={}) as got:
                    body = json.loads(await got.read())
                    assert body["choices"][0]["message"]["content"] == "Fine."
    assert [number for number, _ in seen] == [old, old, serial(files[0])]
    assert seen[0][1] is seen[1][1]  # which is open still, and no longer used
    assert seen[2][1] is not seen[1][1]


async def test_an_upstream_that_a_new_authority_vouches_for_is_asked_again(ours, tmp_path):
    (tmp_path / "next").mkdir()
    theirs = Authority(tmp_path / "next", "next")
    held = Renewable.towards(Side.UPSTREAM, ours.file, None, None)
    async with listening(
        upstream([]), "127.0.0.1", 0, tls=tls.serving(*theirs.issue("server"), None)
    ) as behind:
        made = proxy.create_app(engine(), proxy.Settings(upstream=behind, upstream_tls=held))
        async with listening(made, "127.0.0.1", 0) as front, aiohttp.ClientSession() as http:
            for expected in (502, 200):
                async with http.post(front + CHAT, json={}) as got:
                    assert got.status == expected
                ours.file.write_bytes(theirs.file.read_bytes())
                await renewed(held)
