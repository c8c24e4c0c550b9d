"""A small OpenID Connect provider on loopback: real keys, real checks of what a client sends."""

import base64
import hashlib
import json
import secrets
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT, SECRET = "subtext:console", "a secret/with + signs%"


def key_pair(kid):
    """A private key, and what is published of it."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(private.public_key()))
    return private, {**public, "kid": kid, "use": "sig", "alg": "RS256"}


@dataclass
class Provider:
    """What it knows, and what a test makes it do wrong."""

    issuer: str = ""
    private: object = None
    published: list = field(default_factory=list)
    kid: str = "k1"
    #: Claims of whoever signs in.
    person: dict = field(default_factory=lambda: {"sub": "248289761001"})
    #: Changes to the claims of the next ID tokens; None leaves a claim out.
    changes: dict = field(default_factory=dict)
    #: Signs the claims in place of the provider, if given.
    sign: object = None
    #: Changes to the discovery document.
    document: dict = field(default_factory=dict)
    #: Of the token endpoint: a status and where it sends on.
    astray: tuple | None = None
    #: What was asked for, by code.
    pending: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)

    def discovery(self):
        found = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "id_token_signing_alg_values_supported": ["RS256"],
        }
        return {**found, **self.document}

    def authorize(self, query):
        """Sign the person in and send the browser back."""
        assert query["response_type"] == "code"
        assert "openid" in query["scope"].split()
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.pending[code] = query
        given = urlencode({"code": code, "state": query["state"], "iss": self.issuer})
        return f"{query['redirect_uri']}?{given}"

    def token(self, form, authorization):
        """Exchange a code, once, for whoever proves to have asked for it."""
        query = self.pending.pop(form.get("code"), None)
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(verifier).rstrip(b"=").decode()
        pair = base64.b64decode(authorization.removeprefix("Basic ")).decode().split(":")
        known = [unquote_plus(part) for part in pair] == [CLIENT, SECRET]
        if not query or not known or challenge != query["code_challenge"]:
            return None
        return {"access_token": "x", "token_type": "Bearer", "id_token": self.id_token(query)}

    def id_token(self, query):
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": query["client_id"],
            "iat": now,
            "exp": now + 300,
            "nonce": query["nonce"],
            **self.person,
            **self.changes,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        if self.sign is not None:
            return self.sign(claims)
        return jwt.encode(claims, self.private, algorithm="RS256", headers={"kid": self.kid})


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing."""

    def do_GET(self):
        provider, address = self.server.provider, urlsplit(self.path)
        provider.asked.append(address.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        if address.path == "/authorize":
            self.send_response(303)
            self.send_header("location", provider.authorize(query))
            self.send_header("content-length", "0")
            self.end_headers()
        elif address.path == "/keys":
            self.answer(200, {"keys": provider.published})
        elif address.path == "/.well-known/openid-configuration":
            self.answer(200, provider.discovery())
        else:
            self.answer(404, {})

    def do_POST(self):
        provider = self.server.provider
        provider.asked.append(self.path)
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        if provider.astray is not None:
            self.send_response(provider.astray[0])
            self.send_header("location", provider.astray[1])
            self.send_header("content-length", "0")
            self.end_headers()
            return
        found = provider.token(form, self.headers.get("authorization", ""))
        self.answer(200 if found else 400, found or {"error": "invalid_grant"})

    def answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(pair):
    """Serve a provider whose key is this pair."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    issuer = f"http://127.0.0.1:{server.server_address[1]}"
    server.provider = Provider(issuer=issuer, private=pair[0], published=[pair[1]])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
