"""An authority, and a folder that makes `scripts/kafka` open doors with its certificates."""

import ipaddress
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER, PASSWORD = "worker", "canary-password"


@dataclass(frozen=True, kw_only=True)
class Doors:
    """Where the broker listens."""

    folder: Path
    #: Anybody; SASL/SCRAM over TLS; TLS for who has a certificate.
    plain: str = ""
    sasl: str
    mutual: str
    ca: Path
    cert: Path
    key: Path


class Authority:
    """Signs certificates for 127.0.0.1."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = _certificate("authority", self._key, self._key, None)

    def issue(self, name: str) -> tuple[bytes, bytes]:
        """A certificate and its key, in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(name, key, self._key, self.certificate)
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return certificate.public_bytes(serialization.Encoding.PEM), private

    def pem(self) -> bytes:
        """The authority's own certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def _certificate(name, key, signer, issuer):
    now, subject = datetime.now(UTC), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(signer, hashes.SHA256())
    )


@contextmanager
def secured(folder: Path) -> Iterator[Doors]:
    """Prepare `folder` for `scripts/kafka start` or `run`."""
    authority = Authority()
    server, server_key = authority.issue("server")
    client, client_key = authority.issue("client")
    (folder / "server.pem").write_bytes(server_key + server)
    files = {"ca.pem": authority.pem(), "client.pem": client, "client.key": client_key}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    sasl, mutual = (f"127.0.0.1:{port}" for port in _free_ports(2))
    (folder / "listeners").write_text(f",SASL_SSL://{sasl},SSL://{mutual}", encoding="utf-8")
    settings = f"""
ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.ssl.ssl.client.auth=required
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
"""
    (folder / "extra.properties").write_text(settings, encoding="utf-8")
    yield Doors(
        folder=folder,
        sasl=sasl,
        mutual=mutual,
        ca=folder / "ca.pem",
        cert=folder / "client.pem",
        key=folder / "client.key",
    )


def _free_ports(count: int) -> list[int]:
    """Ports that no client is given by chance."""
    found: list[socket.socket] = []
    while len(found) < count:
        attempt = socket.socket()
        try:
            attempt.bind(("127.0.0.1", random.randrange(20_000, 32_000)))
        except OSError:
            attempt.close()
            continue
        found.append(attempt)
    ports = [s.getsockname()[1] for s in found]
    for each in found:
        each.close()
    return ports
