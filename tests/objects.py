"""A server that speaks as much of the S3 protocol as reading and writing small objects takes."""

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

    def do_PUT(self):
        """Take a part of an upload, or an object at once."""
        address = urlsplit(self.path)
        if self.headers.get("transfer-encoding") == "chunked":
            body = self.chunked()
        else:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
        key = unquote(address.path).strip("/")
        self.server.asked.append(f"PUT {key}")
        if "aws-chunked" in self.headers.get("content-encoding", ""):
            body = _unchunked(body)
        if key in self.server.broken:
            self.send(403, b"", {})
            return
        parts = "uploadId" in parse_qs(address.query)
        (self.server.parts if parts else self.server.objects)[key] = body
        self.send(200, b"", {"etag": '"e"'})

    def do_POST(self):
        """Begin an upload in parts, or end it."""
        address = urlsplit(self.path)
        query, key = parse_qs(address.query, keep_blank_values=True), unquote(address.path)
        self.rfile.read(int(self.headers.get("content-length", 0)))
        key = key.strip("/")
        if "uploads" in query:
            told = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
        else:
            self.server.objects[key] = self.server.parts.pop(key)
            told = "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>"
        self.send(200, told.encode(), {"content-type": "application/xml"})

    def chunked(self):
        """Read a body that comes in chunks."""
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

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


def _unchunked(body):
    """What stands in chunks that each begin with their size in hexadecimal digits."""
    found, rest = b"", body
    while rest:
        head, _, rest = rest.partition(b"\r\n")
        size = int(head.partition(b";")[0] or b"0", 16)
        found, rest = found + rest[:size], rest[size + 2 :] if size else b""
    return found


@contextmanager
def serving(objects):
    """Serve objects by `bucket/key`; yields the server, whose `settings` belong to an address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.objects, server.asked, server.broken = objects, [], set()
    server.parts = {}
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
