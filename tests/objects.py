"""A server that speaks as much of the S3 protocol as reading takes."""

import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

WHEN = ("Sat, 21 Nov 2026 12:00:00 GMT", "2026-11-21T12:00:00.000Z")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Say nothing."""

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        address = urlsplit(self.path)
        if parse_qs(address.query).get("list-type"):
            self.listing(unquote(address.path).strip("/"), parse_qs(address.query))
        else:
            self.answer()

    def listing(self, bucket, query):
        start = f"{bucket}/{query.get('prefix', [''])[0]}"
        found = [(k, v) for k, v in sorted(self.server.objects.items()) if k.startswith(start)]
        most = int(query.get("max-keys", ["1000"])[0])
        entries = "".join(
            f"<Contents><Key>{escape(key.removeprefix(bucket + '/'))}</Key><Size>{len(data)}</Size>"
            f'<LastModified>{WHEN[1]}</LastModified><ETag>"e"</ETag></Contents>'
            for key, data in found[:most]
        )
        body = (
            f"<ListBucketResult><Name>{bucket}</Name><KeyCount>{len(found[:most])}</KeyCount>"
            f"<IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
        )
        self.send(200, body.encode(), {"content-type": "application/xml"})

    def answer(self):
        key = unquote(urlsplit(self.path).path).strip("/")
        data = self.server.objects.get(key)
        self.server.asked.append(key)
        if data is None or key in self.server.broken:
            self.send(403 if key in self.server.broken else 404, b"", {})
            return
        headers = {"last-modified": WHEN[0], "etag": '"e"', "accept-ranges": "bytes"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", ""))
        if asked is None:
            self.send(200, data, headers)
            return
        start, end = int(asked[1]), min(int(asked[2] or len(data) - 1), len(data) - 1)
        span = f"bytes {start}-{end}/{len(data)}"
        self.send(206, data[start : end + 1], {**headers, "content-range": span})

    def send(self, status, body, headers):
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def serving(objects):
    """Serve objects by `bucket/key`; yields the server, whose `settings` belong to an address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.objects, server.asked, server.broken = objects, [], set()
    port = server.server_address[1]
    server.settings = f"?scheme=http&endpoint_override=127.0.0.1:{port}&region=us-east-1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
